"""What the data cover: for the package (where the potential interpolates) and for the record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from ase.data import chemical_symbols

from mlipbench.core.structure import LabelledFrame
from mlipbench.core.training import PARTS, PartSummary
from mlipbench.model.package import Domain, Range
from mlipbench.training.batches import FrameSet
from mlipbench.training.data import Sets
from mlipbench.training.start import Start, average_energies


def fingerprint(frames: Iterable[LabelledFrame]) -> str:
    """sha256 of structures and labels, in their order."""
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(frame.structure.hash.encode())
        for label in (frame.energy, frame.forces, frame.stress):
            digest.update(b"-" if label is None else np.ascontiguousarray(label, dtype=np.float64).tobytes())
    return digest.hexdigest()


def domain(train: FrameSet, data: str, level_of_theory: str) -> Domain:
    """What the training set covers; `data` is its fingerprint."""
    atoms: dict[str, int] = {}
    kinds: dict[str, int] = {}
    closest: dict[str, float] = {}
    energies, volumes, largest = [], [], 0.0
    for number in range(len(train)):
        frame = train.frames[number]
        n = len(frame.structure)
        _count(atoms, frame)
        kinds[frame.config_type] = kinds.get(frame.config_type, 0) + 1
        _closest(closest, train, number)
        if frame.energy is not None:
            energies.append(frame.energy / n)
        if frame.forces is not None:
            largest = max(largest, float(np.linalg.norm(frame.forces, axis=1).max()))
        if frame.structure.pbc.all():
            volumes.append(frame.structure.volume / n)
    return Domain(
        fingerprint=data,
        level_of_theory=level_of_theory,
        n_frames=len(train),
        n_atoms=atoms,
        shortest_distance_A=dict(sorted(closest.items())),
        energy_eV_per_atom=Range(least=min(energies, default=0.0), largest=max(energies, default=0.0)),
        largest_force_eV_per_A=largest,
        volume_A3_per_atom=Range(least=min(volumes), largest=max(volumes)) if volumes else None,
        config_types=kinds,
    )


def _closest(closest: dict[str, float], train: FrameSet, number: int) -> None:
    """Lower the shortest distance of each pair of elements to that of a frame."""
    graph, numbers = train.graph(number), train.frames[number].structure.numbers
    distances = graph.vectors.norm(dim=1).numpy()
    a, b = numbers[graph.receivers.numpy()], numbers[graph.senders.numpy()]
    for z1, z2 in {(int(x), int(y)) for x, y in zip(a, b, strict=True) if x <= y}:
        name = f"{chemical_symbols[z1]}-{chemical_symbols[z2]}"
        found = float(distances[(a == z1) & (b == z2)].min())
        closest[name] = min(found, closest.get(name, np.inf))


def _count(atoms: dict[str, int], frame: LabelledFrame) -> None:
    for z, n in zip(*np.unique(frame.structure.numbers, return_counts=True), strict=True):
        symbol = chemical_symbols[int(z)]
        atoms[symbol] = atoms.get(symbol, 0) + int(n)


def summaries(sets: Sets, start: Start) -> list[PartSummary]:
    """Each part in numbers."""
    return [
        _summary(part, getattr(sets, part), sets.sources.get(part, []))
        for part in PARTS
        if len(getattr(start, part))
    ]


def _summary(part: str, frames: Sequence[LabelledFrame], sources: list[str]) -> PartSummary:
    atoms: dict[str, int] = {}
    labels: dict[str, int] = {}
    trajectories = set()
    squares, components = 0.0, 0
    for frame in frames:
        _count(atoms, frame)
        trajectories.add(frame.trajectory)
        for label in ("energy", "forces", "stress"):
            labels[label] = labels.get(label, 0) + (getattr(frame, label) is not None)
        if frame.forces is not None:
            squares += float((frame.forces**2).sum())
            components += frame.forces.size
    trajectories.discard("")
    return PartSummary(
        part=part,  # type: ignore[arg-type]
        sources=sources,
        n_frames=len(frames),
        n_trajectories=len(trajectories) or None,
        n_atoms=atoms,
        labels=labels,
        energy_spread=_spread(frames),
        force_rms=1e3 * (squares / components) ** 0.5 if components else None,
    )


def _spread(frames: Sequence[LabelledFrame]) -> float | None:
    """r.m.s. of energies about their least-squares fit to the composition, meV/atom."""
    if sum(frame.energy is not None for frame in frames) < 2:
        return None
    energies = average_energies(frames)
    rest = [
        (frame.energy - sum(energies[int(z)] for z in frame.structure.numbers)) / len(frame.structure)
        for frame in frames
        if frame.energy is not None
    ]
    return 1e3 * float(np.sqrt(np.mean(np.square(rest))))
