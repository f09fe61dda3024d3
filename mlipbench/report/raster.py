"""Figures as PNG, panels side by side, legend inside: for files that stand alone."""

from __future__ import annotations

import io
import math

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mlipbench.core.figure import Figure, Panel, Series
from mlipbench.report.numbers import pretty_text
from mlipbench.report.painting import paint, settings
from mlipbench.report.palette import LIGHT, Style, styles
from mlipbench.report.quality import STEPS

_PANEL = (5.2, 3.7)  # inches
_MOST_BESIDE = 3  # panels in a row
_DPI = 130


def png(figure: Figure) -> bytes:
    """Draw all panels. The same figure gives the same bytes under the same matplotlib."""
    number = len(figure.panels)
    columns = min(number, _MOST_BESIDE)
    rows = math.ceil(number / columns)
    with matplotlib.rc_context(settings(LIGHT["fig-ink"], LIGHT["fig-grid"])):
        canvas = Canvas(figsize=(columns * _PANEL[0], rows * _PANEL[1]), facecolor="white")
        FigureCanvasAgg(canvas)
        places = list(canvas.subplots(rows, columns, squeeze=False).flat)
        for axes, panel in zip(places, figure.panels, strict=False):
            looks = styles(panel, LIGHT)
            paint(axes, panel, looks, STEPS[0])
            handles = _handles(panel, looks)
            if handles:
                axes.legend(handles=handles, fontsize=8, framealpha=0.85, facecolor="white", edgecolor="none")
        for axes in places[number:]:  # what is left of the last row
            axes.set_axis_off()
        buffer = io.BytesIO()
        canvas.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _handles(panel: Panel, looks: list[Style]) -> list[Line2D | Patch]:
    return [_handle(series, style) for series, style in zip(panel.series, looks, strict=True) if series.label]


def _handle(series: Series, style: Style) -> Line2D | Patch:
    label = pretty_text(series.label)
    if series.kind in ("band", "bars", "density"):
        return Patch(facecolor=style.colour, alpha=0.25, label=label)
    inside = style.colour if style.filled else "none"
    if series.kind == "points":
        return Line2D([], [], ls="", marker=style.marker, ms=4, color=style.colour, mfc=inside, label=label)
    return Line2D([], [], color=style.colour, lw=style.width, ls=(0, style.dash or (1, 0)), label=label)
