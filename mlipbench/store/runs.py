"""A run on disk: opened by one process at a time, each suite committed as a whole."""

from __future__ import annotations

import datetime
import fcntl
import io
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from pydantic import ValidationError

from mlipbench.core.errors import StoreError, SuiteError
from mlipbench.core.result import Results, SuiteResult
from mlipbench.store import layout
from mlipbench.store.layout import (
    array_bytes,
    damaged,
    read_bytes,
    read_json,
    refused,
    remove,
    sha256,
    write_bytes,
    write_json,
    write_text,
)

_OTHER_VERSION = "written by another version of mlipbench"
ORPHAN_S = 20.0
"""How long to wait for the worker process of a run that was killed: it ends by itself, soon."""


class RunFolder:
    """The folder of one run, reports/<run>/."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock_descriptor: int | None = None  # while the folder is held; worker processes keep it open

    def create(self) -> None:
        """Make the folder; StoreError where that is not possible."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / layout.LOCK).touch()  # never replaced: the lock is on this very file
        except OSError as error:
            raise refused("create the run folder", self.path, error) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder: a second process is told so at once.

        The kernel lets go of it when the last process that holds it has ended, however it ended.
        """
        path = self.path / layout.LOCK
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise refused("open", path, error) from error
        try:
            self._seize(handle)
            self.lock_descriptor = handle
            self._remove_debris()
            yield
        finally:
            self.lock_descriptor = None
            os.close(handle)

    def _seize(self, handle: int) -> None:
        deadline = time.monotonic() + ORPHAN_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder, gone = _holder(os.pread(handle, 4096, 0))
                if not gone or time.monotonic() > deadline:
                    still = ", which has ended, but a process it started goes on" if gone else ""
                    raise StoreError(
                        f"{self.path} is in use by {holder}{still}; "
                        "wait for it, end it, or choose another folder with --output"
                    ) from None
                time.sleep(0.05)
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        content = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        with suppress(OSError):  # a full disk; the lock holds without it
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(content).encode(), 0)

    def _remove_debris(self) -> None:
        """Remove what a kill left half written."""
        for path in self.path.rglob(".*.tmp"):
            remove(path)

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
        """results.json, validated, and of the plan that lies beside it. Raises StoreError."""
        path = self.file(layout.RESULTS)
        if not path.exists():
            raise StoreError(
                f"{path} is missing: the run has not come to its end yet; repeat `mlipbench run` to finish it"
            )
        try:
            results = Results.model_validate(read_json(path))
        except ValidationError as error:
            raise damaged(path, _OTHER_VERSION) from error
        if results.plan_sha256 != layout.read_plan(self.file(layout.PLAN))[1]:
            raise StoreError(
                f"{path} and {layout.PLAN} are of different plans: a run with a changed suite file was begun "
                "and has not come to its end; repeat `mlipbench run` to finish it"
            )
        return results

    def today(self) -> datetime.date:
        """The day by which waivers are judged: today, or that of the run where the clock stands before it."""
        today, path = datetime.date.today(), self.file(layout.PROVENANCE)
        return max(today, _day(read_json(path))) if path.exists() else today

    def write_results(self, results: Results) -> None:
        """Write results.json."""
        write_json(self.file(layout.RESULTS), results.model_dump(mode="json"))


def _day(provenance: dict[str, Any]) -> datetime.date:
    """The day of a run, where this machine is."""
    return datetime.datetime.fromisoformat(provenance["date"]).astimezone().date()


def _holder(content: bytes) -> tuple[str, bool]:
    """Who holds a lock, in words, and whether that process is known to have ended."""
    try:
        found = json.loads(content)
        words = f"mlipbench, process {found['pid']} on {found['host']} since {found['since']}"
        return words, found["host"] == socket.gethostname() and not psutil.pid_exists(int(found["pid"]))
    except (ValueError, TypeError, KeyError, OverflowError):
        return "another mlipbench process", False


class SuiteFolder:
    """What one suite has left: arrays, the list of them, the result."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saved: dict[str, str] = {}  # arrays of this process's production: name -> sha256

    # ---- what `produce` leaves
    def clear(self) -> None:
        """Forget everything, before producing under a new key."""
        try:
            if self.path.exists():
                shutil.rmtree(self.path)
        except OSError as error:
            raise refused("remove", self.path, error) from error

    def begin(self, key: str) -> None:
        """Start (or go on) producing under a key; what an older key left is dropped."""
        marker = self.path / "key.txt"
        if not marker.exists() or read_bytes(marker) != key.encode():
            self.clear()
            write_text(marker, key)

    def n_evaluations(self, key: str) -> int:
        """How many files of answers an unfinished production under a key has left."""
        marker = self.path / "key.txt"
        if not marker.exists() or read_bytes(marker) != key.encode():
            return 0
        return len(list((self.path / "evaluations").glob("*.npz")))

    def save_array(self, name: str, array: np.ndarray[Any, Any]) -> None:
        """Store an array under a name of letters, digits, '-', '_', '.'."""
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]{1,100}", name):
            raise SuiteError(f"array name {name!r}: expected at most 100 letters, digits, '-', '_', '.'")
        if not isinstance(array, np.ndarray) or array.dtype.hasobject:
            raise SuiteError(f"array {name!r}: expected a numpy array of numbers, got {type(array).__name__}")
        content = array_bytes(array)
        write_bytes(self.path / "arrays" / f"{name}.npy", content)
        self._saved[name] = sha256(content)

    def finish(self, key: str, asked: str, trajectories: dict[str, list[Any]], unverified: list[str]) -> None:
        """Commit: from here on the production under `key` is complete.

        `asked` says for which plan and potential it was made; `trajectories` are label -> [key, number
        of steps, frame stride]; `unverified` names the references that were used though their manifest
        does not vouch for them.
        """
        content = {
            "suite": self.path.name,
            "key": key,
            "asked": asked,
            "arrays": dict(sorted(self._saved.items())),
            "trajectories": trajectories,
            "unverified": unverified,
        }
        write_json(self.path / "data.json", content)

    def produced(self, key: str | None = None) -> bool:
        """Whether a production (under `key`, where given, and with all its arrays) is complete."""
        if not (self.path / "data.json").exists():
            return False
        if key is None:
            return True
        data = self.production()
        return data["key"] == key and all(self._array_file(name).is_file() for name in data["arrays"])

    def asked(self) -> str:
        """For which plan and potential the production was made."""
        return str(self.production()["asked"])

    def array(self, name: str) -> np.ndarray[Any, Any]:
        """A stored array, its bytes checked; KeyError where it was never saved."""
        recorded = self.production()["arrays"]
        if name not in recorded:
            raise KeyError(name)
        path = self._array_file(name)
        content = read_bytes(path)
        if sha256(content) != recorded[name]:
            raise damaged(path, f"damaged: expected sha256 {recorded[name]}, got {sha256(content)}")
        array: np.ndarray[Any, Any] = np.load(io.BytesIO(content), allow_pickle=False)
        return array

    def has_array(self, name: str) -> bool:
        """Whether `array` would find it."""
        return name in self.production()["arrays"]

    def trajectory_links(self) -> dict[str, list[Any]]:
        """Label -> [key, number of steps, frame stride]."""
        links: dict[str, list[Any]] = self.production()["trajectories"]
        return links

    def unverified_references(self) -> list[str]:
        """References that must not gate."""
        names: list[str] = self.production()["unverified"]
        return names

    def production(self) -> dict[str, Any]:
        """What `finish` has written. Raises StoreError."""
        path = self.path / "data.json"
        content = read_json(path)
        if content["suite"] != self.path.name:
            raise damaged(path, f"of another suite, {content['suite']}")
        return content

    def _array_file(self, name: str) -> Path:
        return self.path / "arrays" / f"{name}.npy"

    # ---- what `measure` leaves
    def write_result(self, result: SuiteResult) -> None:
        """Commit the suite's result. Raises SuiteError where it holds what JSON cannot."""
        try:
            write_json(self.path / "result.json", result.model_dump(mode="json"))
        except ValueError as error:
            raise SuiteError(
                f"the result of {self.path.name} cannot be stored: {error}; in figures and tables, None "
                "stands for numbers that are not finite"
            ) from error

    def result(self) -> SuiteResult | None:
        """The result, None where there is none yet. Raises StoreError."""
        path = self.path / "result.json"
        if not path.exists():
            return None
        try:
            result = SuiteResult.model_validate(read_json(path))
        except ValidationError as error:
            raise damaged(path, _OTHER_VERSION) from error
        if result.key != self.path.name:
            raise damaged(path, f"the result of another suite, {result.key}")
        return result

    def write_traceback(self, text: str) -> None:
        """Keep the traceback of an error."""
        write_text(self.path / "traceback.txt", text)

    def drop_result(self) -> None:
        """Remove result and traceback, before they are made anew."""
        for name in ("result.json", "traceback.txt"):
            remove(self.path / name)
