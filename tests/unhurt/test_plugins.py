"""Plug-ins that break every rule: each is an ERROR with one message, or exit 2 beforehand; the others stand.

Oracle: the sound suite in the same run, equal to a run of its own. Catches a plug-in that takes down the
run, holds it up, passes, or changes what another suite finds.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import harness
import psutil
import pytest
from support import command as command_line
from support import environment

BEFOREHAND = {
    "no-params": "Params",
    "no-version": "version = '1', expected int",
    "no-measure": "lacks measure",
    "no-title": "has no attribute 'title'",
    "criteria-list": "criteria",
    "criteria-of-another-kind": "not all of mlipbench.api.Criterion",
    "criteria-twice": "two criteria called one",
    "criteria-nan": "not a finite number",
    "needs-unknown": "needs charges, expected some of energy",
    "not-a-class": "expected a subclass of mlipbench.api.Suite",
    "not-a-suite": "expected a subclass of mlipbench.api.Suite",
    "import-raises": "ZeroDivisionError: while it was imported",
    "import-exits": "SystemExit: while it was imported",
    "no-module": "No module named 'unhurt_nowhere'",
    "no-name": "has no attribute 'Nowhere'",
}
ERRORS = {
    "produce-raises": "RuntimeError: a plug-in's own words",
    "produce-input-error": "not the user's fault",
    "produce-recursion": "RecursionError",
    "saves-no-array": "array 'a': expected a numpy array",
    "saves-objects": "array 'a': expected a numpy array of numbers",
    "saves-path": "array name '../../../escape'",
    "saves-number": "array name 3",
    "measure-raises": "RuntimeError: a plug-in's own words",
    "measure-none": "measure returned NoneType; expected mlipbench.api.Outcome",
    "measure-list": "measure returned list",
    "measure-no-measurement": "measure returned float in measurements",
    "measure-no-list": "measure returned Measurement in measurements",
    "measure-nan": "value is nan",
    "measure-infinite": "value is inf",
    "measure-text": "value is 'one', expected a number",
    "measure-array": "value is array",
    "measure-nan-error": "stderr is nan",
    "measure-nan-evidence": "length_ps is nan",
    "measure-wrong-unit": "is in furlong, its criterion in 1",
    "measure-twice": "two measurements are called one",
    "measure-nan-figure": "None stands for numbers that are not finite",
    "measure-wrong-figure": "measure returned str in figures",
    "measure-wrong-note": "measure returned int in notes",
    "measure-missing-array": "KeyError: 'never saved'",
    "measure-missing-trajectory": "no trajectory is labelled 'never declared'",
    "declares-raises": "RuntimeError: a plug-in's own words",
    "declares-list": "expected label -> TrajectorySpec",
    "declares-wrong": "expected label -> TrajectorySpec",
    "structures-raise": "IndexError: no structures here",
    "exits": "SystemExit: 0",
    "interrupts": "KeyboardInterrupt",
}
SOUND = ("produce-returns-nonsense", "produce-asks-for-the-impossible")
IN_A_PROCESS = {
    "exits-at-once": "ended of its own accord",
    "crashes": "signal 11",
    "aborts": "signal 6",
    "terminated": "signal 15",
    "hangs": "no progress for 12 s",
    "closes-every-file": "",
    "leaves-a-thread": None,
    "leaves-a-child": None,
    "leaves-a-daemon": None,
    "writes-garbage": None,
    "prints": None,
}
"""What the report says; None: no harm is done, and nobody needs to know."""


def suites(*names: str) -> str:
    return "suites:\n  pair: {}\n" + "".join(f"  {name}: {{}}\n" for name in names)


@pytest.fixture(scope="module")
def command():
    with harness.in_process() as call:
        yield call


@pytest.fixture(scope="module")
def alone(tmp_path_factory, command):
    """The sound suite's result in a run of its own."""
    folder = tmp_path_factory.mktemp("alone")
    assert command("run", harness.suite_file(folder, suites()), "--output", folder / "out").code == 0
    return (folder / "out/suites/pair/result.json").read_bytes()


@pytest.mark.parametrize("name", BEFOREHAND)
def test_what_is_knowable_beforehand_is_exit_2(command, tmp_path, name):
    done = command("run", harness.suite_file(tmp_path, suites(name)), "--output", tmp_path / "out")
    assert done.code == 2, done.err
    first, last = done.err.strip().split("\n")
    assert first.startswith(f"{tmp_path}/s.yaml:")
    assert name in first
    assert BEFOREHAND[name] in first
    assert last == "1 problem; nothing was run"
    assert not (tmp_path / "out").exists()


def test_all_of_them_at_once_are_all_told(command, tmp_path):
    done = command("run", harness.suite_file(tmp_path, suites(*BEFOREHAND)), "--output", tmp_path / "out")
    assert done.code == 2
    assert f"{len(BEFOREHAND)} problems" in done.err


@pytest.fixture(scope="module")
def crowd(tmp_path_factory, command):
    """One run of the sound suite among all that end in an error."""
    folder = tmp_path_factory.mktemp("crowd")
    suite = harness.suite_file(folder, suites(*ERRORS, *SOUND))
    return command("run", suite, "--output", folder / "out"), folder / "out"


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_with_its_reason_and_traceback(crowd, name):
    found = json.loads((crowd[1] / "results.json").read_text())["suites"][name]
    assert found["status"] == "error"
    assert ERRORS[name] in found["reason"]
    assert "\n" not in found["reason"].strip()
    assert "Traceback" in (crowd[1] / "suites" / name / "traceback.txt").read_text()


def test_the_others_stand(crowd, alone):
    done, run = crowd
    assert done.code == 4
    assert done.err == ""
    assert "Traceback" not in done.out
    assert (run / "suites/pair/result.json").read_bytes() == alone
    found = json.loads((run / "results.json").read_text())["suites"]
    assert {name for name, suite in found.items() if suite["status"] == "complete"} == {
        "contract", "pair", *SOUND,
    }  # fmt: skip
    assert not list(run.parent.rglob("escape*"))


def test_analyze_says_the_same_of_them(crowd, command):
    before = (crowd[1] / "results.json").read_bytes()
    done = command("analyze", crowd[1])
    assert done.code == 4, done.err
    assert (crowd[1] / "results.json").read_bytes() == before


def test_suites_that_harm_their_process(tmp_path, alone):
    """One run through real child processes; nothing that they have started is left."""
    head = harness.HEAD + "watchdog: {stall_s: 12}\n"
    suite = harness.suite_file(tmp_path, suites(*IN_A_PROCESS), head)
    done = subprocess.run(
        command_line("run", suite, "--output", "out"),
        cwd=tmp_path,
        env=environment(PYTHONPATH=os.pathsep.join([str(harness.PLUGIN), os.environ.get("PYTHONPATH", "")])),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 4, done.stdout + done.stderr
    assert done.stderr == ""
    found = json.loads((tmp_path / "out/results.json").read_text())["suites"]
    for name, words in IN_A_PROCESS.items():
        if words is None:
            assert found[name]["status"] == "complete", (name, found[name]["reason"])
        else:
            assert found[name]["status"] == "error", name
            assert words in found[name]["reason"], (name, found[name]["reason"])
    assert (tmp_path / "out/suites/pair/result.json").read_bytes() == alone
    left = [p for p in psutil.process_iter(["cmdline", "create_time"]) if is_left(p, tmp_path)]
    assert not left, left


def is_left(process: psutil.Process, folder: Path) -> bool:
    with_folder = any(str(folder) in word for word in process.info["cmdline"] or ())
    return with_folder and process.status() != psutil.STATUS_ZOMBIE
