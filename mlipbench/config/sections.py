"""The sections of a suite file, one frozen model each. Fields carry units in their names."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from mlipbench.core.result import Waiver
from mlipbench.core.suite import IntendedUse

Tier = Literal["screen", "standard", "full"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PotentialSection(_Section):
    """Which potential is judged."""

    use: str = Field(
        min_length=1,
        description="a registered name (mlipbench list potentials), package.module:callable, "
        "or file.py:callable",
    )
    kwargs: dict[str, Any] = Field(default={}, description="arguments of the callable")
    files: tuple[str, ...] = Field(
        default=(), description="files whose content decides the answers (weights), to be hashed"
    )


class UseSection(_Section):
    """What the potential is for: decides which criteria are required."""

    temperature_K: PositiveFloat = Field(description="the temperature of the intended use, in K")
    elements: tuple[str, ...] = Field(default=(), description="element symbols")
    phases: tuple[str, ...] = Field(default=(), description="phases, in words: diamond, liquid")
    pressure_bar: float | None = Field(default=None, description="set it for use at constant pressure")
    electrostatics: bool = Field(default=False, description="whether polar observables matter")

    def intended_use(self) -> IntendedUse:
        """The value that suites see."""
        return IntendedUse(
            temperature_K=float(self.temperature_K),
            elements=self.elements,
            phases=self.phases,
            pressure_bar=self.pressure_bar,
            electrostatics=self.electrostatics,
        )


class LimitSection(_Section):
    """A limit that takes the place of the suite's own, in the criterion's unit."""

    limit: float
    reason: str = Field(min_length=10, description="why, in words: it is printed on the report")


class WaiverSection(Waiver):
    """A criterion set aside by name until a date."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Watchdog(_Section):
    """When a suite's process is given up."""

    stall_s: PositiveFloat = Field(default=300.0, description="seconds without progress")
    memory_GB: PositiveFloat | None = Field(default=None, description="resident memory")


class PlanFile(_Section):
    """The suite file as written; the sections of `suites` are validated by the suites."""

    title: str = Field(default="", description="what the report is called")
    potential: PotentialSection = Field(description="the potential to judge")
    intended_use: UseSection = Field(description="what the potential is for")
    tier: Tier = "full"
    seed: Annotated[int, Field(ge=0)] = 1
    suites: dict[str, dict[str, Any] | None] = Field(
        min_length=1, description="what to measure (mlipbench list suites)"
    )
    limits: dict[str, LimitSection] = {}
    waivers: tuple[WaiverSection, ...] = ()
    watchdog: Watchdog = Watchdog()
    references: str | None = Field(default=None, description="a manifest.yaml of your own references")
