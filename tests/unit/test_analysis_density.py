"""Bulk modulus from fluctuations, error of a mean from blocks."""

import numpy as np
import pytest

from mlipbench.analysis import density
from mlipbench.core.units import BOLTZMANN, EV_PER_A3_IN_GPA


def series(n, memory, seed, mean=1000.0, spread=5.0):
    """Gaussian, exponentially correlated."""
    rng = np.random.default_rng(seed)
    noise, a = rng.standard_normal(n), np.exp(-1 / memory)
    x = np.empty(n)
    x[0] = noise[0]
    for k in range(1, n):
        x[k] = a * x[k - 1] + np.sqrt(1 - a * a) * noise[k]
    return mean + spread * x


def test_bulk_modulus_and_its_error_over_repeats():
    """Oracle: B = kT <V> / var V = 1000 kT / 25 A^3, and the scatter of repeats. A variance without the
    correction for the mean of few independent samples is 8 % too small here, B as much too large."""
    expected = BOLTZMANN * 300.0 * 1000.0 / 25.0 * EV_PER_A3_IN_GPA
    found = [density.bulk_modulus(series(1000, 40.0, seed), 300.0) for seed in range(200)]
    inverse = np.array([1 / f.value for f in found])  # the variance is what is estimated without bias
    assert inverse.mean() * expected == pytest.approx(1.0, abs=0.04)
    scatter = np.std(inverse) * expected
    stated = np.median([f.stderr / f.value for f in found])
    assert stated == pytest.approx(scatter, rel=0.4)


def test_too_little_to_say():
    assert density.bulk_modulus(series(60, 200.0, 1), 300.0).stderr is None
    assert density.bulk_modulus(np.full(50, 1000.0), 300.0).stderr is None


def test_error_of_blocks():
    """Oracle: sigma sqrt(2 tau/n), tau = 20 samples."""
    errors = [density.mean_error_of_blocks(series(8000, 20.0, seed)) for seed in range(40)]
    assert np.mean(errors) == pytest.approx(5.0 * np.sqrt(40 / 8000), rel=0.1)
