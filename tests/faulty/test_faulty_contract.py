"""Which broken potential the contract check catches, and by what. Sound ones pass: see the potentials'
own tests, which inherit `PotentialContract`."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from mlipbench.core.criterion import Verdict
from mlipbench.core.judge import judge
from mlipbench.core.structure import Structure
from mlipbench.core.units import EV_PER_A3_IN_GPA
from mlipbench.potentials import contract, faulty, faulty_process
from mlipbench.potentials.loading import load

SILICON = Structure.from_ase(bulk("Si", "diamond", a=5.431, cubic=True).repeat(2))

# Fault -> criteria of the contract that fail. Those with none are consistent potentials that are wrong:
# the suites must find them.
CAUGHT_BY = {
    "hole": set(),
    "attractive_wall": set(),
    "structured_error": set(),
    "softened": set(),
    "drifted_density": set(),
    "not_rotation_invariant": set(),
    "float32_noise": set(),
    "kink_at_cutoff": {"force_error", "stress_error"},
    "non_conservative": {"force_error", "stress_error"},
    "force_noise": {"force_error"},
    "wrong_sign_stress": {"stress_error"},
    "wrong_unit_stress": {"stress_error"},
    "wrong_order_stress": {"stress_error"},
    "wrong_for_batches": {"batch_difference"},
    "not_a_number": {"non_finite"},
}


def broken_twin(fault):
    """The class or function of that name."""
    return getattr(faulty, fault, None) or getattr(faulty_process, fault)


def failing(potential, seed):
    criteria = {c.name: c for c in contract.CRITERIA}
    return {
        m.name
        for m in contract.check(potential, [SILICON], seed)
        if judge([m], criteria[m.name])[0].verdict is not Verdict.PASS
    }


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("fault", CAUGHT_BY)
def test_contract_catches(fault, seed):
    potential = broken_twin(fault)("sw-si")
    assert failing(potential, seed) == CAUGHT_BY[fault]


def test_noise_and_structured_errors_are_of_equal_size():
    # A tenth more or less would still tell what a mean error does not: where the density goes.
    rng = np.random.default_rng(2)
    frames = [
        SILICON.with_positions(SILICON.positions + 0.1 * rng.normal(size=SILICON.positions.shape))
        for _ in range(5)
    ]
    sound = load("sw-si", {}, Path()).evaluate(frames)

    def mae(name):
        found = broken_twin(name)("sw-si").evaluate(frames)
        return np.mean([np.abs(a.forces - b.forces).mean() for a, b in zip(found, sound, strict=True)])

    assert mae("structured_error") == pytest.approx(mae("force_noise"), rel=0.1)
    # V(r) of four bonds of length d an atom: p = -(2 / 3) d V'(d) / volume of an atom, V a Gaussian.
    d = np.sqrt(3) / 4 * 5.431
    slope = -2 * (d - 2.0) / 0.5**2 * 0.115 * np.exp(-(((d - 2.0) / 0.5) ** 2))
    pressure = -2 / 3 * d * slope / (5.431**3 / 8)
    stress = faulty.structured_error("sw-si").evaluate([SILICON], ("energy", "stress"))[0].stress
    rest = load("sw-si", {}, Path()).evaluate([SILICON], ("energy", "stress"))[0].stress
    assert stress - rest == pytest.approx(-pressure * np.eye(3), abs=1e-12)
    assert pressure * EV_PER_A3_IN_GPA == pytest.approx(2.5, abs=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_sound_twin_passes(seed):
    assert failing(load("sw-si", {}, Path()), seed) == set()


@pytest.mark.parametrize("fault", CAUGHT_BY)
def test_identity_tells_the_twins_apart(fault):
    sound, broken = load("sw-si", {}, Path()), broken_twin(fault)("sw-si")
    assert broken.identity.key != sound.identity.key
    assert broken.identity.key == broken_twin(fault)(sound).identity.key
    assert broken.identity.name.startswith(sound.identity.name)


@pytest.mark.parametrize("fault", sorted(set(CAUGHT_BY) - {"wrong_for_batches", "not_a_number"}))
def test_bound_and_evaluated_faults_agree(fault):
    # A twin must be equally broken in molecular dynamics and in single evaluations.
    potential = broken_twin(fault)("sw-si")
    rng = np.random.default_rng(0)
    frame = SILICON.with_positions(SILICON.positions + rng.normal(0, 0.2, SILICON.positions.shape))
    single = potential.evaluate([frame], ("energy", "forces", "stress"))[0]
    bound = potential.bind(SILICON, 1)(frame.positions[None], frame.cell[None], True)
    sound = load("sw-si", {}, Path()).evaluate([frame], ("energy", "forces", "stress"))[0]
    assert bound.energies[0] == single.energy
    assert np.array_equal(bound.forces[0], single.forces)
    assert np.array_equal(bound.stresses[0], single.stress)
    same = [
        single.energy == sound.energy,
        np.array_equal(single.forces, sound.forces),
        np.array_equal(single.stress, sound.stress),
    ]
    assert not all(same)


def dimer_energies(potential, r):
    positions = np.zeros((len(r), 2, 3))
    positions[:, 1, 0] = r
    pair = Structure(np.array([14, 14]), positions[0], 20 * np.eye(3), np.ones(3, bool), np.ones(2))
    return potential.bind(pair, len(r))(positions, np.stack([20 * np.eye(3)] * len(r)), False).energies


@pytest.mark.parametrize(("fault", "at"), [("hole", 1.7), ("attractive_wall", 1.2)])
def test_short_range_faults_swallow_atoms(fault, at):
    # Sound silicon repels there, the twin lies far below its equilibrium; both agree in the crystal.
    r = np.array([at, 2.35])
    sound, broken = (
        dimer_energies(load("sw-si", {}, Path()), r),
        dimer_energies(broken_twin(fault)("sw-si"), r),
    )
    assert sound[0] > 1.0
    assert broken[0] < broken[1] - 10.0
    assert broken[1] == sound[1]


def test_energy_offset_is_consistent():
    potential = faulty.energy_offset("sw-si", {"Si": 0.5})
    sound = load("sw-si", {}, Path())
    assert failing(potential, 0) == set()
    difference = potential.evaluate([SILICON])[0].energy - sound.evaluate([SILICON])[0].energy
    assert difference == pytest.approx(32.0, rel=1e-12)


def test_rotation_changes_the_energy_of_the_compass():
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    tetragonal = SILICON.with_positions(SILICON.positions * [1, 1, 1.05], SILICON.cell * [1, 1, 1.05])
    turned = tetragonal.with_positions(tetragonal.positions @ turn, tetragonal.cell @ turn)
    for potential, least in (
        (load("sw-si", {}, Path()), None),
        (faulty.not_rotation_invariant("sw-si"), 0.01),
    ):
        a, b = (s.energy for s in potential.evaluate([tetragonal, turned]))
        if least is None:
            assert a == pytest.approx(b, rel=1e-12)
        else:
            assert abs(a - b) > least


def test_swirl_does_work_around_a_loop():
    # One atom led around a square: the work of a conservative force is zero to the step's error.
    def work(potential):
        angles = np.linspace(0, 2 * np.pi, 201)
        path = np.stack([0.3 * np.cos(angles), 0.3 * np.sin(angles), 0 * angles], axis=1)
        positions = np.repeat(SILICON.positions[None], 201, axis=0)
        positions[:, 0] += path
        forces = potential.bind(SILICON, 201)(
            positions, np.repeat(SILICON.cell[None], 201, axis=0), False
        ).forces
        middle = 0.5 * (forces[1:, 0] + forces[:-1, 0])
        return float((middle * np.diff(path, axis=0)).sum())

    assert abs(work(load("sw-si", {}, Path()))) < 1e-6
    assert abs(work(faulty.non_conservative("sw-si"))) > 0.01


@pytest.mark.parametrize("after", [0, 2])
def test_faults_strike_after_the_calls_they_were_told(after):
    potential = faulty_process.raises("sw-si", after_calls=after)
    for _ in range(after):
        potential.evaluate([SILICON])
    with pytest.raises(RuntimeError, match=f"call {after + 1}"):
        potential.evaluate([SILICON])


def test_interpreter_is_killed():
    code = (
        "from ase.build import bulk; from mlipbench.core.structure import Structure;"
        "from mlipbench.potentials.faulty_process import kills_the_interpreter as killed;"
        "killed('sw-si').evaluate([Structure.from_ase(bulk('Si', 'diamond', a=5.4))])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL


def test_hang_does_not_end_by_itself():
    class StillHangingError(Exception):
        pass

    def ring(signum, frame):
        raise StillHangingError

    previous = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(StillHangingError):
            faulty_process.hangs("sw-si").evaluate([SILICON])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_memory_is_kept():
    import psutil

    process = psutil.Process()
    potential = faulty_process.leaks_memory("sw-si", megabytes_per_call=40)
    potential.evaluate([SILICON])
    before = process.memory_info().rss
    for _ in range(3):
        potential.evaluate([SILICON])
    assert process.memory_info().rss - before > 100 * 2**20
