"""The suite `rdf`: planted crystals with known vibrations, and real runs of sound and broken twins."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from fakes import Fake, run, verdicts
from test_suite_nve import synthetic

from mlipbench.analysis import blocks, rdf
from mlipbench.core.errors import InputError
from mlipbench.core.reference import Curve
from mlipbench.core.structure import Structure
from mlipbench.core.suite import IntendedUse
from mlipbench.core.trajectory import Event
from mlipbench.potentials import faulty
from mlipbench.potentials.analytic import lennard_jones_argon
from mlipbench_suites.rdf import RadialDistributions
from mlipbench_suites.stability import Stability

STRUCTURE = {"crystal": "fcc", "symbol": "Ar"}
LEVEL = "planted"
EDGES = rdf.even_edges(0.05, 5.2)


def argon(lattice=5.4):
    return Structure.from_ase(bulk("Ar", cubic=True, a=lattice) * (2, 2, 2))


def vibrating(sigma=0.2, seed=0, n_frames=1000, ps=100.0, start=None, ripple=0.02):
    """An Einstein crystal whose amplitude breathes from frame to frame."""
    start = start or argon()
    rng = np.random.default_rng(seed)
    amplitude = sigma * (1 + ripple * rng.standard_normal((n_frames, 1, 1)))
    frames = start.positions + amplitude * rng.standard_normal((n_frames, len(start), 3))
    base = synthetic(ps=ps, start=start, seed=seed, stride=100)
    return replace(
        base,
        frame_steps=np.linspace(0, base.n_steps, n_frames).astype(np.int64),
        positions=frames,
        velocities=np.zeros_like(frames),
        cells=np.repeat(start.cell[None], n_frames, axis=0),
    )


def curve(trajectory, level=LEVEL, temperature=300.0, errors=True, edges=EDGES):
    """The g(r) of a trajectory as a reference."""
    histogram = rdf.Histogram(trajectory.structure.numbers, {(18, 18): edges})
    histogram.add(trajectory.positions, trajectory.cells)
    g = histogram.distributions()[18, 18]
    error = blocks.column_errors(g.series) if errors else None
    return Curve("r", g.r, "A", "g", g.g, "1", error, level, "this test", temperature, None)


REFERENCE = curve(vibrating(seed=99))


def measure(trajectory, reference=REFERENCE, drawn=None, level=LEVEL, **params):
    fake = Fake(
        start=trajectory.structure,
        given={"run": trajectory},
        use=IntendedUse(300.0),
        references={"ours": reference, "drawn": drawn},
    )
    asked = {"references": {"Ar-Ar": {"reference": "ours"}}} if reference is not None else {}
    if drawn is not None:
        asked["drawn"] = {"Ar-Ar": [{"reference": "drawn"}]}
    return run(
        RadialDistributions,
        fake,
        structure=STRUCTURE,
        level_of_theory=level,
        timestep_fs=1.0,
        **asked,
        **params,
    )


def test_equal_crystal_passes_with_both_errors():
    outcome, m = measure(vibrating())
    found = verdicts(RadialDistributions, outcome)
    assert set(found.values()) == {"PASS"}
    height = m["peak_height_error@300K,pair=Ar-Ar,peak=1"]
    own, theirs = m["peak_height@300K,pair=Ar-Ar,peak=1"], REFERENCE.value.max()
    assert abs(height.value) < 3 * height.stderr
    assert height.stderr > 100 * own.stderr / theirs  # that of the reference is in it
    assert m["coordination@300K,pair=Ar-Ar"].value == pytest.approx(12, abs=0.05)
    difference, floor = m["rdf_difference@300K,pair=Ar-Ar"], m["rdf_noise_floor@300K,pair=Ar-Ar"]
    assert difference.value < 3 * floor.value
    assert m["missing_peaks@300K,pair=Ar-Ar"].value == 0
    assert any("MDAnalysis [@michaudagrawal2011]" in text for text in (outcome.methods,))


def test_stiffer_crystal_fails_in_height_alone():
    """Oracle: shells of Gaussian width sigma; 12 % less width makes the peak 12 % higher."""
    outcome, m = measure(vibrating(sigma=0.2 * 0.88))
    found = verdicts(RadialDistributions, outcome)
    assert found["peak_height_error@300K,pair=Ar-Ar,peak=1"] == "FAIL"
    assert found["peak_position_error@300K,pair=Ar-Ar,peak=1"] == "PASS"
    assert m["peak_height_error@300K,pair=Ar-Ar,peak=1"].value == pytest.approx(100 * (1 / 0.88 - 1), abs=2)
    assert m["rdf_difference@300K,pair=Ar-Ar"].value > 3 * m["rdf_noise_floor@300K,pair=Ar-Ar"].value


def test_wider_lattice_fails_in_position():
    """Oracle: the lattice constant, 2 % more."""
    outcome, m = measure(vibrating(start=argon(5.4 * 1.02)))
    away = m["peak_position_error@300K,pair=Ar-Ar,peak=1"]
    assert away.value == pytest.approx(2.0, abs=4 * away.stderr)
    assert away.stderr < 0.2
    assert verdicts(RadialDistributions, outcome)["peak_position_error@300K,pair=Ar-Ar,peak=1"] == "FAIL"


def test_molten_crystal_misses_peaks():
    gas = vibrating()
    rng = np.random.default_rng(3)
    gas = replace(gas, positions=rng.random(gas.positions.shape) @ gas.structure.cell)
    outcome, _m = measure(gas)
    found = verdicts(RadialDistributions, outcome)
    failed = {key.split("@")[0] for key, verdict in found.items() if verdict == "FAIL"}
    assert failed & {"missing_peaks", "peak_height_error"}
    assert "PASS" not in [v for k, v in found.items() if k.startswith("peak_height_error")]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"temperature_K": 330.0}, "it is at 330 K, the run at 300 K"),
        ({"temperature_K": None}, "does not state its temperature"),
        ({"level_of_theory": "PBE"}, "its level of theory is PBE, the potential's planted"),
    ],
)
def test_another_reference_is_drawn_and_decides_nothing(change, why):
    outcome, _m = measure(vibrating(sigma=0.1, n_frames=100), replace(REFERENCE, **change))
    assert set(verdicts(RadialDistributions, outcome)) == {"failures@300K"}
    assert any(why in note and "decides nothing" in note for note in outcome.notes)
    [figure] = [f for f in outcome.figures if f.id.startswith("rdf-Ar-Ar")]
    assert {s.role for s in figure.panels[0].series} == {"data", "context"}
    assert any("item 6 of the checklist stays open" in note for note in outcome.notes)


def test_level_of_theory_must_be_named():
    outcome, _ = measure(vibrating(n_frames=100), level="")
    assert set(verdicts(RadialDistributions, outcome)) == {"failures@300K"}


def test_experiment_is_drawn_beside_the_reference():
    experiment = replace(REFERENCE, value=0.7 * REFERENCE.value, level_of_theory="experiment")
    outcome, _m = measure(vibrating(), drawn=experiment)
    assert "FAIL" not in verdicts(RadialDistributions, outcome).values()
    [figure] = [f for f in outcome.figures if f.id.startswith("rdf-Ar-Ar")]
    assert {s.role for s in figure.panels[0].series} == {"data", "context", "reference"}
    assert {s.kind for s in figure.panels[0].series if s.role == "context"} == {"band", "line"}


def test_a_few_extrema_are_drawn_as_points():
    extrema = replace(
        REFERENCE,
        abscissa=np.array([3.8, 4.6, 5.0]),
        value=np.array([2.0, 0.5, 0.6]),
        error=None,
        level_of_theory="experiment",
    )
    outcome, _ = measure(vibrating(), drawn=extrema)
    [figure] = [f for f in outcome.figures if f.id.startswith("rdf-Ar-Ar")]
    assert [(s.kind, s.x) for s in figure.panels[0].series if s.role == "context"] == [
        ("points", [3.8, 4.6, 5.0])
    ]


def test_reference_without_errors_is_compared_and_not_judged():
    outcome, m = measure(vibrating(), replace(REFERENCE, error=None))
    found = verdicts(RadialDistributions, outcome)
    assert found["peak_height_error@300K,pair=Ar-Ar,peak=1"] == "INCONCLUSIVE"
    assert "states no errors" in m["peak_height_error@300K,pair=Ar-Ar,peak=1"].note


def test_short_run_is_inconclusive_and_a_broken_one_is_not_scored():
    outcome, _ = measure(vibrating(ps=20.0))
    assert (
        verdicts(RadialDistributions, outcome)["peak_height_error@300K,pair=Ar-Ar,peak=1"] == "INCONCLUSIVE"
    )
    broken = replace(vibrating(n_frames=100), event=Event(100000, 1e5, "temperature", 3e4, 2e4))
    outcome, _m = measure(broken)
    found = verdicts(RadialDistributions, outcome)
    assert found["failures@300K"] == "FAIL"
    assert found["peak_height_error@300K,pair=Ar-Ar"] == "INCONCLUSIVE"
    assert any(f.id == "rdf-event" for f in outcome.figures)


def test_range_ends_at_half_the_height_and_says_so():
    outcome, _ = measure(vibrating(n_frames=50), reference=None, range_A=9.0)
    assert any("9 A were asked, the curves end at 5.4 A" in note for note in outcome.notes)
    [figure] = [f for f in outcome.figures if f.id.startswith("rdf-Ar-Ar")]
    assert max(figure.panels[0].series[-1].x) < 5.4
    long = replace(
        REFERENCE,
        abscissa=np.append(REFERENCE.abscissa, 5.2 + 0.05 * np.arange(0.5, 20)),
        value=np.append(REFERENCE.value, np.ones(20)),
        error=np.append(REFERENCE.error, np.full(20, 0.01)),
    )
    outcome, _m = measure(vibrating(), long)
    assert any("compared is what lies below 5.4 A" in note for note in outcome.notes)
    assert "FAIL" not in verdicts(RadialDistributions, outcome).values()


def test_what_cannot_be_asked_is_refused():
    cluster = replace(argon(), pbc=np.array([True, True, False]))
    with pytest.raises(InputError, match="periodic in all directions"):
        measure(replace(vibrating(n_frames=10), structure=cluster))
    with pytest.raises(InputError, match="expected pairs of Ar, as in the structure, got Kr-Ar"):
        measure(vibrating(n_frames=10), pairs=["Kr-Ar"])
    with pytest.raises(ValueError, match="Kr-Ar more than once"):
        RadialDistributions.Params(structure=STRUCTURE, pairs=["Kr-Ar", "Ar-Kr"])
    with pytest.raises(InputError, match="expected a multiple of the time step, 1 fs"):
        measure(vibrating(n_frames=10), frame_every_fs=0.7)


def test_runs_are_shared():
    """Langevin dynamics is the run of `stability`, and so is velocity rescaling where it asks for that."""
    fake = Fake(start=argon(), use=IntendedUse(300.0))
    gentle = {"thermostat": "velocity_rescaling", "relaxation_fs": 1000.0}
    for ensemble, asked in (("langevin", {}), ("velocity_rescaling", gentle)):
        params = RadialDistributions.Params(structure=STRUCTURE, ensemble=ensemble)
        ours = RadialDistributions().trajectories(params, fake)["run"]
        theirs = Stability().trajectories(Stability.Params(structure=STRUCTURE, **asked), fake)["nvt@300K#0"]
        assert ours.key("p") == theirs.key("p")


# ---------------------------------------------------------------- real runs
def real(potential, folder, reference=None, seed=1, **params):
    fake = Fake(
        start=argon(),
        potential=potential,
        folder=folder,
        use=IntendedUse(40.0),
        seed=seed,
        references={"ours": reference},
    )
    asked = {"references": {"Ar-Ar": {"reference": "ours"}}} if reference is not None else {}
    outcome, m = run(
        RadialDistributions,
        fake,
        structure=STRUCTURE,
        timestep_fs=10.0,
        frame_every_fs=100.0,
        bin_A=0.05,
        level_of_theory=LEVEL,
        **asked,
        **params,
    )
    return outcome, m, fake


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The potential's own g(r) from another seed, as its reference."""
    potential = lennard_jones_argon(switch_from_A=4.0, cutoff_A=5.0)
    _, _, fake = real(potential, tmp_path_factory.mktemp("reference"), seed=7, duration_ps=200.0)
    return potential, curve(fake.trajectory("run"), temperature=40.0)


def test_real_control_passes(sound, tmp_path):
    potential, reference = sound
    outcome, _m, _ = real(potential, tmp_path, reference)
    found = verdicts(RadialDistributions, outcome)
    assert "FAIL" not in found.values()
    assert found["peak_position_error@40K,pair=Ar-Ar,peak=1"] == "PASS"
    assert found["peak_height_error@40K,pair=Ar-Ar,peak=1"] == "PASS"


def test_real_hardened_twin_fails(sound, tmp_path):
    """Oracle: a harmonic crystal; forces 1.5 times as large make the peak sqrt 1.5 as high."""
    potential, reference = sound
    outcome, m, _ = real(faulty.hardened(potential, 1.5), tmp_path, reference)
    assert verdicts(RadialDistributions, outcome)["peak_height_error@40K,pair=Ar-Ar,peak=1"] == "FAIL"
    assert m["peak_height_error@40K,pair=Ar-Ar,peak=1"].value == pytest.approx(22, abs=6)


def test_real_twin_with_an_attractive_wall_breaks_off(sound, tmp_path):
    potential, reference = sound
    twin = faulty.attractive_wall(potential, strength_eV=20.0, reach_A=4.5)
    outcome, _m, _ = real(twin, tmp_path, reference, duration_ps=5.0)
    assert verdicts(RadialDistributions, outcome)["failures@40K"] == "FAIL"
