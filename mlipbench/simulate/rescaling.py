"""Canonical velocity rescaling."""

from __future__ import annotations

import math

import numpy as np

from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.core.units import BOLTZMANN
from mlipbench.simulate.nve import velocity_verlet
from mlipbench.simulate.state import Evaluate, KineticEnergy, RestFrame, State, Step


def canonical_rescaling(
    masses: FloatArray,
    timestep_fs: float,
    temperatures_K: FloatArray,
    relaxations_fs: FloatArray,
    degrees_of_freedom: IntArray,
    fix_com: bool,
) -> Step:
    """A step of velocity Verlet, then all velocities times alpha.

    alpha^2 = c + (Kbar / (Nf K)) (1 - c) (R1^2 + S) + 2 R1 sqrt(c (1 - c) Kbar / (Nf K))
    sign(alpha) = sign(R1 + sqrt(c Nf K / ((1 - c) Kbar)))

    Symbols: c = exp(-h/tau) with h = timestep_fs and tau = relaxations_fs (n_replicas,), K the kinetic
    energy, Kbar = Nf kT/2, Nf = degrees_of_freedom (n_replicas,), R1 a normal number, S the sum of the
    squares of Nf - 1 others (a gamma variate). Bussi, Donadio, Parrinello, J. Chem. Phys. 126, 014101
    (2007), eq. A7, the sign after Bussi, Parrinello, Comput. Phys. Commun. 179, 26 (2008), eq. A8.
    The energy added goes to `heat`. With `fix_com` a drift that a net force has caused is projected
    out before. At K = 0 there is nothing to scale: the velocities stay as they are.
    """
    n_replicas = len(temperatures_K)
    verlet = velocity_verlet(masses, timestep_fs, n_replicas)
    kinetic_energy = KineticEnergy(masses, n_replicas)
    to_rest = RestFrame(masses, n_replicas)
    memories = [math.exp(-timestep_fs / float(tau)) for tau in relaxations_fs]
    thermal = [0.5 * BOLTZMANN * float(temperature) for temperature in temperatures_K]  # Kbar / Nf
    counts = [int(count) for count in degrees_of_freedom]
    alphas = np.empty((n_replicas, 1, 1))

    def step(state: State, evaluate: Evaluate) -> None:
        verlet(state, evaluate)
        before = kinetic_energy(state.velocities)
        if fix_com:
            to_rest(state.velocities)
            resting = kinetic_energy(state.velocities)
        else:
            resting = before
        for index, generator in enumerate(state.generators):
            alphas[index, 0, 0] = scaling_factor(
                float(resting[index]), thermal[index], counts[index], memories[index], generator
            )
        state.velocities *= alphas
        state.heat += alphas[:, 0, 0] ** 2 * resting - before

    return step


def scaling_factor(
    kinetic: float, thermal: float, n_dof: int, memory: float, generator: np.random.Generator
) -> float:
    """alpha of one replica: kinetic = K, thermal = Kbar/Nf (both eV), n_dof = Nf, memory = c."""
    first = float(generator.standard_normal())
    others = 2.0 * float(generator.standard_gamma(0.5 * (n_dof - 1))) if n_dof > 1 else 0.0
    if kinetic <= 0.0:
        return 1.0
    fresh = (1.0 - memory) * thermal / kinetic
    squared = memory + fresh * (first * first + others) + 2.0 * first * math.sqrt(memory * fresh)
    alpha = math.sqrt(max(squared, 0.0))
    return math.copysign(alpha, first * math.sqrt(fresh) + math.sqrt(memory))
