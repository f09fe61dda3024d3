import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlipbench.core.errors import PotentialError
from mlipbench.potentials.neighbours import NeighbourList


def brute_force(positions, cell, pbc, cutoff):
    """All pairs by looking at every image: an independent, slow oracle."""
    reach = [range(-5, 6) if p else range(1) for p in pbc]
    pairs = []
    for i in range(len(positions)):
        for j in range(len(positions)):
            for shift in np.array(np.meshgrid(*reach, indexing="ij")).reshape(3, -1).T:
                vector = positions[j] - positions[i] + shift @ cell
                if np.linalg.norm(vector) < cutoff and (i != j or shift.any()):
                    pairs.append((i, j, *vector))
    return pairs


def as_rows(pairs):
    rows = np.column_stack([pairs.i, pairs.j, pairs.vectors.T])
    return rows[np.lexsort(np.round(rows.T[::-1], 6))]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    n=st.integers(1, 5),
    zero_rows=st.booleans(),
)
def test_pairs_equal_brute_force(seed, pbc, n, zero_rows):
    # Sheared cells smaller than the cutoff, atoms outside the cell, any periodicity.
    rng = np.random.default_rng(seed)
    cell = 3.5 * np.eye(3) + rng.uniform(-0.8, 0.8, (3, 3))
    pbc = np.array(pbc)
    if zero_rows:
        cell[~pbc] = 0.0
    positions = rng.uniform(-4, 8, (n, 3))
    expected = np.array(brute_force(positions, cell, pbc, 4.0)).reshape(-1, 5)
    expected = expected[np.lexsort(np.round(expected.T[::-1], 6))]
    got = as_rows(NeighbourList(1, n, pbc, 4.0).pairs(positions[None], cell[None]))
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_half_list_holds_every_pair_once():
    rng = np.random.default_rng(1)
    positions, cell, pbc = rng.uniform(0, 3, (1, 4, 3)), 3.0 * np.eye(3)[None], np.ones(3, bool)
    full = NeighbourList(1, 4, pbc, 4.0).pairs(positions, cell)
    half = NeighbourList(1, 4, pbc, 4.0, half=True).pairs(positions, cell)
    both = np.concatenate(
        [
            np.column_stack([half.i, half.j, half.vectors.T]),
            np.column_stack([half.j, half.i, -half.vectors.T]),
        ]
    )
    both = both[np.lexsort(np.round(both.T[::-1], 6))]
    np.testing.assert_allclose(both, as_rows(full), atol=1e-12)


def test_order_does_not_depend_on_when_the_list_was_built():
    # Drifting atoms: the list of an old build, filtered, equals a new one bit for bit.
    rng = np.random.default_rng(2)
    cell, pbc = np.diag([6.0, 7.0, 8.0])[None], np.ones(3, bool)
    positions = rng.uniform(0, 6, (1, 12, 3))
    old = NeighbourList(1, 12, pbc, 3.0)
    rebuilt = 0
    for _ in range(60):
        positions = positions + rng.normal(0, 0.02, positions.shape)
        before = old._joined
        drifted = old.pairs(positions, cell)
        rebuilt += old._joined is not before
        fresh = NeighbourList(1, 12, pbc, 3.0).pairs(positions, cell)
        for name in ("i", "j", "vectors", "distances"):
            assert np.array_equal(getattr(drifted, name), getattr(fresh, name))
    assert 2 < rebuilt < 30  # the skin is used, and is left in time


@pytest.mark.parametrize("isotropic", [True, False], ids=["scaled", "sheared"])
def test_a_moving_cell_carries_the_list(isotropic):
    # Oracle: a new list, bit for bit, while the cell breathes (or is sheared), atoms drift and one replica's
    # cell rests. A list kept by the displacements alone loses pairs after a few per cent of strain.
    rng = np.random.default_rng(4)
    cells, pbc = np.stack([np.diag([6.0, 7.0, 8.0])] * 2), np.ones(3, bool)
    positions = rng.uniform(-3, 9, (2, 12, 3))
    old = NeighbourList(2, 12, pbc, 3.0)
    rebuilds, rebuild = 0, old._rebuild

    def counted(*arguments):
        nonlocal rebuilds
        rebuilds += 1
        rebuild(*arguments)

    old._rebuild = counted
    for _ in range(100):
        change = (
            np.eye(3) * (1 + rng.normal(0, 0.008)) if isotropic else np.eye(3) + rng.normal(0, 0.004, (3, 3))
        )
        cells[0] = cells[0] @ change
        positions[0] = (positions[0] - 5.0) @ change + 5.0
        positions = positions + rng.normal(0, 0.015, positions.shape)
        kept = old.pairs(positions, cells)
        fresh = NeighbourList(2, 12, pbc, 3.0).pairs(positions, cells)
        for name in ("i", "j", "vectors", "distances"):
            assert np.array_equal(getattr(kept, name), getattr(fresh, name))
    assert 4 < rebuilds < 40  # of two replicas in 100 steps: the skin is used, and is left in time


def test_the_list_is_cut_as_numpy_cuts_it():
    # Oracle: numpy, bit for bit, also for a cutoff whose square rounds, and for atoms just at it.
    rng = np.random.default_rng(5)
    cells, cutoff = np.stack([np.diag([6.0, 7.0, 8.0])] * 2), 2.9 + 1e-3 * np.pi
    positions = rng.uniform(-3, 9, (2, 40, 3))
    positions[0, 1] = positions[0, 0] + [cutoff, 0.0, 0.0]
    neighbours = NeighbourList(2, 40, np.ones(3, bool), cutoff)
    found, listed = neighbours.pairs(positions, cells), neighbours.listed(positions, cells)
    x = positions.reshape(-1, 3)
    vectors = x.T[:, listed.j] - x.T[:, listed.i] + listed.offsets
    squared = vectors[0] * vectors[0] + vectors[1] * vectors[1] + vectors[2] * vectors[2]
    kept = squared < cutoff**2
    assert np.array_equal(found.i, listed.i[kept])
    assert np.array_equal(found.j, listed.j[kept])
    assert np.array_equal(found.vectors, vectors[:, kept])
    assert np.array_equal(found.distances, np.sqrt(squared[kept]))
    assert found.vectors.base is None  # no view of anything larger
    assert 1.2 * len(found.i) < len(listed.i)
    assert neighbours.listed(positions + 0.1, cells) is listed  # within the skin


def test_pairs_are_sorted_and_numbered_by_replica():
    rng = np.random.default_rng(3)
    positions = rng.uniform(0, 5, (3, 6, 3))
    pairs = NeighbourList(3, 6, np.ones(3, bool), 3.0).pairs(positions, np.stack([5.0 * np.eye(3)] * 3))
    order = np.lexsort((pairs.j, pairs.i))
    assert np.array_equal(order, np.arange(len(order)))
    assert np.array_equal(pairs.i // 6, pairs.j // 6)
    assert set(pairs.i // 6) == {0, 1, 2}


def test_a_changed_cell_is_noticed():
    positions = np.array([[[0.0, 0, 0], [1.0, 0, 0]]])
    neighbours = NeighbourList(1, 2, np.ones(3, bool), 2.5)
    wide = neighbours.pairs(positions, 10.0 * np.eye(3)[None])
    narrow = neighbours.pairs(positions, np.diag([3.0, 10.0, 10.0])[None])
    assert len(wide.i) == 2
    assert sorted(narrow.distances) == [1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e9])
def test_positions_that_are_no_numbers_have_no_pairs(bad):
    positions = np.zeros((2, 2, 3))
    positions[:, 1, 0] = 1.0
    cells = np.stack([10.0 * np.eye(3)] * 2)
    neighbours = NeighbourList(2, 2, np.ones(3, bool), 2.0)
    neighbours.pairs(positions, cells)
    positions[1, 0, 0] = bad
    pairs = neighbours.pairs(positions, cells)
    assert neighbours.unusable.tolist() == [False, True]
    assert pairs.i.tolist() == [0, 1]


def test_flat_cell_is_refused():
    with pytest.raises(PotentialError, match="linearly independent"):
        NeighbourList(1, 1, np.array([True, True, False]), 2.0).pairs(np.zeros((1, 1, 3)), np.ones((1, 3, 3)))
