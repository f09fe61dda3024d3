"""The driver with a real store: company, kills, extensions, events, sharing."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from mlipbench.core.errors import PotentialError
from mlipbench.core.potential import BatchEvaluation, Capabilities, Identity, Potential
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import (
    NVE,
    Langevin,
    Limits,
    MaxwellBoltzmann,
    StochasticCellRescaling,
    TrajectorySpec,
    VelocityRescaling,
)
from mlipbench.potentials.analytic import lennard_jones_argon
from mlipbench.simulate.driver import simulate
from mlipbench.simulate.requests import merge
from mlipbench.store.trajectories import TrajectoryStore

ARGON = Structure.from_ase(bulk("Ar", "fcc", 5.4, cubic=True) * (2, 2, 2))
CONSTANT_VOLUME = [NVE(), Langevin(80.0, friction_per_fs=0.01), VelocityRescaling(80.0, relaxation_fs=50.0)]
ENSEMBLES = [
    *CONSTANT_VOLUME,
    *(StochasticCellRescaling(e, 100.0, 1.0, relaxation_fs=200.0, stride=5) for e in CONSTANT_VOLUME[1:]),
]
KINDS = [ensemble.kind for ensemble in CONSTANT_VOLUME]
ALL_KINDS = [*KINDS, "npt-langevin", "npt-velocity_rescaling"]
CHUNK = 20


def spec(ensemble=None, n_steps=110, seed=1, **kwargs):
    start = kwargs.pop("start", MaxwellBoltzmann(80.0))
    kwargs = {"frame_stride": 7, "monitor_stride": 5, **kwargs}
    return TrajectorySpec(ARGON, ensemble or NVE(), 4.0, n_steps, start, seed, **kwargs)


def run(folder, specs, potential=None, among=(), chunk_steps=CHUNK, progress=None):
    store = TrajectoryStore(folder)
    simulate(potential or lennard_jones_argon(), "p", merge(specs, among, "p"), store, progress, chunk_steps)
    return [store.read(s.key("p"), s.n_steps, s.frame_stride) for s in specs]


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Killed(Exception):
    """Stands for a kill: nothing in the package catches it."""


class Fragile(Potential):
    """Argon that is killed after so many force evaluations, or answers as `spoil` wishes."""

    def __init__(self, lives=10**9, spoil=None):
        self.inner, self.lives, self.spoil, self.calls = lennard_jones_argon(), lives, spoil, 0

    @property
    def capabilities(self):
        return self.inner.capabilities

    @property
    def identity(self):
        return self.inner.identity

    def evaluate(self, structures, properties=("energy", "forces")):
        raise NotImplementedError

    def bind(self, structure, n_replicas):
        bound = self.inner.bind(structure, n_replicas)

        def evaluate(positions, cells, stress):
            assert np.isfinite(positions).all()
            self.calls += 1
            if self.calls > self.lives:
                raise Killed
            answer = bound(positions, cells, stress)
            return self.spoil(self.calls, positions, answer) if self.spoil else answer

        return evaluate


@pytest.mark.parametrize("ensemble", ENSEMBLES, ids=ALL_KINDS)
def test_a_replica_does_not_feel_its_company(tmp_path, ensemble):
    """Alone and beside two others, one of which ends early: bit for bit."""
    mine = spec(ensemble)
    others = [spec(ensemble, seed=2, n_steps=33), spec(ensemble, seed=3, start=MaxwellBoltzmann(300.0))]
    (alone,) = run(tmp_path / "alone", [mine])
    _, beside, _ = run(tmp_path / "company", [others[0], mine, others[1]])
    for name in ("positions", "velocities", "conserved", "closest_contact", "angular_momentum"):
        assert np.array_equal(getattr(alone, name), getattr(beside, name)), name
    key = mine.key("p")
    assert files(tmp_path / "alone" / key) == files(tmp_path / "company" / key)


@pytest.mark.parametrize("ensemble", ENSEMBLES, ids=ALL_KINDS)
@pytest.mark.parametrize("lives", [0, 1, 19, 20, 21, 53, 110])
def test_killed_and_resumed_is_undisturbed(tmp_path, ensemble, lives):
    """Killed at any force evaluation, in and between chunks: every byte in the store is the same."""
    specs = [spec(ensemble), spec(ensemble, seed=2, n_steps=87)]
    run(tmp_path / "whole", specs)
    with pytest.raises(Killed):
        run(tmp_path / "broken", specs, Fragile(lives))
    run(tmp_path / "broken", specs)
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


@pytest.mark.parametrize("writes", range(1, 26, 3))
def test_killed_while_writing(tmp_path, monkeypatch, writes):
    """Killed at any file written, also between the commits of two replicas, with debris left."""
    specs = [spec(Langevin(80.0)), spec(Langevin(80.0), seed=2)]
    among = [replace(specs[0], start=replace(specs[0], n_steps=50))]
    run(tmp_path / "whole", specs, among=among)
    real, left = os.fsync, writes

    def fsync(descriptor):
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(Killed):
            run(tmp_path / "broken", specs, among=among)
    run(tmp_path / "broken", specs, among=among)
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


@pytest.mark.parametrize("ensemble", ENSEMBLES, ids=ALL_KINDS)
def test_extended_is_as_if_asked_at_once(tmp_path, ensemble):
    run(tmp_path / "twice", [spec(ensemble, n_steps=50)])
    run(tmp_path / "twice", [spec(ensemble, n_steps=110)])
    run(tmp_path / "once", [spec(ensemble, n_steps=110)])
    assert files(tmp_path / "twice") == files(tmp_path / "once")


def test_nothing_is_computed_twice(tmp_path):
    specs = [spec(), spec(start=spec(Langevin(80.0), n_steps=30))]
    run(tmp_path, specs)
    before = files(tmp_path)
    # Fragile without lives raises at its first evaluation
    run(tmp_path, [replace(specs[0], n_steps=40, frame_stride=14), specs[1]], Fragile(lives=0))
    assert files(tmp_path) == before


def test_a_trajectory_goes_on_from_anothers_last_state(tmp_path):
    """Also where the parent is stored longer, and where its state there was not kept."""
    parent = spec(Langevin(80.0), n_steps=50, frame_stride=10)
    child = spec(NVE(), start=parent, frame_stride=10)
    before, after = run(tmp_path / "a", [parent, child])
    assert np.array_equal(before.positions[-1], after.positions[0])
    assert np.array_equal(before.velocities[-1], after.velocities[0])
    assert np.abs(after.momentum).max() < 1e-10
    run(tmp_path / "b", [replace(parent, n_steps=100)])
    _, again = run(tmp_path / "b", [parent, child])
    assert np.array_equal(after.positions, again.positions)


def test_a_child_at_rest_of_a_drifting_parent(tmp_path):
    parent = spec(Langevin(80.0, 0.05), n_steps=50, fix_com=False)
    drifting, still = run(tmp_path, [parent, spec(start=parent)])
    assert np.abs(drifting.momentum[-1]).max() > 1e-2
    assert np.abs(still.momentum).max() < 1e-10


def test_finer_frames_compute_again_and_serve_both(tmp_path):
    coarse, fine = spec(frame_stride=6), spec(frame_stride=4)
    (first,) = run(tmp_path, [coarse])
    (second,) = run(tmp_path, [fine])
    (third,) = run(tmp_path, [coarse], Fragile(lives=0))
    assert list(second.frame_steps) == list(range(0, 111, 4))
    assert np.array_equal(first.positions, third.positions)
    assert np.array_equal(first.frame_steps, third.frame_steps)


def overlap(call, positions, answer):
    """Replica 0 has its first two atoms thrown at each other from step 23 on."""
    if len(positions) == 1 or call < 24:
        return answer
    forces = answer.forces.copy()
    apart = positions[0, 1] - positions[0, 0]
    forces[0, 0] += 3.0 * apart
    forces[0, 1] -= 3.0 * apart
    return BatchEvaluation(answer.energies, forces)


def test_an_event_ends_one_replica_and_keeps_its_last_frame(tmp_path):
    limits = Limits(closest_contact_A=2.9)
    specs = [spec(seed=1, limits=limits, start=MaxwellBoltzmann(1.0)), spec(seed=2)]
    broken, sound = run(tmp_path / "a", specs, Fragile(spoil=overlap))
    assert broken.event is not None
    assert broken.event.what == "closest_contact"
    assert broken.n_steps == broken.event.step == broken.steps[-1] == broken.frame_steps[-1] < 110
    assert broken.closest_contact[-1] == broken.event.value < 2.9 < broken.closest_contact[-2]
    assert broken.event.step % 5 == 0
    (alone,) = run(tmp_path / "b", [specs[1]])
    assert sound.event is None
    assert np.array_equal(sound.positions, alone.positions)
    shorter = replace(specs[0], n_steps=broken.event.step - 1)
    assert (
        TrajectoryStore(tmp_path / "a").read(shorter.key("p"), shorter.n_steps, shorter.frame_stride).event
        is None
    )


def spoiled_with(number, where):
    """From step 23 to the end of its chunk, the last replica of the batch gets that number."""

    def spoil(call, positions, answer):
        if not 24 <= call <= 41:
            return answer
        energies, forces = answer.energies.copy(), answer.forces.copy()
        if where == "energies":
            energies[-1] = number
        else:
            forces[-1, 3, 1] = number
        return BatchEvaluation(energies, forces)

    return spoil


@pytest.mark.parametrize("where", ["energies", "forces"])
@pytest.mark.parametrize("number", [np.nan, np.inf], ids=["nan", "inf"])
@pytest.mark.parametrize("ensemble", CONSTANT_VOLUME, ids=KINDS)
def test_not_a_number_ends_a_replica_at_once(tmp_path, ensemble, number, where):
    """Step 23 is on no stride. The frame kept is finite, and the sound replica goes on."""
    specs = [spec(ensemble), spec(ensemble, seed=2, frame_stride=0)]
    sound, broken = run(tmp_path, specs, Fragile(spoil=spoiled_with(number, where)))
    assert sound.event is None
    assert (broken.event.what, broken.event.step, broken.event.value) == ("not_finite", 23, 1.0)
    assert list(broken.frame_steps) == [23]
    assert np.isfinite(broken.velocities).all()
    assert broken.steps[-1] == 20


def test_a_runaway_is_caught_between_samples(tmp_path):
    """A force that throws an atom 1e6 A in a step ends the replica before it is asked there."""
    (broken,) = run(tmp_path, [spec()], Fragile(spoil=spoiled_with(1e6, "forces")))
    assert (broken.event.what, broken.event.step) == ("temperature", 23)
    assert broken.steps[-1] == 23
    assert broken.temperature[-1] > 20000


def test_a_hole_in_the_surface(tmp_path):
    def spoil(call, positions, answer):
        return BatchEvaluation(answer.energies - (200.0 if call > 41 else 0.0), answer.forces)

    (broken,) = run(tmp_path, [spec()], Fragile(spoil=spoil))
    assert (broken.event.what, broken.event.step) == ("energy_drop", 45)
    assert broken.event.value == pytest.approx(200 / 32, rel=0.01)


def test_the_child_of_a_broken_parent_ends_at_its_start(tmp_path):
    parent = spec(Langevin(80.0), n_steps=60)
    child, grandchild = spec(start=parent), spec(start=spec(start=parent))
    trajectories = run(tmp_path, [parent, child, grandchild], Fragile(spoil=spoiled_with(np.nan, "forces")))
    assert [t.event.what for t in trajectories] == ["not_finite"] * 3
    assert [t.n_steps for t in trajectories] == [23, 0, 0]
    assert list(trajectories[2].steps) == [0]
    assert np.array_equal(trajectories[2].positions[0], trajectories[0].positions[-1])
    run(tmp_path, [child], Fragile(lives=0))


def test_wrong_shapes_are_the_potentials_fault(tmp_path):
    def spoil(call, positions, answer):
        return BatchEvaluation(answer.energies, answer.forces[:, :-1])

    with pytest.raises(PotentialError, match=r"forces \(1, 32, 3\); got \(1,\) and \(1, 31, 3\)"):
        run(tmp_path, [spec()], Fragile(spoil=spoil))


def test_progress_rises_to_one(tmp_path):
    seen = []
    run(
        tmp_path,
        [spec(), spec(start=spec(Langevin(80.0)))],
        progress=lambda done, text: seen.append((done, text)),
    )
    fractions = [done for done, _ in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert "nve, 32 atoms, 80 K: 1 replica at 0.08 ps" in [text for _, text in seen]


def test_zero_steps(tmp_path):
    (nothing,) = run(tmp_path, [spec(n_steps=0)])
    assert (list(nothing.steps), list(nothing.frame_steps), nothing.n_steps) == ([0], [0], 0)


class Tether(Potential):
    """Foreign potential without a bind of its own: the default goes through `evaluate`."""

    capabilities = Capabilities(frozenset({"energy", "forces"}))
    identity = Identity("tether", "0", True)

    def evaluate(self, structures, properties=("energy", "forces")):
        from mlipbench.core.potential import Evaluation

        return [
            Evaluation(
                0.05 * float(np.sum((s.positions - ARGON.positions) ** 2)),
                0.1 * (ARGON.positions - s.positions),
            )
            for s in structures
        ]


def test_momentum_is_left_alone_without_a_thermostat(tmp_path):
    """The nve suite looks for net forces: a potential that pushes must be seen to push."""
    shifted = replace(ARGON, positions=ARGON.positions + 0.1)
    pushed = TrajectorySpec(shifted, NVE(), 4.0, 50, MaxwellBoltzmann(80.0), 1)
    held = replace(pushed, ensemble=Langevin(80.0))
    free, fixed = run(tmp_path, [pushed, held], Tether())
    assert np.abs(free.momentum[-1]).min() > 0.1
    assert np.abs(fixed.momentum).max() < 0.05 * np.abs(free.momentum[-1]).min()
