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
    """A run nobody disturbs: its folder, its fingerprints."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = mlipbench("run", suite_file(folder, suites=SUITES), "--output", "out", cwd=folder)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return folder, fingerprints(folder / "out")


def begun(folder: Path, chunks: int) -> tuple[Path, subprocess.Popen[str]]:
    """A suite file and a run of it, when so many chunks of its trajectories are there: 4 in the end."""
    suite = suite_file(folder, suites=SUITES)
    process = subprocess.Popen(
        command("run", suite, "--output", "out"),
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(list(folder.glob("out/trajectories/*/chunk-*.npz"))) < chunks:
        assert process.poll() is None, "it has ended before it was disturbed"
        time.sleep(0.01)
    return suite, process


@pytest.mark.parametrize("chunks", [1, 3])
def test_a_killed_run_resumes_bit_for_bit(undisturbed, tmp_path, chunks):
    suite, process = begun(tmp_path, chunks)
    process.kill()
    process.communicate()
    assert not (tmp_path / "out" / "results.json").exists()
    done = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert fingerprints(tmp_path / "out") == undisturbed[1]


def test_sigterm_ends_cleanly_and_says_how_to_go_on(undisturbed, tmp_path):
    suite, process = begun(tmp_path, 2)
    process.terminate()
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 143
    assert "same command goes on" in errors
    mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert fingerprints(tmp_path / "out") == undisturbed[1]


def test_a_second_run_computes_nothing_anew(undisturbed):
    folder, expected = undisturbed
    before = {f: f.stat().st_mtime_ns for f in (folder / "out").glob("trajectories/*/*")}
    mlipbench("run", folder / "small.yaml", "--output", "out", cwd=folder)
    assert fingerprints(folder / "out") == expected
    assert before == {f: f.stat().st_mtime_ns for f in (folder / "out").glob("trajectories/*/*")}


def test_analyze_repeats_the_judgement_without_potential_and_files(undisturbed, tmp_path):
    folder, expected = undisturbed
    done = mlipbench("analyze", folder / "out", cwd=tmp_path)
    assert done.returncode in (0, 3), done.stderr
    assert fingerprints(folder / "out") == expected


def test_report_judges_nothing(undisturbed, tmp_path):
    folder, expected = undisturbed
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
    while not (tmp_path / "out" / "plan.lock.yaml").exists():
        assert first.poll() is None, "it has ended before the second one began"
        time.sleep(0.01)
    second = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert second.returncode == 74
    assert f"in use by mlipbench, process {first.pid} on " in second.stderr
    assert first.wait(timeout=300) in (0, 3)
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
