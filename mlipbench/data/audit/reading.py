"""Frames as an audit wants them: what is wrong with a label is noted, not raised.

A file that cannot be cut into frames is still one DataError: nothing can be said about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ase import Atoms

from mlipbench.core.errors import DataError
from mlipbench.core.structure import LabelledFrame, Structure
from mlipbench.data import frames


@dataclass(frozen=True, eq=False)
class AuditFrame:
    """A labelled frame, what else its file says about it, and what could not be read."""

    frame: LabelledFrame
    file: str
    number: int  # of the frame in the file, from 0
    info: Mapping[str, str | float] = field(default_factory=dict)  # single values of the comment line
    faults: Mapping[str, str] = field(default_factory=dict)  # "energy", "structure", ... -> message

    @classmethod
    def of(cls, frame: LabelledFrame, number: int) -> AuditFrame:
        """A frame that was read by `read_frames` already."""
        return cls(frame, frame.label.partition("#")[0], number)

    @property
    def n_atoms(self) -> int:
        """Atoms."""
        return len(self.frame.structure)


def read(path: Path, keys: Mapping[str, str] | None = None) -> list[AuditFrame]:
    """All frames of a file; `keys` names labels (ours -> the file's) for the frames that have them.

    Raises DataError where the file cannot be cut into frames, or no frame has a label of `keys`.
    """
    raw = frames.selected(path, ":")
    for name, key in (keys or {}).items():
        if not any(key in _present(atoms) for _, _, atoms in raw):
            present = ", ".join(sorted(_present(raw[0][2]) - {"numbers", "positions"})) or "none"
            raise DataError(f"{path}: no frame has {key!r} for {name} (the first has: {present})")
    return [
        _audited(path, number, where, atoms, {n: k for n, k in (keys or {}).items() if k in _present(atoms)})
        for number, where, atoms in raw
    ]


def _present(atoms: Atoms) -> set[str]:
    return {str(k) for k in (*atoms.info, *atoms.arrays, *(atoms.calc.results if atoms.calc else ()))}


def _audited(path: Path, number: int, where: str, atoms: Atoms, keys: Mapping[str, str]) -> AuditFrame:
    faults: dict[str, str] = {}
    structure = Structure.from_ase(atoms)
    with _noted(faults, "structure"):
        frames.check_structure(structure, where)
    found: dict[str, Any] = {}
    with _noted(faults, "labels"):
        found = frames.labels(atoms, where, keys)
    values: dict[str, Any] = {}
    for name, convert in frames.CONVERSIONS.items():
        with _noted(faults, name):
            values[name] = convert(found, structure, where)
    frame = frames.labelled(path, number, structure, found, values)
    info = {
        str(key): value if isinstance(value, str) else float(value)
        for key, value in atoms.info.items()
        if isinstance(value, (str, int, float)) and not isinstance(value, bool)
    }
    return AuditFrame(frame, path.name, number, info, faults)


@contextmanager
def _noted(faults: dict[str, str], name: str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        faults[name] = str(error)
