"""axe-core in headless Chromium finds nothing to mend under WCAG 2.0 to 2.2, levels A and AA.

axe-core is not part of this repository: AXE_JS names its axe.min.js (`npm pack axe-core`). Without it, or
without Chromium, these tests are skipped. The rules run in a copy of the report that holds the script.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import records
import report_runs

from mlipbench.report.training import write_training_report
from mlipbench.report.write import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = os.environ.get("AXE_JS", "")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or not Path(AXE).is_file(),
    reason="no Chromium, or AXE_JS does not name axe-core's axe.min.js: accessibility was not checked",
)
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """
axe.run(document, {runOnly: {type: "tag", values: %s}, resultTypes: ["violations", "incomplete"]}).then(r => {
  const told = v => ({rule: v.id, impact: v.impact, help: v.help,
    where: v.nodes.slice(0, 5).map(n => n.html.slice(0, 160) + " :: " + n.failureSummary)});
  const found = {violations: r.violations.map(told), incomplete: r.incomplete.map(told),
    passes: r.passes.map(p => p.id), dark: matchMedia("(prefers-color-scheme: dark)").matches};
  document.documentElement.innerHTML = "<body><pre id=found></pre></body>";
  document.getElementById("found").textContent = JSON.stringify(found);
});
"""


def check(page: Path, copy: Path, *options: str) -> dict[str, Any]:
    """What axe says of a page."""
    script = f"<script>{Path(AXE).read_text()}</script><script>{RUN % json.dumps(TAGS)}</script>"
    copy.write_text(page.read_text().replace("</body>", f"{script}</body>"))
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update",
        f"--user-data-dir={copy.parent / 'profile'}", "--virtual-time-budget=60000", "--window-size=1400,900",
        *options, "--dump-dom", copy.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, f"axe has not come to its end: {done.stderr[-2000:]}"
    answer: dict[str, Any] = json.loads(html.unescape(found[1]))
    return answer


SCHEMES = {"light": [], "dark": ["--blink-settings=preferredColorScheme=0"]}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of each kind of run."""
    runs = {kind: report_runs.build(kind, tmp_path_factory.mktemp(kind)) for kind in report_runs.KINDS}
    for run in runs.values():
        write_report(run)
    return {kind: run / "report.html" for kind, run in runs.items()}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", report_runs.KINDS)
def test_axe_finds_nothing(kind: str, scheme: str, pages: dict[str, Path], tmp_path: Path) -> None:
    found = check(pages[kind], tmp_path / "copy.html", *SCHEMES[scheme])
    assert found["dark"] == (scheme == "dark")
    assert found["violations"] == []
    drawn = set() if kind == "empty" else {"svg-img-alt"}  # an empty run has no figures
    assert {"color-contrast", "heading-order", "td-headers-attr"} | drawn <= set(found["passes"])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", ["ailing", "diverged"])
def test_axe_finds_nothing_in_the_page_of_a_training(kind: str, scheme: str, tmp_path: Path) -> None:
    folder = records.build(kind, tmp_path / "training")
    write_training_report(folder)
    found = check(folder / "report.html", tmp_path / "copy.html", *SCHEMES[scheme])
    assert found["dark"] == (scheme == "dark")
    assert found["violations"] == []
    assert {"color-contrast", "heading-order", "svg-img-alt"} <= set(found["passes"])


def test_axe_finds_a_planted_fault(tmp_path: Path) -> None:
    """The check itself works: pale text and a picture without words are found."""
    page = tmp_path / "page.html"
    page.write_text(
        '<!DOCTYPE html><html lang="en"><title>t</title><body><main><h1>x</h1>'
        '<p style="color:#ccc;background:#fff">pale</p><svg role="img" width="9" height="9"></svg>'
        "</main></body>"
    )
    rules = {v["rule"] for v in check(page, tmp_path / "copy.html")["violations"]}
    assert {"color-contrast", "svg-img-alt"} <= rules
