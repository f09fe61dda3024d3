"""What the suites that run molecular dynamics share: checks of the realised state, survival, pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.api import Event, Measurement, StructurePicture, Trajectory, stats, structure
from mlipbench_suites.drawing import picture
from mlipbench_suites.hole import Finding

MASS_VELOCITY_SQUARED = 103.642697  # eV per u (A/fs)^2
TEMPERATURE_TOLERANCE = 0.1
BEYOND_CHANCE = 0.9999  # four standard errors where many samples tell them
COM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Realised:
    """What a run really did; `problem` says in words why it is not what was asked."""

    temperature: stats.Average
    com_share: float  # largest kinetic energy of the centre of mass over the mean kinetic energy
    problem: str


def realised(trajectory: Trajectory, temperature_K: float, fix_com: bool = True) -> Realised:
    """Mean temperature (its start dropped where it differs) and momentum of a thermostatted run.

    The temperature may be off by a tenth or, in a small system or a short run, by what chance explains.
    """
    average = stats.time_average(trajectory.temperature[finite(trajectory)])
    share = com_share(trajectory)
    chance = average.half_width(BEYOND_CHANCE) if average.stderr is not None else 0.0
    tolerance = max(TEMPERATURE_TOLERANCE * temperature_K, chance)
    problem = ""
    if abs(average.value - temperature_K) > tolerance:
        problem = f"the realised temperature is {average.value:.0f} K where {temperature_K:g} K was asked"
    elif fix_com and share > COM_TOLERANCE:
        problem = f"the centre of mass carries {share:.2g} of the kinetic energy"
    return Realised(average, share, problem)


def com_share(trajectory: Trajectory) -> float:
    """Largest P^2 / 2M over the mean kinetic energy."""
    kinetic = float(np.mean(trajectory.kinetic_energy))
    if kinetic <= 0 or not len(trajectory.momentum):
        return 0.0
    mass = float(trajectory.structure.masses.sum())
    com = 0.5 * MASS_VELOCITY_SQUARED * (trajectory.momentum**2).sum(axis=1) / mass
    return float(com.max()) / kinetic


def finite(trajectory: Trajectory) -> np.ndarray:
    """Samples whose energies are numbers, (n_samples,) bool."""
    return np.isfinite(trajectory.potential_energy) & np.isfinite(trajectory.kinetic_energy)


def survival(
    name: str, run: Trajectory, before: Trajectory, found: Finding, temperature_K: float
) -> Measurement:
    """Count of events (0 or 1) of a run and of its preparation, with the first in words.

    `found` is what the quench of the one that broke off says.
    """
    where = "during the preparation, " if before.event else ""
    event = before.event or run.event
    note = f"ended {where}by {explained(event, found)}" if event else ""
    return Measurement(
        name=name,
        value=0.0 if event is None else 1.0,
        unit="1",
        exact=True,
        conditions={"temperature_K": temperature_K},
        evidence={"length_ps": run.length_ps},
        method="monitors on the fly: closest contact, temperature, potential energy, numbers",
        note=note,
    )


def explained(event: Event, found: Finding) -> str:
    """An event, its likely cause (unless a hole is confirmed), and what the quench says."""
    cause = "" if found.confirmed else advice(event.what)
    return "; ".join(part for part in (str(event), cause, found.words) if part)


def advice(what: str) -> str:
    """Likely cause of an event, in words."""
    return {
        "closest_contact": "atoms fell onto each other: no repulsive wall where no data were",
        "temperature": "the run exploded: wrong forces outside the training domain, or too long a time step",
        "energy_drop": "a suspected hole in the energy surface, though liquids and defects also go down",
        "volume": "the potential does not hold the system together at this pressure, or its stress is wrong",
        "stretch": "the crystal is not stable in this shape, or the stress is wrong",
        "not_finite": "the potential left the numbers",
    }[what]


def event_picture(name: str, run: Trajectory) -> list[StructurePicture]:
    """The last frame before an event, the closest pair marked."""
    if run.event is None or not len(run.positions) or not np.isfinite(run.positions[-1]).all():
        return []
    last = run.structure.with_positions(run.positions[-1], run.cells[-1])
    contact, i, j = structure.closest_contact(last.positions, last.cell, last.pbc)
    return [
        picture(
            name,
            last,
            f"Last frame of the run, which ended by {run.event}. The closest pair ({i}, {j}), "
            f"{contact:.3f} A apart, is marked. A sound potential has no such frame.",
            f"Atoms at the moment the run broke off by {run.event}.",
            highlight=[i, j],
        )
    ]


def each_once(values: list[float]) -> list[float]:
    """Validator: temperatures (or factors) that print alike would be one run counted twice."""
    names = [f"{value:g}" for value in values]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"expected each value once, got {', '.join(repeated)} more than once")
    return values
