"""Initial velocities, degrees of freedom, random streams."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk, molecule

from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import NVE, Langevin, MaxwellBoltzmann, TrajectorySpec, VelocityRescaling
from mlipbench.core.units import BOLTZMANN, MASS_VELOCITY_SQUARED
from mlipbench.simulate.state import State, generator, initial
from mlipbench.simulate.velocities import degrees_of_freedom, maxwell_boltzmann

CRYSTAL = Structure.from_ase(bulk("NaCl", "rocksalt", 5.64, cubic=True) * (2, 2, 2))
WATER = Structure.from_ase(molecule("H2O"))
CARBON_DIOXIDE = Structure.from_ase(molecule("CO2"))


def spec(structure, ensemble, start=None, **kwargs):
    start = start or MaxwellBoltzmann(300.0)
    return TrajectorySpec(structure, ensemble, 1.0, 10, start, seed=1, **kwargs)


def kinetic(velocities, masses):
    return 0.5 * MASS_VELOCITY_SQUARED * np.sum(masses[:, None] * velocities**2)


def test_momentum_and_angular_momentum_vanish():
    """Oracle: analytic zeros. A projection with weights other than the masses leaves 1e-2."""
    velocities = maxwell_boltzmann(spec(WATER, NVE()), 300.0, generator(1, "a"))
    momenta = WATER.masses[:, None] * velocities
    assert np.abs(momenta.sum(axis=0)).max() < 1e-15
    assert np.abs(np.cross(WATER.positions, momenta).sum(axis=0)).max() < 1e-15
    assert np.abs(velocities).max() > 1e-4
    velocities = maxwell_boltzmann(spec(CRYSTAL, NVE()), 300.0, generator(1, "a"))
    assert np.abs(CRYSTAL.masses @ velocities).max() < 1e-14


def test_a_linear_molecule_keeps_its_vibrations():
    velocities = maxwell_boltzmann(spec(CARBON_DIOXIDE, NVE()), 300.0, generator(3, "a"))
    momenta = CARBON_DIOXIDE.masses[:, None] * velocities
    assert np.abs(np.cross(CARBON_DIOXIDE.positions, momenta).sum(axis=0)).max() < 1e-15
    assert kinetic(velocities, CARBON_DIOXIDE.masses) > 1e-3


@pytest.mark.parametrize(
    ("structure", "n_dof"),
    [(WATER, 3), (CARBON_DIOXIDE, 4), (CRYSTAL, 3 * 64 - 3)],
    ids=["H2O", "CO2", "NaCl"],
)
def test_mean_kinetic_energy_is_that_of_the_degrees_of_freedom(structure, n_dof):
    """Oracle: equipartition, K = n_dof kT/2 with variance n_dof (kT)^2/2. One freedom too many in the
    small molecules is an error of 30 standard errors."""
    assert degrees_of_freedom(spec(structure, NVE())) == n_dof
    stream, thermal = generator(5, "b"), BOLTZMANN * 400.0
    draws = [maxwell_boltzmann(spec(structure, NVE()), 400.0, stream) for _ in range(2000)]
    energies = np.array([kinetic(v, structure.masses) for v in draws]) / thermal
    assert abs(energies.mean() - n_dof / 2) < 4 * np.sqrt(n_dof / 2 / 2000)
    assert abs(energies.var() / (n_dof / 2) - 1) < 0.2


def test_exact_temperature():
    exact = spec(CRYSTAL, NVE(), MaxwellBoltzmann(700.0, exact=True))
    velocities = maxwell_boltzmann(exact, 700.0, generator(1, "a"))
    assert 2 * kinetic(velocities, CRYSTAL.masses) / 189 / BOLTZMANN == pytest.approx(700.0, rel=1e-13)
    assert not maxwell_boltzmann(exact, 0.0, generator(1, "a")).any()


def test_without_fix_com_the_centre_of_mass_is_thermal_too():
    """Oracle: equipartition of the centre of mass, P^2/2M = 3 kT/2."""
    free, stream = spec(WATER, NVE(), fix_com=False), generator(5, "c")
    draws = [WATER.masses @ maxwell_boltzmann(free, 400.0, stream) for _ in range(2000)]
    energy = 0.5 * MASS_VELOCITY_SQUARED * np.mean(np.sum(np.square(draws), axis=1)) / WATER.masses.sum()
    assert energy / (BOLTZMANN * 400.0) == pytest.approx(1.5, abs=4 * np.sqrt(1.5 / 2000))


def test_degrees_of_freedom_follow_what_acts():
    hot = Langevin(300.0)
    assert degrees_of_freedom(spec(WATER, hot)) == 6
    assert degrees_of_freedom(spec(WATER, hot, fix_com=False)) == 9
    assert degrees_of_freedom(spec(WATER, VelocityRescaling(300.0))) == 3
    assert degrees_of_freedom(spec(WATER, NVE(), start=spec(WATER, hot))) == 6
    free = spec(WATER, hot, fix_com=False)
    assert degrees_of_freedom(spec(WATER, NVE(), start=free, fix_com=False)) == 9
    assert degrees_of_freedom(spec(WATER, NVE(), start=free)) == 6
    assert degrees_of_freedom(spec(CRYSTAL, NVE(), fix_com=False)) == 192


def test_a_state_survives_storage_bit_for_bit():
    streams = [generator(1, "aa"), generator(2, "aa")]
    for stream in streams:
        stream.standard_normal(7)
        stream.integers(5, dtype=np.uint32)  # leaves half a word behind
    replicas = [initial(WATER.positions, WATER.positions * 0.1, np.eye(3), s) for s in streams]
    again = State.of([State.of(replicas).replica(i) for i in (0, 1)])
    for old, new in zip(streams, again.generators, strict=True):
        assert np.array_equal(
            old.integers(2**31, size=9, dtype=np.uint32), new.integers(2**31, size=9, dtype=np.uint32)
        )
        assert np.array_equal(old.standard_normal(9), new.standard_normal(9))


def test_streams_differ_by_seed_and_key():
    draws = {generator(seed, key).standard_normal() for seed in (0, 1) for key in ("a", "b")}
    assert len(draws) == 4
