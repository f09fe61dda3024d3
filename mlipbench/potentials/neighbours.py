"""Neighbour lists over replicas: pairs nearer than a cutoff, in an order that history cannot change.

A Verlet list (Phys. Rev. 159, 98 (1967)) holds the pairs nearer than cutoff + skin and stays valid
until an atom has moved by skin/2. A cell that has changed since then carries atoms and images with it: with
F = H0^-1 H from the old cell H0 to the new one H (rows), a vector r0 becomes r0 F, at least s |r0| long where
s is the smallest singular value of F. Pairs out of the list were at least cutoff + skin apart, so none is
within the cutoff while s (cutoff + skin) - 2 d >= cutoff, d the largest distance of an atom from where
F has carried it. What a potential sees are the pairs nearer than the cutoff alone,
in the order (i, j, shift). They are the same pairs in the same order whenever the list was built, so
that sums over them run in the same order: a replica's answer depends on its positions and cell
only, bit for bit, neither on what was computed before nor on the replicas beside it. A resumed run
therefore needs no list in its state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlipbench.core.neighbours import FARTHEST_POSITION, Candidates, candidates, offsets_in
from mlipbench.core.structure import BoolArray, FloatArray, IntArray
from mlipbench.engine.near import near


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of atoms nearer than the cutoff; atoms of replica r are numbered from r * n_atoms."""

    i: IntArray  # (n_pairs,) rising
    j: IntArray  # (n_pairs,)
    vectors: FloatArray  # (3, n_pairs) A, from i to the image of j
    distances: FloatArray  # (n_pairs,) A


_NOTHING = Candidates(
    np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((3, 0), np.int64), np.zeros((3, 0))
)
_MARGIN = 1e-6  # A: rounding loses no pair at the very end of the skin


class NeighbourList:
    """Pairs of the replicas of one system.

    `half`: every pair once (i < j, or i = j with the first non-zero shift positive) instead of in
    both directions. Positions are never wrapped. Directions without periodicity need no cell vector.
    """

    def __init__(
        self,
        n_replicas: int,
        n_atoms: int,
        pbc: BoolArray,
        cutoff: float,
        skin: float = 0.5,
        half: bool = False,
    ) -> None:
        self.n_replicas, self.n_atoms = n_replicas, n_atoms
        self._pbc = np.array(pbc, dtype=np.bool_)
        self._cutoff, self._skin, self._half = cutoff, skin, half
        self._candidates = [_NOTHING] * n_replicas
        self._joined = _NOTHING
        self._scratch = np.zeros(0, np.int64)
        self._reference = np.full((n_replicas, n_atoms, 3), np.nan)  # positions when built
        self._reference_cells = np.full((n_replicas, 3, 3), np.nan)  # cells when built
        self._cells = np.full((n_replicas, 3, 3), np.nan)  # cells that the offsets are for
        self.unusable = np.zeros(n_replicas, dtype=np.bool_)
        """Replicas whose positions are not numbers, or absurdly far; they have no pairs."""

    def pairs(self, positions: FloatArray, cells: FloatArray) -> Pairs:
        """Pairs for positions (n_replicas, n_atoms, 3) A in cells (n_replicas, 3, 3) A.

        Raises PotentialError where a periodic cell has no volume.
        """
        x = np.ascontiguousarray(positions.reshape(-1, 3))
        return Pairs(*near(self.listed(positions, cells), x, self._cutoff, self._scratch))

    def listed(self, positions: FloatArray, cells: FloatArray) -> Candidates:
        """All that are listed, those in the skin too; which these are depends on when the list was built.

        The same object as long as neither the list nor a cell changes. Arguments and errors as of `pairs`.
        """
        self._update(positions, cells)
        return self._joined

    def _update(self, positions: FloatArray, cells: FloatArray) -> None:
        """Rebuild the replicas in which an atom or the cell has moved too far."""
        moved = positions - self._reference
        moved *= moved
        # NaN compares as not near, so that a replica gone wrong is looked at again.
        still = moved[..., 0] + moved[..., 1] + moved[..., 2] <= (self._skin / 2) ** 2
        same = (cells == self._cells).all(axis=(1, 2))
        kept = still.all(axis=1) & (cells == self._reference_cells).all(axis=(1, 2))
        if kept.all() and same.all():
            return
        changed = False
        for replica in np.flatnonzero(~(kept & same)):
            x, cell = positions[replica], cells[replica]
            if not (kept[replica] or self._carried(int(replica), x, cell)):
                self._rebuild(int(replica), x, cell)
            elif not same[replica]:
                listed = self._candidates[replica]
                self._candidates[replica] = replace(listed, offsets=offsets_in(cell, listed.shifts))
            else:
                continue
            changed, self._cells[replica] = True, cell
        if changed:
            self._join()

    def _join(self) -> None:
        parts = self._candidates
        first = np.arange(self.n_replicas) * self.n_atoms
        self._joined = Candidates(
            np.concatenate([p.i + n for p, n in zip(parts, first, strict=True)]),
            np.concatenate([p.j + n for p, n in zip(parts, first, strict=True)]),
            np.concatenate([p.shifts for p in parts], axis=1),
            np.concatenate([p.offsets for p in parts], axis=1),
        )
        if len(self._scratch) < len(self._joined.i):
            self._scratch = np.empty_like(self._joined.i)

    def _carried(self, replica: int, positions: FloatArray, cell: FloatArray) -> bool:
        """Whether the list holds all pairs although the cell has changed, see above."""
        before = self._reference_cells[replica]
        usable = self._pbc.all() and np.isfinite(positions).all() and np.isfinite(before).all()
        if not (usable and np.isfinite(cell).all()) or self.unusable[replica]:
            return False
        change = np.linalg.solve(before, cell)
        away = positions - self._reference[replica] @ change
        away -= away.mean(axis=0)  # all together may be anywhere
        farthest = float(np.sqrt((away * away).sum(axis=1).max()))
        smallest = float(np.linalg.svd(change, compute_uv=False)[-1])
        return smallest * (self._cutoff + self._skin) - 2.0 * farthest >= self._cutoff

    def _rebuild(self, replica: int, positions: FloatArray, cell: FloatArray) -> None:
        self._reference[replica], self._reference_cells[replica] = positions, cell
        usable = np.isfinite(cell).all() and (np.abs(positions) < FARTHEST_POSITION).all()
        self.unusable[replica] = not usable
        reach = self._cutoff + self._skin + _MARGIN
        self._candidates[replica] = (
            candidates(positions, cell, self._pbc, reach, self._half) if usable else _NOTHING
        )
