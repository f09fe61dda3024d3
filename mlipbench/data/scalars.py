"""Scalar references: a YAML file of named numbers.

density:
  value: 0.997
  error: 0.001            # one standard error; leave it out where it is not known
  unit: g/cm^3
  level_of_theory: experiment
  temperature_K: 298.15   # optional, as is pressure_bar
  source: who measured or computed it, where it is printed
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

from mlipbench.core.errors import DataError
from mlipbench.core.reference import Scalar
from mlipbench.core.units import check_unit
from mlipbench.data import entries


def known_unit(unit: str) -> str:
    """The unit, if it is one. Raises ValueError, for use in pydantic models."""
    try:
        check_unit(unit)
    except DataError as error:
        raise ValueError(str(error)) from error
    return unit


KnownUnit = Annotated[str, AfterValidator(known_unit)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    value: FiniteFloat
    unit: KnownUnit
    error: Annotated[FiniteFloat, Field(ge=0)] | None = None
    level_of_theory: str = Field(min_length=1)
    source: str = Field(min_length=1)
    temperature_K: Annotated[FiniteFloat, Field(ge=0)] | None = None
    pressure_bar: FiniteFloat | None = None


def read_scalars(path: Path) -> dict[str, Scalar]:
    """Name -> number. Raises DataError with every problem of the file."""
    document = entries.load_mapping(path, "a file of scalars (expected names, each with value, unit, source)")
    found = entries.validate(path, document, _Entry)
    return {name: Scalar(name=name, **entry.model_dump()) for name, entry in found.items()}


def choose(path: Path, scalars: dict[str, Scalar], quantity: str | None) -> Scalar:
    """The number that is meant: the named one, or the only one. Raises DataError."""
    names = ", ".join(scalars)
    if quantity is None and len(scalars) > 1:
        raise DataError(f"{path}: holds {len(scalars)} numbers: say which with quantity (one of {names})")
    name = next(iter(scalars)) if quantity is None else quantity
    if name not in scalars:
        raise DataError(f"{path}: no quantity {name!r} (the file has {names})")
    return scalars[name]
