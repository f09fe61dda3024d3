"""Frames as the network sees them, joined into batches in an order that seed and epoch decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import torch

from mlipbench.core.structure import FloatArray, LabelledFrame
from mlipbench.model.graph import Graph, graph_of, graph_of_pairs
from mlipbench.training.losses import Size, Targets, Term

CACHE_BYTES = 2 * 2**30
"""Of graphs that are kept between epochs; those beyond are made anew each time."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Structures with their labels."""

    frames: list[int]  # which of the set
    graph: Graph
    targets: Targets

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Batch:
        """The same batch elsewhere; labels stay in float64."""
        return Batch(self.frames, self.graph.to(device, dtype), self.targets.to(device))


class FrameSet:
    """Labelled frames with their graphs.

    `frames` may be read as they are asked for. Raises PotentialError for an element that is not among
    `atomic_energies` (eV, by atomic number).
    """

    def __init__(
        self,
        frames: Sequence[LabelledFrame],
        atomic_energies: Mapping[int, float],
        cutoff: float,
        config_type_weights: Mapping[str, float] | None = None,
    ) -> None:
        self.frames = frames
        self.elements = sorted(atomic_energies)
        self.cutoff = cutoff
        self._energies = dict(atomic_energies)
        self._weights = dict(config_type_weights or {})
        self._graphs: dict[int, Graph] = {}
        self._room = CACHE_BYTES

    def __len__(self) -> int:
        return len(self.frames)

    def graph(self, number: int) -> Graph:
        """The graph of a frame, float64, on the CPU."""
        if number in self._graphs:
            return self._graphs[number]
        graph = graph_of([self.frames[number].structure], self.elements, self.cutoff)
        size = graph.receivers.nbytes + graph.senders.nbytes + graph.vectors.nbytes
        if size <= self._room:
            self._graphs[number] = graph
            self._room -= size
        return graph

    def interaction_energy(self, number: int) -> float | None:
        """The label less the energies of the free atoms, eV."""
        frame = self.frames[number]
        if frame.energy is None:
            return None
        return frame.energy - sum(self._energies[int(z)] for z in frame.structure.numbers)

    def weight(self, frame: LabelledFrame) -> float:
        """By its config_type; the first pattern that fits decides."""
        for pattern, weight in self._weights.items():
            if fnmatchcase(frame.config_type, pattern):
                return weight
        return 1.0

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Some of the frames, joined."""
        frames = [self.frames[n] for n in numbers]
        graph = join([self.graph(n) for n in numbers])
        energies = [self.interaction_energy(n) for n in numbers]
        weights = np.array([self.weight(frame) for frame in frames])
        given: dict[Term, list[bool]] = {
            "energy_per_atom": [energy is not None for energy in energies],
            "forces": [frame.forces is not None for frame in frames],
            "stress": [frame.stress is not None for frame in frames],
        }
        targets = Targets(
            energies=torch.tensor([0.0 if e is None else e for e in energies], dtype=torch.float64),
            forces=torch.from_numpy(
                np.concatenate([_or_zeros(f.forces, (len(f.structure), 3)) for f in frames])
            ),
            stress=torch.from_numpy(np.stack([_or_zeros(f.stress, (3, 3)) for f in frames])),
            n_atoms=torch.tensor([len(f.structure) for f in frames], dtype=torch.float64),
            weights={term: torch.from_numpy(weights * np.array(there)) for term, there in given.items()},
        )
        return Batch(list(numbers), graph, targets)

    def size(self, numbers: Sequence[int]) -> Size:
        """Of the batch of these frames."""
        return Size(len(numbers), sum(len(self.frames[n].structure) for n in numbers))


def order(n_frames: int, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of an epoch: every frame once, shuffled by seed and epoch; the last may be smaller."""
    shuffled = np.random.default_rng([seed, epoch]).permutation(n_frames).tolist()
    return [shuffled[begin : begin + batch_size] for begin in range(0, n_frames, batch_size)]


def in_turn(n_frames: int, batch_size: int) -> Iterator[list[int]]:
    """Batches in the order of the set."""
    for begin in range(0, n_frames, batch_size):
        yield list(range(begin, min(begin + batch_size, n_frames)))


def join(graphs: Sequence[Graph]) -> Graph:
    """One graph of several. A cell without volume gets 1 A^3: its stress has no label and no weight."""
    first = np.cumsum([0, *[graph.n_atoms for graph in graphs]])
    volumes = np.concatenate([graph.volumes.numpy() for graph in graphs])
    return graph_of_pairs(
        np.concatenate([graph.species.numpy() for graph in graphs]),
        np.concatenate([g.receivers.numpy() + n for g, n in zip(graphs, first, strict=False)]),
        np.concatenate([g.senders.numpy() + n for g, n in zip(graphs, first, strict=False)]),
        np.concatenate([graph.vectors.numpy() for graph in graphs]),
        np.repeat(np.arange(len(graphs)), np.diff(first)),
        np.where(volumes > 0, volumes, 1.0),
    )


def _or_zeros(values: FloatArray | None, shape: tuple[int, ...]) -> FloatArray:
    return np.zeros(shape) if values is None else values
