"""The slope of one noisy series on another where either has noise, and some points are far off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.core.structure import BoolArray, FloatArray, IntArray

FEWEST = 10  # points
CORRELATIONS = (0.99, 0.97, 0.94, 0.9)  # asked for in turn; at 0.9 the two regressions differ by 20 %
_KEPT = 0.8  # the share of points that must lie on the line


@dataclass(frozen=True)
class Slope:
    """y = value * x."""

    value: float
    relative_error: float
    correlation: float
    n_points: int
    reach: float  # the largest distance among the points used


def slope(x: FloatArray, y: FloatArray, distance: FloatArray, blocks: IntArray) -> Slope | None:
    """Slope through the origin of the largest set of closest points that lie on a line; None without one.

    x and y are scaled to equal noise. The geometric mean of both regressions is taken: the noise of x
    (the trapezoid's) would flatten a regression of y on x. The error is the larger of a jackknife over
    ten groups of `blocks` and of half the gap between the two regressions.
    """
    order = np.argsort(distance, kind="stable")
    sizes = [len(order)]
    while sizes[-1] / 1.4 >= FEWEST:
        sizes.append(int(sizes[-1] / 1.4))
    lines = [(n, line) for n in sizes if (line := _line(x[order[:n]], y[order[:n]])) is not None]
    for wanted in CORRELATIONS:
        for n, (value, r, kept) in lines:
            if abs(r) >= wanted:
                used = order[:n][kept]
                error = max(_jackknife(x[used], y[used], blocks[used]), (1 / abs(r) - 1) / 2)
                return Slope(value, error, r, len(used), float(distance[used].max()))
    return None


def _line(x: FloatArray, y: FloatArray) -> tuple[float, float, BoolArray] | None:
    """Slope, correlation, points on the line."""
    if len(x) < FEWEST or not (np.any(x) and np.any(y)):
        return None
    first = weighted_median(y[x != 0] / x[x != 0], np.abs(x[x != 0]))
    off = np.abs(y - first * x)
    # the lower quartile stands a quarter of bad points and more, unlike the median
    kept = off <= 5 * np.quantile(off, 0.25) / 0.3186 + 1e-12 * np.abs(y).max()
    if kept.sum() < max(FEWEST, _KEPT * len(x)):
        return None
    xx, yy, xy = (x[kept] ** 2).sum(), (y[kept] ** 2).sum(), (x[kept] * y[kept]).sum()
    if xx == 0 or yy == 0:
        return None
    r = float(xy / np.sqrt(xx * yy))
    return float(np.sign(r) * np.sqrt(yy / xx)), r, kept


def _jackknife(x: FloatArray, y: FloatArray, blocks: IntArray) -> float:
    """Relative error of sqrt(sum y^2 / sum x^2)."""
    group = np.unique(blocks, return_inverse=True)[1] % 10
    values = []
    for g in range(10):
        rest = group != g
        if (x[rest] ** 2).sum() > 0 and (~rest).any():
            values.append(np.sqrt((y[rest] ** 2).sum() / (x[rest] ** 2).sum()))
    if len(values) < 2:
        return 1.0
    n = len(values)
    return float(np.sqrt((n - 1) * np.var(values)) / np.mean(values))


def weighted_median(values: FloatArray, weights: FloatArray) -> float:
    """The value with half of the weight on either side."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])
