"""Initial velocities, and how many degrees of freedom the kinetic energy is spread over."""

from __future__ import annotations

import numpy as np

from mlipbench.core.structure import FloatArray
from mlipbench.core.trajectory import Langevin, MaxwellBoltzmann, TrajectorySpec
from mlipbench.core.units import ACCELERATION, BOLTZMANN, MASS_VELOCITY_SQUARED


def maxwell_boltzmann(
    spec: TrajectorySpec, temperature_K: float, generator: np.random.Generator
) -> FloatArray:
    """Velocities (n_atoms, 3) A/fs drawn from the Maxwell-Boltzmann distribution.

    Each component is normal with variance kT/m. With `fix_com` the motion of the centre of mass is
    projected out, and where nothing is periodic the rotation about it. What is left is the
    Maxwell-Boltzmann distribution on the rest, so nothing is scaled, unless `spec.start` wants the kinetic
    temperature 2K / (n_dof k) to be T exactly.
    """
    structure, start = spec.structure, spec.start
    masses = structure.masses
    width = np.sqrt(BOLTZMANN * temperature_K * ACCELERATION / masses)
    velocities: FloatArray = generator.standard_normal((len(structure), 3)) * width[:, None]
    if spec.fix_com:
        velocities = without_drift(velocities, masses)
        if not structure.pbc.any():
            velocities = _without_rotation(velocities, structure.positions, masses)
            velocities = without_drift(velocities, masses)
    if isinstance(start, MaxwellBoltzmann) and start.exact:
        kinetic = 0.5 * MASS_VELOCITY_SQUARED * float(np.sum(masses[:, None] * velocities**2))
        if kinetic > 0:
            wanted = 0.5 * degrees_of_freedom(spec) * BOLTZMANN * temperature_K
            velocities *= np.sqrt(wanted / kinetic)
    return velocities


def degrees_of_freedom(spec: TrajectorySpec) -> int:
    """Number of degrees of freedom that carry kinetic energy along a trajectory.

    3 n_atoms; with `fix_com` 3 less, and where nothing is periodic the 3 (a linear molecule: 2) of
    rotation less, unless something has turned the system: a stochastic force, here or in the trajectory
    it goes on from.
    """
    count = 3 * len(spec.structure)
    if spec.fix_com:
        count -= 3
        if _rotation_rests(spec):
            tensor = _inertia(spec.structure.positions, spec.structure.masses)
            count -= int(np.linalg.matrix_rank(tensor, tol=1e-6 * max(float(np.trace(tensor)), 1e-300)))
    return count


def without_drift(velocities: FloatArray, masses: FloatArray) -> FloatArray:
    """Velocities (n_atoms, 3) relative to the centre of mass."""
    drift: FloatArray = (masses / masses.sum()) @ velocities
    return velocities - drift


def _rotation_rests(spec: TrajectorySpec) -> bool:
    if spec.structure.pbc.any() or isinstance(spec.ensemble, Langevin) or not spec.fix_com:
        return False
    return not isinstance(spec.start, TrajectorySpec) or _rotation_rests(spec.start)


def _inertia(positions: FloatArray, masses: FloatArray) -> FloatArray:
    """Tensor of inertia about the centre of mass, (3, 3) u A^2."""
    arms = positions - (masses / masses.sum()) @ positions
    second = (masses[:, None] * arms).T @ arms
    tensor: FloatArray = np.trace(second) * np.eye(3) - second
    return tensor


def _without_rotation(velocities: FloatArray, positions: FloatArray, masses: FloatArray) -> FloatArray:
    """Velocities less the rigid rotation that carries the angular momentum: w = I^-1 L, v - w x r.

    The pseudo-inverse leaves the axis of a linear molecule alone, about which nothing turns.
    """
    arms = positions - (masses / masses.sum()) @ positions
    angular = np.sum(masses[:, None] * np.cross(arms, velocities), axis=0)
    rotation = np.linalg.pinv(_inertia(positions, masses), rcond=1e-6, hermitian=True) @ angular
    still: FloatArray = velocities - np.cross(rotation, arms)
    return still
