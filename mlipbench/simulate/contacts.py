"""The closest pair of atoms, images included."""

from __future__ import annotations

import math

import numpy as np

from mlipbench.core.neighbours import NeighborList
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
        self._cell = b""  # bytes of the cell that the list was made for
        self._reference = np.empty((3, 0))
        self._cutoff = 0.0
        self._first: IntArray = np.empty(0, dtype=np.int64)
        self._second: IntArray = np.empty(0, dtype=np.int64)
        self._shifts = np.empty((3, 0))

    def __call__(self, columns: FloatArray, cell: FloatArray) -> float:
        """Coordinates (3, n_atoms) A, cell (3, 3) A -> distance in A; infinite for a lone atom."""
        if self._cell == cell.tobytes():
            moved = columns - self._reference
            moved *= moved
            squares = moved[0]
            squares += moved[1]
            squares += moved[2]
            reach = self._cutoff - 2.0 * math.sqrt(np.maximum.reduce(squares)) - _ROUNDING
            if reach > 0:
                distance = self._shortest(columns)
                if distance < reach:
                    return distance
        return self._search(columns, cell)

    def _shortest(self, columns: FloatArray) -> float:
        if not len(self._first):
            return math.inf
        apart = columns.take(self._second, axis=1)
        apart -= columns.take(self._first, axis=1)
        apart += self._shifts
        apart *= apart
        squares = apart[0]
        squares += apart[1]
        squares += apart[2]
        return math.sqrt(np.minimum.reduce(squares))

    def _search(self, columns: FloatArray, cell: FloatArray) -> float:
        """Make the list anew, with a cutoff that grows until it holds the closest pair and a margin."""
        positions = np.ascontiguousarray(columns.T)
        self._cell = cell.tobytes()
        self._reference = columns.copy()
        longest = math.inf if self._pbc.any() else float(np.linalg.norm(np.ptp(positions, axis=0)))
        cutoff = self._cutoff or self._guess(cell, len(positions))
        while True:
            self._first, self._second, self._shifts = _pairs(positions, cell, self._pbc, cutoff)
            self._cutoff = cutoff
            distance = self._shortest(columns)
            wanted = distance + max(0.25, min(0.2 * distance, 0.8))
            if math.isfinite(distance) and wanted <= cutoff <= 1.5 * wanted:
                return distance
            if math.isfinite(distance):
                cutoff = 1.05 * wanted
            elif cutoff > longest + _ROUNDING:
                return distance
            else:
                cutoff *= 1.5

    def _guess(self, cell: FloatArray, n_atoms: int) -> float:
        """A first cutoff: beyond the nearest neighbours of every dense packing, in A."""
        volume = abs(float(np.linalg.det(cell))) if self._pbc.all() else 0.0
        return 1.38 * (volume / n_atoms) ** (1.0 / 3.0) if volume else 3.0


def _pairs(
    positions: FloatArray, cell: FloatArray, pbc: BoolArray, cutoff: float
) -> tuple[IntArray, IntArray, FloatArray]:
    """Pairs closer than the cutoff, each once: indices i, j (n_pairs,) and the shift (3, n_pairs) in A.

    The vector of a pair is x_j - x_i + shift.
    """
    box, points = np.array(cell, dtype=np.float64), positions
    if not pbc.all():
        box, points = _closed(box, positions, pbc, cutoff)
    search = NeighborList(cutoff=cutoff, full_list=False)
    first, second, images = search.compute(points=points, box=box, periodic=True, quantities="ijS")
    images = images.astype(np.float64)
    shifts = images[:, :1] * box[0] + images[:, 1:2] * box[1] + images[:, 2:] * box[2]
    return first.astype(np.int64), second.astype(np.int64), np.ascontiguousarray(shifts.T)


def _closed(
    box: FloatArray, positions: FloatArray, pbc: BoolArray, cutoff: float
) -> tuple[FloatArray, FloatArray]:
    """A periodic box and positions in it with the same pairs, where not all directions are periodic.

    Along a direction that is not periodic, gaps wider than the cutoff are narrowed to a little more than
    it, and the box ends in such a gap: no pair crosses one. So atoms may be thrown any distance away,
    which the search's grid of cells would not bear.
    """
    periodic = box[pbc]
    normals = np.linalg.svd(periodic)[2][len(periodic) :] if len(periodic) else np.eye(3)
    box, points, gap = np.where(pbc[:, None], box, 0.0), positions.copy(), 1.01 * cutoff + 0.01
    for index, normal in zip(np.flatnonzero(~pbc), normals, strict=True):
        heights = positions @ normal
        order = np.argsort(heights, kind="stable")
        narrow = np.cumsum(np.minimum(np.diff(heights[order], prepend=heights[order[:1]]), gap))
        points[order] += (narrow - heights[order])[:, None] * normal
        box[index] = (narrow[-1] + gap) * normal
    return box, points
