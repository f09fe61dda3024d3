"""manifest.yaml: what an entry holds, and how it is written."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.representer import RoundTripRepresenter

from mlipbench.core.errors import DataError
from mlipbench.core.units import same_unit
from mlipbench.data import entries
from mlipbench.data.parsing import read_text
from mlipbench.data.public import Public, Sha256
from mlipbench.data.scalars import KnownUnit

MANIFEST = "manifest.yaml"
UPDATE = "mlipbench references update"
FRAME_UNITS = {"energy": "eV", "forces": "eV/A", "stress": "eV/A^3", "positions": "A"}


def _inside(file: str) -> str:
    path = Path(file)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("expected a path below the folder of the manifest")
    return file


class Parts(BaseModel):
    """Which part each frame of a set belongs to, see data/parts.py."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Annotated[str, AfterValidator(_inside)] = Field(
        min_length=1, description="relative to the manifest"
    )
    sha256: Sha256 | None = Field(description=f"null: not yet noted ({UPDATE})")


class Reference(BaseModel):
    """One entry of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(min_length=1)
    kind: Literal["frames", "curve", "scalar", "phonons"]
    file: Annotated[str, AfterValidator(_inside)] = Field(
        min_length=1, description="relative to the manifest; of a public set: to the data folder or cache"
    )
    sha256: Sha256 | None = Field(description=f"null: not yet noted ({UPDATE})")
    n_frames: int | None = Field(default=None, ge=1, description="of frames")
    n_points: int | None = Field(default=None, ge=1, description="of a curve; numbers in a file of scalars")
    units: dict[str, KnownUnit] = Field(description="quantity -> unit: {energy: eV, forces: eV/A}")
    level_of_theory: str
    licence: str
    source: str = Field(description="citation, or who computed it")
    doi: str | None = Field(default=None, pattern=r"^10\.\d{4,9}/\S+$", description="of the citation")
    script: str | None = Field(default=None, description="what made it, relative to the manifest")
    verified: bool = Field(description="an unverified reference is drawn but never gates")
    public: Public | None = Field(default=None, description="where it is fetched from")
    parts: Parts | None = Field(
        default=None, description="of frames: what each is there for, as its config_type; and its trajectory"
    )

    @model_validator(mode="after")
    def _sensible(self) -> Reference:
        if self.kind == "frames":
            for quantity, unit in self.units.items():
                if quantity not in FRAME_UNITS:
                    raise ValueError(f"units: frames have no {quantity!r} ({', '.join(FRAME_UNITS)})")
                if not same_unit(unit, FRAME_UNITS[quantity]):
                    raise ValueError(
                        f"units: {quantity} of frames is read in {FRAME_UNITS[quantity]}, got {unit}: "
                        "convert the file"
                    )
        if self.public is not None and self.kind != "frames":
            raise ValueError(f"public: only frames can be fetched, this is of kind {self.kind}")
        if self.parts is not None and self.kind != "frames":
            raise ValueError(f"parts: only frames have them, this is of kind {self.kind}")
        return self


def read_document(path: Path) -> CommentedMap:
    """The file, with positions and comments. Raises DataError."""
    return _document(path, read_text(path))


def _document(path: Path, text: str) -> CommentedMap:
    what = "a manifest (expected one mapping `references:` of names and entries)"
    document = entries.parse_mapping(path, text, what)
    if not isinstance(document.get("references"), CommentedMap) or len(document) != 1:
        raise DataError(f"{path}:1:1: not {what}")
    return document


def read_entries(path: Path) -> dict[str, Reference]:
    """Name -> entry. Raises DataError with every problem."""
    return dict(_entries(path, read_text(path)))


@lru_cache(maxsize=8)
def _entries(path: Path, text: str) -> dict[str, Reference]:
    """Parsing with positions takes its time, and a command asks for a manifest again and again."""
    return entries.validate(path, _document(path, text)["references"], Reference)


def write_document(path: Path, document: CommentedMap) -> None:
    """Replace the file, comments kept. Raises DataError."""
    writer = YAML(typ="rt")
    writer.width = 130  # a URL at a revision fits
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.Representer = _Representer
    target = path.with_suffix(".tmp")
    try:
        with target.open("w", encoding="utf-8") as handle:
            writer.dump(document, handle)
        os.replace(target, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error


class _Representer(RoundTripRepresenter):
    """Writes null as null, where ruamel would leave the place empty."""

    def represent_none(self, data: Any) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_none)
