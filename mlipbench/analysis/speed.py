"""Numbers from times: medians, ratios and exponents with their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlipbench.core.structure import FloatArray

MEDIAN_ERROR = 1.2533  # sqrt(pi/2): standard error of a median over that of a mean, Gaussian
NANOSECONDS_PER_DAY = 86400e3 * 1e-6  # of a step of 1 fs that takes 1 ms


@dataclass(frozen=True)
class Timed:
    """A median of rounds; an error needs three of them."""

    value: float
    stderr: float | None
    n: int


def median(values: FloatArray) -> Timed:
    """Median of values (n,), n >= 1, and its standard error from their scatter (1.4826 median absolute
    deviation, of which other programs' bursts are no part)."""
    values = np.asarray(values, dtype=float)
    centre = float(np.median(values))
    if len(values) < 3:
        return Timed(centre, None, len(values))
    scatter = 1.4826 * float(np.median(np.abs(values - centre)))
    return Timed(centre, MEDIAN_ERROR * scatter / np.sqrt(len(values)), len(values))


def ratio(ours: FloatArray, theirs: FloatArray) -> Timed:
    """theirs/ours, round by round, so that what slows a round down slows both."""
    n = min(len(ours), len(theirs))
    return median(np.asarray(theirs[:n]) / np.asarray(ours[:n]))


def exponent(n_atoms: FloatArray | Sequence[float], times: list[Timed]) -> Timed:
    """p of time ~ n^p by least squares of the logarithms; its error follows from those of the times."""
    x, y = np.log(np.asarray(n_atoms, dtype=float)), np.log([t.value for t in times])
    weights = (x - x.mean()) / float(((x - x.mean()) ** 2).sum())
    relative = [None if t.stderr is None else t.stderr / t.value for t in times]
    known = [r for r in relative if r is not None]
    stderr = float(np.sqrt(((weights * known) ** 2).sum())) if len(known) == len(times) else None
    return Timed(float(weights @ y), stderr, min(t.n for t in times))


def nanoseconds_per_day(step_ms: Timed, timestep_fs: float) -> Timed:
    """What molecular dynamics simulates in a day."""
    value = NANOSECONDS_PER_DAY * timestep_fs / step_ms.value
    stderr = None if step_ms.stderr is None else value * step_ms.stderr / step_ms.value
    return Timed(value, stderr, step_ms.n)
