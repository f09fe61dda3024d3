"""Harmonic vibrations: thermodynamics and density of states of frequencies, normal modes of a molecule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlipbench.analysis.phonons import THZ
from mlipbench.core.structure import FloatArray, Structure
from mlipbench.core.units import BOLTZMANN, conversion_factor

SOFTEST_THZ = 1e-4  # below it a mode is imaginary or costs nothing, and its free energy has no bound
EV_PER_THZ = conversion_factor("THz", "eV")
GAS_CONSTANT = BOLTZMANN * conversion_factor("eV", "J") * conversion_factor("mol", "1")  # J/mol/K, R
SMALLEST_RIGID = 1e-3  # of the largest rigid motion; a rotation about the axis of a linear molecule is none


@dataclass(frozen=True)
class Thermal:
    """Harmonic thermodynamics per atom, as if every atom had three modes."""

    free_energy: float  # eV/atom, with the zero point
    heat_capacity: float  # k_B/atom, at constant volume
    left_out: float  # share of the modes that are imaginary or cost nothing, and do not count


def thermal(frequencies: FloatArray, weights: FloatArray, temperature_K: float) -> Thermal:
    """From frequencies in THz, any shape, and weights of the same shape.

        F = sum w (h f / 2 + k T ln(1 - exp(-x))),  C = k sum w x^2 e^x / (e^x - 1)^2,  x = h f / k T

    scaled to three modes an atom (Born and Huang, Dynamical Theory of Crystal Lattices, section 4).
    """
    real = frequencies > SOFTEST_THZ
    w = weights[real] / max(weights[real].sum(), 1e-300)
    energy = EV_PER_THZ * frequencies[real]
    x = energy / (BOLTZMANN * temperature_K)
    free = 0.5 * energy + BOLTZMANN * temperature_K * np.log(-np.expm1(-x))
    heat = (0.5 * x / np.sinh(0.5 * np.minimum(x, 700.0))) ** 2
    return Thermal(
        3.0 * float(w @ free), 3.0 * float(w @ heat), float(1.0 - weights[real].sum() / weights.sum())
    )


def density_of_states(
    frequencies: FloatArray, weights: FloatArray, grid: FloatArray, width_THz: float
) -> FloatArray:
    """Modes per THz on `grid` (n,) THz, each a Gaussian of standard deviation `width_THz`; weights sum
    to the number of modes."""
    f, w = frequencies.reshape(-1), weights.reshape(-1)
    fine = np.arange(grid[0] - 6 * width_THz, grid[-1] + 6 * width_THz, width_THz / 8)
    counts, edges = np.histogram(f, bins=fine, weights=w)
    centres = 0.5 * (edges[1:] + edges[:-1])
    kernel = np.exp(-0.5 * ((grid[:, None] - centres) / width_THz) ** 2) / (width_THz * np.sqrt(2 * np.pi))
    return np.asarray(kernel @ counts)


@dataclass(frozen=True, eq=False)
class NormalModes:
    """Vibrations of a molecule or cluster."""

    frequencies: FloatArray  # (3 n_atoms - n_rigid,) THz, rising, negative where imaginary
    modes: FloatArray  # (3 n_atoms - n_rigid, n_atoms, 3) displacements, the largest of length 1
    rigid: FloatArray  # (n_rigid,) THz: of translations and rotations, 0 in a sound potential


def n_modes(structure: Structure) -> int:
    """Vibrations of a molecule: 3 n - 6, 3 n - 5 where it is linear, 0 of an atom."""
    return 3 * len(structure) - int(_rigid_motions(structure).shape[1])


def hessian_moves(structure: Structure, distance_A: float) -> list[Structure]:
    """Every coordinate displaced to both sides: 6 n_atoms structures, + before -."""
    moved = []
    for coordinate in range(3 * len(structure)):
        for step in (distance_A, -distance_A):
            positions = structure.positions.copy()
            positions.flat[coordinate] += step
            moved.append(structure.with_positions(positions))
    return moved


def hessian(forces: FloatArray, distance_A: float) -> FloatArray:
    """(3 n, 3 n) eV/A^2, as it comes, from the forces (6 n, n, 3) eV/A of `hessian_moves`."""
    size = 3 * forces.shape[1]
    plus, minus = forces[0::2].reshape(size, size), forces[1::2].reshape(size, size)
    return np.asarray((minus - plus) / (2.0 * distance_A))


def normal_modes(structure: Structure, matrix: FloatArray) -> NormalModes:
    """Modes of a Hessian (3 n, 3 n) eV/A^2 within what is no rigid motion, and within the rigid ones
    (Wilson, Decius, Cross, Molecular Vibrations, section 2)."""
    scale = np.repeat(1.0 / np.sqrt(structure.masses), 3)
    dynamical = 0.5 * (matrix + matrix.T) * scale[:, None] * scale[None, :]
    rigid = _rigid_motions(structure)
    inner = np.linalg.svd(rigid)[0][:, rigid.shape[1] :]
    squares, vectors = np.linalg.eigh(inner.T @ dynamical @ inner)
    shapes = (inner @ vectors * scale[:, None]).T.reshape(-1, len(structure), 3)
    largest = np.linalg.norm(shapes, axis=2).max(axis=1) if len(shapes) else np.ones(0)
    return NormalModes(
        _signed(squares),
        shapes / largest[:, None, None],
        _signed(np.linalg.eigvalsh(rigid.T @ dynamical @ rigid)),
    )


def _rigid_motions(structure: Structure) -> FloatArray:
    """Orthonormal mass-weighted translations and rotations (3 n, 3 to 6)."""
    root = np.sqrt(structure.masses)[:, None]
    centred = structure.positions - structure.masses @ structure.positions / structure.masses.sum()
    axes = np.eye(3)
    motions = [(root * axis).reshape(-1) for axis in axes]
    motions += [(root * np.cross(axis, centred)).reshape(-1) for axis in axes]
    u, s, _ = np.linalg.svd(np.array(motions).T, full_matrices=False)
    return np.asarray(u[:, s > SMALLEST_RIGID * s[0]])


def _signed(squares: Any) -> FloatArray:
    """Eigenvalues in eV/A^2/u as frequencies in THz, negative where imaginary."""
    return np.asarray(THZ * np.sign(squares) * np.sqrt(np.abs(squares)))
