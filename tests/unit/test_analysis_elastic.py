"""Equation of state and elastic constants.

Oracles: Birch's curve with planted parameters, closed formulas of cubic crystals, Nye's tables of
independent constants, spread of repeated fits.
"""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from mlipbench.analysis import elastic, eos
from mlipbench.core.errors import DataError
from mlipbench.core.structure import Structure
from mlipbench.core.units import EV_PER_A3_IN_GPA

V0, B0, SLOPE = 20.4, 98.0, 4.3


def birch(volumes, v0=V0, b0=B0, slope=SLOPE):
    """Birch's formula as it is printed."""
    x = (v0 / volumes) ** (2 / 3)
    return -317.0 + 9 / 16 * b0 / EV_PER_A3_IN_GPA * v0 * ((x - 1) ** 3 * slope + (x - 1) ** 2 * (6 - 4 * x))


def test_planted_parameters_come_back():
    found = eos.birch_murnaghan(np.linspace(18.5, 22.5, 9), birch(np.linspace(18.5, 22.5, 9)))
    assert (found.volume, found.bulk_modulus, found.derivative) == pytest.approx((V0, B0, SLOPE), rel=1e-7)
    assert found.energy == pytest.approx(-317.0, abs=1e-9)
    v = np.array([19.0, 22.0])
    slope = (birch(v + 1e-4) - birch(v - 1e-4)) / 2e-4
    assert found.pressures(v) == pytest.approx(-EV_PER_A3_IN_GPA * slope, rel=1e-5)
    assert found.energies(v) == pytest.approx(birch(v), abs=1e-9)


def test_errors_cover_what_noise_does():
    """300 fits to energies with 0.5 meV of noise: the stated error is at least their spread (it also counts
    the change to the inner half), and not ten times that."""
    rng = np.random.default_rng(0)
    v = np.linspace(18.5, 22.5, 11)
    fits = [eos.birch_murnaghan(v, birch(v) + 5e-4 * rng.standard_normal(11)) for _ in range(300)]
    spread = np.std([f.bulk_modulus for f in fits])
    stated = np.sqrt(np.mean([f.bulk_modulus_error**2 for f in fits]))
    assert spread < stated < 10 * spread
    covered = np.mean([abs(f.bulk_modulus - B0) < 2 * f.bulk_modulus_error for f in fits])
    assert covered > 0.9


def test_another_form_of_curve_shows_in_the_error():
    """Morse instead of Birch: no noise, and still an error, which covers the true curvature."""
    v = np.linspace(0.85, 1.15, 11) * V0
    alpha = 4.0
    energy = (1 - np.exp(-alpha * ((v / V0) ** (1 / 3) - 1))) ** 2
    true = EV_PER_A3_IN_GPA * 2 * (alpha / 3) ** 2 / V0
    found = eos.birch_murnaghan(v, energy)
    assert abs(found.bulk_modulus - true) < 2 * found.bulk_modulus_error < 0.1 * true


def test_energies_without_a_minimum_are_refused():
    v = np.linspace(18.0, 22.0, 9)
    with pytest.raises(DataError, match="no minimum"):
        eos.birch_murnaghan(v, -0.1 * v)
    with pytest.raises(DataError, match="needs 6 volumes"):
        eos.birch_murnaghan(v[:5], birch(v[:5]))


# ---------------------------------------------------------------- symmetry
def crystal(cell, scaled=((0, 0, 0),), symbols="Si"):
    return Structure.from_ase(Atoms(symbols, scaled_positions=scaled, cell=cell, pbc=True))


LATTICES = {
    "cubic": (np.diag([3.0, 3, 3]), 1, ["C11", "C12", "C44"]),
    "hexagonal": (bulk("Mg").cell.array, 2, ["C11", "C33", "C12", "C13", "C44"]),
    "tetragonal": (np.diag([3.0, 3, 4]), 2, ["C11", "C33", "C12", "C13", "C44", "C66"]),
    "rhombohedral": (
        2.0 * np.ones((3, 3)) - np.eye(3) * 1.2,
        2,
        ["C11", "C33", "C12", "C13", "C44", "C15"],
    ),
    "orthorhombic": (
        np.diag([3.0, 3.5, 4]),
        3,
        ["C11", "C22", "C33", "C12", "C13", "C23", "C44", "C55", "C66"],
    ),
}


@pytest.mark.parametrize("name", LATTICES)
def test_independent_constants_of_each_system(name):
    """Nye's tables; the rhombohedral lattice has C14 or C15 by the choice of axes."""
    cell, n_strains, names = LATTICES[name]
    found = elastic.symmetry(crystal(cell), 1e-4)
    turned = found.to_standard @ found.rotations @ found.to_standard.T
    assert len(elastic.invariant_strains(found.rotations)) == n_strains
    c = np.random.default_rng(1).normal(size=(6, 6))
    ours = [elastic.name(e) for e in elastic.averaged(c, turned).independent]
    if name == "rhombohedral":
        assert len(ours) == 6
        assert ours[:5] == names[:5]
        assert ours[5] in ("C14", "C15")
    else:
        assert ours == names


def test_low_symmetry():
    monoclinic = np.array([[3.0, 0, 0], [0, 4, 0], [-1.1, 0, 5]])
    found = elastic.symmetry(crystal(monoclinic), 1e-4)
    turned = found.to_standard @ found.rotations @ found.to_standard.T
    assert len(elastic.invariant_strains(found.rotations)) == 4
    names = {elastic.name(e) for e in elastic.averaged(np.eye(6), turned).independent}
    assert len(names) == 13
    assert {"C15", "C25", "C35", "C46"} <= names  # the axis of the group is y
    triclinic = np.array([[3.0, 0, 0], [0.4, 4, 0], [-1.1, 0.7, 5]])
    found = elastic.symmetry(crystal(triclinic), 1e-4)
    assert len(elastic.invariant_strains(found.rotations)) == 6
    assert len(elastic.averaged(np.eye(6), found.rotations).independent) == 21


def cubic(c11, c12, c44):
    c = np.diag([c11] * 3 + [c44] * 3).astype(float)
    c[:3, :3] += c12 * (1 - np.eye(3))
    return c


def rotation(angle=0.7):
    x, y = np.cos(angle), np.sin(angle)
    return np.array([[x, -y, 0], [y, x, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, x, -y], [0, y, x]])


def test_rotated_crystal_comes_back_to_its_own_axes():
    start = crystal(np.diag([3.0, 3, 3]) @ rotation().T)
    found = elastic.symmetry(start, 1e-4)
    as_lying = elastic.rotated(cubic(150, 70, 60), rotation())
    assert np.abs(as_lying - cubic(150, 70, 60)).max() > 5
    back = elastic.rotated(as_lying, found.to_standard)
    np.testing.assert_allclose(back, cubic(150, 70, 60), atol=1e-9)


def test_scatter_of_equivalent_entries_is_their_error():
    """C11, C22, C33 of 149, 150, 151: mean 150, scatter sqrt(2/3)."""
    c = cubic(150, 70, 60)
    c[0, 0], c[2, 2] = 149, 151
    found = elastic.averaged(c, elastic.symmetry(crystal(np.diag([3.0, 3, 3])), 1e-4).rotations)
    assert found.values[0, 0] == pytest.approx(150)
    assert found.scatter[0, 0] == pytest.approx(np.sqrt(2 / 3))
    assert found.scatter[3, 3] == pytest.approx(0, abs=1e-12)
    assert found.equivalent[0, 0] == 3
    assert found.equivalent[0, 1] == 6


def test_stability_of_cubic_crystals():
    """Born: the smallest of C11 - C12, 2 C44, C11 + 2 C12, whatever the axes."""
    for c, expected in ((cubic(150, 70, 60), 80), (cubic(150, 70, 30), 60), (cubic(50, 70, 60), -20)):
        for turned in (c, elastic.rotated(c, rotation())):
            value, _ = elastic.stability(turned, np.zeros((6, 6)))
            assert value == pytest.approx(expected, abs=1e-9)
    _, error = elastic.stability(cubic(150, 70, 30), np.diag([0, 0, 0, 1.0, 1.0, 1.0]))
    assert error == pytest.approx(2.0)  # of 2 C44


def test_moduli_of_cubic_crystals():
    """Hill's closed formulas."""
    c11, c12, c44 = 150.0, 70.0, 60.0
    m = elastic.moduli(cubic(c11, c12, c44))
    assert m.bulk_voigt == pytest.approx((c11 + 2 * c12) / 3)
    assert m.bulk_reuss == pytest.approx(m.bulk_voigt)
    assert m.shear_voigt == pytest.approx((c11 - c12 + 3 * c44) / 5)
    assert m.shear_reuss == pytest.approx(5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12)))
    isotropic = elastic.moduli(cubic(150, 70, 40))
    assert isotropic.anisotropy == pytest.approx(0, abs=1e-12)
    assert isotropic.young == pytest.approx(1 / np.linalg.inv(cubic(150, 70, 40))[0, 0])
    assert isotropic.poisson == pytest.approx(70 / (150 + 70))


def test_strains_and_stresses_follow_voigt():
    """A linear material: C comes back from its own stresses, shears included."""
    rng = np.random.default_rng(2)
    c = rng.normal(size=(6, 6))
    c = c + c.T
    plus = np.array([c @ (0.01 * np.eye(6)[k]) for k in range(6)])
    np.testing.assert_allclose(elastic.from_stresses(plus, -plus, 0.01), c, atol=1e-12)
    assert elastic.unit_strain(3)[1, 2] == elastic.unit_strain(3)[2, 1] == 0.5
