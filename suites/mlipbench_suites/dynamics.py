"""What the suites that run molecular dynamics share: checks of the realised state, survival, pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.api import Measurement, StructurePicture, Trajectory, stats, structure
from mlipbench_suites.drawing import picture

MASS_VELOCITY_SQUARED = 103.642697  # eV per u (A/fs)^2
TEMPERATURE_TOLERANCE = 0.1
COM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Realised:
    """What a run really did; `problem` says in words why it is not what was asked."""

    temperature: stats.Average
    com_share: float  # largest kinetic energy of the centre of mass over the mean kinetic energy
    problem: str


def realised(trajectory: Trajectory, temperature_K: float, fix_com: bool = True) -> Realised:
    """Mean temperature (its start dropped where it differs) and momentum of a thermostatted run.

    The temperature may be off by a tenth or, in a small system, by four standard errors of its average.
    """
    average = stats.time_average(trajectory.temperature)
    share = com_share(trajectory)
    tolerance = max(TEMPERATURE_TOLERANCE * temperature_K, 4 * (average.stderr or 0.0))
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


def survival(name: str, run: Trajectory, before: Trajectory | None, temperature_K: float) -> Measurement:
    """Count of events (0 or 1) of a run and of its preparation, with the event in words."""
    event, where = run.event, ""
    if before is not None and before.event is not None:
        event, where = before.event, "during the preparation, "
    note = f"ended {where}by {event}; {advice(event.what)}" if event else ""
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


def advice(what: str) -> str:
    """Likely cause of an event, in words."""
    return {
        "closest_contact": "atoms fell onto each other: no repulsive wall where no data were",
        "temperature": "the run exploded: wrong forces outside the training domain, or too long a time step",
        "energy_drop": "a suspected hole in the energy surface; liquids and defects also go down, so look "
        "at contacts and coordination of the last frame",
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
