"""What is watched along a trajectory, and what ends it."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from mlipbench.core.structure import FloatArray
from mlipbench.core.trajectory import Event, StochasticCellRescaling, TrajectorySpec
from mlipbench.core.units import BOLTZMANN, MASS_VELOCITY_SQUARED
from mlipbench.simulate.barostat import BAR, internal_pressure
from mlipbench.simulate.contacts import ClosestContact
from mlipbench.simulate.state import State, volumes
from mlipbench.simulate.velocities import degrees_of_freedom


class Sample(NamedTuple):
    """One row of the monitors, of one replica."""

    step: int
    potential_energy: float  # eV
    kinetic_energy: float  # eV
    conserved: float  # eV: total energy less the heat of thermostat and barostat
    temperature: float  # K
    closest_contact: float  # A
    momentum: FloatArray  # (3,) u A/fs
    angular_momentum: FloatArray  # (3,) u A^2/fs about the centre of mass
    volume: float = math.nan  # A^3, where the cell moves
    pressure: float = math.nan  # bar, where the cell moves and the stress is known at this step
    cell: FloatArray | None = None  # (3, 3) A, where the cell moves


def broken_cell(
    spec: TrajectorySpec, cell: FloatArray
) -> tuple[Literal["volume", "stretch"], float, float] | None:
    """Which limit of its barostat a cell (3, 3) A breaks, the value, the limit; None where it breaks none."""
    ensemble = spec.ensemble
    if not isinstance(ensemble, StochasticCellRescaling):
        return None
    stretches = np.linalg.svd(np.linalg.solve(spec.structure.cell, cell), compute_uv=False)
    volume = float(np.prod(stretches))
    if not volume >= ensemble.least_volume:
        return "volume", volume, ensemble.least_volume
    if not volume <= ensemble.most_volume:
        return "volume", volume, ensemble.most_volume
    if ensemble.cell != "isotropic" and not stretches[0] <= ensemble.most_stretch:
        return "stretch", float(stretches[0]), ensemble.most_stretch
    if ensemble.cell != "isotropic" and not stretches[2] >= 1.0 / ensemble.most_stretch:
        return "stretch", float(stretches[2]), 1.0 / ensemble.most_stretch
    return None


class Monitor:
    """Samples one replica and holds it against its limits."""

    def __init__(self, spec: TrajectorySpec) -> None:
        masses = self._masses = spec.structure.masses
        self._momentum_of = np.repeat(masses, 3).reshape(-1, 3)  # (n_atoms, 3) u
        self._shares = masses / masses.sum()
        self._columns = np.ones((4, len(masses)))  # 1, x, y, z of every atom
        self._momenta = np.empty((len(masses), 3))
        dof = degrees_of_freedom(spec)
        self._kelvin = 2.0 / (dof * BOLTZMANN) if dof > 0 else 0.0  # no freedom: 0 K
        self._contact = ClosestContact(spec.structure.pbc)
        self._limits = spec.limits
        self._timestep_fs = spec.timestep_fs
        self._n_atoms = len(spec.structure)
        self._barostat = spec.ensemble if isinstance(spec.ensemble, StochasticCellRescaling) else None
        self._spec = spec
        if self._barostat is not None:
            self._centre = BOLTZMANN * self._barostat.temperature_K if spec.fix_com else 0.0

    def sample(self, state: State, replica: int, step: int) -> Sample:
        """The monitors at one step.

        Temperature 2K/(n_dof k); momentum P = sum m v; angular momentum L = sum m x cross v - x_cm cross P.
        """
        columns = self._columns[1:]
        columns[...] = state.positions[replica].T
        momenta = np.multiply(state.velocities[replica], self._momentum_of, out=self._momenta)
        moments = self._columns @ momenta  # row 0: P_j; rows 1 to 3: sum of x_i p_j
        total = moments[0].copy()
        spins = moments[1:] - np.multiply.outer(columns @ self._shares, total)
        momenta *= state.velocities[replica]
        kinetic = 0.5 * MASS_VELOCITY_SQUARED * float(np.add.reduce(momenta, axis=None))
        potential = float(state.potential_energy[replica])
        volume, pressure = self._cell(state, replica)
        return Sample(
            step=step,
            potential_energy=potential,
            kinetic_energy=kinetic,
            conserved=potential + kinetic - float(state.heat[replica]),
            temperature=kinetic * self._kelvin,
            closest_contact=self._contact(columns, state.cells[replica]),
            momentum=total,
            angular_momentum=spins[(1, 2, 0), (2, 0, 1)] - spins[(2, 0, 1), (1, 2, 0)],
            volume=volume,
            pressure=pressure,
            cell=None if self._barostat is None else state.cells[replica].copy(),
        )

    def _cell(self, state: State, replica: int) -> tuple[float, float]:
        """Volume in A^3 and pressure in bar."""
        if self._barostat is None:
            return math.nan, math.nan
        (volume,) = volumes(state.cells[replica : replica + 1])
        if state.stresses is None:
            return volume, math.nan
        velocities, stress = state.velocities[replica], state.stresses[replica]
        tensor = internal_pressure(self._masses, velocities, stress, volume, self._centre)
        return volume, float(np.trace(tensor)) / 3.0 / BAR

    def check(self, sample: Sample, energy_at_start: float) -> Event | None:
        """The limit that a sample breaks, if any."""
        limits = self._limits
        drop = (energy_at_start - sample.potential_energy) / self._n_atoms
        time_fs = sample.step * self._timestep_fs
        if sample.closest_contact < limits.closest_contact_A:
            value, limit = sample.closest_contact, limits.closest_contact_A
            return Event(sample.step, time_fs, "closest_contact", value, limit)
        if not sample.temperature <= limits.temperature_K:
            return Event(sample.step, time_fs, "temperature", sample.temperature, limits.temperature_K)
        if not drop <= limits.energy_drop_eV_per_atom:
            return Event(sample.step, time_fs, "energy_drop", drop, limits.energy_drop_eV_per_atom)
        if sample.cell is not None:
            broken = broken_cell(self._spec, sample.cell)
            return None if broken is None else Event(sample.step, time_fs, *broken)
        return None

    def not_finite(self, step: int, count: int) -> Event:
        """The event of `count` energies and force components that are not numbers."""
        return Event(step, step * self._timestep_fs, "not_finite", float(count), 0.0)
