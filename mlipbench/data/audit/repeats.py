"""Frames that repeat others: duplicates, and frames too close in time to be independent.

Whether two frames are correlated is seen from their distance, also where the times are lost. Let r_ij be
the squared distance of frames i and j over what frames of their own thermal amplitudes have,

    r_ij = d_ij^2 / (m_i + m_j - M),   m_i: median over the others of d_ij^2,  M: median of all.

Among independent frames the closest is hardly closer than the K-th: in nu dimensions the ratio
x = r_1 / r_K of the closest to the K-th of n frames is below a value x with probability K x^(nu / 2) at most.
nu is the larger of the dimension that the distances of the set themselves show (E. Levina, P. Bickel,
NIPS 17, 777 (2005)) and a fifth of the degrees of freedom of the atoms that take part in the motion.
A frame counts as correlated where that probability is below 0.001 and r_1 < 1/2: more than half of the
displacement is shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from mlipbench.analysis.duplicates import SAME, fingerprint, stack
from mlipbench.analysis.structure import pairs
from mlipbench.core.structure import BoolArray, FloatArray, IntArray, LabelledFrame, Structure
from mlipbench.data.audit.comparison import Family, distances, families, way

FEWEST = 8  # frames of a family, to know what is typical
PROBABILITY = 1e-3
SHARED = 0.5
_MOST_ATOM_PAIRS = 3e7  # frames of one set x frames of the other x atoms; more are thinned evenly
_SMALLEST_RANK = 5
_GAP = 4.0  # between the squared distances inside of a basin and to the next; along a run they grow steadily
_TAKING_PART = 0.2  # degrees of freedom per moving one; rattled and thermal crystals show 0.2 to 0.3
_CLOSER = 0.5  # times the distances in the order of the file: what matching atoms must achieve
_COMPARED_A = 5.0
_ROUNDING_A = 1e-3  # sorted distances of equal structures; rattled by 0.03 A they differ by 0.01 somewhere
_AMPLITUDE_A2 = 1e-4  # below a mean square displacement of (0.01 A)^2 frames are static, not thermal


@dataclass(frozen=True)
class Correlated:
    """Frames of one set that are not independent of those of another (or of the others of their own)."""

    frames: IntArray  # numbers of the correlated frames
    partners: IntArray  # the closest frame of each
    distances_A: FloatArray  # root mean square displacement to it
    n_examined: int
    typical_A: float  # of independent frames: the median over pairs


def duplicates(structures: Sequence[Structure]) -> list[tuple[int, int]]:
    """Pairs of equal structures: each frame with the first one it repeats.

    Fingerprints tell the candidates; small displacements about the same sites change them too little, so
    that the sorted distances decide.
    """
    prints, _ = stack([fingerprint(s) for s in structures], len(structures))
    found = []
    for i, own in enumerate(prints):
        away = np.linalg.norm(prints[:i] - own, axis=1)
        same = np.flatnonzero(away < SAME * max(float(np.linalg.norm(own)), 1e-300))
        partner = next((j for j in same.tolist() if _equal(structures[i], structures[j])), None)
        if partner is not None:
            found.append((i, partner))
    return found


def _equal(a: Structure, b: Structure) -> bool:
    """Whether all distances agree to rounding, whatever the order of atoms and the choice of the cell."""
    if len(a) != len(b):
        small, large = sorted((a, b), key=len)
        if len(large) % len(small):
            return False
    lists = [
        np.sort(pairs(s.positions, s.cell, s.pbc, _COMPARED_A).distances).repeat(
            max(len(a), len(b)) // len(s)
        )
        for s in (a, b)
    ]
    # a pair at the very end of the list may be inside in one frame and outside in the other
    n = int(0.98 * min(len(d) for d in lists))
    return abs(len(lists[0]) - len(lists[1])) <= 0.02 * max(n, 1) and bool(
        np.allclose(lists[0][:n], lists[1][:n], rtol=0, atol=_ROUNDING_A)
    )


def same_place(a: Structure, b: Structure) -> bool:
    """Whether two frames have the same atoms in the same places of the same cell."""
    if not (np.array_equal(a.numbers, b.numbers) and np.array_equal(a.pbc, b.pbc)):
        return False
    moved = b.positions - a.positions
    if a.pbc.all():
        if np.abs(a.cell - b.cell).max() > _ROUNDING_A:
            return False
        fractional = moved @ np.linalg.inv(a.cell)
        moved = (fractional - np.round(fractional)) @ a.cell
    return bool(np.abs(moved).max() < _ROUNDING_A)


def correlated(frames: Sequence[LabelledFrame], held_out: BoolArray | None = None) -> Correlated | None:
    """Frames of the held-out set with a correlated frame in the rest; without one, within the set.

    Atoms are compared in the order of the file, and where that shows nothing, in the order that matches
    each frame best to the first of its composition. None where there are too few comparable frames.
    """
    found = _all_families(frames, held_out)
    if found is not None and len(found.frames):
        return found
    matched = _matched(frames)
    again = _all_families(matched, held_out) if matched is not None else None
    if again is None or (found is not None and again.typical_A > _CLOSER * found.typical_A):
        return (
            found  # the order of the file is the order of the atoms; a drift of all can mislead the matching
        )
    return again


def _all_families(frames: Sequence[LabelledFrame], held_out: BoolArray | None) -> Correlated | None:
    parts = []
    for family in families(frames, FEWEST):
        own = np.arange(len(family))
        test = own if held_out is None else np.flatnonzero(held_out[family.members])
        train = own if held_out is None else np.flatnonzero(~held_out[family.members])
        if len(train) >= FEWEST and len(test):
            most = max(int(_MOST_ATOM_PAIRS / family.n_atoms / len(train)), FEWEST)
            if held_out is None and len(train) ** 2 * family.n_atoms > _MOST_ATOM_PAIRS:
                most = max(int(np.sqrt(_MOST_ATOM_PAIRS / family.n_atoms)), FEWEST)
                train = test = _thin(test, most)
            part = _correlated(family, train, _thin(test, most), held_out is None)
            if part is not None:
                parts.append(part)
    if not parts:
        return None
    return Correlated(
        np.concatenate([p.frames for p in parts]),
        np.concatenate([p.partners for p in parts]),
        np.concatenate([p.distances_A for p in parts]),
        sum(p.n_examined for p in parts),
        max(parts, key=lambda p: p.n_examined).typical_A,
    )


def _thin(chosen: IntArray, most: int) -> IntArray:
    if len(chosen) <= most:
        return chosen
    return np.asarray(chosen[np.linspace(0, len(chosen) - 1, most).astype(int)])


def _correlated(family: Family, train: IntArray, test: IntArray, within: bool) -> Correlated | None:
    reference = _thin(train, 400)  # what is typical is known from these
    among = distances(family.taken(reference), family.taken(reference)) ** 2
    np.fill_diagonal(among, np.inf)
    if within and len(reference) == len(test):
        squared = among
    else:
        squared = distances(family.taken(test), family.taken(train)) ** 2
        if within:
            np.fill_diagonal(squared, np.inf)
    if not np.isfinite(among).any():
        return None
    overall = float(np.median(among[np.isfinite(among)]))
    to_reference = np.isin(train, reference)
    m_reference = _medians(among)
    m_train = (
        m_reference
        if len(reference) == len(train)
        else _medians(_without_self(distances(family.taken(train), family.taken(reference)) ** 2))
    )
    m_test = _medians(squared[:, to_reference])
    k = max(_SMALLEST_RANK, -(-len(train) // 10))
    dimension = max(
        _dimension(
            _relative(among, m_reference, m_reference, overall), max(_SMALLEST_RANK, -(-len(reference) // 10))
        ),
        _TAKING_PART * 3 * _moving_atoms(family, reference),
    )
    relative = _relative(squared, m_test, m_train, overall)
    if relative.shape[1] < k:
        return None
    closest = np.sort(relative, axis=1)
    ranks = np.array([_rank(row, k) for row in closest])
    last = closest[np.arange(len(test)), ranks - 1]
    comparable = np.isfinite(last)
    ratio = np.where(comparable, closest[:, 0] / np.where(comparable, last, 1.0), 1.0)
    logarithm = np.log(ranks) + 0.5 * dimension * np.log(np.maximum(ratio, 1e-300))
    hit = comparable & (closest[:, 0] < SHARED) & (logarithm < np.log(PROBABILITY))
    partner = relative.argmin(axis=1)
    return Correlated(
        family.members[test[hit]],
        family.members[train[partner[hit]]],
        np.sqrt(squared[np.arange(len(test)), partner][hit]),
        len(test),
        float(np.sqrt(overall)),
    )


def _rank(closest: FloatArray, k: int) -> int:
    """K of one frame: `k`, or fewer (5 at least) where its basin holds fewer, which shows as a gap."""
    for rank in range(_SMALLEST_RANK, min(k, len(closest))):
        if closest[rank] > _GAP * closest[rank - 1]:
            return rank
    return k


def _without_self(squared: FloatArray) -> FloatArray:
    return np.where(squared < 1e-20, np.inf, squared)


def _medians(squared: FloatArray) -> FloatArray:
    """(n,) medians of the finite distances of each frame; infinite where there are none."""
    return np.array(
        [np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.inf for row in squared]
    )


def _relative(squared: FloatArray, rows: FloatArray, columns: FloatArray, overall: float) -> FloatArray:
    """r_ij; infinite between frames that cannot be compared, or do not move."""
    expected = rows[:, None] + columns[None, :] - overall
    usable = np.isfinite(squared) & np.isfinite(expected) & (expected > _AMPLITUDE_A2)
    return np.where(usable, squared / np.where(usable, expected, 1.0), np.inf)


def _dimension(relative: FloatArray, k: int) -> float:
    """Dimension in which distances (their squares) to the closest k grow as they do."""
    if relative.shape[1] < k:
        return 0.0
    closest = np.sort(relative, axis=1)[:, :k]
    closest = closest[np.isfinite(closest).all(axis=1) & (closest[:, 0] > 0)]
    if len(closest) < 3:
        return 0.0
    mean = float(np.mean(np.log(closest[:, -1:] / closest[:, :-1])))
    return 2.0 * (k - 2) / (k - 1) / max(mean, 1e-12)


def _moving_atoms(family: Family, chosen: IntArray) -> float:
    """Atoms that take part in the displacements: (sum d^2)^2 / sum d^4, median over some pairs."""
    found: list[float] = []
    some = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), 12)).astype(int)]
    for i in some:
        ways = way(family, int(i), family, some[some != i])
        squares = ((0.5 * (ways.at_start + ways.at_end)) ** 2).sum(axis=2)
        found += list(squares.sum(axis=1) ** 2 / np.maximum((squares**2).sum(axis=1), 1e-300))
    return float(np.median(found)) if found else 0.0


def _matched(frames: Sequence[LabelledFrame]) -> list[LabelledFrame] | None:
    """Periodic frames with their atoms in the order that matches the first of their composition best.

    None where that changes no order.
    """
    firsts: dict[bytes, Structure] = {}
    out, changed = [], False
    for frame in frames:
        s = frame.structure
        if not s.pbc.all() or len(s) < 2:
            out.append(frame)
            continue
        first = firsts.setdefault(
            np.sort(s.numbers).tobytes(), _sorted(s, np.argsort(s.numbers, kind="stable"))
        )
        order = _assignment(s, first)
        changed = changed or not np.array_equal(order, np.argsort(s.numbers, kind="stable"))
        out.append(replace(frame, structure=_sorted(s, order)))
    return out if changed else None


def _sorted(s: Structure, order: IntArray) -> Structure:
    return replace(s, numbers=s.numbers[order], positions=s.positions[order], masses=s.masses[order])


def _assignment(s: Structure, first: Structure) -> IntArray:
    """Order of the atoms of `s` with the smallest sum of squared distances to those of `first`."""
    own = s.positions @ np.linalg.inv(s.cell)
    there = first.positions @ np.linalg.inv(first.cell)
    order = np.empty(len(s), dtype=np.int64)
    for z in np.unique(s.numbers):
        mine, places = np.flatnonzero(s.numbers == z), np.flatnonzero(first.numbers == z)
        apart = own[mine][None, :, :] - there[places][:, None, :]
        apart = (apart - np.round(apart)) @ first.cell
        rows, columns = linear_sum_assignment((apart**2).sum(axis=2))
        order[places[rows]] = mine[columns]
    return order
