"""Radial distribution functions, accumulated frame by frame, with errors from blocks of the run.

    g_ab(r) = V / N_pairs  <number of pairs a, b in the shell>  / V_shell,   N_pairs = N_a N_b
    or N_a (N_a - 1) / 2 for like atoms, so that an ideal gas has g = 1 at any number of atoms

Distances come from MDAnalysis (N. Michaud-Agrawal et al., J. Comput. Chem. 32, 2319 (2011)), with the
nearest image of each pair: r reaches to half the smallest height of the cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from mlipbench.analysis import blocks
from mlipbench.core.structure import FloatArray, IntArray

Pair = tuple[int, int]
"""Atomic numbers of a pair, the larger first."""

INSIDE = 1.0 - 1e-6  # of half the height: MDAnalysis keeps boxes in single precision


@dataclass(frozen=True)
class Distribution:
    """g(r) of one pair of elements in bins."""

    edges: FloatArray  # (n_bins + 1,) A
    g: FloatArray  # (n_bins,) average over all frames
    series: FloatArray  # (n_blocks, n_bins) averages over blocks
    density: float  # partners of an atom a per volume, 1/A^3: (N_b - 1 if like else N_b) <1/V>

    @property
    def r(self) -> FloatArray:
        """Middles of the bins, (n_bins,) A."""
        return np.asarray(0.5 * (self.edges[1:] + self.edges[:-1]))

    def neighbours(self, reach: float) -> blocks.Estimate:
        """Coordination number: atoms b within `reach` A (rounded to an edge) of an atom a."""
        last = int(np.argmin(np.abs(self.edges - reach)))
        shells = self.density * shell_volumes(self.edges[: last + 1])
        return blocks.estimate(float(self.g[:last] @ shells), self.series[:, :last] @ shells)


class Histogram:
    """Counts distances of the pairs asked for; memory does not grow with the number of frames."""

    def __init__(self, numbers: IntArray, grids: Mapping[Pair, FloatArray]) -> None:
        """`numbers` (n_atoms,) atomic numbers; pair -> edges (n_bins + 1,) A of its bins, rising.

        Raises ValueError where an element is not among the atoms, or edges do not rise from 0 or more.
        """
        for (a, b), edges in grids.items():
            if np.any(np.diff(edges) <= 0) or len(edges) < 2 or edges[0] < 0:
                raise ValueError(
                    f"edges of {pair_name((a, b))}: expected rising numbers from 0 on, got {edges}"
                )
            if not (np.any(numbers == a) and np.any(numbers == b)):
                raise ValueError(f"{pair_name((a, b))}: expected elements of the structure, one is not there")
        self._grids = {pair: np.asarray(edges, dtype=float) for pair, edges in grids.items()}
        self._cutoff = max(float(edges[-1]) for edges in grids.values())
        counts = {int(z): int(n) for z, n in zip(*np.unique(numbers, return_counts=True), strict=True)}
        self._partners = {(a, b): counts[b] - (a == b) for a, b in grids}
        self._n_pairs = {(a, b): counts[a] * (counts[b] - (a == b)) / (1 + (a == b)) for a, b in grids}
        kinds = sorted(counts)
        self._kind = np.searchsorted(kinds, numbers)
        self._code = {(a, b): kinds.index(a) * len(kinds) + kinds.index(b) for a, b in grids}
        self._n_kinds = len(kinds)
        self._blocks = {pair: blocks.Blocks() for pair in grids}
        self._inverse_volume = 0.0

    def add(self, positions: FloatArray, cells: FloatArray) -> None:
        """Frames: positions (n_frames, n_atoms, 3) A, cells (n_frames, 3, 3) A, periodic in all directions.

        Raises ValueError where the bins reach beyond half the smallest height of a cell.
        """
        for frame, cell in zip(positions, cells, strict=True):
            first, second, distances = self._pairs(frame, cell)
            code = np.where(first > second, first * self._n_kinds + second, second * self._n_kinds + first)
            volume = abs(float(np.linalg.det(cell)))
            self._inverse_volume += 1.0 / volume
            for pair, edges in self._grids.items():
                chosen = distances[code == self._code[pair]] if self._n_kinds > 1 else distances
                ideal = self._n_pairs[pair] / volume * shell_volumes(edges)
                self._blocks[pair].add(_counts(chosen, edges) / np.maximum(ideal, 1e-300))

    def _pairs(self, frame: FloatArray, cell: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
        """Kinds of both atoms and distance, of all pairs nearer than the largest edge."""
        from MDAnalysis.lib import distances, mdamath  # slow to import

        if self._cutoff > half_height(cell):
            raise ValueError(
                f"bins reach {self._cutoff:.4g} A, beyond half the smallest height of the cell "
                f"({half_height(cell):.4g} A): limit them"
            )
        box = mdamath.triclinic_box(*cell)
        fractional = frame @ np.linalg.inv(cell)
        wrapped = (fractional - np.floor(fractional)) @ mdamath.triclinic_vectors(box, dtype=np.float64)
        pairs, found = distances.self_capped_distance(
            wrapped.astype(np.float32), self._cutoff * INSIDE, box=box, return_distances=True
        )
        return self._kind[pairs[:, 0]], self._kind[pairs[:, 1]], found

    def distributions(self) -> dict[Pair, Distribution]:
        """g(r) of every pair. Raises ValueError where no frame was added."""
        found = {}
        for pair, edges in self._grids.items():
            kept = self._blocks[pair]
            density = self._partners[pair] * self._inverse_volume / max(kept.n_rows, 1)
            found[pair] = Distribution(edges, kept.mean(), kept.series(), density)
        return found


def _counts(distances: FloatArray, edges: FloatArray) -> FloatArray:
    """Histogram, also of uneven bins."""
    width = (edges[-1] - edges[0]) / (len(edges) - 1)
    inside = distances[(distances >= edges[0]) & (distances < edges[-1])]
    if np.abs(np.diff(edges) - width).max() < 1e-9 * width:
        bins = np.minimum(((inside - edges[0]) / width).astype(np.int64), len(edges) - 2)
    else:
        bins = np.searchsorted(edges, inside, side="right") - 1
    return np.bincount(bins, minlength=len(edges) - 1).astype(float)


def shell_volumes(edges: FloatArray) -> FloatArray:
    """Volumes between spheres of radii `edges` (n + 1,) A: (n,) A^3."""
    return np.asarray(4.0 / 3.0 * np.pi * np.diff(np.asarray(edges, dtype=float) ** 3))


def half_height(cell: FloatArray) -> float:
    """Half the smallest distance between opposite faces of a cell (3, 3) A."""
    return float(0.5 / np.linalg.norm(np.linalg.inv(cell), axis=0).max())


def even_edges(width: float, reach: float) -> FloatArray:
    """Edges of bins `width` A wide from 0 to at most `reach` A; at least one bin."""
    return np.asarray(width * np.arange(max(int(reach / width * (1 + 1e-12)), 1) + 1))


def edges_about(centres: FloatArray) -> FloatArray:
    """Edges of the bins whose middles are `centres` (n >= 2,) A, rising; the first is not below 0."""
    between = 0.5 * (centres[1:] + centres[:-1])
    first = max(centres[0] - (between[0] - centres[0]), 0.0)
    return np.asarray([first, *between, centres[-1] + (centres[-1] - between[-1])])


@dataclass(frozen=True)
class Difference:
    """Integral of |g - g_ref| over that of g_ref, and what noise alone would give (never zero)."""

    value: float
    stderr: float | None
    n_eff: float
    floor: float | None  # of the finite length and of the reference's own errors; None: too few blocks


def difference(
    found: Distribution, reference: FloatArray, error: FloatArray, rng: np.random.Generator
) -> Difference:
    """Of curves on the bins of `found`; `reference` and its standard errors (n_bins,).

    The error is that of the integral with the signs held; the floor adds in squares half of what two halves
    of the run differ by and the expected size of Gaussian errors of the reference, sqrt(2/pi) sigma.
    """
    weights = np.diff(found.edges) / float(np.diff(found.edges) @ reference)
    signs = np.sign(found.g - reference)
    own = blocks.estimate(0.0, (found.series - found.g) @ (signs * weights))
    theirs = float(np.sqrt(((error * weights) ** 2).sum()))
    total = blocks.joint(
        float(np.abs(found.g - reference) @ weights), [(own.stderr, own.n_eff), (theirs, np.inf)]
    )
    floor = None
    if len(found.series) >= blocks.FEWEST_BLOCKS:
        half = np.mean([np.abs(a - b) @ weights for a, b in blocks.halves(found.series, rng)]) / 2
        floor = float(np.hypot(half, np.sqrt(2 / np.pi) * (error @ weights)))
    return Difference(total.value, total.stderr, total.n_eff, floor)


def pair_name(pair: Pair) -> str:
    """`O-H`."""
    return "-".join(chemical_symbols[z] for z in pair)


def pair_of(name: str) -> Pair:
    """Of `O-H` or `H-O`. Raises ValueError where it is no pair of elements."""
    numbers = [atomic_numbers.get(symbol.strip()) for symbol in name.split("-")]
    if len(numbers) != 2 or None in numbers:
        raise ValueError(f"expected a pair of elements as in O-H, got {name!r}")
    a, b = sorted((int(z) for z in numbers if z is not None), reverse=True)
    return a, b


def all_pairs(numbers: Sequence[int] | IntArray) -> list[Pair]:
    """Every pair of the elements among `numbers`."""
    kinds = sorted({int(z) for z in numbers}, reverse=True)
    return [(a, b) for i, a in enumerate(kinds) for b in kinds[i:]]
