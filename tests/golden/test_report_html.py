"""Structure of report.html, checklist.md and junit.xml for four kinds of runs."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
import report_runs

from mlipbench.core.criterion import Verdict
from mlipbench.core.errors import StoreError
from mlipbench.core.result import ChecklistEntry
from mlipbench.report import view
from mlipbench.report.write import write_report

VOID = {"meta", "link", "br", "img", "input", "hr", "circle", "rect", "path", "use"}


class Page(HTMLParser):
    """What the checks need of a page, gathered by an independent parser."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[int] = []
        self.titles: set[str] = set()
        self.captions = self.tables = 0
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "title" and dict(attrs).get("id"):
            self.titles.add(str(dict(attrs)["id"]))
        if tag not in VOID:
            self.open.append(tag)
        if (tag, dict(attrs).get("class")) != ("span", "q"):  # a quantity is part of its sentence
            self.text.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes something else"
            if tag != "span":
                self.text.append(" ")

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    found = {kind: report_runs.build(kind, folder / kind) for kind in report_runs.KINDS}
    for run in found.values():
        write_report(run)
    return found


@pytest.fixture(params=report_runs.KINDS)
def page(request: pytest.FixtureRequest, runs: dict[str, Path]) -> Page:
    return Page((runs[request.param] / "report.html").read_text())


def pages(runs: dict[str, Path], kind: str) -> Page:
    return Page((runs[kind] / "report.html").read_text())


def test_ids_are_unique_and_inner_links_arrive(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in page.tags:
        target = attrs.get("href") or ""
        if target.startswith("#"):
            assert target[1:] in ids, target
        for name in ("aria-labelledby", "clip-path"):
            for reference in re.findall(r"[\w.-]*[a-z][\w.-]+", (attrs.get(name) or "").replace("url", "")):
                assert reference in ids, reference


def test_nothing_is_fetched_from_elsewhere(page: Page) -> None:
    """Any address outside of the file, script or import would need a network."""
    for tag, attrs in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed"}
        for name in ("href", "src", "srcset", "xlink:href", "action"):
            value = attrs.get(name) or "#"
            followed = tag == "a" and value.startswith("https://doi.org/10.")  # by a reader, not by the page
            assert followed or value.startswith(("#", "data:text/csv", "data:text/plain")), value
    text = " ".join(str(attrs.get("style")) for _, attrs in page.tags)
    assert "url(http" not in text
    assert "@import" not in text


def test_pictures_have_words(page: Page) -> None:
    for tag in ("svg", "img"):
        for attrs in page.all(tag):
            if attrs.get("aria-hidden") == "true":
                continue  # a sign or swatch beside its own word
            assert attrs.get("role") == "img"
            assert str(attrs["aria-labelledby"]).split()[0] in page.titles


def test_headings_landmarks_tables_language(page: Page) -> None:
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("main")) == len(page.all("nav")) == 1
    assert len(page.all("caption")) == len(page.all("table")) > 0
    assert all(attrs.get("scope") in {"col", "row", "rowgroup"} for attrs in page.all("th"))
    assert page.tags[[t for t, _ in page.tags].index("body") + 1][1]["href"] == "#main"


@pytest.mark.parametrize("kind", report_runs.KINDS)
def test_same_folder_same_bytes_below_5_MB(runs: dict[str, Path], kind: str, tmp_path: Path) -> None:
    again = report_runs.build(kind, tmp_path / "elsewhere")
    write_report(again)
    for name in ("report.html", "checklist.md", "junit.xml"):
        assert (again / name).read_bytes() == (runs[kind] / name).read_bytes()
        assert (again / name).stat().st_size < 5e6
    assert not list(again.glob(".*tmp"))


def test_first_screen_says_what_matters(runs: dict[str, Path]) -> None:
    page = pages(runs, "failing")
    first = page.words.split("Deployment checklist")[0]
    for words in (
        "A required criterion fails: do not deploy.",
        "unverified",
        "Unverified potential",
        "Loosened limits: the suite file made these easier to meet: parity/force_mae",
        "parity/stress_mae , until 2026-12-31 : Constant-volume work only",
        "Exit code 1",
        "Si; diamond; 300 K",
        "PBE, 40 Ry",
        "standard, seed 1",
    ):
        assert words in first, words


def test_partial_pass_is_not_called_more(runs: dict[str, Path], tmp_path: Path) -> None:
    assert "Pass, as far as measured Every required" in pages(runs, "passing").words
    suites = [report_runs.contract()]
    record = report_runs.results("passing", suites)
    settled = [e.model_copy(update={"status": Verdict.PASS}) for e in record.checklist]
    report_runs.write(tmp_path, record.model_copy(update={"checklist": settled}), suites)
    write_report(tmp_path)
    assert "as far as measured" not in pages({"x": tmp_path}, "x").words


def test_checklist_and_reasons(runs: dict[str, Path]) -> None:
    words = pages(runs, "failing").words
    assert "92.8 ± 3.1 meV/Å" in words
    why = words[words.index("Force MAE : 92.8") :]
    assert why.index("Force MAE") < why.index("Energy MAE") < why.index("Stress MAE")
    assert "Loosened by the suite file; the suite's own limit is < 40 meV/Å" in words
    assert "a pair 0.412 Å apart (limit 0.5 Å) at 3.214 ps" in words
    assert "50 ps of length needed, 5 there" in words


def test_rows_of_one_quantity_say_once_how_and_against_what(runs: dict[str, Path]) -> None:
    """Drift at 300 K is required, at 600 and 1500 K advisory: a group begins anew, then rows are brief."""
    table = (runs["passing"] / "report.html").read_text().split('id="suite-nve"')[1].split("</table>")[0]
    assert table.count("slope of the total energy, error from block increments") == 2
    assert table.count(">as above") == 1
    assert table.count("|x| &lt; 1 meV/atom/ps") == 3  # the limit itself is in every row


def test_error_and_not_applicable_are_told(runs: dict[str, Path]) -> None:
    words = pages(runs, "erring").words
    assert "RuntimeError: CUDA out of memory & <worse>" in words  # escaped, not lost
    assert "The suite does not apply. The potential gives no stress" in words
    assert "No suite was run" in pages(runs, "empty").words


def test_figure_data_are_in_the_file(runs: dict[str, Path]) -> None:
    links = [a for a in pages(runs, "passing").all("a") if "download" in a]
    assert {a["download"] for a in links} >= {
        "parity-parity-1.csv", "parity-parity-2.csv", "parity-worst.csv", "nve-energy-1.csv", "methods.txt",
        "citations.bib",
    }  # fmt: skip
    atoms = next(a for a in links if a["download"] == "parity-worst.csv")
    rows = unquote(str(atoms["href"]).split(",", 1)[1]).splitlines()
    assert rows[0] == "element,x (A),y (A),z (A),arrow x (eV/A),arrow y (eV/A),arrow z (eV/A),marked"
    assert len(rows) == 65
    assert rows[12].endswith("0.4,-0.35,0.2,1")


def test_checklist_markdown(runs: dict[str, Path]) -> None:
    text = (runs["failing"] / "checklist.md").read_text()
    rows = [line for line in text.splitlines() if re.match(r"\| \d", line)]
    assert [line.split("|")[1].strip() for line in rows] == [str(n) for n in range(1, 10)]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 7 for line in rows)
    assert "✗ Fail" in rows[1]
    assert "92.8 ± 3.1 meV/Å" in rows[1]
    assert "&lt; 50 meV/Å" in rows[1]
    assert "W Waived" in rows[2]
    assert "450 K: 1" in rows[4]
    assert "○ Not measured" in rows[8]
    assert "**unverified**" in text


def cases(folder: Path) -> dict[str, tuple[str, str]]:
    """Test case -> (outcome, type), read by the standard library's parser."""
    root = ElementTree.parse(folder / "junit.xml").getroot()
    found = {}
    for case in root.iter("testcase"):
        children = list(case)
        outcome = (children[0].tag, children[0].get("type", "")) if children else ("passed", "")
        found[f"{case.get('classname')}.{case.get('name')}"] = outcome
    for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(root.get(count, "-1")) == sum(outcome == tag for outcome, _ in found.values())
        assert int(root.get(count, "-1")) == sum(int(s.get(count, "-1")) for s in root)
    assert int(root.get("tests", "-1")) == len(found)
    return found


def test_junit_agrees_with_the_gate(runs: dict[str, Path]) -> None:
    failing = cases(runs["failing"])
    assert failing["mlipbench.parity.force_mae"] == ("failure", "FAIL")
    assert failing["mlipbench.parity.energy_mae"] == ("failure", "INCONCLUSIVE")
    assert failing["mlipbench.parity.stress_mae"] == ("skipped", "WAIVED")
    assert failing["mlipbench.parity.energy_r2"] == ("skipped", "ADVISORY")
    assert failing["mlipbench.nve.drift@1500K"] == ("skipped", "ADVISORY")
    assert failing["mlipbench.contract.force_error"] == ("passed", "")
    assert "mlipbench.parity.force_rmse" not in failing  # information is not judged
    erring = cases(runs["erring"])
    assert erring["mlipbench.nve.suite"] == ("error", "ERROR")
    assert erring["mlipbench.density.suite"] == ("skipped", "NOT_APPLICABLE")
    assert cases(runs["empty"]) == {}
    assert not {o for o, _ in cases(runs["passing"]).values()} & {"failure", "error"}
    text = (runs["erring"] / "junit.xml").read_text()
    assert "CUDA out of memory &amp; &lt;worse&gt;" in text
    assert "\x1b" not in text  # XML forbids the escape character of coloured tracebacks


def test_suite_that_was_not_run_keeps_the_gate_shut(tmp_path: Path) -> None:
    skipped = report_runs.not_applicable().model_copy(
        update={"status": "not_run", "reason": "--fail-fast: parity failed", "gates": True}
    )
    suites = [report_runs.contract(), skipped]
    report_runs.write(tmp_path, report_runs.results("erring", suites), suites)
    write_report(tmp_path)
    assert cases(tmp_path)["mlipbench.density.suite"] == ("failure", "NOT_RUN")
    assert "Density from NPT : --fail-fast: parity failed." in pages({"x": tmp_path}, "x").words


def test_waiver_that_changes_nothing_says_so(tmp_path: Path) -> None:
    suites = [report_runs.contract(), report_runs.parity(good=True)]
    record = report_runs.results("passing", suites)
    waived = [m.model_copy(update={"waived": m.id == "parity/stress_mae"}) for m in suites[1].measurements]
    record.suites["parity"] = record.suites["parity"].model_copy(update={"measurements": waived})
    failing = report_runs.results("failing", [suites[0], report_runs.parity(good=False)])
    record = record.model_copy(update={"waivers": failing.waivers})
    report_runs.write(tmp_path, record, suites)
    write_report(tmp_path)
    assert "(in force, but not needed)" in pages({"x": tmp_path}, "x").words
    assert cases(tmp_path)["mlipbench.parity.stress_mae"] == ("passed", "")


def test_missing_suite_folder_is_told(tmp_path: Path) -> None:
    report_runs.build("passing", tmp_path)
    (tmp_path / "suites" / "nve" / "result.json").unlink()
    write_report(tmp_path)
    words = pages({"x": tmp_path}, "x").words
    assert "figures and tables of nve are not in the folder" in words
    assert "0.004 ± 0.011 meV/atom/ps" in words  # the numbers are in results.json


def test_folder_without_results(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"results\.json"):
        write_report(tmp_path)
    (tmp_path / "results.json").write_text('{"title": 3}')
    with pytest.raises(StoreError, match=r"results\.json"):
        write_report(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_renders_without_simulation_packages(tmp_path: Path) -> None:
    """A finder that refuses the packages stands in for an environment that lacks them."""
    report_runs.build("failing", tmp_path)
    script = f"""
import importlib.abc, sys
from pathlib import Path

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"torch", "e3nn", "ase", "phonopy", "MDAnalysis", "vesin", "h5py"}}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
from mlipbench.report.write import write_report
write_report(Path({str(tmp_path)!r}))
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("count", [2, 5])
def test_an_item_of_many_limits_names_them_and_leaves_their_sources_to_the_numbers(tmp_path, count):
    """Seven sources in one cell hid the limits; up to three stay with theirs."""
    run = view.load_run(report_runs.build("passing", tmp_path))
    numbers = {m.label: m for suite in run.suites for m in suite.judged}
    chosen = {m.id: m for m in list(numbers.values())[:count]}
    entry = ChecklistEntry(
        number=9, item="smooth", status="PASS", reason="", limit="", measurements=list(chosen)
    )
    limit = view._item(entry, chosen).limit
    assert all(m.limit in limit for m in chosen.values())
    assert all((m.source in limit) == (count <= view.LIMITS_WITH_SOURCE) for m in chosen.values())
    assert count <= view.LIMITS_WITH_SOURCE or all(m.label in limit for m in chosen.values())
