"""SIGTERM, SIGINT, SIGHUP at any moment: a clean stop soon, no orphans, the same command goes on.

Oracle: the run that nobody disturbs. One folder is interrupted again and again, then finished. Catches a
traceback of an interrupt during imports, a second signal that tears the cleaning up, and workers left over.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import harness
import psutil
import pytest
from support import command as command_line
from support import environment

SUITES = "suites: {pair: {steps: 12000}, warm: {use: pair, temperature_K: 45, steps: 12000}}\n"
SOON_S = 120.0
"""A clean stop on the busiest machine takes no longer; a worker that is left over goes on without end."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    with harness.in_process() as call:
        assert call("run", harness.suite_file(folder, SUITES), "--output", folder / "out").code == 0
    return folder / "s.yaml", harness.fingerprints(folder / "out")


STOPS_AMONG_THE_IMPORTS = """
import os, sys, time

class Stop:
    def find_spec(self, name, path, target=None):
        if name == "mlipbench.cli.app" and "IMPORTING" in os.environ:
            open(os.environ["IMPORTING"], "x").close()
            time.sleep(600)

sys.meta_path.insert(0, Stop())
"""


def started(suite: Path, run: Path, importing: Path | None = None, **more) -> subprocess.Popen[str]:
    """A run; with `importing` it makes that file among its imports and goes no further."""
    hook = run.parent / "hook"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(STOPS_AMONG_THE_IMPORTS)
    more_environment = {} if importing is None else {"IMPORTING": str(importing)}
    return subprocess.Popen(
        command_line("run", suite, "--output", run),
        env=environment(PYTHONPATH=os.pathsep.join([str(hook), str(harness.PLUGIN)]), **more_environment),
        stdin=subprocess.DEVNULL,  # no terminal anywhere
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **{"preexec_fn": hears, **more},
    )


def hears() -> None:
    """Under nohup SIGHUP is ignored, in the background of a script SIGINT, by children too; here they do what
    they do in a terminal."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def wait_for(what: Callable[[], object], seconds: float = 500.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def ended(process: subprocess.Popen[str], children: list[psutil.Process]) -> tuple[int, str]:
    """Exit code and message, when all of it has ended soon."""
    _, errors = process.communicate(timeout=SOON_S)
    _, alive = psutil.wait_procs(children, timeout=SOON_S)
    assert not alive, alive
    assert "Traceback" not in errors
    return process.returncode, errors


def among_the_imports(run: Path, _process: subprocess.Popen[str]) -> None:
    wait_for((run.parent / "importing").exists)


def while_probing(run: Path, _process: subprocess.Popen[str]) -> None:
    wait_for(lambda: (run / "plan.lock.yaml").exists())


def while_producing(run: Path, process: subprocess.Popen[str]) -> None:
    wait_for(lambda: list(run.glob("trajectories/*/chunk-*.npz")) and family(process))


CASES = [
    (among_the_imports, [signal.SIGINT], 130, "interrupted"),
    (among_the_imports, [signal.SIGTERM], 143, "terminated"),
    (while_probing, [signal.SIGTERM], 143, "terminated"),
    (while_producing, [signal.SIGINT], 130, "interrupted"),
    (while_producing, [signal.SIGHUP], 129, "hung up"),
    (while_producing, [signal.SIGTERM, signal.SIGTERM, signal.SIGINT], 143, "terminated"),
    (while_producing, [signal.SIGINT, signal.SIGINT], 130, "interrupted"),
]


def test_interrupted_again_and_again_and_then_finished(undisturbed, tmp_path):
    suite, expected = undisturbed
    run = tmp_path / "out"
    for moment, signals, code, word in CASES:
        importing = run.parent / "importing"
        importing.unlink(missing_ok=True)
        process = started(suite, run, importing if moment is among_the_imports else None)
        moment(run, process)
        children = family(process)
        for number in signals:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            time.sleep(0.01)
        found, errors = ended(process, children)
        assert found == code, (moment.__name__, signals, errors)
        assert errors == f"{word}: what was computed is kept; the same command goes on from there\n"
        assert not list(run.rglob("results.json"))
    process = started(suite, run)
    assert ended_well(process)
    assert harness.fingerprints(run) == expected


def ended_well(process: subprocess.Popen[str]) -> bool:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.physics)])
def test_a_signal_to_the_worker_alone_is_an_error_of_its_suite(undisturbed, tmp_path, number):
    """The others stand, and the same command mends it."""
    suite, expected = undisturbed
    run = tmp_path / "out"
    process = started(suite, run)
    while_producing(run, process)
    for child in family(process):
        child.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 4, errors
    assert "Traceback" not in errors
    with harness.in_process() as call:
        assert call("run", suite, "--output", run).code == 0
    assert harness.fingerprints(run) == expected


@pytest.mark.physics
def test_nohup_is_heeded(undisturbed, tmp_path):
    suite, expected = undisturbed
    process = started(
        suite, tmp_path / "out", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    while_producing(tmp_path / "out", process)
    process.send_signal(signal.SIGHUP)
    assert ended_well(process)
    assert harness.fingerprints(tmp_path / "out") == expected


def test_the_worker_ends_when_its_parent_is_killed(undisturbed, tmp_path):
    suite, expected = undisturbed
    run = tmp_path / "out"
    process = started(suite, run)
    while_producing(run, process)
    children = family(process)
    process.kill()
    assert ended(process, children)[0] == -signal.SIGKILL
    with harness.in_process() as call:
        done = call("run", suite, "--output", run)
        assert done.code == 0, done.err
    assert harness.fingerprints(run) == expected
