"""Our own network as a potential: `use: embedded` with `kwargs: {path: FILE}`.

`evaluate` computes several structures at once; `bind` takes one replica after the other, because a
matrix product may round differently for another number of rows, and a replica's answer must not
depend, bit for bit, on the replicas beside it.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

import mlipbench.model
from mlipbench.core.errors import InputError, PotentialError
from mlipbench.core.potential import (
    PROPERTIES,
    BatchEvaluation,
    Capabilities,
    Evaluation,
    Identity,
    Potential,
)
from mlipbench.core.structure import FloatArray, Structure
from mlipbench.model.derivatives import Prediction, predict
from mlipbench.model.graph import Graph, graph_of, graph_of_pairs, species_of
from mlipbench.model.package import Package, load, versions
from mlipbench.potentials.identity import digest, file_digest
from mlipbench.potentials.neighbours import NeighbourList, Pairs

ATOMS_AT_ONCE = 1000  # in one pass of `evaluate`; bounds the memory


class EmbeddedPotential(Potential):
    """A package, of one network or a committee, whose mean is the answer.

    E0s are added in float64 whatever the dtype. Raises InputError for a dtype or a device that there
    is not.
    """

    def __init__(self, package: Package, dtype: str = "float64", device: str = "cpu") -> None:
        self.package = package
        self.dtype = _dtype(dtype)
        self.device = _device(device)
        self.committee = copy.deepcopy(package.committee).to(self.device, self.dtype)
        self.committee.requires_grad_(False)  # weights do not change here
        self.architecture = package.metadata.architecture
        elements = self.architecture.elements
        energies = package.metadata.atomic_energies_eV
        self._atomic_energies = np.array([energies[z] for z in elements])  # (n_elements,) eV
        self._capabilities = Capabilities(
            frozenset(PROPERTIES), frozenset(elements), dtype=dtype, device=str(self.device)
        )
        details = {
            "package": package.key,
            "code": _code_digest(),
            "dtype": dtype,
            "device": str(self.device),
            "engine": "torch",
            **versions("torch", "e3nn", "mlipbench"),
        }
        self._identity = Identity(package.metadata.name, digest(details), True, details)

    @property
    def capabilities(self) -> Capabilities:
        """All properties, for the elements of the training data."""
        return self._capabilities

    @property
    def identity(self) -> Identity:
        """Weights, architecture, code, dtype, device, versions."""
        return self._identity

    def evaluate(
        self, structures: Sequence[Structure], properties: Collection[str] = ("energy", "forces")
    ) -> list[Evaluation]:
        """Answer for each structure; several are computed at once."""
        unknown = set(properties) - self.capabilities.properties
        if unknown:
            raise PotentialError(
                f"{self.identity.name} was asked for {sorted(unknown)}, it has "
                f"{sorted(self.capabilities.properties)}"
            )
        answers: list[Evaluation] = []
        for group in _groups(structures):
            graph = graph_of(group, self.architecture.elements, self.architecture.r_max)
            prediction = self.predict(graph, "forces" in properties, "stress" in properties)
            energies = self.atomic_energies(graph) + _float64(prediction.energies)
            ends = np.cumsum([len(s) for s in group])
            forces = None if prediction.forces is None else _float64(prediction.forces)
            stress = None if prediction.stress is None else _float64(prediction.stress)
            for n, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
                answers.append(
                    Evaluation(
                        energy=float(energies[begin:end].sum()),
                        forces=forces[begin:end] if forces is not None else None,
                        stress=stress[n] if stress is not None else None,
                        energies=energies[begin:end] if "energies" in properties else None,
                    )
                )
        return answers

    def bind(self, structure: Structure, n_replicas: int) -> Bound:
        """A function of positions and cells, see `Potential.bind`."""
        return Bound(self, structure, n_replicas)

    def predict(self, graph: Graph, forces: bool, stress: bool) -> Prediction:
        """The committee's mean, without E0, where the potential lives."""
        return predict(self.committee, graph.to(self.device, self.dtype), forces, stress)

    def atomic_energies(self, graph: Graph) -> FloatArray:
        """E0 of each atom (n_atoms,) eV."""
        energies: FloatArray = self._atomic_energies[graph.species.cpu().numpy()]
        return energies


class Bound:
    """A `BoundPotential` with a neighbour list of its own."""

    def __init__(self, potential: EmbeddedPotential, structure: Structure, n_replicas: int) -> None:
        self.potential = potential
        self.n_replicas, self.n_atoms = n_replicas, len(structure)
        self._species = species_of(structure.numbers, potential.architecture.elements)
        self._structure = np.zeros(self.n_atoms, dtype=np.int64)
        self._neighbours = NeighbourList(
            n_replicas, self.n_atoms, structure.pbc, potential.architecture.r_max
        )

    def __call__(self, positions: FloatArray, cells: FloatArray, stress: bool) -> BatchEvaluation:
        """Positions (n_replicas, n_atoms, 3) A, cells (n_replicas, 3, 3) A, stress wanted -> answer.

        A replica with positions that are not numbers is answered with NaN.
        """
        shape = (self.n_replicas, self.n_atoms, 3)
        if positions.shape != shape or cells.shape != (self.n_replicas, 3, 3):
            raise PotentialError(
                f"{self.potential.identity.name} is bound to positions of shape {shape} and cells of "
                f"shape {(self.n_replicas, 3, 3)}, got {positions.shape} and {cells.shape}"
            )
        pairs = self._neighbours.pairs(positions, cells)
        ends = np.searchsorted(pairs.i, self.n_atoms * np.arange(self.n_replicas + 1))
        energies = np.full(self.n_replicas, np.nan)
        forces = np.full(shape, np.nan)
        stresses = np.full((self.n_replicas, 3, 3), np.nan) if stress else None
        for replica in np.flatnonzero(~self._neighbours.unusable):
            near = slice(ends[replica], ends[replica + 1])
            graph = self._graph(pairs, near, int(replica), float(abs(np.linalg.det(cells[replica]))))
            answer = self.potential.predict(graph, True, stress)
            energies[replica] = (self.potential.atomic_energies(graph) + _float64(answer.energies)).sum()
            if answer.forces is not None:
                forces[replica] = _float64(answer.forces)
            if stresses is not None and answer.stress is not None:
                stresses[replica] = _float64(answer.stress)[0]
        return BatchEvaluation(energies, forces, stresses)

    def _graph(self, pairs: Pairs, near: slice, replica: int, volume: float) -> Graph:
        return graph_of_pairs(
            self._species,
            pairs.i[near] - replica * self.n_atoms,
            pairs.j[near] - replica * self.n_atoms,
            np.ascontiguousarray(-pairs.vectors[:, near].T),
            self._structure,
            np.array([volume]),
        )


def embedded(path: Path, dtype: str = "float64", device: str = "cpu") -> EmbeddedPotential:
    """A network of mlipbench, trained or converted: kwargs path, dtype, device."""
    return EmbeddedPotential(load(path), dtype, device)


def _groups(structures: Sequence[Structure]) -> Iterator[list[Structure]]:
    """Runs of structures of at most ATOMS_AT_ONCE atoms, or one structure."""
    group: list[Structure] = []
    for structure in structures:
        if group and sum(len(s) for s in group) + len(structure) > ATOMS_AT_ONCE:
            yield group
            group = []
        group.append(structure)
    if group:
        yield group


def _float64(tensor: torch.Tensor) -> FloatArray:
    array: FloatArray = tensor.detach().cpu().double().numpy()
    return array


def _dtype(name: str) -> torch.dtype:
    dtypes = {"float64": torch.float64, "float32": torch.float32}
    if name not in dtypes:
        raise InputError(f"embedded: dtype is float64 or float32, got '{name}'")
    return dtypes[name]


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        reason = str(error).splitlines()[0]
        raise InputError(
            f"embedded: no device '{name}' ({reason}); use cpu, or cuda on a machine with it"
        ) from error
    return device


def _code_digest() -> str:
    """sha256 of the source of the network."""
    folder = Path(mlipbench.model.__path__[0])
    contents = {path.name: file_digest(path) for path in sorted(folder.glob("*.py"))}
    return hashlib.sha256(repr(sorted(contents.items())).encode()).hexdigest()
