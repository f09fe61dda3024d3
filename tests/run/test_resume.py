"""Kills, resumes, reuse, two processes, analyze: what is stored is whole, and bit for bit the same."""

import hashlib
import subprocess
import time
from pathlib import Path

import pytest
from support import NVE, PARITY, command, environment, mlipbench, results, suite_file

STABILITY = """  stability:
    structure: {crystal: fcc, symbol: Ar, lattice_A: 5.30, repeat: [2, 2, 2]}
    timestep_fs: 5
    duration_ps: 8
"""
SUITES = PARITY + NVE.format(ps=12) + STABILITY


def fingerprints(run: Path) -> dict[str, str]:
    """sha256 of results.json and of every file of the trajectories and arrays."""
    files = [run / "results.json", *run.glob("trajectories/*/*"), *run.glob("suites/*/arrays/*")]
    return {str(f.relative_to(run)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run nobody disturbs: its folder, its fingerprints, its seconds."""
    folder = tmp_path_factory.mktemp("undisturbed")
    start = time.monotonic()
    done = mlipbench("run", suite_file(folder, suites=SUITES), "--output", "out", cwd=folder)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return folder, fingerprints(folder / "out"), time.monotonic() - start


def killed_and_resumed(folder: Path, seconds: float) -> dict[str, str]:
    """Fingerprints of a run killed after `seconds` and begun again."""
    suite = suite_file(folder, suites=SUITES)
    arguments = command("run", suite, "--output", "out")
    process = subprocess.Popen(
        arguments, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(seconds)
    process.kill()
    process.wait()
    done = mlipbench("run", suite, "--output", "out", cwd=folder)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return fingerprints(folder / "out")


@pytest.mark.parametrize("part", [0.45, 0.8])
def test_a_killed_run_resumes_bit_for_bit(undisturbed, tmp_path, part):
    _, expected, seconds = undisturbed
    assert killed_and_resumed(tmp_path, part * seconds) == expected


def test_sigterm_ends_cleanly_and_says_how_to_go_on(undisturbed, tmp_path):
    _, expected, seconds = undisturbed
    suite = suite_file(tmp_path, suites=SUITES)
    process = subprocess.Popen(
        command("run", suite, "--output", "out"),
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(0.6 * seconds)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "same command goes on" in errors
    mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert fingerprints(tmp_path / "out") == expected


def test_a_second_run_computes_nothing_anew(undisturbed):
    folder, expected, _ = undisturbed
    before = {f: f.stat().st_mtime_ns for f in (folder / "out").glob("trajectories/*/*")}
    mlipbench("run", folder / "small.yaml", "--output", "out", cwd=folder)
    assert fingerprints(folder / "out") == expected
    assert before == {f: f.stat().st_mtime_ns for f in (folder / "out").glob("trajectories/*/*")}


def test_analyze_repeats_the_judgement_without_potential_and_files(undisturbed, tmp_path):
    folder, expected, _ = undisturbed
    done = mlipbench("analyze", folder / "out", cwd=tmp_path)
    assert done.returncode in (0, 3), done.stderr
    assert fingerprints(folder / "out") == expected


def test_report_judges_nothing(undisturbed, tmp_path):
    folder, expected, _ = undisturbed
    page = folder / "out" / "report.html"
    before = page.read_bytes()
    page.unlink()
    assert mlipbench("report", folder / "out", cwd=tmp_path).returncode == 0
    assert page.read_bytes() == before
    assert fingerprints(folder / "out") == expected


def test_two_processes_on_one_folder(undisturbed, tmp_path):
    suite = suite_file(tmp_path, suites=SUITES)
    first = subprocess.Popen(
        command("run", suite, "--output", "out"), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "plan.lock.yaml").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    second = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert second.returncode == 74
    assert f"in use by mlipbench, process {first.pid} on " in second.stderr
    assert first.wait(timeout=200) in (0, 3)
    assert fingerprints(tmp_path / "out") == undisturbed[1]


def test_a_longer_run_extends_the_stored_trajectories(undisturbed, tmp_path):
    short = suite_file(tmp_path, suites=NVE.format(ps=6))
    mlipbench("run", short, "--output", "out", cwd=tmp_path)
    chunk = min(
        (tmp_path / "out" / "trajectories").glob("*/chunk-00000.npz"), key=lambda p: p.stat().st_mtime_ns
    )
    written = chunk.stat().st_mtime_ns
    suite_file(tmp_path, suites=SUITES)
    mlipbench("run", short, "--output", "out", cwd=tmp_path)
    assert chunk.stat().st_mtime_ns == written
    assert results(tmp_path / "out") == results(undisturbed[0] / "out")


def test_a_damaged_array_is_named_and_nothing_else_is_lost(undisturbed, tmp_path):
    suite = suite_file(tmp_path, suites=PARITY)
    mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    victim = sorted((tmp_path / "out/suites/parity/arrays").glob("*.npy"))[0]
    content = bytearray(victim.read_bytes())
    content[-3] ^= 1
    victim.write_bytes(content)
    done = mlipbench("analyze", "out", cwd=tmp_path)
    assert done.returncode == 74
    assert victim.name in done.stderr


def test_suites_share_a_trajectory_and_each_gets_the_length_and_stride_it_asked_for(undisturbed, tmp_path):
    """A second stability suite, longer and with finer frames, adds no trajectory and changes no number."""
    finer = STABILITY.replace(
        "  stability:", "  stability-fine:\n    use: stability\n    frame_every_fs: 50"
    ).replace("duration_ps: 8", "duration_ps: 12")
    suite = suite_file(tmp_path, suites=STABILITY + finer)
    done = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert done.returncode in (0, 3), done.stderr
    assert len(list((tmp_path / "out/trajectories").iterdir())) == 2  # one a temperature, 30 and 45 K
    shared = results(tmp_path / "out")["suites"]["stability"]
    alone = results(undisturbed[0] / "out")["suites"]["stability"]
    assert shared == alone
