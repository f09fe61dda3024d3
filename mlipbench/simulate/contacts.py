"""The closest pair of atoms, images included."""

from __future__ import annotations

import math

import numpy as np
from vesin import NeighborList

from mlipbench.core.structure import BoolArray, FloatArray, IntArray

_ROUNDING = 1e-6  # A, far above the rounding of a distance and of the search's cutoff


class ClosestContact:
    """Shortest distance between two atoms of a replica, or of an atom and its own image.

    Pairs within r_list are remembered together with the positions x0 at which they were found. Where no
    atom is further than d from its place in x0, a pair that is not in the list is more than r_list - 2d
    apart; a shorter distance found in the list is thus the shortest of all. Else the list is made anew.
    The answer is that of one pair's own coordinates, so it does not depend on when the list was made.
    """

    def __init__(self, pbc: BoolArray) -> None:
        self._pbc = pbc
        self._cell: FloatArray | None = None
        self._reference = np.empty((3, 0))
        self._cutoff = 0.0
        self._first: IntArray = np.empty(0, dtype=np.int64)
        self._second: IntArray = np.empty(0, dtype=np.int64)
        self._shifts = np.empty((3, 0))

    def __call__(self, positions: FloatArray, cell: FloatArray) -> float:
        """positions (n_atoms, 3) A, cell (3, 3) A -> distance in A; infinite for a lone atom."""
        columns = np.ascontiguousarray(positions.T)
        if self._cell is not None and np.array_equal(self._cell, cell):
            moved = columns - self._reference
            np.multiply(moved, moved, out=moved)
            moved[0] += moved[1]
            moved[0] += moved[2]
            reach = self._cutoff - 2.0 * math.sqrt(float(moved[0].max())) - _ROUNDING
            if reach > 0:
                distance = self._shortest(columns)
                if distance < reach:
                    return distance
        return self._search(positions, cell, columns)

    def _shortest(self, columns: FloatArray) -> float:
        if not len(self._first):
            return math.inf
        apart = np.take(columns, self._second, axis=1)
        apart -= np.take(columns, self._first, axis=1)
        apart += self._shifts
        np.multiply(apart, apart, out=apart)
        apart[0] += apart[1]
        apart[0] += apart[2]
        return math.sqrt(float(apart[0].min()))

    def _search(self, positions: FloatArray, cell: FloatArray, columns: FloatArray) -> float:
        """Make the list anew, with a cutoff that grows until it holds the closest pair and a margin."""
        extent = float(np.linalg.norm(np.ptp(positions, axis=0)))
        longest = math.inf if self._pbc.any() else extent
        self._cell = np.array(cell)
        self._reference = columns
        cutoff = self._cutoff if 0.0 < self._cutoff < math.inf else 3.0
        while True:
            self._first, self._second, self._shifts = _pairs(positions, cell, self._pbc, cutoff)
            self._cutoff = cutoff
            distance = self._shortest(columns)
            wanted = distance + max(0.25, min(0.3 * distance, 0.9))
            if math.isfinite(distance) and wanted <= cutoff <= 1.5 * wanted:
                return distance
            if math.isfinite(distance):
                cutoff = 1.05 * wanted
            elif cutoff > longest + _ROUNDING:
                self._cutoff = math.inf if len(positions) < 2 else cutoff
                return distance
            else:
                cutoff *= 1.5


def _pairs(
    positions: FloatArray, cell: FloatArray, pbc: BoolArray, cutoff: float
) -> tuple[IntArray, IntArray, FloatArray]:
    """Pairs closer than the cutoff, each once: indices i, j (n_pairs,) and the shift (3, n_pairs) in A.

    The vector of a pair is x_j - x_i + shift.
    """
    search = NeighborList(cutoff=cutoff, full_list=False)
    box = _box(positions, cell, pbc, cutoff)
    first, second, images = search.compute(
        points=positions, box=box, periodic=bool(pbc.any()), quantities="ijS"
    )
    images = images.astype(np.float64)
    shifts = images[:, :1] * box[0] + images[:, 1:2] * box[1] + images[:, 2:] * box[2]
    return first.astype(np.int64), second.astype(np.int64), np.ascontiguousarray(shifts.T)


def _box(positions: FloatArray, cell: FloatArray, pbc: BoolArray, cutoff: float) -> FloatArray:
    """The cell, with vectors along the directions that are not periodic long enough to see no image."""
    if pbc.all() or not pbc.any():
        return np.array(cell if pbc.all() else np.zeros((3, 3)), dtype=np.float64)
    box = np.where(pbc[:, None], cell, 0.0)
    periodic = box[pbc]
    normals = np.linalg.svd(periodic)[2][len(periodic) :]  # unit vectors across the periodic ones
    for index, normal in zip(np.flatnonzero(~pbc), normals, strict=True):
        box[index] = (float(np.ptp(positions @ normal)) + 2.0 * cutoff + 1.0) * normal
    return box
