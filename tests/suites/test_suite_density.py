"""The suite `density`: planted trajectories, and real runs of sound and broken twins."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from fakes import Fake, run, verdicts
from test_suite_nve import SILICON, synthetic

from mlipbench.core.errors import InputError
from mlipbench.core.reference import Scalar
from mlipbench.core.structure import Structure
from mlipbench.core.suite import IntendedUse
from mlipbench.core.trajectory import Event, Langevin, MaxwellBoltzmann, TrajectorySpec
from mlipbench.core.units import BOLTZMANN, EV_PER_A3_IN_GPA
from mlipbench.potentials import faulty
from mlipbench.potentials.analytic import lennard_jones_argon, stillinger_weber_silicon
from mlipbench.potentials.short_range import switch
from mlipbench.simulate.driver import simulate
from mlipbench.simulate.requests import merge
from mlipbench.store.trajectories import TrajectoryStore
from mlipbench_suites.density import Density

STRUCTURE = {"crystal": "diamond", "symbol": "Si", "lattice_A": 5.43, "repeat": (2, 2, 2)}
USE = IntendedUse(300.0, phases=("diamond",), pressure_bar=1.0)
MASS = float(SILICON.masses.sum()) * 1.66053906660  # g/cm^3 A^3
DENSITY = MASS / SILICON.volume


def scalar(value, unit, error=None, temperature_K=300.0, name="density"):
    return Scalar(name, value, unit, error, "PBE", "a table", temperature_K, 1.0)


def planted(density=DENSITY, spread=0.005, ps=70.0, memory=20, seed=0, start=0.0, decay_ps=2.0):
    """A run whose density is an exponentially correlated Gaussian series, and `start` (relative) at first."""
    base = synthetic(ps=ps, seed=seed)
    rng, n = np.random.default_rng(seed), len(base.steps)
    series = np.empty(n)
    series[0] = rng.standard_normal()
    a = np.exp(-1 / memory)
    for k in range(1, n):
        series[k] = a * series[k - 1] + np.sqrt(1 - a * a) * rng.standard_normal()
    away = start * np.exp(-base.steps / 1000 / decay_ps)
    volume = MASS / density * (1 + spread * series - away)
    frames = np.linspace(0, base.n_steps, 20).astype(int)
    noise = 0.05 * rng.standard_normal((20, len(SILICON), 3))
    stretch = np.cbrt(np.interp(frames, base.steps, volume) / SILICON.volume)[:, None, None]
    return replace(
        base,
        volume=volume,
        pressure=1.0 + 3000 * rng.standard_normal(n),
        frame_steps=frames,
        positions=stretch * (SILICON.positions + noise),
        velocities=np.zeros_like(noise),
        cells=stretch * SILICON.cell,
    )


def measure(*runs, reference=None, use=USE, given="density", prepared=None, modulus=None, **params):
    """The suite on planted runs; the stress check is of a sound potential unless the arrays say else."""
    references = {"known": reference or scalar(DENSITY, "g/cm^3", 0.002 * DENSITY)}
    more = {given: {"reference": "known"}}
    if modulus is not None:
        references["modulus"] = modulus
        more["bulk_modulus"] = {"reference": "modulus"}
    fake = Fake(start=SILICON, use=use, references=references, potential=stillinger_weber_silicon())
    suite, asked = Density(), Density.Params(structure=STRUCTURE, replicas=len(runs), **more, **params)
    fake.run_trajectories = lambda: None
    suite.produce(asked, fake)
    for k, r in enumerate(runs):
        fake.given[f"prepare#{k}"] = prepared or synthetic(ps=5)
        fake.given[f"npt#{k}"] = r
    outcome = suite.measure(asked, fake)
    return outcome, {m.name: m for m in outcome.measurements}


def verdict(outcome):
    return {key.split("@")[0]: value for key, value in verdicts(Density, outcome).items()}


def test_the_right_density_passes():
    outcome, m = measure(planted())
    assert verdict(outcome) == dict.fromkeys(
        ["density_error", "failures", "stress_error", "conserved_drift"], "PASS"
    )
    assert m["density"].value == pytest.approx(DENSITY, abs=4 * m["density"].stderr)
    own, both = m["density"].stderr / DENSITY, m["density_error"].stderr / 100
    assert both == pytest.approx(np.hypot(own, 0.002), rel=1e-3)
    assert m["density_error"].n_eff > m["density"].n_eff
    pressure = m["bulk_modulus"].value * np.log(DENSITY / m["density"].value) + 1e-4
    assert m["pressure_at_reference"].value == pytest.approx(pressure, rel=1e-9)
    assert 0.2 < m["noise_floor"].value / (100 * own) < 5
    assert any("solid" in note for note in outcome.notes)
    assert {f.id for f in outcome.figures} == {"density-traces", "density-volumes"}


def test_lengths_and_angles_where_they_move():
    """Frames 1 % longer along x and 2 % shorter along z, with noise of 0.1 %: the means know it to a tenth
    of that; where the cell keeps its shape nothing is said of them."""
    base = planted()
    noise = 1 + 1e-3 * np.random.default_rng(1).standard_normal((len(base.cells), 3, 1))
    cells = np.diag([1.01, 1.0, 0.98]) @ SILICON.cell * noise
    outcome, m = measure(replace(base, cells=cells), cell="lengths")
    side = SILICON.cell[0, 0]
    assert m["cell_a"].value == pytest.approx(1.01 * side, rel=1e-3)
    assert m["cell_c"].value == pytest.approx(0.98 * side, rel=1e-3)
    assert m["cell_a"].stderr == pytest.approx(1e-3 * side / np.sqrt(19), rel=0.7)
    assert (m["cell_beta"].value, m["cell_beta"].unit) == (pytest.approx(90.0), "degree")
    assert "of the lengths along x, y, z [@deltatto2022]" in outcome.methods
    assert not any(name.startswith("cell_") for name in measure(planted())[1])


def test_a_wrong_density_fails_and_a_short_run_is_inconclusive():
    outcome, m = measure(planted(density=1.04 * DENSITY))
    assert verdict(outcome)["density_error"] == "FAIL"
    assert m["density_error"].value == pytest.approx(4.0, abs=0.5)
    assert verdict(measure(planted(ps=20.0))[0])["density_error"] == "INCONCLUSIVE"
    outcome, m = measure(planted(spread=0.03, memory=400))
    assert verdict(outcome)["density_error"] == "INCONCLUSIVE"
    assert "at most 0.5 % is asked" in m["density_error"].note


def test_the_error_of_the_reference_counts():
    """4 % off, but the reference is only known to 3 %."""
    vague = scalar(DENSITY, "g/cm^3", 0.03 * DENSITY)
    outcome, _ = measure(planted(density=1.04 * DENSITY), reference=vague)
    assert verdict(outcome)["density_error"] == "INCONCLUSIVE"
    outcome, _ = measure(planted(), reference=scalar(DENSITY, "g/cm^3"))
    assert any("taken as exact" in note for note in outcome.notes)


def test_equilibration_is_dropped():
    """Catches an average over the whole run, which is 0.5 % off here."""
    outcome, m = measure(planted(start=-0.1, decay_ps=4.0, ps=100.0))
    assert m["density"].value == pytest.approx(DENSITY, rel=2e-3)
    assert m["equilibration"].value > 5
    assert m["density_error"].evidence["length_ps"] == pytest.approx(100 - m["equilibration"].value)
    assert any("dropped as equilibration" in note for note in outcome.notes)


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("volume_per_atom", scalar(SILICON.volume / 64, "A^3/atom", 0.04, name="volume")),
        ("lattice_constant", scalar(5.43, "A", 0.0036, name="lattice constant")),
    ],
)
def test_other_references_mean_the_same_density(given, known):
    _, m = measure(planted(), given=given, reference=known)
    assert m["density_error"].value == pytest.approx(100 * (m["density"].value / DENSITY - 1), abs=1e-9)
    own = m["density"].stderr / DENSITY
    assert m["density_error"].stderr / 100 == pytest.approx(np.hypot(own, 0.002), rel=0.02)
    assert ("lattice_constant" in m) == (given == "lattice_constant")
    if given == "lattice_constant":
        assert m["lattice_constant"].value == pytest.approx(5.43, rel=1e-3)


def test_a_lattice_constant_needs_a_known_cell():
    fake = Fake(start=SILICON, use=USE, references={"known": scalar(5.43, "A")})
    asked = Density.Params(structure={"file": "x.cif"}, lattice_constant={"reference": "known"})
    with pytest.raises(
        InputError, match=r"how many atoms this cell holds is not known of x\.cif; set atoms_per_cell"
    ):
        Density().trajectories(asked, fake)
    Density().trajectories(asked.model_copy(update={"atoms_per_cell": 8}), fake)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, r"expected one reference out of .* got none"),
        (
            {"density": {"reference": "a"}, "lattice_constant": {"reference": "b"}},
            "got density and lattice_constant",
        ),
        (
            {"density": {"reference": "a"}, "timestep_fs": 10.0},
            r"at least 10 times the 100 fs .* lower cell_stride",
        ),
    ],
)
def test_parameters_that_make_no_sense(params, words):
    with pytest.raises(ValueError, match=words):
        Density.Params(structure=STRUCTURE, **params)


def test_bulk_modulus_from_fluctuations():
    """Oracle: B = kT <V> / var V of a planted Gaussian."""
    spread = 0.005
    expected = BOLTZMANN * 300.0 / (SILICON.volume * spread**2) * EV_PER_A3_IN_GPA
    known = scalar(expected, "GPa", 0.05 * expected)
    outcome, m = measure(planted(ps=200.0), modulus=known)
    assert m["bulk_modulus"].value == pytest.approx(expected, abs=3.5 * m["bulk_modulus"].stderr)
    assert m["bulk_modulus"].stderr < 0.15 * expected
    assert verdict(outcome)["bulk_modulus_error"] in ("PASS", "INCONCLUSIVE")
    outcome, m = measure(planted(ps=200.0), modulus=scalar(3 * expected, "GPa", 0.05 * expected))
    assert verdict(outcome)["bulk_modulus_error"] == "FAIL"


def test_replicas_are_averaged():
    _, one = measure(planted())
    outcome, m = measure(*(planted(seed=k) for k in range(4)))
    assert m["density"].stderr < 0.8 * one["density"].stderr
    assert verdict(outcome)["density_error"] == "PASS"
    outcome, m = measure(planted(), planted(seed=1, density=1.02 * DENSITY))  # two phases, say
    assert "the runs differ beyond chance" in m["density_error"].note
    assert m["density"].stderr == pytest.approx(0.01 * DENSITY, rel=0.1)
    assert verdict(outcome)["density_error"] == "INCONCLUSIVE"


def collapsed():
    sound = planted(ps=12.0)
    return replace(
        sound,
        event=Event(12000, 12000.0, "volume", 0.48, 0.5),
        volume=np.linspace(1, 0.48, len(sound.steps)) * SILICON.volume,
    )


def test_a_collapse_fails_with_its_time():
    outcome, m = measure(collapsed(), planted(seed=1))
    assert verdict(outcome)["failures"] == "FAIL"
    assert "collapsed to 0.48 times its volume at the start (limit 0.5) at 12.000 ps" in m["failures"].note
    assert m["density_error"].value is None
    assert any(f.id == "density-event-0" for f in outcome.figures)
    assert "bulk_modulus" in m  # of the run that went on


def test_a_wrong_temperature_is_not_scored():
    cold = planted()
    cold = replace(cold, temperature=0.6 * cold.temperature)
    outcome, m = measure(cold)
    assert "180 K where 300 K" in m["density_error"].note
    assert verdict(outcome)["density_error"] == "INCONCLUSIVE"


def test_another_state_than_the_intended_one_is_said():
    outcome, _ = measure(planted(), use=replace(USE, pressure_bar=5000.0), pressure_bar=1.0)
    missing = [m for m in outcome.measurements if m.name == "density_error" and m.value is None]
    assert [m.conditions["pressure_bar"] for m in missing] == [5000.0]
    assert "no run at the 5000 bar" in missing[0].note
    outcome, _ = measure(
        planted(), use=replace(USE, pressure_bar=None), reference=scalar(DENSITY, "g/cm^3", 0.01, 0.0)
    )
    assert any("names no pressure; the runs were made at 1 bar" in note for note in outcome.notes)
    assert any("The reference holds at 0 K" in note for note in outcome.notes)


def test_trajectories_follow_use_and_parameters():
    fake = Fake(
        start=SILICON, use=replace(USE, pressure_bar=300.0), references={"known": scalar(2.3, "g/cm^3")}
    )
    asked = Density.Params(
        structure=STRUCTURE, density={"reference": "known"}, replicas=2, thermostat="velocity_rescaling"
    )
    specs = Density().trajectories(asked, fake)
    assert set(specs) == {"prepare#0", "npt#0", "prepare#1", "npt#1"}
    barostat = specs["npt#1"].ensemble
    assert (barostat.pressure_bar, barostat.temperature_K) == (300.0, 300.0)
    assert barostat.compressibility_per_GPa == pytest.approx(1 / 50)
    assert specs["npt#1"].start is specs["prepare#1"]
    liquid = Fake(start=SILICON, use=IntendedUse(300.0, phases=("liquid",)), references=fake.references)
    barostat = Density().trajectories(asked, liquid)["npt#0"].ensemble
    assert (barostat.pressure_bar, barostat.compressibility_per_GPa) == (1.0, 0.5)


# ---------------------------------------------------------------- real runs
ARGON = Structure.from_ase(bulk("Ar", cubic=True, a=5.34) * (2, 2, 2))
COLD = IntendedUse(40.0, phases=("fcc",), pressure_bar=1.0)


def real(potential, folder, **params):
    """Argon at 40 K; the reference is the mean of four runs of 200 ps."""
    known = scalar(ARGON_DENSITY, "g/cm^3", 0.0008, 40.0)
    fake = Fake(start=ARGON, potential=potential, folder=folder, use=COLD, references={"known": known})
    settings = {
        "duration_ps": 20.0,
        "prepare_ps": 1.0,
        "timestep_fs": 10.0,
        "cell_stride": 5,
        "stiffness_GPa": 2.0,
    }
    return run(Density, fake, structure=STRUCTURE, density={"reference": "known"}, **{**settings, **params})


ARGON_DENSITY = 1.7614


def sound():
    return lennard_jones_argon(switch_from_A=6.0, cutoff_A=7.0)


def test_real_control_has_its_density(tmp_path):
    outcome, _ = real(sound(), tmp_path)
    m = {x.name: x for x in outcome.measurements}
    assert m["stress_error"].value < 0.01
    assert abs(m["density_error"].value) < max(1.0, 4 * m["density_error"].stderr)
    assert m["failures"].value == 0
    assert abs(m["mean_pressure"].value - 1.0) < 4 * m["mean_pressure"].stderr
    assert abs(m["conserved_drift"].value) < 0.1
    assert verdict(outcome)["density_error"] == "INCONCLUSIVE"  # 20 ps are not 50 ps
    assert "[@bernetti2020]" in outcome.methods


def test_real_drifted_twin_fails_in_a_short_run(tmp_path):
    outcome, _ = real(faulty.drifted_density(sound(), factor=0.94), tmp_path)
    m = {x.name: x for x in outcome.measurements}
    assert m["stress_error"].value < 0.01
    assert m["density_error"].value == pytest.approx(-6.0, abs=1.0)
    assert verdict(outcome)["density_error"] == "FAIL"


@pytest.mark.parametrize("fault", ["wrong_sign_stress", "wrong_unit_stress"])
def test_real_wrong_stress_is_caught_before_the_run(tmp_path, fault):
    outcome, _ = real(getattr(faulty, fault)(sound()), tmp_path)
    found = verdict(outcome)
    assert (found["stress_error"], found["density_error"]) == ("FAIL", "INCONCLUSIVE")
    m = {x.name: x for x in outcome.measurements}
    assert ("reversed" in m["stress_error"].note) == (fault == "wrong_sign_stress")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- a liquid at a tabulated state
SIGMA, EPSILON = 3.4, 120.0 * BOLTZMANN
REDUCED, PRESSURE = (
    0.86,
    1.2660,
)  # density and pressure at T* = 0.85 (NIST Standard Reference Simulation Website, Monte Carlo)


@pytest.fixture(scope="module")
def melt(tmp_path_factory):
    """256 atoms at T* = 0.85, melted and cooled at the tabulated density."""
    lattice = (4 * SIGMA**3 / REDUCED) ** (1 / 3)
    crystal = Structure.from_ase(bulk("Ar", cubic=True, a=lattice) * (4, 4, 4))
    hot = TrajectorySpec(crystal, Langevin(400.0, 0.01), 5.0, 2000, MaxwellBoltzmann(600.0), 1)
    cold = replace(hot, ensemble=Langevin(102.0, 0.01), n_steps=1000, frame_stride=1000, start=hot)
    store = TrajectoryStore(tmp_path_factory.mktemp("melt"))
    simulate(fluid(), "p", merge([cold], [], "p"), store)
    return crystal.with_positions(store.read(cold.key("p"), 1000, 1000).positions[-1])


def fluid():
    return lennard_jones_argon(switch_from_A=2.5 * SIGMA, cutoff_A=3.0 * SIGMA)


def tail():
    """Pressure in bar that the switch takes away, g(r) = 1 from there on: -2 pi/3 rho^2 int r^3 dV' dr."""
    r = np.linspace(2.5 * SIGMA, 60 * SIGMA, 400_000)
    value, slope = fluid().pair(r)
    on, on_slope = switch(r, 2.5 * SIGMA, 3.0 * SIGMA)
    missing = np.trapezoid(r**3 * (slope - slope * on - value * on_slope), r)
    return -2 * np.pi / 3 * (REDUCED / SIGMA**3) ** 2 * missing * EV_PER_A3_IN_GPA * 1e4


@pytest.mark.physics
@pytest.mark.parametrize(("factor", "expected"), [(1.0, "PASS"), (0.95, "FAIL")], ids=["sound", "drifted"])
def test_a_liquid_at_a_tabulated_state(tmp_path, melt, factor, expected):
    """The control passes with all the evidence; its twin, 5 % less dense, fails."""
    pressure = PRESSURE * EPSILON / SIGMA**3 * EV_PER_A3_IN_GPA * 1e4 - tail()
    table = REDUCED / SIGMA**3 * 39.948 * 1.66053906660
    potential = fluid() if factor == 1.0 else faulty.drifted_density(fluid(), factor)
    outcome = run(
        Density,
        Fake(
            start=melt,
            potential=potential,
            folder=tmp_path,
            use=IntendedUse(102.0, phases=("liquid",), pressure_bar=pressure),
            references={"known": scalar(table, "g/cm^3", 4e-4 * table, 102.0)},
        ),
        structure=STRUCTURE,
        density={"reference": "known"},
        timestep_fs=10.0,
        cell_stride=2,
        cell_relaxation_fs=250.0,
        stiffness_GPa=0.8,
        duration_ps=60.0,
        replicas=2,
    )[0]
    m = {x.name: x for x in outcome.measurements}
    assert verdict(outcome)["density_error"] == expected
    assert m["density_error"].value == pytest.approx(100 * (factor - 1), abs=0.7)
    assert m["failures"].value == 0
