"""Diffusion coefficients: Brownian and Langevin particles with known D, solids, the size of the cell."""

import numpy as np
import pytest
from scipy.special import stdtrit

from mlipbench.analysis import diffusion
from mlipbench.core.units import ACCELERATION, BOLTZMANN

FRICTION, MASS, TEMPERATURE = 0.01, 20.0, 300.0  # 1/fs, u, K
D_LANGEVIN = BOLTZMANN * TEMPERATURE * ACCELERATION / (MASS * FRICTION) * 1000.0  # kT / m gamma, A^2/ps


def langevin_particles(n_frames, n_atoms, interval_fs, rng):
    """Exact free Ornstein-Uhlenbeck particles at intervals: (n_frames, n_atoms, 3) A.

    D. T. Gillespie, Phys. Rev. E 54, 2084 (1996): v and x after an interval are jointly normal.
    """
    h, g = interval_fs, FRICTION
    vv = BOLTZMANN * TEMPERATURE * ACCELERATION / MASS
    c = np.exp(-g * h)
    var_v, var_x = vv * (1 - c**2), vv / g**2 * (2 * g * h - 3 + 4 * c - c**2)
    cov = vv / g * (1 - c) ** 2
    v = np.sqrt(vv) * rng.standard_normal((n_atoms, 3))
    x = np.zeros((n_atoms, 3))
    frames = np.empty((n_frames, n_atoms, 3))
    for k in range(n_frames):
        frames[k] = x
        a, b = rng.standard_normal((2, n_atoms, 3))
        x = x + v * (1 - c) / g + cov / np.sqrt(var_v) * a + np.sqrt(var_x - cov**2 / var_v) * b
        v = c * v + np.sqrt(var_v) * a
    return frames


def measured(frames, interval_fs=50.0, longest_fs=3000.0, parts=1, numbers=None, masses=None):
    n = frames.shape[1]
    numbers = np.full(n, 18) if numbers is None else numbers
    masses = np.full(n, MASS) if masses is None else masses
    found = diffusion.Displacements(numbers, masses, interval_fs, longest_fs)
    for part in np.array_split(frames, parts):
        found.add(part)
    return found.displacements()


def test_free_langevin_particles():
    """Oracle: D = kT / (m gamma), the centre of mass taking 1/N of it away. A factor 2 or 3, fs for
    ps, or a fit that begins in free flight shows."""
    frames = langevin_particles(1200, 60, 50.0, np.random.default_rng(0))
    d = measured(frames)[18]
    found = d.coefficient(1.0, 3.0)
    truth = D_LANGEVIN * (1 - 1 / 60)
    assert found.value == pytest.approx(truth, abs=3 * found.stderr)
    assert found.stderr < 0.1 * truth
    assert d.exponent(1.0, 3.0) == pytest.approx(1.0, abs=0.1)
    assert d.lags_ps[0] == d.msd[0] == 0


def covered(repeats, rng):
    inside = 0
    for _ in range(repeats):
        found = measured(langevin_particles(600, 12, 50.0, rng), longest_fs=1500.0)[18].coefficient(0.75, 1.5)
        truth = D_LANGEVIN * (1 - 1 / 12)
        inside += abs(found.value - truth) <= stdtrit(found.n_eff - 1, 0.975) * found.stderr
    return inside / repeats


def test_error_bars_cover():
    """Oracle: as above. 60 repeats, binomial error 2.8 %; an error bar 30 % short covers 83 %."""
    assert covered(60, np.random.default_rng(1)) >= 0.87


@pytest.mark.physics
def test_error_bars_cover_in_500_repeats():
    assert covered(500, np.random.default_rng(2)) >= 0.92


def test_drift_of_the_centre_of_mass_is_no_diffusion():
    """Oracle: the same frames at rest. A drift of 1 A/ps would add v^2 t/3, five times D."""
    rng = np.random.default_rng(3)
    frames = langevin_particles(400, 20, 50.0, rng)
    drift = 0.05 * np.arange(400)[:, None, None] * np.array([1.0, 0.5, 0.0])
    one, two = (measured(x)[18].coefficient(1.0, 3.0).value for x in (frames, frames + drift))
    assert two == pytest.approx(one, rel=1e-9)


def test_species_apart_and_pieces_of_any_length():
    rng = np.random.default_rng(4)
    quick, still = langevin_particles(500, 10, 50.0, rng), 0.1 * rng.standard_normal((500, 30, 3))
    frames = np.concatenate([quick, still], axis=1)
    numbers, masses = np.array([3] * 10 + [8] * 30), np.array([1e-6] * 10 + [16.0] * 30)
    whole = measured(frames, numbers=numbers, masses=masses)
    pieces = measured(frames, numbers=numbers, masses=masses, parts=17)
    for z in (3, 8):
        assert np.array_equal(whole[z].series, pieces[z].series)
        assert whole[z].farthest == pieces[z].farthest
    assert whole[3].coefficient(1, 3).value > 100 * abs(whole[8].coefficient(1, 3).value)
    assert whole[8].msd[-1] == pytest.approx(6 * 0.01, rel=0.05)  # twice the mean squared vibration
    assert whole[8].exponent(1, 3) == pytest.approx(0, abs=0.05)
    assert whole[8].farthest < 1.0 < whole[3].farthest


def test_finite_size_correction_of_water():
    """Oracle: the formula in SI units. A cube of 12.4 A of water at 298 K (0.9 mPa s) lacks 0.055 A^2/ps."""
    si = 2.837297 * 1.380649e-23 * 298 / (6 * np.pi * 0.9e-3 * 12.4e-10)  # m^2/s
    assert diffusion.finite_size(298.0, 12.4, 0.9) == pytest.approx(si * 1e8, rel=1e-6)


def test_bound_where_nothing_jumps():
    """Oracle: Poisson. Jumps at the bound's rate leave none at all in 5 % of all runs."""
    bound = diffusion.immobile_bound(64, 2.0, 100.0)
    rate = 6 * bound / 2.0**2
    assert np.exp(-rate * 64 * 100.0) == pytest.approx(0.05)


def test_too_short_is_refused():
    frames = np.zeros((119, 2, 3))
    with pytest.raises(ValueError, match="at least 120 frames, one segment of 6 ps"):
        measured(frames)
    with pytest.raises(ValueError, match="at least four of 50 fs"):
        measured(frames, longest_fs=150.0)
    with pytest.raises(ValueError, match="at least three lags"):
        measured(np.zeros((200, 2, 3)))[18].coefficient(2.95, 3.0)
