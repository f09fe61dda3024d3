"""Fluctuations of the volume at constant pressure."""

from __future__ import annotations

import numpy as np

from mlipbench.analysis import noise, stats
from mlipbench.core.structure import FloatArray
from mlipbench.core.units import BOLTZMANN, EV_PER_A3_IN_GPA

FEWEST_INDEPENDENT = 4.0  # samples of the volume, below which their spread says nothing


def bulk_modulus(volumes: FloatArray, temperature_K: float) -> stats.Average:
    """Isothermal bulk modulus in GPa from volumes (n,) A^3 in equilibrium: B = kT <V> / var(V).

    M. P. Allen, D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), section 2.5. The variance
    about the mean of a series of N = n/(2 tau) independent samples is (1 - 1/N) of the true one, which is put
    back; its relative error, that of a time average of (V - <V>)^2, is the modulus'. Without an error where
    N is below four or the volume does not move.
    """
    volumes = noise.require_finite(volumes, "bulk modulus")
    squares = (volumes - volumes.mean()) ** 2
    spread = stats.time_average(squares, equilibrate=False)
    tau = stats.autocorrelation_time(volumes)
    independent = len(volumes) / (2.0 * tau)
    if spread.stderr is None or independent < FEWEST_INDEPENDENT or spread.value <= 0:
        return stats.Average(float("nan"), None, 0.0, 0, tau)
    variance = spread.value * independent / (independent - 1.0)
    modulus = BOLTZMANN * temperature_K * float(volumes.mean()) / variance * EV_PER_A3_IN_GPA
    error = modulus * spread.stderr / spread.value
    return stats.Average(modulus, float(error), min(spread.n_eff, independent), 0, tau)


def mean_error_of_blocks(values: FloatArray, n_blocks: int = 8) -> float:
    """Standard error of the mean of a series (n,), from the means of contiguous blocks."""
    means = [float(np.mean(block)) for block in np.array_split(np.asarray(values, dtype=float), n_blocks)]
    return float(np.std(means, ddof=1) / np.sqrt(n_blocks))
