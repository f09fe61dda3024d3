"""The search for pairs of atoms, by vesin, in an order that depends on the structure alone."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mlipbench.core.errors import PotentialError
from mlipbench.core.structure import BoolArray, FloatArray, IntArray


def _without_torch() -> Any:
    """The class NeighborList of vesin, for numpy arrays.

    vesin imports torch wherever that is installed, to take tensors too: seconds and 200 MB for every
    process that looks for pairs. So torch is hidden while it is imported, and the copy is ours alone: a
    user's calculator that imports vesin gets another one, which takes tensors.
    """
    if "torch" in sys.modules or "vesin" in sys.modules:
        return importlib.import_module("vesin").NeighborList
    hidden = cast(dict[str, object], sys.modules)
    hidden["torch"] = None  # what makes `import torch` raise ImportError
    try:
        return importlib.import_module("vesin").NeighborList
    finally:
        for name in [name for name in hidden if name.split(".")[0] in ("torch", "vesin")]:
            del hidden[name]


NeighborList = _without_torch()
"""vesin's search, see its own documentation."""
FARTHEST_POSITION = 1e6  # A; beyond it a pair vector has lost half of its digits


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs of one structure nearer than some reach, images included."""

    i: IntArray  # (n_pairs,) rising
    j: IntArray  # (n_pairs,)
    shifts: IntArray  # (3, n_pairs) cells between the image of j and j
    offsets: FloatArray  # (3, n_pairs) A, shift @ cell: the pair's vector is x_j - x_i + offset


def candidates(
    positions: FloatArray, cell: FloatArray, pbc: BoolArray, reach: float, half: bool = False
) -> Candidates:
    """Pairs nearer than `reach` in the order (i, j, shift); positions are never wrapped.

    `half`: every pair once (i < j, or i = j with the first non-zero shift positive) instead of in
    both directions. Directions without periodicity need no cell vector. Raises PotentialError where
    the periodic ones do not span their space.
    """
    box = _box(positions, cell, pbc, reach)
    search = NeighborList(cutoff=reach, full_list=True, n_threads=1)
    pairs, shifts = search.compute(positions, box, True, "PS")
    i, j = pairs.astype(np.int64).T
    a, b, c = shifts.astype(np.int64).T
    if half:
        forward = (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0))))
        once = (i < j) | ((i == j) & forward)
        i, j, a, b, c = i[once], j[once], a[once], b[once], c[once]
    order = np.lexsort((c, b, a, j, i))
    chosen = np.stack([a[order], b[order], c[order]])
    return Candidates(i[order], j[order], chosen, offsets_in(box, chosen))


def offsets_in(box: FloatArray, shifts: IntArray) -> FloatArray:
    """shift @ cell, (3, n_pairs) A, of shifts (3, n_pairs) in a cell (3, 3) A.

    Term by term: a matrix product could round differently for another number of pairs.
    """
    a, b, c = shifts
    return np.stack([a * box[0, k] + b * box[1, k] + c * box[2, k] for k in range(3)])


def _box(positions: FloatArray, cell: FloatArray, pbc: BoolArray, reach: float) -> FloatArray:
    """A cell with the periodic vectors of `cell`, and in the other directions room enough that no
    atom meets an image."""
    if pbc.all():
        box = np.array(cell, dtype=np.float64)
    else:
        # The last right-singular vectors span what is perpendicular to the periodic vectors.
        normals = np.linalg.svd(cell[pbc])[2][pbc.sum() :] if pbc.any() else np.eye(3)
        along = positions @ normals.T
        room = np.ptp(along, axis=0) + 2 * reach
        box = np.array(cell, dtype=np.float64)
        box[~pbc] = normals * room[:, None]
    lengths = np.linalg.norm(box, axis=1)
    if not abs(np.linalg.det(box)) > 1e-9 * np.prod(lengths):
        raise PotentialError(
            f"neighbour list: the periodic directions {pbc.tolist()} need linearly independent cell "
            f"vectors, got {cell.tolist()} A; give the structure a cell or set pbc to false"
        )
    return box
