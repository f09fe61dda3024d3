"""Drawings: figures, shading, structures, palette, CSV."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

import mlipbench.report
from mlipbench.core.figure import Figure, Panel, Series, StructurePicture
from mlipbench.report import elements, hexagons, palette
from mlipbench.report.figures import draw
from mlipbench.report.quality import STEPS
from mlipbench.report.structure import draw_structure, nice
from mlipbench.report.tabular import Csv, panel_csv, structure_csv

COLUMNS, MOST_POINTS, MOST_ATOMS = STEPS[0].columns, STEPS[0].points, STEPS[0].atoms
KINDS = ("line", "points", "density", "band", "bars", "level", "diagonal")
ROLES = ("data", "fit", "reference", "limit", "context")


def figure(*series: Series, **axes: str) -> Figure:
    panel = Panel(xlabel="x (A)", ylabel="y", series=list(series), **axes)
    return Figure(id="f", caption="c", alt="An <alt>.", panels=[panel])


def parse(svg: str) -> ElementTree.Element:
    """Well-formed XML: an unescaped label or a broken attribute would raise."""
    return ElementTree.fromstring(svg)


def one(kind: str, role: str) -> Series:
    x = np.linspace(0.5, 5, 12)
    if kind == "bars":
        return Series(kind="bars", x=x, y=x[:-1] ** 2, role=role, label="$x_1$ & <b>")
    return Series(kind=kind, x=x, y=x**2, y2=x**2 + 1, role=role, label="$x_1$ & <b>")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_every_kind_and_role_is_drawn(kind: str, role: str, scale: str) -> None:
    extra = [] if kind != "diagonal" else [one("points", "data")]
    (panel,) = draw(figure(one(kind, role), *extra, xscale=scale, yscale=scale), "f1")
    parse(panel.svg)
    look = palette.styles(Panel(xlabel="", ylabel="", series=[one(kind, role)]))[0]
    assert f"var(--{look.variable})" in panel.svg
    assert f"var(--{look.variable})" in panel.keys[0].swatch
    assert not re.search("#01fe", panel.svg), "a stand-in colour was left"
    assert "currentColor" in panel.svg
    assert "An &lt;alt&gt;." in panel.svg
    assert "x (Å)" in panel.svg


def test_places_on_the_x_axis_have_names() -> None:
    x, ticks = np.array([0.0, 1.0, 2.5]), [(0.0, "Γ"), (1.0, "X|K"), (2.5, "L")]
    one_line = Series(kind="line", x=x, y=[1.0, None, 2.0], label="bands")
    panel = Panel(xlabel="wave vector", ylabel="f (THz)", xticks=ticks, series=[one_line])
    (drawn,) = draw(Figure(id="f", caption="", alt="", panels=[panel]), "f1")
    words = re.findall(r">([^<>\n]+)</text>", drawn.svg)
    assert [word for word in words if word in ("Γ", "X|K", "L")] == ["Γ", "X|K", "L"]
    assert "0.5" not in words  # names in the place of numbers


@pytest.mark.parametrize("kind", KINDS)
def test_empty_and_missing_data(kind: str) -> None:
    """Nothing, only gaps, and only what a logarithm cannot show are answered with words."""
    edges = [0.0, 1.0, 2.0, 3.0] if kind == "bars" else [0.0, 1.0, 2.0]
    for values in ([], [None, None, None], [-1.0, -2.0, 0.0]):
        x = edges if values else []
        (panel,) = draw(figure(Series(kind=kind, x=x, y=values, y2=values), yscale="log"), "f1")
        parse(panel.svg)
        assert "no data" in panel.svg


def test_drawing_leaves_matplotlib_alone_and_repeats() -> None:
    before = dict(matplotlib.rcParams)
    first = draw(figure(one("points", "data")), "f1")
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30}):
        assert draw(figure(one("points", "data")), "f1") == first


def test_long_line_keeps_its_extremes() -> None:
    """One spike in 10^5 points is a finding: thinning by stride would lose it."""
    y = np.zeros(100_000)
    y[54_321] = 7.0
    (panel,) = draw(figure(Series(kind="line", x=np.arange(y.size), y=y)), "f1")
    assert len(panel.svg) < 60 * 2 * COLUMNS
    peak = draw(figure(Series(kind="line", x=[0, 54_321, 1e5], y=[0, 7.0, 0])), "f1")[0].svg

    def top(svg: str) -> float:
        path = max(re.findall(r' d="(M [^"]*)"[^>]*fig-data-1', svg), key=len)
        return min(float(v) for v in re.findall(r"[\d.]+ ([\d.]+)", path))

    assert top(panel.svg) == pytest.approx(top(peak), abs=0.05)


def test_many_points_become_shading() -> None:
    x = np.linspace(0, 1, MOST_POINTS + 1)
    (panel,) = draw(figure(Series(kind="points", x=x, y=x, label="many")), "f1")
    assert f"{MOST_POINTS + 1} points" in panel.keys[0].remark
    assert len(panel.svg) < 60_000


def test_hexagons_count_every_point() -> None:
    """All points in one place: one full cell. A lattice of hexagons has no gap: points lie inside."""
    assert hexagons.shade(np.full((500, 2), 0.5)).fullest == 500
    rng = np.random.default_rng(0)
    points = rng.random((4000, 2))
    cells = np.concatenate([s.corners for s in hexagons.shade(points, cells_across=10).shades])
    centres = cells.mean(axis=1)
    nearest = np.linalg.norm(points[:, None] - centres[None], axis=2).min(axis=1)
    assert nearest.max() <= 0.1 / np.sqrt(3) + 1e-9  # centre to corner


def test_series_differ_in_more_than_colour() -> None:
    """Four data series and all roles: no two lines share a dash, as colour-blind readers need."""
    roles = ["data", "data", "data", "data", "fit", "reference", "limit", "context"]
    panel = Panel(xlabel="", ylabel="", series=[Series(kind="line", role=r) for r in roles])
    looks = palette.styles(panel)
    lines = [(s.dash, s.width > 1.4) for s in looks]
    assert len(set(lines)) == len(lines)
    points = [(s.marker, s.filled) for s in looks]
    assert len(set(points)) == len(points)


def luminance(code: str) -> float:
    """Relative luminance of WCAG 2.1."""
    levels = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_contrast(scheme: int) -> None:
    """WCAG 2.1 AA: 4.5 for text, 3 for what a drawing is read by."""
    css = (Path(mlipbench.report.__file__).parent / "templates" / "report.css").read_text()
    block = css.split(":root {")[1 + scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for name in ("ink", "muted", "link", "pass", "fail", "inconclusive", "error", "neutral", "waived"):
        for ground in ("paper", "soft", f"{name}-tint"):
            if ground in colours:
                assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in palette.VARIABLES:
        if name in colours and name not in ("fig-grid", "fig-paper"):
            assert contrast(colours[name], colours["paper"]) >= 3, name


def picture(n: int = 8, **kwargs: object) -> StructurePicture:
    rng = np.random.default_rng(1)
    fields: dict[str, object] = {
        "id": "s", "caption": "c", "alt": "a", "numbers": [14] * (n - 1) + [8],
        "positions": rng.random((n, 3)) * 10, "cell": np.eye(3) * 10,
    }  # fmt: skip
    return StructurePicture.model_validate(fields | kwargs)


def circles(svg: str, style: str) -> list[ElementTree.Element]:
    return [c for c in parse(svg).iter() if c.tag.endswith("circle") and c.get("class") == style]


def test_structure_shows_every_atom_arrow_and_mark() -> None:
    arrows = np.zeros((8, 3))
    arrows[2] = [0.7, 0.1, 0.0]
    svg = draw_structure(picture(arrows=arrows, arrow_unit="eV/A", highlight=[2, 5]), "s1", MOST_ATOMS).svg
    assert len(circles(svg, "atom")) == 8 + 2  # one more an element in the key
    assert len(circles(svg, "ring")) == 2 + 1
    assert svg.count('class="arrow-head"') == 1 + 1
    for words in ("Si (7)", "O (1)", "eV/Å", "marked atoms", "Å</text>"):
        assert words in svg


def test_structure_draws_near_atoms_last() -> None:
    """Of two atoms in line with the viewer, the nearer one hides the other: it comes later."""
    view = np.array([0.0, 0.0, 6.0])
    svg = draw_structure(
        picture(2, positions=np.array([view, -view]), cell=np.zeros((3, 3))), "s1", MOST_ATOMS
    ).svg
    fills = [c.get("fill") for c in circles(svg, "atom")]
    assert fills[1] == elements.colour(14)  # the near silicon atom, in its full colour
    assert fills[0] != elements.colour(8)  # the far oxygen atom, hazed


def test_structure_with_lost_atoms_is_still_a_picture() -> None:
    positions = np.full((8, 3), 5.0) + np.arange(8)[:, None] * 0.3
    positions[3] = 1e6
    drawn = draw_structure(picture(positions=positions), "s1", MOST_ATOMS)
    assert "atoms far outside are folded back into the cell" in drawn.remarks
    assert max(float(str(c.get("cx"))) for c in circles(drawn.svg, "atom")) < 460
    lost = positions.copy()
    lost[4] = np.nan
    assert drawn.remarks != draw_structure(picture(positions=lost), "s1", MOST_ATOMS).remarks
    parse(draw_structure(picture(positions=np.full((8, 3), np.nan)), "s1", MOST_ATOMS).svg)
    parse(draw_structure(picture(0, numbers=[], positions=np.zeros((0, 3))), "s1", MOST_ATOMS).svg)


def test_structures_are_not_mirrored() -> None:
    """Looking against z with x to the right, y points up; a mirror would draw the other enantiomer."""
    positions = np.array([[0.0, 0, 0], [3, 0, 0], [0, 3, 0]])
    svg = draw_structure(
        picture(3, positions=positions, cell=np.zeros((3, 3)), numbers=[6, 7, 8]), "s1", MOST_ATOMS
    ).svg
    places = {
        c.get("fill"): (float(str(c.get("cx"))), float(str(c.get("cy")))) for c in circles(svg, "atom")[:3]
    }
    (x0, y0), (x1, y1), (x2, y2) = (
        min(places.items(), key=lambda item: hue_distance(item[0], elements.colour(z)))[1] for z in (6, 7, 8)
    )
    assert (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0) < 0  # anticlockwise, with y down the page


def hue_distance(a: str | None, b: str) -> float:
    return sum(abs(int(str(a)[i : i + 2], 16) - int(b[i : i + 2], 16)) for i in (1, 3, 5))


def test_large_structure_says_what_is_left_out() -> None:
    n = MOST_ATOMS + 500
    drawn = draw_structure(picture(n, highlight=[0, n - 1]), "s1", MOST_ATOMS)
    assert drawn.remarks == [f"{MOST_ATOMS} of {n} atoms are drawn"]
    assert len(circles(drawn.svg, "ring")) == 2 + 1
    assert len(drawn.svg) < 200_000


def test_scale_bars_are_round() -> None:
    assert [nice(v) for v in (0.99, 1.0, 3.7, 0.05, 99.0)] == [0.5, 1.0, 2.0, 0.05, 50.0]


def test_elements() -> None:
    """Radii in the table's order: spot values of Cordero et al. (2008) at both ends and in the middle."""
    assert elements.symbol(14) == "Si"
    assert elements.symbol(118) == "Og"
    assert len(elements.SYMBOLS) == len(set(elements.SYMBOLS)) == 119
    found = [elements.radius(z) for z in (1, 6, 14, 26, 55, 79, 96)]
    assert found == [0.31, 0.76, 1.11, 1.32, 2.44, 1.36, 1.69]
    assert all(re.fullmatch("#[0-9a-f]{6}", elements.colour(z)) for z in range(119))


def read_back(data: Csv) -> tuple[list[str], list[list[str]]]:
    """Header and rows by the standard library's reader."""
    lines = [line for line in data.text.splitlines(keepends=True) if not line.startswith("# ")]
    header, *rows = csv.reader(io.StringIO("".join(lines)))
    return header, rows


@pytest.mark.parametrize("kind", KINDS)
def test_csv_gives_the_values_back(kind: str) -> None:
    """Read by another parser, every number of every series is the same, bit for bit; gaps stay gaps."""
    rng = np.random.default_rng(5)
    values = (10.0 ** rng.uniform(-12, 12, 40)).tolist()
    odd = Series(kind=kind, x=[*values, 1e-300], y=[*values, None], y2=values, yerr=values, label='a, "b"\n#')
    plain = Series(kind="line", x=[1.0, 2.0], y=[3.0, 4.0])
    header, rows = read_back(panel_csv(figure(odd, plain).panels[0]))
    assert header == ["series", "kind", "role", "x (A)", "y", "y: other edge", "y: standard error"]
    for name, series in (('a, "b"\n#', odd), ("series 2", plain)):
        own = [row for row in rows if row[0] == name]
        assert {tuple(row[1:3]) for row in own} == {(series.kind, series.role)}
        for column, written in zip((series.x, series.y, series.y2, series.yerr), range(3, 7), strict=True):
            found = [float(row[written]) if row[written] else None for row in own]
            assert found[: len(column)] == column
            assert set(found[len(column) :]) <= {None}


def test_csv_without_bands_and_errors_has_no_columns_for_them() -> None:
    header, rows = read_back(panel_csv(figure(Series(kind="level", y=[0.5], label="limit")).panels[0]))
    assert header == ["series", "kind", "role", "x (A)", "y"]
    assert rows == [["limit", "level", "data", "", "0.5"]]


def test_thinned_csv_says_so_and_keeps_the_spike() -> None:
    y = np.zeros(20_000)
    y[12_345] = -7.0
    panel = figure(Series(kind="line", x=np.arange(y.size), y=y)).panels[0]
    thinned = panel_csv(panel, most_rows=400)
    assert thinned.text.startswith(f"# {thinned.left_out}; all of them are in the run folder\n")
    rows = read_back(thinned)[1]
    assert thinned.left_out.startswith(f"{len(rows)} of 20000 rows: of lines the lowest and highest")
    assert len(rows) <= 402
    assert ["12345.0", "-7.0"] in [row[3:] for row in rows]
    assert panel_csv(panel, most_rows=20_000) == panel_csv(panel)
    assert panel_csv(panel).left_out == ""


def test_csv_of_a_picture_gives_the_atoms_back() -> None:
    drawn = picture(arrows=np.random.default_rng(3).normal(size=(8, 3)), arrow_unit="eV/A", highlight=[2])
    header, rows = read_back(structure_csv(drawn))
    arrows = [f"arrow {axis} (eV/A)" for axis in "xyz"]
    assert header == ["element", "x (A)", "y (A)", "z (A)", *arrows, "marked"]
    assert [elements.SYMBOLS.index(row[0]) for row in rows] == drawn.numbers
    assert [[float(v) for v in row[1:4]] for row in rows] == drawn.positions
    assert [[float(v) for v in row[4:7]] for row in rows] == drawn.arrows
    assert [row[7] for row in rows] == ["0", "0", "1", "0", "0", "0", "0", "0"]
