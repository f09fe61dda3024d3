"""The MgO set: its structures, its k-points, and what is read from ph.x."""

import numpy as np
import pytest

from mlipbench.core.structure import Structure
from mlipbench.core.units import EV_PER_A3_IN_GPA
from reference_data import labelling
from reference_data.espresso import GAMMA, Mesh
from reference_data.mgo import structures


def test_about_200_frames_most_of_64_atoms():
    assert 190 <= len(labelling.names(structures.KINDS)) <= 210
    large = sum(kind.count for kind in structures.KINDS if kind.name not in structures.SMALL)
    assert large > 140
    split = structures.split_of()
    for kind in structures.KINDS:
        assert {split[f"{kind.name}-{n:02d}"] for n in range(kind.count)} == {"train", "val", "test"}


@pytest.mark.parametrize("name", ["hot_small-00", "strained_small-03", "volume-02", "schottky-01"])
def test_a_frame_is_drawn_by_its_name(name, monkeypatch):
    """The same each time; neutral; no contact that the pseudopotentials do not hold."""
    monkeypatch.setattr(structures, "STEPS", (20, 30))
    atoms, again = structures.structure(name), structures.structure(name)
    np.testing.assert_array_equal(atoms.positions, again.positions)
    assert atoms.info["trajectory"] == name
    assert (atoms.symbols == "Mg").sum() == (atoms.symbols == "O").sum()
    assert len(atoms) == (62 if name.startswith("schottky") else 8)
    assert structures.closest(atoms) >= structures.CLOSEST_A


def test_k_points_of_both_cells_are_the_same():
    """2 x 2 x 2 of 8 atoms fold into Gamma of 64."""
    cell = structures.cubic(4.25)
    assert structures.k_points(cell) == Mesh((2, 2, 2))
    assert structures.k_points(cell * (2, 2, 2)) == GAMMA


def test_the_ions_make_the_crystal_they_were_made_for():
    """Oracle: finite differences of the energy. The formulas leave out repulsion beyond the nearest
    neighbours, which moves a by less than 1 % and B by less than 10 %; half a charge would be off by 4 times.
    """
    edges = structures.LATTICE_A * np.linspace(0.98, 1.03, 11)
    cells = [Structure.from_ase(structures.cubic(a)) for a in edges]
    energies = [answer.energy for answer in structures.ions().evaluate(cells, ["energy"])]
    fit = np.polynomial.Polynomial.fit(edges**3, energies, 4)
    grid = np.linspace(edges[0], edges[-1], 10001) ** 3
    volume = grid[fit(grid).argmin()]
    assert np.cbrt(volume) == pytest.approx(structures.LATTICE_A, rel=0.01)
    modulus = volume * fit.deriv(2)(volume) * EV_PER_A3_IN_GPA
    assert modulus == pytest.approx(structures.BULK_MODULUS_GPA, rel=0.1)
