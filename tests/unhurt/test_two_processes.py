"""Several processes on one run, and commands on a run that is going on.

Oracle: the run that nobody disturbs. Catches two writers in one folder, a lock that outlives its holder, and
numbers of two runs mixed in one report.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import harness
import pytest
from support import command as command_line
from support import environment

from mlipbench.run import session
from mlipbench.store import layout, runs
from mlipbench.store.runs import RunFolder


@pytest.fixture
def command():
    with harness.in_process() as call:
        yield call


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    with harness.in_process() as call:
        assert call("run", harness.suite_file(folder), "--output", folder / "out").code == 0
    return folder, harness.fingerprints(folder / "out")


def copied(sound, tmp_path: Path) -> Path:
    shutil.copytree(sound[0] / "out", tmp_path / "out")
    return tmp_path / "out"


def test_the_holder_is_named_and_not_disturbed(command, sound, tmp_path, monkeypatch):
    run = copied(sound, tmp_path)
    monkeypatch.setattr(runs, "ORPHAN_S", 1e6)  # that is for what a dead process left; this one lives
    with RunFolder(run).lock():
        for arguments in (["run", sound[0] / "s.yaml", "--output", run], ["analyze", run]):
            done = command(*arguments)
            assert done.code == 74
            assert f"{run} is in use by mlipbench, process {os.getpid()} on " in done.err
            assert " since 2" in done.err
        assert command("gate", run).code == 0
        assert command("report", run).code == 0
        assert command("export", run, "--into", tmp_path / "e").code == 0
    assert harness.fingerprints(run) == sound[1]
    assert command("run", sound[0] / "s.yaml", "--output", run).code == 0


DEAD = 2**22 - 1  # above every process id that Linux gives by default


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 50,
        b"{",
        b"[]",
        b'{"pid": "x"}',
        json.dumps({"pid": DEAD, "host": "h", "since": "s"}).encode(),
    ],
)
def test_what_a_dead_holder_left_is_no_obstacle(command, sound, tmp_path, content):
    run = copied(sound, tmp_path)
    (run / layout.LOCK).write_bytes(content)
    assert command("analyze", run).code == 0


@pytest.mark.parametrize("content", [b"", b"\xff", b'{"pid": 1e999, "host": 3}'])
def test_a_holder_that_cannot_be_named(command, sound, tmp_path, content):
    run = copied(sound, tmp_path)
    with RunFolder(run).lock():
        (run / layout.LOCK).write_bytes(content)
        done = command("analyze", run)
    assert done.code == 74
    assert "in use by another mlipbench process" in done.err


@pytest.mark.parametrize("seconds", [0.3, None])
def test_the_worker_of_a_killed_run_is_waited_for(command, sound, tmp_path, monkeypatch, seconds):
    """It holds the folder until it has ended; if it does not end, the message says so."""
    run = copied(sound, tmp_path)
    holder = RunFolder(run).lock()
    holder.__enter__()
    found = json.loads((run / layout.LOCK).read_text())
    (run / layout.LOCK).write_text(json.dumps(found | {"pid": DEAD}))
    worker = os.fork()
    if worker == 0:
        time.sleep(seconds or 60)
        os._exit(0)
    holder.__exit__(None, None, None)  # the fork keeps the lock, as a worker process does
    monkeypatch.setattr(runs, "ORPHAN_S", 20.0 if seconds else 0.2)
    done = command("analyze", run)
    if not seconds:
        os.kill(worker, 9)
    os.waitpid(worker, 0)
    assert done.code == (0 if seconds else 74), done.err
    if not seconds:
        assert "has ended, but a process it started goes on" in done.err
    assert command("analyze", run).code == 0


def watched(monkeypatch, look) -> None:
    """Call `look` before and after every child of a run."""
    inner = session.run_child

    def run_child(*arguments, **named):
        look()
        ending = inner(*arguments, **named)
        look()
        return ending

    monkeypatch.setattr(session, "run_child", run_child)


def looker(command, run: Path, expected: bytes | None, seen: list[int]):
    """Ask for the verdict, the report and the trajectories of a run that is going on."""

    def look() -> None:
        for name in ("gate", "report", "analyze", "export"):
            more = ("--into", run.parent / "e") if name == "export" else ()
            done = command(name, run, *more)
            assert done.code in (0, 74), done.err
            assert "Traceback" not in done.err
            if done.code == 74:
                assert re.search("mlipbench|run the suite file again", done.err), done.err
            else:
                assert expected is not None, f"{name} of a run that has no results yet"
            seen.append(done.code)
        if expected is not None:
            assert (run / "results.json").read_bytes() == expected

    return look


def test_commands_on_a_first_run_that_is_going_on(command, sound, tmp_path, monkeypatch):
    seen: list[int] = []
    watched(monkeypatch, looker(command, tmp_path / "out", None, seen))
    assert command("run", sound[0] / "s.yaml", "--output", tmp_path / "out").code == 0
    assert set(seen) == {74}
    assert harness.fingerprints(tmp_path / "out") == sound[1]


def test_commands_on_a_repeated_run_that_is_going_on(command, sound, tmp_path, monkeypatch):
    run, seen = copied(sound, tmp_path), []
    (run / "suites/pair/data.json").unlink()
    watched(monkeypatch, looker(command, run, (run / "results.json").read_bytes(), seen))
    assert command("run", sound[0] / "s.yaml", "--output", run).code == 0
    assert {0, 74} <= set(seen)
    assert harness.fingerprints(run) == sound[1]


def test_a_changed_plan_is_not_mixed_with_the_old_results(command, sound, tmp_path, monkeypatch):
    """Killed after the plan was written: every command refuses, and both plans can be finished."""
    run = copied(sound, tmp_path)
    other = harness.suite_file(tmp_path, "suites: {pair: {temperature_K: 50}, warm: {use: pair}}\n")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(session, "run_child", killed)
        assert command("run", other, "--output", run).code == 130
    for name in ("gate", "report", "analyze", "export"):
        done = command(name, run)
        assert done.code == 74, name
        assert "different plans" in done.err
    assert command("run", other, "--output", run).code == 0
    found = json.loads((run / "results.json").read_text())
    assert found != json.loads((sound[0] / "out/results.json").read_text())
    assert command("run", sound[0] / "s.yaml", "--output", run).code == 0
    whole = harness.fingerprints(run)
    assert {name: whole[name] for name in sound[1]} == sound[1]  # and the other plan's trajectories beside


def test_two_runs_at_once_in_two_folders(sound, tmp_path):
    place = os.pathsep.join([str(harness.PLUGIN), os.environ.get("PYTHONPATH", "")])
    runs_at_once = [
        subprocess.Popen(
            command_line("run", sound[0] / "s.yaml", "--output", tmp_path / name),
            env=environment(PYTHONPATH=place),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name in ("one", "two")
    ]
    for process in runs_at_once:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert harness.fingerprints(tmp_path / "one") == harness.fingerprints(tmp_path / "two") == sound[1]
