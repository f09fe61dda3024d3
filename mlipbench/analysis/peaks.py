"""Peaks of a curve on bins: where they are, how high, and how both depend on each bin.

A cubic polynomial is fitted to the logarithm of the curve about its maximum, down to half of the peak's
prominence, each bin weighted by the counts it stands for (value times squared abscissa): exact for a
Gaussian peak, and for a skewed one to third order. The height is corrected for the width w of the bins:
an average over a bin is lower than the peak by w^2/24 times the curvature. Position and height are linear in
small changes of the bins, and the gradients say how: errors follow from the series of blocks, or from the
errors of the bins.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks

from mlipbench.core.structure import FloatArray

FEWEST_BINS = 5
CUBIC_FROM = 6  # bins
SHARE = 0.5  # of the prominence, down to which the fit goes
LEAST_PROMINENCE = 0.1
LEAST_SIGMAS = 5.0  # standard errors that a peak stands out by


@dataclass(frozen=True)
class Peak:
    """A local maximum."""

    position: float
    height: float
    position_gradient: FloatArray  # (n_bins,) d position / d value of the bin
    height_gradient: FloatArray  # (n_bins,)
    left: float  # the minima to either side of it
    right: float

    def errors(self, stderr: FloatArray) -> tuple[float, float]:
        """Of position and height, from errors of the bins (n_bins,) that are independent."""
        both = (self.position_gradient, self.height_gradient)
        position, height = (float(np.sqrt(((gradient * stderr) ** 2).sum())) for gradient in both)
        return position, height


def find(y: FloatArray, stderr: FloatArray | None = None) -> list[tuple[int, int, int]]:
    """Peaks of y (n,) that stand out by 0.1 and by five standard errors: (left minimum, top, right minimum).

    Bins are smoothed over three first, so that a single one does not make a peak. The curve beyond its ends
    is no lower than there: a rise at the end is no peak.
    """
    if len(y) < FEWEST_BINS:
        return []
    smooth = np.convolve(np.pad(y, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    noise = np.zeros(len(y)) if stderr is None else np.nan_to_num(stderr)
    tops, about = find_peaks(smooth, prominence=LEAST_PROMINENCE)
    kept = [
        int(top)
        for top, prominence in zip(tops, about["prominences"], strict=True)
        if prominence > LEAST_SIGMAS * noise[top]
    ]
    bounds = [0, *(_lowest(y, a, b) for a, b in itertools.pairwise(kept)), len(y) - 1]
    if kept:
        bounds[0], bounds[-1] = _lowest(y, 0, kept[0]), _lowest(y, kept[-1], len(y) - 1)
    return [(bounds[k], top, bounds[k + 1]) for k, top in enumerate(kept)]


def _lowest(y: FloatArray, first: int, last: int) -> int:
    """Index of the minimum between two indices; the middle of the longest stretch where several tie."""
    part = y[first : last + 1]
    low = np.flatnonzero(part <= part.min() + 1e-12)
    stretches = np.split(low, np.flatnonzero(np.diff(low) > 1) + 1)
    longest = max(stretches, key=len)
    return first + int(longest[len(longest) // 2])


def fit(x: FloatArray, y: FloatArray, left: int, right: int) -> Peak | None:
    """The highest point between the indices `left` and `right`, included; None where it lies at an end, or
    fewer than five bins about it have a value above 0.

    x (n,) are the middles of bins, y (n,) averages over them.
    """
    top = left + int(np.argmax(y[left : right + 1]))
    base = max(float(y[left : top + 1].min()), float(y[top : right + 1].min()))
    level = base + SHARE * (y[top] - base)
    first = last = top
    while first > left and y[first - 1] > level:
        first -= 1
    while last < right and y[last + 1] > level:
        last += 1
    first, last = max(min(first, top - 2), left), min(max(last, top + 2), right)
    window = np.arange(first, last + 1)
    window = window[y[window] > 0]
    if top in (left, right) or len(window) < FEWEST_BINS:
        return None
    return _fit_logarithm(x, y, window, top, (float(x[left]), float(x[right])))


def _fit_logarithm(
    x: FloatArray, y: FloatArray, window: np.ndarray, top: int, ends: tuple[float, float]
) -> Peak | None:
    unit = float(x[window[-1]] - x[window[0]]) / 2
    u = (x[window] - x[top]) / unit
    degree = 3 if len(window) >= CUBIC_FROM else 2
    powers = u[:, None] ** np.arange(degree + 1)
    root = np.sqrt(y[window] * x[window] ** 2)
    solve = np.linalg.pinv(powers * root[:, None]) * root  # coefficients from ln y
    c = solve @ np.log(y[window])
    at = _maximum(c)
    if at is None or not u[0] <= at <= u[-1]:
        return None
    p = np.arange(degree + 1)
    height = float(np.exp(c @ at**p))
    slope = p[1:] * at ** (p[1:] - 1)
    bend = float(c[2:] @ (p[2:] * (p[2:] - 1) * at ** (p[2:] - 2)))
    change = solve / y[window]  # d coefficients / d y
    correction = 1.0 - bend / 24.0 * (float(np.median(np.diff(x))) / unit) ** 2
    position_gradient, height_gradient = np.zeros(len(x)), np.zeros(len(x))
    position_gradient[window] = -unit * (slope @ change[1:]) / bend
    height_gradient[window] = correction * height * (at**p @ change)
    return Peak(
        float(x[top] + unit * at),
        correction * height,
        position_gradient,
        height_gradient,
        left=ends[0],
        right=ends[1],
    )


def _maximum(c: FloatArray) -> float | None:
    """Of a quadratic or cubic polynomial; None where it has none."""
    derivative = np.polynomial.Polynomial(c).deriv()
    roots = [float(root.real) for root in derivative.roots() if abs(root.imag) < 1e-12]
    maxima = [root for root in roots if derivative.deriv()(root) < 0]
    return min(maxima, key=abs) if maxima else None
