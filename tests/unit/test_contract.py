"""The contract check itself: what it finds and how it says it."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from potential_contract import verdicts

from mlipbench.core.criterion import Verdict
from mlipbench.core.errors import PotentialError
from mlipbench.core.potential import Potential
from mlipbench.core.structure import Structure
from mlipbench.core.units import BOHR, EV_PER_A3_IN_GPA, HARTREE
from mlipbench.potentials.analytic import lennard_jones_argon, stillinger_weber_silicon
from mlipbench.potentials.contract import CRITERIA, check, fingerprint

SILICON = Structure.from_ase(bulk("Si", "diamond", a=5.431, cubic=True))


class Changed(Potential):
    """Stillinger-Weber silicon with answers changed one by one."""

    def __init__(self, change, **capabilities):
        self.base, self.change = stillinger_weber_silicon(), change
        self._capabilities = replace(self.base.capabilities, **capabilities)

    @property
    def capabilities(self):
        return self._capabilities

    @property
    def identity(self):
        return self.base.identity

    def evaluate(self, structures, properties=("energy", "forces")):
        return [self.change(a) for a in self.base.evaluate(structures, properties)]


def found(change, **capabilities):
    return {m.name: m for m in check(Changed(change, **capabilities), [SILICON], 0)}


def scaled_forces(factor):
    return lambda a: replace(a, forces=None if a.forces is None else factor * a.forces)


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (-1.0, "reversed"),
        (BOHR / HARTREE, "Hartree/Bohr"),
        (23.06, "kcal/mol/A"),
        (96.485, "kJ/mol/A"),
        (BOHR, "eV/Bohr"),
    ],
)
def test_wrong_force_units_are_recognised(factor, words):
    measurement = found(scaled_forces(factor))["force_error"]
    assert measurement.value > 0.4
    assert words in measurement.note


def test_forces_wrong_by_one_per_cent_fail_and_by_a_thousandth_of_it_pass():
    assert verdicts(Changed(scaled_forces(1.01)), [SILICON])["force_error"] is Verdict.FAIL
    assert verdicts(Changed(scaled_forces(1.00001)), [SILICON])["force_error"] is Verdict.PASS


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda s: -s, "sign is reversed"),
        (lambda s: s * EV_PER_A3_IN_GPA, "GPa"),
        (lambda s: -10 * s * EV_PER_A3_IN_GPA, "kbar with the sign reversed"),
        (lambda s: s * 150.0, "divided by the volume"),
        (lambda s: s[[2, 0, 1]][:, [2, 0, 1]], "another order"),
    ],
)
def test_wrong_stress_is_recognised(wrong, words):
    measurement = found(lambda a: replace(a, stress=None if a.stress is None else wrong(a.stress)))[
        "stress_error"
    ]
    assert measurement.value > 0.1
    assert words in measurement.note


def test_energies_in_other_units_are_implausible():
    # Everything in kJ/mol is consistent; only the stiffness of silicon (20 eV/A^2 x 96) tells.
    factor = 96.485

    def change(a):
        return replace(
            a,
            energy=factor * a.energy,
            forces=None if a.forces is None else factor * a.forces,
            stress=None if a.stress is None else factor * a.stress,
        )

    failed = {name for name, v in verdicts(Changed(change), [SILICON]).items() if v is not Verdict.PASS}
    assert failed == {"stiffness_decades"}


def test_single_precision_passes_where_it_is_declared():
    # A large offset leaves float32 energies with 4e-3 eV of rounding: not a fault of the forces.
    def change(a):
        return replace(a, energy=float(np.float32(a.energy - 8 * 8000.0)))

    assert set(verdicts(Changed(change, dtype="float32"), [SILICON]).values()) == {Verdict.PASS}
    assert verdicts(Changed(change), [SILICON])["force_error"] is Verdict.FAIL


def test_one_nan_is_counted_and_ends_the_check():
    def change(a):
        forces = a.forces.copy()
        forces[0, 0] = np.nan
        return replace(a, forces=forces)

    measurements = found(change)
    assert set(measurements) == {"non_finite"}
    assert measurements["non_finite"].value == 3  # one in each of the three probes


def test_wrong_shapes_raise():
    with pytest.raises(PotentialError, match=r"forces of 8 atoms have the shape \(8, 3\), got \(4, 3\)"):
        found(lambda a: replace(a, forces=a.forces[:4]))


def test_net_force_is_found():
    def change(a):
        return replace(a, forces=None if a.forces is None else a.forces + np.array([0, 0, 1e-3]))

    measurement = found(change)["net_force"]
    assert measurement.value == pytest.approx(1e-3, rel=1e-9)
    assert "0.001) eV/A" in measurement.note


def test_what_is_not_offered_is_not_measured():
    names = set(found(lambda a: a, properties=frozenset({"energy", "forces"})))
    assert names == {c.name for c in CRITERIA} - {"stress_error"}
    names = set(found(lambda a: a, properties=frozenset({"energy"})))
    assert names == {"non_finite", "repeat_difference", "batch_difference"}


def test_molecules_and_primitive_cells_can_be_checked():
    # One atom in a cell has no forces by symmetry; the check repeats the cell.
    primitive = Structure.from_ase(bulk("Ar", "fcc", a=5.26))
    cluster = Structure.from_ase(Atoms("Ar3", [[0, 0, 0], [3.7, 0, 0], [0, 3.9, 0.5]]))
    measurements = {m.name: m for m in check(lennard_jones_argon(), [primitive], 0)}
    assert 0.1 < 10 ** measurements["stiffness_decades"].value < 1
    assert set(verdicts(lennard_jones_argon(), [primitive, cluster]).values()) == {Verdict.PASS}
    assert "stress_error" not in verdicts(lennard_jones_argon(), [cluster])


def test_the_worst_structure_is_reported():
    argon = Structure.from_ase(bulk("Ar", "fcc", a=5.26, cubic=True))
    tight = argon.with_positions(argon.positions * 0.85, argon.cell * 0.85)
    stiffness = {
        n: next(m for m in check(lennard_jones_argon(), s, 0) if m.name == "stiffness_decades").value
        for n, s in {"both": [tight, argon], "tight": [tight]}.items()
    }
    assert stiffness["both"] == stiffness["tight"]


def test_no_structures_raise():
    with pytest.raises(PotentialError, match="at least one structure"):
        check(lennard_jones_argon(), [], 0)


def test_fingerprint_tells_potentials_apart_and_ignores_rounding():
    sound = fingerprint(stillinger_weber_silicon(), [SILICON])
    assert sound == fingerprint(stillinger_weber_silicon(), [SILICON])
    assert sound != fingerprint(stillinger_weber_silicon(lambda_=21.001), [SILICON])
    assert sound == fingerprint(Changed(lambda a: replace(a, energy=a.energy * (1 + 1e-14))), [SILICON])


def test_check_is_reproducible():
    first, second = (check(stillinger_weber_silicon(), [SILICON], 7) for _ in range(2))
    assert first == second
    assert check(stillinger_weber_silicon(), [SILICON], 8) != first
