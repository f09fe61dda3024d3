"""Functions of the distance as quintic B-splines on equidistant knots.

    s(r) = sum_{m=0}^5 B_m(t) c_{k+m},    t = (r - r_k) / h in [0, 1)

B_m are the six polynomials of the uniform B-spline of degree 5. Splines take the function's values at
the knots, and at both ends its slope and curvature. They are four times continuously differentiable:
force constants see no knots. They err by O(h^6), slopes by O(h^5), as quintic Hermite splines do, whose
tables are three times as large. The spline is the potential: forces are its own derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.interpolate import make_interp_spline

from mlipbench.core.errors import PotentialError
from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.engine.jit import pasted
from mlipbench.engine.lanes import aligned

NEAREST = 0.01  # A, the first knot; nearer still the first interval's polynomial goes on
WATCHED = 0.5  # A, from where on the error is held; no atoms of sound matter are nearer
MOST_INTERVALS = 8192
TERMS = 6  # coefficients that one value needs

RadialFunction = Callable[[torch.Tensor], torch.Tensor]  # distances (n, 1) A -> (n, functions)


class Splines(NamedTuple):
    """Tables of one layer: for each pair of elements that needs it the paths' radial weights."""

    values: Any  # (all,) float64 or float32; of a table [path, coefficient, channel]
    table: IntArray  # (n_elements, n_elements) of the receiving and the sending element
    start: IntArray  # (n_tables,) where it begins in `values`
    intervals: IntArray  # (n_tables,)
    per_A: FloatArray  # (n_tables,) intervals in an A
    n_paths: int
    channels: int


@dataclass(frozen=True, eq=False)
class Table:
    """One spline of many functions."""

    coefficients: FloatArray  # (intervals + 5, functions)
    per_A: float
    error: float
    """Largest error of a slope from WATCHED on."""
    slope: float
    """Root mean square of all slopes there."""


def tabulate(function: RadialFunction, end: float, tolerance: float, relative: bool, name: str) -> Table:
    """A spline from NEAREST to `end` (A) whose slopes err by `tolerance` at most, or that times their root
    mean square.

    Raises PotentialError where MOST_INTERVALS are not enough.
    """
    intervals = 32
    while intervals <= MOST_INTERVALS:
        table = _table(function, end, intervals)
        allowed = tolerance * table.slope if relative else tolerance
        if table.error <= allowed:
            return table
        # The error of slopes goes as h^5.
        intervals = math.ceil(intervals * min(max(1.05 * (table.error / allowed) ** 0.2, 1.1), 4.0))
    raise PotentialError(
        f"{name}: {MOST_INTERVALS} intervals of a spline do not reach an error of {allowed:.1g} in the slope "
        f"(the last try: {table.error:.1g}); ask for a larger tolerance, or use `engine: torch`"
    )


def joined(tables: Sequence[Table], table: IntArray, n_paths: int, channels: int, dtype: str) -> Splines:
    """The tables of a layer one after the other, rounded to `dtype`."""
    sizes = [t.coefficients.size for t in tables]
    start = np.concatenate([[0], np.cumsum(sizes)])
    values = aligned(int(start[-1]), dtype)
    for t, begin, end in zip(tables, start[:-1], start[1:], strict=True):
        by_path = t.coefficients.reshape(-1, n_paths, channels).transpose(1, 0, 2)
        values[begin:end] = by_path.ravel()
    return Splines(
        values=values,
        table=table,
        start=start[:-1],
        intervals=np.array([len(t.coefficients) - TERMS + 1 for t in tables]),
        per_A=np.array([t.per_A for t in tables]),
        n_paths=n_paths,
        channels=channels,
    )


def no_splines() -> Splines:
    """Of a layer that has none."""
    nothing = np.zeros(0, np.int64)
    return Splines(np.zeros(0), np.zeros((0, 0), np.int64), nothing, nothing, np.zeros(0), 0, 0)


def _table(function: RadialFunction, end: float, intervals: int) -> Table:
    h = (end - NEAREST) / intervals
    knots: FloatArray = NEAREST + h * np.arange(-5.0, intervals + 6.0)
    places = knots[5:-5]
    (values,) = _derivatives(function, places, 0)
    _, slopes, curvatures = _derivatives(function, places[[0, -1]], 2)
    ends = tuple([(1, slopes[k]), (2, curvatures[k])] for k in (0, 1))
    spline = make_interp_spline(places, values, k=5, t=knots, bc_type=ends)
    # Between knots the slope errs most about a quarter of the way.
    worst, mean_square = 0.0, 0.0
    for t in (0.25, 0.75):
        between: FloatArray = places[:-1] + t * h
        between = between[between >= WATCHED]
        slopes = _derivatives(function, between, 1)[1]
        worst = max(worst, float(np.abs(spline(between, nu=1) - slopes).max()))
        mean_square += 0.5 * float((slopes**2).mean())
    return Table(np.ascontiguousarray(spline.c), 1.0 / h, worst, math.sqrt(mean_square))


def _derivatives(function: RadialFunction, distances: FloatArray, orders: int) -> list[FloatArray]:
    """Value, slope, curvature: derivatives from order 0 to `orders`, each (n, functions)."""
    with torch.enable_grad():
        r = torch.from_numpy(distances)[:, None].requires_grad_(True)
        found = [function(r)]
        for _ in range(orders):
            # Backward mode gives products u f'; they are linear in u, so that their derivative is f'.
            u = torch.zeros_like(found[-1], requires_grad=True)
            (product,) = torch.autograd.grad(found[-1], r, u, create_graph=True)
            found += torch.autograd.grad(product, u, torch.ones_like(product), create_graph=True)
    return [x.detach().numpy() for x in found]


@pasted
def polynomials(t, per_A, weights, begin):  # type: ignore[no-untyped-def]
    """From `begin` on B_0 ... B_5 at t, then their slopes in r: each degree from the one below."""
    u = 1.0 - t
    a0, a1, a2 = u * u, (1.0 + t) * u + (1.0 + u) * t, t * t
    b0, b1 = u * a0, (2.0 + t) * a0 + (1.0 + u) * a1
    b2, b3 = (1.0 + t) * a1 + (2.0 + u) * a2, t * a2
    c0, c1 = u * b0, (3.0 + t) * b0 + (1.0 + u) * b1
    c2 = (2.0 + t) * b1 + (2.0 + u) * b2
    c3, c4 = (1.0 + t) * b2 + (3.0 + u) * b3, t * b3
    s = 1.0 / 120.0
    weights[begin + 0] = s * (u * c0)
    weights[begin + 1] = s * ((4.0 + t) * c0 + (1.0 + u) * c1)
    weights[begin + 2] = s * ((3.0 + t) * c1 + (2.0 + u) * c2)
    weights[begin + 3] = s * ((2.0 + t) * c2 + (3.0 + u) * c3)
    weights[begin + 4] = s * ((1.0 + t) * c3 + (4.0 + u) * c4)
    weights[begin + 5] = s * (t * c4)
    s = per_A * (1.0 / 24.0)
    weights[begin + 6] = s * -c0
    weights[begin + 7] = s * (c0 - c1)
    weights[begin + 8] = s * (c1 - c2)
    weights[begin + 9] = s * (c2 - c3)
    weights[begin + 10] = s * (c3 - c4)
    weights[begin + 11] = s * c4


@pasted
def locate(splines, receiving, sending, r, weights, begin):  # type: ignore[no-untyped-def]
    """Where the coefficients of the first path for distance r begin, and how far it is to those of the next;
    in `weights`, from `begin` on, those of the coefficients for value and slope."""
    table = splines.table[receiving, sending]
    per_A = splines.per_A[table]
    x = (r - NEAREST) * per_A
    interval = min(max(int(x), 0), splines.intervals[table] - 1)
    polynomials(x - interval, per_A, weights, begin)
    size = (splines.intervals[table] + TERMS - 1) * splines.channels
    return splines.start[table] + interval * splines.channels, size
