"""Base of the analytic potentials: from pair gradients to forces and stress, over replicas.

With r_p = x_j - x_i (+ shift) the vector of pair p and D_p = dE/dr_p,

    F_k = sum_{p: i = k} D_p - sum_{p: j = k} D_p,      stress = (1/V) sum_p D_p (x) r_p.

A subclass gives per-atom energies and D_p; the sums over pairs are made by `sum_by`, one pair after
the other, so that a replica's answer does not depend on the replicas beside it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from mlipbench.core.errors import PotentialError
from mlipbench.core.potential import (
    PROPERTIES,
    BatchEvaluation,
    Capabilities,
    Evaluation,
    Identity,
    Potential,
)
from mlipbench.core.structure import FloatArray, IntArray, Structure
from mlipbench.potentials.identity import identity_of
from mlipbench.potentials.neighbours import NeighbourList, Pairs

ATOMS_AT_ONCE = 10_000  # in one pass of `evaluate`; bounds the memory, changes no answer


def sum_by(index: IntArray, values: FloatArray, n: int) -> FloatArray:
    """Sums (k, n) of values (k, n_pairs) with equal index, added in the order of the pairs."""
    return np.stack([np.bincount(index, row, n) for row in values])


def shared(pairs: Pairs, halves: FloatArray, n: int) -> FloatArray:
    """Energies (n,) of atoms that get half (n_pairs,) of each pair's energy on either side."""
    energies: FloatArray = (sum_by(pairs.i, halves[None], n) + sum_by(pairs.j, halves[None], n))[0]
    return energies


def switch(r: FloatArray, begin: float, end: float) -> tuple[FloatArray, FloatArray]:
    """A step from 1 at `begin` to 0 at `end` and its derivative: 1 - 10 t^3 + 15 t^4 - 6 t^5 with
    t = (r - begin) / (end - begin). First and second derivatives vanish at both ends."""
    t = np.clip((r - begin) / (end - begin), 0.0, 1.0)
    value = 1.0 - t * t * t * (10.0 - 15.0 * t + 6.0 * t * t)
    slope = -30.0 * t * t * (1.0 - t) * (1.0 - t) / (end - begin)
    return value, slope


class ShortRangePotential(Potential):
    """A potential whose energy is a sum over atoms that see neighbours up to a cutoff."""

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, object],
        cutoff: float,  # A
        elements: frozenset[int] | None = None,  # atomic numbers, None: any
        half: bool = False,  # every pair once
    ) -> None:
        self.cutoff, self.half = cutoff, half
        self._capabilities = Capabilities(frozenset(PROPERTIES), elements, batched=True)
        self._identity = identity_of(name, type(self), parameters)

    @property
    def capabilities(self) -> Capabilities:
        """All properties, in double precision."""
        return self._capabilities

    @property
    def identity(self) -> Identity:
        """Source, parameters and version."""
        return self._identity

    @abstractmethod
    def local(self, pairs: Pairs, numbers: IntArray) -> tuple[FloatArray, FloatArray]:
        """Energies (n_all,) eV of the atoms and gradients dE/dr (3, n_pairs) eV/A of the pairs.

        `numbers` (n_all,) are the atomic numbers of the atoms of all replicas.
        """

    def bind(self, structure: Structure, n_replicas: int) -> Bound:
        """A function of positions and cells, see `Potential.bind`."""
        self.refuse_foreign_elements(structure)
        return Bound(self, structure, n_replicas)

    def evaluate(
        self, structures: Sequence[Structure], properties: Collection[str] = ("energy", "forces")
    ) -> list[Evaluation]:
        """Answer for each structure; structures of the same atoms are computed together."""
        unknown = set(properties) - self.capabilities.properties
        if unknown:
            raise PotentialError(
                f"{self.identity.name} was asked for {sorted(unknown)}, it has "
                f"{sorted(self.capabilities.properties)}"
            )
        answers: list[Evaluation] = []
        for group in _groups(structures):
            bound = self.bind(group[0], len(group))
            positions = np.stack([s.positions for s in group])
            cells = np.stack([s.cell for s in group])
            energies, forces, stresses = bound.compute(positions, cells, "stress" in properties)
            totals = bound.totals(energies)
            answers += [
                Evaluation(
                    energy=float(totals[r]),
                    forces=forces[r] if "forces" in properties else None,
                    stress=stresses[r] if stresses is not None else None,
                    energies=energies[r] if "energies" in properties else None,
                )
                for r in range(len(group))
            ]
        return answers

    def refuse_foreign_elements(self, structure: Structure) -> None:
        """Raises PotentialError where the structure holds elements the potential does not know."""
        known = self.capabilities.elements
        foreign = set(structure.numbers.tolist()) - known if known is not None else set()
        if foreign:
            raise PotentialError(
                f"{self.identity.name} knows the elements with atomic numbers {sorted(known or ())}, "
                f"the structure holds {sorted(foreign)}; use another potential or structure"
            )


class Bound:
    """A `BoundPotential` with a neighbour list of its own."""

    def __init__(self, potential: ShortRangePotential, structure: Structure, n_replicas: int) -> None:
        self.potential = potential
        self.n_replicas, self.n_atoms = n_replicas, len(structure)
        self.numbers = np.tile(structure.numbers, n_replicas)  # (n_all,)
        self._replica = np.repeat(np.arange(n_replicas), self.n_atoms)  # (n_all,)
        self._neighbours = NeighbourList(
            n_replicas, self.n_atoms, structure.pbc, potential.cutoff, half=potential.half
        )

    def __call__(self, positions: FloatArray, cells: FloatArray, stress: bool) -> BatchEvaluation:
        """Positions (n_replicas, n_atoms, 3) A, cells (n_replicas, 3, 3) A, stress wanted -> answer."""
        energies, forces, stresses = self.compute(positions, cells, stress)
        return BatchEvaluation(self.totals(energies), forces, stresses)

    def totals(self, energies: FloatArray) -> FloatArray:
        """Energies (n_replicas,) from energies of atoms (n_replicas, n_atoms)."""
        totals: FloatArray = sum_by(self._replica, energies.reshape(1, -1), self.n_replicas)[0]
        return totals

    def compute(
        self, positions: FloatArray, cells: FloatArray, stress: bool
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Energies of the atoms (n_replicas, n_atoms) eV, forces eV/A, stresses eV/A^3.

        A replica with positions that are not numbers is answered with NaN.
        """
        shape = (self.n_replicas, self.n_atoms, 3)
        if positions.shape != shape or cells.shape != (self.n_replicas, 3, 3):
            raise PotentialError(
                f"{self.potential.identity.name} is bound to positions of shape {shape} and cells of "
                f"shape {(self.n_replicas, 3, 3)}, got {positions.shape} and {cells.shape}"
            )
        pairs = self._neighbours.pairs(positions, cells)
        n_all = self.n_replicas * self.n_atoms
        energies, gradients = self.potential.local(pairs, self.numbers)
        forces = sum_by(pairs.i, gradients, n_all) - sum_by(pairs.j, gradients, n_all)
        energies = energies.reshape(self.n_replicas, self.n_atoms)
        forces = np.ascontiguousarray(forces.T).reshape(shape)
        stresses = self._stresses(pairs, gradients, cells) if stress else None
        if self._neighbours.unusable.any():
            lost = self._neighbours.unusable
            energies[lost], forces[lost] = np.nan, np.nan
            if stresses is not None:
                stresses[lost] = np.nan
        return energies, forces, stresses

    def _stresses(self, pairs: Pairs, gradients: FloatArray, cells: FloatArray) -> FloatArray:
        products = (gradients[:, None] * pairs.vectors[None]).reshape(9, -1)
        strain_derivatives = sum_by(self._replica[pairs.i], products, self.n_replicas)
        virial = strain_derivatives.T.reshape(-1, 3, 3)
        return 0.5 * (virial + virial.transpose(0, 2, 1)) / volumes(cells)[:, None, None]


def volumes(cells: FloatArray) -> FloatArray:
    """Volumes (n_replicas,) A^3 of cells (n_replicas, 3, 3) A; PotentialError where one is zero."""
    volumes = np.array([abs(np.linalg.det(cell)) for cell in cells])
    if (volumes == 0).any():
        raise PotentialError(
            "stress needs a cell with a volume, got a cell that does not span space; "
            "ask for energy and forces only, or give the structure a cell"
        )
    return volumes


def _groups(structures: Sequence[Structure]) -> Iterator[list[Structure]]:
    """Runs of structures of the same atoms and periodicity, at most ATOMS_AT_ONCE atoms each."""
    group: list[Structure] = []
    for structure in structures:
        if group and not (
            np.array_equal(structure.numbers, group[0].numbers)
            and np.array_equal(structure.pbc, group[0].pbc)
            and (len(group) + 1) * len(structure) <= ATOMS_AT_ONCE
        ):
            yield group
            group = []
        group.append(structure)
    if group:
        yield group
