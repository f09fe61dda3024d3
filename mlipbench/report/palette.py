"""How the series of a panel look: colour, dash and marker, each alone enough to tell them apart.

Colours are names of CSS variables of the report's style sheet, which has values for light, dark and
print. matplotlib wants colours it knows, so each variable has a stand-in that is exchanged after drawing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mlipbench.core.figure import Panel

VARIABLES = (
    "fig-ink",
    "fig-grid",
    "fig-fit",
    "fig-reference",
    "fig-limit",
    "fig-context",
    "fig-data-1",
    "fig-data-2",
    "fig-data-3",
    "fig-data-4",
    "fig-paper",
)
STAND_IN = {name: f"#01fe{index:02x}" for index, name in enumerate(VARIABLES)}
LIGHT = {
    "fig-ink": "#1b1f24",
    "fig-grid": "#e4e4dd",
    "fig-fit": "#1b1f24",
    "fig-reference": "#6d3a94",
    "fig-limit": "#b3122f",
    "fig-context": "#6c747d",
    "fig-data-1": "#0f67ad",
    "fig-data-2": "#c05f00",
    "fig-data-3": "#00795c",
    "fig-data-4": "#5a8fbf",
    "fig-paper": "#fdfdfb",
}
"""The style sheet's colours by day, for pictures that stand alone."""

Dash = tuple[float, ...]
SOLID: Dash = ()
_DATA_DASHES: tuple[Dash, ...] = (SOLID, (6, 1.6), (3, 1.2, 1, 1.2), (1.4, 1.2))
_FIT_DASHES: tuple[Dash, ...] = ((5, 2.2), (1.2, 1.4), (5, 1.6, 1.2, 1.6), (9, 2))
_MARKERS = ("o", "s", "^", "D")


@dataclass(frozen=True)
class Style:
    """The look of one series. Dashes are in units of the line width."""

    variable: str
    dash: Dash
    marker: str
    width: float  # pt
    filled: bool = True
    colour: str = ""  # to draw with

    @property
    def css(self) -> str:
        """The colour in a style sheet."""
        return f"var(--{self.variable})"


def styles(panel: Panel, colours: Mapping[str, str] = STAND_IN) -> list[Style]:
    """One style a series, in their order; the n-th series of a role differs from the others.

    `colours` says what each variable is drawn with.
    """
    seen: dict[str, int] = {}
    found = []
    for series in panel.series:
        role = "context" if series.kind == "diagonal" else series.role
        index = seen.get(role, 0)
        seen[role] = index + 1
        style = _style(role, index)
        found.append(replace(style, colour=colours[style.variable]))
    return found


def _style(role: str, index: int) -> Style:
    nth = index % 4
    if role == "data":
        return Style(f"fig-data-{nth + 1}", _DATA_DASHES[nth], _MARKERS[nth], 1.3)
    if role == "fit":
        return Style("fig-fit", _FIT_DASHES[nth], _MARKERS[nth], 1.5, filled=False)
    if role == "reference":
        return Style(
            "fig-reference", (SOLID, (8, 2), (4, 1.5), (2, 1.5))[nth], _MARKERS[::-1][nth], 1.5, False
        )
    if role == "limit":
        return Style("fig-limit", (7, 2, 1.5, 2), "v", 1.4, filled=False)
    return Style("fig-context", ((1.5, 2), (3, 2), (5, 3), (8, 3))[nth], "x", 1.0, filled=False)
