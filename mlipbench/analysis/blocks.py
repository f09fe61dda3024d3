"""Long runs in bounded memory: averages over blocks, and segments of equal length.

What is linear in the frames (a histogram, a sum) is kept as averages over at most so many blocks of equal
length: when there are more, neighbours are joined. What needs times between frames (a correlation function)
is computed within segments, and averaged over them. Errors come from the series of blocks or segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mlipbench.analysis import noise
from mlipbench.core.structure import FloatArray

MOST_BLOCKS = 512
FEWEST_BLOCKS = 4
FLOOR_SPLITS = 40
FLOOR_BLOCKS = 20


class Blocks:
    """Averages of rows (k,) over blocks of equal length, between `most` / 2 and `most` of them."""

    def __init__(self, most: int = MOST_BLOCKS) -> None:
        self._most = most
        self._length = 1  # rows to a block
        self._done: list[FloatArray] = []  # sums over full blocks
        self._open: FloatArray | None = None
        self._n_open = 0
        self.n_rows = 0

    def add(self, row: FloatArray) -> None:
        """One more row."""
        self.n_rows += 1
        self._open = np.array(row, dtype=float) if self._open is None else self._open + row
        self._n_open += 1
        if self._n_open == self._length:
            self._done.append(self._open)
            self._open, self._n_open = None, 0
        if len(self._done) == self._most:
            self._done = [a + b for a, b in zip(self._done[::2], self._done[1::2], strict=True)]
            self._length *= 2

    def mean(self) -> FloatArray:
        """Average over all rows, (k,). Raises ValueError where there is none."""
        if not self.n_rows:
            raise ValueError("no rows to average: expected at least one frame")
        parts = [*self._done, *([] if self._open is None else [self._open])]
        return np.asarray(np.sum(parts, axis=0) / self.n_rows)

    def series(self) -> FloatArray:
        """Averages over the full blocks, (n_blocks, k)."""
        return np.array(self._done) / self._length


class Segments:
    """Cuts rows that come in pieces into segments of `length` rows; what is left at the end is dropped."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._parts: list[FloatArray] = []
        self._waiting = 0

    def add(self, rows: FloatArray) -> Iterator[FloatArray]:
        """Rows (n, ...) in; full segments (length, ...) out."""
        while len(rows):
            part = rows[: self.length - self._waiting]
            rows = rows[len(part) :]
            self._parts.append(part)
            self._waiting += len(part)
            if self._waiting == self.length:
                segment = np.concatenate(self._parts)
                self._parts, self._waiting = [], 0
                yield segment


@dataclass(frozen=True)
class Estimate:
    """A number with its error: value +- t_{n_eff - 1} stderr."""

    value: float
    stderr: float | None  # one standard error; None: too few blocks
    n_eff: float


def estimate(value: float, series: FloatArray) -> Estimate:
    """`value`, whose contributions over blocks are `series` (n_blocks,): its error is that of their mean."""
    if len(series) < FEWEST_BLOCKS or not np.isfinite(series).all():
        return Estimate(value, None, 0.0)
    mean = noise.level(series)
    return Estimate(value, mean.stderr, mean.n_eff)


def joint(value: float, parts: Sequence[tuple[float | None, float]]) -> Estimate:
    """`value` with independent errors added in squares; `parts` are (stderr, n_eff), n_eff infinite where
    the error is known. Degrees of freedom after B. L. Welch, Biometrika 34, 28 (1947)."""
    if any(stderr is None for stderr, _ in parts):
        return Estimate(value, None, 0.0)
    squares = np.array([(stderr or 0.0) ** 2 for stderr, _ in parts])
    dof = np.array([n_eff - 1.0 for _, n_eff in parts])
    total = float(squares.sum())
    if not total:
        return Estimate(value, 0.0, float(dof.min()) + 1.0)
    inverse = float((squares**2 / dof).sum()) / total**2
    return Estimate(value, float(np.sqrt(total)), 1.0 / inverse + 1.0 if inverse else 1e6)


def column_errors(series: FloatArray) -> FloatArray:
    """Standard error of the mean of each column of `series` (n_blocks, k), (k,); NaN: too few blocks."""
    if len(series) < FEWEST_BLOCKS:
        return np.full(series.shape[1] if series.ndim == 2 else 0, np.nan)
    return np.array([noise.level(column).stderr for column in series.T])


def halves(series: FloatArray, rng: np.random.Generator) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Averages of half of a run and of the other half, (k,) each, over random choices of the half.

    The difference of the two has twice the error of the average over all. Blocks (n_blocks, k) are joined
    to at most `FLOOR_BLOCKS` first, which are long against the memory.
    """
    length = -(-len(series) // FLOOR_BLOCKS)
    n = len(series) // length
    series = series[: n * length].reshape(n, length, -1).mean(axis=1)
    n = n // 2 * 2
    for _ in range(FLOOR_SPLITS):
        order = rng.permutation(n)
        yield series[order[: n // 2]].mean(axis=0), series[order[n // 2 :]].mean(axis=0)
