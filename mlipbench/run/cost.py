"""What is left of a plan and how long that takes: work counted from its declarations, times measured now.

Suites are put in the order of their cost, the cheapest first. A trajectory that several ask for is counted
for the first of them, and what is stored already is not counted. How each part is found, and how well the
whole agrees with real runs: docs/cost.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import TrajectorySpec
from mlipbench.run.timing import NOTHING, Spread, Stopwatch
from mlipbench.simulate.driver import CHUNK_STEPS
from mlipbench.simulate.requests import Request, merge
from mlipbench.store.trajectories import TrajectoryStore

UNCERTAINTY = 1.25
"""Factor by which the extremes of the timings are widened either way; measured, docs/cost.md."""

# What every run does besides asking the potential, in units of the time that a worker process of ours takes
# to start: both are mostly the same kind of Python, so the ratio holds on slower and busier machines too.
# Measured: docs/cost.md.
COMMAND = 1.65  # the command itself: imports, suite file, inputs
MEASURE = 0.02  # measuring and judging a suite
MEASURE_SAMPLE = 1.7e-5  # for each stored sample of a trajectory
MEASURE_STRUCTURE = 2.7e-3  # for each structure evaluated
REPORT = 0.2  # report.html and its companions
REPORT_SUITE = 0.85  # for each suite: figures, tables


@dataclass(frozen=True)
class Work:
    """What a suite asks for."""

    trajectories: Sequence[TrajectorySpec]
    structures: Sequence[Structure]  # evaluated one by one
    properties: tuple[str, ...]  # that are asked of them
    produced: bool = False  # all is there, it is only measured
    evaluated: int = 0  # structures whose answers are stored


@dataclass(frozen=True)
class Estimate:
    """Cost of a suite, or of another part of a run."""

    steps: int = 0  # replica steps of molecular dynamics
    structures: int = 0  # structures evaluated one by one
    seconds: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @classmethod
    def of(cls, spread: Spread, steps: int = 0, structures: int = 0) -> Estimate:
        """The extremes of what was timed, widened by `UNCERTAINTY`."""
        return cls(steps, structures, spread.seconds, spread.low / UNCERTAINTY, spread.high * UNCERTAINTY)

    def __add__(self, other: Estimate) -> Estimate:
        """Both: what slows one down slows the other down too, so the ranges add."""
        return Estimate(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class RunEstimate:
    """What is left of a run; suites in the order in which they are run."""

    before: Estimate  # start, contract check
    suites: dict[str, Estimate]
    after: Estimate  # report

    @property
    def total(self) -> Estimate:
        """All of it."""
        return sum([*self.suites.values(), self.after], self.before)

    def plain(self) -> dict[str, Any]:
        """As plain data, for `of_plain` in another process and for `mlipbench plan --json`."""
        return {"total": asdict(self.total), **asdict(self)}

    @classmethod
    def of_plain(cls, data: Mapping[str, Any]) -> RunEstimate:
        """The inverse of `plain`."""
        suites = {key: Estimate(**suite) for key, suite in data["suites"].items()}
        return cls(Estimate(**data["before"]), suites, Estimate(**data["after"]))


@dataclass(frozen=True)
class Startup:
    """Seconds that a worker process takes to start, and to load the potential then."""

    process: float
    potential: float


class Ledger:
    """How far every trajectory will be when the next suite's turn comes."""

    def __init__(self, store: TrajectoryStore, among: Sequence[TrajectorySpec], potential_key: str) -> None:
        """`among` is all that the plan asks for: strides are negotiated."""
        self._store, self._among, self._potential_key = store, among, potential_key
        self._planned: dict[str, int] = {}

    def missing(self, wanted: Sequence[TrajectorySpec]) -> list[tuple[Request, int]]:
        """The requests that these specifications make now, with the steps that each still needs."""
        left = []
        for request in merge(wanted, self._among, self._potential_key):
            key = request.spec.key(self._potential_key)
            kept = self._store.steps_kept(key, request.n_steps, request.frame_stride)
            planned = self._planned.get(key, 0)
            if planned < request.n_steps:
                planned -= planned % CHUNK_STEPS  # the rest of a chunk is computed again
            left.append((request, max(request.n_steps - max(kept, planned), 0)))
        return [(request, steps) for request, steps in left if steps]

    def plan(self, wanted: Sequence[TrajectorySpec]) -> None:
        """These will be there."""
        for request in merge(wanted, (), self._potential_key):
            key = request.spec.key(self._potential_key)
            self._planned[key] = max(self._planned.get(key, 0), request.n_steps)


def in_order(
    works: Mapping[str, Work], store: TrajectoryStore, watch: Stopwatch, startup: Startup, potential_key: str
) -> dict[str, Estimate]:
    """Cost of each suite, in the order in which they are run: the cheapest next, as in the file on ties."""
    among = [spec for work in works.values() for spec in work.trajectories]
    ledger = Ledger(store, among, potential_key)
    found: dict[str, Estimate] = {}
    while len(found) < len(works):
        costs = {key: _suite(work, ledger, watch, startup) for key, work in works.items() if key not in found}
        cheapest = min(costs, key=lambda key: costs[key].seconds)
        found[cheapest] = costs[cheapest]
        ledger.plan(works[cheapest].trajectories)
    return found


def _suite(work: Work, ledger: Ledger, watch: Stopwatch, startup: Startup) -> Estimate:
    samples = sum(spec.n_steps // spec.monitor_stride for spec in work.trajectories)
    measuring = MEASURE + MEASURE_SAMPLE * samples + MEASURE_STRUCTURE * len(work.structures)
    total = _known((1.0 + measuring) * startup.process)
    if work.produced:
        return Estimate.of(total)
    total = total.plus(_known(startup.potential))
    batches: dict[tuple[object, ...], list[tuple[Request, int]]] = {}
    for request, steps in ledger.missing(work.trajectories):
        spec = request.spec
        atoms = (spec.structure.numbers.tobytes(), spec.structure.masses.tobytes())
        group = (*atoms, spec.timestep_fs, spec.integrator, spec.fix_com, spec.monitor_stride)
        batches.setdefault(group, []).append((request, steps))
    for members in batches.values():
        timed = watch.step([request for request, _ in members])
        total = total.plus(timed.step.times(sum(steps for _, steps in members)))
        commits = sum(math.ceil(steps / CHUNK_STEPS) for _, steps in members)
        total = total.plus(_known(timed.commit * commits))
    left = work.structures[work.evaluated :]
    total = total.plus(watch.answers(left, work.properties))
    return Estimate.of(total, sum(steps for m in batches.values() for _, steps in m), len(left))


def around(n_suites: int, startup: Startup, checking: Spread, timing_s: float) -> tuple[Estimate, Estimate]:
    """What comes before the suites and after them.

    `checking` is what the contract asks of the potential, `timing_s` what this estimate itself takes.
    """
    before = _known((COMMAND + 1.0) * startup.process + startup.potential + timing_s).plus(checking)
    return Estimate.of(before), Estimate.of(_known((REPORT + REPORT_SUITE * n_suites) * startup.process))


def _known(seconds: float) -> Spread:
    """A time that was measured once."""
    return Spread(seconds, seconds, seconds) if seconds else NOTHING
