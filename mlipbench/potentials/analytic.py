"""Potentials with known answers, by name: what `use: sw-si` and its fellows mean.

Each factory takes its published parameters as keyword arguments, so that a suite file can change
them; the parameters are part of the potential's identity.
"""

from __future__ import annotations

from math import sqrt

from mlipbench.core import literature
from mlipbench.core.units import BOLTZMANN
from mlipbench.potentials.harmonic import HarmonicSolid
from mlipbench.potentials.ionic import BornMayerCoulomb
from mlipbench.potentials.pair import LennardJones, Morse, NeighbourSprings
from mlipbench.potentials.stillinger_weber import StillingerWeber, StillingerWeberParameters

__all__ = [
    "BornMayerCoulomb",
    "HarmonicSolid",
    "LennardJones",
    "Morse",
    "NeighbourSprings",
    "StillingerWeber",
    "StillingerWeberParameters",
    "born_mayer_nacl",
    "harmonic_argon",
    "lennard_jones_argon",
    "morse_copper",
    "stillinger_weber_silicon",
]


def stillinger_weber_silicon(
    epsilon_eV: float = 2.1683, sigma_A: float = 2.0951, lambda_: float = 21.0
) -> StillingerWeber:
    """Silicon of Stillinger and Weber (1985): diamond, a = 5.431 A, -4.3366 eV/atom."""
    parameters = StillingerWeberParameters(epsilon=epsilon_eV, sigma=sigma_A, lambda_=lambda_)
    potential = StillingerWeber("Stillinger-Weber silicon", parameters, element=14)
    potential.citations = (literature.STILLINGER_WEBER,)
    return potential


def lennard_jones_argon(
    epsilon_eV: float = 120.0 * BOLTZMANN,
    sigma_A: float = 3.4,
    switch_from_A: float = 7.0,
    cutoff_A: float = 8.5,
) -> LennardJones:
    """Argon of Rahman, Phys. Rev. 136, A405 (1964): epsilon/k = 120 K, sigma = 3.4 A."""
    argon = frozenset({18})
    potential = LennardJones("Lennard-Jones argon", epsilon_eV, sigma_A, switch_from_A, cutoff_A, argon)
    potential.citations = (literature.LENNARD_JONES_ARGON,)
    return potential


def morse_copper(
    depth_eV: float = 0.3429,
    alpha_per_A: float = 1.3588,
    r0_A: float = 2.866,
    switch_from_A: float = 7.0,
    cutoff_A: float = 8.5,
) -> Morse:
    """Copper of Girifalco and Weizer, Phys. Rev. 114, 687 (1959), fitted to the fcc crystal."""
    copper = frozenset({29})
    potential = Morse("Morse copper", depth_eV, alpha_per_A, r0_A, switch_from_A, cutoff_A, copper)
    potential.citations = (literature.MORSE_COPPER,)
    return potential


def born_mayer_nacl(
    repulsion_eV: float = 1.05e-8 / 1.602176634e-12 / 6, rho_A: float = 0.321, charge_e: float = 1.0
) -> BornMayerCoulomb:
    """Rock salt of Na+ and Cl- ions after Tosi, Solid State Phys. 16, 1 (1964): a = 5.64 A.

    Repulsion between unlike ions, z lambda = 1.05e-8 erg (z = 6) and rho = 0.321 A, as tabulated by
    Kittel, Introduction to Solid State Physics, chapter 3.
    """
    return BornMayerCoulomb("Born-Mayer NaCl", {11: charge_e, 17: -charge_e}, {(11, 17): repulsion_eV}, rho_A)


def harmonic_argon(lattice_A: float = 5.26, spring_eV_per_A2: float = 1.0) -> NeighbourSprings:
    """Springs between the nearest neighbours of an fcc crystal of argon's mass and density.

    The control that every suite must pass: stiffer than argon (neighbours vibrate by 0.1 A at
    300 K), so that the crystal is harmonic up to 1500 K. The structure must be fcc with the same
    lattice constant; springs are exact to 1.2 and end at 1.35 nearest-neighbour distances.
    """
    r0 = lattice_A / sqrt(2.0)
    return NeighbourSprings("harmonic argon", spring_eV_per_A2, r0, 1.2 * r0, 1.35 * r0, frozenset({18}))
