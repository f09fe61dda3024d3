"""The closest pair, against all pairs of all images."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlipbench.simulate.contacts import ClosestContact


def brute_force(positions, cell, pbc):
    """Oracle: every pair in every image up to three cells away."""
    images = itertools.product(*[range(-3, 4) if p else (0,) for p in pbc])
    shortest = np.inf
    for image in images:
        apart = positions[None] - positions[:, None] + np.array(image) @ cell
        distances = np.linalg.norm(apart, axis=2)
        if not any(image):
            distances = distances[~np.eye(len(positions), dtype=bool)]
        shortest = min(shortest, distances.min(initial=np.inf))
    return shortest


PBC = [(True, True, True), (True, True, False), (False, True, False), (False, False, False)]


@pytest.mark.parametrize("pbc", PBC, ids=["bulk", "slab", "wire", "cluster"])
@given(seed=st.integers(0, 10**6), n_atoms=st.integers(1, 12), size=st.floats(1.5, 15.0))
@settings(max_examples=25, deadline=None)
def test_closest_pair_while_atoms_wander(pbc, seed, n_atoms, size):
    """Small and skewed cells, atoms outside the cell, a list that is used again: catches a minimum image
    taken where several count, and a list kept too long (errors of the size of a step, 0.1 to 1 A)."""
    random = np.random.default_rng(seed)
    pbc = np.array(pbc)
    cell = size * (np.eye(3) + random.uniform(-0.2, 0.2, (3, 3)))
    if seed % 2:
        cell[~pbc] = 0.0
    positions = random.uniform(-size, 2 * size, (n_atoms, 3))
    contact = ClosestContact(pbc)
    for _ in range(12):
        found = contact(np.ascontiguousarray(positions.T), cell)
        wanted = brute_force(positions, cell, pbc)
        assert found == pytest.approx(wanted, abs=1e-9)
        fresh = ClosestContact(pbc)(np.ascontiguousarray(positions.T), cell)
        assert found == fresh  # bit for bit, whatever the list's history
        positions = positions + random.normal(0, 0.1, positions.shape)


def test_far_away_atoms_are_no_burden():
    """A replica about to be ended may have atoms thrown far off."""
    positions = np.array([[0.0, 0, 0], [1e7, 0, 0], [1e7, 2.0, 0]])
    columns = np.ascontiguousarray(positions.T)
    assert ClosestContact(np.array([False] * 3))(columns, np.zeros((3, 3))) == pytest.approx(2.0)
    cell = 10.0 * np.eye(3)
    assert ClosestContact(np.array([True] * 3))(columns, cell) == pytest.approx(0.0, abs=1e-6)
