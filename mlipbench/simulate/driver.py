"""Computes the trajectories that are missing: batches, chunks, commits, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from mlipbench.core.errors import PotentialError
from mlipbench.core.potential import Potential
from mlipbench.core.trajectory import Event, MaxwellBoltzmann, TrajectorySpec
from mlipbench.simulate.batch import Batch, Replica
from mlipbench.simulate.monitors import Monitor
from mlipbench.simulate.requests import Request
from mlipbench.simulate.state import Arrays, State, generator, initial
from mlipbench.simulate.velocities import maxwell_boltzmann, without_drift

CHUNK_STEPS = 1000
"""Steps between two commits, and between two bindings of the potential."""

Progress = Callable[[float, str], None]


class Sink(Protocol):
    """Where one trajectory is kept. A commit is atomic: it is there, or it never was."""

    def prepare(self, n_steps: int, frame_stride: int, marks: frozenset[int], chunk_steps: int) -> bool:
        """Whether all that is asked is there already; if not, `step` is where to go on."""

    @property
    def step(self) -> int:
        """The last full chunk's end after `prepare`: a multiple of chunk_steps; 0: start anew."""

    @property
    def frame_stride(self) -> int:
        """The stride at which frames are to be handed over: the one asked, or a divisor of it."""

    @property
    def event(self) -> Event | None:
        """Why the trajectory has ended, where it has."""

    def state(self, step: int) -> Arrays:
        """The full state at a step: a mark, the end of a chunk, or the last step."""

    def commit(
        self, step: int, chunk: Arrays, state: Arrays, marked: dict[int, Arrays], event: Event | None
    ) -> None:
        """Keep what happened since the last full chunk, up to `step`, with the state there."""


class Sinks(Protocol):
    """Where trajectories are kept."""

    def sink(self, key: str, spec: TrajectorySpec) -> Sink:
        """The place of one trajectory, by its key."""


def simulate(
    potential: Potential,
    potential_key: str,
    requests: Sequence[Request],
    sinks: Sinks,
    progress: Progress | None = None,
    chunk_steps: int = CHUNK_STEPS,
) -> None:
    """Compute what the sinks lack of the requests (parents first, as `requests.merge` orders them).

    `potential_key` is the potential's identity, part of every trajectory's key. Replicas of the same
    atoms, time step, kind of ensemble and strides run side by side. What is kept depends on neither
    the company, nor on interruptions, nor on wall time. `progress` is called about twice a second while
    steps are done: (fraction done, what is being done).

    Raises PotentialError where the potential breaks its contract, or where the cell is to move and it gives
    no stress; whatever was committed stays.
    """
    if any(request.spec.cell_moves for request in requests):
        offered = potential.capabilities.properties
        if "stress" not in offered:
            raise PotentialError(
                f"{potential.identity.name}: a trajectory at constant pressure needs the stress, got a "
                f"potential that gives {', '.join(sorted(offered))}; use one that does, or keep the cell"
            )
    clock = _Clock(progress)
    waiting = list(requests)
    while waiting:
        keys = {request.spec.key(potential_key) for request in waiting}
        ready = [request for request in waiting if not _waits(request, keys, potential_key)]
        waiting = [request for request in waiting if _waits(request, keys, potential_key)]
        _run_generation(potential, potential_key, ready, sinks, chunk_steps, clock, waiting)
    clock.done()


def _waits(request: Request, keys: set[str], potential_key: str) -> bool:
    start = request.spec.start
    return isinstance(start, TrajectorySpec) and start.key(potential_key) in keys


def _run_generation(
    potential: Potential,
    potential_key: str,
    requests: Sequence[Request],
    sinks: Sinks,
    chunk_steps: int,
    clock: _Clock,
    later: Sequence[Request],
) -> None:
    """All requests that go on from nothing still to be computed, batch after batch."""
    batches: dict[tuple[object, ...], list[tuple[Replica, Sink]]] = {}
    todo = 0
    for request in requests:
        sink = sinks.sink(request.spec.key(potential_key), request.spec)
        if sink.prepare(request.n_steps, request.frame_stride, request.marks, chunk_steps):
            continue
        replica = _replica(request, sink, sinks, potential_key)
        if replica.event is not None:
            sink.commit(0, replica.chunk(), replica.state, {}, replica.event)
            continue
        todo += request.n_steps - sink.step
        batches.setdefault(_batch_key(request.spec, sink.step), []).append((replica, sink))
    clock.expect(todo, sum(request.n_steps for request in later))
    for members in batches.values():
        _run_batch(potential, members, chunk_steps, clock)


def _batch_key(spec: TrajectorySpec, step: int) -> tuple[object, ...]:
    s = spec.structure
    atoms = (s.numbers.tobytes(), s.masses.tobytes(), s.pbc.tobytes())
    return (*atoms, spec.timestep_fs, spec.integrator, spec.fix_com, spec.monitor_stride, step)


def _run_batch(
    potential: Potential, members: list[tuple[Replica, Sink]], chunk_steps: int, clock: _Clock
) -> None:
    """Chunk after chunk, with a commit of every replica at the end of each."""
    step = members[0][1].step
    while members:
        clock.say(_words(members, step))
        end = step + chunk_steps
        Batch(potential, [replica for replica, _ in members], step).run(end, clock.tick)
        going_on = []
        for replica, sink in members:
            reached = min(end, replica.n_steps if replica.event is None else replica.event.step)
            marked = replica.marked
            sink.commit(reached, replica.chunk(), replica.state, marked, replica.event)
            if replica.event is None and reached < replica.n_steps:
                going_on.append((replica, sink))
            elif replica.event is not None:
                clock.skip(replica.n_steps - reached)
        members, step = going_on, end


def _words(members: list[tuple[Replica, Sink]], step: int) -> str:
    spec = members[0][0].spec
    temperatures = sorted({f"{t:g} K" for r, _ in members if (t := r.spec.temperature_K) is not None})
    return (
        f"{spec.ensemble.kind}, {len(spec.structure)} atoms, {', '.join(temperatures)}: "
        f"{len(members)} replica{'s' if len(members) > 1 else ''} at {step * spec.timestep_fs / 1000:.3g} ps"
    )


def _replica(request: Request, sink: Sink, sinks: Sinks, potential_key: str) -> Replica:
    """A replica where the sink's chunks end, or at its start."""
    spec = request.spec
    replica = Replica(
        spec=spec,
        n_steps=request.n_steps,
        frame_stride=sink.frame_stride,
        marks=request.marks,
        state={},
        monitor=Monitor(spec),
    )
    if sink.step:
        replica.state = sink.state(sink.step)
        return replica
    stream = generator(spec.seed, spec.key(potential_key))
    structure = spec.structure
    if isinstance(spec.start, MaxwellBoltzmann):
        velocities = maxwell_boltzmann(spec, spec.start.temperature_K, stream)
        replica.state = initial(structure.positions, velocities, structure.cell, stream)
        return replica
    parent = sinks.sink(spec.start.key(potential_key), spec.start)
    event = parent.event
    if event is not None and event.step <= spec.start.n_steps:
        _end_at_once(replica, parent.state(event.step), event)
        return replica
    before = parent.state(spec.start.n_steps)
    velocities = before["velocities"]
    if spec.fix_com and not spec.start.fix_com:
        velocities = without_drift(velocities, structure.masses)
    replica.state = initial(before["positions"], velocities, before["cells"], stream)
    return replica


def _end_at_once(replica: Replica, state: Arrays, event: Event) -> None:
    """A trajectory whose parent broke off has its one sample there, and its event at step 0."""
    replica.state = {**state, "heat": np.array(0.0), "energy_at_start": state["potential_energy"]}
    replica.event = replace(event, step=0, time_fs=0.0)
    replica.samples.append(replica.monitor.sample(State.of([replica.state]), 0, 0))
    replica.frames.append((0, state["positions"], state["velocities"], state["cells"]))


class _Clock:
    """Counts steps and reports them, at most twice a second."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._last = time.monotonic()
        self._done = 0
        self._total = 0
        self._text = ""

    def expect(self, steps: int, later: int) -> None:
        """`steps` are to be done now, and `later` after that."""
        self._total = self._done + steps + later

    def say(self, text: str) -> None:
        """What is being done from now on."""
        self._text = text
        self._report()

    def tick(self, steps: int) -> None:
        """So many steps have been done."""
        self._done += steps
        if time.monotonic() - self._last > 0.5:
            self._report()

    def skip(self, steps: int) -> None:
        """So many steps will not be done."""
        self._total -= steps

    def done(self) -> None:
        """All has been done."""
        self._done = self._total = max(self._total, 1)
        self._text = "trajectories complete"
        self._report()

    def _report(self) -> None:
        self._last = time.monotonic()
        if self._progress is not None:
            self._progress(min(self._done / max(self._total, 1), 1.0), self._text)
