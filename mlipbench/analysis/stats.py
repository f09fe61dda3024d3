"""Averages of correlated series and of frames, with honest error bars.

Time averages: the samples of a trajectory are correlated, so N of them are worth N / (2 tau) independent
ones; tau by the Gamma method (U. Wolff, Comput. Phys. Commun. 156, 143 (2004)); the error is the larger of
that and of 16 block means. Blocking at all lengths: Flyvbjerg, Petersen, J. Chem. Phys. 91, 461 (1989).
Equilibration: Chodera, J. Chem. Theory Comput. 12, 1799 (2016).
Frames: bootstrap over clusters (trajectories), never over components.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from mlipbench.core.structure import FloatArray, IntArray

BATCHES = 16
WOLFF_S = 1.5  # tau_int over tau of an exponential, as assumed by the choice of the window
GAUSSIAN_MAD = 1.482602218505602  # standard deviation over median absolute deviation


@dataclass(frozen=True)
class Average:
    """A time average. n_eff: samples behind `start` over the statistical inefficiency 2 tau."""

    value: float
    stderr: float | None  # None: fewer than two independent samples
    n_eff: float
    start: int  # samples dropped as equilibration
    tau: float  # integrated autocorrelation time, samples (1/2: uncorrelated)


def time_average(x: FloatArray, equilibrate: bool = True) -> Average:
    """Average of a stationary series (n,), equilibration detected and dropped."""
    x = np.asarray(x, dtype=float)
    start = equilibration(x) if equilibrate else 0
    kept = x[start:]
    tau = autocorrelation_time(kept)
    n_eff = len(kept) / (2 * tau)
    stderr = None
    if n_eff > 1:
        # the variance about the sample mean is short by the variance of that mean
        stderr = float(np.sqrt(np.var(kept) / (n_eff - 1)))
        if len(kept) >= 2 * BATCHES:
            stderr = max(stderr, _batch_error(kept))
    return Average(float(kept.mean()), stderr, float(n_eff), start, tau)


def _batch_error(x: FloatArray) -> float:
    """Error of the mean from 16 block means, with what correlation is left between neighbours."""
    length = len(x) // BATCHES
    y = x[len(x) - BATCHES * length :].reshape(BATCHES, length).mean(axis=1)
    y = y - y.mean()
    power = float(y @ y)
    left = max(float(y[1:] @ y[:-1]) / power, 0.0) if power > 0 else 0.0
    return float(np.sqrt(power / (BATCHES - 1) / BATCHES * (1 + left) / (1 - left)))


def autocovariance(x: FloatArray) -> FloatArray:
    """Autocovariance at lags 0 .. n-1 of a series (n,), divisor n - lag."""
    centred = np.asarray(x, dtype=float) - np.mean(x)
    n = len(centred)
    size = next_fast_len(2 * n, real=True)
    power = np.abs(rfft(centred, size)) ** 2
    return np.asarray(irfft(power, size)[:n] / np.arange(n, 0, -1))


def autocorrelation_time(x: FloatArray) -> float:
    """Integrated autocorrelation time in samples, tau = 1/2 + sum_k rho(k), at least 1/2.

    The sum is cut where Wolff's estimate of truncation bias plus noise is least; the bias from the
    unknown mean, (2 W + 1) / N, is put back. Anticorrelated series count as uncorrelated.
    """
    x = np.asarray(x, dtype=float)
    n = len(x)
    gamma = autocovariance(x)
    if n < 4 or gamma[0] <= 1e-28 * float(np.max(np.abs(x))) ** 2:
        return 0.5
    rho = gamma / gamma[0]
    window = n // 2
    tau = 0.5
    for w in range(1, n // 2):
        tau += rho[w]
        effective = WOLFF_S / np.log((2 * tau + 1) / (2 * tau - 1)) if tau > 0.5 else 1e-12
        if np.exp(-w / effective) - effective / np.sqrt(w * n) < 0:
            window = w
            break
    tau = 0.5 + float(np.sum(rho[1 : window + 1]))
    return float(min(max(tau * (1 + (2 * window + 1) / n), 0.5), n / 2))


def equilibration(x: FloatArray, n_candidates: int = 11) -> int:
    """Samples to drop at the start: the choice that leaves the most independent samples.

    Never more than half of the series, and only where the dropped part differs from the rest by more
    than two standard errors: dropping by the number of samples alone shortens correlated stationary
    series whenever their autocorrelation time is underestimated.
    """
    n = len(x)
    if n < 20:
        return 0
    candidates = np.unique(np.linspace(0, n // 2, n_candidates).astype(int))
    taus = [autocorrelation_time(x[c:]) for c in candidates]
    best = int(np.argmax([(n - c) / tau for c, tau in zip(candidates, taus, strict=True)]))
    c = int(candidates[best])
    if c == 0:
        return 0
    variance = float(np.var(x[c:])) * 2 * taus[best] * (1 / c + 1 / (n - c))
    return c if abs(float(np.mean(x[:c]) - np.mean(x[c:]))) > 3 * np.sqrt(variance) else 0


@dataclass(frozen=True)
class BlockLevel:
    """One level of blocking: blocks of `length` samples."""

    length: int
    n_blocks: int
    stderr: float
    stderr_error: float


def blocking(x: FloatArray) -> list[BlockLevel]:
    """Error of the mean at each doubling of the block length; its plateau is the answer."""
    x = np.asarray(x, dtype=float)
    levels, length = [], 1
    while len(x) >= 2:
        n = len(x)
        stderr = float(np.sqrt(np.var(x) / (n - 1)))
        levels.append(BlockLevel(length, n, stderr, stderr / np.sqrt(2 * (n - 1))))
        x = 0.5 * (x[0 : n - n % 2 : 2] + x[1:n:2])
        length *= 2
    return levels


@dataclass(frozen=True)
class Bootstrapped:
    """A statistic of clustered frames. n_eff: clusters, discounted where their sizes differ."""

    value: float
    stderr: float | None
    n_eff: float


def bootstrap(
    sums: FloatArray,
    statistic: Callable[[FloatArray], FloatArray],
    sizes: FloatArray,
    rng: np.random.Generator,
    n_resamples: int = 1000,
) -> Bootstrapped:
    """Bootstrap over clusters of a statistic that is a function of sums.

    `sums` (n_clusters, k): what each cluster adds, e.g. sum of |error| and number of components;
    `statistic` maps (..., k) summed over clusters to (...). `sizes` (n_clusters,): weight of each
    cluster; n_eff = (sum sizes)^2 / sum sizes^2, the number of clusters where all weigh the same.
    """
    value = float(statistic(sums.sum(axis=0)))
    n = len(sums)
    n_eff = float(sizes.sum() ** 2 / max(float((sizes**2).sum()), 1e-300))
    if n < 2:
        return Bootstrapped(value, None, n_eff)
    counts = rng.multinomial(n, np.full(n, 1.0 / n), size=n_resamples).astype(float)
    draws = statistic(counts @ sums)
    finite = draws[np.isfinite(draws)]
    # resampling n clusters has the variance of the divisor n: put n - 1 back
    stderr = float(np.std(finite) * np.sqrt(n / (n - 1))) if len(finite) > 1 else None
    return Bootstrapped(value, stderr, n_eff)


def cluster_sums(values: FloatArray, clusters: IntArray, n_clusters: int) -> FloatArray:
    """Sum `values` (n, k) over the members of each cluster: (n_clusters, k)."""
    out = np.zeros((n_clusters, values.shape[1]))
    np.add.at(out, clusters, values)
    return out


def clusters_of(names: Sequence[str]) -> tuple[IntArray, int, str]:
    """Cluster index of each frame from its trajectory's name, their number, and words for it.

    Frames without a name stand alone. Where one trajectory holds all frames, contiguous blocks
    (at most ten) stand for it.
    """
    keys = [name or f"\0{i}" for i, name in enumerate(names)]
    order = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    index = np.array([order[key] for key in keys], dtype=np.int64)
    if len(order) == 1 and len(keys) > 1:
        n_blocks = min(10, len(keys))
        blocks = (np.arange(len(keys)) * n_blocks) // len(keys)
        return blocks, n_blocks, f"{n_blocks} blocks of the only trajectory"
    unnamed = all(not name for name in names)
    words = f"{len(order)} frames" if unnamed else f"{len(order)} trajectories"
    return index, len(order), words


def robust_sigma(x: FloatArray) -> float:
    """Standard deviation of the Gaussian with the median absolute deviation of x (n,)."""
    return float(GAUSSIAN_MAD * np.median(np.abs(x - np.median(x)))) if len(x) else 0.0
