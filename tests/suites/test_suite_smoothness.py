"""The suite `smoothness`: sound potentials pass everything, every fault planted is found by its name."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from fakes import Fake, run, verdicts

from mlipbench.core.citation import marks
from mlipbench.core.structure import Structure
from mlipbench.core.suite import IntendedUse
from mlipbench.model.architecture import Architecture
from mlipbench.model.network import Network
from mlipbench.model.package import package
from mlipbench.potentials import faulty, faulty_process, faulty_symmetry
from mlipbench.potentials.analytic import (
    born_mayer_nacl,
    harmonic_argon,
    lennard_jones_argon,
    stillinger_weber_silicon,
)
from mlipbench.potentials.embedded import EmbeddedPotential
from mlipbench_suites.smoothness import Smoothness

SILICON = Structure.from_ase(bulk("Si", cubic=True, a=5.43) * (2, 2, 1))
CELL = Structure.from_ase(bulk("Si", cubic=True, a=5.43))
ARGON = Structure.from_ase(bulk("Ar", cubic=True, a=5.3) * (2, 2, 2))
SALT = Structure.from_ase(bulk("NaCl", "rocksalt", cubic=True, a=5.64))
STRUCTURE = {"crystal": "diamond", "symbol": "Si"}


def judged(tmp_path, potential, start=SILICON, temperature=300.0, **params):
    fake = Fake(start=start, potential=potential, folder=tmp_path, use=IntendedUse(temperature))
    asked = {"timestep_fs": 2.0, "duration_ps": 0.2, **params}
    outcome, m = run(Smoothness, fake, structure=STRUCTURE, **asked)
    return outcome, m, verdicts(Smoothness, outcome)


def failing(found):
    return {key for key, verdict in found.items() if verdict != "PASS"}


@pytest.mark.parametrize(
    ("potential", "start", "temperature"),
    [
        (stillinger_weber_silicon, SILICON, 300.0),
        (lennard_jones_argon, ARGON, 30.0),
        (lambda: harmonic_argon(lattice_A=5.3), ARGON, 30.0),
        (born_mayer_nacl, SALT, 300.0),
    ],
)
def test_sound_potentials_pass_everything(tmp_path, potential, start, temperature):
    """Oracle: analytic derivatives in float64 agree with differences to rounding and truncation."""
    outcome, m, found = judged(tmp_path, potential(), start, temperature, lines=2, frames=2)
    assert failing(found) == set()
    assert m["force_error"].value < 0.01
    assert m["energy_noise"].value < 30
    assert outcome.notes == []
    assert set(marks(outcome.methods)) <= {work.key for work in Smoothness.citations}


CAUGHT_BY = {
    "kink_at_cutoff": {"energy_jump", "stress_error"},
    "non_conservative": {"force_error", "hessian_asymmetry", "loop_work", "stress_error"},
    "float32_noise": {"energy_noise"},
    "not_rotation_invariant": {"same_energy@question=rotation", "same_forces@question=rotation"},
    "wrong_sign_stress": {"stress_error"},
    "wrong_unit_stress": {"stress_error"},
    "wrong_order_stress": {"stress_error"},
    "force_noise": {"force_error", "noise_heating", "stiffness_noise"},
    "wrong_for_batches": {"same_forces@question=replicas of dynamics"},
    "not_extensive": {"same_energy@question=two copies"},
    "not_translation_invariant": {"same_energy@question=translation", "net_force"},
    "remembers_its_atoms": {"same_energy@question=permutation", "same_energy@question=wrapping"},
    "not_reflection_invariant": {"same_energy@question=reflection"},
    "depends_on_the_cell": {"same_energy@question=other lattice vectors"},
    "not_deterministic": {"same_forces@question=repetition", "same_forces@question=batch"},
    "wrong_for_energy_alone": {"same_energy@question=energy alone"},
}
SPARED = {
    # What a fault does not touch must pass: the oracle that a criterion measures what it says.
    "kink_at_cutoff": {"force_jump", "hessian_asymmetry", "same_energy@question=rotation"},
    "non_conservative": {"energy_jump", "force_jump", "same_energy@question=rotation", "energy_noise"},
    "float32_noise": {"force_error", "energy_jump", "noise_heating", "same_energy@question=rotation"},
    "not_rotation_invariant": {"force_error", "stress_error", "same_energy@question=permutation"},
    "not_extensive": {"force_error", "same_energy@question=rotation"},
    "not_reflection_invariant": {"force_error", "same_energy@question=rotation"},
    "remembers_its_atoms": {
        "force_error",
        "same_energy@question=rotation",
        "same_energy@question=repetition",
    },
    "depends_on_the_cell": {"force_error", "same_energy@question=two copies"},
    "wrong_for_energy_alone": {"force_error", "same_energy@question=rotation"},
}


@pytest.mark.parametrize("fault", CAUGHT_BY)
def test_every_fault_is_found_by_its_name(tmp_path, fault):
    module = faulty if hasattr(faulty, fault) else faulty_symmetry
    _, _, found = judged(tmp_path, getattr(module, fault)(stillinger_weber_silicon()))
    assert failing(found) >= CAUGHT_BY[fault]
    assert not failing(found) & SPARED.get(fault, set())
    if fault not in ("wrong_for_batches", "not_deterministic"):
        # A twin is equally broken in molecular dynamics and in single evaluations.
        assert not any("replicas of dynamics" in key for key in failing(found))


def test_the_cutoff_is_named(tmp_path):
    """Oracle: what was planted, a step of 20 meV at 3.9 A; an error of 0.02 A would be noticed."""
    outcome, m, _ = judged(tmp_path, faulty.kink_at_cutoff(stillinger_weber_silicon()))
    assert "where a neighbour passes 3.90" in outcome.notes[0]
    jumps = [abs(row[3]) for row in outcome.tables[0].rows]
    assert jumps == pytest.approx([0.02] * 4, rel=1e-3)
    kT_percent = 100 * 0.02 / (8.617e-5 * 300)
    assert m["energy_jump"].value == pytest.approx(kT_percent, rel=1e-3)


def test_a_force_that_jumps_is_told_from_an_energy_that_does(tmp_path):
    potential = faulty.kink_at_cutoff(stillinger_weber_silicon(), step_eV=0.0, slope_eV_per_A=0.1)
    _, m, found = judged(tmp_path, potential)
    assert found["energy_jump"] == "PASS"
    assert found["force_jump"] == "FAIL"
    thermal = float(m["force_jump"].note.split("r.m.s. force: ")[1].split()[0])
    # The force along the line has the cosine of the neighbour's direction, so less than the planted 0.1.
    assert 0.03 < m["force_jump"].value / 100 * thermal < 0.101


def test_float32_is_measured_against_float64(tmp_path):
    """Oracle: single precision rounds to 6e-8, a thousandth of a millionth of that in double."""
    shape = Architecture(
        elements=[14], r_max=4.0, hidden_irreps="4x0e+4x1o", max_ell=1, avg_num_neighbors=15.0, correlation=2
    )
    made = package("net", [Network(shape, 0)], {14: -100.0}, {})
    both = [EmbeddedPotential(made, dtype, engine="torch") for dtype in ("float64", "float32")]
    noise = []
    for potential in both:
        where = tmp_path / potential.capabilities.dtype
        asked = {"lines": 1, "frames": 2, "atoms": 2, "duration_ps": 0.02}
        _, m, found = judged(where, potential, CELL, 20.0, **asked)
        assert failing(found) == set()
        assert 0 < m["precision_force"].value < 0.1
        noise.append((m["force_noise"].value, m["other_force_noise"].value))
    (double, single), (single_again, double_again) = noise
    assert single / double > 1e5
    assert single == pytest.approx(single_again, rel=3.0)
    assert double == pytest.approx(double_again, rel=3.0)


def test_a_molecule_in_vacuum(tmp_path):
    """An atom is led away past any cutoff; the torque is judged, the stress is not."""
    water = Structure.from_ase(molecule("H2O"))
    shape = Architecture(
        elements=[1, 8], r_max=3.0, hidden_irreps="4x0e+4x1o", max_ell=1, avg_num_neighbors=2.0, correlation=2
    )
    potential = EmbeddedPotential(
        package("net", [Network(shape, 0)], {1: -13.0, 8: -430.0}, {}), engine="torch"
    )
    outcome, m, found = judged(tmp_path, potential, water, 20.0, timestep_fs=0.5, duration_ps=0.02, lines=2)
    assert failing(found) == set()
    assert "net_torque" in m
    assert "stress_error" not in m
    assert max(outcome.figures[0].panels[0].series[0].x) > 7.9


def test_answers_that_are_no_numbers_end_it(tmp_path):
    outcome, m, found = judged(
        tmp_path, faulty_process.not_a_number(stillinger_weber_silicon(), after_calls=500)
    )
    assert list(m) == ["non_finite"]
    assert found == {"non_finite": "FAIL"}
    assert outcome.notes


def test_noise_that_hides_the_forces_is_inconclusive(tmp_path):
    """Energies rounded to 1 meV: no difference of them says anything of forces to 5 meV/A."""

    class Coarse(faulty.Faulty):
        def spoil(self, structure, positions, answer):
            return faulty.replace(answer, energies=np.round(answer.energies, 3))

    _, m, found = judged(tmp_path, Coarse(stillinger_weber_silicon()))
    assert found["force_error"] == "INCONCLUSIVE"
    assert "use a higher precision" in m["force_error"].note
