"""A store of trajectories that knows how long it takes to commit."""

from __future__ import annotations

import time

from mlipbench.core.trajectory import Event, TrajectorySpec
from mlipbench.simulate.state import Arrays
from mlipbench.store.trajectories import TrajectorySink, TrajectoryStore


class TimedStore(TrajectoryStore):
    """Counts what is committed and how long that takes."""

    steps, commits, seconds = 0, 0, 0.0

    def sink(self, key: str, spec: TrajectorySpec) -> TrajectorySink:
        """A sink that reports here."""
        return _TimedSink(self, key, spec)


class _TimedSink(TrajectorySink):
    def __init__(self, store: TimedStore, key: str, spec: TrajectorySpec) -> None:
        super().__init__(store.folder / key, spec)
        self._store = store

    def commit(
        self, step: int, chunk: Arrays, state: Arrays, marked: dict[int, Arrays], event: Event | None
    ) -> None:
        self._store.steps += step - self.step
        start = time.perf_counter()
        super().commit(step, chunk, state, marked, event)
        self._store.seconds += time.perf_counter() - start
        self._store.commits += 1
