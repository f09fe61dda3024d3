"""Linear maps between channels, for all atoms at once: y[row] += sum W^T x[row'].

A matrix product of a library may round differently for another number of rows or threads. Here every
row is summed in the same order, ROWS atoms of one element at a time: an atom's numbers do not depend on
the atoms beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.engine.jit import inner
from mlipbench.engine.lanes import LANES, add_column, aligned, load, load_rows, store_rows

ROWS = 8


class Groups(NamedTuple):
    """Atoms of one element each; a group that is not full repeats its last atom."""

    atoms: IntArray  # (n_groups, ROWS)
    species: IntArray  # (n_groups,)
    size: IntArray  # (n_groups,) atoms that are not repeats


class LinearMap(NamedTuple):
    """Terms y[row out] += W[element]^T x[row in], by rising row out."""

    first: IntArray  # (rows out + 1,) where its terms begin
    row: IntArray  # (n_terms,) row in
    begin: IntArray  # (n_terms,) where the weights of the first element begin
    step: IntArray  # (n_terms,) from those of one element to those of the next; 0: the same for all
    weights: Any  # (all,) float64 or float32; of a matrix [channels out / LANES, channels in, LANES]
    rows_in: int
    rows_out: int
    channels: int


Term = tuple[Sequence[int], Sequence[int], FloatArray]
"""Rows out, rows in (each of the ones to each of the others), weights (n_elements or 1, in, out)."""


def groups_of(species: IntArray) -> Groups:
    """The atoms (n_atoms,) in groups, by rising element."""
    atoms, of_group, sizes = [], [], []
    for element in np.unique(species):
        those = np.flatnonzero(species == element)
        n_groups = -(-len(those) // ROWS)
        padded = np.pad(those, (0, n_groups * ROWS - len(those)), mode="edge")
        atoms.append(padded.reshape(n_groups, ROWS))
        of_group += [element] * n_groups
        sizes += [ROWS] * (n_groups - 1) + [len(those) - (n_groups - 1) * ROWS]
    return Groups(np.concatenate(atoms), np.array(of_group, dtype=np.int64), np.array(sizes, dtype=np.int64))


def linear_map(terms: Sequence[Term], rows_in: int, rows_out: int, channels: int, dtype: str) -> LinearMap:
    """A map of terms whose weights have channels padded to whole LANES."""
    entries, weights, end = [], [np.zeros(0)], 0
    for out, into, matrices in terms:
        n_elements = len(matrices)
        step = channels * channels if n_elements > 1 else 0
        entries += [(a, b, end, step) for a, b in zip(out, into, strict=True)]
        packed = matrices.reshape(n_elements, channels, channels // LANES, LANES).transpose(0, 2, 1, 3)
        weights.append(packed.ravel())
        end += packed.size
    table = np.array(sorted(entries), dtype=np.int64).reshape(-1, 4)
    joined_weights = aligned(end, dtype)
    joined_weights[:] = np.concatenate(weights)
    return LinearMap(
        first=np.searchsorted(table[:, 0], np.arange(rows_out + 1)),
        row=table[:, 1].copy(),
        begin=table[:, 2].copy(),
        step=table[:, 3].copy(),
        weights=joined_weights,
        rows_in=rows_in,
        rows_out=rows_out,
        channels=channels,
    )


def transposed(terms: Sequence[Term]) -> list[Term]:
    """The terms of the way back."""
    return [(into, out, matrices.transpose(0, 2, 1)) for out, into, matrices in terms]


@inner
def _starts(atoms, group, size):  # type: ignore[no-untyped-def]
    return (
        atoms[group, 0] * size,
        atoms[group, 1] * size,
        atoms[group, 2] * size,
        atoms[group, 3] * size,
        atoms[group, 4] * size,
        atoms[group, 5] * size,
        atoms[group, 6] * size,
        atoms[group, 7] * size,
    )


@inner
def add_linear(groups, group, linear, x, y):  # type: ignore[no-untyped-def]
    """Add to y (n_atoms, rows out, channels) the map of x (n_atoms, rows in, channels), both flat, for the
    atoms of a group."""
    channels, species = linear.channels, groups.species[group]
    sources = _starts(groups.atoms, group, linear.rows_in * channels)
    targets = _starts(groups.atoms, group, linear.rows_out * channels)
    for row in range(linear.rows_out):
        if linear.first[row] == linear.first[row + 1]:
            continue
        for c in range(0, channels, LANES):
            total = load_rows(y, targets, row * channels + c)
            for term in range(linear.first[row], linear.first[row + 1]):
                source = linear.row[term] * channels
                weights = linear.begin[term] + species * linear.step[term] + c * channels
                for k in range(channels):
                    weight = load(linear.weights, weights + k * LANES, 0, 1)
                    total = add_column(x, sources, source + k, weight, total)
            store_rows(y, targets, row * channels + c, total)
