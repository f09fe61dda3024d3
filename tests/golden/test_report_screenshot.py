"""report.html in headless Chromium: four runs and trainings, light and dark, wide and narrow."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import records
import report_runs
from matplotlib.image import imread

from mlipbench.report.training import write_training_report
from mlipbench.report.write import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the report was not looked at")

# Tone of the bar and sign of the verdict (style sheet, light and dark), and the page's ground.
LIGHT = {"empty": "#7d5200", "passing": "#17653a", "failing": "#a11a2c", "erring": "#7b2370"}
DARK = {"empty": "#e8ba62", "passing": "#79cf9c", "failing": "#ff949b", "erring": "#e3a0d9"}
PAPER = {"light": "#fdfdfb", "dark": "#14171b"}


def rgb(code: str) -> np.ndarray:
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)])


def shoot(page: Path, picture: Path, size: tuple[int, int], *options: str) -> np.ndarray:
    """Screenshot as (height, width, 3) levels 0 to 255."""
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={picture.parent / 'profile'}", "--hide-scrollbars",
        "--force-device-scale-factor=1", f"--window-size={size[0]},{size[1]}", f"--screenshot={picture}",
        *options, page.as_uri(),
    ]  # fmt: skip
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    return np.round(imread(picture)[:, :, :3] * 255).astype(int)


def share(image: np.ndarray, code: str) -> np.ndarray:
    """Mask of the pixels within two levels of a colour."""
    return np.abs(image - rgb(code)).max(axis=2) <= 2


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of each kind of run."""
    runs = {kind: report_runs.build(kind, tmp_path_factory.mktemp(kind)) for kind in report_runs.KINDS}
    for run in runs.values():
        write_report(run)
    return {kind: run / "report.html" for kind, run in runs.items()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", report_runs.KINDS)
def test_first_screen(kind: str, scheme: str, pages: dict[str, Path], tmp_path: Path) -> None:
    options = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    image = shoot(pages[kind], tmp_path / "first.png", (1400, 900), *options)
    assert image.shape == (900, 1400, 3)
    ground = share(image, PAPER[scheme]).mean()
    assert 0.5 < ground < 0.97, "blank, or the style sheet was not applied"
    tones = LIGHT if scheme == "light" else DARK
    mask = share(image[:400], tones[kind])
    columns = np.flatnonzero(mask.sum(axis=0) > 60)  # the bar of the verdict: a tall run of its tone
    assert 5 <= len(columns) <= 8, f"the bar should be 6 pixels wide, found {len(columns)}"
    assert mask[:, columns[-1] + 1 :].sum() > 300, "the sign and the word should have the same tone"
    for other in report_runs.KINDS:
        if other != kind:
            assert share(image[:400], tones[other]).sum(axis=0).max() < 40, f"looks like {other}"


@pytest.mark.parametrize("what", ["run", "training"])
def test_narrow_page_does_not_overflow(what: str, pages: dict[str, Path], tmp_path: Path) -> None:
    """A frame of 375 pixels, as wide as a telephone; what is cut off would show as ink at its edge."""
    page = pages["failing"]
    if what == "training":
        write_training_report(records.build("ailing", tmp_path / "run"))
        page = tmp_path / "run" / "report.html"
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<body style="margin:0"><iframe src="{page.as_uri()}" '
        'style="width:375px;height:7000px;border:0"></iframe>'
    )
    image = shoot(frame, tmp_path / "narrow.png", (500, 7000))
    inside = image[:, :375]
    edge = share(inside[:, -8:], PAPER["light"]) | share(inside[:, -8:], "#faeaea")
    assert edge.mean() > 0.995
    assert (~share(inside, PAPER["light"])).any(axis=1).mean() > 0.4, "there should be text nearly everywhere"


@pytest.mark.parametrize(
    ("kind", "tone"),
    [("sound", "#17653a"), ("ailing", "#7d5200"), ("unfinished", "#565e68"), ("diverged", "#a11a2c")],
)
def test_first_screen_of_a_training(kind: str, tone: str, tmp_path: Path) -> None:
    folder = records.build(kind, tmp_path / kind)
    write_training_report(folder)
    image = shoot(folder / "report.html", tmp_path / "first.png", (1400, 900))
    assert 0.5 < share(image, PAPER["light"]).mean() < 0.97, "blank, or the style sheet was not applied"
    columns = np.flatnonzero(share(image[:400], tone).sum(axis=0) > 60)
    assert 5 <= len(columns) <= 8, f"the bar should be 6 pixels wide, found {len(columns)}"


def test_figures_are_drawn_in_both_schemes(pages: dict[str, Path], tmp_path: Path) -> None:
    """The first data colour fills a fair part of the figures: variables arrived in the drawings."""
    for scheme, code, options in (
        ("light", "#0f67ad", []),
        ("dark", "#5fb0f0", ["--blink-settings=preferredColorScheme=0"]),
    ):
        image = shoot(pages["passing"], tmp_path / f"{scheme}.png", (1400, 7000), *options)
        assert share(image, code).sum() > 3000, scheme
