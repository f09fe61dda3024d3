"""Numbers of the suite `density`: what the reference says, pressures of rigid cells, mean density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlipbench.api import (
    InputError,
    Scalar,
    Structure,
    Trajectory,
    conversion_factor,
    density,
    stats,
)
from mlipbench_suites.trajectory_checks import finite

if TYPE_CHECKING:
    from mlipbench_suites.density import DensityParams

G_PER_CM3 = conversion_factor("u/A^3", "g/cm^3")
GPA = conversion_factor("eV/A^3", "GPa")
VOLUMES = (0.98, 1.0, 1.02)  # of the start, at which the stress is checked
STEP = 6e-3  # in ln V, of the larger difference of the energy
SOFTEST_GPA = 0.01  # pressures below it are compared absolutely


@dataclass(frozen=True)
class Reference:
    """What the density is held against."""

    density: float  # g/cm^3
    error: float | None  # g/cm^3, one standard error
    source: Scalar  # as the reference states it
    atoms_per_cell: int  # behind a lattice constant; 0 elsewhere

    def lattice_constant(self, g_per_cm3: float, start: Structure) -> float:
        """That a density means, in A."""
        per_atom = start.masses.sum() / len(start) * G_PER_CM3 / g_per_cm3
        return float(np.cbrt(self.atoms_per_cell * per_atom))


def reference(p: DensityParams, start: Structure, scalar: Scalar) -> Reference:
    """The density that the reference number (a density, a volume per atom, a lattice constant) means.

    Raises InputError where the number of atoms behind a lattice constant is not known.
    """
    mass = float(start.masses.sum()) / len(start) * G_PER_CM3  # of an atom, times g/cm^3 A^3
    relative = None if scalar.error is None else scalar.error / scalar.value
    atoms = 0
    if p.density is not None:
        value = scalar.value
    elif p.volume_per_atom is not None:
        value = mass / scalar.value
    else:
        atoms = p.atoms_per_cell or _atoms_per_cell(p, start)
        value = mass * atoms / scalar.value**3
        relative = None if relative is None else 3 * relative
    return Reference(value, None if relative is None else relative * value, scalar, atoms)


def _atoms_per_cell(p: DensityParams, start: Structure) -> int:
    """Of the conventional cell of a cubic crystal that was built on the spot."""
    a = p.structure.lattice_A
    cells = start.volume / a**3 if p.structure.crystal and a else 0.0
    atoms = len(start) / cells if cells else 0.0
    if not atoms or abs(atoms - round(atoms)) > 1e-6:
        raise InputError(
            "density: a lattice constant is that of a cubic cell, and how many atoms this cell holds is not "
            f"known of {p.structure.file or p.structure.reference or p.structure.crystal}; set "
            "atoms_per_cell (8 for diamond), or give a volume_per_atom"
        )
    return round(atoms)


def rigid_cells(start: Structure) -> list[Structure]:
    """For each of `VOLUMES` the cell itself, then +-STEP and +-STEP/2 in ln V; everything scaled."""
    changes = [ratio * np.exp(h) for ratio in VOLUMES for h in (0.0, STEP, -STEP, STEP / 2, -STEP / 2)]
    return [
        start.with_positions(start.positions * np.cbrt(change), start.cell * np.cbrt(change))
        for change in changes
    ]


@dataclass(frozen=True)
class RigidPressures:
    """Pressures of the scaled start at rest, in GPa, (3,) each."""

    from_stress: np.ndarray
    from_energy: np.ndarray

    @property
    def error(self) -> float:
        """Largest difference between the two over the largest pressure, %."""
        scale = max(float(np.abs(self.from_energy).max()), SOFTEST_GPA)
        return 100 * float(np.abs(self.from_stress - self.from_energy).max()) / scale

    @property
    def reversed(self) -> bool:
        """Whether the stress has the wrong sign."""
        return bool(np.dot(self.from_stress, self.from_energy) < 0)

    @property
    def bulk_modulus(self) -> float:
        """-V dP/dV of the rigid structure, GPa."""
        return float((self.from_energy[0] - self.from_energy[2]) / np.log(VOLUMES[2] / VOLUMES[0]))


def rigid_pressures(start: Structure, energies: np.ndarray, stresses: np.ndarray) -> RigidPressures:
    """From energies (15,) eV and stresses (15, 3, 3) eV/A^3 of `rigid_cells`.

    P = -(1/V) dE/dlnV by central differences at STEP and STEP/2, extrapolated (Richardson).
    """
    sets = energies.reshape(len(VOLUMES), 5)
    coarse = (sets[:, 1] - sets[:, 2]) / (2 * STEP)
    fine = (sets[:, 3] - sets[:, 4]) / STEP
    volumes = start.volume * np.array(VOLUMES)
    traces = np.trace(stresses.reshape(len(VOLUMES), 5, 3, 3)[:, 0], axis1=1, axis2=2)
    return RigidPressures(-traces / 3 * GPA, -(4 * fine - coarse) / 3 / volumes * GPA)


@dataclass(frozen=True)
class Run:
    """One NPT run and what was measured of it. Averages are over what follows the equilibration."""

    trajectory: Trajectory
    times_ps: np.ndarray  # (n,) of the samples that are numbers
    densities: np.ndarray  # (n,) g/cm^3
    density: stats.Average
    modulus: stats.Average  # GPa
    kept_ps: float  # length after the equilibration


def analyse(run: Trajectory, temperature_K: float) -> Run:
    """Mean density and bulk modulus of a run, its equilibration dropped."""
    keep = finite(run)
    series = np.asarray(run.density)[keep]
    average = stats.time_average(series)
    volumes = np.asarray(run.volume)[keep][average.start :]
    share = (len(series) - average.start) / max(len(series), 1)
    return Run(
        trajectory=run,
        times_ps=run.time_fs[keep] / 1000,
        densities=series,
        density=average,
        modulus=density.bulk_modulus(volumes, temperature_K),
        kept_ps=run.length_ps * share,
    )


def relative_error(found: stats.Average, known: Reference) -> tuple[float, float, float]:
    """(found / known - 1) in %, its standard error, and the effective number of samples behind that.

    The reference's error counts, as one known well; degrees of freedom after Welch.
    """
    ratio = found.value / known.density
    own = (found.stderr or 0.0) / known.density
    theirs = ratio * (known.error or 0.0) / known.density
    total = float(np.hypot(own, theirs))
    dof = (found.n_eff - 1) * (total / own) ** 4 if own else found.n_eff - 1
    return 100 * (ratio - 1), 100 * total, float(min(dof, 1e6) + 1)
