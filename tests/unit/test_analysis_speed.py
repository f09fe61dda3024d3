"""Medians, ratios, exponents: times whose answers are known. Supercells that come near a size."""

import numpy as np
import pytest
from ase.build import bulk, molecule

from mlipbench.analysis import speed
from mlipbench.core.speed import SpeedRequest, repeated
from mlipbench.core.structure import Structure


def test_error_of_a_median_is_honest():
    """Oracle: the scatter of medians of many drawn series."""
    drawn = 10.0 + np.random.default_rng(0).normal(size=(4000, 15))
    found = [speed.median(row) for row in drawn]
    spread = np.std([t.value for t in found])
    assert np.mean([t.stderr for t in found]) == pytest.approx(spread, rel=0.15)


def test_two_rounds_have_no_error():
    assert speed.median([1.0, 2.0]) == speed.Timed(1.5, None, 2)


def test_ratio_is_taken_round_by_round():
    """Rounds that a busy machine slowed down threefold slow both: the ratio keeps to 4 within its noise."""
    rng = np.random.default_rng(1)
    ours = rng.uniform(1.0, 3.0, 50)
    found = speed.ratio(ours, 4.0 * ours * rng.normal(1.0, 0.01, 50))
    assert found.value == pytest.approx(4.0, abs=4 * found.stderr)
    assert found.stderr < 0.02


def test_exponent_with_its_error():
    sizes = [192, 1000, 10_000]
    exact = [speed.Timed(1e-3 * n**1.2, 0.0, 7) for n in sizes]
    assert speed.exponent(sizes, exact).value == pytest.approx(1.2)
    noisy = [speed.Timed(t.value, 0.1 * t.value, 7) for t in exact]
    rng = np.random.default_rng(2)
    drawn = [
        speed.exponent(
            sizes, [speed.Timed(t.value * np.exp(0.1 * rng.normal()), None, 7) for t in exact]
        ).value
        for _ in range(2000)
    ]
    assert speed.exponent(sizes, noisy).stderr == pytest.approx(np.std(drawn), rel=0.1)


def test_nanoseconds_per_day():
    """4 ms a step of 0.5 fs: 86400 / 0.004 * 0.5e-6 ns."""
    found = speed.nanoseconds_per_day(speed.Timed(4.0, 0.4, 7), 0.5)
    assert found.value == pytest.approx(10.8)
    assert found.stderr == pytest.approx(1.08)


@pytest.mark.parametrize(
    ("atoms", "sizes", "expected"),
    [
        (bulk("Si", cubic=True, a=5.43), (64, 192, 1000), [(2, 2, 2), (2, 3, 4), (5, 5, 5)]),
        (bulk("Si", cubic=True, a=5.43) * (2, 2, 2), (192, 512), [(1, 1, 3), (2, 2, 2)]),
        (bulk("Si", cubic=True, a=5.43) * (2, 2, 2), (10, 64), [(1, 1, 1)]),
        (molecule("H2O"), (192, 1000), [(1, 1, 1)]),
    ],
)
def test_supercells_come_near_the_sizes(atoms, sizes, expected):
    found = SpeedRequest(Structure.from_ase(atoms), sizes).cells()
    assert [tuple(sorted(cells)) for cells in found] == [tuple(sorted(cells)) for cells in expected]


def test_supercell_is_that_of_ase():
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    ours, theirs = repeated(Structure.from_ase(atoms), (2, 1, 3)), Structure.from_ase(atoms * (2, 1, 3))
    assert np.allclose(ours.positions, theirs.positions, atol=1e-12)
    assert np.allclose(ours.cell, theirs.cell)
    assert np.array_equal(ours.numbers, theirs.numbers)
