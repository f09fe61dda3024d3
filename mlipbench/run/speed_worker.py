"""A process that times a potential when it is asked, so that its memory is its own.

`python -m mlipbench.run.speed_worker SOURCE` (JSON: use, kwargs, base, files): every line on standard input
is a question, answered by a line of JSON, see `QUESTIONS`. It ends when its input does.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlipbench.core.potential import (
    BatchEvaluation,
    BoundPotential,
    Capabilities,
    Evaluation,
    Identity,
    Potential,
)
from mlipbench.core.speed import repeated
from mlipbench.core.structure import FloatArray, Structure
from mlipbench.core.trajectory import NVE, MaxwellBoltzmann, TrajectorySpec

RATTLE = 0.05  # A, by which atoms are out of their places, as all that moves is
AMPLITUDE = 0.02  # A, by which they move between calls


def resident_MB() -> float:
    """Memory that this process holds now."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6


def peak_MB() -> float:
    """The most that it has held.

    The kernel's own count begins anew with a program; that of getrusage, which serves where there is no
    /proc, may begin with what the parent held.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return next(1024 * float(line.split()[1]) / 1e6 for line in lines if line.startswith("VmHWM:"))


def gpu_MB() -> float | None:
    """The most that torch has held of a GPU, compiling and capturing included; None where it uses none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return float(torch.cuda.max_memory_reserved()) / 1e6


class Caller:
    """Complete calls of a bound potential, each from positions that have moved."""

    def __init__(self, potential: Potential, structure: Structure, n_replicas: int) -> None:
        self._bound = potential.bind(structure, n_replicas)
        self._rng = np.random.default_rng(0)
        start = structure.positions + RATTLE * self._rng.normal(size=structure.positions.shape)
        self._start = np.repeat(start[None], n_replicas, axis=0)
        self._cells = np.repeat(structure.cell[None], n_replicas, axis=0)

    def __call__(self) -> float:
        """Move, call; ms of the call."""
        positions = self._start + AMPLITUDE * self._rng.normal(size=self._start.shape)
        begin = time.perf_counter()
        self._bound(positions, self._cells, False)
        return 1e3 * (time.perf_counter() - begin)


class Clocked(Potential):
    """A potential that knows how often and how long its bound functions have worked."""

    def __init__(self, potential: Potential) -> None:
        self._potential, self.calls, self.seconds = potential, 0, 0.0

    @property
    def capabilities(self) -> Capabilities:
        """Those of the potential."""
        return self._potential.capabilities

    @property
    def identity(self) -> Identity:
        """That of the potential."""
        return self._potential.identity

    def evaluate(
        self, structures: Sequence[Structure], properties: Collection[str] = ("energy", "forces")
    ) -> list[Evaluation]:
        """Not clocked."""
        return self._potential.evaluate(structures, properties)

    def bind(self, structure: Structure, n_replicas: int) -> BoundPotential:
        """The potential's, clocked."""
        inner = self._potential.bind(structure, n_replicas)

        def evaluate(positions: FloatArray, cells: FloatArray, stress: bool) -> BatchEvaluation:
            begin = time.perf_counter()
            answer = inner(positions, cells, stress)
            self.seconds += time.perf_counter() - begin
            self.calls += 1
            return answer

        return evaluate


class Dynamics:
    """Molecular dynamics as a suite runs it: monitors every ten steps, commits counted as often as there."""

    def __init__(
        self, potential: Potential, structure: Structure, dt_fs: float, temperature_K: float
    ) -> None:
        from mlipbench.run.timed_store import TimedStore

        self._clocked, self._done = Clocked(potential), 0
        self._folder = tempfile.TemporaryDirectory()
        self._store = TimedStore(Path(self._folder.name))
        self._spec = (structure, NVE(), dt_fs)
        self._start = MaxwellBoltzmann(temperature_K)

    def __call__(self, n_steps: int) -> tuple[float, float] | None:
        """Go on for so many steps; ms a step, and of that within the potential. None: it broke off."""
        from mlipbench.simulate.driver import CHUNK_STEPS, simulate
        from mlipbench.simulate.requests import merge

        self._done += n_steps
        spec = TrajectorySpec(*self._spec, self._done, self._start, seed=0)
        key = self._clocked.identity.key
        self._clocked.calls, self._clocked.seconds = 0, 0.0
        before, begin = self._store.seconds, time.perf_counter()
        simulate(self._clocked, key, merge([spec], [spec], key), self._store, chunk_steps=n_steps)
        whole, commit = time.perf_counter() - begin, self._store.seconds - before
        whole -= commit * max(1.0 - n_steps / CHUNK_STEPS, 0.0)  # a suite commits every CHUNK_STEPS
        if self._clocked.calls < n_steps:
            return None
        return 1e3 * whole / n_steps, 1e3 * self._clocked.seconds / n_steps

    def close(self) -> None:
        """Remove what was stored."""
        self._folder.cleanup()


@dataclass
class Server:
    """Answers questions about one potential."""

    source: dict[str, Any]
    potential: Potential = field(init=False)
    loaded_MB: float = field(init=False)
    structure: Structure = field(init=False)
    callers: dict[int, Caller] = field(default_factory=dict)
    dynamics: Dynamics | None = None

    def load(self) -> dict[str, Any]:
        """Load the potential."""
        from mlipbench.potentials.loading import load

        bare = resident_MB()
        source = self.source
        files = [Path(name) for name in source["files"]]
        self.potential = load(source["use"], source["kwargs"], Path(source["base"]), files)
        self.loaded_MB = resident_MB()
        can = self.potential.capabilities
        return {
            "name": self.potential.identity.name,
            "dtype": can.dtype,
            "device": can.device,
            "threads": os.environ.get("OMP_NUM_THREADS", "default"),
            "loaded_MB": self.loaded_MB - bare,
        }

    def system(self, arrays: str, cells: list[int]) -> dict[str, Any]:
        """Take a supercell of the structure in an .npz, and forget the one before."""
        with np.load(arrays) as found:
            one = Structure(**{name: found[name] for name in found.files})
        self.structure = repeated(one, (cells[0], cells[1], cells[2]))
        self.callers = {}
        return {"n_atoms": len(self.structure)}

    def calls(self, replicas: int, count: int) -> dict[str, Any]:
        """Times of complete calls."""
        if replicas not in self.callers:
            self.callers[replicas] = Caller(self.potential, self.structure, replicas)
        return {"ms": [self.callers[replicas]() for _ in range(count)]}

    def steps(self, count: int, timestep_fs: float, temperature_K: float) -> dict[str, Any]:
        """Time of a step of molecular dynamics, which goes on where it was; null: it broke off."""
        if self.dynamics is None:
            self.dynamics = Dynamics(self.potential, self.structure, timestep_fs, temperature_K)
        return {"ms": self.dynamics(count)}

    def memory(self) -> dict[str, Any]:
        """Peaks: above the process that has loaded the potential, and of a GPU."""
        return {"MB": peak_MB() - self.loaded_MB, "gpu_MB": gpu_MB()}

    def close(self) -> None:
        """Remove what dynamics has stored."""
        if self.dynamics is not None:
            self.dynamics.close()


QUESTIONS = ("load", "system", "calls", "steps", "memory")
"""Methods of `Server`: a question names one under `ask`; what else it holds are the arguments."""


def main(arguments: list[str]) -> None:
    """Serve until the input ends. An error is the last answer."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the user's code prints is no answer
    server = Server(json.loads(arguments[0]))
    try:
        for line in sys.stdin:
            question = json.loads(line)
            if question["ask"] not in QUESTIONS:
                raise ValueError(f"unknown question {question['ask']!r}; expected one of {QUESTIONS}")
            method: Callable[..., dict[str, Any]] = getattr(server, question.pop("ask"))
            print(json.dumps(method(**question)), file=answers, flush=True)
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers, flush=True)
    finally:
        server.close()


if __name__ == "__main__":
    main(sys.argv[1:])
