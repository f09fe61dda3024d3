"""Panels painted onto matplotlib axes, in whatever colours the styles carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from mlipbench.core.figure import Panel, Series
from mlipbench.report import hexagons
from mlipbench.report.numbers import pretty_text, superscript
from mlipbench.report.palette import Style
from mlipbench.report.quality import Quality

_SETTINGS: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"], "font.size": 9.5, "axes.labelsize": 9.5, "axes.titlesize": 10,
    "svg.fonttype": "none", "text.parse_math": False, "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False, "axes.linewidth": 0.7,
    "xtick.major.width": 0.7, "ytick.major.width": 0.7, "xtick.major.size": 3, "ytick.major.size": 3,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
    "axes.grid": True, "grid.linewidth": 0.5, "axes.axisbelow": True,
    "figure.constrained_layout.use": True, "path.simplify": True,
}  # fmt: skip
_INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")

FloatArray = NDArray[np.float64]


def settings(ink: str, grid: str) -> dict[Any, Any]:
    """matplotlib's settings for a drawing: its own defaults, not those of the user's file, and our looks."""
    defaults: dict[Any, Any] = dict(matplotlib.rcParamsDefault)
    kept = {k: v for k, v in defaults.items() if not k.startswith("backend")}
    return {**kept, **_SETTINGS, **dict.fromkeys(_INKED, ink), "grid.color": grid}


def paint(axes: Axes, panel: Panel, looks: list[Style], quality: Quality) -> list[str]:
    """Draw all series of a panel; what the shading of each means, "" where it has none."""
    axes.set(
        xlabel=pretty_text(panel.xlabel), ylabel=pretty_text(panel.ylabel), title=pretty_text(panel.title)
    )
    shown = [
        _shown(series, positive_x=panel.xscale == "log", positive_y=panel.yscale == "log")
        for series in panel.series
    ]
    _set_scales(axes, panel, shown)
    shadings = [
        _draw_series(axes, series, style, quality) for series, style in zip(shown, looks, strict=True)
    ]
    _finish(axes, panel, looks)
    return shadings


@dataclass(frozen=True)
class _Shown:
    """A series as arrays, with what its axes cannot show taken out (NaN)."""

    series: Series
    x: FloatArray
    y: FloatArray
    y2: FloatArray
    yerr: FloatArray


def _shown(series: Series, *, positive_x: bool, positive_y: bool) -> _Shown:
    def array(values: list[float | None], positive: bool) -> FloatArray:
        found = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        found[~np.isfinite(found)] = np.nan
        if positive:
            found[found <= 0] = np.nan
        return found

    return _Shown(
        series,
        array(series.x, positive_x),
        array(series.y, positive_y),
        array(series.y2, positive_y),
        array(series.yerr, False),
    )


def _set_scales(axes: Axes, panel: Panel, shown: list[_Shown]) -> None:
    """Logarithmic where asked, and where there is anything positive to show."""
    for which, scale in (("x", panel.xscale), ("y", panel.yscale)):
        if scale == "linear" or not any(np.isfinite(getattr(s, which)).any() for s in shown):
            continue
        axes.set(**{f"{which}scale": "log"})
        axis = axes.xaxis if which == "x" else axes.yaxis
        axis.set_major_formatter(FuncFormatter(_power_of_ten))
        axis.set_minor_formatter(NullFormatter())


def _power_of_ten(value: float, _position: Any) -> str:
    exponent = round(np.log10(value)) if value > 0 else 0
    if -3 <= exponent <= 3:
        return f"{value:g}"
    return f"10{superscript(exponent)}"


def _draw_series(axes: Axes, shown: _Shown, style: Style, quality: Quality) -> str:
    """Draw one series; returns what its shading means, "" where it has none."""
    kind, x, y = shown.series.kind, shown.x, shown.y
    look: dict[str, Any] = {"color": style.colour, "lw": style.width}
    if style.dash:
        look["dashes"] = style.dash
    if kind == "diagonal" or not (np.isfinite(y).any() or np.isfinite(shown.y2).any()):
        return ""  # the diagonal needs the limits of all others: drawn last
    if kind == "density" or (kind == "points" and len(x) > quality.points):
        return _draw_density(axes, x, y, style, quality.cells)
    if kind == "line":
        keep = _columns(y, quality.columns)
        if len(keep) < len(x):
            look["lw"] = 0.8  # a dense line is a band, whose edge should be fine
        axes.plot(x[keep], y[keep], zorder=3 if shown.series.role == "fit" else 2, **look)
        if len(shown.yerr):
            low, high = (y - shown.yerr)[keep], (y + shown.yerr)[keep]
            axes.fill_between(x[keep], low, high, color=style.colour, alpha=0.2, lw=0)
    elif kind == "points":
        axes.errorbar(
            x, y, yerr=shown.yerr if len(shown.yerr) else None, fmt=style.marker, ms=4, zorder=3,
            color=style.colour, mfc=style.colour if style.filled else "none", elinewidth=1, capsize=2,
        )  # fmt: skip
    elif kind == "band":
        if len(x):
            axes.fill_between(x, y, shown.y2, color=style.colour, alpha=0.18, lw=0)
        else:
            axes.axhspan(y[0], shown.y2[0], color=style.colour, alpha=0.18, lw=0)
    elif kind == "bars":
        heights = np.nan_to_num(y)
        axes.stairs(heights, x, fill=True, color=style.colour, alpha=0.25, lw=0)
        axes.stairs(heights, x, color=style.colour, lw=style.width, ls=(0, style.dash) if style.dash else "-")
    else:
        axes.axhline(y[0], zorder=2.5, **look)
    return ""


def _draw_density(axes: Axes, x: FloatArray, y: FloatArray, style: Style, cells: int) -> str:
    """Shade a cloud of points; returns what the shading means."""
    to_axes = axes.transScale.transform
    points = np.asarray(to_axes(np.stack([x, y], axis=1)))
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return ""
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    shading = hexagons.shade((points - low) / span, cells)
    from_axes = axes.transScale.inverted().transform
    for step in shading.shades:
        corners = np.asarray(from_axes((step.corners * span + low).reshape(-1, 2))).reshape(-1, 6, 2)
        axes.add_patch(
            PathPatch(_closed(corners), facecolor=style.colour, edgecolor="none", alpha=step.opacity)
        )
    # The patches do not move the limits of the axes; two invisible points do.
    axes.update_datalim(np.asarray(from_axes(np.stack([low, high]))))
    axes.autoscale_view()
    return f"shading: 1 to {shading.fullest} points a cell, logarithmic"


def _closed(corners: FloatArray) -> Outline:
    """Polygons (n, m, 2) as one outline."""
    n, m, _ = corners.shape
    vertices = np.concatenate([corners, corners[:, :1]], axis=1).reshape(-1, 2)
    codes = np.tile([Outline.MOVETO] + [Outline.LINETO] * (m - 1) + [Outline.CLOSEPOLY], n)
    return Outline(vertices, codes)


def _columns(y: FloatArray, columns: int) -> NDArray[np.int64]:
    """Indices of a line's lowest and highest point in each of `columns` stretches, and its gaps."""
    if len(y) <= 4 * columns:
        return np.arange(len(y))
    keep = [0, len(y) - 1]
    for stretch in np.array_split(np.arange(len(y)), columns):
        known = stretch[np.isfinite(y[stretch])]
        if len(known):
            keep += [known[np.argmin(y[known])], known[np.argmax(y[known])]]
        if len(known) < len(stretch):
            keep.append(stretch[~np.isfinite(y[stretch])][0])
    return np.unique(np.array(keep, dtype=np.int64))


def _finish(axes: Axes, panel: Panel, looks: list[Style]) -> None:
    """Diagonals, room at the edges, and a word where nothing was drawn."""
    kinds = {s.kind for s in panel.series}
    if not axes.has_data():
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center")
        axes.set(xticks=[], yticks=[])
        return
    if panel.xticks:
        places, names = zip(*panel.xticks, strict=True)
        axes.set_xticks(places, [pretty_text(name) for name in names])
        axes.set_xlim(min(places), max(places))
    if "bars" in kinds and panel.yscale == "linear":
        axes.set_ylim(bottom=0)
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        if axis.get_scale() == "log":  # few decades need labels in between
            few = limits[1] / limits[0] < 100
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=8))
    if "diagonal" in kinds:
        low = min(axes.get_xlim()[0], axes.get_ylim()[0])
        high = max(axes.get_xlim()[1], axes.get_ylim()[1])
        axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        line = next(style for s, style in zip(panel.series, looks, strict=True) if s.kind == "diagonal")
        axes.plot([low, high], [low, high], color=line.colour, lw=line.width, dashes=line.dash, zorder=1.5)
