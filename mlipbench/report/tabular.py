"""The data of a figure as CSV: one row a point, long format, every digit that matters."""

from __future__ import annotations

import csv
import io
from itertools import zip_longest
from urllib.parse import quote

from mlipbench.core.figure import Figure, StructurePicture
from mlipbench.report import elements


def figure_csv(figure: Figure, most_rows: int | None = None) -> str:
    """Columns panel, series, kind, role, x, y, y2, yerr. A series longer than its share of `most_rows`
    keeps every k-th row, and a first line says so."""
    series = [(panel, s) for panel in figure.panels for s in panel.series]
    lengths = [max(len(s.x), len(s.y), len(s.y2), len(s.yerr)) for _, s in series]
    stride = 1 if most_rows is None else max(1, -(-sum(lengths) // most_rows))
    buffer = io.StringIO()
    if stride > 1:
        buffer.write(f"# every {stride}th row; all of them are in result.json of the suite\n")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["panel", "series", "kind", "role", "x", "y", "y2", "yerr"])
    for index, (panel, s) in enumerate(series):
        name = [panel.title or panel.ylabel, s.label or f"series {index + 1}", s.kind, s.role]
        for row, values in enumerate(zip_longest(s.x, s.y, s.y2, s.yerr)):
            if row % stride == 0:
                writer.writerow(name + ["" if v is None else f"{v:.7g}" for v in values])
    return buffer.getvalue()


def structure_csv(picture: StructurePicture) -> str:
    """Columns element, x, y, z in A, the arrow's components, and whether the atom is marked."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    unit = f" ({picture.arrow_unit})" if picture.arrow_unit else ""
    writer.writerow(
        ["element", "x (A)", "y (A)", "z (A)", *(f"arrow {axis}{unit}" for axis in "xyz"), "marked"]
    )
    marked = set(picture.highlight)
    for index, (number, position) in enumerate(zip(picture.numbers, picture.positions, strict=True)):
        arrow = picture.arrows[index] if picture.arrows else ["", "", ""]
        values = [v if isinstance(v, str) else f"{v:.7g}" for v in (*position, *arrow)]
        writer.writerow([elements.symbol(number), *values, int(index in marked)])
    return buffer.getvalue()


def data_uri(text: str) -> str:
    """A text that a link can download without a server."""
    return "data:text/csv;charset=utf-8," + quote(text, safe=",.-+_:;=()|*!~/")
