"""What a suite is: two functions, criteria, parameters.

`produce` does the expensive work and leaves arrays and trajectories in the store; `measure` is
pure, cheap and replayable, and cannot see the potential. What a suite needs is declared, so that
the plan is validated, costed, and shared between suites before anything runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from mlipbench.core.citation import Citation
from mlipbench.core.criterion import Criterion
from mlipbench.core.figure import AnyFigure, Table
from mlipbench.core.measurement import Measurement
from mlipbench.core.potential import Evaluation, Potential
from mlipbench.core.reference import Curve, PhononReference, Scalar
from mlipbench.core.speed import Speed, SpeedRequest
from mlipbench.core.structure import LabelledFrame, Structure
from mlipbench.core.trajectory import Trajectory, TrajectorySpec


@dataclass(frozen=True)
class TierScaled:
    """Marks a parameter (a length) that `--tier` scales: screen 0.1, standard 0.5, full 1."""


Duration = Annotated[PositiveFloat, TierScaled()]
"""A length in the unit of the field's name; `--tier` scales it."""


class DataRef(BaseModel):
    """Where data come from: a reference set by name, or a file of the user's. `kind` is what it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]  # as in a manifest: frames, curve, scalar, phonons
    decides: ClassVar[bool] = True  # False: only drawn, so that being unverified keeps no suite from gating

    file: str | None = Field(default=None, description="a file of your own")
    reference: str | None = Field(default=None, description="name of a reference set")


class StructureRef(DataRef):
    """Where a structure comes from: a file, a reference set, or a crystal built on the spot."""

    kind = "frames"

    file: str | None = Field(default=None, description="any format ASE reads")
    index: int = Field(default=0, description="frame of the file or set")
    crystal: str | None = Field(default=None, description="diamond, fcc, bcc, hcp, rocksalt, ...")
    symbol: str | None = Field(default=None, description='"Si", "NaCl": elements of the crystal')
    lattice_A: PositiveFloat | None = Field(default=None, description="conventional lattice constant")
    repeat: tuple[int, int, int] = Field(default=(1, 1, 1), description="cells along each axis")


class FramesRef(DataRef):
    """Where labelled frames come from."""

    kind = "frames"

    file: str | None = Field(default=None, description="extxyz or ASE database")
    index: str = Field(default=":", description='which frames, as a Python slice: ":", "::10"')
    config_types: tuple[str, ...] = Field(
        default=(), description="of those, the ones of these kinds: [md_*, strained]; empty: all"
    )
    keys: dict[str, str] = Field(
        default_factory=dict,
        description="our name -> name in the file, where they differ: {energy: E_dft}",
    )
    level_of_theory: str = Field(default="", description="of a user's file: PBE, PBE0+TS, ...")


class CurveRef(DataRef):
    """Where a curve comes from. A suite names the units that it wants in a subclass:

        class DensityOfStates(CurveRef):
            abscissa_unit, value_unit = "THz", "1/THz"

    A curve that cannot be converted to them is refused before anything runs.
    """

    kind = "curve"
    abscissa_unit: ClassVar[str] = ""  # "": as in the file
    value_unit: ClassVar[str] = ""

    file: str | None = Field(default=None, description="CSV with a header, see docs/references.md")


class ScalarRef(DataRef):
    """Where a number comes from. A suite names the unit that it wants in a subclass, as of `CurveRef`."""

    kind = "scalar"
    unit: ClassVar[str] = ""  # "": as in the file

    file: str | None = Field(default=None, description="YAML, see docs/references.md")
    quantity: str | None = Field(default=None, description="which number, where the file holds several")


class PhononsRef(DataRef):
    """Where the force constants of a crystal come from."""

    kind = "phonons"

    file: str | None = Field(default=None, description="phonopy YAML, see docs/references.md")
    level_of_theory: str = Field(default="", description="of a user's file: PBE, PBE0+TS, ...")


class SuiteParams(BaseModel):
    """Base of every suite's parameters. Fields carry units in their names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class IntendedUse:
    """What the potential is for: decides which criteria are required."""

    temperature_K: float
    elements: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    pressure_bar: float | None = None
    electrostatics: bool = False


class Inputs(Protocol):
    """What a suite may know before anything is computed. Methods raise InputError."""

    @property
    def intended_use(self) -> IntendedUse:
        """The declared use."""

    @property
    def seed(self) -> int:
        """The run's seed; derive others from it."""

    def structure(self, ref: StructureRef) -> Structure:
        """The structure a reference means."""

    def frames(self, ref: FramesRef) -> list[LabelledFrame]:
        """The labelled frames a reference means."""

    def curve(self, ref: CurveRef) -> Curve:
        """The curve a reference means, in the units of the reference's class."""

    def scalar(self, ref: ScalarRef) -> Scalar:
        """The number a reference means, in the unit of the reference's class."""

    def phonons(self, ref: PhononsRef) -> PhononReference:
        """The force constants a reference means."""

    def level_of_theory(self, ref: FramesRef | PhononsRef) -> str:
        """What the labels were computed with ("" where it is not stated)."""


class Context(Inputs, Protocol):
    """What `produce` works with."""

    def evaluate(self, structures: Sequence[Structure], properties: Sequence[str]) -> list[Evaluation]:
        """Ask the potential, with progress; raises PotentialError."""

    @property
    def properties(self) -> frozenset[str]:
        """What the potential can be asked."""

    @property
    def potential(self) -> Potential:
        """The potential itself, for what `evaluate` does not do: batches, repetitions, timings. What it
        answers is not kept for a run that is resumed."""

    def speed(self, request: SpeedRequest) -> Speed:
        """Time the potential, in a process of its own; raises PotentialError where it fails."""

    def run_trajectories(self) -> None:
        """Compute (or find in the store) all that `trajectories` declared."""

    def trajectory(self, label: str) -> Trajectory:
        """A trajectory by its label in `Suite.trajectories`, once `run_trajectories` has been called."""

    def relax(
        self, structure: Structure, force_tolerance_eV_per_A: float, max_steps: int
    ) -> tuple[Structure, float]:
        """Downhill to a nearby minimum, the cell fixed: the structure reached and its energy in eV.

        It ends where no force component exceeds the tolerance, or after `max_steps` evaluations; raises
        PotentialError where the answer for the structure itself is no number.
        """

    def save(self, name: str, array: np.ndarray[Any, Any]) -> None:
        """Leave an array for `measure`."""


class Data(Protocol):
    """What `measure` sees: the arrays and trajectories that `produce` left."""

    @property
    def intended_use(self) -> IntendedUse:
        """The declared use."""

    def array(self, name: str) -> np.ndarray[Any, Any]:
        """An array by the name it was saved under; KeyError where there is none."""

    def has(self, name: str) -> bool:
        """Whether an array of that name was saved."""

    def trajectory(self, label: str) -> Trajectory:
        """A trajectory by its label in `Suite.trajectories`, cut to the length and stride asked."""

    def pieces(self, label: str) -> Iterator[Trajectory]:
        """The same, piece by piece in order: for frames that must not be in memory all at once."""


@dataclass
class Outcome:
    """What `measure` returns."""

    measurements: list[Measurement]
    figures: list[AnyFigure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # remarks in words for the reader
    methods: str = ""  # what this run did, past tense, for a paper; works are marked as [@key]


class Suite(ABC):
    """Base of all suites. A subclass sets the class attributes, `Params`, and the functions."""

    name: ClassVar[str]
    version: ClassVar[int]
    title: ClassVar[str]
    method: ClassVar[str]  # a paragraph in words for the report; works are marked as [@key]
    citations: ClassVar[tuple[Citation, ...]] = ()  # the works behind the marks
    needs: ClassVar[frozenset[str]]  # properties of the potential without which nothing can be done
    criteria: ClassVar[tuple[Criterion, ...]]
    Params: ClassVar[type[SuiteParams]]

    def trajectories(self, params: Any, inputs: Inputs) -> dict[str, TrajectorySpec]:
        """Label -> trajectory wanted. Pure; called before the run to share and cost them."""
        return {}

    def structures(self, params: Any, inputs: Inputs) -> list[Structure]:
        """Structures that `produce` evaluates one by one (for the estimate and element check)."""
        return []

    def produce(self, params: Any, context: Context) -> None:
        """The expensive work."""
        context.run_trajectories()

    @abstractmethod
    def measure(self, params: Any, data: Data) -> Outcome:
        """Numbers, figures and tables from stored arrays."""


Progress = Callable[[float, str], None]  # (fraction done, what is being done)
