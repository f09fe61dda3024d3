"""The suite `dynamics`: planted diffusion, solids, vaporisation, and real runs of sound and broken twins."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from fakes import Fake, run, verdicts
from test_suite_nve import synthetic

from mlipbench.core.errors import InputError
from mlipbench.core.reference import Scalar
from mlipbench.core.structure import Structure
from mlipbench.core.suite import IntendedUse
from mlipbench.core.units import BOLTZMANN
from mlipbench.potentials import faulty
from mlipbench.potentials.analytic import lennard_jones_argon
from mlipbench_suites.dynamics import Dynamics

STRUCTURE = {"crystal": "fcc", "symbol": "Ar"}
LEVEL = "planted"
ARGON = Structure.from_ase(bulk("Ar", cubic=True, a=5.4) * (2, 2, 2))
EV_IN_KJ_PER_MOL = 96.4853


def walking(d=0.2, ps=200.0, start=ARGON, seed=0, still=()):
    """Brownian steps of D (A^2/ps) between frames 50 fs apart; the elements in `still` vibrate."""
    rng = np.random.default_rng(seed)
    n_frames = round(ps / 0.05) + 1
    steps = np.sqrt(2 * d * 0.05) * rng.standard_normal((n_frames, len(start), 3))
    moved = np.cumsum(steps, axis=0)
    rests = np.isin(start.numbers, still)
    moved[:, rests] = 0.1 * rng.standard_normal((n_frames, int(rests.sum()), 3))
    base = synthetic(ps=ps, start=start, stride=50)
    return replace(
        base,
        frame_steps=50 * np.arange(n_frames),
        positions=start.positions + moved,
        velocities=np.zeros_like(moved),
        cells=np.repeat(start.cell[None], n_frames, axis=0),
    )


def scalar(value, error=0.01, temperature=300.0, level=LEVEL, unit="A^2/ps"):
    return Scalar("x", value, unit, error, level, "this test", temperature, None)


def measure(trajectory, references=None, use=300.0, gas=None, potential=None, **params):
    references = references or {}
    fake = Fake(
        start=trajectory.structure,
        given={"run": trajectory},
        use=IntendedUse(use),
        references=references,
        potential=potential,
    )
    if gas is not None:
        liquid = trajectory.structure
        fake.structure = lambda ref: gas if ref.symbol == "gas" else liquid
        params["gas"] = {"crystal": "sc", "symbol": "gas", "lattice_A": 1}
    infinite = params.pop("infinite_system", False)
    asked = {name: {"reference": name, "infinite_system": infinite} for name in references if name != "heat"}
    if "heat" in references:
        params["vaporisation_reference"] = {"reference": "heat"}
    settings = {"timestep_fs": 1.0, "equilibrate_ps": 0.0, "level_of_theory": LEVEL} | params
    return run(Dynamics, fake, structure=STRUCTURE, references=asked, **settings)


def test_planted_diffusion_passes_with_both_errors():
    """Oracle: the planted D, of which the centre of mass takes 1/N."""
    truth = 0.2 * 31 / 32
    outcome, m = measure(walking(), {"Ar": scalar(truth)})
    found = m["diffusion@300K,species=Ar"]
    assert found.value == pytest.approx(truth, abs=3 * found.stderr)
    error = m["diffusion_error@300K,species=Ar"]
    assert error.stderr > 100 * found.stderr / truth
    assert verdicts(Dynamics, outcome)["diffusion_error@300K,species=Ar"] == "PASS"
    assert any("over the viscosity in mPa s" in note for note in outcome.notes)
    assert [f.id for f in outcome.figures] == ["dynamics-msd-300K"]


def test_half_the_diffusion_fails():
    outcome, m = measure(walking(d=0.1), {"Ar": scalar(0.2)})
    assert m["diffusion_error@300K,species=Ar"].value == pytest.approx(-50, abs=8)
    assert verdicts(Dynamics, outcome)["diffusion_error@300K,species=Ar"] == "FAIL"


def test_finite_size_correction_is_added_and_stated():
    """Oracle: xi kT / (6 pi eta L) in SI units; 10.8 A, 0.3 mPa s, 300 K."""
    correction = 2.837297 * 1.380649e-23 * 300 / (6 * np.pi * 0.3e-3 * 10.8e-10) * 1e8
    plain, corrected = (
        measure(walking(), {"Ar": scalar(0.2 + correction)}, infinite_system=True, **more)
        for more in ({}, {"viscosity_mPa_s": 0.3, "viscosity_error_mPa_s": 0.03})
    )
    assert "diffusion_error@300K,species=Ar" not in plain[1]
    assert any("give viscosity_mPa_s" in note for note in plain[0].notes)
    outcome, m = corrected
    added = m["diffusion_infinite@300K,species=Ar"].value - m["diffusion@300K,species=Ar"].value
    assert added == pytest.approx(correction, rel=0.02)  # the realised temperature is in it
    assert m["diffusion_infinite@300K,species=Ar"].stderr > 0.099 * added
    assert "FAIL" not in verdicts(Dynamics, outcome).values()
    assert any("correction for a cube of 10.8 A" in note for note in outcome.notes)


def test_solid_has_no_diffusion_and_a_bound():
    outcome, m = measure(walking(still=(18,)), {"Ar": scalar(0.2)})
    assert m["diffusion@300K,species=Ar"].value == 0.0
    assert 0 < m["diffusion_bound@300K,species=Ar"].value < 1e-3
    assert any("Ar does not diffuse: in 200 ps none of 32 atoms" in note for note in outcome.notes)
    assert verdicts(Dynamics, outcome)["diffusion_error@300K,species=Ar"] == "FAIL"  # the reference does


def test_species_are_told_apart():
    """A conductor: one element moves through the resting lattice of the other, which outweighs it."""
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (2, 2, 2)
    start = Structure.from_ase(atoms)
    start = replace(start, masses=np.where(start.numbers == 11, 1e-3, 35.0))
    _, m = measure(walking(d=0.05, start=start, still=(17,)))
    assert m["diffusion@300K,species=Cl"].value == 0.0
    assert m["diffusion@300K,species=Na"].value == pytest.approx(0.05, rel=0.15)


def test_slow_start_of_diffusion_is_remarked():
    """Atoms that rattle in cages beyond a jump do not yet diffuse within the window."""
    caged = walking(d=1e-4)
    rattle = 0.6 * np.random.default_rng(1).standard_normal(caged.positions.shape)
    outcome, _ = measure(replace(caged, positions=caged.positions + rattle))
    assert any("grows as t^0." in note for note in outcome.notes)


def test_another_level_of_theory_decides_nothing():
    outcome, _ = measure(walking(ps=60.0), {"Ar": scalar(0.5, level="experiment")})
    assert set(verdicts(Dynamics, outcome)) == {"failures@300K"}
    assert any("its level of theory is experiment" in note for note in outcome.notes)


def test_reference_without_an_error_is_inconclusive():
    outcome, m = measure(walking(ps=60.0), {"Ar": scalar(0.2, error=None)})
    assert verdicts(Dynamics, outcome)["diffusion_error@300K,species=Ar"] == "INCONCLUSIVE"
    assert "states no error" in m["diffusion_error@300K,species=Ar"].note


def test_short_run_says_what_it_takes():
    outcome, m = measure(walking(ps=8.0))
    assert "diffusion@300K,species=Ar" not in m
    assert any("one segment with lags up to 5 ps takes 10 ps" in note for note in outcome.notes)
    with pytest.raises(ValueError, match="expected more than fit_from_ps"):
        Dynamics.Params(structure=STRUCTURE, fit_to_ps=0.5)
    with pytest.raises(InputError, match="at least four times frame_every_fs"):
        measure(walking(ps=8.0), frame_every_fs=2000.0)
    with pytest.raises(InputError, match="Kr: not in the structure"):
        measure(walking(ps=8.0), {"Kr": scalar(0.2)})


# ---------------------------------------------------------------- vaporisation
def water(energy_per_molecule, n=8):
    """A box of water molecules whose potential energy is given."""
    atoms = Atoms(cell=np.eye(3) * 9.0, pbc=True)
    for k in range(n):
        one = molecule("H2O")
        one.translate(4.5 * np.array([k & 1, k >> 1 & 1, k >> 2]))
        atoms += one
    liquid = walking(ps=40.0, start=Structure.from_ase(atoms))
    noise = 0.05 * np.random.default_rng(0).standard_normal(len(liquid.steps))
    return replace(liquid, potential_energy=n * energy_per_molecule + noise)


class Flat:
    """A potential for which every molecule is at its minimum, at -10 eV."""

    class capabilities:
        properties = frozenset({"energy", "forces"})

    def bind(self, structure, n_replicas):
        from mlipbench.core.potential import BatchEvaluation

        return lambda positions, cells, stress: BatchEvaluation(
            np.full(len(positions), -10.0), np.zeros((len(positions), len(structure), 3))
        )

    def evaluate(self, structures, properties=("energy", "forces")):
        from mlipbench.core.potential import Evaluation

        return [Evaluation(-10.0, np.zeros((len(s), 3))) for s in structures]


GAS = Structure.from_ase(molecule("H2O"))


def test_enthalpy_of_vaporisation():
    """Oracle: arithmetic. -10 eV alone, -10.3 in the liquid, three vibrations: 0.3 eV + 2.5 kT."""
    truth = (0.3 + 2.5 * BOLTZMANN * 300) * EV_IN_KJ_PER_MOL
    heat = scalar(truth, error=0.2, unit="kJ/mol")
    outcome, m = measure(water(-10.3), {"heat": heat}, gas=GAS, potential=Flat())
    found = m["vaporisation_enthalpy@300K"]
    assert found.value == pytest.approx(truth, abs=max(3 * found.stderr, 0.01))
    assert 0 < found.stderr < 1.0
    assert verdicts(Dynamics, outcome)["vaporisation_error@300K"] == "PASS"
    outcome, _ = measure(water(-10.5), {"heat": heat}, gas=GAS, potential=Flat())
    assert verdicts(Dynamics, outcome)["vaporisation_error@300K"] == "FAIL"


def test_gas_that_does_not_make_up_the_liquid_is_refused():
    carbon_dioxide = Structure.from_ase(molecule("CO2"))
    with pytest.raises(InputError, match="expected one molecule of the liquid"):
        measure(water(-10.3), gas=carbon_dioxide, potential=Flat())


@pytest.mark.parametrize(("name", "vibrations"), [("H2O", 3), ("CO2", 4), ("N2", 1), ("CH4", 9)])
def test_vibrations_of_molecules(name, vibrations):
    from mlipbench_suites.vaporisation import _vibrations

    assert _vibrations(Structure.from_ase(molecule(name))) == vibrations
    assert _vibrations(Structure.from_ase(Atoms("Ar"))) == 0


def test_molecule_without_an_energy_says_so():
    _outcome, m = measure(water(-10.3), gas=GAS)  # no potential: PotentialError
    assert m["vaporisation_enthalpy@300K"].value is None
    assert "no number for the molecule" in m["vaporisation_enthalpy@300K"].note


# ---------------------------------------------------------------- real runs
DILUTE = Structure.from_ase(bulk("Ar", cubic=True, a=6.1) * (2, 2, 2))  # boils off its lattice at 150 K


def real(potential, folder, reference=None, seed=1, ps=200.0):
    fake = Fake(
        start=DILUTE,
        potential=potential,
        folder=folder,
        use=IntendedUse(150.0),
        seed=seed,
        references={"ours": reference},
    )
    asked = {"Ar": {"reference": "ours"}} if reference is not None else {}
    outcome, m = run(
        Dynamics,
        fake,
        structure=STRUCTURE,
        timestep_fs=20.0,
        duration_ps=ps,
        frame_every_fs=100.0,
        fit_from_ps=1.0,
        fit_to_ps=3.0,
        equilibrate_ps=10.0,
        level_of_theory=LEVEL,
        references=asked,
    )
    return outcome, m


def test_real_liquid_passes_and_frozen_twin_fails(tmp_path):
    """Oracle: the sound potential with another seed. Ten times the depth freezes argon at 150 K."""
    potential = lennard_jones_argon(switch_from_A=4.5, cutoff_A=5.5)
    _, m = real(potential, tmp_path / "a", seed=7)
    own = m["diffusion@150K,species=Ar"]
    assert own.value > 0.1
    reference = scalar(own.value, own.stderr, temperature=150.0)
    outcome, m = real(potential, tmp_path / "b", reference)
    assert verdicts(Dynamics, outcome)["diffusion_error@150K,species=Ar"] != "FAIL"
    assert m["diffusion_error@150K,species=Ar"].value == pytest.approx(0, abs=25)
    outcome, _ = real(faulty.hardened(potential, 10.0), tmp_path / "c", reference, ps=60.0)
    assert verdicts(Dynamics, outcome)["diffusion_error@150K,species=Ar"] == "FAIL"
