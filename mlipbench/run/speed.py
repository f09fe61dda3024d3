"""Times potentials in turn, each in a process of its own: calls, memory, molecular dynamics, batches."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import psutil

from mlipbench.core.errors import PotentialError
from mlipbench.core.speed import SizeSpeed, Speed, SpeedRequest
from mlipbench.core.structure import FloatArray, Structure

WARM_CALLS = 2
ROUND_MS = 400.0  # of a round of calls, about; at least one call
MOST_CALLS = 50
LONGEST_CALL_MS = 60_000.0  # a size that would take longer is not timed
MEMORY_SHARE = 0.5  # of the free memory that a size may be expected to take
WORKER = (sys.executable, "-W", "ignore", "-m", "mlipbench.run.speed_worker")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """A potential as a suite file names it."""

    use: str
    kwargs: Mapping[str, object]
    base: Path
    files: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)  # of its process, beside the present one

    def start(self) -> Worker:
        """A process that has it loaded."""
        asked = {
            "use": self.use,
            "kwargs": dict(self.kwargs),
            "base": str(self.base.resolve()),
            "files": [str(path) for path in self.files],
        }
        with contextlib.ExitStack() as failing:
            worker = failing.enter_context(Worker(self.use, [*WORKER, json.dumps(asked)], self.environment))
            worker.facts = worker.ask(ask="load")
            failing.pop_all()
        return worker


class Worker:
    """The other end of `speed_worker`, or of a program that answers the same questions."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.facts: dict[str, Any] = {}
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer. Raises PotentialError where the process has died or says that it failed."""
        line = ""
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin is not None and self._process.stdout is not None:
                self._process.stdin.write(json.dumps(question) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise PotentialError(f"{self.name}: its process ended with status {status}{self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PotentialError(f"{self.name}: {answer['error']}")
        return answer

    def calls(self, count: int, replicas: int = 1) -> list[float]:
        """ms of so many complete calls."""
        times: list[float] = self.ask(ask="calls", replicas=replicas, count=count)["ms"]
        return times

    def close(self) -> None:
        """Let it end; end it where it does not."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return f": {lines[-1]}" if lines else ""


def in_turn(workers: Mapping[str, Worker], rounds: int, progress: Progress) -> dict[str, FloatArray]:
    """Medians (rounds,) ms of complete calls, everybody's in every round, after calls that warm up.

    Raises PotentialError where one of them fails.
    """
    counts = {}
    for name, worker in workers.items():
        progress(f"{name}: warming up")
        warm = worker.calls(WARM_CALLS)[-1]
        counts[name] = int(np.clip(ROUND_MS / warm, 1, MOST_CALLS))
    medians: dict[str, list[float]] = {name: [] for name in workers}
    for number in range(rounds):
        for name, worker in workers.items():
            progress(f"{name}: round {number + 1} of {rounds}")
            medians[name].append(float(np.median(worker.calls(counts[name]))))
    return {name: np.array(found) for name, found in medians.items()}


def measure(
    sources: Mapping[str, Source], request: SpeedRequest, progress: Progress = lambda text: None
) -> dict[str, Speed]:
    """Time the potentials in turn. Raises PotentialError where one cannot be loaded or fails at the
    smallest size; a larger size at which one fails is left out, with a note."""
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name, source in sources.items():
            progress(f"{name}: loading")
            workers[name] = stack.enter_context(source.start())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        return _measure(workers, request, Path(folder) / "structure.npz", progress)


def _measure(
    workers: dict[str, Worker], request: SpeedRequest, path: Path, progress: Progress
) -> dict[str, Speed]:
    _write(path, request.structure)
    sizes: dict[str, list[SizeSpeed]] = {name: [] for name in workers}
    first, *larger = request.cells()
    _size(workers, sizes, first, path, request, progress)
    around = {name: _around(worker, request, progress) for name, worker in workers.items()}
    alive = dict(workers)
    for cells in larger:
        for name in list(alive):
            note = _too_large(sizes[name][-1], cells)
            if note:
                sizes[name].append(_left_out(request, cells, note))
                del alive[name]
        try:
            _size(alive, sizes, cells, path, request, progress)
        except PotentialError as error:
            for name in alive:
                sizes[name].append(_left_out(request, cells, str(error)))
            break
    return {
        name: Speed(
            name=worker.facts["name"],
            dtype=worker.facts["dtype"],
            device=worker.facts["device"],
            threads=worker.facts["threads"],
            loaded_MB=worker.facts["loaded_MB"],
            sizes=sizes[name],
            replicas=request.replicas,
            **around[name],
        )
        for name, worker in workers.items()
    }


def _write(path: Path, structure: Structure) -> None:
    np.savez(path, **vars(structure))


def _size(
    workers: Mapping[str, Worker],
    sizes: Mapping[str, list[SizeSpeed]],
    cells: tuple[int, int, int],
    path: Path,
    request: SpeedRequest,
    progress: Progress,
) -> None:
    """Time one size, in turn."""
    for worker in workers.values():
        n_atoms = worker.ask(ask="system", arrays=str(path), cells=cells)["n_atoms"]
    times = in_turn(workers, request.rounds, lambda text: progress(f"{n_atoms} atoms, {text}"))
    for name, worker in workers.items():
        memory = worker.ask(ask="memory")
        found = SizeSpeed(n_atoms, cells, times[name], memory["MB"], gpu_memory_MB=memory["gpu_MB"])
        sizes[name].append(found)


def _too_large(before: SizeSpeed, cells: tuple[int, int, int]) -> str:
    """Why a size is not tried, from the one before; "" where it may be. Growth is linear, if not more."""
    factor = float(np.prod(cells) / np.prod(before.cells))
    expected = factor * float(np.median(before.call_ms))
    if expected > LONGEST_CALL_MS:
        return f"a call would take about {expected / 1e3:.0f} s"
    needed, free = factor * (before.memory_MB or 0.0), psutil.virtual_memory().available / 1e6
    if needed > MEMORY_SHARE * free:
        return f"it would need about {needed / 1e3:.1f} GB of memory, {free / 1e3:.1f} GB are free"
    return ""


def _left_out(request: SpeedRequest, cells: tuple[int, int, int], note: str) -> SizeSpeed:
    n_atoms = len(request.structure) * int(np.prod(cells))
    return SizeSpeed(n_atoms, cells, np.zeros(0), None, note)


def _around(worker: Worker, request: SpeedRequest, progress: Progress) -> dict[str, FloatArray]:
    """Molecular dynamics at the present size, and several replicas in one call beside one in one."""
    call = worker.calls(WARM_CALLS)[-1]
    n_steps = int(np.clip(ROUND_MS / call, 10, 1000))
    count = int(np.clip(ROUND_MS / (call * request.replicas), 1, MOST_CALLS))
    dynamics = {"count": n_steps, "timestep_fs": request.timestep_fs, "temperature_K": request.temperature_K}
    steps: list[tuple[float, float] | None] = []
    single, batch = [], []
    for number in range(request.rounds):
        progress(f"{worker.name}: molecular dynamics and batches, round {number + 1} of {request.rounds}")
        steps.append(worker.ask(ask="steps", **dynamics)["ms"])
        if request.replicas > 1:
            single.append(float(np.median(worker.calls(count))))
            batch.append(float(np.median(worker.calls(count, request.replicas))) / request.replicas)
    timed = np.array([ms for ms in steps if ms is not None]).reshape(-1, 2)
    return {
        "step_ms": timed[:, 0],
        "inside_ms": timed[:, 1],
        "single_ms": np.array(single),
        "batch_ms": np.array(batch),
    }
