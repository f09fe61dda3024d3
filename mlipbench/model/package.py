"""A potential in one file: weights as safetensors, all else as JSON in the file's metadata.

Reading it executes nothing. The file is refused, with one message, where it is no package, of another
version, cut short, or changed: the weights are checked against their sha256.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise

from mlipbench.core.errors import DataError
from mlipbench.model.architecture import Architecture
from mlipbench.model.network import Committee, Network

FORMAT = 1
_KEY = "mlipbench"  # under which the JSON lies in the metadata of the file
_ADVICE = "copy it again from where it was made, or make it again by `mlipbench train` or `mlipbench convert`"


class Frozen(BaseModel):
    """Base of the records in a package."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(Frozen):
    """Least and largest value met in the training data."""

    least: float
    largest: float


class Domain(Frozen):
    """What the training data cover: where the potential interpolates."""

    fingerprint: str
    """sha256 of structures and labels, in their order."""
    level_of_theory: str
    n_frames: int = Field(ge=1)
    n_atoms: dict[str, int]
    """Atoms of each element, summed over the frames."""
    shortest_distance_A: dict[str, float]
    """Of each pair of elements, such as Si-Si."""
    energy_eV_per_atom: Range
    largest_force_eV_per_A: float
    volume_A3_per_atom: Range | None
    """None where no frame is periodic."""
    config_types: dict[str, int]


class Metadata(Frozen):
    """All of a package but its weights."""

    format: Literal[1] = 1
    name: str
    architecture: Architecture
    n_members: int = Field(ge=1)
    atomic_energies_eV: dict[int, float]
    """E0 of each element, by atomic number."""
    units: dict[str, str] = Field(default={"length": "A", "energy": "eV"})
    domain: Domain | None = None
    """None where the training data are unknown."""
    origin: dict[str, Any]
    """How the weights came about: the training record, or what they were converted from."""
    versions: dict[str, str] = Field(default_factory=lambda: versions("mlipbench", "torch", "e3nn"))
    """Of the packages that made the file."""

    @model_validator(mode="after")
    def _complete(self) -> Metadata:
        if set(self.atomic_energies_eV) != set(self.architecture.elements):
            raise ValueError(
                f"atomic_energies_eV names the elements {sorted(self.atomic_energies_eV)}, the "
                f"architecture {list(self.architecture.elements)}"
            )
        if self.units != {"length": "A", "energy": "eV"}:
            raise ValueError(f"units are A and eV, got {self.units}")
        return self


@dataclass(frozen=True, eq=False)
class Package:
    """A potential as it is stored."""

    metadata: Metadata
    committee: Committee  # float64, on the CPU

    @property
    def key(self) -> str:
        """sha256 of architecture, E0s and weights: what decides the answers."""
        decisive = self.metadata.model_dump_json(include={"architecture", "atomic_energies_eV"})
        weights = _weights_digest(self.committee.state_dict())
        return hashlib.sha256((decisive + weights).encode()).hexdigest()


def package(
    name: str,
    members: Sequence[Network],
    atomic_energies: dict[int, float],  # eV, by atomic number
    origin: dict[str, Any],
    domain: Domain | None = None,
) -> Package:
    """A package of members of one architecture."""
    metadata = Metadata(
        name=name,
        architecture=members[0].architecture,
        n_members=len(members),
        atomic_energies_eV=atomic_energies,
        origin=origin,
        domain=domain,
    )
    return Package(metadata, Committee(members))


def save(potential: Package, path: Path) -> None:
    """Write the file; what is there before stays until the new one is complete."""
    weights = {name: tensor.contiguous() for name, tensor in potential.committee.state_dict().items()}
    header = {"metadata": potential.metadata.model_dump(mode="json"), "weights": _weights_digest(weights)}
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not save_file, whose files nobody but their owner may read.
        temporary.write_bytes(serialise(weights, metadata={_KEY: json.dumps(header)}))
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; name a file that can be written") from error


def load(path: Path) -> Package:
    """Read a file; DataError says what is wrong with it."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a potential of `mlipbench train` or `convert`")
    try:
        with safe_open(path, framework="pt") as stream:
            header = (stream.metadata() or {}).get(_KEY)
            weights = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: not a potential of mlipbench, or damaged ({error}); {_ADVICE}") from error
    metadata, digest = _header(path, header)
    if _weights_digest(weights) != digest:
        raise DataError(f"{path}: the weights are not those that were written (sha256 differs); {_ADVICE}")
    committee = Committee([Network(metadata.architecture, seed=0) for _ in range(metadata.n_members)])
    try:
        committee.load_state_dict(weights)
    except RuntimeError as error:
        raise DataError(
            f"{path}: weights and architecture do not belong together ({error}); {_ADVICE}"
        ) from error
    return Package(metadata, committee)


def versions(*packages: str) -> dict[str, str]:
    """Versions of installed packages."""
    return {package: importlib.metadata.version(package) for package in packages}


def _header(path: Path, text: str | None) -> tuple[Metadata, str]:
    """Metadata and the sha256 of the weights, from the JSON of a file."""
    if text is None:
        raise DataError(
            f"{path}: a safetensors file, but not a potential of mlipbench: it has no '{_KEY}' metadata; "
            "name a file that `mlipbench train` or `mlipbench convert` has written"
        )
    try:
        header = json.loads(text)
        found = header["metadata"]["format"]
        if found != FORMAT:
            raise DataError(
                f"{path}: format {found} of potentials, this mlipbench "
                f"({importlib.metadata.version('mlipbench')}) reads format {FORMAT}; the file was "
                f"written by mlipbench {header['metadata'].get('versions', {}).get('mlipbench', '?')}: use "
                "that version or a newer one"
            )
        return Metadata.model_validate(header["metadata"]), str(header["weights"])
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise DataError(f"{path}: its metadata are damaged ({error}); {_ADVICE}") from error


def _weights_digest(weights: dict[str, torch.Tensor]) -> str:
    """sha256 of names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
