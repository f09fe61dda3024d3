"""Units inside mlipbench: eV, A, fs, e, K, u. Constants are CODATA 2018.

Velocities are A/fs, momenta u A/fs, forces eV/A, stresses eV/A^3 (positive when the cell is under
tension, as in ASE).
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import Final

from mlipbench.core.errors import DataError

BOLTZMANN: Final = 8.617333262e-5  # eV/K
ELEMENTARY_CHARGE_C: Final = 1.602176634e-19  # C, exact
ATOMIC_MASS_KG: Final = 1.66053906660e-27  # kg
COULOMB: Final = 14.3996454  # e^2 / (4 pi eps0), eV A

# 1 u (A/fs)^2 in eV: kinetic energies; its inverse turns eV/A/u into A/fs^2.
MASS_VELOCITY_SQUARED: Final = ATOMIC_MASS_KG * 1e10 / ELEMENTARY_CHARGE_C  # 103.6427
ACCELERATION: Final = 1.0 / MASS_VELOCITY_SQUARED

EV_PER_A3_IN_GPA: Final = 160.21766208
HARTREE: Final = 27.211386245988  # eV
BOHR: Final = 0.529177210903  # A


def conversion_factor(source: str, target: str) -> float:
    """What a number in `source` is multiplied by to be in `target`: ("nm", "A") -> 10.

    A unit is a product of symbols with integer powers: `g/cm^3`, `meV/atom/ps`, `1/THz`; "1" is a pure
    number. Frequencies, wavenumbers and energies convert into each other (E = h nu = h c k: THz, cm^-1,
    meV), and so do densities over them; `mol` is the number of Avogadro, `atom` counts as a dimension.
    The arithmetic is exact and rounded once. Raises DataError where a unit is not known or the two
    differ in kind.
    """
    (factor, dimension), (own_factor, own_dimension) = _parse(source), _parse(target)
    if dimension != own_dimension:
        if dimension not in _SPECTRAL or own_dimension not in _SPECTRAL:
            raise DataError(f"{source} cannot be converted to {target}")
        (scale, power), (own_scale, own_power) = _SPECTRAL[dimension], _SPECTRAL[own_dimension]
        if power != own_power:
            raise DataError(f"{source} cannot be converted to {target}")
        factor, own_factor = factor * scale**power, own_factor * own_scale**power
    return float(factor / own_factor)


def same_unit(one: str, other: str) -> bool:
    """Whether two names mean one unit: eV/A^3, eV A^-3."""
    try:
        return conversion_factor(one, other) == 1.0
    except DataError:
        return False


def check_unit(unit: str) -> None:
    """Raises DataError where a unit is not known."""
    _parse(unit)


def _parse(unit: str) -> tuple[Fraction, _Dimension]:
    """Factor to SI, and powers of m, s, kg, C, K, atom."""
    factor, dimension = Fraction(1), _NONE
    text = unicodedata.normalize("NFKC", unit)  # both characters for Angstrom become one
    sign = 1
    for part in re.split(r"([*/ ])", text):
        if part in ("*", "/", " "):
            sign = -1 if part == "/" else 1
            continue
        symbol, hat, digits = part.partition("^")
        if symbol not in _SYMBOLS or (hat and not re.fullmatch(r"-?\d", digits)):
            known = ", ".join(sorted(_SYMBOLS, key=str.casefold))
            raise DataError(f"unknown unit {unit!r} (expected {known}, combined as in g/cm^3, 1/THz)")
        power = sign * int(digits or 1)
        own_factor, own_dimension = _SYMBOLS[symbol]
        factor *= own_factor**power
        dimension = tuple(a + power * b for a, b in zip(dimension, own_dimension, strict=True))
    return factor, dimension


_Dimension = tuple[int, ...]  # powers of m, s, kg, C, K, atom
_NONE: _Dimension = (0, 0, 0, 0, 0, 0)
_LENGTH: _Dimension = (1, 0, 0, 0, 0, 0)
_TIME: _Dimension = (0, 1, 0, 0, 0, 0)
_FREQUENCY: _Dimension = (0, -1, 0, 0, 0, 0)
_WAVENUMBER: _Dimension = (-1, 0, 0, 0, 0, 0)
_MASS: _Dimension = (0, 0, 1, 0, 0, 0)
_CHARGE: _Dimension = (0, 0, 0, 1, 0, 0)
_TEMPERATURE: _Dimension = (0, 0, 0, 0, 1, 0)
_ATOM: _Dimension = (0, 0, 0, 0, 0, 1)
_ENERGY: _Dimension = (2, -2, 1, 0, 0, 0)
_PRESSURE: _Dimension = (-1, -2, 1, 0, 0, 0)

# CODATA 2018, as exact decimal fractions. h, c, e and N_A are exact by definition of the SI.
_E = Fraction("1.602176634e-19")
_PLANCK = Fraction("6.62607015e-34")
_LIGHT = Fraction(299792458)
_AVOGADRO = Fraction("6.02214076e23")
_HARTREE_J = Fraction("27.211386245988") * _E
_BOHR_M = Fraction("0.529177210903e-10")

_SPECTRAL: dict[_Dimension, tuple[Fraction, int]] = {
    tuple(power * n for n in dimension): (factor, power)
    for power in (1, -1)
    for dimension, factor in (
        (_ENERGY, Fraction(1)),
        (_FREQUENCY, _PLANCK),
        (_WAVENUMBER, _PLANCK * _LIGHT),
    )
}
"""Dimension of a spectral quantity (power 1) or of a density over it (-1): factor to J, and the power."""


def _scaled(dimension: _Dimension, **factors: str) -> dict[str, tuple[Fraction, _Dimension]]:
    return {symbol: (Fraction(factor), dimension) for symbol, factor in factors.items()}


_SYMBOLS: dict[str, tuple[Fraction, _Dimension]] = {
    "1": (Fraction(1), _NONE),
    "%": (Fraction(1, 100), _NONE),
    "mol": (_AVOGADRO, _NONE),
    "atom": (Fraction(1), _ATOM),
    **_scaled(_LENGTH, A="1e-10", angstrom="1e-10", pm="1e-12", nm="1e-9", um="1e-6", cm="1e-2", m="1"),
    "Å": (Fraction("1e-10"), _LENGTH),
    "bohr": (_BOHR_M, _LENGTH),
    **_scaled(_TIME, fs="1e-15", ps="1e-12", ns="1e-9", us="1e-6", s="1"),
    **_scaled(_FREQUENCY, THz="1e12", GHz="1e9", Hz="1"),
    **_scaled(_MASS, u="1.66053906660e-27", g="1e-3", kg="1"),
    "e": (_E, _CHARGE),
    **_scaled(_TEMPERATURE, K="1"),
    **_scaled(_ENERGY, J="1", kJ="1e3", kcal="4184"),
    "eV": (_E, _ENERGY),
    "meV": (_E / 1000, _ENERGY),
    "Ha": (_HARTREE_J, _ENERGY),
    "Hartree": (_HARTREE_J, _ENERGY),
    "Ry": (_HARTREE_J / 2, _ENERGY),
    "mRy": (_HARTREE_J / 2000, _ENERGY),
    **_scaled(_PRESSURE, Pa="1", kPa="1e3", MPa="1e6", GPa="1e9", bar="1e5", kbar="1e8", atm="101325"),
}
