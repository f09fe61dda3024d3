"""Derivatives, rounding noise and discontinuities of a function that is sampled along a line."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np

from mlipbench.core.structure import FloatArray

STEPS = (1.0, -1.0, 0.5, -0.5)
"""Where `derivative` wants the function, in steps."""
DERIVATIVE_NOISE = float(np.sqrt(2 * 16 / 9 + 2 / 36))
"""Standard error of `derivative` times the step, where each value has the standard error 1."""
WINDOW = 5
"""Points on either side of an interval that `breaks` looks at."""
NOISE_ORDER = 6
STANDS_OUT = 3.0
NOISE_MARGIN = 6.0


def derivative(values: FloatArray, step: float) -> FloatArray:
    """Central differences at h and h/2, extrapolated after Richardson: error O(h^4).

    `values` (..., 4) at `STEPS` times `step` from the point; the answer (...) is per unit of the step.
    """
    coarse = (values[..., 0] - values[..., 1]) / (2 * step)
    fine = (values[..., 2] - values[..., 3]) / step
    answer: FloatArray = (4 * fine - coarse) / 3
    return answer


def noise(values: FloatArray) -> FloatArray:
    """Standard deviation of the rounding noise of values (n, ...) on evenly spaced points, n >= 20.

    Differences of order k = 6 are blind to what a polynomial of lower degree follows, and multiply
    independent noise by sqrt((2k)!)/k! (More, Wild, SIAM J. Sci. Comput. 33, 1292 (2011), eq. 2.3); their
    median is used, so that a jump on the way counts for little. Values that mostly repeat are rounded more
    coarsely than they change from point to point: their smallest step q gives q/sqrt(12).
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 20:
        raise ValueError(f"noise: expected 20 values or more along the first axis, got {len(values)}")
    amplified = np.sqrt(factorial(2 * NOISE_ORDER)) / factorial(NOISE_ORDER)
    differences = np.diff(values, NOISE_ORDER, axis=0)
    sigma = 1.4826 * np.median(np.abs(differences), axis=0) / amplified
    steps = np.abs(np.diff(values, axis=0))
    repeats = np.median(steps, axis=0) == 0
    quantum = np.min(np.where(steps > 0, steps, np.inf), axis=0)
    coarse: FloatArray = np.where(repeats & np.isfinite(quantum), quantum / np.sqrt(12), sigma)
    return coarse


@dataclass(frozen=True)
class Break:
    """A place where a function is not continuous, or not as far as told from one that is."""

    position: float  # middle of the interval
    size: float  # behind less before; 0: nothing stands out
    resolution: float  # what would have been seen anywhere on the line


@dataclass(frozen=True)
class Breaks:
    """Jumps of value and slope at each inner interval of a line."""

    position: FloatArray  # (n_intervals,) middles
    jump: FloatArray  # (n_intervals,) of the value
    slope_jump: FloatArray  # (n_intervals,) of the derivative
    jump_bound: FloatArray  # (n_intervals,) what a smooth function may show as a jump there
    slope_bound: FloatArray  # (n_intervals,)
    step: float

    def value(self, sigma: float) -> Break:
        """The largest jump of the value beyond what smoothness and noise `sigma` of values explain, and
        beyond what a kink off the middle of the interval does."""
        kink = 0.5 * self.step * np.abs(self.slope_jump)
        jump = np.sign(self.jump) * np.maximum(np.abs(self.jump) - kink, 0.0)
        return self._largest(jump, self.jump_bound, sigma * _NOISE[0])

    def slope(self, sigma: float) -> Break:
        """The same of the derivative."""
        return self._largest(self.slope_jump, self.slope_bound, sigma * _NOISE[1] / self.step)

    def _largest(self, jump: FloatArray, bound: FloatArray, sigma: float) -> Break:
        allowed = STANDS_OUT * bound + NOISE_MARGIN * sigma
        size = np.where(np.abs(jump) > allowed, jump, 0.0)
        index = int(np.argmax(np.abs(size)))
        return Break(float(self.position[index]), float(size[index]), float(np.median(allowed)))


def breaks(x: FloatArray, values: FloatArray) -> Breaks:
    """Compare cubics through five points on either side of each interval, in its middle.

    A jump of value or slope within an interval is the difference of the two cubics there. The fourth
    differences of both sides say how far a smooth function is from its cubics, and are large where a
    window straddles a jump, so that only the interval that holds it counts. `x` (n,) evenly spaced,
    n >= 10.
    """
    x, values = np.asarray(x, dtype=float), np.asarray(values, dtype=float)
    n, step = len(x), float(x[1] - x[0])
    if n < 2 * WINDOW or not np.allclose(np.diff(x), step, rtol=1e-6, atol=0):
        raise ValueError(f"breaks: expected {2 * WINDOW} evenly spaced points or more, got {n}")
    before = np.lib.stride_tricks.sliding_window_view(values, WINDOW)
    left, right = before[: n - 2 * WINDOW + 1], before[WINDOW:]
    middles = (x[WINDOW - 1 : n - WINDOW] + x[WINDOW : n - WINDOW + 1]) / 2
    bends = np.abs(left @ _FOURTH) + np.abs(right @ _FOURTH)
    return Breaks(
        position=middles,
        jump=right @ _RIGHT[0] - left @ _LEFT[0],
        slope_jump=(right @ _RIGHT[1] - left @ _LEFT[1]) / step,
        jump_bound=_QUARTIC[0] * bends,
        slope_bound=_QUARTIC[1] * bends / step,
        step=step,
    )


def _weights(offsets: FloatArray) -> FloatArray:
    """Rows (2, 5): value and slope at 0 of the cubic fitted to five points."""
    return np.asarray(np.linalg.pinv(np.vander(offsets, 4, increasing=True))[:2], dtype=np.float64)


_OFFSETS: FloatArray = np.arange(0.5, WINDOW, dtype=np.float64)
_RIGHT, _LEFT = _weights(_OFFSETS), _weights(-_OFFSETS[::-1])
_FOURTH = np.array([1.0, -4.0, 6.0, -4.0, 1.0])
_QUARTIC = np.abs(_RIGHT @ _OFFSETS**4) / 24.0  # error for x^4, whose fourth difference is 24
_NOISE = np.sqrt(2 * (_RIGHT**2).sum(axis=1))


def asymmetry(hessian: FloatArray) -> float:
    """|H - H^T| / |H + H^T| in the Frobenius norm: 0 for the second derivatives of an energy
    (Bigi, Langer, Ceriotti, arXiv:2412.11569)."""
    whole = float(np.linalg.norm(hessian + hessian.T))
    return float(np.linalg.norm(hessian - hessian.T)) / whole if whole > 0 else 0.0


def loop_work(forces: FloatArray, positions: FloatArray) -> float:
    """Work (eV) of forces (n, 3) eV/A on a point led around a circle through positions (n, 3) A.

    The points are evenly spaced, so that the trapezoidal rule converges exponentially.
    """
    centred = positions - positions.mean(axis=0)
    normal = np.cross(centred[0], centred[1])
    normal /= np.linalg.norm(normal)
    tangents = np.cross(normal, centred)  # length: the radius
    return float((forces * tangents).sum()) * 2 * np.pi / len(positions)
