"""Oracles: ASE's neighbour list and radii (independent code), crystals and molecules known by hand."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list

from mlipbench.analysis import duplicates, structure
from mlipbench.core.structure import Structure

SILICON = Structure.from_ase(bulk("Si", cubic=True, a=5.43) * (2, 2, 2))


def water_box():
    atoms = Atoms(cell=np.eye(3) * 9.0, pbc=True)
    for k in range(8):
        w = molecule("H2O")
        w.rotate(37.0 * k, (1, 2, 3))
        w.translate(4.5 * np.array([k & 1, k >> 1 & 1, k >> 2]) + 8.0)
        atoms += w
    return Structure.from_ase(atoms)


def test_radii_are_the_published_ones():
    assert structure.COVALENT_RADII[1:] == pytest.approx(covalent_radii[1:97])


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 1, 0), (0, 1, 0), (0, 0, 0)])
def test_pairs_are_those_of_ase(pbc):
    """Small skewed cell, cutoff beyond it, atoms outside: self-images and wrapping are exercised."""
    rng = np.random.default_rng(0)
    cell = [[4, 0.3, 0.1], [1, 5, 0], [0.5, -2, 6]]
    atoms = Atoms("Si7", positions=rng.uniform(-5, 15, (7, 3)), cell=cell, pbc=pbc)
    found = structure.pairs(atoms.positions, atoms.cell.array, atoms.pbc, 6.5)
    both = np.sort(np.repeat(found.distances, 2))
    np.testing.assert_allclose(both, np.sort(neighbor_list("d", atoms, 6.5)), atol=1e-12)
    ends = atoms.positions[found.second] + found.shifts @ atoms.cell.array
    np.testing.assert_allclose(ends - atoms.positions[found.first], found.vectors, atol=1e-12)


def test_contact_coordination_and_neighbour_distance_of_diamond():
    s = SILICON
    bond = 5.43 * np.sqrt(3) / 4
    assert structure.closest_contact(s.positions, s.cell, s.pbc)[0] == pytest.approx(bond)
    assert structure.coordination(s.positions, s.cell, s.pbc, 2.6).tolist() == [4] * 64
    assert structure.coordination(s.positions, s.cell, s.pbc, 4.0).tolist() == [16] * 64
    assert structure.neighbour_distance(s.positions, s.cell, s.pbc) == pytest.approx(bond)


def test_lone_atom_has_no_contact():
    assert structure.closest_contact(np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, bool))[0] == np.inf


def test_molecules_are_finite_and_networks_are_not():
    w = water_box()
    labels = structure.molecules(24, structure.bonds(w.numbers, w.positions, w.cell, w.pbc))
    assert labels is not None
    assert np.bincount(labels).tolist() == [3] * 8
    s = SILICON
    assert structure.molecules(64, structure.bonds(s.numbers, s.positions, s.cell, s.pbc)) is None
    argon = Structure.from_ase(bulk("Ar", cubic=True, a=5.26) * (2, 2, 2))
    assert (
        structure.molecules(32, structure.bonds(argon.numbers, argon.positions, argon.cell, argon.pbc))
        is None
    )


def test_bond_changes_count_broken_formed_exchanged():
    w = water_box()
    graph = structure.bonds(w.numbers, w.positions, w.cell, w.pbc)
    still = structure.bond_changes(w.numbers, graph, w.positions + 0.7 * w.cell[0], w.cell, w.pbc)
    assert (still.broken, still.formed, still.exchanged) == (0, 0, 0)
    hopped = w.positions.copy()
    hopped[1] = hopped[3] + [0.0, 0.0, -0.97]  # a hydrogen of the first molecule at the second oxygen
    change = structure.bond_changes(w.numbers, graph, hopped, w.cell, w.pbc)
    assert (change.broken, change.exchanged) == (1, 1)
    assert change.formed >= 1


def test_lindemann_ratio_and_displacements_of_planted_motion():
    """Independent Gaussian displacements s about sites: ratio sqrt(3) s / d, MSD 6 s^2."""
    rng = np.random.default_rng(1)
    frames = SILICON.positions + 0.1 * rng.standard_normal((400, 64, 3))
    drift = np.linspace(0, 50, 400)[:, None, None] * np.ones(3)
    ratio = structure.lindemann_ratio(frames + drift, SILICON.masses, 2.35)
    assert ratio == pytest.approx(np.sqrt(3) * 0.1 / 2.35, rel=0.03)
    msd = structure.mean_squared_displacement(frames + drift, SILICON.masses)
    assert msd[1:].mean() == pytest.approx(0.06, rel=0.15)


@pytest.mark.parametrize(
    ("kind", "expected"), [("solid", "solid"), ("liquid", "molten or diffusing"), ("shift", "rearranged")]
)
def test_phases_are_told_apart(kind, expected):
    rng = np.random.default_rng(2)
    thermal = 0.12 * rng.standard_normal((200, 64, 3))
    walk = np.cumsum(0.15 * rng.standard_normal((200, 64, 3)), axis=0)
    moved = {"solid": 0, "liquid": walk, "shift": 2.5 * rng.standard_normal((64, 3))}[kind]
    frames = SILICON.positions + thermal + moved
    cells = np.repeat(SILICON.cell[None], 200, axis=0)
    distance = 5.43 * np.sqrt(3) / 4
    origin = np.concatenate([SILICON.positions[None], frames])
    kept = structure.neighbours_kept(
        origin, np.concatenate([SILICON.cell[None], cells]), SILICON.pbc, distance
    )
    ratio = structure.lindemann_ratio(frames, SILICON.masses, distance)
    msd = structure.mean_squared_displacement(frames, SILICON.masses)
    assert structure.phase(ratio, msd, distance, kept) == expected


def disguised(s, rng):
    """The same configuration rotated, translated, permuted and wrapped."""
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    order = rng.permutation(len(s))
    atoms = s.with_positions(s.positions[order] + rng.uniform(-5, 5, 3)).to_ase()
    atoms.set_cell(atoms.cell.array @ rotation, scale_atoms=False)
    atoms.positions = atoms.positions @ rotation
    atoms.wrap()
    return Structure.from_ase(atoms)


def test_duplicates_survive_disguise_and_near_duplicates_are_found():
    rng = np.random.default_rng(3)
    frames = [
        SILICON.with_positions(SILICON.positions + 0.1 * rng.standard_normal((64, 3))) for _ in range(6)
    ]
    near = frames[2].with_positions(
        frames[2].positions + 0.01 * rng.standard_normal((64, 3)) + SILICON.cell[1]
    )
    found = duplicates.matches(frames[:4], [frames[5], disguised(frames[1], rng), near])
    assert [(m.index, m.other, m.kind) for m in found] == [(1, 1, "duplicate"), (2, 2, "near-duplicate")]
    assert found[1].distance_A == pytest.approx(0.01 * np.sqrt(3), rel=0.2)


def test_supercell_of_a_crystal_is_a_duplicate_of_its_cell():
    small, large = (Structure.from_ase(bulk("Si", cubic=True, a=5.43) * (n, n, n)) for n in (1, 2))
    assert duplicates.matches([small], [large])[0].kind == "duplicate"
