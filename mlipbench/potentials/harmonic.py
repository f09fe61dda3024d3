"""Harmonic solid: a quadratic form about a reference structure, whose dynamics is known exactly."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from mlipbench.core.errors import PotentialError
from mlipbench.core.potential import Capabilities, Evaluation, Identity, Potential
from mlipbench.core.structure import FloatArray, Structure
from mlipbench.core.units import ACCELERATION
from mlipbench.potentials.identity import identity_of


class HarmonicSolid(Potential):
    """E = 1/2 u.Phi.u with u = x - x0 the displacements from a reference.

    Normal modes solve M^(-1/2) Phi M^(-1/2) e = omega^2 e; each is an oscillator of its own, so that
    trajectories, averages and distributions are known (Born and Huang, Dynamical Theory of Crystal
    Lattices, chapter 1). The atoms are tied to x0: with a Phi whose rows do not sum to zero (as
    `einstein`) the net force does not vanish, and there is no stress.
    """

    def __init__(self, reference: Structure, force_constants: FloatArray, name: str = "harmonic") -> None:
        """`force_constants` (3 n_atoms, 3 n_atoms) eV/A^2, symmetric; x, y, z of an atom together."""
        size = 3 * len(reference)
        if force_constants.shape != (size, size):
            raise PotentialError(
                f"{name}: force constants of {len(reference)} atoms are a ({size}, {size}) matrix, "
                f"got {force_constants.shape}"
            )
        asymmetry = float(np.abs(force_constants - force_constants.T).max())
        if asymmetry > 1e-9 * float(np.abs(force_constants).max()):
            raise PotentialError(
                f"{name}: force constants are symmetric, got two that differ by {asymmetry:.3g} eV/A^2; "
                f"pass 0.5 * (phi + phi.T)"
            )
        self.reference, self.force_constants = reference, force_constants
        self._capabilities = Capabilities(
            frozenset({"energy", "forces", "energies"}), frozenset(reference.numbers.tolist())
        )
        parameters = {"reference": reference.hash, "force_constants": force_constants.tolist()}
        self._identity = identity_of(name, type(self), parameters)

    @classmethod
    def einstein(cls, reference: Structure, spring: float, name: str = "einstein") -> HarmonicSolid:
        """Every atom on a spring (eV/A^2) of its own: omega = sqrt(spring / mass)."""
        return cls(reference, spring * np.eye(3 * len(reference)), name)

    @property
    def capabilities(self) -> Capabilities:
        """Energy, forces and energies of the reference's elements."""
        return self._capabilities

    @property
    def identity(self) -> Identity:
        """Source, reference, force constants and version."""
        return self._identity

    def evaluate(
        self, structures: Sequence[Structure], properties: Collection[str] = ("energy", "forces")
    ) -> list[Evaluation]:
        """Answer for structures of the reference's atoms, in its order."""
        unknown = set(properties) - self._capabilities.properties
        if unknown:
            raise PotentialError(
                f"{self._identity.name} was asked for {sorted(unknown)}, it has "
                f"{sorted(self._capabilities.properties)}"
            )
        return [self._evaluate(structure, properties) for structure in structures]

    def _evaluate(self, structure: Structure, properties: Collection[str]) -> Evaluation:
        if not np.array_equal(structure.numbers, self.reference.numbers):
            raise PotentialError(
                f"{self._identity.name} is tied to a reference of {len(self.reference)} atoms, got "
                f"{len(structure)} atoms or other elements; bind it to a structure of its reference"
            )
        displacements = (structure.positions - self.reference.positions).ravel()
        forces = -(self.force_constants @ displacements)
        energies = -0.5 * (displacements * forces).reshape(-1, 3).sum(axis=1)
        return Evaluation(
            energy=float(energies.sum()),
            forces=forces.reshape(-1, 3) if "forces" in properties else None,
            energies=energies if "energies" in properties else None,
        )

    def frequencies(self) -> FloatArray:
        """Angular frequencies (3 n_atoms,) 1/fs of the normal modes, rising; 0 where unbound."""
        scale = 1.0 / np.sqrt(np.repeat(self.reference.masses, 3))
        squares = np.linalg.eigvalsh(self.force_constants * scale[:, None] * scale[None, :])
        frequencies: FloatArray = np.sqrt(np.maximum(squares, 0.0) * ACCELERATION)
        return frequencies
