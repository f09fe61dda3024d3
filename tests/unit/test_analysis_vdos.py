"""Spectra of velocities and distances between spectra: oscillators, planted bands, known areas."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from mlipbench.analysis import vdos
from mlipbench.core.units import ACCELERATION, BOLTZMANN

OXYGEN, HYDROGEN = 8, 1


def oscillators(wavenumbers, masses, n_frames=20000, interval_fs=2.0, temperature=300.0, seed=0):
    """Velocities (n_frames, n_atoms, 3) of free oscillators with kT each and random phases."""
    t = interval_fs * np.arange(n_frames)[:, None, None]
    omega = 2 * np.pi * np.array(wavenumbers)[None, :, None] / vdos.PER_FS_IN_WAVENUMBERS
    amplitude = np.sqrt(2 * BOLTZMANN * temperature * ACCELERATION / np.array(masses))[None, :, None]
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, (1, len(masses), 3))
    return amplitude * np.cos(omega * t + phase)


def spectra(velocities, numbers, masses, parts=1, interval_fs=2.0, tau_fs=2000.0, temperature=300.0):
    found = vdos.VelocitySpectrum(np.array(numbers), np.array(masses, dtype=float), interval_fs, tau_fs)
    for piece in np.array_split(velocities, parts):
        found.add(piece)
    return found.spectra(temperature)


def test_oscillators_at_known_frequencies():
    """Oracle: the frequencies, and 3 degrees of freedom each. Angular for ordinary frequencies is 2 pi off, a
    one-sided transform without its factor 2 is off by 2."""
    velocities = oscillators([500.0, 1640.0, 3400.0], [16.0, 1.0, 1.0])
    found = spectra(velocities, [OXYGEN, HYDROGEN, HYDROGEN], [16.0, 1.0, 1.0])
    assert found.species == (HYDROGEN, OXYGEN)
    assert found.integral() == pytest.approx([6, 3], rel=2e-3)
    assert found.integral(0, 2500) == pytest.approx([3, 3], rel=5e-3)
    x = found.wavenumbers
    peaks = [x[found.density[1].argmax()], x[(x < 2500) * found.density[0].argmax()].max()]
    assert peaks[0] == pytest.approx(500, abs=3)
    for species, low, high, true in ((1, 0, 1000, 500), (0, 1000, 2500, 1640), (0, 2500, 5000, 3400)):
        series = found.series[:, species]
        centre = vdos.centroid(x, found.density[species], series, found.weights(low, high))
        assert centre.value == pytest.approx(true, abs=1.5)
    assert x[-1] == pytest.approx(8339.1, abs=0.1)  # half of 1 / 2 fs
    above = x[found.density[1] > 0.5 * found.density[1].max()]
    assert np.ptp(above) == pytest.approx(found.resolution, abs=2 * x[1])  # 1 / tau: 16.7 cm^-1


def test_the_integral_counts_the_degrees_of_freedom_of_noise_too():
    """Oracle: equipartition. White velocities have a flat spectrum up to half the sampling rate."""
    width = np.sqrt(BOLTZMANN * 300 * ACCELERATION / 12.0)
    velocities = width * np.random.default_rng(1).standard_normal((20000, 5, 3))
    found = spectra(velocities, [6] * 5, [12.0] * 5)
    kinetic = 12.0 * (velocities**2).sum(axis=(1, 2)).mean() / (BOLTZMANN * 300 * ACCELERATION)
    assert found.integral()[0] == pytest.approx(kinetic, rel=1e-3)
    assert kinetic == pytest.approx(15, rel=0.02)
    low, high = found.integral(0, 4000)[0], found.integral(4000)[0]
    assert low / high == pytest.approx(4000 / 4339, rel=0.03)


def test_pieces_of_any_length_give_the_same():
    velocities = oscillators([300.0, 900.0], [10.0, 2.0], 9000)
    one = spectra(velocities, [OXYGEN, HYDROGEN], [10.0, 2.0])
    many = spectra(velocities, [OXYGEN, HYDROGEN], [10.0, 2.0], parts=23)
    assert np.array_equal(one.series, many.series)
    assert len(one.series) == 4  # 9000 frames hold four segments of 2000


def test_correlation_is_the_direct_sum():
    """Oracle: the definition, term by term."""
    rng = np.random.default_rng(2)
    masses = np.array([3.0, 5.0])
    velocities = rng.standard_normal((40, 2, 3))
    found = vdos.VelocitySpectrum(np.array([1, 1]), masses, 1.0, 20.0)
    found.add(velocities)
    direct = [
        sum(float((masses[:, None] * velocities[k] * velocities[k + lag]).sum()) for k in range(40 - lag))
        / (40 - lag)
        for lag in range(21)
    ]
    correlation = found._correlations[0][0] / vdos.MASS_VELOCITY_SQUARED
    assert correlation == pytest.approx(direct, abs=1e-12)


def test_too_short_is_refused():
    with pytest.raises(ValueError, match="at least 2000 frames, one segment of 4 ps"):
        spectra(np.zeros((1999, 1, 3)), [1], [1.0])
    with pytest.raises(ValueError, match="at least four intervals of 2 fs"):
        vdos.VelocitySpectrum(np.array([1]), np.array([1.0]), 2.0, 6.0)


# ---------------------------------------------------------------- distances
GRID = np.linspace(0.0, 4000.0, 1001)


def bands(shift=0.0):
    return sum(
        weight * np.exp(-0.5 * ((GRID - shift - centre) / width) ** 2) / width
        for centre, width, weight in ((300.0, 60.0, 3.0), (1650.0, 40.0, 1.0), (3300.0, 100.0, 2.0))
    )


def test_moving_a_spectrum_by_100_gives_100():
    """Oracle: the shift. An L1 distance of 100 cm^-1 saturates near 1.3 for these bands."""
    for shift in (4.0, 100.0, -40.0, 200.0):
        found = vdos.wasserstein(GRID, 7 * bands(shift), GRID, bands())
        assert found == pytest.approx(abs(shift), rel=1e-4)
    coarse = np.linspace(0, 4000, 401)
    assert vdos.wasserstein(GRID, bands(100), coarse, np.interp(coarse, GRID, bands())) == pytest.approx(
        100, rel=1e-3
    )


def test_wasserstein_is_that_of_scipy():
    """Oracle: scipy, for point masses; ours for densities that are so many thin boxes."""
    f, g = bands(), np.exp(-0.5 * ((GRID - 1500) / 900) ** 2)
    expected = wasserstein_distance(GRID, GRID, f, g)
    assert vdos.wasserstein(GRID, f, GRID, g) == pytest.approx(expected, rel=1e-3)


def test_what_lies_beyond_the_reference_counts_as_lying_at_its_end():
    """Oracle: scipy, with wavenumbers clipped to the reference. A tail such as the kicks of a thermostat
    leave, 1 % of the weight beyond the reference's end at 3600 cm^-1, makes 21.4; where it lies, 23.4.
    """
    tail = np.where(GRID > 3600, 1.0, 0.0)
    tail *= 0.01 * bands().sum() / tail.sum()
    known = GRID <= 3600
    found = vdos.wasserstein(GRID, bands() + tail, GRID[known], bands()[known])
    clipped = np.minimum(GRID, 3600)
    assert found == pytest.approx(
        wasserstein_distance(clipped, GRID[known], bands() + tail, bands()[known]), rel=2e-2
    )
    series = np.repeat((bands() + tail)[None], 8, axis=0)
    d = vdos.distance(
        GRID, series, GRID[known], bands()[known], np.zeros(known.sum()), np.random.default_rng(0)
    )
    assert d.value == pytest.approx(found, rel=1e-9)


def test_width_and_empty_spectra():
    assert vdos.width(GRID, np.exp(-0.5 * ((GRID - 2000) / 150) ** 2)) == pytest.approx(150, rel=1e-6)
    with pytest.raises(ValueError, match="integral of 0 or below"):
        vdos.wasserstein(GRID, np.zeros(1001), GRID, bands())


def noisy(rng, shift, n=20):
    """Segments of a spectrum whose bins are exponential, as periodograms are."""
    smooth = np.ones(9) / 9
    return np.array(
        [np.convolve(bands(shift) * rng.exponential(size=1001), smooth, "same") for _ in range(n)]
    )


def test_distance_has_an_error_that_covers_and_a_floor():
    """Oracle: shift 0 (the value is the noise floor) and 30 cm^-1."""
    rng = np.random.default_rng(3)
    truth = np.convolve(bands(), np.ones(9) / 9, "same")
    none, moved = (
        [vdos.distance(GRID, noisy(rng, shift), GRID, truth, np.zeros(1001), rng) for _ in range(20)]
        for shift in (0.0, 30.0)
    )
    assert np.mean([d.value for d in none]) == pytest.approx(np.mean([d.floor for d in none]), rel=0.3)
    z = [(d.value - 30) / d.stderr for d in moved]
    assert np.abs(np.mean(z)) < 1.5
    assert np.std(z) < 1.6
    assert none[0].width == pytest.approx(vdos.width(GRID, truth))
    rough = vdos.distance(GRID, noisy(rng, 0.0), GRID, truth, 0.3 * truth, rng)
    assert rough.floor > none[0].floor
    assert rough.stderr > none[0].stderr
