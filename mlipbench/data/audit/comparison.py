"""Frames of the same atoms, compared atom by atom: displacement, strain, and the work in between.

For two frames i and j of one potential energy surface the trapezoidal rule gives the energy difference
from forces and stresses alone,

    E_j - E_i = W_F + W_S,
    W_F = -1/2 sum_a (F_ia . df_a h_i + F_ja . df_a h_j),
    W_S =  1/2 (V_i S_i : sym(h_i^-1 dh) + V_j S_j : sym(h_j^-1 dh)),

f: fractional coordinates, h: cell (rows), F: forces, S: stress, V: volume. It is exact where the energy
is quadratic along the way, wrong by the third derivative elsewhere. Frames without periodicity are
rotated onto each other first (W. Kabsch, Acta Cryst. A 32, 922 (1976)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlipbench.core.structure import BoolArray, FloatArray, IntArray, LabelledFrame

SAME_CELL = 0.02  # strain up to which two cells count as the same
STRAIN_LENGTH_A = 3.0  # how many A of displacement a strain of 1 counts for, when the closest are sought


@dataclass(frozen=True)
class Family:
    """Frames with the same elements in the same order and the same periodicity."""

    members: IntArray  # (n,) numbers of the frames in the set
    positions: FloatArray  # (n, n_atoms, 3) A
    cells: FloatArray  # (n, 3, 3) A; unit vectors along directions that are not periodic
    pbc: BoolArray  # (3,)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def n_atoms(self) -> int:
        """Atoms in each frame."""
        return int(self.positions.shape[1])

    def taken(self, chosen: IntArray) -> Family:
        """Some of the frames."""
        return Family(self.members[chosen], self.positions[chosen], self.cells[chosen], self.pbc)


def families(frames: Sequence[LabelledFrame], smallest: int = 2) -> list[Family]:
    """The families of at least `smallest` frames and two atoms, largest first."""
    groups: dict[bytes, list[int]] = {}
    for i, frame in enumerate(frames):
        s = frame.structure
        if len(s) > 1:
            groups.setdefault(s.numbers.tobytes() + s.pbc.tobytes(), []).append(i)
    found = []
    for members in groups.values():
        if len(members) < smallest:
            continue
        structures = [frames[i].structure for i in members]
        pbc = structures[0].pbc
        found.append(
            Family(
                np.array(members, dtype=np.int64),
                np.array([s.positions for s in structures]),
                np.array([_complete(s.cell, pbc) for s in structures]),
                pbc,
            )
        )
    return sorted(found, key=len, reverse=True)


def _complete(cell: FloatArray, pbc: BoolArray) -> FloatArray:
    """The periodic lattice vectors, and orthonormal ones in the other directions."""
    if not pbc.any():
        return np.eye(3)
    whole = np.where(pbc[:, None], cell, 0.0)
    for axis in np.flatnonzero(~pbc):
        others = np.array([row for row in whole if row.any()]).reshape(-1, 3)
        basis = np.linalg.qr(others.T)[0] if len(others) else np.zeros((3, 0))
        rest = np.eye(3) - basis @ basis.T  # projector on what is not spanned yet
        best = rest[:, int(np.linalg.norm(rest, axis=0).argmax())]
        whole[axis] = best / np.linalg.norm(best)
    return np.asarray(whole)


@dataclass(frozen=True)
class Way:
    """From one frame (i) to m others (j)."""

    at_start: FloatArray  # (m, n_atoms, 3) A: displacement in the cell of i
    at_end: FloatArray  # (m, n_atoms, 3) A: displacement in the cell of j
    rotations: FloatArray | None  # (m, 3, 3): vectors v of j are v @ rotation in the frame of i
    strain_start: FloatArray  # (m, 3, 3): sym(h_i^-1 dh)
    strain_end: FloatArray  # (m, 3, 3): sym(h_j^-1 dh)

    @property
    def distance_A(self) -> FloatArray:
        """(m,) root mean square displacement, homogeneous strain and common shift left out."""
        middle = 0.5 * (self.at_start + self.at_end)
        return np.asarray(np.sqrt(np.einsum("mai,mai->m", middle, middle) / middle.shape[1]))

    @property
    def strain(self) -> FloatArray:
        """(m,) Frobenius norm of the strain."""
        return np.asarray(np.linalg.norm(0.5 * (self.strain_start + self.strain_end), axis=(1, 2)))


def way(one: Family, i: int, other: Family, js: IntArray) -> Way:
    """The displacements from frame i of `one` to the frames `js` of `other` (same atoms)."""
    if not one.pbc.any():
        return _turned(one.positions[i], other.positions[js])
    start, ends = one.cells[i], other.cells[js]
    fractional = other.positions[js] @ np.linalg.inv(ends) - one.positions[i] @ np.linalg.inv(start)
    fractional -= fractional[:, :1]  # relative to one atom, so that a drift of all does not wrap
    fractional -= np.where(one.pbc, np.round(fractional), 0.0)
    fractional -= fractional.mean(axis=1, keepdims=True)
    change = ends - start
    return Way(
        fractional @ start,
        fractional @ ends,
        None,
        _symmetric(np.linalg.inv(start) @ change),
        _symmetric(np.linalg.inv(ends) @ change),
    )


def _symmetric(matrices: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (matrices + np.swapaxes(matrices, 1, 2)))


def _turned(fixed: FloatArray, moving: FloatArray) -> Way:
    """Displacements with the m frames `moving` rotated onto `fixed`."""
    a = fixed - fixed.mean(axis=0)
    b = moving - moving.mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(np.swapaxes(b, 1, 2) @ a)
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]  # a rotation, not a reflection
    rotations = u @ vt
    moved = b @ rotations - a
    zero = np.zeros((len(b), 3, 3))
    return Way(moved, moved, rotations, zero, zero)


def distances(one: Family, other: Family) -> FloatArray:
    """(n_one, n_other) A root mean square displacement; infinite between different cells."""
    found = np.empty((len(one), len(other)))
    everyone = np.arange(len(other))
    for i in range(len(one)):
        if one.pbc.any():
            ways = way(one, i, other, everyone)
            found[i] = np.where(ways.strain < SAME_CELL, ways.distance_A, np.inf)
        else:
            found[i] = _turned_distance(one.positions[i], other.positions)
    return found


def _turned_distance(fixed: FloatArray, moving: FloatArray) -> FloatArray:
    """(m,) A: `_turned(...).distance_A` from the singular values alone, by their closed form, to 1e-4 A.

    sum |R b - a|^2 = sum a^2 + sum b^2 - 2 (s_1 + s_2 + sign(det H) s_3), s: singular values of H = b^T a.
    """
    a = fixed - fixed.mean(axis=0)
    b = moving - moving.mean(axis=1, keepdims=True)
    h = np.swapaxes(b, 1, 2) @ a
    squares = np.maximum(_eigenvalues(np.swapaxes(h, 1, 2) @ h), 0.0)
    s = np.sqrt(squares)
    s[:, 2] *= np.sign(np.linalg.det(h))
    rest = (a**2).sum() + np.einsum("mai,mai->m", b, b) - 2 * s.sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(rest, 0.0) / len(fixed)))


def _eigenvalues(m: FloatArray) -> FloatArray:
    """(n, 3) eigenvalues of symmetric matrices (n, 3, 3), largest first, by the trigonometric formula."""
    mean = np.trace(m, axis1=1, axis2=2) / 3
    rest = m - mean[:, None, None] * np.eye(3)
    size = np.sqrt(np.maximum((rest**2).sum(axis=(1, 2)) / 6, 1e-300))
    angle = np.arccos(np.clip(np.linalg.det(rest / size[:, None, None]) / 2, -1.0, 1.0)) / 3
    first, last = (mean + 2 * size * np.cos(angle + k * 2 * np.pi / 3) for k in (0, 1))
    return np.stack([first, 3 * mean - first - last, last], axis=1)


def separations(family: Family) -> FloatArray:
    """(n, n) A between frames of one family: displacement plus strain, infinite on the diagonal."""
    n = len(family)
    found = np.full((n, n), np.inf)
    for i in range(n - 1):
        js = np.arange(i + 1, n)
        if family.pbc.any():
            ways = way(family, i, family, js)
            apart = ways.distance_A + STRAIN_LENGTH_A * ways.strain
        else:
            apart = _turned_distance(family.positions[i], family.positions[js])
        found[i, js] = found[js, i] = apart
    return found


@dataclass(frozen=True)
class Works:
    """Energy differences of p pairs of frames, and the work that should explain them."""

    first: IntArray  # (p,) numbers of frames in the set
    second: IntArray  # (p,)
    energy: FloatArray  # (p,) E_j - E_i, unit of the file
    by_forces: FloatArray  # (p,) W_F
    by_stress: FloatArray  # (p, 6, 6): 1/2 sum V strain_k S_l, k and l in the order xx yy zz yz xz xy
    curvature: FloatArray  # (p,) 1/2 |dF . dr|: the scale of what a quadratic energy changes by
    stiffness: FloatArray  # (p,) -dF.dr / |dr|^2
    distance_A: FloatArray  # (p,)
    strain: FloatArray  # (p,)


_VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])
_TWICE = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])  # off-diagonal components stand in the sum twice


def works(frames: Sequence[LabelledFrame], family: Family, pairs: IntArray) -> Works:
    """Work along the pairs (p, 2) of a family's frames, all of which have energies and forces."""
    rows: list[tuple[FloatArray, ...]] = []
    order = np.argsort(pairs[:, 0], kind="stable")
    pairs = pairs[order]
    for i in np.unique(pairs[:, 0]):
        js = pairs[pairs[:, 0] == i, 1]
        ways = way(family, int(i), family, js)
        rows.append(_work(frames, family, int(i), js, ways))
    columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
    return Works(family.members[pairs[:, 0]], family.members[pairs[:, 1]], *columns)


def _work(
    frames: Sequence[LabelledFrame], family: Family, i: int, js: IntArray, ways: Way
) -> tuple[FloatArray, ...]:
    start, ends = frames[family.members[i]], [frames[k] for k in family.members[js]]
    f_start = np.asarray(start.forces)
    f_ends = np.array([f.forces for f in ends])
    if ways.rotations is not None:
        f_ends = f_ends @ ways.rotations
    energy = np.array([f.energy for f in ends]) - start.energy
    by_start = np.einsum("ai,mai->m", f_start, ways.at_start)
    by_end = np.einsum("mai,mai->m", f_ends, ways.at_end)
    squared = ways.distance_A**2 * family.n_atoms
    return (
        energy,
        -0.5 * (by_start + by_end),
        0.5
        * (
            _power(start, ways.strain_start)
            + np.array([_power(f, s[None])[0] for f, s in zip(ends, ways.strain_end, strict=True)])
        ),
        0.5 * np.abs(by_end - by_start),
        (by_start - by_end) / np.maximum(squared, 1e-300),
        ways.distance_A,
        ways.strain,
    )


def _power(frame: LabelledFrame, strains: FloatArray) -> FloatArray:
    """(m, 6, 6): V strain_k S_l, zero where there is no stress."""
    if frame.stress is None:
        return np.zeros((len(strains), 6, 6))
    strain = strains[:, *_VOIGT] * _TWICE
    return np.asarray(frame.structure.volume * strain[:, :, None] * frame.stress[*_VOIGT][None, None, :])
