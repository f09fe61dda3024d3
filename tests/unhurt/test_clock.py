"""A clock that is moved between and within runs decides nothing but the waivers, and those with a note.

Oracle: the run with an undisturbed clock. Catches files judged by their age, and durations below zero.
"""

from __future__ import annotations

import datetime
import os
import time

import harness
import pytest

from mlipbench.store import layout

WAIVED = "suites: {pair: {}}\nlimits: {pair/distance: {limit: 90, reason: more than the box allows}}\n"
WAIVER = "waivers: [{criterion: pair/distance, reason: known to the authors, expires: 2030-06-30}]\n"


class Clock:
    """The wall clock of this process: stands at a day, or jumps back a day with every look."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now, self.jump = datetime.datetime(2030, 1, 1, 12), datetime.timedelta(0)
        clock = self

        class Date(datetime.date):
            @classmethod
            def today(cls):
                return clock.look().date()

        class DateTime(datetime.datetime):
            @classmethod
            def now(cls, tz=None):
                return clock.look().replace(tzinfo=tz)

        patch.setattr(datetime, "date", Date)
        patch.setattr(datetime, "datetime", DateTime)
        patch.setattr(time, "time", lambda: clock.look().timestamp())

    def look(self) -> datetime.datetime:
        self.now += self.jump
        return self.now


@pytest.fixture
def command():
    with harness.in_process() as call:
        yield call


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.mark.parametrize(("first", "second"), [(2030, 1999), (1971, 2200), (2030, 2030)])
def test_a_clock_moved_between_two_runs(command, clock, tmp_path, first, second):
    expected = tmp_path / "expected"
    suite = harness.suite_file(tmp_path)
    assert command("run", suite, "--output", expected).code == 0
    run = tmp_path / "out"
    clock.now = clock.now.replace(year=first)
    assert command("run", suite, "--output", run).code == 0
    (run / "suites/pair/data.json").unlink()
    written = {p: p.stat().st_ino for p in run.glob("trajectories/*/*")}
    for number, path in enumerate(sorted(run.rglob("*"))):
        os.utime(path, (1e9 * (number % 5), 4e9 - 1e9 * (number % 5)))  # ages without sense
    clock.now = clock.now.replace(year=second)
    assert command("run", suite, "--output", run).code == 0
    assert harness.fingerprints(run) == harness.fingerprints(expected)
    assert written == {p: p.stat().st_ino for p in run.glob("trajectories/*/*")}, "nothing is computed anew"


@pytest.mark.parametrize("days", [-1, 400])
def test_a_clock_that_jumps_while_a_run_goes_on(command, clock, tmp_path, days):
    expected = tmp_path / "expected"
    suite = harness.suite_file(tmp_path)
    assert command("run", suite, "--output", expected).code == 0
    clock.jump = datetime.timedelta(days=days)
    assert command("run", suite, "--output", tmp_path / "out").code == 0
    assert harness.fingerprints(tmp_path / "out") == harness.fingerprints(expected)
    timings = layout.read_json(tmp_path / "out" / layout.TIMINGS)
    seconds = [s for s in timings.values() if isinstance(s, (int, float))]
    assert seconds
    assert all(0 <= s < 600 for s in seconds), timings


@pytest.mark.parametrize(
    ("day", "code", "words"),
    [
        ((2030, 6, 30), 0, "waiver in force"),
        ((2030, 7, 1), 1, "waiver EXPIRED"),
        ((2031, 1, 1), 1, "waiver EXPIRED"),
        ((1999, 1, 1), 0, "before the day of the run, 2030-01-01: waivers are judged by the later"),
    ],
)
def test_a_waiver_is_judged_by_the_day(command, clock, tmp_path, day, code, words):
    suite = harness.suite_file(tmp_path, WAIVED + WAIVER)
    assert command("run", suite, "--output", tmp_path / "out").code == 0
    clock.now = datetime.datetime(*day)
    done = command("gate", tmp_path / "out")
    assert done.code == code, done.out
    assert words in done.out
    assert command("analyze", tmp_path / "out").code == code


def test_a_clock_moved_back_does_not_bring_an_expired_waiver_back(command, clock, tmp_path):
    clock.now = datetime.datetime(2030, 12, 31)
    suite = harness.suite_file(tmp_path, WAIVED + WAIVER)
    assert command("run", suite, "--output", tmp_path / "out").code == 1
    clock.now = datetime.datetime(2030, 2, 1)
    assert command("gate", tmp_path / "out").code == 1
    assert command("analyze", tmp_path / "out").code == 1
