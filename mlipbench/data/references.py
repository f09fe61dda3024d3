"""Reference data: a manifest that says what each file is, where it comes from, and its sha256.

    python -m mlipbench.data.references FOLDER      # note sha256 and n_frames of the files there

A user's own manifest has the same format and is named in the suite file (`references: manifest.yaml`).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from mlipbench.core.errors import DataError
from mlipbench.core.structure import LabelledFrame
from mlipbench.data import extxyz
from mlipbench.data.frames import read_frames
from mlipbench.data.parsing import existing_file, read_text

MANIFEST = "manifest.yaml"
UPDATE = "python -m mlipbench.data.references"


class Reference(BaseModel):
    """One entry of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(min_length=1)
    kind: Literal["frames", "curve", "scalar", "phonons"]
    file: str = Field(min_length=1, description="relative to the manifest")
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$", description=f"null: not yet noted ({UPDATE})")
    n_frames: int | None = Field(default=None, ge=1)
    units: dict[str, str] = Field(description="quantity -> unit: {energy: eV, forces: eV/A}")
    level_of_theory: str
    licence: str
    source: str = Field(description="citation, or who computed it")
    script: str | None = Field(default=None, description="what made it, relative to the manifest")
    verified: bool = Field(description="an unverified reference is drawn but never gates")


@dataclass(frozen=True)
class Manifest:
    """References by name, each with the folder that its paths start from."""

    entries: Mapping[str, Reference]
    folders: Mapping[str, Path]

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read `path`, a manifest or the folder that holds manifest.yaml. Raises DataError."""
        path = path / MANIFEST if path.is_dir() else path
        document = _read(path)
        entries = _validate(path, document)
        return cls(entries, dict.fromkeys(entries, path.parent.absolute()))

    def joined(self, other: Manifest) -> Manifest:
        """Both manifests in one. Raises DataError where both use a name."""
        for name in self.entries.keys() & other.entries.keys():
            raise DataError(
                f"{other.folders[name]}: the name {name!r} is taken by a reference of {self.folders[name]}"
            )
        return Manifest({**self.entries, **other.entries}, {**self.folders, **other.folders})

    def kinds(self) -> dict[str, str]:
        """Name -> kind."""
        return {name: entry.kind for name, entry in self.entries.items()}

    def entry(self, name: str) -> Reference:
        """The entry of a name. Raises DataError."""
        if name not in self.entries:
            known = ", ".join(sorted(self.entries)) or "none"
            raise DataError(f"unknown reference {name!r} (known: {known})")
        return self.entries[name]

    def path(self, name: str) -> Path:
        """The data file of a reference."""
        return self.folders[name] / self.entry(name).file

    def verify(self, name: str) -> Path:
        """The data file, if its content is what the manifest says. Raises DataError."""
        entry = self.entry(name)
        path = existing_file(self.path(name))
        if entry.sha256 is None:
            raise DataError(
                f"{path}: reference {name!r} has no sha256 yet: run {UPDATE} {self.folders[name]}"
            )
        got = sha256(path)
        if got != entry.sha256:
            raise DataError(
                f"{path}: the file of reference {name!r} is not the one of the manifest "
                f"(sha256 expected {entry.sha256}, got {got}); restore the file, or if the change is meant, "
                f"run {UPDATE} {self.folders[name]}"
            )
        return path

    def frames(
        self, name: str, index: str = ":", keys: Mapping[str, str] | None = None
    ) -> list[LabelledFrame]:
        """The labelled frames of a reference, file verified. Raises DataError."""
        entry = self.entry(name)
        if entry.kind != "frames":
            raise DataError(f"reference {name!r} holds {entry.kind}, frames are expected")
        return read_frames(self.verify(name), index, keys)


def sha256(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read(path: Path) -> CommentedMap:
    """The mapping under `references`, with positions and comments."""
    text = read_text(path)
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}:1:1"
        raise DataError(f"{place}: YAML syntax: {' '.join(str(error.problem).split())}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{path}:1:1: YAML syntax: {str(error).splitlines()[0][:200]}") from error
    entries = document.get("references") if isinstance(document, CommentedMap) else None
    if not isinstance(document, CommentedMap) or not isinstance(entries, CommentedMap) or len(document) != 1:
        raise DataError(
            f"{path}:1:1: not a manifest (expected one mapping `references:` of names and entries)"
        )
    return document


def _validate(path: Path, document: CommentedMap) -> dict[str, Reference]:
    problems: list[str] = []
    entries: dict[str, Reference] = {}
    raw = document["references"]
    for name, fields in raw.items():
        try:
            entries[str(name)] = Reference.model_validate_json(json.dumps(fields, default=str), strict=True)
        except ValidationError as error:
            problems += [_problem(path, raw, name, item) for item in error.errors(include_url=False)]
        except (TypeError, ValueError) as error:
            line, col = _place(raw, name)
            problems.append(f"{path}:{line}:{col}: {name}: not a mapping of names and values: {error}")
    if problems:
        raise DataError("\n".join(problems))
    return entries


def _problem(path: Path, raw: CommentedMap, name: Any, error: Any) -> str:
    """`file:line:col: name.field: what`."""
    line, col = _place(raw, name)
    loc = [str(part) for part in error["loc"]]
    if loc and isinstance(raw[name], CommentedMap) and loc[0] in raw[name]:
        line, col = _place(raw[name], loc[0])
    return f"{path}:{line}:{col}: {'.'.join([str(name), *loc])}: {error['msg']}"


def _place(mapping: CommentedMap, key: Any) -> tuple[int, int]:
    """Line and column of a key, from 1; of the mapping where the key was merged into it."""
    line, col = (mapping.lc.data or {}).get(key, (mapping.lc.line, mapping.lc.col))[:2]
    return line + 1, col + 1


class _Representer(RoundTripRepresenter):
    """Writes null as null, where ruamel would leave the place empty."""

    def represent_none(self, data: Any) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_none)


def update_manifest(folder: Path) -> list[str]:
    """Note sha256 and n_frames of every file that is there; comments stay. Says what changed."""
    path = folder / MANIFEST if folder.is_dir() else folder
    document = _read(path)
    _validate(path, document)
    changes = []
    for name, fields in document["references"].items():
        data = path.parent / str(fields["file"])
        if not data.is_file():
            changes.append(f"{name}: {data} is missing, entry left as it is")
            continue
        facts: dict[str, Any] = {"sha256": sha256(data)}
        if fields["kind"] == "frames":
            facts["n_frames"] = len(extxyz.split(data)) if data.suffix != ".db" else len(read_frames(data))
        for key, value in facts.items():
            if fields.get(key) != value:
                changes.append(f"{name}: {key} {fields.get(key)} -> {value}")
                fields[key] = value
    writer = YAML(typ="rt")
    writer.width = 120
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.Representer = _Representer
    target = path.with_suffix(".tmp")
    with target.open("w", encoding="utf-8") as handle:
        writer.dump(document, handle)
    os.replace(target, path)
    return changes


def main(arguments: list[str]) -> int:
    """Update the manifest of a folder."""
    if len(arguments) != 1:
        print(f"usage: {UPDATE} FOLDER", file=sys.stderr)
        return 2
    try:
        changes = update_manifest(Path(arguments[0]))
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(changes) or "nothing to change")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
