"""Pair terms that break a sound potential when they are added to it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.potentials.neighbours import Pairs
from mlipbench.potentials.pair import PairPotential
from mlipbench.potentials.short_range import ShortRangePotential, shared, switch


class Gaussian(PairPotential):
    """V(r) = height exp(-((r - centre) / width)^2)."""

    def __init__(self, name: str, height: float, centre: float, width: float) -> None:
        self.height, self.centre, self.width = height, centre, width
        end = centre + 3.0 * width
        parameters = {"height_eV": height, "centre_A": centre, "width_A": width}
        super().__init__(name, parameters, end - width, end, None)

    def pair(self, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """V and dV/dr."""
        x = (r - self.centre) / self.width
        value = self.height * np.exp(-x * x)
        return value, -2.0 * x / self.width * value


class AttractiveWall(PairPotential):
    """V(r) = -strength (reach/r)^14, switched off from 0.8 reach: atoms that come close enough fall
    into each other."""

    def __init__(self, strength: float, reach: float) -> None:
        self.strength, self.reach = strength, reach
        parameters = {"strength_eV": strength, "reach_A": reach}
        super().__init__("attractive wall", parameters, 0.8 * reach, reach, None)

    def pair(self, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """V and dV/dr."""
        value = -self.strength * (self.reach / r) ** 14
        return value, -14.0 * value / r


class _PlainPair(ShortRangePotential):
    """A pair term that does not end smoothly, or does not follow from an energy."""

    def __init__(self, name: str, parameters: Mapping[str, object], cutoff: float) -> None:
        super().__init__(name, parameters, cutoff, half=True)


class Kink(_PlainPair):
    """Every pair nearer than the cutoff costs `step` plus `slope` (r - cutoff): energy and force jump
    as a neighbour enters."""

    def __init__(self, step: float, slope: float, cutoff: float) -> None:
        self.step, self.slope = step, slope
        parameters = {"step_eV": step, "slope_eV_per_A": slope, "cutoff_A": cutoff}
        super().__init__("kink", parameters, cutoff)

    def local(self, pairs: Pairs, numbers: IntArray) -> tuple[FloatArray, FloatArray]:
        """Energies of the atoms and gradients of the pairs."""
        half = 0.5 * (self.step + self.slope * (pairs.distances - self.cutoff))
        energies = shared(pairs, half, len(numbers))
        return energies, self.slope * pairs.vectors / pairs.distances


class Swirl(_PlainPair):
    """Forces z x r_ij / r_ij between neighbours and no energy: momentum is kept, energy is not, since
    the work around a closed loop does not vanish."""

    def __init__(self, strength: float, cutoff: float) -> None:
        self.strength = strength
        super().__init__("swirl", {"strength_eV_per_A": strength, "cutoff_A": cutoff}, cutoff)

    def local(self, pairs: Pairs, numbers: IntArray) -> tuple[FloatArray, FloatArray]:
        """No energies, and gradients that are none."""
        x, y, z = pairs.vectors
        on, _ = switch(pairs.distances, 0.8 * self.cutoff, self.cutoff)
        size = self.strength * on / pairs.distances
        return np.zeros(len(numbers)), np.stack([-size * y, size * x, np.zeros_like(z)])


class Compass(_PlainPair):
    """V = strength (z_ij / r_ij)^2 s(r): the energy depends on how the crystal is turned."""

    def __init__(self, strength: float, cutoff: float) -> None:
        self.strength = strength
        super().__init__("compass", {"strength_eV": strength, "cutoff_A": cutoff}, cutoff)

    def local(self, pairs: Pairs, numbers: IntArray) -> tuple[FloatArray, FloatArray]:
        """Energies of the atoms and gradients of the pairs."""
        r = pairs.distances
        on, slope = switch(r, 0.8 * self.cutoff, self.cutoff)
        cosine = pairs.vectors[2] / r
        half = 0.5 * self.strength * cosine * cosine * on
        energies = shared(pairs, half, len(numbers))
        gradients = self.strength * (cosine * cosine) * (slope / r - 2.0 * on / r**2) * pairs.vectors
        gradients[2] += 2.0 * self.strength * cosine * on / r
        return energies, gradients
