"""What a suite sees: `SuiteContext` while it produces, `StoredData` while it measures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mlipbench.config.plan import Plan, SuiteEntry
from mlipbench.core.errors import SuiteError
from mlipbench.core.potential import Evaluation, Potential
from mlipbench.core.speed import Speed, SpeedRequest
from mlipbench.core.structure import Structure
from mlipbench.core.suite import IntendedUse
from mlipbench.core.trajectory import Trajectory, TrajectorySpec
from mlipbench.data.references import Manifest
from mlipbench.run.inputs import PlanInputs
from mlipbench.run.speed import Source, measure
from mlipbench.simulate.driver import simulate
from mlipbench.simulate.relax import relax
from mlipbench.simulate.requests import merge
from mlipbench.store.arrays import Arrays, packed, read_arrays
from mlipbench.store.layout import sha256, write_bytes
from mlipbench.store.runs import RunFolder, SuiteFolder
from mlipbench.store.trajectories import TrajectoryStore

Progress = Callable[[float, str], None]

EVALUATION_CHUNK = 16
"""Structures evaluated between two commits: what a kill can cost."""


class SuiteContext(PlanInputs):
    """Implements `core.suite.Context` for one suite of a run."""

    def __init__(
        self,
        plan: Plan,
        manifest: Manifest,
        run: RunFolder,
        entry: SuiteEntry,
        potential: Potential,
        among: Sequence[TrajectorySpec],
        progress: Progress,
    ) -> None:
        """`among` are the trajectories that all suites of the run ask for: strides are negotiated."""
        super().__init__(plan, manifest)
        self.potential = potential
        self.folder: SuiteFolder = run.suite(entry.key)
        self.store = TrajectoryStore(run.trajectories)
        self.potential_key = potential.identity.key
        self.wanted = declared_trajectories(plan, entry.key, self)
        self._among = among
        self._progress = progress

    @property
    def properties(self) -> frozenset[str]:
        """What the potential can be asked."""
        return self.potential.capabilities.properties

    def evaluate(self, structures: Sequence[Structure], properties: Sequence[str]) -> list[Evaluation]:
        """Answers of the potential; those that an interrupted run has stored are not asked again."""
        answers: list[Evaluation] = []
        for start in range(0, len(structures), EVALUATION_CHUNK):
            chunk = structures[start : start + EVALUATION_CHUNK]
            self._progress(start / len(structures), f"structure {start + 1} of {len(structures)}")
            answers += self._chunk(chunk, properties)
        self._progress(1.0, f"{len(structures)} structures evaluated")
        return answers

    def _chunk(self, chunk: Sequence[Structure], properties: Sequence[str]) -> list[Evaluation]:
        name = hashlib.sha256(
            "".join([self.potential_key, *sorted(properties), *(s.hash for s in chunk)]).encode()
        ).hexdigest()[:24]
        folder = self.folder.path / "evaluations"
        for path in folder.glob(f"{name}-*.npz"):
            return _unpack(read_arrays(path, path.stem.rpartition("-")[2]), len(chunk))
        answers = []
        last = time.monotonic()
        for structure in chunk:
            answers += self.potential.evaluate([structure], properties)
            if time.monotonic() - last > 0.5:
                last = time.monotonic()
                self._progress(-1.0, "")
        content = packed(_arrays(answers))
        write_bytes(folder / f"{name}-{sha256(content)}.npz", content)
        return answers

    def speed(self, request: SpeedRequest) -> Speed:
        """Time the potential of the plan, loaded anew in a process of its own."""
        section = self.plan.potential
        files = tuple(self.plan.resolve(name) for name in section.files)
        source = Source(section.use, section.kwargs, self.plan.folder, files)
        return measure({"potential": source}, request, lambda text: self._progress(-1.0, text))["potential"]

    def run_trajectories(self) -> None:
        """Compute what the store lacks of the trajectories this suite declared."""
        requests = merge(list(self.wanted.values()), self._among, self.potential_key)
        simulate(self.potential, self.potential_key, requests, self.store, self._progress)

    def trajectory(self, label: str) -> Trajectory:
        """A trajectory that `run_trajectories` has computed, cut to the length and stride asked."""
        return self.store.read(*_link(self.links(), label))

    def relax(
        self, structure: Structure, force_tolerance_eV_per_A: float, max_steps: int
    ) -> tuple[Structure, float]:
        """Downhill to a nearby minimum, see `simulate.relax`."""
        return relax(
            self.potential,
            structure,
            force_tolerance_eV_per_A,
            max_steps,
            tick=lambda: self._progress(-1.0, "relaxing"),
        )

    def save(self, name: str, array: np.ndarray[Any, Any]) -> None:
        """Leave an array for `measure`."""
        self.folder.save_array(name, array)

    def links(self) -> dict[str, list[Any]]:
        """Label -> [key, steps, stride] of the trajectories, as the store of the run keeps them."""
        return {
            label: [spec.key(self.potential_key), spec.n_steps, spec.frame_stride]
            for label, spec in self.wanted.items()
        }


def declared_trajectories(plan: Plan, key: str, inputs: PlanInputs) -> dict[str, TrajectorySpec]:
    """Label -> specification, for a suite of the plan at the plan's tier. Raises what the suite raises."""
    found = plan.suites[key].suite().trajectories(plan.params(key), inputs)
    if not isinstance(found, dict) or not all(
        isinstance(label, str) and isinstance(spec, TrajectorySpec) for label, spec in found.items()
    ):
        raise SuiteError(f"trajectories of suite {key} gave {found!r}; expected label -> TrajectorySpec")
    return found


class StoredData:
    """Implements `core.suite.Data` for one suite of a stored run."""

    def __init__(self, plan: Plan, run: RunFolder, key: str) -> None:
        self.folder = run.suite(key)
        self._use = plan.intended_use
        self._store = TrajectoryStore(run.trajectories)

    @property
    def intended_use(self) -> IntendedUse:
        """The declared use."""
        return self._use

    def array(self, name: str) -> np.ndarray[Any, Any]:
        """An array that `produce` saved."""
        return self.folder.array(name)

    def has(self, name: str) -> bool:
        """Whether `produce` saved an array of that name."""
        return self.folder.has_array(name)

    def trajectory(self, label: str) -> Trajectory:
        """A trajectory by its label, cut to the length and stride that the suite asked for."""
        return self._store.read(*_link(self.folder.trajectory_links(), label))

    def pieces(self, label: str) -> Iterator[Trajectory]:
        """The same chunk by chunk, one in memory at a time."""
        return self._store.pieces(*_link(self.folder.trajectory_links(), label))


def _link(links: dict[str, list[Any]], label: str) -> tuple[str, int, int]:
    """Key, steps and stride of a label."""
    if label not in links:
        raise SuiteError(f"no trajectory is labelled {label!r}; there are {', '.join(links) or 'none'}")
    key, n_steps, stride = links[label]
    return key, n_steps, stride


def _arrays(answers: Sequence[Evaluation]) -> Arrays:
    return {
        f"{index}.{name}": np.asarray(value)
        for index, answer in enumerate(answers)
        for name, value in vars(answer).items()
        if value is not None
    }


def _unpack(arrays: Arrays, count: int) -> list[Evaluation]:
    return [
        Evaluation(
            energy=float(arrays[f"{index}.energy"]),
            **{
                name: arrays[f"{index}.{name}"]
                for name in ("forces", "stress", "energies")
                if f"{index}.{name}" in arrays
            },
        )
        for index in range(count)
    ]
