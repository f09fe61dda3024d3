"""What a training writes as it goes: metrics.jsonl, a line an epoch, and debug.log, a line a batch.

After a kill both are cut back to where the checkpoint stands, so that no epoch is in them twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlipbench.core.training import Epoch
from mlipbench.store.layout import refused

if TYPE_CHECKING:  # who reads a journal needs no torch
    from mlipbench.training.losses import Term

METRICS = "metrics.jsonl"
DEBUG = "debug.log"


class Journal:
    """The two files in a member's folder; of several processes one `writes`."""

    def __init__(self, folder: Path, writes: bool = True) -> None:
        self.folder, self._writes = folder, writes
        with self._writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def epoch(self, epoch: Epoch) -> None:
        """Add the line of an epoch."""
        self._append(METRICS, epoch.model_dump_json())

    def losses(self, epoch: int, batch: int, shares: Mapping[Term, float]) -> None:
        """Add the weighted loss terms of a batch."""
        listed = ", ".join(f"{term}: {share!r}" for term, share in shares.items())
        self._append(DEBUG, f"DEBUG: epoch {epoch} batch {batch}: loss breakdown: {listed}")

    def epochs(self) -> list[Epoch]:
        """The epochs so far."""
        path = self.folder / METRICS
        lines = path.read_text().splitlines() if path.exists() else []
        return [Epoch.model_validate_json(line) for line in lines]

    def lengths(self) -> dict[str, int]:
        """Bytes of each file, for the checkpoint."""
        paths = {name: self.folder / name for name in (METRICS, DEBUG)}
        return {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()}

    def cut(self, lengths: Mapping[str, int]) -> None:
        """Drop what was written after a checkpoint with these `lengths`."""
        for name in (METRICS, DEBUG):
            path = self.folder / name
            if path.exists() and self._writes:
                with self._writing(path), open(path, "rb+") as file:
                    file.truncate(min(lengths.get(name, 0), path.stat().st_size))

    def _append(self, name: str, line: str) -> None:
        path = self.folder / name
        if self._writes:
            with self._writing(path), open(path, "a") as file:
                file.write(line + "\n")

    @staticmethod
    @contextlib.contextmanager
    def _writing(path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise refused("write", path, error) from error
