"""What has to be computed so that all trajectories wanted exist, each once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mlipbench.core.errors import InputError
from mlipbench.core.trajectory import (
    NVE,
    Langevin,
    MaxwellBoltzmann,
    StochasticCellRescaling,
    TrajectorySpec,
    VelocityRescaling,
)
from mlipbench.simulate.velocities import degrees_of_freedom

SHORTEST_RELAXATION = 10  # times between two moves of the cell: more, and the moves are too long


@dataclass(frozen=True, eq=False)
class Request:
    """One trajectory to be in the store."""

    spec: TrajectorySpec  # its own n_steps and frame_stride do not matter here
    n_steps: int  # at least so long
    frame_stride: int  # a frame every so many steps; 0: none
    marks: frozenset[int]  # steps at which the full state is kept, because another starts there


def merge(
    wanted: Sequence[TrajectorySpec], among: Sequence[TrajectorySpec], potential_key: str
) -> list[Request]:
    """Requests that serve all specifications `wanted`, parents before children.

    A specification that goes on from another needs that one for its whole n_steps. Equal keys are one
    trajectory: as long as the longest wanted. Its frame stride is the greatest common divisor of all
    that are asked `among` everything planned (with `wanted`), and the states are kept where any of those
    starts, so that nothing needs to be computed again when the rest of the plan follows.

    Raises InputError for a specification that cannot be run.
    """
    strides: dict[str, int] = {}
    marks: dict[str, set[int]] = {}
    for spec in _with_ancestors([*among, *wanted]):
        _check(spec)
        key = spec.key(potential_key)
        strides[key] = math.gcd(strides.get(key, 0), spec.frame_stride)
        if isinstance(spec.start, TrajectorySpec):
            marks.setdefault(spec.start.key(potential_key), set()).add(spec.start.n_steps)
    first: dict[str, TrajectorySpec] = {}
    lengths: dict[str, int] = {}
    for spec in _with_ancestors(wanted):
        key = spec.key(potential_key)
        first.setdefault(key, spec)
        lengths[key] = max(lengths.get(key, 0), spec.n_steps)
    return [
        Request(spec, lengths[key], strides[key], frozenset(marks.get(key, ())))
        for key, spec in first.items()
    ]


def _with_ancestors(specs: Iterable[TrajectorySpec]) -> Iterator[TrajectorySpec]:
    """Each specification after those that it goes on from."""
    for spec in specs:
        if isinstance(spec.start, TrajectorySpec):
            yield from _with_ancestors([spec.start])
        yield spec


def _check(spec: TrajectorySpec) -> None:
    """Raises InputError where a number of a specification makes no sense."""
    _demand(len(spec.structure) > 0, "a structure with at least one atom", "n_atoms", len(spec.structure))
    _demand(bool(np.all(spec.structure.masses > 0)), "masses above 0", "masses", spec.structure.masses)
    _demand(spec.timestep_fs > 0, "a time step above 0", "timestep_fs", spec.timestep_fs)
    _demand(spec.n_steps >= 0, "a number of steps of at least 0", "n_steps", spec.n_steps)
    _demand(spec.frame_stride >= 0, "a stride of at least 0 (0: no frames)", "stride", spec.frame_stride)
    _demand(spec.monitor_stride >= 1, "a stride of at least 1", "monitor_stride", spec.monitor_stride)
    _demand(spec.seed >= 0, "a seed of at least 0", "seed", spec.seed)
    if isinstance(spec.start, MaxwellBoltzmann):
        temperature = spec.start.temperature_K
        _demand(temperature >= 0, "a temperature of at least 0 K", "start temperature_K", temperature)
    else:
        same = (
            np.array_equal(spec.structure.numbers, spec.start.structure.numbers)
            and np.array_equal(spec.structure.masses, spec.start.structure.masses)
            and np.array_equal(spec.structure.pbc, spec.start.structure.pbc)
        )
        _demand(same, "the atoms of the trajectory that it goes on from", "structure", "others")
    if isinstance(spec.ensemble, StochasticCellRescaling):
        _check_barostat(spec, spec.ensemble)
        _check_thermostat(spec, spec.ensemble.thermostat)
    elif not isinstance(spec.ensemble, NVE):
        _check_thermostat(spec, spec.ensemble)


def _check_thermostat(spec: TrajectorySpec, thermostat: Langevin | VelocityRescaling) -> None:
    temperature = thermostat.temperature_K
    _demand(temperature >= 0, "a temperature of at least 0 K", "temperature_K", temperature)
    if isinstance(thermostat, Langevin):
        friction = thermostat.friction_per_fs
        _demand(friction > 0, "a friction above 0", "friction_per_fs", friction)
    else:
        relaxation = thermostat.relaxation_fs
        _demand(relaxation > 0, "a relaxation time above 0", "relaxation_fs", relaxation)
        freedom = degrees_of_freedom(spec)
        _demand(freedom > 0, "at least one degree of freedom", "degrees of freedom", freedom)


def _check_barostat(spec: TrajectorySpec, barostat: StochasticCellRescaling) -> None:
    cell = spec.structure
    periodic = bool(cell.pbc.all()) and cell.volume > 0
    _demand(periodic, "a cell that is periodic in all directions, for a barostat", "pbc", cell.pbc.tolist())
    _demand(math.isfinite(barostat.pressure_bar), "a pressure", "pressure_bar", barostat.pressure_bar)
    for name in ("compressibility_per_GPa", "relaxation_fs"):
        value = getattr(barostat, name)
        _demand(0 < value < math.inf, "a number above 0", name, value)
    _demand(barostat.stride >= 1, "a stride of the barostat of at least 1", "stride", barostat.stride)
    interval_fs = barostat.stride * spec.timestep_fs
    _demand(
        barostat.relaxation_fs >= SHORTEST_RELAXATION * interval_fs,
        f"at least {SHORTEST_RELAXATION} times the {interval_fs:g} fs between two moves of the cell",
        "relaxation_fs",
        barostat.relaxation_fs,
    )
    _demand(
        spec.monitor_stride % barostat.stride == 0,
        f"a multiple of the barostat's stride ({barostat.stride}), where the pressure is known",
        "monitor_stride",
        spec.monitor_stride,
    )
    limits = (barostat.least_volume, barostat.most_volume)
    _demand(0 < limits[0] < 1 < limits[1], "limits below and above 1", "least_volume, most_volume", limits)
    _demand(barostat.most_stretch > 1, "a limit above 1", "most_stretch", barostat.most_stretch)


def _demand(fulfilled: bool, expected: str, name: str, got: object) -> None:
    if not fulfilled:
        raise InputError(f"a trajectory was asked with {name} = {got}; expected {expected}")
