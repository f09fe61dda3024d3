"""Names of the files in a run folder, and how they are written.

    reports/<run>/
      plan.lock.yaml      the plan with every default filled in
      provenance.json     versions, hardware, dates, seeds, hashes
      probe.json          identity, capabilities and fingerprint of the potential
      timings.json        wall times: the only file besides provenance.json that the clock enters
      results.json  report.html  checklist.md  junit.xml
      suites/<key>/       data.json (what was produced, under which key), arrays/*.npy,
                          evaluations/*.npz, result.json, log.txt, traceback.txt
      trajectories/<key>/ see store.trajectories

Every file is written under a temporary name, flushed to disk and renamed, so a reader (and a run
resumed after a kill) sees a whole file or none.
"""

from __future__ import annotations

import io
import json
import os
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
SUITES = "suites"
TRAJECTORIES = "trajectories"
LOCK = ".lock"


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` atomically: readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}. What is stored already is whole; "
            "free some space or choose another folder with --output, then run the same command again"
        ) from error


def write_text(path: Path, content: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write JSON with a stable layout."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; StoreError where the file is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path} is missing: is {path.parent} the folder of a run?") from None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}); delete it and run the suite file again"
        ) from error


def array_bytes(array: np.ndarray[Any, Any]) -> bytes:
    """The .npy bytes of an array (no pickle, no time stamp)."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
