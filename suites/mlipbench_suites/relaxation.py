"""What the suites that start from a crystal at rest share: ions and cell relaxed, symmetry watched, stresses.

The cell moves along strains that the crystal's point group leaves as they are (or along the isotropic one
alone), by Newton's steps on the energy of relaxed ions. A potential that gives no stress is asked for
energies of strained cells instead: at rest of the ions both are the same derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt
from scipy.linalg import expm

from mlipbench.api import Context, Data, InputError, Structure, SuiteParams, conversion_factor, elastic
from mlipbench_suites.drawing import FloatArray

Cell = Literal["fixed", "isotropic", "symmetry"]

MOST_ROUNDS = 25
LONGEST_STEP = 0.03  # strain of one Newton step
FARTHEST = 0.3  # relative change of the volume beyond which the crystal is not the one that was asked for
STRAIN_STEP = 1e-3  # of the differences
SOFTEST = 0.01  # of the largest stiffness: what a Newton step divides by at least


@dataclass(frozen=True)
class Tolerance:
    """When a crystal is at rest."""

    force_eV_per_A: float
    stress_eV_per_A3: float
    max_steps: int  # evaluations of one relaxation of the ions
    symmetry_A: float


class RelaxationParams(SuiteParams):
    """Parameters of a suite that starts from a crystal at rest."""

    force_tolerance_eV_per_A: PositiveFloat = Field(default=1e-4, description="of relaxations")
    stress_tolerance_GPa: PositiveFloat = Field(default=0.01, description="of relaxations of the cell")
    max_steps: PositiveInt = Field(default=500, description="evaluations of one relaxation of the atoms")
    symmetry_tolerance_A: PositiveFloat = Field(default=1e-3, description="within which symmetry is found")

    @property
    def tolerance(self) -> Tolerance:
        """When the structure is at rest."""
        return Tolerance(
            self.force_tolerance_eV_per_A,
            self.stress_tolerance_GPa * conversion_factor("GPa", "eV/A^3"),
            self.max_steps,
            self.symmetry_tolerance_A,
        )


@dataclass(frozen=True, eq=False)
class Relaxed:
    """A crystal at rest, or where it was given up."""

    structure: Structure
    energy: float  # eV
    force: float  # eV/A, largest component left
    stress: float  # eV/A^3, largest component along a strain that was relaxed; 0 where none was
    problem: str  # "" at rest; else in words why this is no rest


def relax(
    context: Context,
    start: Structure,
    cell: Cell,
    tolerance: Tolerance,
    keep_volume: bool = False,
) -> Relaxed:
    """Ions and cell to rest; raises InputError where a cell is to be relaxed that is not periodic."""
    strains = _strains(start, cell, tolerance, keep_volume)
    structure, stress, problem = start, 0.0, ""
    for _ in range(MOST_ROUNDS):
        structure, energy = context.relax(structure, tolerance.force_eV_per_A, tolerance.max_steps)
        if not strains:
            break
        slopes = stresses(context, [structure], strains)[0]
        stress = float(np.abs(slopes).max())
        if stress <= tolerance.stress_eV_per_A3:
            break
        step = _newton(_stiffness(context, structure, strains), slopes)
        total = sum((s * strain for s, strain in zip(step, strains, strict=True)), np.zeros((3, 3)))
        structure = elastic.strained(structure, expm(total) - np.eye(3))
        change = structure.volume / start.volume - 1.0
        if abs(change) > FARTHEST:
            problem = (
                f"the crystal does not come to rest: its volume has changed by {100 * change:+.0f} % "
                "when it was given up"
            )
            break
    answer = context.evaluate([structure], ["energy", "forces"])[0]
    forces = np.zeros((0, 3)) if answer.forces is None else answer.forces
    return Relaxed(structure, energy, float(np.abs(forces).max(initial=0.0)), stress, problem)


def stresses(context: Context, structures: Sequence[Structure], strains: Sequence[FloatArray]) -> FloatArray:
    """sigma : strain (n_structures, n_strains) eV/A^3 of structures whose ions are at rest."""
    if "stress" in context.properties:
        answers = context.evaluate(structures, ["energy", "stress"])
        tensors = np.array([a.stress for a in answers if a.stress is not None])
        return np.einsum("nij,kij->nk", tensors, np.array(strains))
    steps = (STRAIN_STEP, -STRAIN_STEP, STRAIN_STEP / 2, -STRAIN_STEP / 2)
    moved = [elastic.strained(s, step * e) for s in structures for e in strains for step in steps]
    energies = np.array([a.energy for a in context.evaluate(moved, ["energy"])])
    e = energies.reshape(len(structures), len(strains), len(steps))
    coarse = (e[..., 0] - e[..., 1]) / (2 * STRAIN_STEP)
    fine = (e[..., 2] - e[..., 3]) / STRAIN_STEP
    volumes = np.array([s.volume for s in structures])
    return np.asarray((4 * fine - coarse) / 3 / volumes[:, None])


def check_periodic(start: Structure, what: str) -> None:
    """Raises InputError where a structure is not periodic in all directions."""
    if not start.pbc.all():
        raise InputError(
            f"{what} needs a crystal, periodic in x, y and z; got pbc {start.pbc.tolist()}: set cell: fixed"
        )


def _strains(start: Structure, cell: Cell, tolerance: Tolerance, keep_volume: bool) -> list[FloatArray]:
    """Orthonormal strains along which the cell is relaxed."""
    if cell == "fixed":
        return []
    check_periodic(start, f"relaxing the cell ({cell})")
    found = elastic.invariant_strains(elastic.symmetry(start, tolerance.symmetry_A).rotations)
    return found[: 1 if cell == "isotropic" else None][1 if keep_volume else 0 :]


def _stiffness(context: Context, structure: Structure, strains: Sequence[FloatArray]) -> FloatArray:
    """(n, n) eV/A^3, of ions that move with the cell: stiffer than the truth, so that steps fall short."""
    moved = [elastic.strained(structure, s * e) for e in strains for s in (STRAIN_STEP, -STRAIN_STEP)]
    slopes = stresses(context, moved, strains)
    found = (slopes[0::2] - slopes[1::2]) / (2 * STRAIN_STEP)
    return np.asarray(0.5 * (found + found.T))


def _newton(stiffness: FloatArray, slopes: FloatArray) -> FloatArray:
    """Downhill also where the surface curves down, and not too far."""
    values, vectors = np.linalg.eigh(stiffness)
    size = np.maximum(np.abs(values), max(SOFTEST * float(np.abs(values).max()), 1e-12))
    step = -vectors @ ((vectors.T @ slopes) / size)
    return np.asarray(step * min(1.0, LONGEST_STEP / max(float(np.linalg.norm(step)), 1e-300)))


def save(context: Context, name: str, structure: Structure) -> None:
    """Leave a structure for `measure`."""
    context.save(f"{name}_numbers", structure.numbers)
    context.save(f"{name}_masses", structure.masses)
    context.save(f"{name}_positions", structure.positions)
    context.save(f"{name}_cell", structure.cell)
    context.save(f"{name}_pbc", structure.pbc)


def load(data: Data, name: str) -> Structure:
    """A structure that `save` has left."""
    return Structure(
        numbers=data.array(f"{name}_numbers"),
        positions=data.array(f"{name}_positions"),
        cell=data.array(f"{name}_cell"),
        pbc=data.array(f"{name}_pbc"),
        masses=data.array(f"{name}_masses"),
    )
