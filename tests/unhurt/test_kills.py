"""SIGKILL at random moments, of the run, of its worker, of both: what is finished in the end is bit for bit.

Oracle: the run that nobody disturbs. Runs are forked from this process, which has imported everything: a
kill costs what was being done, not the start of an interpreter. `tests/run/test_resume.py` kills the command
itself.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import harness
import psutil
import pytest

from mlipbench.run import execute, process, session

END_WITH_PARENT = execute._end_with_parent


class Forked:
    """A forked worker, as `process._watch` and `process._kill` handle a Popen."""

    def __init__(self, pid: int, stdin: int) -> None:
        self.pid, self.returncode = pid, None
        self.stdin = os.fdopen(stdin, "wb")

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        while self.poll() is None:
            time.sleep(0.005)
        return self.returncode


def forked_child(
    arguments: list[str],
    log: Path,
    stall_s: float,
    memory_GB: float | None,
    on_message: Callable[[process.Message], None],
    keep_open: object = (),
) -> process.Ending:
    """`process.run_child` with a fork in the place of a new interpreter."""
    log.parent.mkdir(parents=True, exist_ok=True)
    (reading, writing), (stdin, held) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.close(reading)
        os.close(held)
        os.dup2(stdin, 0)
        status = 1
        with contextlib.suppress(BaseException):
            execute._end_with_parent = END_WITH_PARENT
            status = execute.main([str(writing), *arguments])
        os._exit(status)
    os.close(writing)
    os.close(stdin)
    child = Forked(pid, held)
    try:
        failure = process._watch(child, reading, stall_s, memory_GB, on_message)
        return process.Ending(failure or process._status_in_words(child.wait()))
    finally:
        process._kill(child)
        os.close(reading)


@pytest.fixture(scope="module")
def command() -> Iterator[harness.Command]:
    with harness.in_process() as call, pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "run_child", forked_child)
        yield call


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, command):
    """Suite file, fingerprints, seconds of a first run and of a repetition."""
    folder = tmp_path_factory.mktemp("undisturbed")
    suite, run = harness.suite_file(folder), folder / "out"
    seconds = []
    for _ in range(2):
        began = time.monotonic()
        attempt = Attempt(command, suite, run)
        assert attempt.wait() == 0
        seconds.append(time.monotonic() - began)
    return suite, harness.fingerprints(run), seconds


class Attempt:
    """A run in a process of its own."""

    def __init__(self, command: harness.Command, suite: Path, run: Path) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            code = 70
            with contextlib.suppress(BaseException):
                code = command("run", suite, "--output", run).code
            os._exit(code)

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def goes_on(self) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        return False

    def kill(self, target: str) -> bool:
        """Whether it was there to be killed."""
        if not self.goes_on():
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            me = psutil.Process(self.pid)
            workers = me.children(recursive=True)
            if target == "worker" and not workers:
                return False
            for victim in {"run": [me], "worker": workers, "both": [me, *workers]}[target]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim.send_signal(signal.SIGKILL)
            return True
        return False


def phase(run: Path) -> str:
    """What was being done, from what is there."""
    if not (run / "plan.lock.yaml").exists():
        return "begin"
    if not (run / "suites/contract/result.json").exists():
        return "contract"
    for key in ("pair", "warm"):
        suite = run / "suites" / key
        if not (suite / "data.json").exists():
            return "produce"
        if not (suite / "result.json").exists():
            return "measure"
    return "results and report"


def killed(
    command: harness.Command,
    suite: Path,
    run: Path,
    moment: float,
    target: str,
    figures: dict[str, Counter],
    wanted: str | None = None,
) -> int | None:
    """Exit code of a run that came to its end; None: it was killed in time.

    The kill comes `moment` seconds after the start, or after the run is seen in a `wanted` phase.
    """
    attempt = Attempt(command, suite, run)
    while wanted is not None and phase(run) != wanted and attempt.goes_on():
        time.sleep(0.002)
    time.sleep(moment)
    struck = attempt.kill(target)
    where = phase(run)
    code = attempt.wait()
    if not struck or (target != "worker" and code == 0):  # it had just ended
        assert code == 0
        return code
    figures["killed"][target] += 1
    figures["while"][where] += 1
    figures["half-written files left"]["yes" if list(run.rglob(".*.tmp")) else "no"] += 1
    if target == "worker":
        assert code in (0, 4), code  # a suite's error; the others stand, and the same command mends it
        return code if code == 0 else None
    assert code == -signal.SIGKILL
    return None


def new_figures() -> dict[str, Counter]:
    return {"killed": Counter(), "while": Counter(), "half-written files left": Counter()}


@pytest.mark.parametrize("target", ["run", "worker", "both"])
def test_kills_at_fixed_moments(command, undisturbed, tmp_path, target):
    suite, expected, (first, again) = undisturbed
    figures = new_figures()
    for part in (0.3, 0.6):
        killed(command, suite, tmp_path / "out", part * first, target, figures)
    killed(command, suite, tmp_path / "out", 0.5 * again, target, figures)
    assert Attempt(command, suite, tmp_path / "out").wait() == 0
    assert harness.fingerprints(tmp_path / "out") == expected


@pytest.mark.physics
def test_two_hundred_kills_at_random_moments(command, undisturbed, tmp_path, pytestconfig):
    """Ten runs: killed until they are complete, then killed while they are repeated, 20 kills each."""
    suite, expected, (first, again) = undisturbed
    rng, figures, began, complete = random.Random(200), new_figures(), time.monotonic(), 0
    for number in range(10):
        run, kills, length = tmp_path / str(number), 0, first
        while kills < 20:
            target = rng.choices(["both", "run", "worker"], [5, 3, 2])[0]
            before = sum(figures["killed"].values())
            wanted = rng.choice([None, "produce", "measure", "results and report"])
            moment = rng.uniform(0.0, (0.6 if wanted is None else 0.1) * length)
            code = killed(command, suite, run, moment, target, figures, wanted)
            kills += sum(figures["killed"].values()) - before
            if code == 0:
                complete += 1
                length = again
                assert harness.fingerprints(run) == expected
        assert Attempt(command, suite, run).wait() == 0
        assert harness.fingerprints(run) == expected, f"run {number}"
        assert not list(run.rglob(".*.tmp"))
    assert sum(figures["killed"].values()) == 200
    assert figures["while"]["produce"] >= 20
    assert figures["while"]["measure"] >= 5
    assert figures["while"]["results and report"] >= 5
    if pytestconfig.getoption("record"):
        keep(figures, complete, time.monotonic() - began, pytestconfig.rootpath)


def keep(figures: dict[str, Counter], complete: int, seconds: float, root: Path) -> None:
    record = {
        "date": datetime.date.today().isoformat(),
        "what": re.sub(r"\s+", " ", test_two_hundred_kills_at_random_moments.__doc__ or ""),
        **{name: dict(sorted(counter.items())) for name, counter in figures.items()},
        "ended before the kill": complete,
        "runs equal bit for bit to the undisturbed one": 10,
        "seconds": round(seconds),
    }
    (root / "docs/records/kills.json").write_text(json.dumps(record, indent=1) + "\n")
