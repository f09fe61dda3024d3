"""Keys of a panel's series, as small drawings beside their labels in the page's own text."""

from __future__ import annotations

from dataclasses import dataclass

from mlipbench.core.figure import Series
from mlipbench.report.numbers import pretty_text
from mlipbench.report.palette import Style


@dataclass(frozen=True)
class LegendKey:
    """A swatch (SVG, hidden from screen readers: the label says it), a label and a remark."""

    swatch: str
    label: str
    remark: str


_MARKERS = {
    "o": '<circle cx="14" cy="6" r="3.4" {look}/>',
    "s": '<rect x="10.8" y="2.8" width="6.4" height="6.4" {look}/>',
    "^": '<path d="M14 2L18 9.4H10z" {look}/>',
    "v": '<path d="M14 10L18 2.6H10z" {look}/>',
    "D": '<path d="M14 1.4L18.6 6L14 10.6L9.4 6z" {look}/>',
    "x": '<path d="M11 3L17 9M17 3L11 9" {look}/>',
}


def legend_key(series: Series, style: Style, shading: str) -> LegendKey:
    """The key of one series in the look it was drawn with; `shading` says what the shades mean."""
    number = f"{len(series.y)} points" if shading and not series.thinned else series.thinned
    return LegendKey(
        f'<svg class="swatch" viewBox="0 0 28 12" aria-hidden="true">{_swatch(series, style, shading)}</svg>',
        pretty_text(series.label),
        "; ".join(part for part in (shading, number) if part),
    )


def _swatch(series: Series, style: Style, shading: str) -> str:
    fill = f'style="fill: {style.css}"'
    if series.kind == "density" or shading:
        return "".join(
            f'<rect x="{1 + 5.2 * step:.1f}" y="1.5" width="5.2" height="9" {fill} '
            f'fill-opacity="{0.16 + 0.21 * step:.2f}"/>'
            for step in range(5)
        )
    dash = " ".join(f"{length * style.width:.1f}" for length in style.dash) or "none"
    stroke = f"stroke: {style.css}; stroke-width: {style.width + 0.3:.1f}; stroke-dasharray: {dash}"
    if series.kind == "points":
        inside = style.css if style.filled and style.marker != "x" else "none"
        look = f'style="fill: {inside}; stroke: {style.css}; stroke-width: 1.4"'
        return _MARKERS[style.marker].format(look=look)
    if series.kind == "band":
        return f'<rect x="1" y="1.5" width="26" height="9" {fill} fill-opacity="0.25"/>'
    if series.kind == "bars":
        look = f"fill: {style.css}; fill-opacity: 0.25; {stroke}"
        return f'<rect x="2" y="1.5" width="24" height="9" style="{look}"/>'
    return f'<path d="M1 6H27" style="fill: none; {stroke}"/>'
