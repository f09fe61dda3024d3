"""Is held-out held out? Duplicates and near-duplicates between two sets of frames.

A fingerprint is invariant to rotation, translation, permutation, wrapping and the choice of cell:
for each pair of species a smooth histogram of distances per atom,

    f_k = 1/N sum_pairs w(r) exp(-(r - mu_k)^2 / 2 s^2),   w(r) = (1 - (r/r_c)^2)^2,

so that it is continuous, also where a neighbour shell sits on the cutoff. Equal fingerprints (to the
rounding of a file) are duplicates. Near-duplicates, e.g. neighbours along one trajectory, are found
atom by atom: the same elements in the same order, nearly the same cell, small displacements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlipbench.analysis.structure import pairs
from mlipbench.core.structure import FloatArray, Structure

CUTOFF_A = 5.0
CENTRES_A = np.linspace(0.5, CUTOFF_A, 19)
WIDTH_A = 0.25
SAME = 1e-4  # relative distance of fingerprints; independent thermal frames differ by > 1e-3

Fingerprint = dict[tuple[int, int], FloatArray]


@dataclass(frozen=True)
class Match:
    """A frame of the first set and the frame of the second that it repeats."""

    index: int
    other: int
    kind: str  # "duplicate" or "near-duplicate"
    distance_A: float  # root mean square displacement; 0 for a duplicate


def fingerprint(structure: Structure) -> Fingerprint:
    """(Z, Z') -> (19,) smooth histogram of distances per atom; (Z, 0) -> [number fraction]."""
    found: Fingerprint = {}
    numbers = structure.numbers
    for z in np.unique(numbers):
        found[(int(z), 0)] = np.array([float(np.mean(numbers == z))])
    near = pairs(structure.positions, structure.cell, structure.pbc, CUTOFF_A)
    weight = (1 - (near.distances / CUTOFF_A) ** 2) ** 2 / len(structure)
    bumps = weight[:, None] * np.exp(-0.5 * ((near.distances[:, None] - CENTRES_A) / WIDTH_A) ** 2)
    low = np.minimum(numbers[near.first], numbers[near.second])
    high = np.maximum(numbers[near.first], numbers[near.second])
    for key in {(int(a), int(b)) for a, b in zip(low, high, strict=True)}:
        found[key] = bumps[(low == key[0]) & (high == key[1])].sum(axis=0)
    return found


def matches(first: Sequence[Structure], second: Sequence[Structure], near_A: float = 0.05) -> list[Match]:
    """For each frame of `first` the closest repeat of it in `second`, where there is one."""
    prints, others = stack([fingerprint(s) for s in [*first, *second]], len(first))
    groups: dict[bytes, list[int]] = {}
    for j, s in enumerate(second):
        groups.setdefault(s.numbers.tobytes(), []).append(j)
    found = []
    for i, s in enumerate(first):
        if len(others):
            away = np.linalg.norm(others - prints[i], axis=1) / max(float(np.linalg.norm(prints[i])), 1e-300)
            j = int(away.argmin())
            if away[j] < SAME:
                found.append(Match(i, j, "duplicate", 0.0))
                continue
        same_atoms = groups.get(s.numbers.tobytes(), [])
        best = min(((_displacement(s, second[j]), j) for j in same_atoms), default=(np.inf, -1))
        if best[0] < near_A:
            found.append(Match(i, best[1], "near-duplicate", float(best[0])))
    return found


def stack(prints: list[Fingerprint], n_first: int) -> tuple[FloatArray, FloatArray]:
    """Fingerprints as rows of equal length: those of the first set, those of the rest."""
    sizes = {key: len(value) for p in prints for key, value in p.items()}
    keys = sorted(sizes)
    rows = [np.concatenate([p.get(k, np.zeros(sizes[k])) for k in keys]) for p in prints]
    return np.array(rows[:n_first]), np.array(rows[n_first:])


def _displacement(a: Structure, b: Structure) -> float:
    """Root mean square displacement in A, images and a common shift removed; inf for other cells."""
    if not np.array_equal(a.pbc, b.pbc):
        return float("inf")
    moved = b.positions - a.positions
    if a.pbc.any():
        size = max(float(np.abs(a.cell).max()), 1e-300)
        if np.abs(a.cell - b.cell).max() > 0.01 * size:
            return float("inf")
        if a.pbc.all():
            fractional = b.positions @ np.linalg.inv(b.cell) - a.positions @ np.linalg.inv(a.cell)
            fractional -= fractional[0]
            moved = (fractional - np.round(fractional)) @ a.cell
    moved = moved - moved.mean(axis=0)
    return float(np.sqrt((moved**2).sum(axis=1).mean()))
