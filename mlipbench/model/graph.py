"""What the network sees of structures: elements, pairs, vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mlipbench.core.errors import PotentialError
from mlipbench.core.neighbours import FARTHEST_POSITION, candidates
from mlipbench.core.structure import FloatArray, IntArray, Structure


@dataclass(frozen=True, eq=False)
class Graph:
    """One structure or several; pairs are listed in both directions, by rising receiver."""

    species: torch.Tensor  # (n_atoms,) index into the elements of the network
    receivers: torch.Tensor  # (n_pairs,) atom at which the message arrives
    senders: torch.Tensor  # (n_pairs,) atom, or image of it, from which it comes
    vectors: torch.Tensor  # (n_pairs, 3) A, from sender to receiver
    structure: torch.Tensor  # (n_atoms,) number of the structure
    volumes: torch.Tensor  # (n_structures,) A^3, 0 where the cell does not span space
    by_element: tuple[tuple[int, torch.Tensor], ...]  # element present -> its atoms, rising
    from_sorted: torch.Tensor  # (n_atoms,) where each atom is found when listed by element

    @property
    def n_atoms(self) -> int:
        """Atoms of all structures together."""
        return len(self.species)

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return len(self.volumes)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Graph:
        """The same graph elsewhere; `dtype` is that of vectors and volumes."""
        return replace(
            self,
            species=self.species.to(device),
            receivers=self.receivers.to(device),
            senders=self.senders.to(device),
            vectors=self.vectors.to(device, dtype),
            structure=self.structure.to(device),
            volumes=self.volumes.to(device, dtype),
            by_element=tuple((e, atoms.to(device)) for e, atoms in self.by_element),
            from_sorted=self.from_sorted.to(device),
        )


def graph_of(structures: Sequence[Structure], elements: Sequence[int], cutoff: float) -> Graph:
    """The graph of structures, float64, on the CPU; `elements` are atomic numbers, `cutoff` is in A.

    Raises PotentialError for an element that is not among `elements`, and for positions that are not
    numbers.
    """
    receivers, senders, vectors, first = [], [], [], 0
    for structure in structures:
        if (
            not (np.abs(structure.positions) < FARTHEST_POSITION).all()
            or not np.isfinite(structure.cell).all()
        ):
            raise PotentialError(
                f"expected positions within {FARTHEST_POSITION:g} A of the origin, and a cell of numbers; "
                "got NaN, infinite or absurdly far ones"
            )
        pairs = candidates(structure.positions, structure.cell, structure.pbc, cutoff)
        x = structure.positions
        vector = x[pairs.i] - x[pairs.j] - pairs.offsets.T
        near = (vector * vector).sum(axis=1) < cutoff**2
        receivers.append(pairs.i[near] + first)
        senders.append(pairs.j[near] + first)
        vectors.append(vector[near])
        first += len(structure)
    numbers = np.concatenate([s.numbers for s in structures])
    return graph_of_pairs(
        species_of(numbers, elements),
        np.concatenate(receivers),
        np.concatenate(senders),
        np.concatenate(vectors),
        np.repeat(np.arange(len(structures)), [len(s) for s in structures]),
        np.array([s.volume for s in structures]),
    )


def graph_of_pairs(
    species: IntArray,
    receivers: IntArray,
    senders: IntArray,
    vectors: FloatArray,
    structure: IntArray,
    volumes: FloatArray,
) -> Graph:
    """A graph from its arrays, see the fields of `Graph`."""
    return Graph(
        species=torch.from_numpy(species),
        receivers=torch.from_numpy(receivers),
        senders=torch.from_numpy(senders),
        vectors=torch.from_numpy(vectors),
        structure=torch.from_numpy(structure),
        volumes=torch.from_numpy(volumes),
        by_element=tuple(
            (int(e), torch.from_numpy(np.flatnonzero(species == e))) for e in np.unique(species)
        ),
        from_sorted=torch.from_numpy(np.argsort(np.argsort(species, kind="stable"), kind="stable")),
    )


def species_of(numbers: IntArray, elements: Sequence[int]) -> IntArray:
    """Indices into `elements` of atomic numbers; PotentialError where one is not among them."""
    index = np.full(max(*elements, int(numbers.max(initial=0))) + 1, -1, dtype=np.int64)
    index[list(elements)] = np.arange(len(elements))
    species: IntArray = index[numbers]
    if (species < 0).any():
        raise PotentialError(
            f"the network knows the elements with atomic numbers {list(elements)}, the structure holds "
            f"{sorted(set(numbers[species < 0].tolist()))}; use another potential or structure"
        )
    return species
