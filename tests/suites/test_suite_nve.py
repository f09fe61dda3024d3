"""The suite `nve`: synthetic trajectories with planted answers, and real runs of sound and broken twins."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk, molecule
from fakes import Fake, run, verdicts

from mlipbench.core.structure import Structure
from mlipbench.core.suite import IntendedUse
from mlipbench.core.trajectory import Event, Trajectory
from mlipbench.core.units import BOLTZMANN
from mlipbench.potentials import faulty
from mlipbench.potentials.analytic import lennard_jones_argon, stillinger_weber_silicon
from mlipbench_suites.nve import NveDrift

SILICON = Structure.from_ase(bulk("Si", cubic=True, a=5.43) * (2, 2, 2))
STRUCTURE = {"crystal": "diamond", "symbol": "Si"}


def synthetic(drift=0.0, wiggle=0.02, ps=50.0, dt=1.0, temperature=300.0, start=SILICON, stride=10, seed=0):
    """A run whose total energy per atom is drift * t (meV/atom/ps) plus a fast oscillation (meV/atom)."""
    rng = np.random.default_rng(seed)
    n = len(start)
    steps = np.arange(0, round(1000 * ps / dt) + 1, stride)
    t = steps * dt / 1000
    kinetic = 1.5 * n * BOLTZMANN * temperature * (1 + 0.05 * rng.standard_normal(len(t)))
    total = n * 1e-3 * (drift * t + wiggle * np.sin(2 * np.pi * t / 0.033 + 1))
    return Trajectory(
        structure=start,
        timestep_fs=dt,
        n_steps=int(steps[-1]),
        event=None,
        steps=steps,
        potential_energy=total - kinetic - 4.3 * n,
        kinetic_energy=kinetic,
        conserved=total,
        temperature=kinetic / (1.5 * n * BOLTZMANN),
        closest_contact=np.full(len(t), 2.2),
        momentum=np.zeros((len(t), 3)),
        angular_momentum=np.zeros((len(t), 3)),
        frame_steps=steps[-1:],
        positions=start.positions[None],
        velocities=np.zeros((1, n, 3)),
        cells=start.cell[None],
    )


def measure(main, prepared=None, half=None, temperature=300.0, **params):
    t = f"{temperature:g}K"
    given = {
        f"prepare@{t}": prepared or synthetic(ps=5, temperature=temperature),
        f"nve@{t}": main,
        f"half_step@{t}": half or synthetic(drift=0, wiggle=0.005, ps=1, dt=0.5, stride=20),
    }
    fake = Fake(start=SILICON, given=given, use=IntendedUse(300.0))
    return run(NveDrift, fake, structure=STRUCTURE, temperatures_K=[temperature], timestep_fs=1.0, **params)


def test_sound_run_passes_with_grade_and_recovers_the_planted_drift():
    outcome, m = measure(synthetic(drift=0.05))
    assert m["drift@300K"].value == pytest.approx(0.05, abs=4 * m["drift@300K"].stderr)
    assert m["drift@300K"].stderr < 0.01
    assert m["fluctuation_ratio@300K"].value < 0.05
    assert m["step_ratio@300K"].value == pytest.approx(4.0, rel=0.1)
    found = verdicts(NveDrift, outcome)
    assert set(found.values()) == {"PASS"}


def test_drifting_run_fails_also_when_short():
    assert verdicts(NveDrift, measure(synthetic(drift=-3.0))[0])["drift@300K"] == "FAIL"
    assert verdicts(NveDrift, measure(synthetic(drift=3.0, ps=2.0))[0])["drift@300K"] == "FAIL"


def test_short_sound_run_is_inconclusive_and_never_passes():
    outcome, _ = measure(synthetic(drift=0.05, ps=2.0))
    found = verdicts(NveDrift, outcome)
    assert found["drift@300K"] == found["failures@300K"] == "INCONCLUSIVE"


def test_random_walk_has_an_honest_error():
    """A walk of 0.3 meV/atom per sqrt(ps) with no drift: error of the slope about 0.3 / sqrt(50)."""
    main = synthetic()
    walk = np.cumsum(np.random.default_rng(3).standard_normal(len(main.steps))) * 0.3 * np.sqrt(0.01)
    main = replace(main, potential_energy=main.potential_energy + 64e-3 * walk)
    _, m = measure(main)
    assert 0.5 < m["drift@300K"].stderr / (0.3 / np.sqrt(50)) < 2
    assert abs(m["drift@300K"].value) < 3.5 * m["drift@300K"].stderr


def test_sudden_step_is_counted_and_placed():
    main = synthetic()
    energy = main.potential_energy.copy()
    energy[2000:] += 64e-3 * 2.0
    outcome, m = measure(replace(main, potential_energy=energy))
    assert m["energy_steps@300K"].value == 1
    assert "at 20" in m["energy_steps@300K"].note
    assert verdicts(NveDrift, outcome)["energy_steps@300K"] == "FAIL"


def test_wrong_preparation_is_not_scored():
    outcome, m = measure(synthetic(), prepared=synthetic(ps=5, temperature=150.0))
    assert m["drift@300K"].value is None
    assert "150 K where 300 K" in m["drift@300K"].note
    moving = synthetic(ps=5)
    moving = replace(moving, momentum=np.full((len(moving.steps), 3), 20.0))
    _, m = measure(synthetic(), prepared=moving)
    assert "centre of mass" in m["drift@300K"].note
    assert verdicts(NveDrift, outcome)["drift@300K"] == "INCONCLUSIVE"


def test_rough_surface_is_told_by_the_half_step():
    rough = synthetic(drift=0, wiggle=0.019, ps=1, dt=0.5, stride=20)
    outcome, m = measure(synthetic(), half=rough)
    assert m["step_ratio@300K"].value == pytest.approx(1.05, rel=0.1)
    assert verdicts(NveDrift, outcome)["step_ratio@300K"] == "FAIL"


def test_missing_step_check_is_said_with_the_cause():
    """Eleven samples in common, one fewer than a slope needs: no number, and a remark instead of silence."""
    short = synthetic(drift=0, wiggle=0.005, ps=0.1, dt=0.5, stride=20)
    assert len(short.steps) == 11
    outcome, m = measure(synthetic(), half=short)
    assert "step_ratio@300K" not in m
    (note,) = outcome.notes
    assert note.startswith("300 K: the time step was not checked.")
    assert "11 samples in common where 12 are needed: lengthen half_step_ps" in note
    ended = replace(short, event=Event(200, 100.0, "temperature", 3e4, 2e4))
    outcome, _ = measure(synthetic(), half=ended)
    assert outcome.notes[0].endswith("are needed: a run broke off.")
    outcome, _ = measure(synthetic(), half=synthetic(ps=0.11, dt=0.5, stride=20))
    assert outcome.notes == []


def test_each_temperature_is_asked_once():
    with pytest.raises(ValueError, match="300 more than once"):
        NveDrift.Params(structure=STRUCTURE, temperatures_K=[300.0, 600.0, 300.0])


def test_a_preparation_that_breaks_off_is_pictured_and_there_is_no_run_to_draw():
    # The run is then one frame long; its own time, 0 ps, would be a wrong date of the event.
    positions = SILICON.positions.copy()
    positions[7] = positions[3] + [0.3, 0, 0]
    event = Event(190, 190.0, "closest_contact", 0.3, 0.5)
    prepared = replace(synthetic(ps=0.19), event=event, positions=positions[None])
    main = replace(synthetic(ps=0.0), event=replace(event, step=0, time_fs=0.0))
    outcome, m = measure(main, prepared=prepared)
    assert [f.id for f in outcome.figures] == ["nve-event-300K"]
    assert "at 0.190 ps" in outcome.figures[0].caption
    assert outcome.tables[0].rows[0][1:] == [0.0, f"{event} of the preparation"]
    assert m["survival_time@300K"].value == 0.0


def test_explosion_fails_with_time_words_and_picture():
    main = synthetic(ps=3.0)
    positions = SILICON.positions.copy()
    positions[7] = positions[3] + [0.3, 0, 0]
    event = Event(3000, 3000.0, "closest_contact", 0.3, 0.5)
    main = replace(main, event=event, positions=positions[None])
    outcome, m = measure(main, temperature=300.0)
    assert verdicts(NveDrift, outcome)["failures@300K"] == "FAIL"
    assert "0.300 A apart" in m["failures@300K"].note
    assert m["survival_time@300K"].value == pytest.approx(3.0)
    picture = next(f for f in outcome.figures if f.id == "nve-event-300K")
    assert sorted(picture.highlight) == [3, 7]


def test_angular_momentum_is_watched_where_nothing_is_periodic():
    water = Structure.from_ase(molecule("H2O"))
    main = synthetic(start=water)
    outcome, m = measure(main, prepared=synthetic(ps=5, start=water))
    assert m["angular_momentum@300K"].value == 0
    spun = replace(main, angular_momentum=np.linspace(0, 1, len(main.steps))[:, None] * np.ones(3))
    outcome, m = measure(spun, prepared=synthetic(ps=5, start=water))
    assert m["angular_momentum@300K"].value > 0.1
    assert verdicts(NveDrift, outcome)["angular_momentum@300K"] == "FAIL"


def test_hot_run_gates_only_where_it_is_the_target():
    levels = {c.name: c.level for c in NveDrift.criteria}
    assert levels["drift"] == levels["failures"] == "at_target"


def real(potential, folder, start, temperature, **params):
    fake = Fake(start=start, potential=potential, folder=folder, use=IntendedUse(temperature))
    return run(
        NveDrift,
        fake,
        structure=STRUCTURE,
        temperatures_K=[temperature],
        **{"duration_ps": 2.0, "prepare_ps": 0.5, "half_step_ps": 0.3, "timestep_fs": 2.0, **params},
    )


ARGON = Structure.from_ase(bulk("Ar", cubic=True, a=5.4) * (2, 2, 2))


def test_real_control_conserves_and_its_half_step_ratio_is_four(tmp_path):
    """Second order of velocity Verlet on a smooth surface: the ratio is 4 by theory."""
    outcome, m = real(
        lennard_jones_argon(switch_from_A=4.0, cutoff_A=5.0),
        tmp_path,
        ARGON,
        40.0,
        timestep_fs=10.0,
        half_step_ps=4.0,
        duration_ps=10.0,
        monitor_stride=2,
    )
    assert abs(m["drift@40K"].value) < 0.1
    assert m["step_ratio@40K"].value == pytest.approx(4.0, rel=0.15)
    assert m["momentum@40K"].value < 1e-20
    found = verdicts(NveDrift, outcome)
    assert found["drift@40K"] == "INCONCLUSIVE"  # sound, but far shorter than 50 ps
    assert found["step_ratio@40K"] == "PASS"


def test_real_broken_twin_drifts_and_fails(tmp_path):
    """A force with a curl feeds energy in, whatever the step; the sound twin stays within the limit."""
    small = Structure.from_ase(bulk("Si", cubic=True, a=5.43) * (2, 2, 1))
    settings = {"duration_ps": 3.0, "half_step_ps": 2.0, "timestep_fs": 2.0}
    _, sound = real(stillinger_weber_silicon(), tmp_path / "a", small, 600.0, **settings)
    twin = faulty.non_conservative(stillinger_weber_silicon())
    outcome, broken = real(twin, tmp_path / "b", small, 600.0, **settings)
    assert abs(sound["drift@600K"].value) < 1.0
    assert verdicts(NveDrift, outcome)["drift@600K"] == "FAIL"
    assert broken["drift_extrapolated@600K"].value > 5.0
    assert abs(sound["drift_extrapolated@600K"].value) < 1.0
