"""Names of the files in a run folder, and how they are written and read.

    reports/<run>/
      plan.lock.yaml      the plan with every default filled in
      provenance.json     versions, hardware, dates, seeds, hashes
      probe.json          identity, capabilities and fingerprint of the potential
      timings.json        wall times: the only file besides provenance.json that the clock enters
      results.json  report.html  checklist.md  junit.xml  methods.txt  citations.bib
      figures/*.csv       the data of every figure
      suites/<key>/       data.json (what was produced, under which key), arrays/*.npy,
                          evaluations/*.npz, result.json, log.txt, traceback.txt
      trajectories/<key>/ see store.trajectories

A training, DIR of `mlipbench train CONFIG --output DIR`, has training.json (core.training.TrainingRecord) in
the place of results.json, beside it report.html, methods.txt, citations.bib, figures/*.csv and
learning_curve.png.

Every file is written under a temporary name, flushed to disk and renamed, so a reader (and a run
resumed after a kill) sees a whole file or none.

What is read back is checked. A JSON file ends with its seal, the line `"sha256": "..."`: the sha256 of
the text before that line (`head -n -2 results.json | sha256sum`); plan.lock.yaml begins with its own.
Arrays are checked against the sha256 that a sealed file, or their own name, holds. A file that is
damaged is an error; one that is missing, or was deleted because it is damaged, is computed anew.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mlipbench.core.errors import StoreError

PLAN = "plan.lock.yaml"
PROVENANCE = "provenance.json"
PROBE = "probe.json"
TIMINGS = "timings.json"
RESULTS = "results.json"
REPORT = "report.html"
CHECKLIST = "checklist.md"
JUNIT = "junit.xml"
METHODS = "methods.txt"
CITATIONS = "citations.bib"
FIGURES = "figures"
SUITES = "suites"
TRAJECTORIES = "trajectories"
LOCK = ".lock"
TRAINING = "training.json"
LEARNING_CURVE = "learning_curve.png"

CONTRACT = "contract"
"""Key of the contract check of the potential among the suites of a run."""

_PLAN_HEAD = re.compile(rb"# sha256 ([0-9a-f]{64}) of the text below\n# plan ([0-9a-f]*)\n")
_IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def refused(verb: str, path: Path, error: OSError) -> StoreError:
    """What to say where the file system refuses to write or make `path`."""
    elsewhere = "choose another folder with --output"
    if error.errno in _FULL:
        advice = f"free some space, or {elsewhere}"
    elif error.errno in _IN_THE_WAY:
        advice = f"something else has that name: remove it, or {elsewhere}"
    else:
        advice = f"make that possible, or {elsewhere}"
    reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())[:200]
    return StoreError(
        f"cannot {verb} {path}: {reason}. What is stored already is whole; "
        f"{advice}, then run the same command again"
    )


def damaged(path: Path, what: str) -> StoreError:
    """What to say of a file that is not as it was written."""
    return StoreError(
        f"{path}: {what}. Delete it and run the suite file again: what it held is computed anew, "
        "the rest is kept"
    )


# ---------------------------------------------------------------- bytes
def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` atomically: readers see the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise refused(f"write {len(content)} bytes to", path, error) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name for a writer of its own; what it leaves there becomes `path` atomically."""
    temporary = path.with_name(f".{os.getpid()}.tmp-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise refused("write", path, error) from error


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises StoreError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise StoreError(f"{path} is missing; run the suite file again: it is computed anew") from None
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror or error})") from error


def remove(path: Path) -> None:
    """Remove a file if it is there. Raises StoreError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise refused("remove", path, error) from error


def write_text(path: Path, content: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, content.encode())


def sha256(content: bytes) -> str:
    """The digest, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


# ---------------------------------------------------------------- sealed files
def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as JSON with a stable layout, sealed."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    body = (text.removesuffix("}").rstrip("\n") + (",\n" if content else "\n")).encode()
    write_bytes(path, body + _seal(body))


def read_json(path: Path) -> dict[str, Any]:
    """The mapping that `write_json` wrote; StoreError where it is missing or damaged."""
    content = read_bytes(path)
    body = content[: content.rfind(b' "sha256": ')]
    if content != body + _seal(body):
        raise damaged(path, "damaged or edited: its content is not the one that its last line seals")
    mapping: dict[str, Any] = json.loads(content)
    del mapping["sha256"]
    return mapping


def _seal(body: bytes) -> bytes:
    return f' "sha256": "{sha256(body)}"\n}}\n'.encode()


def write_plan(path: Path, text: str, plan_sha256: str) -> None:
    """Write plan.lock.yaml; `plan_sha256` says which plan it is, wherever it lies."""
    body = f"# plan {plan_sha256}\n{text}".encode()
    write_bytes(path, f"# sha256 {sha256(body)} of the text below\n".encode() + body)


def read_plan(path: Path) -> tuple[str, str]:
    """The text of plan.lock.yaml and which plan it is. Raises StoreError."""
    content = read_bytes(path)
    head = _PLAN_HEAD.match(content)
    if head is None or sha256(content.partition(b"\n")[2]) != head.group(1).decode():
        raise damaged(path, "damaged or edited: its content is not the one that its first line seals")
    return content[head.end() :].decode(), head.group(2).decode()


def array_bytes(array: np.ndarray[Any, Any]) -> bytes:
    """The .npy bytes of an array (no pickle, no time stamp)."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
