"""Our own network as a potential: `use: embedded` with `kwargs: {path: FILE}`.

`evaluate` computes several structures at once, and so does `bind` with the replicas of one, but with
`engine: torch`. With the compiled engine a replica's answer does not depend, bit for bit, on the replicas
beside it, nor on what was computed before; with a traced graph it does not beyond rounding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import mlipbench.engine
import mlipbench.model
from mlipbench.core.errors import InputError, PotentialError
from mlipbench.core.neighbours import Candidates
from mlipbench.core.potential import (
    PROPERTIES,
    BatchEvaluation,
    Capabilities,
    Evaluation,
    Identity,
    Potential,
)
from mlipbench.core.structure import FloatArray, IntArray, Structure
from mlipbench.engine.engine import TOLERANCE
from mlipbench.model.graph import ListedPairs, PairArrays, arrays_of, species_of
from mlipbench.model.package import Package, load, versions
from mlipbench.potentials.backends import Answers, Backend, CompiledBackend, TorchBackend, TracedBackend
from mlipbench.potentials.identity import digest, file_digest
from mlipbench.potentials.neighbours import NeighbourList

SILICON = Path(__file__).parent / "silicon" / "mace-si.mlip"
WATER = Path("water") / "water.mlip"
ATOMS_AT_ONCE = 1000  # in one pass of `evaluate`; bounds the memory


class EmbeddedPotential(Potential):
    """A package, of one network or a committee, whose mean is the answer.

    E0s are added in float64 whatever the dtype. `engine` is `compiled`, the default on the CPU; `inductor`,
    the default on CUDA; `traced`, the latter without a compiler; or `torch`. `tolerance`, in eV/A, is how far
    the forces of any engine may be from those of torch. Raises InputError for an option that there is not,
    PotentialError where the tolerance is not met, or where there is nothing to compile with.
    """

    def __init__(
        self,
        package: Package,
        dtype: str = "float64",
        device: str = "cpu",
        engine: str | None = None,
        tolerance: float = TOLERANCE,
    ) -> None:
        self.package, self._options = package, (device, engine, tolerance)
        self.architecture = package.metadata.architecture
        precision = _dtype(dtype)
        place = _device(device, precision)
        engine = _engine(engine, place, tolerance)
        self.backend: Backend
        if engine == "compiled":
            self.backend = CompiledBackend(package.committee, dtype, tolerance)
        elif engine in ("inductor", "traced"):
            lowered = engine == "inductor"
            self.backend = TracedBackend(package.committee, dtype, place, lowered, tolerance)
        else:
            self.backend = TorchBackend(package.committee, precision, place)
        elements = self.architecture.elements
        energies = package.metadata.atomic_energies_eV
        self._atomic_energies = np.array([energies[z] for z in elements])  # (n_elements,) eV
        self._capabilities = Capabilities(
            frozenset(PROPERTIES),
            frozenset(elements),
            dtype=dtype,
            device=str(place),
            batched=self.backend.together,
        )
        details = {
            "package": package.key,
            "dtype": dtype,
            "device": str(place),
            "engine": engine,
            **versions("torch", "e3nn", "mlipbench"),
        }
        if engine == "compiled":
            details |= {"tolerance": repr(tolerance), **versions("numba", "llvmlite")}
        details["code"] = _code_digest(engine)
        self._identity = Identity(package.metadata.name, digest(details), True, details)

    @property
    def capabilities(self) -> Capabilities:
        """All properties, for the elements of the training data."""
        return self._capabilities

    @property
    def identity(self) -> Identity:
        """Weights, architecture, code, engine and its tolerance, dtype, device, versions."""
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
            pairs = arrays_of(group, self.architecture.elements, self.architecture.r_max)
            found = self.backend.answers(pairs, "forces" in properties, "stress" in properties)
            energies = self.atomic_energies(pairs.species) + found.energies.mean(axis=0)
            forces = None if found.forces is None else found.forces.mean(axis=0)
            stress = None if found.stress is None else found.stress.mean(axis=0)
            ends = np.cumsum([len(s) for s in group])
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
        """A function of positions and cells, see `Potential.bind`.

        Raises PotentialError where the compiled engine fails its check on this structure.
        """
        bound = Bound(self, structure, n_replicas)
        self.backend.check(structure)
        return bound

    def at_precision(self, dtype: str) -> EmbeddedPotential:
        """The same network, device and engine in float32 or float64."""
        if dtype == self.capabilities.dtype:
            return self
        return EmbeddedPotential(self.package, dtype, *self._options)

    def atomic_energies(self, species: IntArray) -> FloatArray:
        """E0 of each atom (n_atoms,) eV."""
        energies: FloatArray = self._atomic_energies[species]
        return energies


class Bound:
    """A `BoundPotential` with a neighbour list of its own."""

    def __init__(self, potential: EmbeddedPotential, structure: Structure, n_replicas: int) -> None:
        self.potential = potential
        self.n_replicas, self.n_atoms = n_replicas, len(structure)
        self._species = species_of(structure.numbers, potential.architecture.elements)
        self._neighbours = NeighbourList(
            n_replicas, self.n_atoms, structure.pbc, potential.architecture.r_max
        )
        self._taken: Candidates | None = None  # the list that `_parts` are of
        self._parts: dict[tuple[int, int], ListedPairs] = {}

    def __call__(self, positions: FloatArray, cells: FloatArray, stress: bool) -> BatchEvaluation:
        """Positions (n_replicas, n_atoms, 3) A, cells (n_replicas, 3, 3) A, stress wanted -> answer.

        A replica with positions that are not numbers is answered with NaN.
        """
        found = self.members(positions, cells, stress)
        return BatchEvaluation(
            energies=found.energies.mean(axis=0).sum(axis=1),
            forces=found.forces.mean(axis=0),
            stresses=None if found.stress is None else found.stress.mean(axis=0),
        )

    def members(self, positions: FloatArray, cells: FloatArray, stress: bool) -> MemberAnswers:
        """The same of each member of the committee, energies atom by atom."""
        shape = (self.n_replicas, self.n_atoms, 3)
        if positions.shape != shape or cells.shape != (self.n_replicas, 3, 3):
            raise PotentialError(
                f"{self.potential.identity.name} is bound to positions of shape {shape} and cells of "
                f"shape {(self.n_replicas, 3, 3)}, got {positions.shape} and {cells.shape}"
            )
        backend = self.potential.backend
        if isinstance(backend, TracedBackend):
            compute = self._by_list(backend, positions, cells, stress)
        else:
            compute = self._by_pairs(backend, positions, cells, stress)
        usable = np.flatnonzero(~self._neighbours.unusable)
        n_members = len(self.potential.package.committee)
        answer = MemberAnswers(
            energies=np.full((n_members, *shape[:2]), np.nan),
            forces=np.full((n_members, *shape), np.nan),
            stress=np.full((n_members, self.n_replicas, 3, 3), np.nan) if stress else None,
        )
        together = len(usable) == self.n_replicas and backend.together
        for replicas in [usable] if together else usable[:, None]:
            answer.fill(replicas, compute(int(replicas[0]), len(replicas)))
        answer.energies[:] += self.potential.atomic_energies(self._species)
        return answer

    def _by_pairs(
        self, backend: Backend, positions: FloatArray, cells: FloatArray, stress: bool
    ) -> Callable[[int, int], Answers]:
        """First replica, number of replicas -> answers of a backend that is given the pairs that are near."""
        pairs = self._neighbours.pairs(positions, cells)
        volumes = np.abs(np.linalg.det(cells))

        def compute(first: int, count: int) -> Answers:
            species, part, structure = self._of_replicas(pairs.i, first, count)
            near = PairArrays(
                species=species,
                receivers=pairs.i[part] - first * self.n_atoms,
                senders=pairs.j[part] - first * self.n_atoms,
                vectors=-np.ascontiguousarray(pairs.vectors[:, part].T),
                structure=structure,
                volumes=volumes[first : first + count],
            )
            return backend.answers(near, True, stress)

        return compute

    def _by_list(
        self, backend: TracedBackend, positions: FloatArray, cells: FloatArray, stress: bool
    ) -> Callable[[int, int], Answers]:
        """The same of a backend that has its own copy of the neighbour list."""
        listed = self._neighbours.listed(positions, cells)
        if listed is not self._taken:
            self._taken, self._parts = listed, {}
        volumes = np.abs(np.linalg.det(cells))

        def compute(first: int, count: int) -> Answers:
            if (first, count) not in self._parts:
                species, part, structure = self._of_replicas(listed.i, first, count)
                self._parts[first, count] = ListedPairs(
                    species=species,
                    receivers=listed.i[part] - first * self.n_atoms,
                    senders=listed.j[part] - first * self.n_atoms,
                    offsets=np.ascontiguousarray(listed.offsets[:, part].T),
                    structure=structure,
                    volumes=volumes[first : first + count],
                )
            placed = positions[first : first + count].reshape(-1, 3)
            return backend.listed(self._parts[first, count], placed, stress)

        return compute

    def _of_replicas(self, i: IntArray, first: int, count: int) -> tuple[IntArray, slice, IntArray]:
        """Of `count` replicas the species, where their pairs are in `i`, and the replica of each atom."""
        begin, end = np.searchsorted(i, self.n_atoms * np.array([first, first + count]))
        structure = np.repeat(np.arange(count), self.n_atoms)
        return np.tile(self._species, count), slice(begin, end), structure


@dataclass(frozen=True, eq=False)
class MemberAnswers:
    """Of each member, for the replicas of one system; NaN where positions are not numbers."""

    energies: FloatArray  # (n_members, n_replicas, n_atoms) eV, with E0
    forces: FloatArray  # (n_members, n_replicas, n_atoms, 3) eV/A
    stress: FloatArray | None  # (n_members, n_replicas, 3, 3) eV/A^3

    def fill(self, replicas: IntArray, found: Answers) -> None:
        """Take the answers for some replicas, listed one after the other."""
        n_members, count = len(self.energies), len(replicas)
        self.energies[:, replicas] = found.energies.reshape(n_members, count, -1)
        if found.forces is not None:
            self.forces[:, replicas] = found.forces.reshape(n_members, count, -1, 3)
        if self.stress is not None and found.stress is not None:
            self.stress[:, replicas] = found.stress


def embedded(
    path: Path,
    dtype: str = "float64",
    device: str = "cpu",
    engine: str | None = None,
    tolerance: float = TOLERANCE,
) -> EmbeddedPotential:
    """A network of mlipbench, trained or converted: kwargs path, dtype, device, engine (compiled, inductor,
    traced or torch), tolerance (of an engine's forces, in eV/A)."""
    return EmbeddedPotential(load(path), dtype, device, engine, tolerance)


def silicon(
    dtype: str = "float64", device: str = "cpu", engine: str | None = None, tolerance: float = TOLERANCE
) -> EmbeddedPotential:
    """The committee of silicon networks that comes with mlipbench, trained on its silicon_pbe set
    (docs/silicon.md); kwargs as of `embedded`."""
    return embedded(SILICON, dtype, device, engine, tolerance)


def water() -> EmbeddedPotential:
    """The network that `mlipbench train water` leaves in water/water.mlip of the folder where the command is
    given. Raises InputError where it has not been trained yet."""
    if not WATER.is_file():
        raise InputError(
            f"no {WATER} in {Path.cwd()}: the water potential does not come along. Train it here first: "
            "`mlipbench references fetch water_pbe0ts` and then `mlipbench train water` (hours on two cores)"
        )
    return embedded(WATER)


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


def _dtype(name: str) -> torch.dtype:
    dtypes = {"float64": torch.float64, "float32": torch.float32}
    if name not in dtypes:
        raise InputError(f"embedded: dtype is float64 or float32, got '{name}'")
    return dtypes[name]


def _device(name: str, precision: torch.dtype) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device, dtype=precision)
    except (RuntimeError, AssertionError, TypeError) as error:
        # torch asserts that it was built with CUDA, and calls float64 on MPS an error of type.
        reason = str(error).splitlines()[0]
        raise InputError(
            f"embedded: no device '{name}' ({reason}); use cpu, or cuda on a machine with it"
        ) from error
    return device


def _engine(name: str | None, device: torch.device, tolerance: float) -> str:
    if name is None:
        name = {"cpu": "compiled", "cuda": "inductor"}.get(device.type, "torch")
    runs_on = {"compiled": ("cpu",), "inductor": ("cpu", "cuda"), "traced": ("cpu", "cuda")}
    if name != "torch" and name not in runs_on:
        raise InputError(f"embedded: engine is {', '.join(runs_on)} or torch, got '{name}'")
    if name != "torch" and device.type not in runs_on[name]:
        raise InputError(
            f"embedded: engine {name} runs on {' and '.join(runs_on[name])}, got device '{device}'; use torch"
        )
    if not 1e-10 <= tolerance <= 1e-2:
        raise InputError(f"embedded: tolerance lies between 1e-10 and 0.01 eV/A, got {tolerance}")
    return name


def _code_digest(engine: str) -> str:
    """sha256 of the source of what computes."""
    packages = [mlipbench.model] if engine == "torch" else [mlipbench.model, mlipbench.engine]
    files = [path for package in packages for path in Path(package.__path__[0]).glob("*.py")]
    contents = {f"{path.parent.name}/{path.name}": file_digest(path) for path in files}
    return hashlib.sha256(repr(sorted(contents.items())).encode()).hexdigest()
