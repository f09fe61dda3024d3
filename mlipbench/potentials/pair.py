"""Pair potentials: Lennard-Jones, Morse, and springs between nearest neighbours.

All end smoothly: V(r) is multiplied by `short_range.switch`, so that energy, force and the
derivative of the force are continuous at the cutoff and below the start of the switch V is the
textbook's function.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.potentials.neighbours import Pairs
from mlipbench.potentials.short_range import ShortRangePotential, shared, switch


class PairPotential(ShortRangePotential):
    """E = sum_{i<j} V(r_ij), V switched off between `switch_from` and `cutoff`."""

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, object],
        switch_from: float,  # A
        cutoff: float,  # A
        elements: frozenset[int] | None,
    ) -> None:
        self.switch_from = switch_from
        ends = {"switch_from_A": switch_from, "cutoff_A": cutoff}
        super().__init__(name, {**parameters, **ends}, cutoff, elements, half=True)

    @abstractmethod
    def pair(self, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """V(r) eV and dV/dr eV/A before the switch."""

    def local(self, pairs: Pairs, numbers: IntArray) -> tuple[FloatArray, FloatArray]:
        """Half of each pair's energy on either atom."""
        value, slope = self.pair(pairs.distances)
        on, on_slope = switch(pairs.distances, self.switch_from, self.cutoff)
        energies = shared(pairs, 0.5 * value * on, len(numbers))
        return energies, (slope * on + value * on_slope) / pairs.distances * pairs.vectors


class LennardJones(PairPotential):
    """V(r) = 4 epsilon [(sigma/r)^12 - (sigma/r)^6]."""

    def __init__(
        self,
        name: str,
        epsilon: float,  # eV
        sigma: float,  # A
        switch_from: float,
        cutoff: float,
        elements: frozenset[int] | None,
    ) -> None:
        self.epsilon, self.sigma = epsilon, sigma
        parameters = {"epsilon_eV": epsilon, "sigma_A": sigma}
        super().__init__(name, parameters, switch_from, cutoff, elements)

    def pair(self, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """V and dV/dr."""
        x = self.sigma / r
        x6 = x * x * x * x * x * x
        value = 4.0 * self.epsilon * x6 * (x6 - 1.0)
        return value, -24.0 * self.epsilon * x6 * (2.0 * x6 - 1.0) / r


class Morse(PairPotential):
    """V(r) = D [exp(-2 alpha (r - r0)) - 2 exp(-alpha (r - r0))] (Phys. Rev. 34, 57 (1929))."""

    def __init__(
        self,
        name: str,
        depth: float,  # D, eV
        alpha: float,  # 1/A
        r0: float,  # A
        switch_from: float,
        cutoff: float,
        elements: frozenset[int] | None,
    ) -> None:
        self.depth, self.alpha, self.r0 = depth, alpha, r0
        parameters = {"depth_eV": depth, "alpha_per_A": alpha, "r0_A": r0}
        super().__init__(name, parameters, switch_from, cutoff, elements)

    def pair(self, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """V and dV/dr."""
        x = np.exp(-self.alpha * (r - self.r0))
        return self.depth * x * (x - 2.0), -2.0 * self.alpha * self.depth * x * (x - 1.0)


class NeighbourSprings(PairPotential):
    """Springs between nearest neighbours, which are told by their distance.

        V(r) = 1/2 k [(r - r0)^2 - (cutoff - r0)^2]

    is exactly harmonic up to `switch_from`; from there the bond breaks smoothly, V staying negative
    and rising to zero at the cutoff, which lies before the second shell. No bond is remembered, so
    that an answer depends on the positions alone. About the crystal with nearest-neighbour distance
    r0 the force constants are k u (x) u between neighbours, u the bond direction.
    """

    def __init__(
        self,
        name: str,
        spring: float,  # k, eV/A^2
        r0: float,  # A
        switch_from: float,
        cutoff: float,
        elements: frozenset[int] | None,
    ) -> None:
        self.spring, self.r0 = spring, r0
        parameters = {"spring_eV_per_A2": spring, "r0_A": r0}
        super().__init__(name, parameters, switch_from, cutoff, elements)

    def pair(self, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """V and dV/dr."""
        stretch, end = r - self.r0, self.cutoff - self.r0
        return 0.5 * self.spring * (stretch * stretch - end * end), self.spring * stretch
