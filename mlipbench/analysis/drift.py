"""Secular drift of a conserved quantity, with an error honest for noise of unknown memory.

The total energy of an NVE run is a straight line plus noise, and the noise may be anything between
two extremes: a bounded oscillation (the shadow Hamiltonian of velocity Verlet) whose slope error
falls as T^(-3/2), and a random walk (rounding, float32 forces) whose slope error falls as T^(-1/2).
Assuming the first for the second claims a precision that is not there; assuming the second for the
first gives error bars too wide to decide anything. Here the data weigh the two:

    y_k = a + b t_k + u_k,   k = 1 .. B,   u ~ N(0, s^2 V_m)

y_k are averages over overlapping triangular windows (they leave little of a fast oscillation). V_m runs
over a grid: white noise, noise with an exponential memory of a quarter to one block, and a random walk
with a varying part of white noise. For each m the restricted likelihood (Harville, J. Am. Stat. Assoc.
72, 320 (1977)), s^2 integrated out,

    log L_m = -1/2 log|V_m| - 1/2 log|X' V_m^-1 X| - (B-2)/2 log RSS_m

times the prior is its weight, and generalised least squares gives a t distribution of b with B - 2
degrees of freedom. The slope is the mean of the mixture; its standard error is the half-width of the
central 96 % of the mixture over the 95 % quantile of t (the mixture covers slightly too little where the
noise is a random walk). Measured on synthetic series, nominal 95 %: white and autoregressive noise and
oscillations 98-99 %, random walks 92-95 %, and 88 % in the least favourable case, a walk that is just
hidden in white noise at the length of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from mlipbench.core.structure import FloatArray

MOST_BLOCKS = 48
CELLS_TO_A_BLOCK = 4
FEWEST_SAMPLES = 12
PRIOR = (0.5, 0.2, 0.3)  # white noise, noise with memory, random walk
MEMORIES = (0.25, 0.5, 1.0)  # blocks
RATIOS = tuple(np.logspace(-1.5, 2, 8))  # variance of the walk per block over that of the white part
MIXTURE_CONFIDENCE, CONFIDENCE = 0.96, 0.95


@dataclass(frozen=True)
class Drift:
    """A straight line through a series: value(t) = offset + slope t."""

    slope: float  # unit of the values per unit of time
    stderr: float | None  # one standard error; None: too few samples
    n_eff: float  # blocks less one: offset and slope take two degrees of freedom of the blocks
    offset: float  # at t = 0
    sigma: float  # standard deviation of the samples about the line
    random_walk: float  # posterior weight (0 to 1) that the noise is a random walk


def drift(time: FloatArray, values: FloatArray) -> Drift:
    """Slope of `values` (n,) on evenly spaced `time` (n,), error as the module describes."""
    time, values = np.asarray(time, dtype=float), np.asarray(values, dtype=float)
    n = len(values)
    if n < FEWEST_SAMPLES:
        slope, offset = _least_squares(time, values) if n > 1 else (0.0, float(values.mean()) if n else 0.0)
        return Drift(slope, None, 0.0, offset, float(np.std(values)) if n else 0.0, 0.0)
    n_blocks, fine, length = _layout(n)
    first = n - (n_blocks + 1) * fine * length  # the remainder is left out at the start
    hats = _hats(n_blocks, fine)
    y = hats @ values[first:].reshape(-1, length).mean(axis=1)
    t = hats @ time[first:].reshape(-1, length).mean(axis=1)
    step = (t[-1] - t[0]) / (n_blocks - 1)
    centre, scale = float(y.mean()), float(np.std(y - y.mean()))
    if scale <= 1e-14 * max(abs(centre), 1e-300):
        return Drift(0.0, 0.0, n_blocks - 1.0, centre, float(np.std(values)), 0.0)
    slope, stderr, walk = _mixture((y - centre) / scale, _models(n_blocks, fine))
    slope, stderr = float(slope * scale / step), float(stderr * scale / step)
    offset = float(np.mean(values - slope * time))
    sigma = float(np.std(values - offset - slope * time))
    return Drift(slope, stderr, n_blocks - 1.0, offset, sigma, walk)


def _layout(n: int) -> tuple[int, int, int]:
    """Blocks, cells to a block and samples to a cell that leave out the fewest of n samples."""
    if n < 2 * CELLS_TO_A_BLOCK * (MOST_BLOCKS + 1):
        n_blocks = min(n // 2 - 1, MOST_BLOCKS)
        fine = n // (n_blocks + 1)
        return n_blocks, fine, 1
    n_blocks = min(
        range(MOST_BLOCKS * 3 // 4, MOST_BLOCKS + 1), key=lambda b: n % ((b + 1) * CELLS_TO_A_BLOCK)
    )
    return n_blocks, CELLS_TO_A_BLOCK, n // ((n_blocks + 1) * CELLS_TO_A_BLOCK)


def _least_squares(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    slope, offset = np.polyfit(x - x.mean(), y, 1)
    return float(slope), float(offset - slope * x.mean())


@dataclass(frozen=True)
class _Noise:
    """One noise model on the grid, prepared for B blocks."""

    prior: float
    walk: bool
    inverse: FloatArray  # (B, B)
    gain: FloatArray  # (2, B): generalised least squares coefficients = gain @ y
    slope_variance: float  # of b, for s^2 = 1
    log_determinants: float


@lru_cache(maxsize=32)
def _models(n_blocks: int, fine: int) -> tuple[_Noise, ...]:
    """All noise models for hat averages over `fine` cells to either side, B = `n_blocks`."""
    hats = _hats(n_blocks, fine)
    cells = np.arange(hats.shape[1]) / fine
    lag = np.abs(np.subtract.outer(cells, cells))
    white = hats @ hats.T * fine
    # a walk averaged over cells: min(i, j) + 1/2, on the diagonal + 1/3; the constant is in the offset
    walk = hats @ (np.minimum.outer(cells, cells) - np.eye(len(cells)) / (6 * fine)) @ hats.T
    memory = [hats @ np.exp(-lag / tau) @ hats.T for tau in MEMORIES]
    families: list[tuple[float, bool, list[FloatArray]]] = [
        (PRIOR[0], False, [white]),
        (PRIOR[1], False, memory),
        (PRIOR[2], True, [ratio * walk + white for ratio in RATIOS]),
    ]
    k = np.arange(n_blocks) - (n_blocks - 1) / 2
    x = np.column_stack([np.ones(n_blocks), k])
    models = []
    for prior, is_walk, covariances in families:
        for v in covariances:
            inverse = np.linalg.inv(v)
            normal = x.T @ inverse @ x
            models.append(
                _Noise(
                    prior / len(covariances),
                    is_walk,
                    np.asarray(inverse, dtype=float),
                    np.linalg.solve(normal, x.T @ inverse),
                    float(np.linalg.inv(normal)[1, 1]),
                    float(np.linalg.slogdet(v)[1] + np.linalg.slogdet(normal)[1]),
                )
            )
    return tuple(models)


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


def _mixture(y: FloatArray, models: tuple[_Noise, ...]) -> tuple[float, float, float]:
    """Slope per block, its standard error, and the weight of the random walk."""
    n = len(y)
    k = np.arange(n) - (n - 1) / 2
    slopes, errors, logs = [], [], []
    floor = 1e-24 * float(y @ y)  # a perfect line has no residual: rounding is what is left
    for m in models:
        a, b = m.gain @ y
        r = y - a - b * k
        rss = max(float(r @ m.inverse @ r), floor)
        slopes.append(float(b))
        errors.append(np.sqrt(m.slope_variance * rss / (n - 2)))
        logs.append(np.log(m.prior) - 0.5 * m.log_determinants - 0.5 * (n - 2) * np.log(rss))
    b, s, log_w = np.array(slopes), np.array(errors), np.array(logs)
    w = np.exp(log_w - log_w.max())
    w /= w.sum()
    mean = float(w @ b)
    dof = n - 2

    def outside(half_width: float) -> float:
        upper = stdtr(dof, -(mean + half_width - b) / s)
        lower = stdtr(dof, (mean - half_width - b) / s)
        return float(w @ (upper + lower)) - (1 - MIXTURE_CONFIDENCE)

    quantile = float(stdtrit(dof, 0.5 + CONFIDENCE / 2))
    widest = 2 * float(np.max(quantile * s + np.abs(b - mean)))
    half_width = brentq(outside, 0.0, widest, xtol=1e-6 * widest)
    walk = float(w[np.array([m.walk for m in models])].sum())
    return mean, float(half_width) / quantile, walk


@dataclass(frozen=True)
class Jump:
    """A sudden step of a series."""

    index: int  # first sample behind the step
    size: float  # level behind less level before, unit of the values


def jumps(values: FloatArray, threshold: float = 7.0) -> list[Jump]:
    """Sudden steps of a series (n,): level changes that neither noise, trend nor a walk explains.

    For windows of w = 4, 16 and 64 samples the contrast c_i = mean(x[i:i+w]) - mean(x[i-w:i]) is
    compared with the spread of all contrasts of that window (median and 1.4826 median absolute
    deviation): a steady drift is the same contrast everywhere and drops out with the median, and a
    random walk widens the spread. A step is a contrast beyond `threshold` spreads.
    """
    values = np.asarray(values, dtype=float)
    found: list[Jump] = []
    for w in (4, 16, 64):
        if len(values) < 10 * w:
            break
        sums = np.concatenate([[0.0], np.cumsum(values - values[0])])
        means = (sums[w:] - sums[:-w]) / w
        contrast = means[w:] - means[:-w]  # at i = w .. n - w
        centred = contrast - np.median(contrast)
        spread = max(1.4826 * float(np.median(np.abs(centred))), 1e-14 * float(np.abs(values).max()))
        score = np.abs(centred) / max(spread, 1e-300)
        while score.max() > threshold:
            peak = int(score.argmax())
            index = peak + w
            if all(abs(index - jump.index) > 2 * max(w, 4) for jump in found):
                found.append(Jump(index, float(centred[peak])))
            score[max(0, peak - 2 * w) : peak + 2 * w + 1] = 0.0
    return sorted(found, key=lambda jump: jump.index)
