"""The suite `phonons`: sound controls and broken twins, planted factors, molecules.

Oracles: a potential against its own force constants (no error, slope 1), a factor on all forces (the slope
is its root), structures that cannot be stable, springs with closed formulas.
"""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from fakes import Fake, run, verdicts

from mlipbench.analysis import phonons
from mlipbench.core.errors import InputError
from mlipbench.core.reference import Curve, PhononReference
from mlipbench.core.structure import Structure
from mlipbench.potentials import faulty
from mlipbench.potentials.analytic import (
    born_mayer_nacl,
    harmonic_argon,
    lennard_jones_argon,
    morse_copper,
    stillinger_weber_silicon,
)
from mlipbench_suites.phonons import Phonons

CRYSTAL = {"crystal": "diamond", "symbol": "Si"}
SILICON = Structure.from_ase(bulk("Si", a=5.431))
SMALL = {"supercell": (2, 2, 2)}  # 6 A: quick, and never a PASS


def phonons_of(potential, start, **params):
    fake = Fake(start=start, potential=potential)
    return run(Phonons, fake, structure=CRYSTAL, **{"mesh_A": 25.0, **params})


@pytest.fixture(scope="module")
def reference():
    """Stillinger-Weber silicon as a reference: what phonopy's file would hold."""
    crystal = phonons.crystal(SILICON, (3, 3, 3), 1e-4)
    moves = phonons.displacements(crystal, 0.01)
    answers = stillinger_weber_silicon().evaluate(moves.structures(crystal.supercell))
    phi = phonons.symmetrised(phonons.force_constants(crystal, moves, np.array([a.forces for a in answers])))
    rows = [0, 27]  # the atoms of the primitive cell
    cells = (np.eye(3), crystal.primitive, crystal.supercell)
    return PhononReference(SILICON, crystal.supercell_matrix, *cells, phi[rows], None, None)


def against(reference, potential, **params):
    fake = Fake(potential=potential, references={"si": reference}, theories={"si": "SW"})
    return run(Phonons, fake, reference={"reference": "si"}, mesh_A=25.0, **params)


def test_sound_control_passes_against_its_own_force_constants(reference):
    outcome, m = against(reference, stillinger_weber_silicon())
    assert set(verdicts(Phonons, outcome).values()) == {"PASS"}
    assert m["frequency_mae"].value < 0.01  # the lattice constant is relaxed by 1e-5, nothing else differs
    assert abs(m["softening"].value) < 1e-3
    assert m["frequency_mae_cm"].value == pytest.approx(33.3564 * m["frequency_mae"].value, rel=1e-5)
    assert abs(m["free_energy_error@300K"].value) < 0.1
    assert m["noise_floor"].value < 0.01
    assert "SW" in m["frequency_mae"].note
    assert "reference force constants (SW)" in outcome.methods
    bands = next(f for f in outcome.figures if f.id == "phonons-bands").panels[0]
    roles = [s.role for s in bands.series]
    assert roles == ["data", "reference", "limit"]
    assert [name for _, name in bands.xticks][:2] == ["Γ", "X"]
    assert bands.series[0].y.count(None) == 6 * 10  # a gap behind each of six bands on ten stretches


def test_born_charges_of_a_reference_are_used_for_both_and_said_to_decide_nothing():
    """Ions of charge 2 in the reference's file: the exact frequencies do not know them, the bands do."""
    start = Structure.from_ase(bulk("NaCl", "rocksalt", a=5.6325))
    crystal = phonons.crystal(start, (2, 2, 2), 1e-4)
    moves = phonons.displacements(crystal, 0.01)
    answers = born_mayer_nacl().evaluate(moves.structures(crystal.supercell))
    phi = phonons.force_constants(crystal, moves, np.array([a.forces for a in answers]))
    cells = (crystal.supercell_matrix, np.eye(3), crystal.primitive, crystal.supercell)
    plain = PhononReference(start, *cells, phonons.symmetrised(phi)[[0, 8]], None, None)
    born = np.array([2.0 * np.eye(3), -2.0 * np.eye(3)])
    polar = replace(plain, born_charges=born, dielectric=3.0 * np.eye(3))
    (_, without), (outcome, m) = (against(r, born_mayer_nacl()) for r in (plain, polar))
    assert m["frequency_mae"].value == pytest.approx(without["frequency_mae"].value, abs=1e-6)
    assert m["highest_frequency"].value > without["highest_frequency"].value + 1
    assert any("says nothing about the potential" in note for note in outcome.notes)
    assert "[@gonze1997]" in outcome.methods


def test_single_precision_is_no_fault():
    """Forces rounded to float32: residual forces and noise stay far below what decides."""
    twin = faulty.float32_noise(stillinger_weber_silicon())
    outcome, m = phonons_of(twin, SILICON, supercell=(3, 3, 3))
    assert verdicts(Phonons, outcome) == {"lowest_frequency": "PASS", "left_its_phase": "PASS"}
    assert m["noise_floor"].value < 0.01
    assert outcome.notes == []


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_softened_and_hardened_twins_fail_by_the_root_of_their_factor(reference, factor):
    outcome, m = against(reference, faulty.softened(stillinger_weber_silicon(), factor=factor), **SMALL)
    assert m["softening"].value == pytest.approx(1 - np.sqrt(factor), abs=2e-3)
    found = verdicts(Phonons, outcome)
    assert found["frequency_mae"] == found["softening"] == "FAIL"
    assert found["lowest_frequency"] != "FAIL"
    (words,) = (note for note in outcome.notes if "systematically" in note)
    assert ("softer" if factor < 1 else "harder") in words


def test_stable_crystals_pass():
    for potential, start in (
        (harmonic_argon(), bulk("Ar", a=5.26)),
        (born_mayer_nacl(), bulk("NaCl", "rocksalt", a=5.64)),
        (morse_copper(), bulk("Cu", "hcp", a=2.55, c=4.2) * (4, 4, 2)),
    ):
        n = 3 if len(start) < 3 else 1
        outcome, _ = phonons_of(potential, Structure.from_ase(start), supercell=(n, n, n))
        assert verdicts(Phonons, outcome) == {"lowest_frequency": "PASS", "left_its_phase": "PASS"}


def test_buckling_silicon_fails_and_shows_its_mode():
    """Without resistance of the angles (lambda < 0) the diamond lattice shears: a real imaginary mode."""
    outcome, m = phonons_of(stillinger_weber_silicon(lambda_=-2.0), SILICON, **SMALL)
    assert verdicts(Phonons, outcome)["lowest_frequency"] == "FAIL"
    assert m["lowest_frequency"].value < -1.0
    assert m["imaginary_share"].value > 10
    picture = next(f for f in outcome.figures if f.id == "phonons-lowest-mode")
    assert len(picture.arrows) == len(picture.numbers) == 16
    assert np.linalg.norm(picture.arrows, axis=1).max() == pytest.approx(1.0, abs=1e-3)
    assert abs(m["volume_change"].value) < 0.1  # angles cost nothing in the ideal lattice


def test_simple_cubic_argon_fails():
    """A lattice that pair forces do not hold."""
    outcome, _ = phonons_of(lennard_jones_argon(), Structure.from_ase(bulk("Ar", "sc", a=3.7)))
    assert verdicts(Phonons, outcome)["lowest_frequency"] == "FAIL"


def test_imaginary_only_between_the_exact_wave_vectors_is_not_scored():
    """NaCl squeezed into the CsCl lattice, three cells: the long range of the charges makes the interpolation
    swing to -0.4 THz at the edge of the zone, where the exact frequencies of two cells are above 2 THz."""
    start = Structure.from_ase(bulk("NaCl", "cesiumchloride", a=3.3))
    outcome, m = phonons_of(born_mayer_nacl(), start, supercell=(3, 3, 3), cell="fixed")
    assert verdicts(Phonons, outcome)["lowest_frequency"] == "INCONCLUSIVE"
    assert "no exact frequency is imaginary; repeat with a larger supercell" in m["lowest_frequency"].note
    _, m = phonons_of(born_mayer_nacl(), start, supercell=(2, 2, 2), cell="fixed")
    assert m["lowest_frequency"].value > 0


def test_crystal_without_a_minimum_leaves_its_phase():
    """Repulsion alone: the cell grows until it is given up, and nothing is computed."""
    start = Structure.from_ase(bulk("NaCl", "rocksalt", a=5.64))
    outcome, m = phonons_of(born_mayer_nacl(charge_e=0.0), start)
    found = verdicts(Phonons, outcome)
    assert found["left_its_phase"] == "FAIL"
    assert found["lowest_frequency"] == "INCONCLUSIVE"
    assert "does not come to rest" in m["left_its_phase"].note
    assert outcome.figures == []


class EggBox(faulty.Faulty):
    """Atoms slide to where a wave in space is low: a potential that knows places."""

    def spoil(self, structure, positions, answer):
        x = 2 * np.pi * positions[..., 0] / 2.0
        forces = answer.forces.copy()
        forces[..., 0] += 0.1 * np.pi * np.sin(x + 1.0)
        return replace(answer, energies=answer.energies + 0.1 * np.cos(x + 1.0).sum(axis=1), forces=forces)


def test_lost_symmetry_is_found():
    start = Structure.from_ase(bulk("Si", a=5.431, cubic=True))
    outcome, m = phonons_of(EggBox(stillinger_weber_silicon()), start, supercell=(1, 1, 1), cell="fixed")
    assert verdicts(Phonons, outcome)["left_its_phase"] == "FAIL"
    assert "Fd-3m (227) at the start" in m["left_its_phase"].note


def test_a_crystal_that_loses_the_translations_of_its_reference_has_left_its_phase():
    """The reference has two atoms in its primitive cell, the crystal at rest eight: bands cannot be told
    apart one by one. One verdict, where phonopy raises."""
    cell = Structure.from_ase(bulk("Si", a=5.431, cubic=True))
    crystal = phonons.crystal(cell, (1, 1, 1), 1e-4)
    cells = (crystal.primitive_matrix, crystal.primitive, crystal.supercell)
    reference = PhononReference(cell, crystal.supercell_matrix, *cells, np.zeros((2, 8, 3, 3)), None, None)
    outcome, m = against(reference, EggBox(stillinger_weber_silicon()), cell="fixed")
    found = verdicts(Phonons, outcome)
    assert found == {"left_its_phase": "FAIL", "lowest_frequency": "INCONCLUSIVE"}
    assert "no longer as the primitive cell of the reference" in m["left_its_phase"].note
    assert "no longer" in m["lowest_frequency"].note


def words_of(potential, **params):
    outcome, m = phonons_of(potential, SILICON, cell="fixed", supercell=(3, 3, 2), **params)
    return " ".join(outcome.notes), m


def test_noise_anharmonicity_and_curl_are_told_apart():
    """By how each goes with the displacement: as 1/h, as h^2, and not at all."""
    sound, m = words_of(stillinger_weber_silicon())
    assert sound == ""
    noisy, n = words_of(faulty.force_noise(stillinger_weber_silicon(), sigma_eV_per_A=0.01))
    assert "is noise of the forces" in noisy
    assert n["noise_floor"].value > 100 * m["noise_floor"].value
    wide, _ = words_of(stillinger_weber_silicon(), displacement_A=0.1, check_displacement_A=0.3)
    assert "the crystal is anharmonic" in wide
    curl, _ = words_of(faulty.non_conservative(stillinger_weber_silicon(), strength_eV_per_A=0.02))
    assert "no gradient of an energy" in curl


def test_forces_that_do_not_respond_are_no_evidence():
    """Residual forces as large as the response: what is positive cannot PASS."""
    twin = faulty.force_noise(stillinger_weber_silicon(), sigma_eV_per_A=0.02)
    outcome, m = phonons_of(twin, SILICON, cell="fixed", **SMALL)
    assert m["lowest_frequency"].evidence["response"] < 20
    assert verdicts(Phonons, outcome)["lowest_frequency"] != "PASS"


def test_what_is_declared_is_what_is_evaluated():
    """As many supercells as the plan was told, of the same sizes; the unit cell for its relaxation."""
    fake = Fake(start=SILICON, potential=stillinger_weber_silicon())
    params = Phonons.Params(structure=CRYSTAL, supercell=(2, 2, 2), cell="fixed")
    declared = Phonons().structures(params, fake)
    Phonons().produce(params, fake)
    supercells = [s for s in declared if len(s) == 16]
    assert len(supercells) == 1 + len(fake.array("forces")) + len(fake.array("forces_check"))
    assert {len(s) for s in declared} == {2, 16}


def test_inputs_are_refused_in_words():
    with pytest.raises(ValueError, match="exactly one of structure, reference"):
        Phonons.Params(structure=CRYSTAL, reference={"file": "x.yaml"})
    with pytest.raises(ValueError, match="exactly one of structure, reference"):
        Phonons.Params()
    with pytest.raises(ValueError, match="two different displacements"):
        Phonons.Params(structure=CRYSTAL, check_displacement_A=0.01)
    with pytest.raises(ValueError, match="molecule_reference with a structure"):
        Phonons.Params(reference={"file": "x.yaml"}, molecule_reference={"file": "m.csv"})
    slab = Structure.from_ase(Atoms("Si", cell=[3, 3, 12], pbc=[True, True, False]))
    with pytest.raises(InputError, match="set cell: fixed"):
        Phonons().structures(Phonons.Params(structure=CRYSTAL), Fake(start=slab))


# ---------------------------------------------------------------- molecules
R0 = 2 ** (1 / 6) * 3.4
TRIANGLE = Structure.from_ase(
    Atoms("Ar3", positions=R0 * np.array([[0, 0, 0], [1.02, 0, 0], [0.49, np.sqrt(0.75), 0]]))
)


def frequencies(values):
    n = np.arange(1.0, len(values) + 1)
    return Curve("mode", n, "1", "f", np.array(values), "cm^-1", None, "Lennard-Jones", "a test", None, None)


def molecule(potential, start=TRIANGLE, curve=None):
    fake = Fake(start=start, potential=potential, references={} if curve is None else {"m": curve})
    named = {} if curve is None else {"molecule_reference": {"reference": "m"}}
    return run(Phonons, fake, structure={"file": "a.xyz"}, **named)


def expected_triangle(potential):
    """3k/2m twice and 3k/m of the equilateral triangle at rest (Landau and Lifshitz, section 24)."""
    h = 1e-3
    pair = Structure.from_ase(Atoms("Ar2", positions=[[0, 0, 0], [R0, 0, 0]]))
    moved = [pair.with_positions(np.array([[0, 0, 0], [R0 + s, 0, 0]])) for s in (h, 0, -h)]
    up, rest, down = (a.energy for a in potential.evaluate(moved))
    k = (up + down - 2 * rest) / h**2
    return 33.3564095 * phonons.THZ * np.sqrt(k / pair.masses[0] * np.array([1.5, 1.5, 3.0]))


def test_molecule_relaxes_and_has_the_modes_of_a_triangle():
    potential = lennard_jones_argon()
    expected = expected_triangle(potential)
    outcome, m = molecule(potential, curve=frequencies(expected))
    assert set(verdicts(Phonons, outcome).values()) == {"PASS"}
    assert m["molecule_mae"].value < 0.02
    assert m["lowest_frequency"].value == pytest.approx(expected[0] / 33.3564095, rel=1e-3)
    assert m["rigid_frequency"].value < 0.5
    assert [row[1] for row in outcome.tables[0].rows] == pytest.approx(expected, rel=1e-3)
    assert "Normal modes" in outcome.methods


def test_softened_molecule_fails_by_the_root_of_its_factor():
    potential = lennard_jones_argon(epsilon_eV=4.0)  # stiff: 10 cm^-1 are far below its frequencies
    curve = frequencies(expected_triangle(potential))
    assert set(verdicts(Phonons, molecule(potential, curve=curve)[0]).values()) == {"PASS"}
    outcome, m = molecule(faulty.softened(potential, factor=0.64), curve=curve)
    assert m["softening"].value == pytest.approx(0.2, abs=1e-3)
    assert verdicts(Phonons, outcome)["molecule_mae"] == "FAIL"


def test_saddle_point_of_a_molecule_fails_and_shows_its_mode():
    """Three argon atoms in a line are at rest by symmetry, and fold."""
    line = Structure.from_ase(Atoms("Ar3", positions=[[0, 0, 0], [3.8, 0, 0], [7.6, 0, 0]]))
    outcome, _ = molecule(lennard_jones_argon(epsilon_eV=1.0), start=line)
    assert verdicts(Phonons, outcome)["lowest_frequency"] == "FAIL"
    assert len(outcome.tables[0].rows) == 4
    assert any(f.id == "phonons-lowest-mode" for f in outcome.figures)


def test_molecule_references_are_checked_before_anything_is_computed():
    params = Phonons.Params(structure={"file": "a.xyz"}, molecule_reference={"reference": "m"})
    fake = Fake(start=TRIANGLE, references={"m": frequencies([1.0, 2.0])})
    with pytest.raises(InputError, match=r"has 2 frequencies, a molecule of 3 atoms like this has\s+3"):
        Phonons().structures(params, fake)
    with pytest.raises(InputError, match="molecule_reference is for molecules"):
        Phonons().structures(params, Fake(start=SILICON, references=fake.references))


def test_atom_alone_says_that_it_does_not_vibrate():
    atom = Structure.from_ase(Atoms("Ar"))
    outcome, m = molecule(lennard_jones_argon(), start=atom)
    assert m["lowest_frequency"].value is None
    assert verdicts(Phonons, outcome)["lowest_frequency"] == "INCONCLUSIVE"
