"""Figures as PNG files."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import mlipbench.report
from mlipbench.core.figure import Figure, Panel, Series
from mlipbench.report.palette import LIGHT, VARIABLES
from mlipbench.report.raster import png


def figure(panels: int) -> Figure:
    x = np.linspace(1, 5, 20)
    one = Panel(
        title="Loss", xlabel="epoch", ylabel="loss", yscale="log",
        series=[
            Series(kind="line", x=x, y=np.exp(-x), label="training"),
            Series(kind="points", x=x, y=2 * np.exp(-x), label="validation"),
            Series(kind="band", x=x, y=np.exp(-x), y2=3 * np.exp(-x), role="context"),
        ],
    )  # fmt: skip
    return Figure(id="f", caption="c", alt="a", panels=[one] * panels)


@pytest.mark.parametrize(("panels", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (4, 3, 2)])
def test_size_ink_and_colour(panels: int, columns: int, rows: int) -> None:
    """Five inches and a bit a panel at 130 dpi; the first data colour is there once a panel."""
    picture = png(figure(panels))
    image = np.round(imread(io.BytesIO(picture))[:, :, :3] * 255).astype(int)
    assert image.shape[:2] == (rows * 481, columns * 676)
    code = LIGHT["fig-data-1"]
    colour = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)])
    drawn = (np.abs(image - colour).max(axis=2) <= 3).any(axis=0)
    thirds = np.array_split(drawn, columns)
    assert all(third.any() for third in thirds)
    if panels == 4:  # the places without panel stay empty
        assert (image[481:, 2 * 676 :] > 250).all()
    assert png(figure(panels)) == picture


def test_colours_are_those_of_the_style_sheet() -> None:
    css = (Path(mlipbench.report.__file__).parent / "templates" / "report.css").read_text()
    light = css[: css.index("@media")]
    ink = re.search(r"--ink: (#[0-9a-f]{6})", light)
    assert ink is not None
    assert set(LIGHT) == set(VARIABLES)
    for name, code in LIGHT.items():
        found = re.search(rf"--{name}: (#[0-9a-f]{{6}})", light)
        assert (found[1] if found else ink[1]) == code, name
