"""Lattice dynamics and normal modes.

Oracles: the closed dispersion of nearest-neighbour springs, a dense Hessian by finite differences of the
whole supercell, Einstein's functions, textbook molecules, and frequencies published with a DFT data set.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

from mlipbench.analysis import phonons, vibrations
from mlipbench.core.errors import DataError
from mlipbench.core.structure import Structure
from mlipbench.core.units import BOLTZMANN, COULOMB, conversion_factor
from mlipbench.data.phonon_reference import read_phonons
from mlipbench.potentials.analytic import born_mayer_nacl, lennard_jones_argon, stillinger_weber_silicon
from mlipbench.potentials.ase import tersoff_silicon
from mlipbench.potentials.harmonic import HarmonicSolid

SHARED = Path(os.environ.get("MLIPBENCH_DATA") or Path(__file__).parents[3] / "shared" / "data")
PER_CM = conversion_factor("THz", "cm^-1")
SPRING, MASS = 1.3, 39.95  # eV/A^2, u


def springs(structure, reach):
    """Force constants (3 n, 3 n) of springs between neighbours closer than `reach` A, images included."""
    n = len(structure)
    shifts = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T @ structure.cell
    shifts = np.unique(shifts, axis=0)  # a molecule has one
    r = structure.positions[None, :, None] + shifts - structure.positions[:, None, None]
    length = np.linalg.norm(r, axis=-1)
    near = (length > 0.1) & (length < reach)
    unit = np.where(near[..., None], r / np.where(near, length, 1.0)[..., None], 0.0)
    phi = -SPRING * np.einsum("ijsa,ijsb->iajb", unit, unit)
    for i in range(n):
        phi[i, :, i] -= phi[i].sum(axis=1)
    return phi.reshape(3 * n, 3 * n)


def fcc_dispersion(q_cartesian, a):
    """Frequencies in THz of fcc with nearest-neighbour springs: D = 2k/m sum n n^T sin^2(q.r/2), twelve n."""
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    neighbours = np.array([np.insert(s, k, 0) for k in range(3) for s in signs]) * a / 2
    unit = neighbours / np.linalg.norm(neighbours, axis=1)[:, None]
    weights = 2 * SPRING / MASS * np.sin(neighbours @ q_cartesian / 2) ** 2
    return phonons.THZ * np.sqrt(np.abs(np.linalg.eigvalsh((unit * weights[:, None]).T @ unit)))


def dynamics(potential, crystal, distance=0.01):
    moves = phonons.displacements(crystal, distance)
    answers = potential.evaluate(moves.structures(crystal.supercell))
    phi = phonons.force_constants(crystal, moves, np.array([a.forces for a in answers]))
    return phonons.Dynamics(crystal, phonons.symmetrised(phi)), phi


def test_harmonic_crystal_has_the_frequencies_of_its_force_constants():
    """To 1e-6 THz: an error of a sign, a phase, a mass or a unit (CODATA 2014 gives 2e-6) would show."""
    a = 5.3
    start = Structure.from_ase(bulk("Ar", cubic=True, a=a) * (3, 3, 3))
    start = Structure(start.numbers, start.positions, start.cell, start.pbc, np.full(len(start), MASS))
    crystal = phonons.crystal(start, (1, 1, 1), 1e-5)
    assert len(crystal.primitive) == 1
    found, phi = dynamics(HarmonicSolid(start, springs(start, 0.8 * a)), crystal)
    assert phonons.violation(phi).asymmetry < 1e-9 * phonons.violation(phi).scale
    q, n_apart = found.exact_points()
    assert len(q) == 108
    assert n_apart < 20
    reciprocal = 2 * np.pi * np.linalg.inv(found.cell).T
    expected = np.array([fcc_dispersion(point @ reciprocal, a) for point in q])
    counted = phonons.optical_only(q, 3)
    assert counted.sum() == 107 * 3
    assert np.abs(found.frequencies(q) - expected)[counted].max() < 1e-6
    assert np.abs(found.frequencies(q)[~counted]).max() < 1e-5


@pytest.mark.parametrize("make", [stillinger_weber_silicon, tersoff_silicon])
def test_silicon_has_the_frequencies_of_its_dense_hessian(make):
    """All modes of a 16-atom supercell at once, no symmetry used: to 0.003 THz, what anharmonicity makes of
    the differences; one wrong neighbour shell would be 0.1 THz."""
    potential = make()
    crystal = phonons.crystal(Structure.from_ase(bulk("Si", a=5.431)), (2, 2, 2), 1e-5)
    found, _ = dynamics(potential, crystal, 0.003)
    q, _ = found.exact_points()
    cell = crystal.supercell
    moved = vibrations.hessian_moves(cell, 0.003)
    matrix = vibrations.hessian(np.array([a.forces for a in potential.evaluate(moved)]), 0.003)
    dense = phonons.THZ * np.sqrt(np.abs(np.linalg.eigvalsh(0.5 * (matrix + matrix.T)) / cell.masses[0]))
    ours = np.sort(found.frequencies(q).reshape(-1))
    assert len(ours) == 48
    assert np.abs(ours[3:] - np.sort(dense)[3:]).max() < 3e-3
    assert ours[-1] == pytest.approx({"stillinger": 17.83, "tersoff_si": 16.1}[make.__name__[:10]], abs=0.1)


def test_modes_are_what_the_energy_curves_along():
    """Energy along a pattern: (E(u) - E(0)) 2 / u^2 = (2 pi f)^2 sum m u^2 / u^2, by three energies."""
    potential = stillinger_weber_silicon()
    crystal = phonons.crystal(Structure.from_ase(bulk("Si", a=5.431)), (2, 2, 2), 1e-5)
    found, _ = dynamics(potential, crystal, 0.003)
    q = found.exact_points()[0][3]
    rows = found.frequencies(q[None])[0]
    cell, step = crystal.supercell, 0.002
    for band in range(6):
        pattern = found.pattern(q, band)
        three = [cell.with_positions(cell.positions + s * pattern) for s in (step, 0.0, -step)]
        up, rest, down = (a.energy for a in potential.evaluate(three))
        curvature = (up + down - 2 * rest) / step**2
        inertia = float((cell.masses[:, None] * pattern**2).sum())
        assert phonons.THZ * np.sqrt(curvature / inertia) == pytest.approx(rows[band], rel=2e-3)


def test_two_dynamics_of_one_crystal_do_not_share_anything():
    crystal = phonons.crystal(Structure.from_ase(bulk("Si", a=5.431)), (2, 2, 2), 1e-5)
    first, phi = dynamics(stillinger_weber_silicon(), crystal)
    q = np.array([[0.5, 0.5, 0.5]])
    before = first.frequencies(q)
    other = phonons.Dynamics(crystal, 4 * phonons.symmetrised(phi))
    np.testing.assert_allclose(other.frequencies(q), 2 * before, rtol=1e-10)
    np.testing.assert_array_equal(first.frequencies(q), before)


def test_sum_rule_is_imposed_exactly_and_changes_nothing_that_obeys_it():
    rng = np.random.default_rng(0)
    phi = rng.normal(size=(4, 4, 3, 3))
    sound = phonons.symmetrised(phi)
    v = phonons.violation(sound)
    assert v.sum_rule < 1e-14
    assert v.asymmetry < 1e-14
    np.testing.assert_allclose(phonons.symmetrised(sound), sound, atol=1e-15)
    # The nearest of all that obey both rules: what was taken off is orthogonal to every one of them.
    assert abs(((phi - sound) * phonons.symmetrised(rng.normal(size=phi.shape))).sum()) < 1e-12


def test_optical_modes_at_gamma_are_told_from_acoustic_ones_also_where_they_are_imaginary():
    crystal = phonons.crystal(Structure.from_ase(bulk("Si", a=5.431)), (1, 1, 1), 1e-5)
    phi = np.zeros((2, 2, 3, 3))
    phi[0, 0] = phi[1, 1] = -np.eye(3)
    phi[0, 1] = phi[1, 0] = np.eye(3)
    rows = phonons.Dynamics(crystal, phi).frequencies(np.array([[0.0, 0, 0], [1.0, 0, 0]]))
    expected = -phonons.THZ * np.sqrt(2 / crystal.primitive.masses[0])
    np.testing.assert_allclose(rows[:, 3:], expected, rtol=1e-6)
    assert np.abs(rows[:, :3]).max() < 1e-5


def test_a_cell_that_spans_no_space_is_refused():
    flat = Structure.from_ase(bulk("Si", a=5.431))
    flat = flat.with_positions(flat.positions, np.diag([5.0, 5.0, 0.0]))
    with pytest.raises(DataError, match="spans space"):
        phonons.crystal(flat, (1, 1, 1), 1e-5)


def test_supercells_are_as_thick_as_asked():
    cell = Structure.from_ase(bulk("Si", a=5.431))  # its planes are 3.14 A apart
    assert phonons.multiples(cell, 9.4) == (3, 3, 3)
    assert phonons.multiples(cell, 9.5) == (4, 4, 4)


needs_data = pytest.mark.skipif(
    not (SHARED / "nacl_dft_222.xyz").exists(), reason="set MLIPBENCH_DATA to the folder of the public sets"
)


@needs_data
def test_rock_salt_from_public_forces_has_its_published_frequencies(tmp_path):
    """TO 168 and, with Born charges, LO 256 cm^-1 at Gamma, fitted by symfc to 100 supercells all of whose
    atoms are displaced. A forgotten mass, charge or neutralising factor moves them by tens."""
    given = json.loads((SHARED / "nacl_dft_nac.json").read_text())
    path = tmp_path / "nacl.yaml"
    write_phonopy_yaml(path, given, read(SHARED / "nacl_dft_222.xyz", ":"))
    reference = read_phonons(path)
    found = phonons.Dynamics.of_reference(reference, 1e-5)
    optical = PER_CM * found.gamma_along(np.array([1.0, 0.0, 0.0]))[3:]
    assert optical == pytest.approx([168, 168, 256], abs=1.0)
    plain = PER_CM * found.frequencies(np.zeros((1, 3)))[0]
    assert plain[3:] == pytest.approx([168] * 3, abs=1.0)
    assert np.abs(plain[:3]).max() < 1.0


def write_phonopy_yaml(path, given, frames):
    """A phonopy file of random displacements, written by phonopy itself."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(**given["unitcell"])
    primitive = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    phonon = Phonopy(cell, supercell_matrix=np.diag([2, 2, 2]), primitive_matrix=primitive, log_level=0)
    moved = np.array([frame.positions for frame in frames]) - phonon.supercell.positions
    moved -= np.rint(moved @ np.linalg.inv(phonon.supercell.cell)) @ phonon.supercell.cell
    assert np.linalg.norm(moved, axis=2).max() < 0.1  # the same order of atoms
    forces = np.array([frame.get_forces() for frame in frames])
    phonon.dataset = {"displacements": moved, "forces": forces}
    born = np.array(given["born_primitive"], dtype=float)
    phonon.nac_params = {"born": born, "dielectric": np.array(given["dielectric"], dtype=float)}
    phonon.save(str(path), settings={"force_sets": True, "displacements": True, "born_effective_charge": True,
                                     "dielectric_constant": True, "force_constants": False})  # fmt: skip


# ---------------------------------------------------------------- thermodynamics
def test_einstein_solid():
    """Closed formulas of one frequency; and Dulong-Petit, kT ln(x) at high temperature."""
    f, t = 5.0, 300.0
    x = conversion_factor("THz", "eV") * f / (BOLTZMANN * t)
    found = vibrations.thermal(np.full(7, f), np.full(7, 1 / 7), t)
    assert found.heat_capacity == pytest.approx(3 * x**2 * np.exp(x) / (np.exp(x) - 1) ** 2, rel=1e-12)
    assert found.free_energy == pytest.approx(3 * BOLTZMANN * t * (x / 2 + np.log(1 - np.exp(-x))), rel=1e-12)
    assert vibrations.thermal(np.array([f]), np.ones(1), 1e5).heat_capacity == pytest.approx(3, rel=1e-5)
    assert vibrations.thermal(np.array([f]), np.ones(1), 1.0).heat_capacity < 1e-90


def test_imaginary_modes_do_not_count_and_are_told():
    found = vibrations.thermal(np.array([-1.0, 5.0]), np.array([0.25, 0.75]), 300.0)
    alone = vibrations.thermal(np.array([5.0]), np.ones(1), 300.0)
    assert found.left_out == pytest.approx(0.25)
    assert found.heat_capacity == pytest.approx(alone.heat_capacity)


def test_density_of_states_holds_all_modes_where_they_are():
    grid = np.linspace(-2, 12, 1401)
    found = vibrations.density_of_states(np.array([2.0, 8.0]), np.array([1.0, 2.0]), grid, 0.2)
    assert found.sum() * 0.01 == pytest.approx(3.0, rel=1e-6)
    assert (grid * found).sum() / found.sum() == pytest.approx(6.0, abs=0.02)
    assert grid[found.argmax()] == pytest.approx(8.0, abs=0.02)


# ---------------------------------------------------------------- molecules
def test_triangle_of_springs():
    """Equilateral: breathing at 3k/m, a pair at 3k/2m (Landau and Lifshitz, Mechanics, section 24)."""
    h = np.sqrt(0.75)
    positions = 3.0 * np.array([[0.0, 0, 0], [1, 0, 0], [0.5, h, 0]]) + [7.0, -2.0, 1.0]
    atoms = Structure(np.full(3, 18), positions, np.zeros((3, 3)), np.zeros(3, dtype=bool), np.full(3, MASS))
    found = vibrations.normal_modes(atoms, springs(atoms, 3.5))
    unit = phonons.THZ * np.sqrt(SPRING / MASS)
    np.testing.assert_allclose(found.frequencies, unit * np.sqrt([1.5, 1.5, 3.0]), rtol=1e-9)
    assert len(found.rigid) == 6
    assert np.abs(found.rigid).max() < 1e-6
    assert vibrations.n_modes(atoms) == 3


def test_linear_molecule_has_one_more_vibration():
    """CO2-like: symmetric stretch k/m_O, antisymmetric k (m_C + 2 m_O)/(m_C m_O), and two bends of no
    stiffness, which springs along the axis do not resist."""
    positions = np.array([[0.0, 0, -1.16], [0, 0, 0], [0, 0, 1.16]])
    masses = np.array([16.0, 12.0, 16.0])
    atoms = Structure(np.array([8, 6, 8]), positions, np.zeros((3, 3)), np.zeros(3, dtype=bool), masses)
    found = vibrations.normal_modes(atoms, springs(atoms, 1.5))
    expected = phonons.THZ * np.sqrt(SPRING * np.array([1 / 16, 44 / (12 * 16)]))
    assert vibrations.n_modes(atoms) == len(found.frequencies) == 4
    np.testing.assert_allclose(found.frequencies[2:], expected, rtol=1e-9)
    assert np.abs(found.frequencies[:2]).max() < 1e-6


def test_argon_dimer_by_differences():
    """sqrt(2 V''/m) with V'' = 72 eps / (2^(1/3) sigma^2) at the minimum of a Lennard-Jones well."""
    potential = lennard_jones_argon(switch_from_A=7.0, cutoff_A=8.5)
    eps, sigma = 120.0 * BOLTZMANN, 3.4
    r0 = 2 ** (1 / 6) * sigma
    positions = np.array([[0.0, 0, 0], [r0, 0, 0]])
    atoms = Structure(np.full(2, 18), positions, np.zeros((3, 3)), np.zeros(3, dtype=bool), np.full(2, MASS))
    moved = vibrations.hessian_moves(atoms, 0.003)
    matrix = vibrations.hessian(np.array([a.forces for a in potential.evaluate(moved)]), 0.003)
    expected = phonons.THZ * np.sqrt(2 * 72 * eps / (2 ** (1 / 3) * sigma**2) / MASS)
    assert vibrations.normal_modes(atoms, matrix).frequencies == pytest.approx([expected], rel=1e-4)


def test_rigid_ions_split_as_their_charges_say():
    """LO^2 - TO^2 = 4 pi q^2 / (V mu) for rigid ions of charge q (Born and Huang, section 7), which the
    force constants of any supercell do not know and Born charges of q bring back."""
    potential, q = born_mayer_nacl(), 1.0
    crystal = phonons.crystal(Structure.from_ase(bulk("NaCl", "rocksalt", a=5.6325)), (2, 2, 2), 1e-5)
    _, phi = dynamics(potential, crystal)
    born = np.array([q * np.eye(3), -q * np.eye(3)])
    found = phonons.Dynamics(crystal, phonons.symmetrised(phi), born, np.eye(3))
    to, _, lo = found.gamma_along(np.array([0.5, 0.5, 0.0]))[3:]
    m = crystal.primitive.masses
    split = phonons.THZ**2 * 4 * np.pi * COULOMB * q**2 * (1 / m[0] + 1 / m[1]) / crystal.primitive.volume
    assert lo**2 - to**2 == pytest.approx(split, rel=1e-6)
    bands = found.bands(found.path(60))
    assert bands[0][0, -1] == pytest.approx(lo, rel=1e-6)  # the path leaves Gamma along a direction
