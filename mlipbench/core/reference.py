"""Reference values that measurements are held against: curves, scalars, phonons."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlipbench.core.errors import DataError
from mlipbench.core.structure import FloatArray, IntArray, Structure
from mlipbench.core.units import conversion_factor


@dataclass(frozen=True, eq=False)
class Curve:
    """A function on a grid: a radial distribution function, a spectrum, an energy curve."""

    abscissa_name: str
    abscissa: FloatArray  # (n_points,) strictly monotonic
    abscissa_unit: str
    value_name: str
    value: FloatArray  # (n_points,)
    value_unit: str
    error: FloatArray | None  # (n_points,) one standard error, in value_unit; None where not known
    level_of_theory: str
    source: str
    temperature_K: float | None
    pressure_bar: float | None

    def __len__(self) -> int:
        return len(self.abscissa)

    def converted(self, abscissa_unit: str, value_unit: str) -> Curve:
        """The same curve in other units. Raises DataError where a unit is of another kind."""
        factor = _factor(self.abscissa_name, self.abscissa_unit, abscissa_unit)
        value_factor = _factor(self.value_name, self.value_unit, value_unit)
        return replace(
            self,
            abscissa=self.abscissa * factor,
            abscissa_unit=abscissa_unit,
            value=self.value * value_factor,
            value_unit=value_unit,
            error=None if self.error is None else self.error * value_factor,
        )


@dataclass(frozen=True)
class Scalar:
    """One number: a density, a lattice constant, an elastic constant."""

    name: str
    value: float
    unit: str
    error: float | None  # one standard error; None where not known
    level_of_theory: str
    source: str
    temperature_K: float | None
    pressure_bar: float | None

    def converted(self, unit: str) -> Scalar:
        """The same number in another unit. Raises DataError where that is of another kind."""
        factor = _factor(self.name, self.unit, unit)
        error = None if self.error is None else self.error * factor
        return replace(self, value=self.value * factor, unit=unit, error=error)


@dataclass(frozen=True, eq=False)
class PhononReference:
    """Harmonic force constants of a crystal, with Born charges where the crystal is polar."""

    unit_cell: Structure
    supercell_matrix: IntArray  # (3, 3) supercell from unit cell, as in phonopy
    primitive_matrix: FloatArray  # (3, 3) primitive cell from unit cell
    primitive: Structure
    supercell: Structure
    force_constants: FloatArray  # (n_primitive, n_supercell, 3, 3) eV/A^2; rows: the atoms of `primitive`
    born_charges: FloatArray | None  # (n_primitive, 3, 3) e; None: no non-analytical correction
    dielectric: FloatArray | None  # (3, 3) high-frequency dielectric tensor, relative

    @property
    def drift(self) -> float:
        """Largest component of sum_j Phi_ij, 0 by translational invariance, in eV/A^2."""
        return float(np.abs(self.force_constants.sum(axis=1)).max())


def _factor(name: str, source: str, target: str) -> float:
    try:
        return conversion_factor(source, target)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
