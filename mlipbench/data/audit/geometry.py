"""What an audit asks of each structure: contacts, neighbour distances, density."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.analysis.structure import COVALENT_RADII, Pairs, pairs
from mlipbench.core.structure import FloatArray, Structure

REACH_A = 8.0  # neighbours of argon in Bohr
_AMU_PER_A3 = 1.66053907  # g/cm^3


@dataclass(frozen=True)
class Geometry:
    """One structure's distances."""

    closest_A: float  # infinite where nothing is within reach
    closest_ratio: float  # the smallest distance over the sum of covalent radii
    across: bool  # whether the closest contact is to a periodic image
    neighbour_A: float  # median over atoms of the distance to the nearest neighbour
    neighbour_ratio: float  # median over atoms of that distance over the sum of covalent radii
    by_pair: dict[tuple[int, int], float]  # (Z, Z') -> closest contact, A
    asymmetry: float  # largest |sum of weighted unit vectors to neighbours|: 0 where symmetry forbids forces
    density: float | None  # g/cm^3, of fully periodic structures


def geometry(structure: Structure) -> Geometry:
    """The distances of a structure whose cell is sound."""
    near = pairs(structure.positions, structure.cell, structure.pbc, _reach(structure))
    numbers, n = structure.numbers, len(structure)
    density = None
    if structure.pbc.all():
        density = float(structure.masses.sum() / structure.volume * _AMU_PER_A3)
    if not len(near.distances):
        return Geometry(np.inf, np.inf, False, np.inf, np.inf, {}, 0.0, density)
    sums = covalent(numbers[near.first]) + covalent(numbers[near.second])
    ratio = near.distances / sums
    nearest, relative = np.full(n, np.inf), np.full(n, np.inf)
    for side in (near.first, near.second):
        np.minimum.at(nearest, side, near.distances)
        np.minimum.at(relative, side, ratio)
    k = int(near.distances.argmin())
    return Geometry(
        float(near.distances[k]),
        float(ratio.min()),
        bool(near.shifts[k].any()),
        float(np.median(nearest)),
        float(np.median(relative)),
        _by_pair(structure, near),
        _asymmetry(near, n, _reach(structure)),
        density,
    )


def covalent(numbers: np.typing.NDArray[np.int64]) -> FloatArray:
    """Covalent radii in A."""
    return np.asarray(COVALENT_RADII[np.minimum(numbers, len(COVALENT_RADII) - 1)])


def _reach(structure: Structure) -> float:
    """8 A, less where atoms are so dense (wrong units, say) that there would be too many pairs."""
    if not structure.pbc.any():
        return REACH_A
    volume = structure.volume if structure.pbc.all() else np.inf
    return float(min(REACH_A, 2.0 * (volume / len(structure)) ** (1 / 3)))


def _by_pair(structure: Structure, near: Pairs) -> dict[tuple[int, int], float]:
    low = np.minimum(structure.numbers[near.first], structure.numbers[near.second])
    high = np.maximum(structure.numbers[near.first], structure.numbers[near.second])
    keys, index = np.unique(np.stack([low, high], axis=1), axis=0, return_inverse=True)
    closest = np.full(len(keys), np.inf)
    np.minimum.at(closest, index.ravel(), near.distances)
    return {(int(a), int(b)): float(d) for (a, b), d in zip(keys, closest, strict=True)}


def _asymmetry(near: Pairs, n: int, reach: float) -> float:
    """A made-up pair force that ends smoothly at `reach`: zero where symmetry wants it."""
    unit = near.vectors / np.maximum(near.distances, 1e-12)[:, None]
    pull = unit * (np.exp(-near.distances) * (1 - (near.distances / reach) ** 2) ** 2)[:, None]
    total = np.zeros((n, 3))
    np.add.at(total, near.first, pull)
    np.add.at(total, near.second, -pull)
    return float(np.linalg.norm(total, axis=1).max())
