"""Elastic constants: from stresses of strained crystals to C_ij, its symmetry, stability and averages.

Strain and stress are symmetric tensors; in Voigt's notation (xx, yy, zz, yz, xz, xy) a strain counts its
shears twice (gamma = 2 epsilon), so that sigma_i = sum_j C_ij eta_j. Around a stress-free crystal all
measures of finite strain agree to first order, and central differences leave errors of second order:

    C_ij(h) = (sigma_i(+h) - sigma_i(-h)) / 2h = C_ij + O(h^2).

C_ij is turned into the axes of the standardised cell of the crystal (a along x, b in the xy plane; Nye,
Physical Properties of Crystals, appendix B) and averaged over the crystal's point group.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlipbench.core.structure import FloatArray, IntArray, Structure

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_MANDEL = np.array([1.0, 1.0, 1.0, np.sqrt(2.0), np.sqrt(2.0), np.sqrt(2.0)])
SAME = 1e-6  # relative to the largest: coefficients below it vanish by symmetry


@dataclass(frozen=True, eq=False)
class Symmetry:
    """The space group of a structure, and its rotations in Cartesian axes."""

    number: int  # of the space group, 1 to 230
    symbol: str
    n_operations: int  # of the cell as it is, translations included
    rotations: FloatArray  # (n, 3, 3) Cartesian, of the point group, as the structure lies
    to_standard: FloatArray  # (3, 3) rotation from the axes of the structure to those of the standard cell


def symmetry(structure: Structure, tolerance_A: float) -> Symmetry:
    """By spglib. A structure that it cannot tell the group of has the group P1."""
    import spglib

    fractional = structure.positions @ np.linalg.inv(structure.cell)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of spglib about how it will report errors
        try:
            cell: Any = (structure.cell, fractional, structure.numbers)
            found = spglib.get_symmetry_dataset(cell, symprec=tolerance_A, angle_tolerance=-1.0)
        except spglib.SpglibError:
            found = None
    if found is None:
        return Symmetry(1, "P1", 1, np.eye(3)[None], np.eye(3))
    columns = structure.cell.T
    distinct: IntArray = np.unique(np.array(found.rotations, dtype=np.int64), axis=0)
    rotations = columns @ distinct @ np.linalg.inv(columns)
    return Symmetry(
        int(found.number),
        str(found.international),
        len(found.rotations),
        np.array([_orthogonal(r) for r in rotations]),
        _orthogonal(np.array(found.std_rotation_matrix, dtype=np.float64)),
    )


def unit_strain(index: int) -> FloatArray:
    """(3, 3) strain of Voigt component `index` equal to 1 (shears: epsilon = 1/2 twice)."""
    strain = np.zeros((3, 3))
    a, b = VOIGT[index]
    strain[a, b] += 0.5
    strain[b, a] += 0.5
    return strain


def invariant_strains(rotations: FloatArray) -> list[FloatArray]:
    """Orthonormal strains (3, 3) that the rotations leave as they are; the isotropic one is first."""
    isotropic = np.eye(3) / np.sqrt(3.0)
    found = [isotropic]
    for index in range(6):
        strain = unit_strain(index)
        mean = np.mean([r @ strain @ r.T for r in rotations], axis=0)
        for other in found:
            mean = mean - (mean * other).sum() * other
        size = float(np.linalg.norm(mean))
        if size > 1e-6:
            found.append(mean / size)
    return found


def strained(structure: Structure, strain: FloatArray) -> Structure:
    """The crystal deformed by 1 + strain (symmetric, no rotation), fractional coordinates kept."""
    deformation = np.eye(3) + strain
    return structure.with_positions(structure.positions @ deformation, structure.cell @ deformation)


def from_stresses(plus: FloatArray, minus: FloatArray, strain: float) -> FloatArray:
    """C (6, 6) as it comes from stresses (6 strains, 6 components) at +-`strain`, in their unit."""
    return np.asarray((plus - minus).T / (2.0 * strain))


def rotated(c: FloatArray, rotation: FloatArray) -> FloatArray:
    """C (6, 6) in axes x' = rotation @ x."""
    return _voigt(np.einsum("ai,bj,ck,dl,ijkl->abcd", *([rotation] * 4), _tensor(c), optimize=True))


@dataclass(frozen=True, eq=False)
class Averaged:
    """C (6, 6) averaged over a point group, and how the equivalent entries scatter."""

    values: FloatArray  # (6, 6)
    scatter: FloatArray  # (6, 6) standard deviation of the equivalent values
    independent: list[tuple[int, int]]  # entries that make all others, C11 first
    equivalent: IntArray  # (6, 6) how many entries were equivalent


def averaged(c: FloatArray, rotations: FloatArray) -> Averaged:
    """The average of C over rotations (n, 3, 3) and over C_ij = C_ji."""
    images = np.array([_voigt(t) for t in _images(_tensor(0.5 * (c + c.T)), rotations)])
    raw = np.array([_voigt(t) for t in _images(_tensor(c), rotations)])
    values = images.mean(axis=0)
    scatter = np.sqrt(np.mean((raw - values) ** 2, axis=0))
    scatter = np.sqrt(0.5 * (scatter**2 + scatter.T**2))
    basis = _invariant_basis(rotations)
    return Averaged(values, scatter, _independent(basis), _counts(basis))


def name(entry: tuple[int, int]) -> str:
    """`C11`, `C12`, ..."""
    return f"C{entry[0] + 1}{entry[1] + 1}"


def stability(c: FloatArray, errors: FloatArray) -> tuple[float, float]:
    """Smallest eigenvalue of C (Born's condition: positive) and its error, in the unit of C.

    In Mandel's notation, whose eigenvalues are those of the tensor and do not depend on the axes.
    """
    weights = _MANDEL[:, None] * _MANDEL[None, :]
    values, vectors = np.linalg.eigh(0.5 * (c + c.T) * weights)
    v = vectors[:, 0]
    return float(values[0]), float(np.sqrt(np.sum((np.outer(v, v) * weights * errors) ** 2)))


@dataclass(frozen=True)
class Moduli:
    """Of a polycrystal, in the unit of C (Hill, Proc. Phys. Soc. A 65, 349 (1952))."""

    bulk_voigt: float
    bulk_reuss: float  # of the single crystal under hydrostatic pressure
    shear_voigt: float
    shear_reuss: float

    @property
    def bulk(self) -> float:
        """Hill's mean."""
        return 0.5 * (self.bulk_voigt + self.bulk_reuss)

    @property
    def shear(self) -> float:
        """Hill's mean."""
        return 0.5 * (self.shear_voigt + self.shear_reuss)

    @property
    def young(self) -> float:
        """9 B G / (3 B + G)."""
        return 9.0 * self.bulk * self.shear / (3.0 * self.bulk + self.shear)

    @property
    def poisson(self) -> float:
        """(3 B - 2 G) / (6 B + 2 G)."""
        return (3.0 * self.bulk - 2.0 * self.shear) / (6.0 * self.bulk + 2.0 * self.shear)

    @property
    def anisotropy(self) -> float:
        """5 G_V/G_R + B_V/B_R - 6, 0 where isotropic (Ranganathan, Ostoja-Starzewski, Phys. Rev. Lett. 101,
        055504 (2008))."""
        return 5.0 * self.shear_voigt / self.shear_reuss + self.bulk_voigt / self.bulk_reuss - 6.0


def moduli(c: FloatArray) -> Moduli:
    """Averages of a C (6, 6) that has an inverse."""
    s = np.linalg.inv(c)
    return Moduli(
        bulk_voigt=float(c[:3, :3].sum() / 9.0),
        bulk_reuss=float(1.0 / s[:3, :3].sum()),
        shear_voigt=float((3 * np.trace(c[:3, :3]) - c[:3, :3].sum()) / 30 + np.trace(c[3:, 3:]) / 5),
        shear_reuss=float(15.0 / (6 * np.trace(s[:3, :3]) - 2 * s[:3, :3].sum() + 3 * np.trace(s[3:, 3:]))),
    )


def _tensor(c: FloatArray) -> FloatArray:
    """(3, 3, 3, 3) of (6, 6)."""
    full = np.empty((3, 3, 3, 3))
    for i, (a, b) in enumerate(VOIGT):
        for j, (k, m) in enumerate(VOIGT):
            full[a, b, k, m] = full[b, a, k, m] = full[a, b, m, k] = full[b, a, m, k] = c[i, j]
    return full


def _voigt(full: FloatArray) -> FloatArray:
    """(6, 6) of (3, 3, 3, 3)."""
    return np.array([[full[a, b, k, m] for k, m in VOIGT] for a, b in VOIGT])


def _images(full: FloatArray, rotations: FloatArray) -> FloatArray:
    """(n, 3, 3, 3, 3): the tensor turned by each rotation."""
    once = np.einsum("nai,nbj,ijkl->nabkl", rotations, rotations, full, optimize=True)
    return np.asarray(np.einsum("nck,ndl,nabkl->nabcd", rotations, rotations, once, optimize=True))


def _invariant_basis(rotations: FloatArray) -> FloatArray:
    """(21, 36): what averaging makes of a C with one pair of entries 1, rows in the order of `_entries`."""
    rows = []
    for i, j in _entries():
        unit = np.zeros((6, 6))
        unit[i, j] = unit[j, i] = 1.0
        rows.append(np.mean([_voigt(t) for t in _images(_tensor(unit), rotations)], axis=0).reshape(-1))
    return np.array(rows)


def _entries() -> list[tuple[int, int]]:
    """Entries in the order in which they are named: C11, C22, C33, C12, C13, C23, C44, C55, C66, the rest."""
    usual = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2), (3, 3), (4, 4), (5, 5)]
    return usual + [(i, j) for i in range(6) for j in range(i, 6) if (i, j) not in usual]


def _independent(basis: FloatArray) -> list[tuple[int, int]]:
    """The first entries whose values are not fixed by those before them."""
    chosen: list[tuple[int, int]] = []
    columns: list[FloatArray] = []
    for i, j in _entries():
        trial = [*columns, basis[:, 6 * i + j]]
        if np.linalg.matrix_rank(np.array(trial), tol=SAME) == len(trial):
            chosen.append((i, j))
            columns = trial
    return chosen


def _counts(basis: FloatArray) -> IntArray:
    """(6, 6): entries (i, j and j, i apart) that symmetry makes equal to this one up to a sign."""
    columns = basis.T  # (36, 21): the value of an entry as a combination of invariants
    counts = np.zeros(36, dtype=np.int64)
    for k, column in enumerate(columns):
        same = np.minimum(np.abs(columns - column).max(axis=1), np.abs(columns + column).max(axis=1)) < SAME
        counts[k] = int(same.sum())
    return counts.reshape(6, 6)


def _orthogonal(matrix: FloatArray) -> FloatArray:
    """The rotation nearest to a matrix that is one but for the distortion within tolerance."""
    u, _, v = np.linalg.svd(matrix)
    return np.asarray(u @ v)
