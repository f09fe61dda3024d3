"""Potentials with a broken symmetry: each violates one invariance and is sound else.

As `mlipbench.potentials.faulty`: `use: mlipbench.potentials.faulty_symmetry:not_extensive` with
`kwargs: {base: sw-si}`. Energies and forces stay consistent, except where the fault is that they are not;
stresses are the base's.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from mlipbench.core.potential import BatchEvaluation, BoundPotential, Evaluation
from mlipbench.core.structure import FloatArray, Structure
from mlipbench.potentials.faulty import Base, Faulty


class _Term(Faulty):
    """An energy, and forces that are its gradient, added to a sound potential."""

    def __init__(self, base: Base, strength: float) -> None:
        super().__init__(base, strength=strength)
        self.strength = strength

    def spoil(self, structure: Structure, positions: FloatArray, answer: BatchEvaluation) -> BatchEvaluation:
        """Adds the term to each replica."""
        terms = [self.term(structure, x) for x in positions]
        energies = np.array([energy for energy, _ in terms])
        forces = np.stack([force for _, force in terms])
        return replace(answer, energies=answer.energies + energies, forces=answer.forces + forces)

    @abstractmethod
    def term(self, structure: Structure, x: FloatArray) -> tuple[float, FloatArray]:
        """Energy and forces (n_atoms, 3) at positions x (n_atoms, 3)."""


class not_extensive(_Term):
    """Twice as many atoms have more than twice the energy: a term in the square of their number."""

    def __init__(self, base: Base, strength_eV: float = 1e-4) -> None:
        super().__init__(base, strength_eV)

    def term(self, structure: Structure, x: FloatArray) -> tuple[float, FloatArray]:
        """A constant for the number of atoms."""
        return self.strength * len(x) ** 2, np.zeros_like(x)


class not_translation_invariant(_Term):
    """A standing wave in space, in which every atom has an energy of its own."""

    def __init__(self, base: Base, strength_eV: float = 0.02) -> None:
        super().__init__(base, strength_eV)

    def term(self, structure: Structure, x: FloatArray) -> tuple[float, FloatArray]:
        """A sine of wave number 1/A along x, summed over the atoms."""
        forces = np.zeros_like(x)
        forces[:, 0] = -self.strength * np.cos(x[:, 0])
        return self.strength * float(np.sin(x[:, 0]).sum()), forces


class remembers_its_atoms(_Term):
    """A spring between the first two atoms of the list, wherever they are: permutation changes the energy,
    and so does an image of an atom in the place of the atom."""

    def __init__(self, base: Base, strength_eV_per_A2: float = 0.02) -> None:
        super().__init__(base, strength_eV_per_A2)

    def term(self, structure: Structure, x: FloatArray) -> tuple[float, FloatArray]:
        """Half of k r^2."""
        forces = np.zeros_like(x)
        vector = x[1] - x[0]
        forces[0], forces[1] = self.strength * vector, -self.strength * vector
        return 0.5 * self.strength * float(vector @ vector), forces


class not_reflection_invariant(_Term):
    """A left and a right hand differ: the volume that the first four atoms span, with its sign."""

    def __init__(self, base: Base, strength_eV_per_A3: float = 0.01) -> None:
        super().__init__(base, strength_eV_per_A3)

    def term(self, structure: Structure, x: FloatArray) -> tuple[float, FloatArray]:
        """k a . (b x c) of the vectors from the first atom to the next three."""
        a, b, c = x[1:4] - x[0]
        forces = np.zeros_like(x)
        forces[1:4] = -self.strength * np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)])
        forces[0] = -forces[1:4].sum(axis=0)
        return self.strength * float(a @ np.cross(b, c)), forces


class depends_on_the_cell(Faulty):
    """The energy depends on the lattice vectors chosen, not on the lattice alone."""

    def __init__(self, base: Base, strength_eV: float = 0.05) -> None:
        super().__init__(base, strength_eV=strength_eV)
        self.strength = strength_eV

    def evaluate(
        self, structures: Sequence[Structure], properties: Collection[str] = ("energy", "forces")
    ) -> list[Evaluation]:
        """The base's answers, each with the term of its cell."""
        answers = self.base.evaluate(structures, properties)
        return [
            replace(a, energy=a.energy + self._term(s.cell, len(s)))
            for s, a in zip(structures, answers, strict=True)
        ]

    def bind(self, structure: Structure, n_replicas: int) -> BoundPotential:
        """The base's bound function with the term of each cell."""
        inner = self.base.bind(structure, n_replicas)

        def evaluate(positions: FloatArray, cells: FloatArray, stress: bool) -> BatchEvaluation:
            terms = np.array([self._term(cell, len(structure)) for cell in cells])
            answer = inner(positions, cells, stress)
            return replace(answer, energies=answer.energies + terms)

        return evaluate

    def spoil(self, structure: Structure, positions: FloatArray, answer: BatchEvaluation) -> BatchEvaluation:
        """Nothing that positions decide."""
        return answer

    def _term(self, cell: FloatArray, n_atoms: int) -> float:
        """The cosines of the angles between the lattice vectors, for every atom."""
        unit = cell / np.maximum(np.linalg.norm(cell, axis=1, keepdims=True), 1e-300)
        return self.strength * n_atoms * float(np.triu(unit @ unit.T, 1).sum())


class not_deterministic(Faulty):
    """Every answer has other random errors of the forces, also at equal positions."""

    def __init__(self, base: Base, sigma_eV_per_A: float = 0.02) -> None:
        super().__init__(base, sigma_eV_per_A=sigma_eV_per_A)
        self.sigma, self._rng = sigma_eV_per_A, np.random.default_rng(0)

    def spoil(self, structure: Structure, positions: FloatArray, answer: BatchEvaluation) -> BatchEvaluation:
        """Adds noise without a net force."""
        noise = self._rng.normal(scale=self.sigma, size=answer.forces.shape)
        return replace(answer, forces=answer.forces + noise - noise.mean(axis=1, keepdims=True))


class wrong_for_energy_alone(Faulty):
    """Asked for the energy alone, it leaves out a part of it."""

    def __init__(self, base: Base, missing_eV_per_atom: float = 0.01) -> None:
        super().__init__(base, missing_eV_per_atom=missing_eV_per_atom)
        self.missing = missing_eV_per_atom

    def evaluate(
        self, structures: Sequence[Structure], properties: Collection[str] = ("energy", "forces")
    ) -> list[Evaluation]:
        """The base's answers, less than they are where nothing but the energy is asked for."""
        answers = self.base.evaluate(structures, properties)
        if set(properties) != {"energy"}:
            return answers
        return [
            replace(a, energy=a.energy - self.missing * len(s))
            for s, a in zip(structures, answers, strict=True)
        ]

    def spoil(self, structure: Structure, positions: FloatArray, answer: BatchEvaluation) -> BatchEvaluation:
        """Nothing where forces are asked for."""
        return answer
