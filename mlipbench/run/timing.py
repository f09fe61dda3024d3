"""Times on this machine, now: a step of molecular dynamics, a commit, an answer about a structure."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlipbench.core.potential import Potential
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import MaxwellBoltzmann, StochasticCellRescaling, TrajectorySpec
from mlipbench.run.timed_store import TimedStore
from mlipbench.simulate.driver import CHUNK_STEPS, simulate
from mlipbench.simulate.requests import Request, merge

ROUNDS = 3
ROUND_S = 0.15
"""Length of a timed round of molecular dynamics, about."""
SLOW_S = 0.1
"""Of a potential that takes so long for an answer nothing else counts: no dynamics is run to time it."""
MOST_SIZES = 4


@dataclass(frozen=True)
class Spread:
    """A time in seconds and how far single measurements of it lay apart."""

    seconds: float
    low: float
    high: float

    @classmethod
    def of(cls, times: Sequence[float]) -> Spread:
        """Median and extremes."""
        return cls(statistics.median(times), min(times), max(times))

    def times(self, factor: float) -> Spread:
        """So many of them, all as fast or slow as each other."""
        return Spread(factor * self.seconds, factor * self.low, factor * self.high)

    def plus(self, other: Spread) -> Spread:
        """One after the other."""
        return Spread(self.seconds + other.seconds, self.low + other.low, self.high + other.high)


NOTHING = Spread(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class StepTime:
    """Of replicas that run side by side."""

    step: Spread  # a step of one replica, monitors and frames included
    commit: float  # s for a chunk of one replica: keeping it on disk, its share of binding the potential


class Stopwatch:
    """Times a potential; what was timed once is remembered."""

    def __init__(self, potential: Potential, tick: Callable[[], None] = lambda: None) -> None:
        """`tick` is called between the timings."""
        self._potential, self._tick = potential, tick
        self._steps: dict[tuple[object, ...], StepTime] = {}
        self._answers: dict[tuple[bytes, tuple[str, ...]], Spread] = {}
        self._forces: dict[tuple[bytes, int, bool], Spread] = {}

    def step(self, members: Sequence[Request]) -> StepTime:
        """A step of requests of one batch, from a short run of their own."""
        spec = members[0].spec
        strides = tuple(sorted(request.frame_stride for request in members))
        key = (_atoms(spec.structure), spec.integrator, strides, spec.monitor_stride)
        if key not in self._steps:
            self._steps[key] = self._time_step(members)
        return self._steps[key]

    def _time_step(self, members: Sequence[Request]) -> StepTime:
        spec, n = members[0].spec, len(members)
        alone = self._force(spec, 1)
        if alone.seconds > SLOW_S:
            together = self._force(spec, n) if self._potential.capabilities.batched else alone.times(n)
            barostat = spec.ensemble if isinstance(spec.ensemble, StochasticCellRescaling) else None
            calls = 1.0 + (1.0 / barostat.stride if barostat else 0.0)
            return StepTime(together.times(calls / n), 0.0)
        start = time.perf_counter()
        self._potential.bind(spec.structure, n)
        binding = time.perf_counter() - start
        longest = max(request.n_steps for request in members)
        n_steps = int(np.clip(ROUND_S / (n * alone.seconds), 2, max(min(CHUNK_STEPS, longest // 10), 2)))
        with tempfile.TemporaryDirectory() as folder:
            store = TimedStore(Path(folder))
            steps, commits = [], []
            for number in range(1, ROUNDS + 1):
                done, kept, committing = store.steps, store.commits, store.seconds
                start = time.perf_counter()
                simulate(
                    self._potential,
                    self._potential.identity.key,
                    merge(_short(members, number * n_steps), (), self._potential.identity.key),
                    store,
                    progress=lambda *_: self._tick(),
                    chunk_steps=n_steps,
                )
                whole = time.perf_counter() - start
                if store.steps == done:
                    break  # all have ended before their time
                evaluations = store.steps - done + (n if number == 1 else 0)  # one more at step 0
                stepping = whole - binding - (store.seconds - committing)
                steps.append(max(stepping, 0.0) / evaluations)
                commits.append((store.seconds - committing) / (store.commits - kept))
        if not steps:
            return StepTime(alone, 0.0)
        return StepTime(Spread.of(steps), statistics.median(commits) + binding / n)

    def _force(self, spec: TrajectorySpec, n_replicas: int) -> Spread:
        """A call of the bound potential."""
        structure, stress = spec.structure, spec.cell_moves
        key = (_atoms(structure), n_replicas, stress)
        if key not in self._forces:
            bound = self._potential.bind(structure, n_replicas)
            positions = np.stack([_rattled(structure).positions] * n_replicas)
            cells = np.stack([structure.cell] * n_replicas)
            self._forces[key] = _timed(lambda: bound(positions, cells, stress), self._tick)
        return self._forces[key]

    def answers(self, structures: Sequence[Structure], properties: Collection[str]) -> Spread:
        """All structures, one by one: a few sizes are timed, those between them interpolated."""
        if not structures:
            return NOTHING
        sizes = sorted({len(structure) for structure in structures})
        chosen = [sizes[i] for i in np.unique(np.linspace(0, len(sizes) - 1, MOST_SIZES).astype(int))]
        examples = [next(s for s in structures if len(s) == size) for size in chosen]
        timed = [self._answer(_rattled(structure), tuple(sorted(properties))) for structure in examples]
        counts = [len(structure) for structure in structures]

        def total(values: list[float]) -> float:
            return float(np.interp(counts, chosen, values).sum())

        return Spread(
            total([t.seconds for t in timed]), total([t.low for t in timed]), total([t.high for t in timed])
        )

    def _answer(self, structure: Structure, properties: tuple[str, ...]) -> Spread:
        key = (_atoms(structure), properties)
        if key not in self._answers:
            self._answers[key] = _timed(lambda: self._potential.evaluate([structure], properties), self._tick)
        return self._answers[key]


def _timed(call: Callable[[], object], tick: Callable[[], None]) -> Spread:
    """A first call that does not count, then three, or one where that is slow already."""
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    tick()
    times: list[float] = []
    while not times or (len(times) < ROUNDS and sum(times) + first < ROUND_S):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
        tick()
    return Spread.of(times)


def _atoms(structure: Structure) -> bytes:
    return structure.numbers.tobytes() + structure.masses.tobytes() + structure.pbc.tobytes()


def _rattled(structure: Structure) -> Structure:
    """Out of symmetric positions, as anything that moves is."""
    noise = np.random.default_rng(0).normal(0.0, 0.05, structure.positions.shape)
    return structure.with_positions(structure.positions + noise)


def _short(members: Sequence[Request], n_steps: int) -> list[TrajectorySpec]:
    """Runs like the members', of their own and so short.

    They start rattled and at their temperature, so that atoms move as far from step to step as they will
    later; equal specifications would be one trajectory, hence the seeds.
    """
    return [
        replace(
            request.spec,
            structure=_rattled(request.spec.structure),
            n_steps=n_steps,
            frame_stride=request.frame_stride,
            start=MaxwellBoltzmann(request.spec.temperature_K or 0.0),
            seed=seed,
        )
        for seed, request in enumerate(members)
    ]
