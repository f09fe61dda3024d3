"""Public reference sets: where their originals are, where their files lie, how they are verified.

The files are not part of mlipbench. They are looked for in the folder that MLIPBENCH_DATA names, then in
the cache ($XDG_CACHE_HOME/mlipbench, else ~/.cache/mlipbench) that `mlipbench references fetch` fills.
A file is verified when its sha256 is the manifest's. One that was fetched and converted, and differs from
that in its bytes, is verified when its content shows the facts that the manifest records.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mlipbench.core.errors import DataError
from mlipbench.core.structure import LabelledFrame

FOLDER_VARIABLE = "MLIPBENCH_DATA"

# How far a fact of a converted file may lie from the recorded one: text files round positions and forces
# at 5e-9, a stress in kbar converted with another CODATA differs by 1e-8 of itself. A sign, an order of
# components, a unit or a frame that is wrong changes a fact by orders of magnitude more.
TOLERANCES = {
    "energy_mean_eV": 1e-6,
    "energy_sd_eV": 1e-6,
    "force_rms_eV_per_A": 1e-6,
    "first_atom_force_eV_per_A": 1e-6,
    "stress_mean_eV_per_A3": 1e-8,
}

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Triple = tuple[float, float, float]
Six = tuple[float, float, float, float, float, float]


class Facts(BaseModel):
    """What is known of the content of a set, independent of the order of its frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_frames: int
    n_atoms: int = Field(description="in all frames together")
    energy_mean_eV: float = Field(description="mean over frames")
    energy_sd_eV: float = Field(description="standard deviation over frames")
    force_rms_eV_per_A: float | None = Field(default=None, description="of all components")
    first_atom_force_eV_per_A: Triple | None = Field(default=None, description="its mean over frames")
    stress_mean_eV_per_A3: Six | None = Field(default=None, description="xx, yy, zz, yz, xz, xy")


class Public(BaseModel):
    """Where the originals of a set are, and what converts them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^https?://\S+/$", description="folder of the originals, at a fixed revision")
    originals: dict[str, Sha256 | None] = Field(
        min_length=1, description="path below url -> sha256; null: not known here"
    )
    format: Literal["deepmd", "extxyz", "mlearn", "phono3py"]
    part: Literal["fc2", "fc3"] | None = Field(default=None, description="which dataset of a phono3py file")
    config_type: str = Field(default="", description="that the frames get, where the originals name none")
    facts: Facts


def cache_folder() -> Path:
    """Where `references fetch` puts files, unless told otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "mlipbench"


def folders() -> list[Path]:
    """Where the files of public sets are looked for, in this order."""
    named = os.environ.get(FOLDER_VARIABLE)
    return [*([Path(named).expanduser()] if named else []), cache_folder()]


def find(file: str) -> Path | None:
    """The file of a public set, where it is there."""
    return next((folder / file for folder in folders() if (folder / file).is_file()), None)


def located(name: str, file: str) -> Path:
    """The file of a public set. Raises DataError that says how to get it."""
    path = find(file)
    if path is None:
        where = " or ".join(str(folder) for folder in folders())
        raise DataError(
            f"the public reference {name!r} is not there ({file} in {where}): "
            f"run `mlipbench references fetch {name}`, or set {FOLDER_VARIABLE} to the folder that holds it"
        )
    return path


def facts_of(frames: Sequence[LabelledFrame]) -> Facts:
    """The facts of a set; of a label that not all frames have there is none."""
    energies = np.array([frame.energy for frame in frames if frame.energy is not None])
    if len(energies) < len(frames):
        raise DataError(f"{frames[0].label}: energies missing, so the set has no facts to compare")
    forces = [frame.forces for frame in frames if frame.forces is not None]
    stresses = [frame.stress for frame in frames if frame.stress is not None]
    facts = {
        "n_frames": len(frames),
        "n_atoms": sum(len(frame.structure) for frame in frames),
        "energy_mean_eV": energies.mean(),
        "energy_sd_eV": energies.std(),
    }
    if len(forces) == len(frames):
        facts["force_rms_eV_per_A"] = np.sqrt(np.mean(np.concatenate(forces) ** 2))
        facts["first_atom_force_eV_per_A"] = tuple(np.mean([f[0] for f in forces], axis=0))
    if len(stresses) == len(frames):
        mean = np.mean(stresses, axis=0)
        facts["stress_mean_eV_per_A3"] = tuple(mean[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]])
    return Facts.model_validate(facts)


def differences(found: Facts, expected: Facts) -> list[str]:
    """What differs beyond the tolerances, in words."""
    texts = []
    for name in Facts.model_fields:
        got, wanted = getattr(found, name), getattr(expected, name)
        if (got is None) != (wanted is None):
            texts.append(f"{name}: expected {wanted}, got {got}")
        elif got is not None and np.abs(np.subtract(got, wanted)).max() > TOLERANCES.get(name, 0):
            texts.append(f"{name}: expected {wanted}, got {got} (tolerance {TOLERANCES.get(name, 0):g})")
    return texts


class Fetched(BaseModel):
    """What `references fetch` notes beside a file, in FILE.fetched.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: str
    sha256: Sha256
    originals: dict[str, Sha256]
    verified: bool
    differences: list[str]


def note_path(path: Path) -> Path:
    """Where `Fetched` of a file is kept."""
    return path.with_name(path.name + ".fetched.json")


def read_note(path: Path) -> Fetched | None:
    """What was noted when the file was fetched; None where nothing was, or the note cannot be read."""
    try:
        return Fetched.model_validate_json(note_path(path).read_bytes())
    except (OSError, ValueError):
        return None
