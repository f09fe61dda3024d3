"""Neighbour lists over replicas: pairs nearer than a cutoff, in an order that history cannot change.

A Verlet list (Phys. Rev. 159, 98 (1967)) holds the pairs nearer than cutoff + skin and stays valid
until an atom has moved by skin/2. What a potential sees are the pairs nearer than the cutoff alone,
in the order (i, j, shift). They are the same pairs in the same order whenever the list was built, so
that sums over them run in the same order: a replica's answer depends on its positions and cell
only, bit for bit, neither on what was computed before nor on the replicas beside it. A resumed run
therefore needs no list in its state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.core.neighbours import FARTHEST_POSITION, Candidates, candidates
from mlipbench.core.structure import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of atoms nearer than the cutoff; atoms of replica r are numbered from r * n_atoms."""

    i: IntArray  # (n_pairs,) rising
    j: IntArray  # (n_pairs,)
    vectors: FloatArray  # (3, n_pairs) A, from i to the image of j
    distances: FloatArray  # (n_pairs,) A


_NOTHING = Candidates(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((3, 0)))


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
        self._reference = np.full((n_replicas, n_atoms, 3), np.nan)  # positions when built
        self._cells = np.full((n_replicas, 3, 3), np.nan)
        self.unusable = np.zeros(n_replicas, dtype=np.bool_)
        """Replicas whose positions are not numbers, or absurdly far; they have no pairs."""

    def pairs(self, positions: FloatArray, cells: FloatArray) -> Pairs:
        """Pairs for positions (n_replicas, n_atoms, 3) A in cells (n_replicas, 3, 3) A.

        Raises PotentialError where a periodic cell has no volume.
        """
        self._update(positions, cells)
        near = self._joined
        x = np.ascontiguousarray(positions.reshape(-1, 3).T)
        vectors = x.take(near.j, axis=1)
        vectors -= x.take(near.i, axis=1)
        vectors += near.offsets
        squared = vectors[0] * vectors[0] + vectors[1] * vectors[1] + vectors[2] * vectors[2]
        inside = np.flatnonzero(squared < self._cutoff**2)
        return Pairs(
            i=near.i.take(inside),
            j=near.j.take(inside),
            vectors=vectors.take(inside, axis=1),
            distances=np.sqrt(squared.take(inside)),
        )

    def _update(self, positions: FloatArray, cells: FloatArray) -> None:
        """Rebuild the replicas in which an atom has moved too far or the cell has changed."""
        moved = positions - self._reference
        moved *= moved
        # NaN compares as not near, so that a replica gone wrong is looked at again.
        near = moved[..., 0] + moved[..., 1] + moved[..., 2] <= (self._skin / 2) ** 2
        if near.all() and (cells == self._cells).all():
            return
        kept = near.all(axis=1) & (cells == self._cells).all(axis=(1, 2))
        for replica in np.flatnonzero(~kept):
            self._rebuild(int(replica), positions[replica], cells[replica])
        parts = self._candidates
        first = np.arange(self.n_replicas) * self.n_atoms
        self._joined = Candidates(
            np.concatenate([p.i + n for p, n in zip(parts, first, strict=True)]),
            np.concatenate([p.j + n for p, n in zip(parts, first, strict=True)]),
            np.concatenate([p.offsets for p in parts], axis=1),
        )

    def _rebuild(self, replica: int, positions: FloatArray, cell: FloatArray) -> None:
        self._reference[replica], self._cells[replica] = positions, cell
        usable = np.isfinite(cell).all() and (np.abs(positions) < FARTHEST_POSITION).all()
        self.unusable[replica] = not usable
        # The margin keeps rounding from losing a pair at the very end of the skin.
        reach = self._cutoff + self._skin + 1e-6
        self._candidates[replica] = (
            candidates(positions, cell, self._pbc, reach, self._half) if usable else _NOTHING
        )
