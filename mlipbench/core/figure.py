"""Figures as values: what to draw, not how. Suites return them, the report draws them.

They are stored beside the numbers, so a report is rendered (and its data exported) without the
suite, the potential, or any simulation package at hand.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _to_list(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


Numbers = Annotated[list[float | None], BeforeValidator(_to_list)]
Matrix = Annotated[list[list[float]], BeforeValidator(_to_list)]
Integers = Annotated[list[int], BeforeValidator(_to_list)]


class Series(BaseModel):
    """One curve, cloud or line of a panel."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["line", "points", "density", "band", "bars", "level", "diagonal"] = Field(
        description="density: many points, drawn as shading; band: y to y2 filled; "
        "bars: histogram, x are the edges; level: a horizontal line at y[0]; diagonal: y = x"
    )
    x: Numbers = []
    y: Numbers = []
    y2: Numbers = []
    yerr: Numbers = []
    label: str = ""
    role: Literal["data", "fit", "reference", "limit", "context"] = "data"
    thinned: str = Field(
        default="", description='what the suite left out, in words: "2000 of 11520 points, evenly chosen"'
    )


class Panel(BaseModel):
    """A pair of axes. Labels carry units."""

    model_config = ConfigDict(extra="forbid")

    title: str = ""
    xlabel: str
    ylabel: str
    xscale: Literal["linear", "log"] = "linear"
    yscale: Literal["linear", "log"] = "linear"
    xticks: list[tuple[float, str]] = Field(
        default=[], description="places on the x axis with names instead of numbers: [[0.0, Γ], [1.2, X]]"
    )
    series: list[Series]


class Figure(BaseModel):
    """Panels side by side."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(description="file name of its data: letters, digits, '-', '_'")
    caption: str = Field(description="what is drawn, and what a sound potential looks like")
    alt: str = Field(description="the figure's message in a sentence, for screen readers")
    panels: list[Panel]


class StructurePicture(BaseModel):
    """A configuration to be looked at: atoms, cell, an arrow or a colour per atom."""

    model_config = ConfigDict(extra="forbid")

    id: str
    caption: str
    alt: str
    numbers: Integers
    positions: Matrix = Field(description="(n_atoms, 3) A")
    cell: Matrix = Field(description="(3, 3) A")
    arrows: Matrix = Field(default=[], description="(n_atoms, 3), e.g. force errors")
    arrow_unit: str = ""
    highlight: Integers = Field(default=[], description="indices of atoms to mark")


class Table(BaseModel):
    """Numbers too many for measurements: per species, per config_type, worst frames."""

    model_config = ConfigDict(extra="forbid")

    id: str
    caption: str
    columns: list[str]
    rows: list[list[str | float | int | None]]


AnyFigure = Union[Figure, StructurePicture]
