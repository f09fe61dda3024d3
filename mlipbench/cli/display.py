"""What a run shows while it works: progress bars on a terminal, one line a task elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from mlipbench.core.result import Results, SuiteResult
    from mlipbench.run.cost import Estimate, RunEstimate

WHOLE = "all"


class _TimeLeft(ProgressColumn):
    """What is left: at first the estimate says, then more and more the pace."""

    def render(self, task: Task) -> Text:
        """Nothing where neither is known."""
        estimated, elapsed = task.fields["seconds"], task.elapsed or 0.0
        done = task.percentage / 100
        if task.finished or (not estimated and not done):
            return Text("")
        whole = (1 - done) * (estimated or elapsed / done) + elapsed
        return Text(f"{duration((1 - done) * whole)} left")


class RunDisplay:
    """Implements `run.session.Display`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._weights: dict[str, float] = {}  # seconds of the parts of the whole run, as estimated
        self._done: dict[str, float] = {}  # fraction of each
        self._bars = Progress(
            TextColumn("{task.fields[name]:<12}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            _TimeLeft(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> RunDisplay:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def estimated(self, estimate: RunEstimate) -> None:
        """What the run will take; from here on a bar says how far the whole of it is."""
        self._weights = {key: cost.seconds for key, cost in estimate.suites.items()}
        parts = ", ".join(f"{key} {duration(seconds)}" for key, seconds in self._weights.items())
        self._console.print(f"estimate: {in_words(estimate.total)}: {parts}")
        self._tasks[WHOLE] = self._bars.add_task(
            "", total=1.0, name=WHOLE, seconds=sum(self._weights.values())
        )

    def begin(self, key: str, seconds: float | None) -> None:
        """A task begins; `seconds` is the estimate."""
        about = f"about {duration(seconds)}" if seconds else ""
        self._tasks[key] = self._bars.add_task(about, total=1.0, name=key, seconds=seconds)
        if not self._console.is_terminal:
            self._console.print(f"{key}: started{', ' + about if about else ''}")

    def progress(self, key: str, fraction: float, text: str) -> None:
        """How far it is (a negative fraction: alive, no news)."""
        if fraction >= 0:
            self._bars.update(self._tasks[key], completed=fraction, description=text)
            self._advance(key, fraction)

    def _advance(self, key: str, fraction: float) -> None:
        """Move the bar of the whole run."""
        if key in self._weights:
            self._done[key] = fraction
            done = sum(self._weights[k] * part for k, part in self._done.items())
            whole = max(sum(self._weights.values()), 1e-9)
            self._bars.update(self._tasks[WHOLE], completed=done / whole)

    def end(self, key: str, result: SuiteResult | None) -> None:
        """It is over."""
        words = summary(result) if result else "done"
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task("", total=1.0, name=key, seconds=None)
        self._bars.update(self._tasks[key], completed=1.0, description=words)
        self._advance(key, 1.0)
        if not self._console.is_terminal:
            self._console.print(f"{key}: {words}")


def summary(result: SuiteResult) -> str:
    """A suite's result in a line."""
    if result.status != "complete":
        return f"{result.status.upper()}: {result.reason.splitlines()[0] if result.reason else ''}"
    counts: dict[str, int] = {}
    for m in result.measurements:
        if m.verdict is not None and m.required:
            counts[m.verdict.value] = counts.get(m.verdict.value, 0) + 1
    judged = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    return f"required criteria: {judged}" if judged else "no required criteria"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 600:
        return f"{seconds / 60:.1f} min"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def in_words(cost: Estimate) -> str:
    """An estimate with its range."""
    return f"about {duration(cost.seconds)} ({duration(cost.low)} to {duration(cost.high)})"


def print_results(console: Console, results: Results) -> None:
    """The checklist and the verdict, as text."""
    width = max(len(entry.item) for entry in results.checklist)
    for entry in results.checklist:
        console.print(f"  {entry.number}  {entry.item:<{width}}  {entry.status}")
    console.print(f"{results.verdict}: {results.sentence}")
