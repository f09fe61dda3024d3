"""The suite `stability`: planted trajectories, and real runs of sound and broken twins."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from fakes import Fake, run, verdicts
from test_suite_nve import SILICON, STRUCTURE, synthetic

from mlipbench.core.structure import Structure
from mlipbench.core.suite import IntendedUse
from mlipbench.core.trajectory import Event, Limits
from mlipbench.potentials import faulty
from mlipbench.potentials.analytic import lennard_jones_argon
from mlipbench_suites.stability import Stability


def with_frames(run_, displacements):
    """The run with frames of the start plus displacements (n_frames, n_atoms, 3)."""
    n = len(displacements)
    return replace(
        run_,
        frame_steps=np.linspace(0, run_.n_steps, n).astype(np.int64),
        positions=run_.structure.positions + displacements,
        cells=np.repeat(run_.structure.cell[None], n, axis=0),
        velocities=np.zeros_like(displacements),
    )


def solid(ps=100.0, temperature=300.0, start=SILICON, seed=0):
    thermal = 0.08 * np.random.default_rng(seed).standard_normal((100, len(start), 3))
    return with_frames(synthetic(ps=ps, temperature=temperature, start=start, seed=seed), thermal)


def liquid(ps=100.0, temperature=300.0, start=SILICON):
    walk = np.cumsum(0.3 * np.random.default_rng(1).standard_normal((100, len(start), 3)), axis=0)
    return with_frames(synthetic(ps=ps, temperature=temperature, start=start), walk)


def measure(cold, hot, start=SILICON, replicas=1):
    given = {}
    for t, runs in ((300, cold), (450, hot)):
        given.update({f"nvt@{t}K#{k}": r for k, r in enumerate(runs if isinstance(runs, list) else [runs])})
    return run(
        Stability,
        Fake(start=start, given=given, use=IntendedUse(300.0)),
        structure=STRUCTURE,
        replicas=replicas,
    )


def test_survival_at_both_temperatures_passes():
    outcome, m = measure(solid(), solid(temperature=450.0))
    found = verdicts(Stability, outcome)
    assert found["failures@300K"] == found["failures@450K"] == "PASS"
    assert found["temperature_error@300K"] == "PASS"
    assert m["failure_rate_bound@300K"].value == pytest.approx(-np.log(0.05) / 100, rel=1e-6)
    assert m["mean_temperature@300K"].value == pytest.approx(300, abs=4 * m["mean_temperature@300K"].stderr)
    assert any("stays solid" in note for note in outcome.notes)
    assert m["lindemann_ratio@300K"].value == pytest.approx(0.08 * np.sqrt(3) / 2.351, rel=0.05)


def test_short_run_is_inconclusive():
    outcome, _ = measure(solid(ps=10.0), solid(ps=10.0, temperature=450.0))
    assert verdicts(Stability, outcome)["failures@450K"] == "INCONCLUSIVE"


def test_failure_in_one_of_three_replicas_fails():
    """One event in 30 + 100 + 100 ps; Poisson 95 % limit after one event is 4.744."""
    hot = [solid(temperature=450.0, seed=k) for k in range(2)]
    broken = replace(
        solid(ps=30.0, temperature=450.0), event=Event(30000, 30000.0, "temperature", 2.1e4, 2e4)
    )
    outcome, m = measure([solid(seed=k) for k in range(3)], [*hot, broken], replicas=3)
    found = verdicts(Stability, outcome)
    assert (found["failures@300K"], found["failures@450K"]) == ("PASS", "FAIL")
    assert "2.1e+04 K" in m["failures@450K"].note
    assert m["failure_rate_bound@450K"].value == pytest.approx(4.7439 / 230, rel=1e-3)
    assert m["failure_rate_bound@300K"].value == pytest.approx(2.9957 / 300, rel=1e-3)


def test_wrong_temperature_is_not_scored():
    outcome, m = measure(solid(temperature=200.0), solid(temperature=450.0))
    assert m["failures@300K"].value is None
    found = verdicts(Stability, outcome)
    assert found["failures@300K"] == "INCONCLUSIVE"
    assert found["temperature_error@300K"] == "FAIL"


def test_melting_is_no_failure():
    outcome, m = measure(solid(), liquid(temperature=450.0))
    assert verdicts(Stability, outcome)["failures@450K"] == "PASS"
    assert any("450 K: melted or diffuses" in note for note in outcome.notes)
    assert m["lindemann_ratio@450K"].value > 0.3


def water():
    from ase import Atoms
    from ase.build import molecule

    atoms = Atoms(cell=np.eye(3) * 9.0, pbc=True)
    for k in range(8):
        w = molecule("H2O")
        w.translate(4.5 * np.array([k & 1, k >> 1 & 1, k >> 2]))
        atoms += w
    return Structure.from_ase(atoms)


def test_molecules_have_their_bonds_followed():
    start = water()
    still = with_frames(synthetic(ps=100, start=start), np.zeros((10, 24, 3)))
    torn = np.zeros((10, 24, 3))
    torn[5:, 1] = [1.5, 0, 1.0]
    outcome, m = measure(
        still, with_frames(synthetic(ps=100, start=start, temperature=450.0), torn), start=start
    )
    assert m["bond_changes@300K"].value == 0
    assert m["bond_changes@450K"].value >= 1
    assert "lindemann_ratio@300K" not in m
    found = verdicts(Stability, outcome)
    assert (found["bond_changes@300K"], found["bond_changes@450K"]) == ("PASS", "FAIL")


def test_disordered_start_has_no_melting():
    rng = np.random.default_rng(5)
    start = SILICON.with_positions(SILICON.positions + 0.4 * rng.standard_normal((64, 3)))
    outcome, m = measure(solid(start=start), solid(start=start, temperature=450.0), start=start)
    assert "lindemann_ratio@300K" not in m
    assert any("not an ordered solid" in note for note in outcome.notes)


def test_trajectories_follow_the_intended_use():
    fake = Fake(start=SILICON, use=IntendedUse(500.0))
    p = Stability.Params(structure=STRUCTURE, replicas=2, thermostat="velocity_rescaling")
    specs = Stability().trajectories(p, fake)
    assert set(specs) == {"nvt@500K#0", "nvt@500K#1", "nvt@750K#0", "nvt@750K#1"}
    assert len({s.key("p") for s in specs.values()}) == 4
    assert specs["nvt@750K#1"].ensemble.temperature_K == 750.0
    assert specs["nvt@500K#0"].limits == Limits()


def test_each_temperature_is_asked_once():
    with pytest.raises(ValueError, match=r"1\.5 more than once"):
        Stability.Params(structure=STRUCTURE, factors=[1.5, 1.0, 1.5])


ARGON = Structure.from_ase(bulk("Ar", cubic=True, a=5.4) * (2, 2, 2))


def real(potential, folder):
    fake = Fake(start=ARGON, potential=potential, folder=folder, use=IntendedUse(40.0))
    return run(
        Stability,
        fake,
        structure=STRUCTURE,
        duration_ps=5.0,
        timestep_fs=10.0,
        friction_per_fs=0.01,
        frame_every_fs=100.0,
    )


def test_real_control_survives(tmp_path):
    outcome, m = real(lennard_jones_argon(switch_from_A=4.0, cutoff_A=5.0), tmp_path)
    assert m["failures@40K"].value == m["failures@60K"].value == 0
    assert verdicts(Stability, outcome)["failures@60K"] == "INCONCLUSIVE"  # 5 ps are not 100 ps
    assert any("stays solid" in note for note in outcome.notes)
    assert abs(m["temperature_error@40K"].value) < 10


def test_real_broken_twin_fails_within_a_short_run(tmp_path):
    """Argon on which an attractive wall was put falls together: beyond doubt also in 5 ps."""
    sound = lennard_jones_argon(switch_from_A=4.0, cutoff_A=5.0)
    outcome, m = real(faulty.attractive_wall(sound, strength_eV=20.0, reach_A=4.5), tmp_path)
    found = verdicts(Stability, outcome)
    assert found["failures@40K"] == found["failures@60K"] == "FAIL"
    assert " ps" in m["failures@60K"].note
    assert any(f.id.startswith("stability-event") for f in outcome.figures)
