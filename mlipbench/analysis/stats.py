"""Averages of correlated series and of frames, with honest error bars.

Time averages: the error of `analysis.noise`, which lets the data weigh short and long memories.
Autocorrelation time by the Gamma method (U. Wolff, Comput. Phys. Commun. 156, 143 (2004)); equilibration
after J. D. Chodera, J. Chem. Theory Comput. 12, 1799 (2016); blocking at all lengths: H. Flyvbjerg,
H. G. Petersen, J. Chem. Phys. 91, 461 (1989).
Frames: bootstrap over clusters (trajectories), never over components; studentised, since averages of
absolute errors are skewed (B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, chapter 12.5).
Coverage of all of them: docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import stdtrit

from mlipbench.analysis import noise
from mlipbench.core.structure import FloatArray, IntArray

FEWEST_SAMPLES = 4
WOLFF_S = 1.5  # tau_int over tau of an exponential, as assumed by the choice of the window
FEWEST_CLUSTERS = 5  # for the skewness of a statistic to show in resamples
LEAST_ERROR = 0.2  # of a resample, over that of the sample: docs/statistics.md, averages over frames
RELAXED = 0.9999  # confidence that the start differs from the rest before it is dropped
GAUSSIAN_MAD = 1.482602218505602  # standard deviation over median absolute deviation


@dataclass(frozen=True)
class Average:
    """A time average: value +- t_{n_eff - 1} stderr is its interval."""

    value: float
    stderr: float | None  # one standard error; None: fewer than four samples
    n_eff: float  # degrees of freedom of the error, plus one; (n - start) / (2 tau) independent samples
    start: int  # samples dropped as equilibration
    tau: float  # integrated autocorrelation time, samples (1/2: uncorrelated)

    def half_width(self, confidence: float = 0.95) -> float:
        """Of the two-sided interval; infinite where there is no error."""
        if self.stderr is None:
            return float("inf")
        return float(stdtrit(self.n_eff - 1, 0.5 + confidence / 2)) * self.stderr


def time_average(x: FloatArray, equilibrate: bool = True) -> Average:
    """Average of a stationary series (n,), equilibration detected and dropped.

    Raises ValueError where the series is empty or a sample is not finite.
    """
    x = noise.require_finite(x, "time average")
    start = equilibration(x) if equilibrate else 0
    kept = x[start:]
    if len(kept) < FEWEST_SAMPLES:
        return Average(float(kept.mean()), None, 0.0, start, 0.5)
    mean = noise.level(kept)
    return Average(mean.value, mean.stderr, mean.n_eff, start, autocorrelation_time(kept))


def combined(averages: Sequence[Average]) -> Average:
    """Mean of independent averages, each with an error: errors add in squares, degrees of freedom after
    B. L. Welch, Biometrika 34, 28 (1947)."""
    squares = np.array([(a.stderr or 0.0) ** 2 for a in averages])
    dof = np.array([a.n_eff - 1 for a in averages])
    k, total = len(averages), float(squares.sum())
    joint = total**2 / float((squares**2 / dof).sum()) if total else float(dof.sum())
    value = float(np.mean([a.value for a in averages]))
    tau = float(np.mean([a.tau for a in averages]))
    return Average(value, np.sqrt(total) / k, joint + 1, max(a.start for a in averages), tau)


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
    w = np.arange(1, n // 2)
    tau = 0.5 + np.cumsum(gamma[1 : n // 2] / gamma[0])
    above = np.maximum(tau, 0.5 + 1e-9)
    effective = WOLFF_S / np.log((2 * above + 1) / (2 * above - 1))
    enough = np.flatnonzero(np.exp(-w / effective) < effective / np.sqrt(w * n))
    window = int(w[enough[0]]) if len(enough) else n // 2 - 1
    return float(min(max(tau[window - 1] * (1 + (2 * window + 1) / n), 0.5), n / 2))


def equilibration(x: FloatArray, n_candidates: int = 11) -> int:
    """Samples to drop at the start: the choice that leaves the most independent samples.

    Never more than half of the series, and only where the mean of what is dropped differs from the mean
    of the rest beyond doubt: dropping by the number of samples alone shortens correlated stationary
    series whenever their autocorrelation time is underestimated.
    """
    x = noise.require_finite(x, "equilibration")
    n = len(x)
    if n < 20:
        return 0
    candidates = np.unique(np.linspace(0, n // 2, n_candidates).astype(int))
    left = [(n - c) / autocorrelation_time(x[c:]) for c in candidates]
    c = int(candidates[int(np.argmax(left))])
    if c == 0:
        return 0
    independent = (n - c) / (2 * autocorrelation_time(x[c:]))
    error = np.std(x[c:]) / np.sqrt(max(independent - 1, 0.5)) * np.sqrt(n / c)
    beyond = float(stdtrit(max(independent - 1, 1.0), 0.5 + RELAXED / 2)) * error
    return c if abs(float(np.mean(x[:c]) - np.mean(x[c:]))) > beyond else 0


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
    """A statistic of clustered frames. n_eff: clusters, discounted where their sizes differ.

    value +- t_{n_eff - 1} stderr is its interval: skewness widens `stderr` beyond one standard error.
    """

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
    """Studentised bootstrap over clusters of a statistic that is a smooth function of sums.

    `sums` (n_clusters, k): what each cluster adds, e.g. sum of |error| and number of components;
    `statistic` maps (..., k) summed over clusters to (...). `sizes` (n_clusters,): weight of each
    cluster; n_eff = (sum sizes)^2 / sum sizes^2, the number of clusters where all weigh the same.
    The standard error is that of the linearised statistic; it is widened by the larger one-sided 95 %
    quantile of (theta* - theta) / stderr* over that of t, where there are clusters enough to know it. A
    resample that lacks the one cluster that scatters has hardly an error; LEAST_ERROR keeps it from being
    divided by.
    """
    sums, sizes = np.asarray(sums, dtype=float), np.asarray(sizes, dtype=float)
    if not (np.isfinite(sums).all() and np.isfinite(sizes).all()):
        raise ValueError("bootstrap: sums or sizes of clusters are not finite; leave missing labels out")
    n = len(sums)
    total = sums.sum(axis=0)
    value = float(statistic(total))
    n_eff = float(sizes.sum() ** 2 / max(float((sizes**2).sum()), 1e-300))
    if n < 2:
        return Bootstrapped(value, None, n_eff)
    scale = np.abs(sums).sum(axis=0)
    stderr = float(_linear_error(sums, statistic, scale, np.ones((1, n)))[0])
    if not np.isfinite(stderr) or n_eff <= 1:
        return Bootstrapped(value, None, n_eff)
    if n < FEWEST_CLUSTERS or stderr == 0:
        return Bootstrapped(value, stderr, n_eff)
    counts = rng.multinomial(n, np.full(n, 1.0 / n), size=n_resamples).astype(float)
    error = _linear_error(sums, statistic, scale, counts)
    away = statistic(counts @ sums) - value
    usable = np.isfinite(away) & np.isfinite(error)
    ratios = away[usable] / np.maximum(error[usable], LEAST_ERROR * stderr)
    low, high = np.quantile(ratios, [0.05, 0.95])
    widen = max(-float(low), float(high)) / float(stdtrit(n_eff - 1, 0.95))
    return Bootstrapped(value, stderr * max(widen, 1.0), n_eff)


def _linear_error(
    sums: FloatArray, statistic: Callable[[FloatArray], FloatArray], scale: FloatArray, counts: FloatArray
) -> FloatArray:
    """Standard error of the statistic of each resample `counts` (n_resamples, n_clusters), linearised."""
    n = len(sums)
    total = counts @ sums
    error = np.zeros(counts.shape)
    for column, size in enumerate(scale):
        if size == 0:
            continue
        step = np.zeros(len(scale))
        step[column] = 1e-5 * size
        gradient = (statistic(total + step) - statistic(total - step)) / (2e-5 * size)
        error += np.outer(gradient, sums[:, column])
    mean = (counts * error).sum(axis=1, keepdims=True) / n
    return np.asarray(np.sqrt(n / (n - 1) * (counts * (error - mean) ** 2).sum(axis=1)))


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
