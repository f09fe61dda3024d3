"""Full disks, folders that cannot be written, paths that are none: exit 74, one message, then the same bits.

Oracle: the undisturbed run. Catches a half-written file that counts, a traceback, a message without the path.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest
from support import command as command_line
from support import environment


@pytest.fixture(scope="module")
def command():
    with harness.in_process() as call, harness.permissions_count():
        yield call


@pytest.fixture(scope="module")
def sound(tmp_path_factory, command):
    """A finished run, its suite file, its fingerprints."""
    folder = tmp_path_factory.mktemp("sound")
    assert command("run", harness.suite_file(folder), "--output", folder / "out").code == 0
    return folder, folder / "s.yaml", harness.fingerprints(folder / "out")


def refused(done: harness.Said, *words: str) -> None:
    """Exit 74 with one message."""
    assert done.code == 74, (done.code, done.out, done.err)
    assert done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err, done.err


@contextlib.contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Writing past `size` bytes of a file fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 300, 900, 2000, 5000, 20000])
def test_a_limit_on_the_size_of_files(command, sound, tmp_path, size):
    """Fails at the plan, the probe, arrays, evaluations, chunks in turn; needs no rights."""
    with no_file_above(size):
        done = command("run", sound[1], "--output", tmp_path / "out")
    refused(done, "cannot write", " bytes to ", str(tmp_path / "out"), "free some space", "the same command")
    assert not list((tmp_path / "out").rglob("*.tmp"))
    assert command("run", sound[1], "--output", tmp_path / "out").code == 0
    assert harness.fingerprints(tmp_path / "out") == sound[2]


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small tmpfs; the limit on the size of files is tested instead")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def test_a_disk_that_is_full_at_every_stage(command, sound, tmp_path):
    """It grows by 40 kB after each failure, and in the end the run is complete."""
    stages, kilobytes = set(), 8
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        while (done := command("run", sound[1], "--output", disk / "out")).code == 74:
            refused(done, "No space left on device", str(disk), "free some space")
            place = re.search(r"out/?([^.\s]*)", done.err)
            stages.add(re.sub(r"[0-9a-f]{24,}|\d+", "#", place.group(1) if place else ""))
            assert not list(disk.rglob("*.tmp")), "half-written files use up the space that is missing"
            kilobytes += 40
            assert kilobytes < 4000
            remount(disk, f"size={kilobytes}k")
        assert done.code == 0, done.err
        assert len(stages) >= 5, stages
        assert harness.fingerprints(disk / "out") == sound[2]


def test_a_full_disk_leaves_the_old_results(command, sound, tmp_path):
    with small_disk(tmp_path / "disk", 4000) as disk:
        shutil.copytree(sound[0] / "out", disk / "out")
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
        for name in ("run", "analyze", "report"):
            arguments = [sound[1], "--output", disk / "out"] if name == "run" else [disk / "out"]
            refused(command(name, *arguments), "No space left on device", str(disk / "out"))
        refused(command("export", disk / "out", "--into", disk / "e"), "No space left", str(disk / "e"))
        assert command("gate", disk / "out").code == 0
        (disk / "ballast").unlink()
        assert command("run", sound[1], "--output", disk / "out").code == 0
        assert harness.fingerprints(disk / "out") == sound[2]


def test_a_read_only_file_system(command, sound, tmp_path):
    with small_disk(tmp_path / "disk", 4000) as disk:
        shutil.copytree(sound[0] / "out", disk / "out")
        remount(disk, "ro")
        refused(command("run", sound[1], "--output", disk / "out"), "Read-only file system", str(disk))
        refused(
            command("run", sound[1], "--output", disk / "new"), "Read-only file system", str(disk / "new")
        )
        refused(command("analyze", disk / "out"), "Read-only file system", str(disk))
        refused(command("report", disk / "out"), "Read-only file system", str(disk))
        assert command("gate", disk / "out").code == 0
        assert command("export", disk / "out", "--into", tmp_path / "e").code == 0
        remount(disk, "rw")
        assert command("run", sound[1], "--output", disk / "out").code == 0
        assert harness.fingerprints(disk / "out") == sound[2]


@pytest.mark.parametrize("name", [".", "suites/pair", "suites/pair/arrays", "trajectories"])
def test_a_folder_without_permission_to_write(command, sound, tmp_path, name):
    run = tmp_path / "out"
    shutil.copytree(sound[0] / "out", run)
    (run / "suites/pair/data.json").unlink()
    (run / "suites/pair/arrays/energies.npy").unlink()
    for chunk in run.glob("trajectories/*/chunk-00001.npz"):
        chunk.unlink()
    folders = [run / name, *(run / name).glob("*/")] if name == "trajectories" else [run / name]
    for folder in folders:
        folder.chmod(0o500)
    done = command("run", sound[1], "--output", run)
    for folder in folders:
        folder.chmod(0o700)
    refused(done, "Permission denied", str(run))
    assert command("run", sound[1], "--output", run).code == 0
    assert harness.fingerprints(run) == sound[2]


def test_a_parent_without_permission_to_write(command, sound, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    done = command("run", sound[1], "--output", tmp_path / "closed" / "out")
    refused(done, "cannot create the run folder", "Permission denied", "closed/out")


def a_file(folder: Path) -> Path:
    (folder / "file").write_text("mine")
    return folder / "file"


def a_loop(folder: Path) -> Path:
    (folder / "one").symlink_to(folder / "two")
    (folder / "two").symlink_to(folder / "one")
    return folder / "one" / "out"


def a_dangling_link(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "nowhere")
    return folder / "link"


NO_FOLDERS = {
    "a file": a_file,
    "inside a file": lambda folder: a_file(folder) / "out",
    "/dev/null": lambda _: Path("/dev/null"),
    "/dev/full": lambda _: Path("/dev/full"),
    "a loop of links": a_loop,
    "a dangling link": a_dangling_link,
    "a name too long": lambda folder: folder / ("x" * 300),
    "a path too long": lambda folder: folder.joinpath(*["x" * 200] * 25),
}


@pytest.mark.parametrize("kind", NO_FOLDERS)
def test_an_output_that_is_no_folder(command, sound, tmp_path, kind):
    path = NO_FOLDERS[kind](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = command("run", sound[1], "--output", path)
    refused(done, "cannot create the run folder", "--output")
    assert sorted(tmp_path.rglob("*")) == before
    for name in ("gate", "report", "analyze", "export"):
        assert command(name, path).code == 74
        assert "Traceback" not in command(name, path).err


def test_a_link_to_a_folder_and_a_name_of_any_letters_are_good(command, sound, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    for name in ("link", "a b\n'\"ü*[?]"):
        assert command("run", sound[1], "--output", tmp_path / name).code == 0
        assert harness.fingerprints(tmp_path / name) == sound[2]


def test_a_run_folder_that_is_deleted_while_it_runs(command, tmp_path, monkeypatch):
    monkeypatch.setenv("UNHURT_RUN", str(tmp_path / "out"))
    suite = harness.suite_file(tmp_path, "suites: {deletes-the-run: {}, pair: {}}\n")
    done = command("run", suite, "--output", tmp_path / "out")
    refused(done, str(tmp_path / "out"), "missing")


def test_results_that_nobody_can_read_out(sound):
    """A full standard output is no PASS, and no traceback."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command_line("gate", sound[0] / "out"), stdout=full, stderr=subprocess.PIPE, env=environment()
        )
    assert done.returncode == 74
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("into", ["file", "closed"])
def test_an_export_that_cannot_be_written(command, sound, tmp_path, into):
    a_file(tmp_path)
    (tmp_path / "closed").mkdir(mode=0o500)
    done = command("export", sound[0] / "out", "--into", tmp_path / into)
    refused(done, str(tmp_path / into))
    assert not list((tmp_path / "closed").iterdir())
