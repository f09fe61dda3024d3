"""What atoms do: contacts, bonds, coordination, Lindemann ratio, displacements.

Every function takes positions (n_atoms, 3) A, a cell (3, 3) A and pbc (3,), or frames of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from mlipbench.core.structure import BoolArray, FloatArray, IntArray

# Covalent radii in A, B. Cordero et al., Dalton Trans. 2008, 2832; index = atomic number.
COVALENT_RADII = np.fromstring(
    """
    0.20 0.31 0.28 1.28 0.96 0.84 0.76 0.71 0.66 0.57 0.58 1.66 1.41 1.21 1.11 1.07 1.05
    1.02 1.06 2.03 1.76 1.70 1.60 1.53 1.39 1.39 1.32 1.26 1.24 1.32 1.22 1.22 1.20 1.19
    1.20 1.20 1.16 2.20 1.95 1.90 1.75 1.64 1.54 1.47 1.46 1.42 1.39 1.45 1.44 1.42 1.39
    1.39 1.38 1.39 1.40 2.44 2.15 2.07 2.04 2.03 2.01 1.99 1.98 1.98 1.96 1.94 1.92 1.92
    1.89 1.90 1.87 1.87 1.75 1.70 1.62 1.51 1.44 1.41 1.36 1.36 1.32 1.45 1.46 1.48 1.40
    1.50 1.50 2.60 2.21 2.15 2.06 2.00 1.96 1.90 1.87 1.80 1.69
    """,
    sep=" ",
)
BOND_FORMED = 1.25  # x sum of covalent radii
BOND_BROKEN = 1.6  # a bond vibrates, so breaking needs more than forming


@dataclass(frozen=True)
class Pairs:
    """Pairs within a cutoff, each once; images of one pair are pairs of their own."""

    first: IntArray  # (n_pairs,)
    second: IntArray  # (n_pairs,)
    vectors: FloatArray  # (n_pairs, 3) A, from first to second
    distances: FloatArray  # (n_pairs,) A
    shifts: IntArray  # (n_pairs, 3) lattice translations of `second` relative to `first`, as given


def pairs(positions: FloatArray, cell: FloatArray, pbc: BoolArray, cutoff: float) -> Pairs:
    """All pairs closer than `cutoff` A, images included."""
    wrapped, offsets = _wrap(positions, cell, pbc)
    images, owners, shifts = _images(wrapped, cell, pbc, cutoff)
    near = cKDTree(wrapped).sparse_distance_matrix(cKDTree(images), cutoff, output_type="coo_matrix")
    i, image = near.row.astype(np.int64), near.col.astype(np.int64)
    j, s = owners[image], shifts[image] - offsets[owners[image]] + offsets[i]
    # keep one of the two directions: by index, and for an atom with its own image by the shift
    zero = (shifts[image] == 0).all(axis=1)
    key = np.where(shifts[image] == 0, 0, np.sign(shifts[image])) @ np.array([9, 3, 1])
    keep = np.where(i == j, ~zero & (key > 0), i < j)
    i, j, s, image = i[keep], j[keep], s[keep], image[keep]
    vectors = images[image] - wrapped[i]
    return Pairs(i, j, vectors, np.linalg.norm(vectors, axis=1), s)


def _wrap(positions: FloatArray, cell: FloatArray, pbc: BoolArray) -> tuple[FloatArray, IntArray]:
    """Positions inside the cell, and the lattice translations (n, 3) taken off."""
    if not pbc.any():
        return positions, np.zeros((len(positions), 3), dtype=np.int64)
    whole = _complete(cell)
    fractional = np.floor(positions @ np.linalg.inv(whole))
    offsets = np.where(pbc, fractional, 0.0).astype(np.int64)
    return positions - offsets @ whole, offsets


def _complete(cell: FloatArray) -> FloatArray:
    """The cell with unit vectors in place of missing lattice vectors, spanning space."""
    whole = np.array(cell, dtype=float)
    for axis in range(3):
        if not whole[axis].any():
            others = [whole[k] for k in range(3) if k != axis and whole[k].any()]
            basis = np.linalg.svd(np.array(others) if others else np.zeros((1, 3)))[2]
            whole[axis] = basis[-1]
    return whole


def _images(
    wrapped: FloatArray, cell: FloatArray, pbc: BoolArray, cutoff: float
) -> tuple[FloatArray, IntArray, IntArray]:
    """Atoms and those of their images that lie within `cutoff` of the cell."""
    whole = _complete(cell)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(whole), axis=0)
    reach = np.where(pbc, np.ceil(cutoff / heights), 0).astype(int)
    grids = np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij")
    translations = np.stack([g.ravel() for g in grids], axis=1)
    n = len(wrapped)
    shifts = np.repeat(translations, n, axis=0)
    owners = np.tile(np.arange(n), len(translations))
    points = wrapped[owners] + shifts @ whole
    fractional = points @ np.linalg.inv(whole)
    margin = cutoff / heights
    inside = ((fractional >= -margin - 1e-9) & (fractional <= 1 + margin + 1e-9)) | ~np.asarray(pbc)
    keep = inside.all(axis=1)
    return points[keep], owners[keep], shifts[keep].astype(np.int64)


def closest_contact(positions: FloatArray, cell: FloatArray, pbc: BoolArray) -> tuple[float, int, int]:
    """Shortest distance in A and the two atoms; infinite where there is only one atom."""
    cutoff, volume = 1.0, abs(float(np.linalg.det(cell)))
    limit = 2.0 * max(float(np.ptp(positions, axis=0).max()), volume ** (1 / 3), 1.0) * 2.0
    while cutoff <= limit:
        found = pairs(positions, cell, pbc, cutoff)
        if len(found.distances):
            k = int(found.distances.argmin())
            return float(found.distances[k]), int(found.first[k]), int(found.second[k])
        cutoff *= 2.0
    return float("inf"), 0, 0


def bonds(numbers: IntArray, positions: FloatArray, cell: FloatArray, pbc: BoolArray) -> Pairs:
    """Pairs closer than 1.25 times the sum of their covalent radii."""
    radii = COVALENT_RADII[np.minimum(numbers, len(COVALENT_RADII) - 1)]
    near = pairs(positions, cell, pbc, float(2 * BOND_FORMED * radii.max()))
    keep = near.distances < BOND_FORMED * (radii[near.first] + radii[near.second])
    return Pairs(*(getattr(near, f)[keep] for f in ("first", "second", "vectors", "distances", "shifts")))


def molecules(n_atoms: int, graph: Pairs) -> IntArray | None:
    """Molecule of each atom (n_atoms,), or None where the bonds form no finite molecules.

    None: no bonds at all, or a network that meets its own periodic image (a covalent, ionic or
    metallic solid).
    """
    if not len(graph.first):
        return None
    weights = np.ones(len(graph.first))
    matrix = csr_matrix((weights, (graph.first, graph.second)), shape=(n_atoms, n_atoms))
    _, labels = connected_components(matrix, directed=False)
    return None if _percolates(n_atoms, graph) else labels.astype(np.int64)


def _percolates(n_atoms: int, graph: Pairs) -> bool:
    """Whether walking along bonds can lead from an atom to another image of itself."""
    links: list[list[tuple[int, tuple[int, int, int]]]] = [[] for _ in range(n_atoms)]
    for i, j, s in zip(graph.first, graph.second, graph.shifts, strict=True):
        shift = (int(s[0]), int(s[1]), int(s[2]))
        links[i].append((int(j), shift))
        links[j].append((int(i), (-shift[0], -shift[1], -shift[2])))
    image: list[tuple[int, int, int] | None] = [None] * n_atoms
    for start in range(n_atoms):
        if image[start] is not None:
            continue
        image[start] = (0, 0, 0)
        stack = [start]
        while stack:
            atom = stack.pop()
            here = image[atom] or (0, 0, 0)
            for other, s in links[atom]:
                there = (here[0] + s[0], here[1] + s[1], here[2] + s[2])
                known = image[other]
                if known is None:
                    image[other] = there
                    stack.append(other)
                elif known != there:
                    return True
    return False


@dataclass(frozen=True)
class BondChanges:
    """Bonds of a frame against those of the start."""

    broken: int
    formed: int
    exchanged: int  # atoms that lost one partner and found another (also counted in the two above)


def bond_changes(
    numbers: IntArray, start: Pairs, positions: FloatArray, cell: FloatArray, pbc: BoolArray
) -> BondChanges:
    """Bonds broken (beyond 1.6 covalent sums), formed (within 1.25) and exchanged."""
    radii = COVALENT_RADII[np.minimum(numbers, len(COVALENT_RADII) - 1)]
    reach = pairs(positions, cell, pbc, float(2 * BOND_BROKEN * radii.max()))
    sums = radii[reach.first] + radii[reach.second]
    together = {_pair(i, j) for i, j in _select(reach, reach.distances < BOND_BROKEN * sums)}
    bonded = {_pair(i, j) for i, j in _select(reach, reach.distances < BOND_FORMED * sums)}
    before = {_pair(i, j) for i, j in _select(start, np.ones(len(start.first), dtype=bool))}
    broken, formed = before - together, bonded - before
    lost = {atom for pair in broken for atom in pair}
    found = {atom for pair in formed for atom in pair}
    return BondChanges(len(broken), len(formed), len(lost & found))


def _select(p: Pairs, mask: BoolArray) -> list[tuple[int, int]]:
    return list(zip(p.first[mask].tolist(), p.second[mask].tolist(), strict=True))


def _pair(i: int, j: int) -> tuple[int, int]:
    return (i, j) if i < j else (j, i)


def coordination(positions: FloatArray, cell: FloatArray, pbc: BoolArray, cutoff: float) -> IntArray:
    """Neighbours of each atom within `cutoff` A, (n_atoms,)."""
    near = pairs(positions, cell, pbc, cutoff)
    n = len(positions)
    return np.bincount(near.first, minlength=n) + np.bincount(near.second, minlength=n)


def neighbour_distance(positions: FloatArray, cell: FloatArray, pbc: BoolArray) -> float:
    """Mean distance to the nearest neighbour in A."""
    shortest = closest_contact(positions, cell, pbc)[0]
    if not np.isfinite(shortest):
        return shortest
    nearest = np.full(len(positions), np.inf)
    cutoff = 1.5 * shortest
    while not np.isfinite(nearest).all():
        near = pairs(positions, cell, pbc, cutoff)
        np.minimum.at(nearest, near.first, near.distances)
        np.minimum.at(nearest, near.second, near.distances)
        cutoff *= 1.5
    return float(nearest.mean())


def mean_squared_displacement(positions: FloatArray, masses: FloatArray) -> FloatArray:
    """<|r(t) - r(0)|^2> over atoms, centre of mass removed; positions (n_frames, n_atoms, 3) unwrapped.

    Returns (n_frames,) A^2.
    """
    moved = _without_drift(positions, masses)
    return np.asarray(((moved - moved[0]) ** 2).sum(axis=2).mean(axis=1))


def lindemann_ratio(positions: FloatArray, masses: FloatArray, distance: float) -> float:
    """Root mean square displacement about the mean position over the neighbour distance.

    A crystal melts near 0.10-0.15 (F. A. Lindemann, Phys. Z. 11, 609 (1910); J. J. Gilvarry, Phys.
    Rev. 102, 308 (1956)); in a liquid the ratio grows without bound with the length of the run.
    """
    moved = _without_drift(positions, masses)
    variance = ((moved - moved.mean(axis=0)) ** 2).sum(axis=2).mean()
    return float(np.sqrt(variance) / distance)


def _without_drift(positions: FloatArray, masses: FloatArray) -> FloatArray:
    centre = np.einsum("i,fij->fj", masses / masses.sum(), positions)
    return np.asarray(positions - centre[:, None, :])


def neighbours_kept(positions: FloatArray, cells: FloatArray, pbc: BoolArray, distance: float) -> FloatArray:
    """Share of the first frame's neighbours (within 1.3 distances) still within 1.6, (n_frames,).

    Near 1 for a solid however hot; falls towards the chance value in a liquid.
    """
    start = pairs(positions[0], cells[0], pbc, 1.3 * distance)
    if not len(start.first):
        return np.ones(len(positions))
    kept = []
    for frame, cell in zip(positions, cells, strict=True):
        vectors = frame[start.second] + start.shifts @ cell - frame[start.first]
        kept.append(float(np.mean(np.linalg.norm(vectors, axis=1) < 1.6 * distance)))
    return np.array(kept)


def phase(lindemann: float, msd: FloatArray, distance: float, kept: FloatArray) -> str:
    """What became of an ordered start: "solid", "molten or diffusing", "rearranged".

    Molten or diffusing: displacements pass half a neighbour distance and still grow in the second half.
    Rearranged: neighbours were lost, displacements stopped growing (another crystal, a defect).
    """
    half, three_quarters = len(msd) // 2, (3 * len(msd)) // 4
    early, late = float(np.mean(msd[half : three_quarters + 1])), float(np.mean(msd[three_quarters:]))
    if late > (0.5 * distance) ** 2 and late > 1.15 * early:
        return "molten or diffusing"
    tail = float(np.mean(kept[-max(len(kept) // 4, 1) :]))
    if tail < 0.8 or lindemann > 0.25:
        return "rearranged"
    return "solid"
