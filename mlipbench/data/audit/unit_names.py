"""Which units a file is in, from the ratios that its numbers stand in.

Where forces are the derivative of the energies, and both are in eV and A, the work of the forces explains
the energy differences with slope 1. An energy unit u_E, a force unit u_F (both in eV, A) give u_F / u_E.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlipbench.core.structure import IntArray
from mlipbench.core.units import BOHR, EV_PER_A3_IN_GPA, HARTREE

KCAL_PER_MOL = 0.0433641  # eV
KJ_PER_MOL = 0.0103643  # eV
TOLERANCE = 0.25  # a ratio this far from 1 or from a unit's ratio still counts as it; the next is at 1.89
STIFFNESS_EV_PER_A2 = 3.0  # mean restoring force per displacement: argon 0.35, NaCl 2.3, silicon 5.8
_STIFFNESS_SPREAD = 1.2  # of its logarithm
_TRAPEZOID = 0.07  # systematic error of the slope's logarithm in anharmonic sets


@dataclass(frozen=True)
class Units:
    """What the numbers of a file are in; multiply by `energy` and `force` to get eV and eV/A."""

    energy_name: str
    energy: float
    force_name: str
    force: float

    @property
    def slope(self) -> float:
        """dE / (-F.dr), in the numbers of the file."""
        return self.force / self.energy


_EV, _EV_A = ("eV", 1.0), ("eV/A", 1.0)
SOUND = Units(*_EV, *_EV_A)
_CANDIDATES = (
    Units("Hartree", HARTREE, "Hartree/Bohr", HARTREE / BOHR),
    Units("Rydberg", HARTREE / 2, "Rydberg/Bohr", HARTREE / 2 / BOHR),
    Units(*_EV, "Hartree/Bohr", HARTREE / BOHR),
    Units(*_EV, "Rydberg/Bohr", HARTREE / 2 / BOHR),
    Units("Hartree", HARTREE, *_EV_A),
    Units("Rydberg", HARTREE / 2, *_EV_A),
    Units("kcal/mol", KCAL_PER_MOL, *_EV_A),
    Units(*_EV, "kcal/mol/A", KCAL_PER_MOL),
    Units("kJ/mol", KJ_PER_MOL, *_EV_A),
    Units(*_EV, "kJ/mol/A", KJ_PER_MOL),
    Units("kJ/mol", KJ_PER_MOL, "kJ/mol/nm", KJ_PER_MOL / 10),
    Units(*_EV, "kJ/mol/nm", KJ_PER_MOL / 10),
    Units(*_EV, "Hartree/A", HARTREE),
    Units(*_EV, "eV/Bohr", 1 / BOHR),
    Units("meV", 1e-3, *_EV_A),
    Units(*_EV, "meV/A", 1e-3),
)
CONSISTENT = (
    Units("Hartree", HARTREE, "Hartree/A", HARTREE),
    Units("Rydberg", HARTREE / 2, "Rydberg/A", HARTREE / 2),
    Units("kcal/mol", KCAL_PER_MOL, "kcal/mol/A", KCAL_PER_MOL),
    Units("kJ/mol", KJ_PER_MOL, "kJ/mol/A", KJ_PER_MOL),
    Units("meV", 1e-3, "meV/A", 1e-3),
)
"""Units whose forces do follow the energies: only the scale gives them away."""

STRESS_UNITS = {
    "GPa": 1 / EV_PER_A3_IN_GPA,
    "kbar": 0.1 / EV_PER_A3_IN_GPA,
    "MPa": 1e-3 / EV_PER_A3_IN_GPA,
    "bar": 1e-4 / EV_PER_A3_IN_GPA,
    "Hartree/Bohr^3": HARTREE / BOHR**3,
    "Rydberg/Bohr^3": HARTREE / 2 / BOHR**3,
}
"""eV/A^3."""


def near(value: float, expected: float, tolerance: float = TOLERANCE) -> bool:
    """Whether two positive numbers agree within a factor."""
    return value > 0 and abs(math.log(value / expected)) < math.log1p(tolerance)


def explain(
    slope: float, error: float, stiffness: float, energy_per_all_electron: float | None
) -> list[Units]:
    """Units that give this slope, the likeliest first; empty where none does.

    `error` is relative. Ratios that the error cannot tell apart are ordered by what else is known: the
    stiffness -dF.dr/|dr|^2 of the file, its energies over all-electron energies in eV.
    """
    if near(slope, 1.0, 1 / 3):
        return [SOUND]
    fits = [u for u in _CANDIDATES if near(slope, u.slope)]
    if not fits:
        return []

    def unlikely(units: Units) -> float:
        off = math.log(slope / units.slope) / math.hypot(error, _TRAPEZOID)
        odd = math.log(max(stiffness * units.force, 1e-300) / STIFFNESS_EV_PER_A2) / _STIFFNESS_SPREAD
        total = energy_per_all_electron
        other = total is not None and _looks_total(total) and not near(total * units.energy, 1.0, 0.05)
        rare = units.energy_name == "Rydberg" or units.force_name == "eV/Bohr"  # most codes print Hartree
        return off**2 + odd**2 + 10.0 * other + 1.5 * rare

    return sorted(fits, key=unlikely)


def _looks_total(ratio: float) -> bool:
    """Whether energies are all-electron energies in one of the units that codes write."""
    return any(near(ratio * u, 1.0, 0.05) for u in (1.0, HARTREE, HARTREE / 2, KCAL_PER_MOL, KJ_PER_MOL))


def all_electron_energy(numbers: IntArray) -> float:
    """eV: energy of free atoms with all electrons, within 1 % from carbon to krypton.

    E(Z) = -0.768745 Z^(7/3) + Z^2/2 - 0.269900 Z^(5/3) Hartree (J. Schwinger, Phys. Rev. A 24, 2353
    (1981)); hydrogen exactly -1/2.
    """
    z = numbers.astype(float)
    atoms = -0.768745 * z ** (7 / 3) + 0.5 * z**2 - 0.269900 * z ** (5 / 3)
    return float(HARTREE * atoms.sum() + HARTREE * (0.538645 - 0.5) * (numbers == 1).sum())
