"""Cost of molecular dynamics around the forces, beside ASE's velocity Verlet in the same run.

Both get a potential that answers at once. Ours has its monitors on (every 10 steps: energies,
temperature, closest contact, momenta), ASE has none, and not even its loop: only `VelocityVerlet.step`
with a calculator that is no more than a function. `python tests/bench/test_bench_md.py` prints the table.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from ase.build import bulk
from ase.md.verlet import VelocityVerlet

from mlipbench.core.potential import BatchEvaluation, Capabilities, Identity, Potential
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import NVE, MaxwellBoltzmann, TrajectorySpec
from mlipbench.simulate.batch import Batch, Replica
from mlipbench.simulate.monitors import Monitor
from mlipbench.simulate.state import generator, initial
from mlipbench.simulate.velocities import maxwell_boltzmann

REPEATS = {64: (2, 2, 2), 256: (4, 4, 2), 1000: (5, 5, 5)}
CASES = [(n_atoms, n_replicas) for n_atoms in REPEATS for n_replicas in (1, 8)]
N_STEPS = 400


class Null(Potential):
    """No forces: atoms fly straight on."""

    capabilities = Capabilities(frozenset({"energy", "forces"}), batched=True)
    identity = Identity("null", "0", True)

    def evaluate(self, structures, properties=("energy", "forces")):
        raise AssertionError("molecular dynamics binds, it does not evaluate")

    def bind(self, structure, n_replicas):
        answer = BatchEvaluation(np.zeros(n_replicas), np.zeros((n_replicas, len(structure), 3)))
        return lambda positions, cells, stress: answer


class NullCalculator:
    """The least that ASE's dynamics asks of a calculator, quicker than any subclass of Calculator."""

    def __init__(self, n_atoms):
        self.forces = np.zeros((n_atoms, 3))

    def get_forces(self, atoms):
        return self.forces


def silicon(n_atoms):
    return bulk("Si", "diamond", 5.43, cubic=True) * REPEATS[n_atoms]


def our_run(n_atoms, n_replicas):
    """A function that runs N_STEPS steps with monitors on, from a warm start.

    40 fs of free flight at 300 K: atoms move about as far as they vibrate in a solid, so the search for the
    closest contact has as much to do.
    """
    structure = Structure.from_ase(silicon(n_atoms))
    spec = TrajectorySpec(structure, NVE(), 0.1, 10**9, MaxwellBoltzmann(300.0), 1, monitor_stride=10)
    states = []
    for index in range(n_replicas):
        stream = generator(index, "0")
        velocities = maxwell_boltzmann(spec, 300.0, stream)
        states.append(initial(structure.positions, velocities, structure.cell, stream))
    potential = Null()

    def run():
        replicas = [Replica(spec, spec.n_steps, 0, frozenset(), s, Monitor(spec)) for s in states]
        Batch(potential, replicas, 0).run(N_STEPS, lambda steps: None)
        assert all(replica.event is None for replica in replicas)

    return run


def ase_run(n_atoms, n_replicas):
    """The same number of steps of as many ASE runs."""
    runs = []
    for index in range(n_replicas):
        atoms = silicon(n_atoms)
        atoms.set_momenta(np.random.default_rng(index).normal(size=(len(atoms), 3)))
        atoms.calc = NullCalculator(len(atoms))
        runs.append((atoms, VelocityVerlet(atoms, timestep=0.1)))

    def run():
        for atoms, dynamics in runs:
            forces = atoms.get_forces(md=True)
            for _ in range(N_STEPS):
                forces = dynamics.step(forces)

    return run


def microseconds_per_step(run, rounds=5):
    """Best of several rounds, all replicas together."""
    best = np.inf
    for _ in range(rounds):
        begin = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begin)
    return 1e6 * best / N_STEPS


@pytest.mark.bench
@pytest.mark.parametrize(("n_atoms", "n_replicas"), CASES)
def test_steps_with_monitors(benchmark, n_atoms, n_replicas):
    benchmark(our_run(n_atoms, n_replicas))
    benchmark.extra_info["ase_us_per_step"] = microseconds_per_step(ase_run(n_atoms, n_replicas))


@pytest.mark.bench
@pytest.mark.parametrize(("n_atoms", "n_replicas"), CASES)
def test_cost_lies_below_ase(n_atoms, n_replicas):
    """Oracle: ASE without monitors in the same process; catches a monitor or step gone slow."""
    ours, ase = our_run(n_atoms, n_replicas), ase_run(n_atoms, n_replicas)
    assert microseconds_per_step(ours) < microseconds_per_step(ase)


def print_table():
    print("atoms replicas   mlipbench, monitors on   ASE VelocityVerlet   (us/step, all replicas)")
    for n_atoms, n_replicas in CASES:
        ours = microseconds_per_step(our_run(n_atoms, n_replicas))
        ase = microseconds_per_step(ase_run(n_atoms, n_replicas))
        print(f"{n_atoms:5d} {n_replicas:8d} {ours:24.1f} {ase:20.1f}")


if __name__ == "__main__":
    print_table()
