"""Fetching public reference sets: download the originals, convert them, compare them with what is known."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

from ase.io import write

from mlipbench.core.errors import DataError
from mlipbench.data.download import download
from mlipbench.data.frames import read_frames
from mlipbench.data.manifest_file import Reference
from mlipbench.data.originals import convert
from mlipbench.data.public import Fetched, Public, differences, facts_of, note_path, read_note
from mlipbench.data.references import sha256

Report = Callable[[str, int, int | None], None]
"""(file, bytes so far, bytes in all where known)"""


def fetch(name: str, entry: Reference, folder: Path, report: Report) -> Fetched:
    """The file of a public reference into `folder`, verified or with what differs. Raises DataError.

    A verified file is left as it is. The originals stay in `folder`/originals/NAME.
    """
    spec = entry.public
    if spec is None:
        raise DataError(f"reference {name!r} comes with its manifest: there is nothing to fetch")
    target = folder / entry.file
    known = already(name, entry, target)
    if known is not None and known.verified:
        return known
    below = folder / "originals" / name
    hashes = {}
    for path, expected in spec.originals.items():
        hashes[path] = download(urljoin(spec.url, path), below / path, expected, partial(report, path))
    content = _converted(below, spec)
    fetched = _place(name, entry, target, content, hashes)
    _write(note_path(target), fetched.model_dump_json(indent=1).encode())
    return fetched


def already(name: str, entry: Reference, target: Path) -> Fetched | None:
    """What is known of a file that is there."""
    if not target.is_file():
        return None
    got = sha256(target)
    if got == entry.sha256:
        return Fetched(reference=name, sha256=got, originals={}, verified=True, differences=[])
    note = read_note(target)
    return note if note is not None and note.sha256 == got else None


def _converted(folder: Path, spec: Public) -> bytes:
    """The set as extended XYZ. A set that is published so stays as it is, byte for byte."""
    if spec.format == "extxyz":
        return b"".join((folder / path).read_bytes() for path in spec.originals)
    text = io.StringIO()
    write(text, convert(folder, spec), format="extxyz")
    return text.getvalue().encode()


def _place(name: str, entry: Reference, target: Path, content: bytes, hashes: dict[str, str]) -> Fetched:
    """Write the file under a temporary name, compare its content, and rename it."""
    if entry.public is None or entry.sha256 is None:
        raise DataError(f"{name}: a public reference needs sha256 and facts in its manifest")
    trial = target.with_name(f".trial-{target.name}")
    _write(trial, gzip.compress(content, mtime=0) if target.suffix == ".gz" else content)
    try:
        got = sha256(trial)
        found = [] if got == entry.sha256 else differences(facts_of(read_frames(trial)), entry.public.facts)
        os.replace(trial, target)
    finally:
        trial.unlink(missing_ok=True)
    return Fetched(reference=name, sha256=got, originals=hashes, verified=not found, differences=found)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error
