"""A number with its error bar. No time average leaves a suite without one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Measurement(BaseModel):
    """One measured number.

    `stderr` is one standard error. It is 0 only for a count or a deterministic result (`exact`);
    None means that the error is not known, and such a number can never PASS.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="force_mae, drift, ...: the criterion of the same name judges it")
    value: float | None = Field(description="None: could not be measured, see note")
    unit: str = Field(description='"meV/A"; "1" for a pure number')
    stderr: float | None = Field(default=None, ge=0, description="one standard error")
    n_eff: float | None = Field(default=None, description="effective number of independent samples")
    method: str = Field(default="", description="how the value and its error were obtained")
    conditions: dict[str, float | str] = Field(
        default_factory=dict, description='{"temperature_K": 300.0}: what sets it apart'
    )
    evidence: dict[str, float] = Field(
        default_factory=dict,
        description='what a PASS may ask for: {"length_ps": 5.0, "frames": 69}',
    )
    exact: bool = Field(default=False, description="a count or deterministic result, no error bar")
    note: str = Field(default="", description="what a reader should know about this number")

    @property
    def key(self) -> str:
        """Name with conditions: `drift@300K`, `force_mae`, `force_mae@species=Si`."""
        if not self.conditions:
            return self.name
        return f"{self.name}@{','.join(_condition(k, v) for k, v in self.conditions.items())}"


def _condition(name: str, value: Any) -> str:
    text = f"{value:g}" if isinstance(value, (int, float)) else str(value)
    return f"{text}K" if name == "temperature_K" else f"{name}={text}"
