"""The reports that lie in reports/examples, and docs/report.png, the first screens of both.

    python docs/make_examples.py            # runs quickstart and stillinger-weber; minutes. Needs chromium
    python docs/make_examples.py RUN ...    # takes runs that are there, of suites that need an hour: silicon

Folders of this machine are taken out of the plan, which is sealed anew before the reports are drawn.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import image

from mlipbench.store import layout

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "reports" / "examples"
PICTURE = ROOT / "docs" / "report.png"
SUITES = {"quickstart": 3, "stillinger-weber": 1}  # and the exit codes that they end with
MLIPBENCH = (sys.executable, "-m", "mlipbench")
WIDTH, HEIGHT = 840, 750  # of one screen, pixels
KEPT = (
    layout.REPORT, layout.RESULTS, layout.CHECKLIST, layout.JUNIT, layout.METHODS, layout.CITATIONS,
    layout.PROVENANCE, layout.PLAN,
)  # fmt: skip


def run(name: str, folder: Path) -> Path:
    """Run a suite that comes along; its run folder."""
    done = subprocess.run([*MLIPBENCH, "run", name], cwd=folder)
    if done.returncode != SUITES[name]:
        raise SystemExit(
            f"{name}: exit code {done.returncode}, expected {SUITES[name]}: look at README again"
        )
    return folder / "reports" / name


def keep(found: Path, *files: str) -> Path:
    """Take the files of a run, and such as are named, into the folder of examples. Returns the report."""
    without_root(found / layout.PLAN)
    subprocess.run([*MLIPBENCH, "report", str(found)], check=True)
    target = EXAMPLES / found.name
    target.mkdir(parents=True, exist_ok=True)
    for file in (*KEPT, *files):
        shutil.copy(found / file, target / file)
    return target / layout.REPORT


def without_root(plan: Path) -> None:
    """Take the folder of the repository out of a plan, and seal it anew."""
    head, _, body = plan.read_text().partition("\n")
    old, body = head.split()[2], body.replace(f"{ROOT}/", "")
    plan.write_text(f"{head.replace(old, hashlib.sha256(body.encode()).hexdigest())}\n{body}")


def screen(report: Path, picture: Path) -> np.ndarray:
    """The first screen of a report."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no chromium here to draw docs/report.png with")
    words = ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1")
    size = f"--window-size={WIDTH},{HEIGHT}"
    subprocess.run([chromium, *words, size, f"--screenshot={picture}", report.as_uri()], check=True)
    return image.imread(picture)[:HEIGHT]


def main() -> None:
    """Run, copy, draw."""
    for folder in sys.argv[1:]:
        keep(Path(folder).resolve(), layout.TIMINGS)
    if sys.argv[1:]:
        return
    with tempfile.TemporaryDirectory() as folder:
        runs = [run(name, Path(folder)) for name in SUITES]  # all, before the repository changes
        screens = [screen(keep(found), Path(folder) / f"{found.name}.png") for found in runs]
    image.imsave(PICTURE, np.concatenate(screens, axis=1))


if __name__ == "__main__":
    main()
