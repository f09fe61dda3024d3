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
    """A least amount of evidence that a PASS demands: `Evidence("length_ps", 50, "ps")`.

    A unit that begins with "/" is that of an inverse standard error: `Evidence("precision", 2, "/%")` asks
    for one of at most 0.5 %, and is said so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="key of Measurement.evidence")
    at_least: float
    unit: str

    def __init__(self, name: str, at_least: float, unit: str = "", **kwargs: object) -> None:
        super().__init__(name=name, at_least=at_least, unit=unit, **kwargs)

    def demand(self) -> str:
        """What is asked for: `at least 50 ps of length`, `a standard error of at most 0.5 %`."""
        return (
            f"a standard error of at most {self._amount()}" if self._inverse else f"at least {self._amount()}"
        )

    def lack(self, there: float) -> str:
        """Why what is there does not suffice: `50 ps of length needed, 5 there`."""
        if not self._inverse:
            return f"{self._amount()} needed, {there:.3g} there"
        found = f"{1 / there:.3g}" if there > 0 else "none"
        return f"a standard error of {self._amount()} needed, {found} there"

    @property
    def _inverse(self) -> bool:
        return self.unit.startswith("/")

    def _amount(self) -> str:
        if self._inverse:
            return f"{1 / self.at_least:g} {self.unit[1:]}"
        noun = self.name.removesuffix(f"_{self.unit}").replace("_", " ")
        return (
            f"{self.at_least:g} {noun}"
            if self.unit in ("", noun)
            else f"{self.at_least:g} {self.unit} of {noun}"
        )


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
