"""Langevin dynamics in the BAOAB splitting."""

from __future__ import annotations

import numpy as np

from mlipbench.core.structure import FloatArray
from mlipbench.core.units import ACCELERATION, BOLTZMANN
from mlipbench.simulate.nve import half_kicks
from mlipbench.simulate.state import Evaluate, KineticEnergy, RestFrame, State, Step


def baoab(
    masses: FloatArray,
    timestep_fs: float,
    temperatures_K: FloatArray,
    frictions_per_fs: FloatArray,
    fix_com: bool,
) -> Step:
    """The step of Langevin dynamics, one force evaluation each.

    B: v <- v + (h/2) F/m
    A: x <- x + (h/2) v
    O: v <- c1 v + c2 R,  c1 = exp(-gamma h),  c2 = sqrt((1 - c1^2) kT/m),  R normal
    A, B again, with the force at the new positions.

    Symbols: h = timestep_fs, m = masses (n_atoms,) u, T = temperatures_K and gamma = frictions_per_fs
    (n_replicas,). Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34, section 2; for a harmonic
    well the distribution of positions is exact at any stable h.

    With `fix_com` the drift of the centre of mass is projected out after O. Momenta are then normal on
    the subspace of zero total momentum, which O leaves invariant: the canonical distribution of
    3 n_atoms - 3 degrees of freedom. The kinetic energy that O adds goes to `heat`.
    """
    n_replicas, n_atoms = len(temperatures_K), len(masses)
    half_kick = half_kicks(masses, timestep_fs, n_replicas)
    half_step = np.array(0.5 * timestep_fs)
    memory = np.exp(-frictions_per_fs * timestep_fs)  # c1
    fresh = np.sqrt((1.0 - memory**2) * BOLTZMANN * temperatures_K * ACCELERATION)
    c1 = memory[:, None, None]
    c2 = fresh[:, None] / np.sqrt(masses)  # (n_replicas, n_atoms)
    c2 = np.repeat(c2, 3, axis=1).reshape(n_replicas, n_atoms, 3)
    change = np.empty((n_replicas, n_atoms, 3))
    kinetic_energy = KineticEnergy(masses, n_replicas)
    to_rest = RestFrame(masses, n_replicas)

    def step(state: State, evaluate: Evaluate) -> None:
        velocities = state.velocities
        np.multiply(half_kick, state.forces, out=change)
        velocities += change
        np.multiply(half_step, velocities, out=change)
        state.positions += change
        before = kinetic_energy(velocities)
        for generator, row in zip(state.generators, change, strict=True):
            generator.standard_normal(out=row)
        np.multiply(change, c2, out=change)
        velocities *= c1
        velocities += change
        if fix_com:
            to_rest(velocities)
        state.heat += kinetic_energy(velocities) - before
        np.multiply(half_step, velocities, out=change)
        state.positions += change
        evaluate(state)
        np.multiply(half_kick, state.forces, out=change)
        velocities += change

    return step
