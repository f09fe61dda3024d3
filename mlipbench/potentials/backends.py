"""What computes an embedded network: torch, or an engine, which is checked against torch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from mlipbench.core.errors import PotentialError
from mlipbench.core.structure import FloatArray, Structure
from mlipbench.engine.engine import Answer, Engine
from mlipbench.engine.traced import TracedEngine
from mlipbench.model.derivatives import predict, require_volumes
from mlipbench.model.graph import ListedPairs, PairArrays, arrays_of, graph_of_pairs
from mlipbench.model.network import Committee

LARGE_FORCE = 10.0
"""eV/A; up to it the tolerance is absolute, beyond relative."""
SINGLE_PRECISION = 1e-4
"""eV/A; what float32 costs for forces of LARGE_FORCE."""
_REFINEMENTS = 2  # each to a tenth of the error
_CHECKED_ATOMS = 64  # of a larger structure a cluster of so many atoms is compared


@dataclass(frozen=True, eq=False)
class Answers:
    """Of each member of a committee, float64, without E0."""

    energies: FloatArray  # (n_members, n_atoms) eV
    forces: FloatArray | None  # (n_members, n_atoms, 3) eV/A
    stress: FloatArray | None  # (n_members, n_structures, 3, 3) eV/A^3


class Backend(Protocol):
    """Computes the members of a committee."""

    together: bool
    """Whether replicas are computed in one call."""

    def answers(self, pairs: PairArrays, forces: bool, stress: bool) -> Answers:
        """Of atoms that may be seen once. Raises PotentialError where a stress needs a volume."""

    def check(self, structure: Structure) -> None:
        """Raise PotentialError where answers for these atoms cannot be trusted."""


class TorchBackend:
    """The network itself, on any device."""

    together = False  # a matrix product may round differently for another number of rows

    def __init__(self, committee: Committee, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype, self._device = dtype, device
        self.networks = copy.deepcopy(committee).to(device, dtype).requires_grad_(False).networks

    def answers(self, pairs: PairArrays, forces: bool, stress: bool) -> Answers:
        """See `Backend`."""
        moved = graph_of_pairs(*pairs).to(self._device, self._dtype)
        found = [predict(network, moved, forces, stress) for network in self.networks]

        def stacked(name: str) -> FloatArray:
            return np.stack([getattr(p, name).detach().cpu().double().numpy() for p in found])

        return Answers(
            stacked("energies"), stacked("forces") if forces else None, stacked("stress") if stress else None
        )

    def check(self, structure: Structure) -> None:
        """The network is its own reference."""


class CompiledBackend:
    """The engine. Before it answers for elements that are new to it, it is compared with torch."""

    together = True  # the same bits whatever is computed beside them

    def __init__(self, committee: Committee, dtype: str, tolerance: float) -> None:
        self._architecture = committee.architecture
        self._reference = TorchBackend(committee, torch.float64, torch.device("cpu"))
        self._engine = Engine(self._reference.networks, dtype, tolerance)
        self._allowed = _allowed(tolerance, dtype)
        self._checked: set[int] = set()  # species
        self._agreed: set[str] = set()  # hashes of structures: a run is bound anew every thousand steps
        self._settle(_trial(_some(self._architecture.elements)))

    def _settle(self, trial: Structure) -> None:
        """Make tables as fine as the trial asks; only here, so that answers never depend on what was
        computed before."""
        for _ in range(_REFINEMENTS):
            try:
                return self.check(trial)
            except PotentialError:
                self._engine.refine()
        return self.check(trial)

    def answers(self, pairs: PairArrays, forces: bool, stress: bool) -> Answers:
        """See `Backend`."""
        if stress:
            require_volumes(bool((pairs.volumes > 0).all()))
        new = set(np.unique(pairs.species).tolist()) - self._checked
        if new:
            self.check(_trial({self._architecture.elements[n] for n in new}))
        return self._answers(pairs, forces, stress)

    def check(self, structure: Structure) -> None:
        """Compare with torch on these atoms, of many on a cluster of them; once.

        Raises PotentialError where forces, or energies per A, differ by more than the tolerance.
        """
        if structure.hash in self._agreed:
            return
        pairs = arrays_of([_few(structure)], self._architecture.elements, self._architecture.r_max)
        found = self._answers(pairs, True, False)
        expected = self._reference.answers(pairs, True, False)
        advice = "Give the potential a smaller `tolerance`, which makes finer tables, or use `engine: torch`"
        _require_equal(found, expected, self._allowed, "the compiled engine", advice)
        self._checked |= set(pairs.species.tolist())
        self._agreed.add(structure.hash)

    def _answers(self, pairs: PairArrays, forces: bool, stress: bool) -> Answers:
        found = self._engine.evaluate(
            species=pairs.species,
            first=np.searchsorted(pairs.receivers, np.arange(len(pairs.species) + 1)),
            neighbours=pairs.senders,
            vectors=-pairs.vectors,
            structure=pairs.structure,
            n_structures=len(pairs.volumes),
            gradients=forces or stress,
        )
        return _of_engine(found, pairs.volumes, forces, stress)


class TracedBackend:
    """The traced network. Every graph is compared with torch on the pairs that it is made for.

    Making one takes long, so that only atoms that come again have one, by `listed`: their neighbour list
    stays where it is computed, and positions alone go there. Others go through the network itself.
    """

    together = True  # to rounding, the same whatever is computed beside them

    def __init__(
        self, committee: Committee, dtype: str, device: torch.device, lowered: bool, tolerance: float
    ) -> None:
        shape = committee.architecture
        self._r_max = shape.r_max
        self._once = TorchBackend(committee, getattr(torch, dtype), device)
        self._reference = self._once
        if dtype == "float32":
            self._reference = TorchBackend(committee, torch.float64, device)
        self._engine = TracedEngine(self._once.networks, lowered)
        self._allowed = _allowed(tolerance, dtype)
        trial = _trial(_some(shape.elements))
        pairs = arrays_of([trial], shape.elements, shape.r_max)
        self.listed(ListedPairs.of(pairs, trial.positions), trial.positions, True)

    def answers(self, pairs: PairArrays, forces: bool, stress: bool) -> Answers:
        """See `Backend`."""
        return self._once.answers(pairs, forces, stress)

    def listed(self, pairs: ListedPairs, positions: FloatArray, stress: bool) -> Answers:
        """Of pairs, some perhaps beyond the cutoff, with the atoms at positions (n_atoms, 3) A; quickest
        with the object of the last call. Raises PotentialError as `answers` does, and where a new graph
        differs from the network."""
        if stress:
            require_volumes(bool((pairs.volumes > 0).all()))
        expected = None
        if not self._engine.serves(pairs, positions):
            # Before the graph, which keeps its memory.
            expected = self._reference.answers(_within(pairs.at(positions), self._r_max), True, False)
            self._engine.make(pairs, positions)
        found = _of_engine(self._engine.evaluate(pairs, positions), pairs.volumes, True, stress)
        if expected is not None:
            _require_equal(found, expected, self._allowed, "the traced graph", "Use `engine: torch`")
        return found

    def check(self, structure: Structure) -> None:
        """Nothing more: graphs are compared when they are made."""


def _allowed(tolerance: float, dtype: str) -> float:
    return max(tolerance, SINGLE_PRECISION if dtype == "float32" else 0.0)


def _require_equal(found: Answers, expected: Answers, allowed: float, engine: str, advice: str) -> None:
    """Raise PotentialError where forces, or energies per A, differ by more than is allowed."""
    if found.forces is None or expected.forces is None:
        raise PotentialError("forces were asked for, and not computed")
    largest = float(np.abs(expected.forces).max(initial=0.0))
    allowed *= max(1.0, largest / LARGE_FORCE)
    forces = float(np.abs(found.forces - expected.forces).max(initial=0.0))
    energies = float(np.abs(found.energies - expected.energies).max(initial=0.0))
    if not max(forces, energies) <= allowed:  # NaN is not
        raise PotentialError(
            f"{engine} and the network in torch differ by {forces:.1g} eV/A in forces and "
            f"{energies:.1g} eV in energies of atoms, for {found.forces.shape[1]} atoms with forces up to "
            f"{largest:.3g} eV/A; allowed is {allowed:.1g}. {advice}"
        )


def _of_engine(found: Answer, volumes: FloatArray, forces: bool, stress: bool) -> Answers:
    return Answers(
        found.energies,
        found.forces if forces else None,
        found.virials / volumes[:, None, None] if stress and found.virials is not None else None,
    )


def _within(pairs: PairArrays, r_max: float) -> PairArrays:
    """Those nearer than the cutoff."""
    near = (pairs.vectors * pairs.vectors).sum(axis=1) < r_max**2
    return pairs._replace(
        receivers=pairs.receivers[near], senders=pairs.senders[near], vectors=pairs.vectors[near]
    )


def _some(elements: Sequence[int]) -> set[int]:
    return {elements[0], elements[len(elements) // 2], elements[-1]}


def _few(structure: Structure) -> Structure:
    """The structure, or the atoms nearest to its middle as a free cluster."""
    if len(structure) <= _CHECKED_ATOMS:
        return structure
    away = np.linalg.norm(structure.positions - structure.positions.mean(axis=0), axis=1)
    kept = np.sort(np.argsort(away, kind="stable")[:_CHECKED_ATOMS])
    return Structure(
        numbers=structure.numbers[kept],
        positions=structure.positions[kept],
        cell=np.zeros((3, 3)),
        pbc=np.zeros(3, dtype=np.bool_),
        masses=structure.masses[kept],
    )


def _trial(numbers: set[int]) -> Structure:
    """Twelve atoms of these elements on a distorted periodic grid, 1.4 A and more apart."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in (2, 2, 3)), indexing="ij"), axis=-1).reshape(-1, 3)
    return Structure(
        numbers=np.resize(sorted(numbers), len(grid)),
        positions=2.0 * grid + rng.uniform(-0.3, 0.3, grid.shape),
        cell=np.diag([4.0, 4.0, 6.0]),
        pbc=np.ones(3, dtype=np.bool_),
        masses=np.ones(len(grid)),
    )
