"""What a plan will cost: evaluations counted from its declarations, timed on this machine."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mlipbench.core.potential import Potential
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import MaxwellBoltzmann, TrajectorySpec
from mlipbench.simulate.driver import CHUNK_STEPS, simulate
from mlipbench.simulate.requests import Request, merge
from mlipbench.store.trajectories import TrajectoryStore

TIMING_S = 0.5
"""Time spent on one timing at the most, beyond its first call."""


@dataclass(frozen=True)
class Estimate:
    """Cost of one suite."""

    steps: int  # replica steps of molecular dynamics
    structures: int  # structures evaluated one by one
    seconds: float


def estimate(
    potential: Potential,
    wanted: Sequence[TrajectorySpec],
    structures: Sequence[Structure],
    with_stress: bool,
) -> Estimate:
    """Time a few evaluations of the kinds a suite needs, and multiply.

    Trajectories of the same atoms run side by side, so they are timed as one batch. Those that
    another suite has asked for too are counted here as well.
    """
    seconds, steps = 0.0, 0
    batches: dict[tuple[bytes, float, str], list[Request]] = {}
    for request in merge(wanted, (), potential.identity.key):
        spec = request.spec
        group = (spec.structure.numbers.tobytes(), spec.timestep_fs, spec.ensemble.kind)
        batches.setdefault(group, []).append(request)
        steps += request.n_steps
    for members in batches.values():
        together = _time_step(potential, members)
        seconds += together * sum(request.n_steps for request in members) / len(members)
    if structures:
        properties = ("energy", "forces", "stress") if with_stress else ("energy", "forces")
        sample = [structures[0], structures[-1]]
        one = _median_time(lambda: [potential.evaluate([s], properties) for s in sample]) / len(sample)
        seconds += one * len(structures)
    return Estimate(steps, len(structures), seconds)


def _time_step(potential: Potential, members: Sequence[Request]) -> float:
    """Seconds a step of all members side by side, monitors and storage included: a short real run."""
    bound = potential.bind(members[0].spec.structure, len(members))
    positions = np.stack([request.spec.structure.positions for request in members])
    cells = np.stack([request.spec.structure.cell for request in members])
    force = _median_time(lambda: bound(positions, cells, False))
    n_steps = max(5, min(CHUNK_STEPS, int(TIMING_S / force)))
    short = [
        replace(
            request.spec,
            n_steps=n_steps,
            frame_stride=request.frame_stride,
            start=MaxwellBoltzmann(request.spec.temperature_K or 0.0),
            seed=index,  # equal specifications would be one trajectory
        )
        for index, request in enumerate(members)
    ]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        requests = merge(short, (), potential.identity.key)
        simulate(potential, potential.identity.key, requests, TrajectoryStore(Path(folder)))
        return (time.perf_counter() - start) / n_steps


def _median_time(call: Callable[[], object]) -> float:
    call()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < TIMING_S and len(times) < 50):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
        if sum(times) > 20 * TIMING_S:
            break
    return statistics.median(times)
