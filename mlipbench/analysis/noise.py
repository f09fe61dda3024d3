"""Level and slope of a series whose noise has an unknown memory.

The noise may be anything between two extremes: it forgets within a small part of the series (a bounded
oscillation, a short correlation), or it remembers over the whole of it (a random walk of rounding errors;
of a mean, a memory of a fifth of the series). Assuming the first for the second claims a precision that is
not there; assuming the second for the first gives error bars too wide to decide anything. The data weigh
the two: averages over about B = 20 overlapping triangular windows (they leave little of a fast oscillation)

    y_k = a + b t_k + u_k,   k = 1 .. B,   u ~ N(0, s^2 V_m),   m = fast, slow

V_fast is white noise, V_slow a random walk (slope) or exp(-|lag| / tau), tau = n / 5 (level; b = 0). Each m
has the restricted likelihood (D. A. Harville, J. Am. Stat. Assoc. 72, 320 (1977)), s^2 integrated out,

    log L_m = -1/2 log|V_m| - 1/2 log|X' V_m^-1 X| - (B-p)/2 log RSS_m,   p = 1, 2 parameters

and generalised least squares gives a t distribution of the parameter with B - p degrees of freedom. The
error is that of the mixture weighted with prior times likelihood; forecasts from few low-frequency averages
over noise of order 0 and 1 are made in the same way by U. K. Mueller and M. W. Watson, Rev. Econ. Stud. 83,
1711 (2016). Four constants (B, the prior, the width of the slow part, the level of the mixture) are
calibrated so that intervals cover what they claim; docs/statistics.md has the figures, measured on other
series than those of the calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from mlipbench.core.structure import FloatArray

BLOCKS = 20
CELLS_TO_A_BLOCK = 16  # at most: what fits into a block is averaged over cells of equal length
PRIOR_SLOW = 0.6
SLOW_WIDTH = 1.2  # factor on the error of the slow model: a short walk passes for fast noise at times
OUTSIDE = 1.25  # share outside the mixture's interval over the share outside the interval as it is claimed
MEMORY = 0.2  # of the slow noise of a mean, in lengths of the series
_DOF = np.concatenate([np.linspace(1, 10, 181), np.linspace(10.25, 60, 200)])
_TAIL = stdtrit(_DOF, 0.975) / stdtrit(_DOF, 0.95)  # falls with the degrees of freedom


@dataclass(frozen=True)
class Estimate:
    """A parameter of a series: value +- t_{n_eff - 1} stderr is its interval, one- or two-sided."""

    value: float
    stderr: float
    n_eff: float  # degrees of freedom of the error, plus one
    slow: float  # weight (0 to 1) of the model with the long memory


def level(values: FloatArray) -> Estimate:
    """Mean of a stationary series (n >= 4,)."""
    return _estimate(np.asarray(values, dtype=float), 0)


def slope(values: FloatArray) -> Estimate:
    """Slope of a series (n >= 6,) per sample."""
    return _estimate(np.asarray(values, dtype=float), 1)


def require_finite(values: FloatArray, what: str) -> FloatArray:
    """`values` as float64 (n,), n >= 1; raises ValueError where a sample is missing or not a number."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"{what}: expected a series (n,) of at least one sample, got shape {values.shape}")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(
            f"{what}: {len(bad)} of {len(values)} samples are not finite, the first is {values[bad[0]]} at "
            f"index {bad[0]}; leave them out before averaging"
        )
    return values


def _estimate(values: FloatArray, degree: int) -> Estimate:
    """Parameter of the given degree: 0 the mean, 1 the slope."""
    plain = float(values.mean())
    rest = values - plain
    if degree == 1:  # of the residuals, so that cells of unequal length do no harm
        k = np.arange(len(values)) - (len(values) - 1) / 2
        plain = float(k @ rest / (k @ k))
        rest = rest - plain * k
    cells = _cells(rest)
    fine = max(round(len(cells) / (BLOCKS + 1)), 1)
    n_blocks = len(cells) // fine - 1
    y = _hats(n_blocks, fine) @ cells[len(cells) - (n_blocks + 1) * fine :]
    scale = float(np.abs(y).max())
    if scale <= 1e-14 * float(np.abs(values).max()):
        return Estimate(plain, 0.0, float(n_blocks - degree), 0.0)
    dof = n_blocks - 1 - degree
    weight, b, s = _posterior(y / scale, _models(n_blocks, fine, degree), dof)
    # the arithmetic mean is nearly the best one whatever the noise; the best slope depends on it
    value = float(weight @ b) if degree else 0.0
    two_sided, one_sided = (_half_width(weight, b - value, s, dof, OUTSIDE * share) for share in (0.05, 0.1))
    honest = float(np.clip(np.interp(-two_sided / one_sided, -_TAIL, _DOF), 1.0, dof))
    stderr = max(two_sided / stdtrit(honest, 0.975), one_sided / stdtrit(honest, 0.95))
    unit = scale / (fine * len(values) / len(cells)) ** degree  # samples to a block
    return Estimate(plain + value * unit, float(stderr * unit), honest + 1, float(weight[1]))


def _cells(values: FloatArray) -> FloatArray:
    """Averages over as many cells of (nearly) equal length as all blocks together have."""
    n, most = len(values), (BLOCKS + 1) * CELLS_TO_A_BLOCK
    if n <= most:
        return values
    edges = np.arange(most + 1) * n // most
    return np.asarray(np.add.reduceat(values, edges[:-1]) / np.diff(edges))


@lru_cache(maxsize=64)
def _hats(n_blocks: int, fine: int) -> FloatArray:
    """Averages with overlapping triangular weights, (n_blocks, (n_blocks + 1) * fine).

    A triangle leaves of an oscillation of period P a part (P/L)^2, a box P/L with an alias that
    looks like slow noise.
    """
    triangle = 1 - np.abs(np.arange(2 * fine) + 0.5 - fine) / fine
    triangle /= triangle.sum()
    hats = np.zeros((n_blocks, (n_blocks + 1) * fine))
    for k in range(n_blocks):
        hats[k, k * fine : (k + 2) * fine] = triangle
    return hats


@dataclass(frozen=True)
class _Noise:
    """A noise model, prepared for B blocks."""

    residual: FloatArray  # (B, B): RSS = y . residual y
    gain: FloatArray  # (B,): the parameter by generalised least squares = gain . y
    variance: float  # of the parameter, for s^2 = 1
    log_weight: float  # log prior less half the log determinants


@lru_cache(maxsize=128)
def _models(n_blocks: int, fine: int, degree: int) -> tuple[_Noise, _Noise]:
    """Fast and slow noise for hat averages over `fine` cells to either side."""
    hats = _hats(n_blocks, fine)
    cells = np.arange(hats.shape[1])
    if degree == 0:
        kernel = np.exp(-np.abs(np.subtract.outer(cells, cells)) / (MEMORY * len(cells)))
    else:
        kernel = np.minimum.outer(cells, cells).astype(float)
    k = np.arange(n_blocks) - (n_blocks - 1) / 2
    x = np.column_stack([k**power for power in range(degree + 1)])
    return _noise(hats @ hats.T, x, 1 - PRIOR_SLOW, 1.0), _noise(
        hats @ kernel @ hats.T, x, PRIOR_SLOW, SLOW_WIDTH
    )


def _noise(v: FloatArray, x: FloatArray, prior: float, width: float) -> _Noise:
    inverse = np.linalg.inv(v)
    normal = x.T @ inverse @ x
    gain = np.linalg.solve(normal, x.T @ inverse)
    determinants = np.linalg.slogdet(v)[1] + np.linalg.slogdet(normal)[1]
    return _Noise(
        residual=np.asarray(inverse - inverse @ x @ gain, dtype=float),
        gain=gain[-1],
        variance=float(np.linalg.inv(normal)[-1, -1]) * width**2,
        log_weight=float(np.log(prior) - 0.5 * determinants),
    )


def _posterior(
    y: FloatArray, models: tuple[_Noise, ...], dof: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weight, parameter and its scale for each model, (n_models,) each."""
    floor = 1e-24 * float(y @ y)  # a perfect line has no residual: rounding is what is left
    rss = np.array([max(float(y @ m.residual @ y), floor) for m in models])
    log_w = np.array([m.log_weight for m in models]) - 0.5 * dof * np.log(rss)
    weight = np.exp(log_w - log_w.max())
    b = np.array([float(m.gain @ y) for m in models])
    return weight / weight.sum(), b, np.sqrt(np.array([m.variance for m in models]) * rss / dof)


def _half_width(weight: FloatArray, b: FloatArray, s: FloatArray, dof: int, outside: float) -> float:
    """Half-width of the interval about 0 that leaves a share `outside` of the mixture on both sides."""

    def excess(h: float) -> float:
        return float(weight @ (stdtr(dof, -(h - b) / s) + stdtr(dof, -(h + b) / s))) - outside

    widest = float(np.max(stdtrit(dof, 1 - outside / 4) * s + np.abs(b)))
    return float(brentq(excess, 0.0, 2 * widest, xtol=1e-9 * widest))
