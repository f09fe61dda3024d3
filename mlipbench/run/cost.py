"""What a plan will cost: evaluations counted from its declarations, timed on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mlipbench.core.potential import Potential
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import TrajectorySpec
from mlipbench.simulate.requests import merge

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
    batches: dict[tuple[bytes, float, str], list[tuple[Structure, int]]] = {}
    for request in merge(wanted, (), potential.identity.key):
        spec = request.spec
        group = (spec.structure.numbers.tobytes(), spec.timestep_fs, spec.ensemble.kind)
        batches.setdefault(group, []).append((spec.structure, request.n_steps))
        steps += request.n_steps
    for members in batches.values():
        lengths = [n for _, n in members]
        together = _time_bound(potential, members[0][0], len(members))
        seconds += together * sum(lengths) / len(members)
    if structures:
        properties = ("energy", "forces", "stress") if with_stress else ("energy", "forces")
        sample = [structures[0], structures[-1]]
        one = _median_time(lambda: [potential.evaluate([s], properties) for s in sample]) / len(sample)
        seconds += one * len(structures)
    return Estimate(steps, len(structures), seconds)


def _time_bound(potential: Potential, structure: Structure, n_replicas: int) -> float:
    """Seconds a step of `n_replicas` side by side, atoms moved between calls as in a run."""
    bound = potential.bind(structure, n_replicas)
    rng = np.random.default_rng(0)
    positions = np.repeat(structure.positions[None], n_replicas, axis=0)
    cells = np.repeat(structure.cell[None], n_replicas, axis=0)

    def step() -> None:
        positions[:] += rng.normal(0.0, 0.002, positions.shape)
        bound(positions, cells, False)

    return _median_time(step)


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
