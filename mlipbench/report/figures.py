"""Figures as inline SVG, one drawing a panel, so that panels wrap on narrow screens.

Drawn by matplotlib without its global state; colours and fonts are those of the page around it.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

from mlipbench.core.figure import Figure, Panel
from mlipbench.report.legend import LegendKey, legend_key
from mlipbench.report.numbers import pretty_text
from mlipbench.report.painting import paint, settings
from mlipbench.report.palette import STAND_IN, styles
from mlipbench.report.quality import STEPS, Quality

_INK, _GRID = STAND_IN["fig-ink"], STAND_IN["fig-grid"]


@dataclass(frozen=True)
class DrawnPanel:
    """One panel: its drawing and the keys of its series."""

    svg: str
    keys: list[LegendKey]


def draw(figure: Figure, prefix: str, quality: Quality = STEPS[0]) -> list[DrawnPanel]:
    """Draw all panels. `prefix` starts every id inside the drawings and must be unique on the page."""
    square = any(s.kind == "diagonal" for panel in figure.panels for s in panel.series)
    size = (4.3, 3.9) if square else (4.9, 3.2)
    with matplotlib.rc_context({**settings(_INK, _GRID), "svg.hashsalt": prefix}):
        return [
            _draw_panel(panel, f"{prefix}-p{index}", size, _description(figure, index), quality)
            for index, panel in enumerate(figure.panels)
        ]


def _description(figure: Figure, index: int) -> tuple[str, str]:
    """Title and description for screen readers; the figure's message is told once."""
    panel = figure.panels[index]
    axes = f"{panel.ylabel} against {panel.xlabel}"
    title = f"{panel.title}: {axes}" if panel.title else axes
    if index == 0:
        return title, figure.alt
    return title, f"Panel {index + 1} of {len(figure.panels)} of the figure described before."


def _draw_panel(
    panel: Panel, prefix: str, size: tuple[float, float], words: tuple[str, str], quality: Quality
) -> DrawnPanel:
    canvas = Canvas(figsize=size)
    FigureCanvasSVG(canvas)
    looks = styles(panel, STAND_IN)
    shadings = paint(canvas.subplots(), panel, looks, quality)
    keys = [
        legend_key(series, style, shading)
        for series, style, shading in zip(panel.series, looks, shadings, strict=True)
        if series.label
    ]
    buffer = io.StringIO()
    canvas.savefig(
        buffer,
        format="svg",
        transparent=True,
        metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
    )
    return DrawnPanel(embed(buffer.getvalue(), prefix, *words), keys)


def embed(svg: str, prefix: str, title: str, description: str) -> str:
    """Make a drawing part of the page: its colours, its font, ids of its own, words for screen readers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'(?:xlink:)?href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(?<= d=")[^"]*', _shortened, svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    for variable, colour in STAND_IN.items():
        css = "currentColor" if variable == "fig-ink" else f"var(--{variable})"
        svg = svg.replace(colour, css)
    box = re.search(r'viewBox="([^"]+)"', svg)
    head = (
        f'<svg class="plot" viewBox="{box[1] if box else "0 0 100 100"}" role="img" '
        f'aria-labelledby="{prefix}-title {prefix}-desc">'
        f'<title id="{prefix}-title">{escape(pretty_text(title))}</title>'
        f'<desc id="{prefix}-desc">{escape(description)}</desc>'
    )
    return head + svg[svg.index(">") + 1 :].strip()


def _shortened(path: re.Match[str]) -> str:
    """Path data in one line, cut to hundredths of a point, which no screen resolves."""
    return re.sub(r"(\.\d\d)\d+", r"\1", " ".join(path[0].split()))
