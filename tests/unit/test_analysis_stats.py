"""Oracles: autoregressive series (tau known), planted equilibration, analytic bootstrap errors."""

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import stdtrit

from mlipbench.analysis import stats


def autoregressive(rng, n, phi):
    return lfilter([1.0], [1.0, -phi], rng.standard_normal(n + 2000))[-n:]


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_autocorrelation_time_of_an_autoregressive_series(phi):
    """Exact: (1 + phi) / (2 (1 - phi)). A forgotten half or a factor two would be caught."""
    rng = np.random.default_rng(0)
    taus = [stats.autocorrelation_time(autoregressive(rng, 5000, phi)) for _ in range(20)]
    assert np.mean(taus) == pytest.approx((1 + phi) / (1 - phi) / 2, rel=0.1)


@pytest.mark.parametrize("memory", [0.01, 3, 10])
def test_average_covers_the_truth(memory):
    """Nominal 95 % over 300 series of 1000 samples; treating samples as independent covers below 50 %."""
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        a = stats.time_average(autoregressive(rng, 1000, np.exp(-1 / memory)))
        covered += abs(a.value) < stdtrit(a.n_eff - 1, 0.975) * a.stderr
    assert 0.92 <= covered / 300 <= 0.99


def test_equilibration_is_dropped_and_a_stationary_series_is_kept():
    rng = np.random.default_rng(4)
    stationary = autoregressive(rng, 2000, 0.8)
    assert stats.equilibration(stationary) == 0
    relaxing = stationary + 30 * np.exp(-np.arange(2000) / 100)
    start = stats.equilibration(relaxing)
    assert 200 <= start <= 800
    assert abs(stats.time_average(relaxing).value) < 5 * stats.time_average(relaxing).stderr


def test_blocking_plateau_is_the_error_from_the_autocorrelation_time():
    """Two independent routes to the error of one mean."""
    x = autoregressive(np.random.default_rng(6), 2**15, 0.9)
    plateau = next(b for b in stats.blocking(x) if b.length == 256)
    assert plateau.stderr == pytest.approx(stats.time_average(x).stderr, rel=0.25)
    assert stats.blocking(x)[0].stderr < 0.4 * plateau.stderr


@pytest.mark.parametrize("x", [np.zeros(50), np.full(7, 3.0), np.array([1.0])])
def test_constant_series(x):
    a = stats.time_average(x)
    assert a.value == x[0]
    assert a.stderr in (0.0, None)


def test_bootstrap_error_of_a_mean():
    """Analytic: sample standard deviation over sqrt(n)."""
    x = np.random.default_rng(8).standard_normal(40)
    sums = np.column_stack([x, np.ones(40)])
    b = stats.bootstrap(sums, lambda s: s[..., 0] / s[..., 1], np.ones(40), np.random.default_rng(0), 4000)
    assert b.value == pytest.approx(x.mean())
    assert b.stderr == pytest.approx(x.std(ddof=1) / np.sqrt(40), rel=0.06)
    assert b.n_eff == pytest.approx(40)


def test_unequal_clusters_are_worth_less_than_their_number():
    b = stats.bootstrap(
        np.ones((3, 2)), lambda s: s[..., 0] / s[..., 1], np.array([10.0, 1, 1]), np.random.default_rng(0)
    )
    assert b.n_eff == pytest.approx(144 / 102)


def test_clusters_of_frames():
    index, n, words = stats.clusters_of(["a", "a", "", "b", ""])
    assert index.tolist() == [0, 0, 1, 2, 3]
    assert (n, words) == (4, "4 trajectories")
    assert stats.clusters_of(["", ""])[1:] == (2, "2 frames")
    blocks, n, words = stats.clusters_of(["a"] * 25)
    assert n == 10
    assert np.bincount(blocks).tolist() == [3, 2, 3, 2, 3, 2, 3, 2, 3, 2] or np.all(np.bincount(blocks) >= 2)
    assert "only trajectory" in words


def test_robust_sigma_of_a_gaussian():
    x = np.random.default_rng(9).standard_normal(20000)
    assert stats.robust_sigma(3 * x) == pytest.approx(3.0, rel=0.03)
