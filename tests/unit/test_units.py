"""Conversion of units.

Oracle: `ase.units` (CODATA 2014, hence 1e-6) and exact relations of the SI. A wrong power or a factor of
ten fails by orders of magnitude.
"""

import ase.units
import pytest

from mlipbench.core.errors import DataError
from mlipbench.core.units import EV_PER_A3_IN_GPA, check_unit, conversion_factor, same_unit

ASE = [
    ("nm", "A", 10.0),
    ("bohr", "A", ase.units.Bohr),
    ("GPa", "eV/A^3", ase.units.GPa),
    ("kbar", "eV/A^3", 0.1 * ase.units.GPa),
    ("bar", "eV/A^3", ase.units.bar),
    ("Hartree", "eV", ase.units.Hartree),
    ("Ry", "meV", 1e3 * ase.units.Rydberg),
    ("kcal/mol", "eV", ase.units.kcal / ase.units.mol),
    ("kJ/mol", "meV", 1e3 * ase.units.kJ / ase.units.mol),
    ("cm^-1", "eV", ase.units.invcm),
    ("THz", "cm^-1", 1e10 / ase.units._c),
    ("THz", "meV", 1e15 * ase.units._hplanck / ase.units._e),
    ("1/THz", "1/meV", 1e-15 * ase.units._e / ase.units._hplanck),
    ("cm", "1/THz", 1e10 / ase.units._c),  # a density over wavenumbers
    ("g/cm^3", "u/A^3", 1e-27 / ase.units._amu),
    ("meV/atom/ps", "eV/atom/fs", 1e-6),
    ("eV/A/bohr", "eV/A^2", 1 / ase.units.Bohr),
    ("%", "1", 0.01),
]


@pytest.mark.parametrize(("source", "target", "factor"), ASE)
def test_factors(source, target, factor):
    assert conversion_factor(source, target) == pytest.approx(factor, rel=1e-6)
    assert conversion_factor(source, target) * conversion_factor(target, source) == pytest.approx(
        1, rel=1e-15
    )


def test_decimal_factors_are_exact():
    """Factors are fractions: A to nm is 0.1, not 0.09999999999999999."""
    assert conversion_factor("A", "nm") == 0.1
    assert conversion_factor("\u212b", "A") == conversion_factor("\u00c5", "A") == 1.0
    assert conversion_factor("Hartree", "eV") == 27.211386245988
    assert conversion_factor("eV/A^3", "GPa") == pytest.approx(EV_PER_A3_IN_GPA, rel=1e-8)


def test_the_same_unit_in_other_words():
    assert same_unit("eV/A^3", "eV A^-3")
    assert same_unit("cm^-1", "1/cm")
    assert not same_unit("eV", "meV")
    assert not same_unit("eV", "eV/atom")
    assert not same_unit("eV", "nonsense")


@pytest.mark.parametrize(
    ("source", "target"), [("eV", "eV/atom"), ("A", "A^2"), ("GPa", "eV"), ("K", "meV"), ("g/cm^3", "1/A^3")]
)
def test_units_of_different_kind_are_refused(source, target):
    with pytest.raises(DataError, match="cannot be converted to"):
        conversion_factor(source, target)


@pytest.mark.parametrize(
    "unit", ["", " ", "g/cm3", "eV/", "eV//A", "furlong", "eV^", "eV^1.5", "rad/ps", "degC"]
)
def test_unknown_units_are_refused(unit):
    with pytest.raises(DataError, match="unknown unit"):
        check_unit(unit)
