"""The slope of one noisy series on another where either has noise, and some points are far off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.core.structure import BoolArray, FloatArray, IntArray

FEWEST = 10  # points
CORRELATIONS = (0.99, 0.97, 0.94, 0.9)  # asked for in turn; at 0.9 the two regressions differ by 20 %
_COLLINEAR = 0.95
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


def slope_beside(
    x: FloatArray, other: FloatArray, y: FloatArray, distance: FloatArray, blocks: IntArray
) -> Slope | None:
    """Slope of y on x where y depends on `other` too, y = a x + b other; None without such a plane."""
    order = np.argsort(distance, kind="stable")
    sizes = [len(order)]
    while sizes[-1] / 1.4 >= 2 * FEWEST:
        sizes.append(int(sizes[-1] / 1.4))
    planes = [(n, plane) for n in sizes if (plane := _plane(x[order[:n]], other[order[:n]], y[order[:n]]))]
    for wanted in CORRELATIONS:
        for n, (a, b, r, kept) in planes:
            if r >= wanted:
                used = order[:n][kept]
                rest = y[used] - b * other[used]
                error = max(_jackknife(x[used], rest, blocks[used]), (1 / r - 1) / 2)
                return Slope(a / r, error, r, len(used), float(distance[used].max()))
    return None


def _plane(x: FloatArray, other: FloatArray, y: FloatArray) -> tuple[float, float, float, BoolArray] | None:
    """Both slopes by least absolute deviations, correlation, points on the plane."""
    if len(x) < 2 * FEWEST or not (x.any() and other.any() and y.any()):
        return None
    columns = np.stack([x / np.abs(x).mean(), other / np.abs(other).mean()], axis=1)
    weights = np.ones(len(y))
    for _ in range(30):
        root = np.sqrt(weights)
        fit = np.linalg.lstsq(columns * root[:, None], y * root, rcond=None)[0]
        off = np.abs(y - columns @ fit)
        weights = 1.0 / np.maximum(off, 1e-6 * np.abs(y).mean())
    kept = off <= 5 * np.quantile(off, 0.25) / 0.3186 + 1e-12 * np.abs(y).max()
    own = columns[kept] @ fit
    if kept.sum() < max(2 * FEWEST, _KEPT * len(x)) or not own.any() or not fit.all():
        return None
    if abs(np.corrcoef(columns[kept].T)[0, 1]) > _COLLINEAR:
        return None
    r = float(own @ y[kept] / np.linalg.norm(own) / np.linalg.norm(y[kept]))
    return float(fit[0] / np.abs(x).mean()), float(fit[1] / np.abs(other).mean()), r, kept


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
