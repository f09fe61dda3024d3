"""Criteria: a limit, its source, and what a PASS needs. Judging is in `core.judge`."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Verdict(StrEnum):
    """What can be said of a measurement, a checklist item, or a whole run."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    ERROR = "ERROR"


class Evidence(BaseModel):
    """A least amount of evidence that a PASS demands: `Evidence("length_ps", 50)`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="key of Measurement.evidence")
    at_least: float
    unit: str

    def __init__(self, name: str, at_least: float, unit: str = "", **kwargs: object) -> None:
        super().__init__(name=name, at_least=at_least, unit=unit, **kwargs)


class Criterion(BaseModel):
    """What a measurement is held against.

    `compare`: "<" the value lies below the limit, "abs<" its magnitude does, ">" it lies above,
    "==" an exact count equals the limit.
    `level`: "required" always gates; "at_target" gates where the measurement's temperature is
    the intended one and is advisory elsewhere; "advisory" never gates; "if_limited" gates where the suite
    file sets its limit, and judges nothing elsewhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="name of the measurement it judges")
    compare: Literal["<", "abs<", ">", "=="]
    limit: float
    unit: str
    level: Literal["required", "at_target", "advisory", "if_limited"] = "required"
    item: int | None = Field(default=None, ge=1, le=9, description="checklist item it feeds")
    source: str = Field(description="where the limit comes from")
    needs: tuple[Evidence, ...] = ()
    grades: dict[str, float] = Field(
        default_factory=dict, description='{"better": 30.0}: stricter limits worth naming'
    )
    needs_property: str | None = Field(
        default=None, description="property of the potential without which it is not applicable"
    )
