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


@pytest.mark.parametrize(
    ("n", "memory", "least", "most"),
    [(1000, 0.01, 0.92, 0.98), (1000, 10, 0.92, 0.98), (300, 10, 0.92, 0.98), (100, 10, 0.95, 1.0)],
)
def test_average_covers_the_truth(n, memory, least, most):
    """Nominal 95 % over 500 series (binomial error 1 %), conservative at ten memories; treating samples as
    independent covers below 50 %, and t quantiles of the wrong degrees of freedom show at ten memories."""
    rng = np.random.default_rng(2)
    averages = [stats.time_average(autoregressive(rng, n, np.exp(-1 / memory))) for _ in range(500)]
    assert least <= np.mean([abs(a.value) < a.half_width() for a in averages]) <= most


def test_equilibration_is_dropped_and_a_stationary_series_is_kept():
    rng = np.random.default_rng(4)
    stationary = autoregressive(rng, 2000, 0.8)
    assert stats.equilibration(stationary) == 0
    relaxing = stationary + 30 * np.exp(-np.arange(2000) / 100)
    start = stats.equilibration(relaxing)
    assert 200 <= start <= 800
    assert abs(stats.time_average(relaxing).value) < 5 * stats.time_average(relaxing).stderr


def test_blocking_plateau_is_the_analytic_error():
    """Exact for long series: sqrt(2 tau / n) sigma; a block half as long is 10 % off."""
    phi, n = 0.9, 2**15
    x = autoregressive(np.random.default_rng(6), n, phi)
    exact = np.sqrt((1 + phi) / (1 - phi) / n / (1 - phi**2))
    plateau = next(b for b in stats.blocking(x) if b.length == 256)
    assert plateau.stderr == pytest.approx(exact, rel=0.15)  # its own error: 1 / sqrt(2 * 127) = 6 %
    assert stats.blocking(x)[0].stderr < 0.4 * exact


def test_a_transient_is_dropped_only_where_it_is_one():
    """Stationary: at most 1 % of 400 short series lose anything. Relaxing: the average of nearly all is
    within its interval, which without dropping covers none."""
    rng = np.random.default_rng(14)
    stationary = [autoregressive(rng, 300, 0.9) for _ in range(400)]
    assert np.mean([stats.equilibration(x) > 0 for x in stationary]) <= 0.01
    relaxing = [autoregressive(rng, 2000, 0.8) + 30 * np.exp(-np.arange(2000) / 100) for _ in range(100)]
    dropped = [stats.time_average(x) for x in relaxing]
    assert np.mean([abs(a.value) < a.half_width() for a in dropped]) > 0.85
    assert all(a.start > 200 for a in dropped)


@pytest.mark.parametrize("x", [np.zeros(50), np.full(7, 3.0), np.array([1.0]), np.array([1.0, 2.0, 3.0])])
def test_constant_or_tiny_series(x):
    a = stats.time_average(x)
    assert a.value == x.mean()
    assert a.stderr == (0.0 if len(x) > 3 else None)


def test_a_straight_line_has_no_sharp_mean():
    """The mean of a line depends on where one looks: its error is of the size of what is left of it."""
    a = stats.time_average(np.linspace(0.0, 1.0, 500), equilibrate=False)
    assert a.value == pytest.approx(0.5)
    assert a.half_width() > 0.15  # samples taken for independent: 0.026


def test_a_huge_offset_costs_nothing():
    noise = 1e-6 * autoregressive(np.random.default_rng(0), 500, 0.5)
    small, large = stats.time_average(noise), stats.time_average(1e5 + noise)
    assert large.value - 1e5 == pytest.approx(small.value, abs=1e-10)  # resolution of 1e5: 1.5e-11
    assert large.stderr == pytest.approx(small.stderr, rel=1e-3)


@pytest.mark.parametrize("what", [stats.time_average, stats.equilibration])
def test_what_is_no_series_is_refused(what):
    with pytest.raises(ValueError, match="1 of 3 samples are not finite, the first is nan at index 1"):
        what(np.array([1.0, np.nan, 2.0]))
    with pytest.raises(ValueError, match="at least one sample"):
        what(np.array([]))


def test_independent_averages_are_combined():
    """Welch: equal errors add their degrees of freedom; one dominant error keeps its own."""
    one = stats.Average(1.0, 0.2, 10.0, 0, 0.5)
    joint = stats.combined([one, one])
    assert (joint.value, joint.stderr, joint.n_eff) == pytest.approx((1.0, 0.2 / np.sqrt(2), 19.0))
    sharp = stats.Average(2.0, 1e-6, 10.0, 0, 0.5)
    assert stats.combined([one, sharp]).n_eff == pytest.approx(10.0)


def test_bootstrap_error_of_a_mean():
    """Analytic: sample standard deviation over sqrt(n), widened little where nothing is skewed."""
    x = np.random.default_rng(8).standard_normal(40)
    sums = np.column_stack([x, np.ones(40)])
    b = stats.bootstrap(sums, lambda s: s[..., 0] / s[..., 1], np.ones(40), np.random.default_rng(0), 4000)
    assert b.value == pytest.approx(x.mean())
    assert 1.0 <= b.stderr / (x.std(ddof=1) / np.sqrt(40)) < 1.15
    assert b.n_eff == pytest.approx(40)


def test_linearised_error_of_a_ratio_is_the_textbook_one():
    """Few clusters, so nothing is widened: sqrt(n / (n-1) sum (s_i - R w_i)^2) / sum w (Cochran, Sampling
    Techniques, equation 6.9)."""
    s, w = np.array([3.0, 5.0, 1.0]), np.array([2.0, 4.0, 1.0])
    b = stats.bootstrap(np.column_stack([s, w]), lambda t: t[..., 0] / t[..., 1], w, np.random.default_rng(0))
    ratio = s.sum() / w.sum()
    assert b.value == pytest.approx(ratio)
    assert b.stderr == pytest.approx(np.sqrt(1.5 * ((s - ratio * w) ** 2).sum()) / w.sum(), rel=1e-6)


def test_skewed_errors_are_covered():
    """Mean of 30 exponential errors, 400 repeats (binomial error 1.3 %): the upper bound of the plain
    t interval covers 89 %, the widened one 93 %."""
    rng = np.random.default_rng(12)
    above = 0
    for _ in range(400):
        sums = np.column_stack([rng.exponential(size=30), np.ones(30)])
        b = stats.bootstrap(sums, lambda s: s[..., 0] / s[..., 1], np.ones(30), rng, 400)
        above += b.value + stdtrit(b.n_eff - 1, 0.95) * b.stderr > 1.0
    assert 0.905 <= above / 400 <= 0.97


def test_one_frame_far_out_does_not_make_the_error_absurd():
    """Five frames, four alike: resamples without the fifth (a third of them) hardly scatter. The most that
    LEAST_ERROR lets through is (theta* - theta) / (0.2 stderr) over t = 2.13; without it 50 times stderr."""
    x = np.array([0.40, 0.41, 0.42, 0.43, 2.4])
    sums = np.column_stack([x, np.ones(5)])
    b = stats.bootstrap(sums, lambda s: s[..., 0] / s[..., 1], np.ones(5), np.random.default_rng(0))
    plain = x.std(ddof=1) / np.sqrt(5)
    assert 1.5 * plain < b.stderr < 2.5 * plain


def test_missing_sums_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        stats.bootstrap(
            np.array([[np.nan], [1.0]]), lambda s: s[..., 0], np.ones(2), np.random.default_rng(0)
        )


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
