"""The suite `eos_elastic`: sound controls and broken twins.

Oracles: second derivatives of the lattice energy of an ionic crystal as sums over pairs (Coulomb in Evjen's
cubes), published elastic constants of Tersoff's and of Stillinger and Weber's silicon, energies in place of
stresses, factors on the whole potential.
"""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from fakes import Fake, run, verdicts

from mlipbench.core.errors import InputError
from mlipbench.core.reference import Curve, Scalar
from mlipbench.core.structure import Structure
from mlipbench.core.units import COULOMB, EV_PER_A3_IN_GPA
from mlipbench.potentials import faulty
from mlipbench.potentials.analytic import (
    born_mayer_nacl,
    harmonic_argon,
    lennard_jones_argon,
    morse_copper,
    stillinger_weber_silicon,
)
from mlipbench.potentials.ase import tersoff_silicon
from mlipbench_suites.eos_elastic import EosElastic

CRYSTAL = {"crystal": "diamond", "symbol": "Si"}
SILICON = Structure.from_ase(bulk("Si", a=5.44))


def scalar(value, unit="GPa", error=None):
    return Scalar("x", value, unit, error, "published", "a test", 0.0, None)


def crystal_of(potential, start, references=None, **params):
    fake = Fake(start=start, potential=potential, references=references or {})
    return run(EosElastic, fake, structure=CRYSTAL, **params)


def constants(m):
    return {k.partition("constant=")[2]: v.value for k, v in m.items() if k.startswith("elastic_constant")}


PUBLISHED = {  # GPa
    stillinger_weber_silicon: (151.4, 76.4, 56.4),  # E. R. Cowley, Phys. Rev. Lett. 60, 2379 (1988)
    tersoff_silicon: (142.5, 75.4, 69.0),  # J. Tersoff, Phys. Rev. B 38, 9902 (1988), Si(C)
}
NAMES = ("C11", "C12", "C44")


@pytest.mark.parametrize("make", PUBLISHED)
def test_silicon_has_its_published_constants(make):
    """To the digits printed; clamped atoms would make C44 109 GPa, gamma for epsilon twice as much."""
    outcome, m = crystal_of(make(), SILICON)
    assert [constants(m)[n] for n in NAMES] == pytest.approx(PUBLISHED[make], abs=0.11)
    c11, c12, _ = PUBLISHED[make]
    assert m["bulk_modulus"].value == pytest.approx((c11 + 2 * c12) / 3, rel=0.003)
    assert set(verdicts(EosElastic, outcome).values()) == {"PASS"}
    assert abs(m["bulk_modulus_agreement"].value) < 0.2


def ionic_second_derivatives(a, potential):
    """C11, C12 in GPa of rock salt at rest: (1/V) sum (V'' - V'/r)/r^2 x_a x_a x_b x_b over the neighbours of
    an ion, V of one pair of ions; Coulomb over Evjen's cube, whose faces count 1/2, edges 1/4, corners 1/8.
    """
    half, n = a / 2, 16
    grid = np.arange(-n, n + 1)
    i = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    i = i[np.abs(i).sum(axis=1) > 0]
    share = (0.5 ** (np.abs(i) == n)).prod(axis=1)
    sign = 1.0 - 2.0 * (np.abs(i).sum(axis=1) % 2)
    x = half * i
    r = np.linalg.norm(x, axis=1)
    coulomb = sign * share * COULOMB * 3 / r**3  # V'' - V'/r of q q'/r
    wall = np.where(sign < 0, potential.repulsion_eV * np.exp(-r / potential.rho), 0.0)
    both = coulomb + wall * (1 / potential.rho**2 + 1 / (potential.rho * r))
    volume = 2 * half**3
    c11 = (both * x[:, 0] ** 4 / r**2).sum() / volume
    c12 = (both * x[:, 0] ** 2 * x[:, 1] ** 2 / r**2).sum() / volume
    return EV_PER_A3_IN_GPA * c11, EV_PER_A3_IN_GPA * c12


class Wall:
    """What the sums need of the potential: Kittel's parameters."""

    repulsion_eV = 1.05e-8 / 1.602176634e-12 / 6
    rho = 0.321


def test_ionic_crystal_has_its_analytic_second_derivatives():
    """To 0.02 GPa (Coulomb alone is -60 GPa of C11); C12 = C44, as Cauchy demands of central forces."""
    start = Structure.from_ase(bulk("NaCl", "rocksalt", a=5.6))
    outcome, m = crystal_of(born_mayer_nacl(), start)
    a = (4 * 2 * m["volume"].value) ** (1 / 3)
    c11, c12 = ionic_second_derivatives(a, Wall)
    found = constants(m)
    assert found["C11"] == pytest.approx(c11, abs=0.02)
    assert found["C12"] == pytest.approx(c12, abs=0.02)
    assert found["C44"] == pytest.approx(c12, abs=0.02)
    assert m["bulk_modulus"].value == pytest.approx((c11 + 2 * c12) / 3, rel=0.002)
    assert set(verdicts(EosElastic, outcome).values()) == {"PASS"}


class WithoutStress(faulty.Faulty):
    """A sound potential that knows no stress."""

    @property
    def capabilities(self):
        known = self.base.capabilities
        return replace(known, properties=known.properties - {"stress"})

    def spoil(self, structure, positions, answer):
        return answer


def test_energies_in_place_of_stresses_give_the_same_constants():
    outcome, m = crystal_of(WithoutStress(stillinger_weber_silicon()), SILICON)
    assert [constants(m)[n] for n in NAMES] == pytest.approx((151.4, 76.4, 56.4), abs=0.11)
    assert any("gives no stress" in note for note in outcome.notes)
    assert "differences of the energy" in outcome.methods


def test_orientation_of_the_crystal_does_not_matter():
    """The same crystal, rotated out of its axes, and a cell of eight atoms."""
    turned = bulk("Si", a=5.431, cubic=True)
    turned.rotate(37.0, (1, 2, 0.5), rotate_cell=True)
    _, m = crystal_of(stillinger_weber_silicon(), Structure.from_ase(turned))
    found = constants(m)
    assert sorted(found) == ["C11", "C12", "C44"]
    assert [found[n] for n in NAMES] == pytest.approx((151.4, 76.4, 56.4), abs=0.11)


def test_hexagonal_crystal_relaxes_its_shape_and_has_five_constants():
    """Two routes to one bulk modulus, which agree only where the shape is relaxed at every volume."""
    outcome, m = crystal_of(morse_copper(), Structure.from_ase(bulk("Cu", "hcp", a=2.6, c=4.3)))
    assert sorted(constants(m)) == ["C11", "C12", "C13", "C33", "C44"]
    assert abs(m["bulk_modulus_agreement"].value) < 0.1
    assert set(verdicts(EosElastic, outcome).values()) == {"PASS"}


def test_harmonic_control_passes():
    """Springs k to the nearest neighbours of fcc: C11 = (1/V) sum k x^4/r^2 = 2 k/a, C12 = C44 = k/a."""
    spring, a = 1.0, 5.26
    outcome, m = crystal_of(harmonic_argon(a, spring), Structure.from_ase(bulk("Ar", a=a)))
    expected = EV_PER_A3_IN_GPA * 2 * spring / a
    assert constants(m)["C11"] == pytest.approx(expected, rel=1e-3)
    assert constants(m)["C12"] == pytest.approx(expected / 2, rel=1e-3)
    assert constants(m)["C44"] == pytest.approx(expected / 2, rel=1e-3)
    assert set(verdicts(EosElastic, outcome).values()) == {"PASS"}


REFERENCES = {
    "v": scalar(20.02, "A^3/atom", 0.01),
    "b": scalar(101.4, error=1.0),
    "bp": scalar(3.0, "1"),
    "c11": scalar(151.4),
    "c12": scalar(76.4),
    "c44": scalar(56.4, error=0.5),
}
COMPARED = {
    "volume": {"reference": "v"},
    "bulk_modulus": {"reference": "b"},
    "bulk_modulus_derivative": {"reference": "bp"},
    "elastic_constants": {n: {"reference": n.lower()} for n in NAMES},
}


def test_sound_control_passes_against_references():
    outcome, m = crystal_of(stillinger_weber_silicon(), SILICON, REFERENCES, **COMPARED)
    assert set(verdicts(EosElastic, outcome).values()) == {"PASS"}
    assert abs(m["elastic_error@constant=C11"].value) < 0.1
    assert m["elastic_error@constant=C44"].stderr == pytest.approx(100 * 0.5 / 56.4, rel=0.02)
    assert abs(m["volume_error"].value) < 0.1
    row = next(row for row in outcome.tables[0].rows if row[0] == "C44")
    assert row[4] == 56.4
    (panel,) = next(f for f in outcome.figures if f.id == "eos_elastic-constants").panels
    assert [s.role for s in panel.series] == ["data", "reference", "context"]


@pytest.mark.parametrize("factor", [0.75, 1.3])
def test_softened_and_hardened_twins_fail(factor):
    twin = faulty.softened(stillinger_weber_silicon(), factor=factor)
    outcome, m = crystal_of(twin, SILICON, REFERENCES, **COMPARED)
    found = verdicts(EosElastic, outcome)
    assert found["bulk_modulus_error"] == "FAIL"
    assert {found[f"elastic_error@constant={n}"] for n in NAMES} == {"FAIL"}
    assert found["volume_error"] == "PASS"
    for n in NAMES:
        assert m[f"elastic_error@constant={n}"].value == pytest.approx(100 * (factor - 1), abs=0.3)
    assert any(("too soft" if factor < 1 else "too hard") in note for note in outcome.notes)


@pytest.mark.parametrize(("first", "last"), [(17, 23), (19.5, 20.5)])
def test_reference_curve_is_fitted_alike_and_drawn(first, last):
    """Wider and narrower than the potential's volumes: it is drawn where both have some, never beyond."""
    v = np.linspace(first, last, 13)
    energies = []
    for volume in v:
        cell = Structure.from_ase(bulk("Si", a=(8 * volume) ** (1 / 3)))
        energies.append(stillinger_weber_silicon().evaluate([cell])[0].energy / 2 + 100.0)
    curve = Curve("V", v, "A^3/atom", "E", np.array(energies), "eV/atom", None, "SW", "a test", None, None)
    outcome, m = crystal_of(
        stillinger_weber_silicon(), SILICON, {"eos": curve}, equation_of_state={"reference": "eos"}
    )
    assert abs(m["volume_error"].value) < 0.02
    assert abs(m["bulk_modulus_error"].value) < 2
    assert "SW" in m["volume_error"].note
    energy = next(f for f in outcome.figures if f.id == "eos_elastic-energy").panels[0]
    assert {s.role for s in energy.series} == {"data", "fit", "reference"}
    drawn = next(s for s in energy.series if s.label == "reference, fitted")
    assert min(drawn.y) == pytest.approx(0.0, abs=0.1)  # its zero is its own minimum
    volumes = next(s for s in energy.series if s.label == "potential").x
    marks = next(s for s in energy.series if s.label == "reference")
    ends = max(first, volumes[0]), min(last, volumes[-1])
    assert (drawn.x[0], drawn.x[-1]) == pytest.approx(ends)
    expected = v[(v >= ends[0]) & (v <= ends[1])]
    assert marks.x == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.parametrize("known", [True, False])
def test_the_picture_speaks_of_a_reference_where_one_is_drawn(known):
    scalars = {"volume": {"reference": "v"}} if known else {}
    outcome, _ = crystal_of(stillinger_weber_silicon(), SILICON, REFERENCES, **scalars)
    figure = next(f for f in outcome.figures if f.id == "eos_elastic-energy")
    assert "reference" not in figure.caption
    assert {s.role for s in figure.panels[0].series} == {"data", "fit"}


def test_entries_that_symmetry_forbids_are_told_by_their_largest():
    """Cubic: C11 = C22 = C33, C12 = C13 = C23, C44 = C55 = C66; the other twelve vanish."""
    outcome, m = crystal_of(stillinger_weber_silicon(), SILICON)
    table = next(t for t in outcome.tables if t.id == "eos_elastic-entries")
    values = {row[0]: row[3] for row in table.rows}
    assert set(values) == {"C11", "C22", "C33", "C12", "C13", "C23", "C44", "C55", "C66"}
    assert values["C33"] == pytest.approx(constants(m)["C11"])
    largest = float(table.caption.split("the largest has ")[1].rstrip("."))
    assert 0 <= largest < 1e-3


def test_unstable_crystals_fail():
    """Simple cubic argon does not resist shear; silicon without angles neither."""
    outcome, m = crystal_of(lennard_jones_argon(), Structure.from_ase(bulk("Ar", "sc", a=3.7)))
    assert verdicts(EosElastic, outcome)["born_stability"] == "FAIL"
    assert any("not stable against strain" in note for note in outcome.notes)
    assert "young_modulus" not in m
    salt = Structure.from_ase(bulk("NaCl", "rocksalt", a=5.6))
    outcome, _ = crystal_of(born_mayer_nacl(charge_e=0.0), salt)
    found = verdicts(EosElastic, outcome)
    assert found == {"no_rest": "FAIL", "born_stability": "INCONCLUSIVE"}


def test_single_precision_is_no_fault():
    """A float32 potential of a crystal whose atoms and cell are free: constants to 1 GPa, and their errors
    say so."""
    twin = faulty.float32_noise(morse_copper())
    outcome, m = crystal_of(twin, Structure.from_ase(bulk("Cu", "hcp", a=2.6, c=4.3)))
    assert set(verdicts(EosElastic, outcome).values()) == {"PASS"}
    _, exact = crystal_of(morse_copper(), Structure.from_ase(bulk("Cu", "hcp", a=2.6, c=4.3)))
    for name, value in constants(exact).items():
        found = m[f"elastic_constant@constant={name}"]
        assert abs(found.value - value) < max(4 * found.stderr, 0.05)
        assert found.value == pytest.approx(value, abs=1.0)


def test_wrong_stress_contradicts_the_energy():
    """A stress of the right sign and a wrong size makes the two bulk moduli part."""

    class ThreeQuarters(faulty.Faulty):
        def spoil(self, structure, positions, answer):
            wrong = None if answer.stresses is None else 0.75 * answer.stresses
            return replace(answer, stresses=wrong)

    outcome, m = crystal_of(ThreeQuarters(stillinger_weber_silicon()), SILICON)
    assert verdicts(EosElastic, outcome)["bulk_modulus_agreement"] == "FAIL"
    assert m["bulk_modulus_agreement"].value == pytest.approx(-25, abs=0.5)


def test_a_vacancy_of_pairs_costs_the_cohesive_energy():
    """With a pair potential E_f is the cohesive energy, from the crystal itself, less the relaxation: a few
    per cent. N for N - 1 would be off by 100 %.
    """
    argon = Structure.from_ase(bulk("Ar", a=5.26, cubic=True))
    _, m = crystal_of(lennard_jones_argon(), argon, vacancy_repeat=(3, 3, 3))
    relaxed = m["vacancy_formation_energy"].value
    answer = lennard_jones_argon().evaluate([argon], ["energy"])[0]
    assert 0.95 < relaxed / (-answer.energy / 4) < 1.0


def test_the_vacancy_of_silicon_is_held_against_its_reference():
    """Stillinger and Weber's: 2 epsilon = 4.3366 eV with the symmetry of the crystal (exact: all angles stay
    ideal), 2.82 where the neighbours pair (H. Balamane et al., Phys. Rev. B 46, 2250 (1992)).
    """
    cubic = Structure.from_ase(bulk("Si", a=5.44, cubic=True))
    known = {"vacancy": scalar(2.82, "eV")}
    asked = {"vacancy_repeat": (2, 2, 2), "vacancy_formation_energy": {"reference": "vacancy"}}
    outcome, m = crystal_of(stillinger_weber_silicon(), cubic, known, **asked)
    assert m["vacancy_formation_energy"].value == pytest.approx(2.82, abs=0.03)
    assert "ends at 4.337 eV" in m["vacancy_formation_energy"].note
    assert verdicts(EosElastic, outcome)["vacancy_error"] == "PASS"
    known = {"vacancy": scalar(1.2 * m["vacancy_formation_energy"].value, "eV", 0.01)}
    outcome, _ = crystal_of(stillinger_weber_silicon(), cubic, known, **asked)
    assert verdicts(EosElastic, outcome)["vacancy_error"] == "FAIL"


def test_inputs_are_refused_in_words():
    with pytest.raises(ValueError, match="expected vacancy_repeat beside it"):
        EosElastic.Params(structure=CRYSTAL, vacancy_formation_energy={"file": "a"})
    salt = Structure.from_ase(bulk("NaCl", "rocksalt", a=5.6))
    with pytest.raises(InputError, match="needs a crystal of one element, got Na, Cl"):
        EosElastic().structures(
            EosElastic.Params(structure=CRYSTAL, vacancy_repeat=(2, 2, 2)), Fake(start=salt)
        )
    with pytest.raises(ValueError, match=r"expected names C11.*got C21, K"):
        EosElastic.Params(structure=CRYSTAL, elastic_constants={"C21": {"file": "a"}, "K": {"file": "a"}})
    with pytest.raises(ValueError, match="two strains, rising"):
        EosElastic.Params(structure=CRYSTAL, strains=(0.01, 0.005))
    molecule = Structure.from_ase(bulk("Si", a=5.4))
    molecule = Structure(
        molecule.numbers, molecule.positions, molecule.cell, np.zeros(3, dtype=bool), molecule.masses
    )
    with pytest.raises(InputError, match="needs a crystal, periodic"):
        EosElastic().structures(EosElastic.Params(structure=CRYSTAL), Fake(start=molecule))


def test_what_is_declared_is_of_the_size_of_what_is_evaluated():
    declared = EosElastic().structures(EosElastic.Params(structure=CRYSTAL), Fake(start=SILICON))
    assert len(declared) == 11 + 4 * 24
    volumes = [s.volume / SILICON.volume for s in declared[:11]]
    assert volumes == pytest.approx(list(1 + np.linspace(-0.08, 0.08, 11)))
