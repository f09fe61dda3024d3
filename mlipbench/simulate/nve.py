"""Constant energy: velocity Verlet."""

from __future__ import annotations

import numpy as np

from mlipbench.core.structure import FloatArray
from mlipbench.core.units import ACCELERATION
from mlipbench.simulate.state import Evaluate, State, Step, per_component


def velocity_verlet(masses: FloatArray, timestep_fs: float, n_replicas: int) -> Step:
    """The step of velocity Verlet.

    v(t + h/2) = v(t) + (h/2) F(t)/m
    x(t + h)   = x(t) + h v(t + h/2)
    v(t + h)   = v(t + h/2) + (h/2) F(t + h)/m

    Symbols: h = timestep_fs, m = masses (n_atoms,) u, x, v, F = positions, velocities, forces of the
    state. `half_kick` is (h/2)/m in A/fs per eV/A. Swope, Andersen, Berens, Wilson, J. Chem. Phys. 76,
    637 (1982), eqs. 1-2 rearranged. Symplectic and reversible; the energy error is of second order.
    """
    half_kick = half_kicks(masses, timestep_fs, n_replicas)
    whole_step = np.array(timestep_fs)  # an array: numpy is slow to take a float
    change = np.empty((n_replicas, len(masses), 3))

    def step(state: State, evaluate: Evaluate) -> None:
        np.multiply(half_kick, state.forces, out=change)
        state.velocities += change
        np.multiply(whole_step, state.velocities, out=change)
        state.positions += change
        evaluate(state)
        np.multiply(half_kick, state.forces, out=change)
        state.velocities += change

    return step


def half_kicks(masses: FloatArray, timestep_fs: float, n_replicas: int) -> FloatArray:
    """(h/2)/m: velocity change (A/fs) in half a step per unit of force (eV/A)."""
    return per_component(0.5 * timestep_fs * ACCELERATION / masses, n_replicas)
