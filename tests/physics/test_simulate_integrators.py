"""Integrators against ASE, analytic motion, and their order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.md.verlet import VelocityVerlet
from ase.units import fs

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
from mlipbench.core.units import ACCELERATION
from mlipbench.potentials.analytic import lennard_jones_argon
from mlipbench.potentials.harmonic import HarmonicSolid
from mlipbench.simulate.driver import simulate
from mlipbench.simulate.requests import merge
from mlipbench.store.trajectories import TrajectoryStore

pytestmark = pytest.mark.physics
ATOMS = bulk("Ar", "fcc", 5.4, cubic=True) * (2, 2, 2)
ARGON = Structure.from_ase(ATOMS)


def run(folder, spec, potential):
    store = TrajectoryStore(folder)
    simulate(potential, "p", merge([spec], [], "p"), store)
    return store.read(spec.key("p"), spec.n_steps, spec.frame_stride)


class Adapter(Calculator):
    """Our potential as ASE sees it."""

    implemented_properties = ("energy", "forces")

    def __init__(self, potential):
        super().__init__()
        self.potential = potential

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        (answer,) = self.potential.evaluate([Structure.from_ase(atoms)], ("energy", "forces"))
        self.results = {"energy": answer.energy, "forces": answer.forces}


def test_velocity_verlet_is_ases(tmp_path):
    """Oracle: ASE, 200 steps of 4 fs. Any slip in a factor or the order of operations shows at 1e-3 A; the
    time step is handed over in ASE's unit by our constants, which differ from ASE's by 1e-9."""
    spec = TrajectorySpec(ARGON, NVE(), 4.0, 200, MaxwellBoltzmann(80.0), 1, frame_stride=1)
    ours = run(tmp_path, spec, lennard_jones_argon())
    assert np.sqrt(ACCELERATION) == pytest.approx(fs, rel=1e-7)
    atoms = ATOMS.copy()
    atoms.calc = Adapter(lennard_jones_argon())
    atoms.set_velocities(ours.velocities[0] / np.sqrt(ACCELERATION))
    dynamics = VelocityVerlet(atoms, timestep=4.0 * np.sqrt(ACCELERATION))
    for step in range(201):
        assert np.abs(atoms.positions - ours.positions[step]).max() < 1e-11
        assert np.abs(atoms.get_velocities() * np.sqrt(ACCELERATION) - ours.velocities[step]).max() < 1e-13
        dynamics.run(1)


THERMOSTATS = [Langevin(40.0, 0.002), VelocityRescaling(40.0, 200.0)]
BAROSTATS = [StochasticCellRescaling(e, 1000.0, 1.0, relaxation_fs=500.0, stride=1) for e in THERMOSTATS]
BAROSTATS += [replace(BAROSTATS[0], cell=cell) for cell in ("lengths", "full")]


@pytest.mark.parametrize(
    "ensemble",
    [NVE(), *THERMOSTATS, *BAROSTATS],
    ids=["nve", "langevin", "velocity_rescaling", "npt-langevin", "npt-rescaling", "npt-lengths", "npt-full"],
)
def test_the_conserved_quantity_is_conserved_to_second_order(tmp_path, ensemble):
    """Slope of log error against log time step: 2. A first-order slip (half a kick missing, heat of the
    wrong half step) has slope 1. The thermostats' noise differs between the step sizes, so their slope is
    known less well. A move of the cell violates detailed balance by h^(3/2) at random, T/h of them by h:
    with a barostat the slope is 1, and a term of its heat left out has slope 0."""
    timesteps, errors = [2.0, 4.0, 8.0], []
    for timestep in timesteps:
        spec = TrajectorySpec(
            ARGON, ensemble, timestep, int(4000 / timestep), MaxwellBoltzmann(40.0), 1, monitor_stride=1
        )
        velocities_from = replace(spec, ensemble=NVE(), n_steps=0, timestep_fs=1.0)
        trajectory = run(tmp_path, replace(spec, start=velocities_from), lennard_jones_argon())
        errors.append(trajectory.conserved.std())
        if ensemble.kind != "nve":
            total = trajectory.potential_energy + trajectory.kinetic_energy
            assert errors[-1] < 0.05 * total.std()
    slope = np.polyfit(np.log(timesteps), np.log(errors), 1)[0]
    order = 1.0 if ensemble in BAROSTATS else 2.0
    assert slope == pytest.approx(order, abs=0.1 if ensemble.kind == "nve" else 0.3)


def test_free_particles_fly_straight(tmp_path):
    """Oracle: x = x0 + v t. Unwrapped positions: nothing jumps at the cell's edge."""
    free = HarmonicSolid.einstein(ARGON, spring=0.0)
    ghosts = Limits(closest_contact_A=0.0)  # they pass through each other
    start = MaxwellBoltzmann(500.0)
    spec = TrajectorySpec(ARGON, NVE(), 3.0, 5000, start, 1, frame_stride=500, limits=ghosts)
    t = run(tmp_path, spec, free)
    assert t.n_steps == 5000
    expected = ARGON.positions + t.velocities[0] * (3.0 * t.frame_steps[:, None, None])
    assert np.abs(t.positions - expected).max() < 1e-10
    assert np.ptp(t.kinetic_energy) < 1e-13


def test_a_harmonic_oscillator_turns_at_verlets_frequency(tmp_path):
    """Oracle: x_n = x0 cos(n theta), cos(theta) = 1 - (omega h)^2/2, exact for velocity Verlet."""
    spring, timestep = 5.0, 10.0
    moved = replace(ARGON, positions=ARGON.positions + 0.1 * np.sin(np.arange(96.0)).reshape(32, 3))
    spec = TrajectorySpec(moved, NVE(), timestep, 400, MaxwellBoltzmann(0.0), 1, frame_stride=1)
    t = run(tmp_path, spec, HarmonicSolid.einstein(ARGON, spring=spring))
    theta = np.arccos(1 - 0.5 * spring * ACCELERATION / ARGON.masses[0] * timestep**2)
    phases = np.cos(theta * t.frame_steps)[:, None, None]
    expected = ARGON.positions + phases * (moved.positions - ARGON.positions)
    assert np.abs(t.positions - expected).max() < 1e-11


def test_angular_momentum_of_a_cluster_is_conserved(tmp_path):
    """Zero from the start on, in a cluster that vibrates; central forces leave rounding alone."""
    cluster = ATOMS[[0, 1, 2, 3, 5, 9]]
    cluster.pbc, cluster.cell = False, np.zeros((3, 3))
    spec = TrajectorySpec(Structure.from_ase(cluster), NVE(), 2.0, 2000, MaxwellBoltzmann(10.0), 1)
    t = run(tmp_path, spec, lennard_jones_argon())
    assert np.abs(t.angular_momentum).max() < 1e-12
    assert np.abs(t.momentum).max() < 1e-13
    assert np.ptp(t.kinetic_energy) > 1e-3
