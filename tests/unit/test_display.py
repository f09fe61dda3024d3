"""What a run shows: lines off a terminal; on it bars whose time left begins with the estimate."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from mlipbench.cli.display import WHOLE, RunDisplay, _TimeLeft, duration
from mlipbench.run.cost import Estimate, RunEstimate

ESTIMATE = RunEstimate(
    before=Estimate(seconds=5.0, low=4.0, high=6.0),
    suites={
        "cheap": Estimate(seconds=100.0, low=80.0, high=150.0),
        "dear": Estimate(seconds=300.0, low=200.0, high=500.0),
    },
    after=Estimate(seconds=5.0, low=4.0, high=6.0),
)


def time_left(seconds, elapsed, done):
    """The column's words for a task that was estimated at `seconds`."""
    clock = [0.0]
    bars = Progress(get_time=lambda: clock[0], disable=True)
    task = bars.add_task("", total=1.0, name="a", seconds=seconds)
    clock[0] = elapsed
    bars.update(task, completed=done)
    return _TimeLeft().render(bars.tasks[0]).plain


def test_time_left_is_the_estimate_at_first_and_the_pace_at_last():
    assert time_left(80.0, elapsed=0.0, done=0.0) == "80 s left"
    # Half is done after 30 s where 80 s were estimated: the mean of what is left by either, 30 s and 40 s.
    assert time_left(80.0, elapsed=30.0, done=0.5) == "35 s left"
    # 90 % after 45 s: by the pace 5 s are left, by the estimate 8 s; the pace weighs nine times as much.
    assert time_left(80.0, elapsed=45.0, done=0.9) == "5 s left"
    assert time_left(None, elapsed=30.0, done=0.5) == "30 s left"
    assert time_left(None, elapsed=30.0, done=0.0) == ""


def test_a_terminal_has_a_bar_for_the_whole_run_weighed_by_the_estimates():
    console = Console(file=io.StringIO(), force_terminal=True)
    with RunDisplay(console) as display:
        display.estimated(ESTIMATE)
        display.begin("cheap", 100.0)
        display.progress("cheap", 1.0, "")
        display.begin("dear", 300.0)
        display.progress("dear", 0.5, "")
        display.progress("dear", -1.0, "no news")
        whole = display._bars.tasks[display._tasks[WHOLE]]
        assert whole.completed == pytest.approx((100 + 150) / 400)


def test_off_a_terminal_there_are_lines_and_no_bars():
    console = Console(file=io.StringIO(), force_terminal=False)
    with RunDisplay(console) as display:
        display.estimated(ESTIMATE)
        display.begin("cheap", 100.0)
        display.progress("cheap", 0.5, "half")
        display.end("cheap", None)
    written = console.file.getvalue().splitlines()
    assert len(written) == 3
    assert written[1:] == ["cheap: started, about 1.7 min", "cheap: done"]


def test_long_times_are_said_in_hours():
    assert [duration(s) for s in (12.0, 600.0, 36000.0)] == ["12 s", "10 min", "10.0 h"]
