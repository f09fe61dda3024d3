"""Reference data by name: where each file is, whether it is the one that is meant, and what it holds.

A user's own manifest has the same format as reference_data/manifest.yaml and is named in the suite file
(`references: manifest.yaml`); docs/references.md describes the formats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlipbench.core.errors import DataError
from mlipbench.core.reference import Curve, PhononReference, Scalar
from mlipbench.core.structure import LabelledFrame
from mlipbench.core.units import same_unit
from mlipbench.data import extxyz, public
from mlipbench.data.curves import read_curve
from mlipbench.data.frames import read_frames, select
from mlipbench.data.manifest_file import (
    MANIFEST,
    UPDATE,
    Reference,
    read_document,
    read_entries,
    write_document,
)
from mlipbench.data.parsing import existing_file
from mlipbench.data.parts import assigned
from mlipbench.data.phonon_reference import read_phonons
from mlipbench.data.scalars import choose, read_scalars


@dataclass(frozen=True)
class VerifiedFile:
    """A data file whose content is the one that is meant."""

    path: Path
    sha256: str
    verified: bool  # whether what it holds may gate


@dataclass(frozen=True)
class Manifest:
    """References by name, each with the folder that its paths start from."""

    entries: Mapping[str, Reference]
    folders: Mapping[str, Path]

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read `path`, a manifest or the folder that holds manifest.yaml. Raises DataError."""
        path = path / MANIFEST if path.is_dir() else path
        entries = read_entries(path)
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
        """The data file of a reference. Raises DataError where it is public and has not been fetched."""
        entry = self.entry(name)
        if entry.public is not None:
            return public.located(name, entry.file)
        return self.folders[name] / entry.file

    def verify(self, name: str) -> VerifiedFile:
        """The data file, if its content is what the manifest says. Raises DataError."""
        entry = self.entry(name)
        path = existing_file(self.path(name))
        got = sha256(path)
        if got == entry.sha256:
            return VerifiedFile(path, got, entry.verified)
        note = public.read_note(path) if entry.public is not None else None
        if note is not None and note.sha256 == got:
            return VerifiedFile(path, got, entry.verified and note.verified)
        if entry.public is not None:
            raise DataError(
                f"{path}: not the file of the public reference {name!r} (sha256 expected {entry.sha256}, "
                f"got {got}): remove it and run `mlipbench references fetch {name}`"
            )
        if entry.sha256 is None:
            raise DataError(
                f"{path}: reference {name!r} has no sha256 yet: run `{UPDATE} {self.folders[name]}`"
            )
        raise DataError(
            f"{path}: the file of reference {name!r} is not the one of the manifest "
            f"(sha256 expected {entry.sha256}, got {got}); restore the file, or if the change is meant, "
            f"run `{UPDATE} {self.folders[name]}`"
        )

    def frames(
        self, name: str, index: str = ":", keys: Mapping[str, str] | None = None
    ) -> list[LabelledFrame]:
        """The labelled frames of a reference, file verified. Raises DataError."""
        path, entry = self._file(name, "frames"), self.entry(name)
        if entry.parts is None:
            return read_frames(path, index, keys)
        parts = existing_file(self.folders[name] / entry.parts.file)
        if (got := sha256(parts)) != entry.parts.sha256:
            raise DataError(
                f"{parts}: not the parts of reference {name!r} (sha256 expected {entry.parts.sha256}, got "
                f"{got}); restore the file, or if the change is meant, run `{UPDATE} {self.folders[name]}`"
            )
        return select(path, assigned(read_frames(path, keys=keys), parts), index)

    def curve(self, name: str) -> Curve:
        """The curve of a reference, file verified, its header as the manifest says. Raises DataError."""
        path = self._file(name, "curve")
        curve = read_curve(path)
        units = {curve.abscissa_name: curve.abscissa_unit, curve.value_name: curve.value_unit}
        self._agrees(name, path, units, {curve.level_of_theory})
        return curve

    def scalars(self, name: str) -> dict[str, Scalar]:
        """The numbers of a reference, file verified, as the manifest says. Raises DataError."""
        path = self._file(name, "scalar")
        found = read_scalars(path)
        units = {scalar.name: scalar.unit for scalar in found.values()}
        self._agrees(name, path, units, {scalar.level_of_theory for scalar in found.values()})
        return found

    def scalar(self, name: str, quantity: str | None = None) -> Scalar:
        """One number of a reference: the named one, or the only one. Raises DataError."""
        return choose(self.path(name), self.scalars(name), quantity)

    def phonons(self, name: str) -> PhononReference:
        """The force constants of a reference, file verified. Raises DataError."""
        return read_phonons(self._file(name, "phonons"))

    def _file(self, name: str, kind: str) -> Path:
        entry = self.entry(name)
        if entry.kind != kind:
            raise DataError(f"reference {name!r} holds {entry.kind} (expected {kind})")
        return self.verify(name).path

    def _agrees(self, name: str, path: Path, units: dict[str, str], levels: set[str]) -> None:
        """Manifest and file say the same."""
        entry = self.entry(name)
        if entry.units.keys() != units.keys() or any(
            not same_unit(unit, units[quantity]) for quantity, unit in entry.units.items()
        ):
            raise DataError(
                f"{path}: the units differ from the manifest's (expected {entry.units}, got {units})"
            )
        if levels != {entry.level_of_theory}:
            got = ", ".join(sorted(levels))
            raise DataError(
                f"{path}: the level of theory differs from the manifest's "
                f"(expected {entry.level_of_theory!r}, got {got!r})"
            )


def sha256(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def update_manifest(folder: Path) -> list[str]:
    """Note sha256, counts and (of public sets) facts of every file that is there; comments stay.

    Says what changed. Raises DataError.
    """
    path = folder / MANIFEST if folder.is_dir() else folder
    document, entries = read_document(path), read_entries(path)
    changes = []
    for name, entry in entries.items():
        data = public.find(entry.file) if entry.public else path.parent / entry.file
        if data is None or not data.is_file():
            changes.append(f"{name}: {data or entry.file} is missing, entry left as it is")
            continue
        fields = document["references"][name]
        for key, value in _notes(entry, data).items():
            if fields.get(key) != value:
                changes.append(f"{name}: {key} {fields.get(key)} -> {value}")
                fields[key] = value
        if entry.public is not None:
            facts = public.facts_of(read_frames(data)).model_dump(mode="json", exclude_none=True)
            if dict(fields["public"]["facts"]) != facts:
                changes.append(f"{name}: facts -> {facts}")
                fields["public"]["facts"] = facts
        if entry.parts is not None and (parts := path.parent / entry.parts.file).is_file():
            got = sha256(parts)
            if entry.parts.sha256 != got:
                changes.append(f"{name}: parts {entry.parts.sha256} -> {got}")
                fields["parts"]["sha256"] = got
    if any(not change.endswith("as it is") for change in changes):
        write_document(path, document)
    return changes


def _notes(entry: Reference, data: Path) -> dict[str, Any]:
    notes: dict[str, Any] = {"sha256": sha256(data)}
    if entry.kind == "frames":
        notes["n_frames"] = len(extxyz.split(data)) if data.suffix != ".db" else len(read_frames(data))
    elif entry.kind == "curve":
        notes["n_points"] = len(read_curve(data))
    elif entry.kind == "scalar":
        notes["n_points"] = len(read_scalars(data))
    return notes
