"""Whether a noisy curve falls or rises, and by how much: the line of Theil and Sen through its logarithm.

The slope is the median of the slopes between all pairs of points (P. K. Sen, J. Am. Stat. Assoc. 63, 1379
(1968)), so that single bad epochs do not turn it; its confidence interval comes from Kendall's rank
correlation and supposes nothing about how the noise is distributed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes

FEWEST = 5  # points of which a trend is taken
CONFIDENCE = 0.99
_BLOCKS = 60  # neighbouring epochs are alike: longer curves are told by the medians of so many blocks


@dataclass(frozen=True)
class Trend:
    """Relative change from the beginning of a curve to its end: -0.1 is a fall of 10 %."""

    change: float
    low: float  # of the 99 % confidence interval
    high: float

    @property
    def falls(self) -> bool:
        """Beyond doubt."""
        return self.high < 0

    @property
    def rises(self) -> bool:
        """Beyond doubt."""
        return self.low > 0


def trend(values: Sequence[float]) -> Trend | None:
    """The trend of positive, evenly spaced values; None where fewer than `FEWEST` can be used."""
    known = np.array([v if math.isfinite(v) and v > 0 else np.nan for v in values], dtype=np.float64)
    blocks = np.array_split(known, min(len(known), _BLOCKS)) if len(known) else []
    y = np.array([np.median(block[np.isfinite(block)]) for block in blocks if np.isfinite(block).any()])
    if len(y) < FEWEST:
        return None
    found = theilslopes(np.log(y), np.arange(len(y)), alpha=CONFIDENCE)
    change, low, high = (
        math.expm1(s * (len(y) - 1)) for s in (found.slope, found.low_slope, found.high_slope)
    )
    return Trend(change, low, high)


def last(values: Sequence[float], share: float) -> Sequence[float]:
    """The last part of a curve, at least `FEWEST` values of it."""
    return values[-max(math.ceil(share * len(values)), FEWEST) :]


def level(values: Sequence[float]) -> float:
    """Where a curve ends: the median of its last tenth, at least three values."""
    return float(np.median(values[-max(len(values) // 10, 3) :]))


def smoothed(values: Sequence[float]) -> list[float]:
    """Running medians over a tenth of the curve, at least three values."""
    y = np.asarray(values, dtype=np.float64)
    half = max(len(y) // 20, 1)
    return [float(np.median(y[max(i - half, 0) : i + half + 1])) for i in range(len(y))]
