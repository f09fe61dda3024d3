"""The report as one HTML file that needs nothing but itself: no network, no fonts, no scripts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from mlipbench.core.figure import Figure, StructurePicture, Table
from mlipbench.report import words
from mlipbench.report.figures import DrawnPanel, draw
from mlipbench.report.models import RunView, SuiteView
from mlipbench.report.numbers import plain_number, pretty_text
from mlipbench.report.structure import draw_structure
from mlipbench.report.tabular import data_uri, figure_csv, structure_csv
from mlipbench.report.view import CONTRACT

# Rows of figure data that one report carries, shared by its figures: keeps the file below 5 MB.
_ROWS_A_REPORT, _ROWS_A_FIGURE = 30000, (200, 4000)


@dataclass(frozen=True)
class _Drawing:
    """A numbered figure or picture, ready to be placed."""

    number: int
    anchor: str
    kind: str  # "chart" or "atoms"
    panels: list[DrawnPanel]
    caption: str
    remarks: list[str]
    data: str
    file_name: str
    thinned: str


@dataclass(frozen=True)
class _Cell:
    text: str
    numeric: bool


@dataclass(frozen=True)
class _Column:
    name: str
    numeric: bool


@dataclass(frozen=True)
class _PrintedTable:
    caption: str
    columns: list[_Column]
    rows: list[list[_Cell]]


@dataclass(frozen=True)
class _Section:
    """A suite with what was drawn for it."""

    view: SuiteView
    drawings: list[_Drawing]
    tables: list[_PrintedTable]


def render(run: RunView) -> str:
    """The report's HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template("report.html")
    return template.render(
        run=run,
        sections=_sections(run),
        contract=CONTRACT,
        use_line=_use_line(run),
        badges=[badge for badge in words.BADGES.values() if badge is not words.INFORMATION],
        terms=words.TERMS,
    )


def _use_line(run: RunView) -> str:
    use = run.results.intended_use
    parts = [", ".join(use.elements), ", ".join(use.phases), f"{use.temperature_K:g} K"]
    if use.pressure_bar is not None:
        parts.append(f"{use.pressure_bar:g} bar")
    return "; ".join(part for part in parts if part)


def _sections(run: RunView) -> list[_Section]:
    """Suites with their figures drawn and numbered through the report."""
    total = sum(len(s.figures) for s in run.suites)
    low, high = _ROWS_A_FIGURE
    rows = min(max(_ROWS_A_REPORT // max(total, 1), low), high)
    sections, number = [], 0
    for suite in run.suites:
        drawings = []
        for figure in suite.figures:
            number += 1
            drawings.append(_drawing(figure, suite, number, rows))
        sections.append(_Section(suite, drawings, [_table(t) for t in suite.tables]))
    return sections


def _drawing(figure: Figure | StructurePicture, suite: SuiteView, number: int, rows: int) -> _Drawing:
    anchor = f"figure-{number}"
    thinned = ""
    if isinstance(figure, Figure):
        kind, panels, remarks = "chart", draw(figure, anchor), []
        data = figure_csv(figure, rows)
        thinned = "thinned" if data.startswith("#") else ""
    else:
        picture = draw_structure(figure, anchor)
        kind, panels, remarks = "atoms", [DrawnPanel(picture.svg, [])], picture.remarks
        data = structure_csv(figure)
    return _Drawing(
        number=number,
        anchor=anchor,
        kind=kind,
        panels=panels,
        caption=pretty_text(figure.caption),
        remarks=remarks,
        data=data_uri(data),
        file_name=f"{suite.key}-{figure.id}.csv",
        thinned=thinned,
    )


def _table(table: Table) -> _PrintedTable:
    rows = [[_cell(value) for value in row] for row in table.rows]
    columns = [
        _Column(pretty_text(name), index > 0 and bool(rows) and all(row[index].numeric for row in rows))
        for index, name in enumerate(table.columns)
    ]
    return _PrintedTable(pretty_text(table.caption), columns, rows)


def _cell(value: str | float | int | None) -> _Cell:
    if value is None:
        return _Cell("–", True)
    if isinstance(value, str):
        return _Cell(pretty_text(value), False)
    return _Cell(plain_number(float(value)), True)
