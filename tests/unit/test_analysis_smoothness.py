"""Derivatives, noise, jumps: functions whose answers are known."""

import numpy as np
import pytest

from mlipbench.analysis import smoothness


def steep(x):
    """A repulsive wall, (1 + x)^-12."""
    return (1.0 + x) ** -12.0


LINE = np.arange(-0.2, 0.3001, 0.002)
PLACE = 0.0731  # between two points of the line


def test_derivative_is_of_fourth_order():
    """Oracle: exp. Without the extrapolation the errors would be 1e-4 and 3e-5."""
    errors = [
        abs(smoothness.derivative(np.exp(h * np.array(smoothness.STEPS)), h) - 1.0) for h in (0.04, 0.02)
    ]
    assert errors[0] < 1e-7
    assert errors[0] / errors[1] == pytest.approx(16.0, rel=0.05)


def test_noise_of_a_derivative():
    """Oracle: a thousand derivatives of pure noise."""
    values = np.random.default_rng(0).normal(size=(20_000, 4))
    spread = np.std(smoothness.derivative(values, 0.5))
    assert spread == pytest.approx(smoothness.DERIVATIVE_NOISE / 0.5, rel=0.02)


def test_noise_is_told_from_a_steep_function_and_from_a_jump():
    x = 5e-4 * np.arange(33)
    rng = np.random.default_rng(1)
    noisy = steep(x)[:, None] + 1e-6 * rng.normal(size=(33, 400))
    assert np.median(smoothness.noise(noisy)) == pytest.approx(1e-6, rel=0.1)
    # Seven of the 27 differences see the jump: the median moves up by 1.4, a mean would by 10^5.
    assert np.median(smoothness.noise(noisy + 0.5 * (x > 0.0081)[:, None])) < 1.6e-6
    assert smoothness.noise(steep(x)) < 1e-14


def test_float32_noise_is_its_rounding():
    """Oracle: rounding to nearest errs by the spacing over sqrt(12)."""
    x = 5e-4 * np.arange(33)
    values = np.float32(-277.0 + 3 * x[:, None] + np.linspace(0, 1, 200)).astype(float)
    assert np.median(smoothness.noise(values)) == pytest.approx(
        np.spacing(np.float32(277)) / 12**0.5, rel=0.25
    )


def test_coarsely_rounded_values_are_noticed():
    """Oracle: steps of 0.002, as of 30 keV in float32, while the function changes by 0.0003 a point."""
    values = 0.002 * np.round((0.6 * 5e-4 * np.arange(33)) / 0.002)
    assert smoothness.noise(values) == pytest.approx(0.002 / 12**0.5)


@pytest.mark.parametrize("size", [1e-4, -0.3])
def test_a_jump_is_found_where_it_is(size):
    found = smoothness.breaks(LINE, steep(LINE) + size * (LINE > PLACE))
    value, slope = found.value(0.0), found.slope(0.0)
    assert value.size == pytest.approx(size, rel=0.01)
    assert abs(value.position - PLACE) <= 0.001
    assert abs(slope.size) < 1e-3 * abs(size) / 0.002


@pytest.mark.parametrize("size", [0.5, -40.0])
def test_a_kink_is_no_jump(size):
    """A kink off the middle of its interval shifts one cubic against the other: that is no jump."""
    found = smoothness.breaks(LINE, steep(LINE) + size * np.maximum(LINE - PLACE, 0.0))
    value, slope = found.value(0.0), found.slope(0.0)
    assert slope.size == pytest.approx(size, rel=0.01)
    assert abs(slope.position - PLACE) <= 0.001
    assert value.size == 0.0


def test_a_smooth_function_and_noise_have_no_breaks():
    for sigma in (0.0, 1e-5):
        noise = sigma * np.random.default_rng(2).normal(size=LINE.shape)
        found = smoothness.breaks(LINE, steep(LINE) + noise)
        assert found.value(sigma).size == 0.0
        assert found.slope(sigma).size == 0.0
        assert found.value(sigma).resolution < 1e-4 + 60 * sigma


def test_a_step_that_noise_hides_is_below_the_resolution():
    noise = 1e-3 * np.random.default_rng(3).normal(size=LINE.shape)
    found = smoothness.breaks(LINE, steep(LINE) + noise + 1e-3 * (LINE > PLACE)).value(1e-3)
    assert found.size == 0.0
    assert found.resolution > 1e-3


def test_asymmetry_and_work_of_a_known_field():
    """F = A x with A = S + w J: |A - A^T| / |A + A^T| = w / |S|, and the loop's work is 2 w area."""
    symmetric, turn = np.diag([3.0, 1.0, 2.0]), np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 0]])
    field = symmetric + 0.5 * turn
    assert smoothness.asymmetry(symmetric) == 0.0
    expected = np.linalg.norm(0.5 * turn) / np.linalg.norm(symmetric)
    assert smoothness.asymmetry(field) == pytest.approx(expected)
    angles = 2 * np.pi * np.arange(12) / 12
    path = 0.1 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1) + 7.0
    assert smoothness.loop_work(path @ symmetric.T, path) == pytest.approx(0.0, abs=1e-12)
    assert smoothness.loop_work(path @ field.T, path) == pytest.approx(2 * 0.5 * np.pi * 0.01)


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="expected 20 values"):
        smoothness.noise(np.zeros(19))
    with pytest.raises(ValueError, match="evenly spaced"):
        smoothness.breaks(np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 10]), np.zeros(10))
