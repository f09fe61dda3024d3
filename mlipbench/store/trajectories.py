"""Trajectories on disk: content-addressed, extendable, safe against a kill at any moment.

folder/<key>/
    spec.json            what the trajectory is
    checkpoint.json      names every file that counts, with its sha256; replaced atomically, last of all
    chunk-00000.npz      samples and frames of steps 0..C, with the full state at C; and so on
    tail-00002-0137.npz  the same for the steps after the last full chunk (here up to 2 C + 137)
    state-700.npz        the full state at a step from which another trajectory goes on

A trajectory is resumed and extended from the end of its last full chunk: a tail is computed again as
part of the full chunk that replaces it. Files that the checkpoint does not name are debris of a kill, and
are removed when the trajectory is next prepared. A chunk that is missing is computed anew from the end of
the one before it; one that is damaged is an error. Both JSON files are sealed and hold the key.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlipbench.core.errors import StoreError
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import Event, Trajectory, TrajectorySpec
from mlipbench.store.arrays import Arrays, read_arrays, write_arrays
from mlipbench.store.layout import damaged, read_json, refused, write_json

_SCHEMA = 2
_FRAME_ARRAYS = ("frame_steps", "positions", "velocities", "cells")
_SAMPLE_ARRAYS = (
    "steps",
    "potential_energy",
    "kinetic_energy",
    "conserved",
    "temperature",
    "closest_contact",
    "momentum",
    "angular_momentum",
)
_CELL_ARRAYS = ("volume", "pressure")  # samples too, where the cell moves
_STATE_PREFIX = "state."


class TrajectoryStore:
    """A folder of trajectories, each in a folder named by its key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sink(self, key: str, spec: TrajectorySpec) -> TrajectorySink:
        """Where one trajectory is written and its states are read; made if it is not there."""
        return TrajectorySink(self.folder / key, spec)

    def is_complete(self, key: str, n_steps: int, frame_stride: int) -> bool:
        """Whether a trajectory reaches `n_steps` (or has ended before) with frames every `frame_stride`,
        and all its files are there."""
        folder = self.folder / key
        if not all((folder / name).exists() for name in ("checkpoint.json", "spec.json")):
            return False
        checkpoint = _Checkpoint.load(folder)
        return checkpoint.serves(n_steps, frame_stride) and not checkpoint.missing()

    def steps_kept(self, key: str, n_steps: int, frame_stride: int) -> int:
        """How many of the steps asked need not be computed (again)."""
        if self.is_complete(key, n_steps, frame_stride):
            return n_steps
        if not (self.folder / key / "checkpoint.json").exists():
            return 0
        checkpoint = _Checkpoint.load(self.folder / key)
        whole = checkpoint.fits(frame_stride) and not checkpoint.missing()
        return min(checkpoint.n_chunks * checkpoint.chunk_steps, n_steps) if whole else 0

    def read(self, key: str, n_steps: int, frame_stride: int) -> Trajectory:
        """The stored trajectory, cut to a length and a stride.

        A longer or finer stored one gives the same answer as one computed just so. Raises StoreError
        where it is not complete, or where a file is missing or damaged.
        """
        parts = list(self.pieces(key, n_steps, frame_stride))
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name, value in vars(parts[0]).items()
            if isinstance(value, np.ndarray)
        }
        return replace(parts[0], **joined)

    def pieces(self, key: str, n_steps: int, frame_stride: int) -> Iterator[Trajectory]:
        """The same trajectory chunk by chunk, in order: one chunk is in memory at a time.

        Length and event are those of the whole; samples and frames are the chunk's. Raises as `read` does.
        """
        folder = self.folder / key
        checkpoint = _Checkpoint.load(folder)
        if not checkpoint.serves(n_steps, frame_stride):
            raise StoreError(
                f"{folder}: expected {n_steps} steps with frames every {frame_stride} steps, "
                "got a shorter or coarser trajectory or none; run the suite file again to compute it"
            )
        event = checkpoint.event
        if event is not None and event.step > n_steps:
            event = None
        if event is not None:
            n_steps = event.step
        structure, timestep_fs = _read_spec(folder)
        for name, first in checkpoint.pieces():
            if first > n_steps:
                break
            arrays = read_arrays(folder / name, checkpoint.files[name])
            names = (*_SAMPLE_ARRAYS, *(name for name in _CELL_ARRAYS if name in arrays))
            steps = arrays["frame_steps"]
            on_stride = steps % frame_stride == 0 if frame_stride else np.zeros(len(steps), bool)
            if event is not None:
                on_stride = on_stride | (steps == event.step)
            yield Trajectory(
                structure=structure,
                timestep_fs=timestep_fs,
                n_steps=n_steps,
                event=event,
                **_rows(arrays, names, arrays["steps"] <= n_steps),
                **_rows(arrays, _FRAME_ARRAYS, on_stride & (steps <= n_steps)),
            )


class TrajectorySink:
    """One trajectory being written."""

    def __init__(self, folder: Path, spec: TrajectorySpec) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refused("create", folder, error) from error
        if not (folder / "spec.json").exists():
            described = {"spec": spec.describe(), "structure": _describe(spec.structure)}
            write_json(folder / "spec.json", {"key": folder.name, **described})
        self._checkpoint = (
            _Checkpoint.load(folder) if (folder / "checkpoint.json").exists() else _Checkpoint.new(folder)
        )

    @property
    def step(self) -> int:
        """The end of the last full chunk, from which to go on; 0: from the start."""
        return self._checkpoint.n_chunks * self._checkpoint.chunk_steps

    @property
    def frame_stride(self) -> int:
        """The stride at which frames are kept."""
        return self._checkpoint.frame_stride

    @property
    def event(self) -> Event | None:
        """Why the trajectory has ended, where it has."""
        return self._checkpoint.event

    def prepare(self, n_steps: int, frame_stride: int, marks: frozenset[int], chunk_steps: int) -> bool:
        """Whether all that is asked is there; if not, take back what stands in the way of going on.

        A trajectory with frames too coarse is computed again, at a stride that serves the old wish too.
        A mark that was not kept is passed again, from the end of the chunk before it.
        """
        checkpoint = self._checkpoint
        if checkpoint.missing():
            checkpoint.forget_missing()
            checkpoint.write()
        checkpoint.remove_debris()
        if not checkpoint.chunk_steps:
            checkpoint.frame_stride, checkpoint.chunk_steps = frame_stride, chunk_steps
            return False
        missing = [m for m in marks if m <= min(checkpoint.n_steps, n_steps) and not checkpoint.has_state(m)]
        if checkpoint.serves(n_steps, frame_stride) and not missing:
            return True
        if not checkpoint.fits(frame_stride) or checkpoint.chunk_steps != chunk_steps:
            stride = math.gcd(checkpoint.frame_stride, frame_stride)
            checkpoint.cut(0)
            checkpoint.frame_stride, checkpoint.chunk_steps = stride, chunk_steps
            checkpoint.write()
        elif missing:
            checkpoint.cut(min(missing) // chunk_steps)
            checkpoint.write()
        return False

    def state(self, step: int) -> Arrays:
        """The full state at a mark, at the end of a chunk, or at the last step. Raises StoreError."""
        name = self._checkpoint.state_file(step)
        if name is None:
            raise StoreError(
                f"{self._folder}: no state was kept at step {step}; delete this folder and run the suite "
                "file again: the trajectory is computed anew"
            )
        arrays = read_arrays(self._folder / name, self._checkpoint.files[name])
        length = len(_STATE_PREFIX)
        return {n[length:]: array for n, array in arrays.items() if n.startswith(_STATE_PREFIX)}

    def commit(
        self, step: int, chunk: Arrays, state: Arrays, marked: dict[int, Arrays], event: Event | None
    ) -> None:
        """Keep what happened since the last full chunk, with the state at `step`: all or nothing."""
        checkpoint = self._checkpoint
        old_tail = checkpoint.tail
        done = step - self.step
        if done == checkpoint.chunk_steps:
            name = _chunk_name(checkpoint.n_chunks)
            checkpoint.n_chunks += 1
            checkpoint.tail = None
        else:
            name = checkpoint.tail = f"tail-{checkpoint.n_chunks:05d}-{done:04d}.npz"
        if old_tail not in (None, name):
            del checkpoint.files[str(old_tail)]
        for mark, arrays in marked.items():
            mark_name = f"state-{mark}.npz"
            checkpoint.files[mark_name] = write_arrays(self._folder / mark_name, _as_state(arrays))
        checkpoint.files[name] = write_arrays(self._folder / name, {**chunk, **_as_state(state)})
        checkpoint.n_steps, checkpoint.event = step, event
        checkpoint.write()
        if old_tail not in (None, name):
            (self._folder / str(old_tail)).unlink(missing_ok=True)


class _Checkpoint:
    """What counts of a trajectory's folder."""

    def __init__(
        self,
        folder: Path,
        chunk_steps: int,
        frame_stride: int,
        n_steps: int,
        n_chunks: int,
        tail: str | None,
        files: dict[str, str],
        event: Event | None,
    ) -> None:
        self._folder = folder
        self.chunk_steps = chunk_steps  # 0: nothing has been asked yet
        self.frame_stride = frame_stride
        self.n_steps = n_steps  # how far it goes
        self.n_chunks = n_chunks  # full ones
        self.tail = tail  # name of the chunk that is not full
        self.files = files  # name -> sha256
        self.event = event

    @classmethod
    def new(cls, folder: Path) -> _Checkpoint:
        """Of a trajectory of which nothing is there."""
        return cls(folder, 0, 0, 0, 0, None, {}, None)

    @classmethod
    def load(cls, folder: Path) -> _Checkpoint:
        """The one on disk. Raises StoreError where it cannot be read."""
        path = folder / "checkpoint.json"
        content = read_json(path)
        try:
            if content.pop("schema") != _SCHEMA:
                raise ValueError("another schema")
            if content.pop("key") != folder.name:
                raise ValueError("of another trajectory")
            event = content.pop("event")
            return cls(folder, event=None if event is None else Event(**event), **content)
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(path, f"not the checkpoint of this trajectory ({error})") from error

    def write(self) -> None:
        """Replace the one on disk."""
        content = {
            "schema": _SCHEMA,
            "key": self._folder.name,
            "chunk_steps": self.chunk_steps,
            "frame_stride": self.frame_stride,
            "n_steps": self.n_steps,
            "n_chunks": self.n_chunks,
            "tail": self.tail,
            "files": dict(sorted(self.files.items())),
            "event": None if self.event is None else asdict(self.event),
        }
        write_json(self._folder / "checkpoint.json", content)

    def fits(self, frame_stride: int) -> bool:
        """Whether frames every `frame_stride` steps are among those kept."""
        return not frame_stride or (bool(self.frame_stride) and frame_stride % self.frame_stride == 0)

    def serves(self, n_steps: int, frame_stride: int) -> bool:
        """Whether it is long and fine enough."""
        there = bool(self.files) and (self.event is not None or self.n_steps >= n_steps)
        return there and self.fits(frame_stride)

    def pieces(self) -> list[tuple[str, int]]:
        """Files of samples and frames in order, with the step after which each begins."""
        pieces = [(_chunk_name(i), i * self.chunk_steps) for i in range(self.n_chunks)]
        if self.tail is not None:
            pieces.append((self.tail, self.n_chunks * self.chunk_steps))
        return pieces

    def state_file(self, step: int) -> str | None:
        """The file that holds the full state at a step."""
        if f"state-{step}.npz" in self.files:
            return f"state-{step}.npz"
        if self.tail is not None and step == self.n_steps:
            return self.tail
        if not self.chunk_steps:
            return None
        count, rest = divmod(step, self.chunk_steps)
        return _chunk_name(count - 1) if not rest and 0 < count <= self.n_chunks else None

    def has_state(self, step: int) -> bool:
        """Whether the full state at a step can be had."""
        return self.state_file(step) is not None

    def cut(self, n_chunks: int) -> None:
        """Forget all that came after so many full chunks."""
        self.n_chunks = n_chunks
        self.n_steps = n_chunks * self.chunk_steps
        self.tail = self.event = None
        kept = {name for name, _ in self.pieces()}
        kept |= {n for n in self.files if n.startswith("state-") and int(n[6:-4]) <= self.n_steps}
        self.files = {name: digest for name, digest in self.files.items() if name in kept}

    def missing(self) -> list[str]:
        """Files that count and are not there."""
        return [name for name in self.files if not (self._folder / name).is_file()]

    def forget_missing(self) -> None:
        """Go back to where the first missing file is needed."""
        missing = self.missing()
        self.files = {name: digest for name, digest in self.files.items() if name not in missing}
        whole = [name in self.files for name, _ in self.pieces()]
        if not all(whole):
            self.cut(whole.index(False))

    def remove_debris(self) -> None:
        """Remove what the checkpoint does not name."""
        try:
            for path in self._folder.iterdir():
                if path.name in self.files or path.name in ("spec.json", "checkpoint.json"):
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        except OSError as error:
            raise refused("clean up", self._folder, error) from error


def _chunk_name(index: int) -> str:
    return f"chunk-{index:05d}.npz"


def _as_state(arrays: Arrays) -> Arrays:
    return {_STATE_PREFIX + name: array for name, array in arrays.items()}


def _rows(arrays: Arrays, names: tuple[str, ...], chosen: np.ndarray[Any, Any]) -> Arrays:
    return {name: arrays[name][chosen] for name in names}


def _describe(structure: Structure) -> dict[str, Any]:
    """A structure as JSON-able values; numbers survive the way there and back bit for bit."""
    return {
        name: getattr(structure, name).tolist() for name in ("numbers", "positions", "cell", "pbc", "masses")
    }


def _read_spec(folder: Path) -> tuple[Structure, float]:
    """Structure and time step (fs) on record; the structure is held against its hash."""
    path = folder / "spec.json"
    content = read_json(path)
    try:
        if content["key"] != folder.name:
            raise ValueError("of another trajectory")
        described, spec = content["structure"], content["spec"]
        structure = Structure(
            numbers=np.array(described["numbers"], dtype=np.int64),
            positions=np.array(described["positions"], dtype=np.float64),
            cell=np.array(described["cell"], dtype=np.float64),
            pbc=np.array(described["pbc"], dtype=np.bool_),
            masses=np.array(described["masses"], dtype=np.float64),
        )
        if structure.hash != spec["structure"]:
            raise ValueError(f"expected a structure with sha256 {spec['structure']}, got {structure.hash}")
        return structure, float(spec["timestep_fs"])
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, f"not the specification of this trajectory ({error})") from error
