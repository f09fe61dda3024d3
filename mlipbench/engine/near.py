"""The pairs of a list that are nearer than a cutoff."""

from __future__ import annotations

import functools
import math

import numpy as np

from mlipbench.core.neighbours import Candidates
from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.engine.jit import Kernel

NearPairs = tuple[IntArray, IntArray, FloatArray, FloatArray]


def near(listed: Candidates, positions: FloatArray, cutoff: float, scratch: IntArray) -> NearPairs:
    """i, j, vectors from i to the image of j (3, n_pairs) A and distances (n_pairs,) A, in the list's order.

    Positions (n_atoms, 3) A; `scratch` holds at least as many numbers as the list has pairs.
    """
    count = _select(listed.i, listed.j, listed.offsets, positions, cutoff**2, scratch)
    found = (
        np.empty(count, dtype=np.int64),
        np.empty(count, dtype=np.int64),
        np.empty((3, count)),
        np.empty(count),
    )
    _collect(listed.i, listed.j, listed.offsets, positions, scratch[:count], *found)
    return found


@functools.partial(Kernel, parallel=False)
def _select(i, j, offsets, x, squared_cutoff, chosen):  # type: ignore[no-untyped-def]
    """Write the numbers of the pairs that are near enough, return how many there are."""
    count = 0
    for pair in range(len(i)):
        a, b = i[pair], j[pair]
        u = x[b, 0] - x[a, 0] + offsets[0, pair]
        v = x[b, 1] - x[a, 1] + offsets[1, pair]
        w = x[b, 2] - x[a, 2] + offsets[2, pair]
        chosen[count] = pair
        count += u * u + v * v + w * w < squared_cutoff  # no branch: which pairs are near has no pattern
    return count


@functools.partial(Kernel, parallel=False)
def _collect(i, j, offsets, x, chosen, to_i, to_j, vectors, distances):  # type: ignore[no-untyped-def]
    for number in range(len(chosen)):
        pair = chosen[number]
        a, b = i[pair], j[pair]
        to_i[number], to_j[number] = a, b
        u = x[b, 0] - x[a, 0] + offsets[0, pair]
        v = x[b, 1] - x[a, 1] + offsets[1, pair]
        w = x[b, 2] - x[a, 2] + offsets[2, pair]
        vectors[0, number], vectors[1, number], vectors[2, number] = u, v, w
        distances[number] = math.sqrt(u * u + v * v + w * w)
