"""Functions of one pair's distance, summed over an atom's neighbours; and sums over pairs."""

from __future__ import annotations

import functools
import math

import numpy as np
from numba import prange

from mlipbench.engine.jit import Kernel, inner, pasted
from mlipbench.engine.splines import NEAREST, TERMS, locate


@pasted
def _value_and_slope(splines, receiving, sending, r, over_r, weights):  # type: ignore[no-untyped-def]
    """Of s(r), or of s(r) / r; 0 from where the table ends."""
    table = splines.table[receiving, sending]
    if (r - NEAREST) * splines.per_A[table] >= splines.intervals[table]:
        return 0.0, 0.0
    begin, _ = locate(splines, receiving, sending, r, weights, 0)
    value, slope = 0.0, 0.0
    for m in range(TERMS):
        value += weights[m] * splines.values[begin + m]
        slope += weights[TERMS + m] * splines.values[begin + m]
    if over_r:
        return value / r, (slope - value / r) / r
    return value, slope


@pasted
def _distance(geometry, pair):  # type: ignore[no-untyped-def]
    x, y, z = geometry.vectors[pair, 0], geometry.vectors[pair, 1], geometry.vectors[pair, 2]
    return math.sqrt(x * x + y * y + z * z)


@inner
def sum_of_pairs(atom, geometry, splines, over_r):  # type: ignore[no-untyped-def]
    """The function's values over an atom's neighbours, summed."""
    species, weights, total = geometry.species, np.empty(2 * TERMS), 0.0
    for pair in range(geometry.first[atom], geometry.first[atom + 1]):
        r, other = _distance(geometry, pair), species[geometry.neighbours[pair]]
        total += _value_and_slope(splines, species[atom], other, r, over_r, weights)[0]
    return total


@inner
def slope_of_sum(atom, geometry, splines, over_r, gradient, slopes):  # type: ignore[no-untyped-def]
    """From the gradient by an atom's sum those of its pairs' vectors, added to `slopes` (n_pairs, 3)."""
    species, weights = geometry.species, np.empty(2 * TERMS)
    for pair in range(geometry.first[atom], geometry.first[atom + 1]):
        r, other = _distance(geometry, pair), species[geometry.neighbours[pair]]
        slope = _value_and_slope(splines, species[atom], other, r, over_r, weights)[1]
        for a in range(3):
            slopes[pair, a] += gradient * slope / r * geometry.vectors[pair, a]


@Kernel
def repel(geometry, splines, gradients, energies, slopes):  # type: ignore[no-untyped-def]
    """Add to `energies` (n_atoms,) of r times a repulsion what the neighbours do, and if wanted its
    gradients by the vectors to `slopes` (n_pairs, 3)."""
    for atom in prange(len(geometry.species)):
        energies[atom] += sum_of_pairs(atom, geometry, splines, True)
        if gradients:
            slope_of_sum(atom, geometry, splines, True, 1.0, slopes)


@functools.partial(Kernel, parallel=False)
def sum_slopes(geometry, slopes, structure, forces, virials):  # type: ignore[no-untyped-def]
    """Forces (n_atoms, 3) and virials (n_structures, 3, 3), sum of dE/dr (x) r, both from zero, of the
    gradients `slopes` (n_pairs, 3) by the vectors. One thread, in the order of the pairs."""
    for atom in range(len(geometry.species)):
        for pair in range(geometry.first[atom], geometry.first[atom + 1]):
            other = geometry.neighbours[pair]
            for a in range(3):
                forces[atom, a] += slopes[pair, a]
                forces[other, a] -= slopes[pair, a]
                for b in range(3):
                    virials[structure[atom], a, b] += slopes[pair, a] * geometry.vectors[pair, b]
