"""Files of arrays that are there in full or not at all, and are checked when read."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from mlipbench.core.errors import StoreError
from mlipbench.store.layout import write_bytes

Arrays = dict[str, np.ndarray[Any, Any]]


def write_arrays(path: Path, arrays: Arrays) -> str:
    """Write an .npz atomically; the sha256 of its bytes. Equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **{name: arrays[name] for name in sorted(arrays)})  # type: ignore[arg-type]
    content = buffer.getvalue()
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def read_arrays(path: Path, sha256: str) -> Arrays:
    """The arrays of an .npz whose bytes have that sha256. Raises StoreError."""
    advice = f"delete the folder {path.parent} and run again, it will be computed anew"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error}); {advice}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise StoreError(f"{path}: damaged: expected sha256 {sha256}, got {found}; {advice}")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
