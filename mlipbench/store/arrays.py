"""Files of arrays that are there in full or not at all, and are checked when read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from mlipbench.store.layout import damaged, read_bytes, sha256, write_bytes

Arrays = dict[str, np.ndarray[Any, Any]]


def packed(arrays: Arrays) -> bytes:
    """The bytes of an .npz. Equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    return buffer.getvalue()


def write_arrays(path: Path, arrays: Arrays) -> str:
    """Write an .npz atomically; the sha256 of its bytes."""
    content = packed(arrays)
    write_bytes(path, content)
    return sha256(content)


def read_arrays(path: Path, expected: str) -> Arrays:
    """The arrays of an .npz whose bytes have the sha256 `expected`. Raises StoreError."""
    content = read_bytes(path)
    found = sha256(content)
    if found != expected:
        raise damaged(path, f"damaged: expected sha256 {expected}, got {found}")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
