"""Relaxation: known minima, and ends that are no minimum."""

import numpy as np
import pytest
from ase.build import bulk

from mlipbench.core.errors import PotentialError
from mlipbench.core.potential import BatchEvaluation
from mlipbench.core.structure import Structure
from mlipbench.potentials import faulty
from mlipbench.potentials.analytic import lennard_jones_argon, stillinger_weber_silicon
from mlipbench.simulate.relax import relax

SIGMA, EPSILON = 3.4, 120.0 * 8.617333262e-5


def dimer(r):
    return Structure(
        np.array([18, 18]),
        np.array([[0.0, 0, 0], [r, 0, 0]]),
        np.zeros((3, 3)),
        np.zeros(3, bool),
        np.ones(2),
    )


def rattled_silicon(size=0.15):
    s = Structure.from_ase(bulk("Si", cubic=True, a=5.431) * (2, 2, 1))
    noise = size * np.random.default_rng(4).standard_normal(s.positions.shape)
    return s.with_positions(s.positions + noise)


@pytest.mark.parametrize("r", [2.0, 3.2, 4.6])
def test_dimer_finds_the_minimum_of_lennard_jones(r):
    """r = 2^(1/6) sigma and E = -epsilon by theory (the switch begins at 7 A). From 2.0 A the first force
    is 330 eV/A; the tolerance of 1e-7 eV/A is 2e-6 A at the dimer's stiffness of 57 epsilon/sigma^2."""
    relaxed, energy = relax(lennard_jones_argon(), dimer(r), 1e-7, 500)
    distance = np.linalg.norm(relaxed.positions[1] - relaxed.positions[0])
    assert distance == pytest.approx(2 ** (1 / 6) * SIGMA, abs=1e-5)
    assert energy == pytest.approx(-EPSILON, abs=1e-12)


def test_rattled_silicon_returns_to_the_crystal():
    """Diamond at -4.3366 eV/atom (Stillinger, Weber 1985: -2 epsilon); a wrong sign of the force, or a stop
    half way, would be far above 1e-4 eV/atom."""
    potential, start = stillinger_weber_silicon(), rattled_silicon()
    relaxed, energy = relax(potential, start, 1e-3, 500)
    assert energy / len(start) == pytest.approx(-4.3366, abs=1e-4)
    answer = potential.evaluate([relaxed])[0]
    assert np.abs(answer.forces).max() <= 1e-3
    assert answer.energy == pytest.approx(energy, abs=1e-9)
    assert np.array_equal(relaxed.cell, start.cell)


def test_equal_input_gives_equal_bits_and_every_evaluation_is_ticked():
    ticks = []
    first = relax(stillinger_weber_silicon(), rattled_silicon(), 1e-3, 500, lambda: ticks.append(1))
    second = relax(stillinger_weber_silicon(), rattled_silicon(), 1e-3, 500)
    assert first[0].hash == second[0].hash
    assert first[1] == second[1]
    assert 10 < len(ticks) < 200


def test_budget_is_kept_and_the_energy_never_rises():
    potential, start = stillinger_weber_silicon(), rattled_silicon()
    energies = [relax(potential, start, 1e-3, n)[1] for n in (1, 5, 20)]
    assert energies[0] == potential.evaluate([start])[0].energy
    assert energies[0] > energies[1] > energies[2]


def test_curled_forces_end_the_descent():
    """With no energy behind the forces the search ends by itself, far below the budget, no higher."""
    ticks = []
    potential, start = faulty.non_conservative(stillinger_weber_silicon(), 2.0), rattled_silicon()
    _, energy = relax(potential, start, 1e-6, 10_000, lambda: ticks.append(1))
    assert energy <= potential.evaluate([start])[0].energy
    assert len(ticks) < 5000


class Cliff(faulty.Faulty):
    """NaN wherever the first two atoms are closer than 3.9 A."""

    def spoil(self, structure, positions, answer):
        near = np.linalg.norm(positions[:, 0] - positions[:, 1], axis=1) < 3.9
        return BatchEvaluation(np.where(near, np.nan, answer.energies), answer.forces)


def test_what_is_no_number_ends_it_at_the_lowest_point_before():
    potential = Cliff(lennard_jones_argon())
    relaxed, energy = relax(potential, dimer(4.6), 1e-7, 500)
    assert np.isfinite(energy)
    assert energy < potential.evaluate([dimer(4.6)])[0].energy
    assert np.linalg.norm(relaxed.positions[1] - relaxed.positions[0]) >= 3.9
    with pytest.raises(PotentialError, match="cannot be relaxed"):
        relax(potential, dimer(3.0), 1e-7, 500)


def test_nearby_minimum_is_not_jumped_over():
    """A trap at 1.7 A with 60 eV: from its steep inner side, at 1.4 A, a first step of full length would
    land beyond the barrier at 2.1 A, in the ordinary minimum at -2.2 eV."""
    potential = faulty.hole(stillinger_weber_silicon())
    start = Structure(
        np.array([14, 14]), dimer(1.4).positions, np.zeros((3, 3)), np.zeros(3, bool), np.ones(2)
    )
    relaxed, energy = relax(potential, start, 1e-3, 500)
    assert np.linalg.norm(relaxed.positions[1] - relaxed.positions[0]) == pytest.approx(1.7, abs=0.03)
    assert energy < -57
