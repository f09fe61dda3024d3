"""Do the forces follow the energies? Units and sign, from the work between close frames.

    E_j - E_i  against  -1/2 (F_i + F_j).(r_j - r_i)  [+ 1/2 V (S_i + S_j) : strain]

has slope 1 in eV and A, -1 where the sign is wrong, another slope where one of the units is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlipbench.core.structure import BoolArray, FloatArray, IntArray, LabelledFrame
from mlipbench.data.audit.comparison import Family, Works, families, separations, works
from mlipbench.data.audit.slopes import FEWEST, Slope, slope

NEIGHBOURS = 6  # pairs per frame
_MOST_ATOM_PAIRS = 2e7  # n_frames^2 n_atoms / 2 that are compared; more frames are thinned evenly
_SAME_CELL = 1e-4  # strain up to which the work of the stress is nothing


@dataclass(frozen=True)
class Compared:
    """Pairs of close frames of one file, all families together."""

    works: Works
    thinned: bool
    n_frames: int

    def fixed_cell(self) -> BoolArray:
        """(p,) Pairs whose cells agree."""
        return np.asarray(self.works.strain < _SAME_CELL)


def compared(frames: Sequence[LabelledFrame], usable: IntArray) -> Compared | None:
    """The closest frames of each family among the usable, and the work in between; None where there are none.

    Usable frames have energies and forces.
    """
    found, thinned = [], False
    for family in families([frames[i] for i in usable], smallest=3):
        family = Family(usable[family.members], family.positions, family.cells, family.pbc)
        most = int(np.sqrt(2 * _MOST_ATOM_PAIRS / family.n_atoms))
        if len(family) > most:
            family, thinned = family.taken(np.linspace(0, len(family) - 1, most).astype(int)), True
        found.append(works(frames, family, _closest(separations(family))))
    if not found:
        return None
    joined = Works(
        *(np.concatenate([getattr(w, name) for w in found]) for name in Works.__dataclass_fields__)
    )
    return Compared(joined, thinned, len(usable))


def _closest(apart: FloatArray) -> IntArray:
    """(p, 2) each frame with its closest others, each pair once."""
    n = len(apart)
    nearest = np.argsort(apart, axis=1)[:, : min(NEIGHBOURS, n - 1)]
    pairs = np.stack([np.repeat(np.arange(n), nearest.shape[1]), nearest.ravel()], axis=1)
    return np.unique(np.sort(pairs, axis=1), axis=0)


def force_slope(pairs: Compared, step: float) -> Slope | None:
    """dE / W at fixed cell; None where the pairs do not tell. `step`: the grid of the energies."""
    w = pairs.works
    chosen = pairs.fixed_cell() & (np.abs(w.energy) > 4 * step) & (w.by_forces != 0)
    if chosen.sum() < FEWEST:
        return None
    scale = w.curvature + 0.1 * np.abs(w.by_forces)
    scale = np.maximum(scale, 1e-3 * np.median(scale[chosen]))
    x, y = w.by_forces / scale, w.energy / scale
    return slope(x[chosen], y[chosen], w.distance_A[chosen], w.first[chosen])


def stiffness(pairs: Compared) -> float:
    """Mean -dF.dr/|dr|^2 of the closest pairs, in the file's units: positive for restoring forces."""
    w = pairs.works
    moved = w.distance_A > 1e-3
    if not moved.any():
        return float("nan")
    near = moved & (w.distance_A <= np.quantile(w.distance_A[moved], 0.25))
    return float(np.median(w.stiffness[near]))


def restoring(pairs: Compared) -> tuple[float, int]:
    """Share of the closest pairs whose forces pull back, and how many those are."""
    w = pairs.works
    moved = pairs.fixed_cell() & (w.distance_A > 1e-3)
    if not moved.any():
        return float("nan"), 0
    near = moved & (w.distance_A <= np.quantile(w.distance_A[moved], 0.25))
    return float(np.mean(w.stiffness[near] > 0)), int(near.sum())
