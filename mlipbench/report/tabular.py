"""The data of figures as CSV: one file a panel, one row a point, units in the header.

The columns are series, kind, role, the abscissa and the ordinate under the labels of their axes, and,
where a series has them, the other edge of a band and the standard error. Numbers are written so that
reading them gives the same ones again.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from itertools import zip_longest
from urllib.parse import quote

import numpy as np

from mlipbench.core.figure import Panel, Series, StructurePicture
from mlipbench.report import elements


@dataclass(frozen=True)
class Csv:
    """Data as text; `left_out` says in words what is not in it ("" where all is)."""

    text: str
    left_out: str = ""


def panel_csv(panel: Panel, most_rows: int | None = None) -> Csv:
    """All rows of a panel, or at most about `most_rows`, what was left out told in a first line."""
    lengths = [max(len(s.x), len(s.y), len(s.y2), len(s.yerr)) for s in panel.series]
    total = sum(lengths)
    share = 1.0 if most_rows is None else min(1.0, most_rows / max(total, 1))
    kept = [chosen_rows(s, n, share) for s, n in zip(panel.series, lengths, strict=True)]
    number = sum(len(rows) for rows in kept)
    left_out = ""
    if number < total:
        left_out = f"{number} of {total} rows: of lines the lowest and highest of each stretch, else evenly"
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    edge, error = any(s.y2 for s in panel.series), any(s.yerr for s in panel.series)
    more = [f"{panel.ylabel}: other edge"] * edge + [f"{panel.ylabel}: standard error"] * error
    writer.writerow(["series", "kind", "role", panel.xlabel, panel.ylabel, *more])
    for index, (s, rows) in enumerate(zip(panel.series, kept, strict=True)):
        name = [s.label or f"series {index + 1}", s.kind, s.role]
        values = list(zip_longest(s.x, s.y, *([s.y2] * edge), *([s.yerr] * error)))
        for row in rows:
            writer.writerow(name + ["" if v is None else repr(v) for v in values[row]])
    comment = f"# {left_out}; all of them are in the run folder\n" if left_out else ""
    return Csv(comment + buffer.getvalue(), left_out)


def chosen_rows(series: Series, n: int, share: float) -> list[int]:
    """Rows that stay when about `share` of `n` may: extremes of a line, else evenly spaced ones."""
    if share >= 1 or n < 50:
        return list(range(n))
    most = max(round(share * n), 10)
    if series.kind != "line" or len(series.y) != n:
        return sorted({round(row) for row in np.linspace(0, n - 1, most).tolist()})
    y = np.array([np.nan if v is None else v for v in series.y], dtype=float)
    keep = {0, n - 1}
    for stretch in np.array_split(np.arange(n), max(most // 2, 1)):
        known = stretch[np.isfinite(y[stretch])]
        if len(known):
            keep |= {int(known[np.argmin(y[known])]), int(known[np.argmax(y[known])])}
    return sorted(keep)


def structure_csv(picture: StructurePicture) -> Csv:
    """Columns element, x, y, z in A, the arrow's components, and whether the atom is marked."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    unit = f" ({picture.arrow_unit})" if picture.arrow_unit else ""
    arrows = [f"arrow {axis}{unit}" for axis in "xyz"] if picture.arrows else []
    writer.writerow(["element", "x (A)", "y (A)", "z (A)", *arrows, "marked"])
    marked = set(picture.highlight)
    for index, (number, position) in enumerate(zip(picture.numbers, picture.positions, strict=True)):
        arrow = picture.arrows[index] if picture.arrows else []
        values = [repr(float(v)) for v in (*position, *arrow)]
        writer.writerow([elements.symbol(number), *values, int(index in marked)])
    return Csv(buffer.getvalue())


def data_uri(text: str) -> str:
    """A text that a link can download without a server."""
    return "data:text/csv;charset=utf-8," + quote(text, safe=",.-+_:;=()|*!~/")
