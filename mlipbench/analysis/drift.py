"""Secular drift of a conserved quantity, and sudden steps of it.

The total energy of an NVE run is a straight line plus noise, and the noise may be anything between
two extremes: a bounded oscillation (the shadow Hamiltonian of velocity Verlet) whose slope error
falls as T^(-3/2), and a random walk (rounding, float32 forces) whose slope error falls as T^(-1/2).
`analysis.noise` lets the data weigh the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.analysis import noise
from mlipbench.core.structure import FloatArray

FEWEST_SAMPLES = 12


@dataclass(frozen=True)
class Drift:
    """A straight line through a series: value(t) = offset + slope t."""

    slope: float  # unit of the values per unit of time
    stderr: float | None  # one standard error; None: too few samples
    n_eff: float  # degrees of freedom of the error, plus one
    offset: float  # at t = 0
    sigma: float  # standard deviation of the samples about the line
    random_walk: float  # posterior weight (0 to 1) that the noise is a random walk


def drift(time: FloatArray, values: FloatArray) -> Drift:
    """Slope of `values` (n,) on evenly spaced `time` (n,), error as `analysis.noise` describes.

    Raises ValueError where lengths differ, time does not grow, or a number is not finite.
    """
    time, values = np.asarray(time, dtype=float), np.asarray(values, dtype=float)
    n = len(values)
    if len(time) != n:
        raise ValueError(f"drift: expected a time for each value, got {len(time)} times and {n} values")
    if n == 0:
        return Drift(0.0, None, 0.0, 0.0, 0.0, 0.0)
    noise.require_finite(time, "drift: time")
    noise.require_finite(values, "drift: values")
    if np.any(np.diff(time) <= 0):
        raise ValueError("drift: expected time to grow from sample to sample, it does not")
    if n < FEWEST_SAMPLES:
        slope = float(np.polyfit(time - time.mean(), values, 1)[0]) if n > 1 else 0.0
        line = noise.Estimate(slope, 0.0, 0.0, 0.0)
    else:
        line = noise.slope(values)
        step = float(time[-1] - time[0]) / (n - 1)
        line = noise.Estimate(line.value / step, line.stderr / step, line.n_eff, line.slow)
    offset = float(np.mean(values - line.value * time))
    sigma = float(np.std(values - offset - line.value * time))
    stderr = line.stderr if n >= FEWEST_SAMPLES else None
    return Drift(line.value, stderr, line.n_eff, offset, sigma, line.slow)


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
