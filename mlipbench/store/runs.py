"""A run on disk: opened by one process at a time, each suite committed as a whole."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mlipbench.core.errors import StoreError
from mlipbench.core.result import Results, SuiteResult
from mlipbench.store import layout
from mlipbench.store.layout import array_bytes, read_json, write_bytes, write_json, write_text


class RunFolder:
    """The folder of one run, reports/<run>/."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Make the folder; StoreError where that is not possible."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / layout.LOCK).touch()  # never replaced: the lock is on this very file
        except OSError as error:
            raise StoreError(
                f"cannot create the run folder {self.path}: {error.strerror}; choose another with --output"
            ) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder: a second process is told so at once."""
        handle = os.open(self.path / layout.LOCK, os.O_RDWR | os.O_CREAT)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    f"{self.path} is in use by another mlipbench process; "
                    "wait for it, or choose another folder with --output"
                ) from None
            yield
        finally:
            os.close(handle)

    def file(self, name: str) -> Path:
        """A file of the run by its name in `store.layout`."""
        return self.path / name

    @property
    def trajectories(self) -> Path:
        """The folder of the trajectory store."""
        return self.path / layout.TRAJECTORIES

    def suite(self, key: str) -> SuiteFolder:
        """The folder of one suite."""
        return SuiteFolder(self.path / layout.SUITES / key)

    def results(self) -> Results:
        """results.json, validated."""
        return Results.model_validate(read_json(self.file(layout.RESULTS)))

    def write_results(self, results: Results) -> None:
        """Write results.json."""
        write_json(self.file(layout.RESULTS), results.model_dump(mode="json"))


class SuiteFolder:
    """What one suite has left: arrays, the list of them, the result."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # ---- what `produce` leaves
    def clear(self) -> None:
        """Forget everything, before producing under a new key."""
        if self.path.exists():
            shutil.rmtree(self.path)

    def begin(self, key: str) -> None:
        """Start (or go on) producing under a key; what an older key left is dropped."""
        marker = self.path / "key.txt"
        if not marker.exists() or marker.read_text() != key:
            self.clear()
            write_text(marker, key)

    def save_array(self, name: str, array: np.ndarray[Any, Any]) -> None:
        """Store an array under a name of letters, digits, '-', '_', '.'."""
        if not re.fullmatch(r"[\w.-]+", name):
            raise StoreError(f"array name {name!r}: expected letters, digits, '-', '_', '.'")
        write_bytes(self.path / "arrays" / f"{name}.npy", array_bytes(array))

    def finish(self, key: str, trajectories: dict[str, list[Any]], unverified: list[str]) -> None:
        """Commit: from here on the production under `key` is complete.

        `trajectories` are label -> [key, number of steps, frame stride]; `unverified` names the
        references that were used though their manifest does not vouch for them.
        """
        content = {
            "key": key,
            "arrays": {p.stem: _sha256(p) for p in sorted((self.path / "arrays").glob("*.npy"))},
            "trajectories": trajectories,
            "unverified": unverified,
        }
        write_json(self.path / "data.json", content)

    def produced(self, key: str | None = None) -> bool:
        """Whether a production (under `key`, where given) is complete."""
        path = self.path / "data.json"
        return path.exists() and (key is None or read_json(path)["key"] == key)

    def array(self, name: str) -> np.ndarray[Any, Any]:
        """A stored array, its bytes checked; KeyError where it was never saved."""
        recorded = read_json(self.path / "data.json")["arrays"]
        if name not in recorded:
            raise KeyError(name)
        path = self.path / "arrays" / f"{name}.npy"
        if not path.exists() or _sha256(path) != recorded[name]:
            raise StoreError(
                f"{path} is missing or damaged; delete {self.path} and run the suite file again: "
                "only this suite is computed anew"
            )
        array: np.ndarray[Any, Any] = np.load(path, allow_pickle=False)
        return array

    def has_array(self, name: str) -> bool:
        """Whether `array` would find it."""
        return name in read_json(self.path / "data.json")["arrays"]

    def trajectory_links(self) -> dict[str, list[Any]]:
        """Label -> [key, number of steps, frame stride]."""
        links: dict[str, list[Any]] = read_json(self.path / "data.json")["trajectories"]
        return links

    def unverified_references(self) -> list[str]:
        """References that must not gate."""
        names: list[str] = read_json(self.path / "data.json")["unverified"]
        return names

    # ---- what `measure` leaves
    def write_result(self, result: SuiteResult) -> None:
        """Commit the suite's result."""
        write_json(self.path / "result.json", result.model_dump(mode="json"))

    def result(self) -> SuiteResult | None:
        """The result, None where there is none yet."""
        path = self.path / "result.json"
        return SuiteResult.model_validate(read_json(path)) if path.exists() else None

    def write_traceback(self, text: str) -> None:
        """Keep the traceback of an error."""
        write_text(self.path / "traceback.txt", text)

    def drop_result(self) -> None:
        """Remove result and traceback, before they are made anew."""
        for name in ("result.json", "traceback.txt"):
            (self.path / name).unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
