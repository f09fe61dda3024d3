"""Oracles: synthetic series whose drift, noise and steps were planted."""

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import stdtrit

from mlipbench.analysis.drift import FEWEST_SAMPLES, drift, jumps

N, REPEATS, SLOPE = 1000, 500, 0.02
TIME = np.arange(N) * 0.05


def autoregressive(rng, memory):
    noise = rng.standard_normal(N + int(20 * memory))
    return lfilter([1.0], [1.0, -np.exp(-1 / memory)], noise)[-N:]


def oscillation(rng, period=20.0, quality=5.0):
    """A thermally kicked oscillator: energies that swing about a line, anticorrelated."""
    r = np.exp(-np.pi / (quality * period))
    feedback = [1.0, -2 * r * np.cos(2 * np.pi / period), r * r]
    return lfilter([1.0], feedback, rng.standard_normal(N + 2000))[-N:]


NOISES = {
    "white": lambda rng: rng.standard_normal(N),
    "memory of 3 samples": lambda rng: autoregressive(rng, 3),
    "memory of 30 samples": lambda rng: autoregressive(rng, 30),
    "memory of a tenth of the run": lambda rng: autoregressive(rng, 100),
    "oscillation": oscillation,
    "random walk": lambda rng: np.cumsum(rng.standard_normal(N)),
    "random walk under white noise": lambda rng: (
        np.cumsum(rng.standard_normal(N)) + 10 * rng.standard_normal(N)
    ),
}


# Least and most coverage of 500 series: 95 % -+ 3 binomial errors (0.98 %) where the claim is exact;
# conservative for a series of ten memories; a walk hidden in white noise is the known weak spot.
EXPECTED = {
    "memory of a tenth of the run": (0.96, 1.0),
    "oscillation": (0.92, 0.995),
    "random walk under white noise": (0.68, 0.98),
}


@pytest.mark.parametrize("noise", NOISES)
def test_interval_covers_the_planted_drift(noise):
    """An error that took a walk for white noise would cover below 20 %, one that took white noise for a walk
    would always be five times too wide; half of these are within twice the ideal, or four times where the
    memory is a tenth to a thirtieth of the run."""
    rng = np.random.default_rng(7)
    found = [drift(TIME, SLOPE * TIME + NOISES[noise](rng)) for _ in range(REPEATS)]
    slopes = np.array([d.slope for d in found])
    half_widths = np.array([stdtrit(d.n_eff - 1, 0.975) * d.stderr for d in found])
    least, most = EXPECTED.get(noise, (0.92, 0.98))
    assert least <= np.mean(np.abs(slopes - SLOPE) < half_widths) <= most
    widest = 5 if noise in ("memory of 30 samples", "memory of a tenth of the run") else 2
    assert np.median(half_widths) < widest * 1.96 * slopes.std()
    assert abs(slopes.mean() - SLOPE) < 4 * slopes.std() / np.sqrt(REPEATS)


def test_white_noise_error_is_near_the_least_squares_error():
    """Analytic: sigma sqrt(12 / N) / T. A factor two either way would be caught."""
    rng = np.random.default_rng(3)
    errors = [drift(TIME, rng.standard_normal(N)).stderr for _ in range(100)]
    exact = np.sqrt(12 / N) / TIME[-1]
    assert 0.7 * exact < np.median(errors) < 1.4 * exact


def test_oscillation_of_a_short_run_gives_a_useful_error():
    """0.5 ps of a pure oscillation of 1 meV: the error must allow to say |drift| < 1 meV/atom/ps, and not
    claim more than the phase allows (an end effect of about 12 A P / (2 pi T^2))."""
    time = np.linspace(0, 0.5, 101)
    for phase in np.linspace(0, 2 * np.pi, 9):
        found = drift(time, np.cos(2 * np.pi * time / 0.03 + phase))
        assert abs(found.slope) < 0.4
        assert abs(found.slope) < 3 * found.stderr < 3.0


def test_random_walk_and_white_noise_are_told_apart():
    rng = np.random.default_rng(5)
    walks = [drift(TIME, np.cumsum(rng.standard_normal(N))).random_walk for _ in range(20)]
    whites = [drift(TIME, rng.standard_normal(N)).random_walk for _ in range(20)]
    assert np.mean(walks) > 0.8
    assert np.mean(whites) < 0.3


def test_exact_line_constant_and_scale():
    line = drift(TIME, 3.0 + 0.25 * TIME)
    assert line.slope == pytest.approx(0.25, rel=1e-12)
    assert line.offset == pytest.approx(3.0, rel=1e-9)
    assert line.stderr < 1e-9
    assert drift(TIME, np.full(N, 5.0)).slope == pytest.approx(0.0, abs=1e-15)
    noise = np.random.default_rng(0).standard_normal(N)
    small, large = drift(TIME, noise), drift(TIME, 1e3 * noise + 1e6)
    assert large.slope == pytest.approx(1e3 * small.slope, rel=1e-6)
    assert large.stderr == pytest.approx(1e3 * small.stderr, rel=1e-6)


def test_a_huge_offset_costs_nothing():
    noise = 1e-6 * np.random.default_rng(0).standard_normal(N)
    small, large = drift(TIME, noise), drift(TIME, 1e5 + noise)
    assert large.slope == pytest.approx(small.slope, rel=1e-3)  # 1e5 has 1.5e-11 of resolution
    assert large.stderr == pytest.approx(small.stderr, rel=1e-3)


@pytest.mark.parametrize("spread", [0.1, 0.5, 2.0])
def test_steps_of_single_precision_are_covered(spread):
    """Energies stored in steps of 2 meV, noise of 0.2 to 4 meV: 200 series, binomial error 1.5 %."""
    rng = np.random.default_rng(17)
    covered = 0
    for _ in range(200):
        true = rng.uniform(-0.5, 0.5)
        values = true * TIME + 2 * spread * rng.standard_normal(N) + rng.uniform(0, 2)
        found = drift(TIME, 2.0 * np.round(values / 2.0))
        covered += abs(found.slope - true) < stdtrit(found.n_eff - 1, 0.975) * found.stderr
    assert covered / 200 >= 0.905


def test_what_is_no_series_is_refused():
    values = np.zeros(50)
    values[7] = np.nan
    with pytest.raises(ValueError, match="1 of 50 samples are not finite, the first is nan at index 7"):
        drift(TIME[:50], values)
    with pytest.raises(ValueError, match="50 times and 49 values"):
        drift(TIME[:50], values[:49])
    with pytest.raises(ValueError, match="time to grow"):
        drift(np.zeros(50), np.zeros(50))


@pytest.mark.parametrize("n", [0, 1, 2, FEWEST_SAMPLES - 1])
def test_too_few_samples_have_no_error(n):
    assert drift(TIME[:n], np.arange(n, dtype=float)).stderr is None


@pytest.mark.parametrize("n", [FEWEST_SAMPLES, 13, 50, 101, 383, 392, 5001])
def test_any_length_works(n):
    rng = np.random.default_rng(n)
    time = np.arange(n) * 0.1
    found = drift(time, 0.7 * time + 0.01 * rng.standard_normal(n))
    assert abs(found.slope - 0.7) < 5 * found.stderr < 0.2


def test_jumps_are_found_where_they_were_planted():
    rng = np.random.default_rng(1)
    values = 0.1 * rng.standard_normal(N) + SLOPE * TIME
    values[300:] += 1.0
    values[700:] -= 2.0
    found = jumps(values)
    assert [j.index for j in found] == pytest.approx([300, 700], abs=5)
    assert [j.size for j in found] == pytest.approx([1.0, -2.0], abs=0.25)


@pytest.mark.parametrize("noise", NOISES)
def test_no_jumps_without_steps(noise):
    """False alarms in 50 series: a threshold that forgot the number of windows would give dozens."""
    rng = np.random.default_rng(11)
    assert sum(len(jumps(SLOPE * TIME + NOISES[noise](rng))) for _ in range(50)) == 0
