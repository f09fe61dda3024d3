"""What the network sees of structures: elements, pairs, vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch

from mlipbench.core.errors import PotentialError
from mlipbench.core.neighbours import FARTHEST_POSITION, candidates
from mlipbench.core.structure import FloatArray, IntArray, Structure

if TYPE_CHECKING:
    from mlipbench.model.messages import Pattern


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows with different numbers of items each."""

    n_rows: int
    rows: torch.Tensor  # (n,) those that have items, by falling number of items
    counts: tuple[int, ...]  # (n,) their numbers of items
    begins: torch.Tensor  # (n,) where they begin in `items`
    items: torch.Tensor  # (n_items,)

    def to(self, device: torch.device | str) -> Ragged:
        """The same elsewhere."""
        moved = {name: getattr(self, name).to(device) for name in ("rows", "begins", "items")}
        return replace(self, **moved)

    def parts(self, at_once: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Rows (a,) and their items (a, n), -1 where a row has less than n, with a n about `at_once`."""
        begin = 0
        while begin < len(self.counts):
            n = self.counts[begin]
            part = slice(begin, begin + max(1, at_once // n))
            begin = part.stop
            place = torch.arange(n, device=self.rows.device)
            if self.counts[part][-1] == n:  # all have as many, as in a crystal
                yield self.rows[part], self.items[self.begins[part, None] + place]
                continue
            counts = torch.tensor(self.counts[part], device=self.rows.device)
            there = place < counts[:, None]
            items = self.items[(self.begins[part, None] + place) * there]
            yield self.rows[part], torch.where(there, items, -1)


class Summing(Protocol):
    """Pairs of atoms, or kinds, that sum in their own way; nobody asks them for second derivatives."""

    def sum_neighbours(
        self, x: torch.Tensor | None, radial: torch.Tensor, harmonics: torch.Tensor, pattern: Pattern
    ) -> torch.Tensor:
        """See `mlipbench.model.messages.sum_neighbours`."""

    def to(self, device: torch.device | str) -> Summing:
        """The same elsewhere."""


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
    distance_of: torch.Tensor  # (n_pairs,) number of the distance: both directions share one
    distance_pairs: torch.Tensor  # (n_distances,) a pair that has this distance
    by_receiver: Ragged | Summing  # pairs of each atom
    by_kind: Ragged | Summing  # pairs of each atom with senders of one element
    kind_receivers: torch.Tensor  # (n_kinds,) atom
    kind_elements: torch.Tensor  # (n_kinds,) number of the senders' element in `by_element`

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
            distance_of=self.distance_of.to(device),
            distance_pairs=self.distance_pairs.to(device),
            by_receiver=self.by_receiver.to(device),
            by_kind=self.by_kind.to(device),
            kind_receivers=self.kind_receivers.to(device),
            kind_elements=self.kind_elements.to(device),
        )


class PairArrays(NamedTuple):
    """What a graph is made of, as arrays; fields as in `Graph`."""

    species: IntArray  # (n_atoms,)
    receivers: IntArray  # (n_pairs,) rising
    senders: IntArray  # (n_pairs,)
    vectors: FloatArray  # (n_pairs, 3) A, from sender to receiver
    structure: IntArray  # (n_atoms,)
    volumes: FloatArray  # (n_structures,) A^3


class ListedPairs(NamedTuple):
    """Pairs of a neighbour list, which stay while atoms move: their vectors are
    positions[receivers] - positions[senders] - offsets."""

    species: IntArray  # (n_atoms,)
    receivers: IntArray  # (n_pairs,) rising
    senders: IntArray  # (n_pairs,)
    offsets: FloatArray  # (n_pairs, 3) A, from the sender to its image
    structure: IntArray  # (n_atoms,)
    volumes: FloatArray  # (n_structures,) A^3

    @classmethod
    def of(cls, pairs: PairArrays, positions: FloatArray) -> ListedPairs:
        """Those of `pairs`, which are of these positions (n_atoms, 3) A."""
        offsets = positions[pairs.receivers] - positions[pairs.senders] - pairs.vectors
        return cls(*pairs[:3], offsets, *pairs[4:])

    def at(self, positions: FloatArray) -> PairArrays:
        """With vectors."""
        vectors = positions[self.receivers] - positions[self.senders] - self.offsets
        return PairArrays(*self[:3], vectors, *self[4:])


def graph_of(structures: Sequence[Structure], elements: Sequence[int], cutoff: float) -> Graph:
    """The graph of structures, float64, on the CPU; arguments and errors as in `arrays_of`."""
    return graph_of_pairs(*arrays_of(structures, elements, cutoff))


def arrays_of(structures: Sequence[Structure], elements: Sequence[int], cutoff: float) -> PairArrays:
    """Atoms and pairs of structures; `elements` are atomic numbers, `cutoff` is in A.

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
    return PairArrays(
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
    present, element = np.unique(species, return_inverse=True)
    kinds, kind = np.unique(receivers * len(present) + element[senders], return_inverse=True)
    distance_pairs, distance_of = np.unique(_one_direction(receivers, senders, vectors), return_inverse=True)
    return Graph(
        species=torch.from_numpy(species),
        receivers=torch.from_numpy(receivers),
        senders=torch.from_numpy(senders),
        vectors=torch.from_numpy(vectors),
        structure=torch.from_numpy(structure),
        volumes=torch.from_numpy(volumes),
        by_element=tuple((int(e), torch.from_numpy(np.flatnonzero(species == e))) for e in present),
        from_sorted=torch.from_numpy(np.argsort(np.argsort(species, kind="stable"), kind="stable")),
        distance_of=torch.from_numpy(distance_of),
        distance_pairs=torch.from_numpy(distance_pairs),
        by_receiver=_ragged(receivers, len(species)),
        by_kind=_ragged(kind, len(kinds)),
        kind_receivers=torch.from_numpy(kinds // max(len(present), 1)),
        kind_elements=torch.from_numpy(kinds % max(len(present), 1)),
    )


def _ragged(row_of: IntArray, n_rows: int) -> Ragged:
    """Items 0, 1, ... by the row that each belongs to."""
    counts = np.bincount(row_of, minlength=n_rows)
    rows = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    return Ragged(
        n_rows,
        torch.from_numpy(rows),
        tuple(counts[rows].tolist()),
        torch.from_numpy((np.cumsum(counts) - counts)[rows]),
        torch.from_numpy(np.argsort(row_of, kind="stable")),
    )


def _one_direction(receivers: IntArray, senders: IntArray, vectors: FloatArray) -> IntArray:
    """For each pair the first of the two directions in which it is listed; itself, if it is in one only.

    Images of one sender are listed in the order of their shifts, so that they come in the opposite order
    in the other direction.
    """
    n_pairs = len(receivers)
    other = n_pairs - 1 - np.lexsort((receivers[::-1], senders[::-1]))
    listed = (
        (receivers[other] == senders)
        & (senders[other] == receivers)
        & (np.abs(vectors[other] + vectors).max(axis=1, initial=0.0) < 1e-9)
        & (other[other] == np.arange(n_pairs))
    )
    return np.where(listed, np.minimum(np.arange(n_pairs), other), np.arange(n_pairs))


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
