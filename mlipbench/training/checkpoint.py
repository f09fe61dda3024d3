"""Checkpoints: all that a training needs to go on as if nothing had happened, bit for bit (CPU, float64).

A file holds the sha256 of what follows and then a torch archive of tensors and plain numbers; reading it
executes nothing. It is replaced whole.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from mlipbench.core.errors import StoreError
from mlipbench.store import layout

_MAGIC = b"mlipbench checkpoint 1\n"


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the file. Raises StoreError where that is not possible."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    body = buffer.getvalue()
    layout.write_bytes(path, _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def load(path: Path) -> dict[str, Any] | None:
    """What was saved, on the CPU; None where nothing was. Raises StoreError where it is damaged."""
    if not path.exists():
        return None
    content = layout.read_bytes(path)
    head = len(_MAGIC) + 65
    body = content[head:]
    if content[:head] != _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise StoreError(
            f"{path}: not a checkpoint, or damaged (its sha256 differs); delete it and run the same command "
            "again: this member is trained from the start"
        )
    state: dict[str, Any] = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    return state
