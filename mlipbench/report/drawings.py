"""Figures, pictures and tables of a run, drawn and numbered, each with its data as CSV."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

from mlipbench.core.figure import Figure, StructurePicture, Table
from mlipbench.report.figures import DrawnPanel, draw
from mlipbench.report.models import SuiteView
from mlipbench.report.numbers import plain_number, pretty_text
from mlipbench.report.quality import Quality
from mlipbench.report.structure import draw_structure
from mlipbench.report.tabular import Csv, data_uri, panel_csv, structure_csv

_FEWEST_ROWS, _MOST_ROWS = 60, 4000  # of one panel's data inside the report


@dataclass(frozen=True)
class Download:
    """A link that holds its own file."""

    label: str
    file_name: str
    uri: str
    left_out: str


@dataclass(frozen=True)
class Drawing:
    """A numbered figure or picture, ready to be placed; without panels where it was left out."""

    number: int
    anchor: str
    kind: str  # "chart" or "atoms"
    panels: list[DrawnPanel]
    caption: str
    remarks: list[str]
    downloads: list[Download]

    @property
    def size(self) -> int:
        """Bytes that it takes in the page, nearly."""
        drawn = sum(len(p.svg) + sum(len(k.swatch) + 200 for k in p.keys) for p in self.panels)
        return drawn + sum(len(d.uri) + 300 for d in self.downloads) + 2 * len(self.caption) + 500


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    text: str
    numeric: bool


@dataclass(frozen=True)
class PrintedTable:
    """A table in print."""

    caption: str
    columns: list[Cell]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Section:
    """A suite with what was drawn for it."""

    view: SuiteView
    drawings: list[Drawing]
    tables: list[PrintedTable]


Named = tuple[Figure | StructurePicture, str]  # a figure and the name of its files


def data_files(named: Iterable[Named]) -> dict[str, str]:
    """File name -> CSV of every panel and picture, whole."""
    return {file_name: data.text for figure, name in named for file_name, _, data in _data(figure, name)}


def suite_figures(suites: list[SuiteView]) -> list[Named]:
    """The figures of a run in the order of its report."""
    return [pair for suite in suites for pair in _of_suite(suite)]


def _of_suite(suite: SuiteView) -> list[Named]:
    """Figures with names for their files, each once."""
    seen: dict[str, int] = {}
    found: list[Named] = []
    for figure in suite.figures:
        name = re.sub(r"[^\w.-]+", "-", f"{suite.key}-{figure.id.removeprefix(f'{suite.key}-')}")
        seen[name] = seen.get(name, 0) + 1
        found.append((figure, name if seen[name] == 1 else f"{name}-{seen[name]}"))
    return found


def sections(suites: list[SuiteView], quality: Quality, room: int) -> list[Section] | None:
    """Suites with their figures drawn and numbered through the report; None as of `drawings`."""
    found = drawings(suite_figures(suites), quality, room)
    if found is None:
        return None
    rest = iter(found)
    return [
        Section(
            _shortened(suite, quality),
            list(islice(rest, len(suite.figures))),
            [printed(table, quality.table_rows, "result.json of the suite") for table in suite.tables],
        )
        for suite in suites
    ]


def drawings(named: list[Named], quality: Quality, room: int) -> list[Drawing] | None:
    """Figures drawn and numbered, in `room` bytes.

    Where they do not fit: None, or, at the step that drops figures, those that do not fit left out by name.
    """
    panels = sum(len(figure.panels) for figure, _ in named if isinstance(figure, Figure))
    rows = min(max(quality.data_rows // max(panels, 1), _FEWEST_ROWS), _MOST_ROWS)
    found = []
    for number, (figure, name) in enumerate(named, 1):
        drawing = None if room <= 0 else _drawing(figure, name, number, rows, quality)
        if drawing is None or drawing.size > room:
            if not quality.drop:
                return None
            drawing, room = _left_out(figure, name, number), 0
        room -= drawing.size
        found.append(drawing)
    return found


def _left_out(figure: Figure | StructurePicture, name: str, number: int) -> Drawing:
    names = ", ".join(f"figures/{file_name}" for file_name, _, _ in _data(figure, name))
    remark = f"Left out here to keep this file below 5 MB; its data are in the run folder: {names}"
    return Drawing(number, f"figure-{number}", "chart", [], pretty_text(figure.caption), [remark], [])


def _data(
    figure: Figure | StructurePicture, name: str, rows: int | None = None
) -> list[tuple[str, str, Csv]]:
    """(file name, label, data) of each panel."""
    if isinstance(figure, StructurePicture):
        return [(f"{name}.csv", "", structure_csv(figure))]
    alone = len(figure.panels) == 1
    return [
        (
            f"{name}.csv" if alone else f"{name}-{index + 1}.csv",
            "" if alone else pretty_text(panel.title or f"{panel.ylabel} against {panel.xlabel}"),
            panel_csv(panel, rows),
        )
        for index, panel in enumerate(figure.panels)
    ]


def _drawing(
    figure: Figure | StructurePicture, name: str, number: int, rows: int, quality: Quality
) -> Drawing:
    anchor = f"figure-{number}"
    if isinstance(figure, Figure):
        kind, panels, remarks = "chart", draw(figure, anchor, quality), []
    else:
        picture = draw_structure(figure, anchor, quality.atoms)
        kind, panels = "atoms", [DrawnPanel(picture.svg, [])]
        remarks = [f"drawing: {remark}" for remark in picture.remarks]
    return Drawing(
        number=number,
        anchor=anchor,
        kind=kind,
        panels=panels,
        caption=pretty_text(figure.caption),
        remarks=remarks,
        downloads=[
            Download(label, file_name, data_uri(data.text), data.left_out)
            for file_name, label, data in _data(figure, name, rows)
        ],
    )


def _shortened(suite: SuiteView, quality: Quality) -> SuiteView:
    """The suite's view with long lists and texts cut as the quality says."""
    information = suite.information
    notes = suite.notes
    if len(information) > quality.table_rows:
        left = len(information) - quality.table_rows
        information = information[: quality.table_rows]
        notes = [*notes, f"{left} further numbers for information are in results.json."]
    traceback = suite.traceback
    if len(traceback) > quality.text:
        traceback = "[the beginning is left out, see traceback.txt]\n" + traceback[-quality.text :]
    return replace(suite, information=information, notes=notes, traceback=traceback)


def printed(table: Table, most_rows: int, whole: str) -> PrintedTable:
    """A table in print, at most `most_rows` of it; `whole` says where all of it is."""
    rows = [[_cell(value) for value in row] for row in table.rows[:most_rows]]
    columns = [
        Cell(pretty_text(name), index > 0 and bool(rows) and all(row[index].numeric for row in rows))
        for index, name in enumerate(table.columns)
    ]
    caption = pretty_text(table.caption)
    if len(rows) < len(table.rows):
        caption += f" The first {len(rows)} of {len(table.rows)} rows; all are in {whole}."
    return PrintedTable(caption, columns, rows)


def _cell(value: str | float | int | None) -> Cell:
    if value is None:
        return Cell("–", True)
    if isinstance(value, str):
        return Cell(pretty_text(value), False)
    return Cell(plain_number(float(value)), True)
