"""Where a training starts: energies of free atoms, the network's shape and its first weights.

    E = sum_i E0(Z_i) + sum_i (shift + scale e_i)

The shift is the mean interaction energy per atom of the training set, the scale the r.m.s. of its force
components (`rms_forces`) or the standard deviation of its interaction energies per atom (`std`), so that
the network itself has to give numbers of the size of 1.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from mlipbench.core.errors import DataError
from mlipbench.core.structure import LabelledFrame
from mlipbench.model.architecture import Architecture
from mlipbench.model.network import Network
from mlipbench.model.package import Package, load
from mlipbench.training.batches import FrameSet
from mlipbench.training.checks import ARCHITECTURE
from mlipbench.training.config import Configuration
from mlipbench.training.data import Sets

MOST_NEIGHBOURS = 500
"""Of an atom on average: more is a cutoff beyond what messages between pairs are made for."""


@dataclass(frozen=True, eq=False)
class Start:
    """What the members of a committee share before their first step."""

    atomic_energies: dict[int, float]  # eV, by atomic number
    atomic_energies_from: str
    architecture: Architecture
    scale: float
    shift: float  # eV
    train: FrameSet
    valid: FrameSet
    test: FrameSet
    package: Package | None  # that the training starts from

    def network(self, seed: int, member: int) -> Network:
        """The first weights of a member: random, or those of the package."""
        if self.package is not None:
            networks = self.package.committee.networks
            return copy.deepcopy(networks[member % len(networks)]).requires_grad_(True)
        network = Network(self.architecture, seed)
        network.scale.fill_(self.scale)
        network.shift.fill_(self.shift)
        return network


def start(configuration: Configuration, sets: Sets) -> Start:
    """Decide all that. Raises PlanError and DataError."""
    config = configuration.config
    package = None
    if config.start_from is not None:
        package = load(configuration.folder / config.start_from)
        _check_package(configuration, package, sets)
    energies, origin = _atomic_energies(configuration, sets, package)
    cutoff = config.r_max if package is None else package.metadata.architecture.r_max
    frames = {
        part: FrameSet(getattr(sets, part), energies, cutoff, config.config_type_weights)
        for part in ("train", "valid", "test")
    }
    neighbours, mean, rms, deviation = _statistics(frames["train"])
    if package is not None:
        architecture = package.metadata.architecture
        member = package.committee.networks[0]
        scale, shift = float(member.scale), float(member.shift)
    else:
        architecture = _architecture(configuration, sorted(energies), neighbours)
        scale = {"rms_forces": rms, "std": deviation, "none": 1.0}[config.scaling]
        scale, shift = (scale if scale > 0 else 1.0), (0.0 if config.scaling == "none" else mean)
    return Start(
        energies,
        origin,
        architecture,
        scale,
        shift,
        frames["train"],
        frames["valid"],
        frames["test"],
        package,
    )


# ---------------------------------------------------------------- free atoms
def _atomic_energies(
    configuration: Configuration, sets: Sets, package: Package | None
) -> tuple[dict[int, float], str]:
    """E0 of every element, and where it comes from, in words."""
    config = configuration.config
    elements = sorted({int(z) for _, frames in sets.parts() for f in frames for z in f.structure.numbers})
    given = config.e0s()
    if given is not None:
        energies, origin = given, "given in the configuration"
    elif config.E0s == "average":
        energies, origin = average_energies(sets.train), "least squares over the training set"
    elif config.E0s is None and package is not None:
        return dict(package.metadata.atomic_energies_eV), f"those of {package.metadata.name}"
    else:
        energies, origin = _isolated(sets.isolated), "frames of free atoms"
    if package is not None:
        energies = dict(package.metadata.atomic_energies_eV) | energies
    missing = [z for z in elements if z not in energies]
    if missing:
        symbols = ", ".join(chemical_symbols[z] for z in missing)
        raise configuration.problem(
            "E0s" if config.E0s is not None else "train_file", f"no energy of the free atom for {symbols}",
            "an energy for each element of the data", origin,
            "say E0s: {X: energy in eV}, give frames of one atom in a large box, or say E0s: average",
        )  # fmt: skip
    wanted = elements if package is None else sorted(energies)
    return {z: float(energies[z]) for z in wanted}, origin


def average_energies(frames: Sequence[LabelledFrame]) -> dict[int, float]:
    """E0 by least squares: min sum_frames ((E - sum_Z n_Z E0_Z) / n)^2, eV by atomic number.

    Where all frames have one composition the energies are those of smallest norm: their sum is what
    the data say. Raises DataError where no frame has an energy.
    """
    rows = [  # one frame at a time: they may be read as they are asked for
        (Counter(f.structure.numbers.tolist()), f.energy) for f in frames if f.energy is not None
    ]
    if not rows:
        raise DataError("E0s: average needs frames with energies, and there are none")
    elements = sorted({z for atoms, _ in rows for z in atoms})
    counts = np.array([[atoms[z] / atoms.total() for z in elements] for atoms, _ in rows])
    per_atom = np.array([energy / atoms.total() for atoms, energy in rows])
    solved = np.linalg.lstsq(counts, per_atom, rcond=1e-10)[0]
    return dict(zip(elements, solved.tolist(), strict=True))


def _isolated(frames: Sequence[LabelledFrame]) -> dict[int, float]:
    energies: dict[int, float] = {}
    for frame in frames:
        if frame.energy is None:
            continue
        z = int(frame.structure.numbers[0])
        if z in energies and abs(energies[z] - frame.energy) > 1e-6:
            raise DataError(
                f"{frame.label}: a second frame of a free {chemical_symbols[z]} atom has another energy "
                f"({frame.energy:.6f} eV, the first {energies[z]:.6f} eV); keep the one of the ground state"
            )
        energies[z] = frame.energy
    return energies


# ---------------------------------------------------------------- the network
def _architecture(configuration: Configuration, elements: list[int], neighbours: float) -> Architecture:
    config = configuration.config
    fields = {name: getattr(config, name) for name in ARCHITECTURE}
    if neighbours == 0:
        raise configuration.problem(
            "r_max", "no atom has a neighbour within the cutoff", "a cutoff beyond the closest neighbours",
            f"{config.r_max:g} A", "is the unit of the positions A?",
        )  # fmt: skip
    if neighbours > MOST_NEIGHBOURS:
        raise configuration.problem(
            "r_max", f"atoms have {neighbours:.0f} neighbours on average",
            f"at most {MOST_NEIGHBOURS}", f"{config.r_max:g} A", "use a smaller cutoff, or more layers",
        )  # fmt: skip
    return Architecture(
        elements=tuple(elements), avg_num_neighbors=config.avg_num_neighbors or neighbours, **fields
    )


def _check_package(configuration: Configuration, package: Package, sets: Sets) -> None:
    """The package knows the elements of the data, and is what the configuration says of the network."""
    config, architecture = configuration.config, package.metadata.architecture
    elements = {int(z) for _, frames in sets.parts() for f in frames for z in f.structure.numbers}
    unknown = sorted(elements - set(architecture.elements))
    if unknown:
        raise configuration.problem(
            "start_from", "a network for other elements",
            ", ".join(chemical_symbols[z] for z in sorted(elements)),
            ", ".join(chemical_symbols[z] for z in architecture.elements),
            "train a new network, or remove the frames with other elements",
        )  # fmt: skip
    for name in (*ARCHITECTURE, "avg_num_neighbors"):
        if not configuration.asked_for(name):
            continue
        asked, found = getattr(config, name), getattr(architecture, name)
        same = tuple(_as_list(asked)) == tuple(_as_list(found))
        if not same and getattr(config, name) is not None:
            raise configuration.problem(
                name, "not the network of start_from", str(found), str(asked), "leave the key out"
            )
    there = package.metadata.domain.level_of_theory if package.metadata.domain else ""
    if there and sets.level_of_theory and there != sets.level_of_theory:
        sets.warnings.append(
            f"{package.metadata.name} was trained on {there}, these data are {sets.level_of_theory}"
        )


def _as_list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _statistics(frames: FrameSet) -> tuple[float, float, float, float]:
    """Neighbours of an atom on average; mean interaction energy per atom, its standard deviation (last), eV;
    r.m.s. force component (third), eV/A."""
    pairs = atoms = components = 0
    squares = 0.0
    energies = []
    for number in range(len(frames)):
        frame, graph = frames.frames[number], frames.graph(number)
        pairs += len(graph.receivers)
        atoms += graph.n_atoms
        if frame.forces is not None:
            squares += float((frame.forces**2).sum())
            components += frame.forces.size
        energy = frames.interaction_energy(number)
        if energy is not None:
            energies.append(energy / graph.n_atoms)
    mean = float(np.mean(energies)) if energies else 0.0
    deviation = float(np.std(energies)) if energies else 0.0
    return pairs / atoms, mean, (squares / components) ** 0.5 if components else 1.0, deviation


def parameters(network: Network) -> int:
    """Numbers that are trained."""
    return sum(p.numel() for p in network.parameters())


def atomic_energies_by_symbol(energies: Mapping[int, float]) -> dict[str, float]:
    """E0 as people write them."""
    return {chemical_symbols[z]: energy for z, energy in sorted(energies.items())}
