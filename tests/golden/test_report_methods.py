"""Methods text, citations, figure data and provenance of a report, and its size."""

from __future__ import annotations

import csv
import hashlib
import re
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
import report_runs

from mlipbench.core import literature
from mlipbench.core.citation import Citation, marks, replace_marks
from mlipbench.core.figure import Figure, Panel, Series
from mlipbench.core.result import SuiteResult
from mlipbench.report import quality
from mlipbench.report.write import write_report

WORKS = [work for work in vars(literature).values() if isinstance(work, Citation)]


def with_methods(suite: SuiteResult, methods: str) -> SuiteResult:
    return suite.model_copy(update={"methods": methods, "citations": WORKS})


def write(folder: Path, suites: list[SuiteResult], kind: str = "passing") -> tuple[str, str, str]:
    """methods.txt, citations.bib and the page of a run."""
    report_runs.write(folder, report_runs.results(kind, suites), suites)
    write_report(folder)
    return tuple((folder / name).read_text() for name in ("methods.txt", "citations.bib", "report.html"))


def test_a_suite_speaks_for_itself_and_another_is_spoken_for(tmp_path: Path) -> None:
    spoken = with_methods(report_runs.nve(good=True), "Runs used velocity Verlet [@swope1982; @bussi2007].")
    text, bib, page = write(tmp_path, [report_runs.contract(), report_runs.parity(good=True), spoken])
    found = re.search(r"Runs used velocity Verlet \[(\d+), (\d+)\]\.", text)
    assert found is not None
    assert f"[{found[1]}] W. C. Swope, H. C. Andersen, P. H. Berens, K. R. Wilson, A computer" in text
    assert f"[{found[2]}] G. Bussi, D. Donadio, M. Parrinello, Canonical sampling" in text
    assert "The suite parity (Errors on held-out frames), version 1, was run with frames." in text
    assert "energy_reference = fitted" in text
    assert f'<li id="work-swope1982" value="{found[1]}">' in page
    assert "@article{bussi2007," in bib
    assert "one-sided 95 % confidence bound" in text
    assert "correction of Holm" in text  # drift is asked at three temperatures
    assert "two one-sided tests" in text


def test_only_what_was_used_is_cited_and_all_that_is_cited_is_listed(tmp_path: Path) -> None:
    spoken = with_methods(report_runs.nve(good=True), "Velocity Verlet [@swope1982].")
    text, bib, _ = write(tmp_path, [spoken])
    body, works = text.split("\nReferences\n")
    listed = [int(n) for n in re.findall(r"^\[(\d+)\] ", works, re.MULTILINE)]
    assert listed == list(range(1, len(listed) + 1))
    used = [int(n) for group in re.findall(r"\[([\d, ]+)\]", body) for n in group.split(",")]
    assert list(dict.fromkeys(used)) == listed, "numbers rise in the order of citation"
    assert len(re.findall(r"^@", bib, re.MULTILINE)) == len(listed)
    for key in ("wolff2004", "bussi2007", "efron1979", "stillinger1985", "phonopy"):
        assert f"{{{key}," not in bib
    assert not marks(text)
    assert "[?]" not in text


def test_bibtex_can_be_read(tmp_path: Path) -> None:
    """Braces balance, every entry has a title, DOIs are whole; `%` and `_` do not reach TeX bare."""
    suite = with_methods(report_runs.nve(good=True), f"All of it [@{'; @'.join(w.key for w in WORKS)}].")
    _, bib, _ = write(tmp_path, [suite])
    entries = re.split(r"^(?=@)", bib, flags=re.MULTILINE)[1:]
    assert len(entries) >= len(WORKS)
    for entry in entries:
        assert entry.count("{") == entry.count("}")
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.MULTILINE))
        assert fields["title"].startswith("{")
        assert re.fullmatch(r"10\.\d{4,9}/\S+", fields.get("doi", "10.1234/x"))
        assert not re.search(r"(?<!\\)[%_&#]", "".join(v for k, v in fields.items() if k != "doi"))


def test_works_are_whole() -> None:
    """Every article names where it appeared; no key or DOI stands for two works."""
    for work in WORKS:
        if work.kind == "article":
            assert work.authors
            assert work.journal
            assert (work.volume and work.pages) or work.doi.startswith("10.48550/arXiv."), work.key
    for names in ([w.key for w in WORKS], [w.doi for w in WORKS if w.doi]):
        assert len(set(names)) == len(names)
    assert replace_marks("a [@x; @y], b [@z]", {"x": 2, "y": 1}) == "a [2, 1], b [?]"


def test_what_a_paper_must_not_be_silent_about(tmp_path: Path) -> None:
    report_runs.build("failing", tmp_path)
    write_report(tmp_path)
    text = (tmp_path / "methods.txt").read_text()
    for words in (
        "unverified: part of what decides its answers could not be hashed",
        "The suite file changed limits: parity/force_mae < 50 meV/Å in place of < 40 meV/Å.",
        "Waivers were declared for parity/stress_mae (until 2026-12-31",
        "The verdict was FAIL: A required criterion fails: do not deploy. Partial: 1 of 9",
    ):
        assert words in text, words
    record = hashlib.sha256((tmp_path / "results.json").read_bytes()).hexdigest()
    page = (tmp_path / "report.html").read_text()
    assert f"(sha256 {record})" in text
    assert f'<code class="hash">{record}</code>' in page
    assert "The potential declares no work of its own: add its citation." in page
    report_runs.build("erring", tmp_path / "erring")
    write_report(tmp_path / "erring")
    text = (tmp_path / "erring" / "methods.txt").read_text()
    assert "The suite nve (Energy drift in NVE) ended in an error (the calculator raised" in text


def test_every_limit_names_its_source_at_the_end(tmp_path: Path) -> None:
    run = report_runs.build("passing", tmp_path)
    write_report(run)
    section = (run / "report.html").read_text().split('<section id="references"')[1]
    for criterion in report_runs.PARITY + report_runs.NVE + report_runs.STABILITY + report_runs.CONTRACT:
        assert criterion.source in section
        assert f"/{criterion.name}</a>" in section


def test_provenance_tells_what_nobody_vouches_for(tmp_path: Path) -> None:
    run = report_runs.build("failing", tmp_path)
    write_report(run)
    section = (run / "report.html").read_text().split('<section id="provenance"')[1].split("<section")[0]
    assert "the potential: part of what decides its answers could not be hashed" in section
    for words in ("58810ea41e77", "2026-11-20T20:17:00+00:00", "mlipbench analyze .", "sha256sum", "2.4.6"):
        assert words in section, words


def expected_rows(panel: Panel) -> list[list[str]]:
    edge, error = any(s.y2 for s in panel.series), any(s.yerr for s in panel.series)
    rows = []
    for index, s in enumerate(panel.series):
        columns = [s.x, s.y, *([s.y2] if edge else []), *([s.yerr] if error else [])]
        name = s.label or f"series {index + 1}"
        rows += [[name, *values] for values in zip_longest(*columns)]
    return rows


def test_files_hold_the_values_of_every_figure(tmp_path: Path) -> None:
    """Each CSV of the run folder, read back, has the numbers of the stored figure, bit for bit."""
    run = report_runs.build("passing", tmp_path)
    (run / "figures").mkdir()
    (run / "figures" / "gone.csv").write_text("of an earlier report\n")
    write_report(run)
    checked = 0
    for path in (run / "suites").glob("*/result.json"):
        suite = SuiteResult.model_validate_json(
            re.sub(rb',\n "sha256": "[0-9a-f]{64}"\n', b"", path.read_bytes())
        )
        for figure in (f for f in suite.figures if isinstance(f, Figure)):
            for number, panel in enumerate(figure.panels, start=1):
                suffix = "" if len(figure.panels) == 1 else f"-{number}"
                name = f"{suite.key}-{figure.id}{suffix}.csv"
                header, *rows = csv.reader((run / "figures" / name).read_text().splitlines(keepends=True))
                assert header[3:5] == [panel.xlabel, panel.ylabel]
                found = [[row[0], *(float(v) if v else None for v in row[3:])] for row in rows]
                assert found == expected_rows(panel)
                checked += 1
    assert checked >= 5
    assert not (run / "figures" / "gone.csv").exists()


def many(n_figures: int, length: int) -> SuiteResult:
    """A suite with long traces and clouds."""
    rng = np.random.default_rng(0)
    figures = [
        Figure(
            id=f"f{k}",
            caption="A walk.",
            alt="It walks.",
            panels=[
                Panel(
                    xlabel="time (ps)",
                    ylabel="energy (eV)",
                    series=[
                        Series(
                            kind="line", x=np.arange(length), y=rng.normal(size=length).cumsum(), label="walk"
                        ),
                        Series(
                            kind="points", x=rng.normal(size=1400), y=rng.normal(size=1400), label="cloud"
                        ),
                    ],
                )
            ],
        )
        for k in range(n_figures)
    ]
    return report_runs.parity(good=True).model_copy(update={"figures": figures})


def test_many_long_figures_stay_below_5_MB(tmp_path: Path) -> None:
    """In full, 45 clouds and traces would take 7 MB: they are drawn with less, and the report says so."""
    _, _, page = write(tmp_path, [many(45, 4000)])
    assert len(page.encode()) < 5e6
    assert quality.STEPS[1].said in page
    assert page.count('<figure class="chart"') == page.count('class="plot"') == 45
    assert re.search(r"\d+ of 5400 rows: of lines the lowest and highest of each stretch, else evenly", page)
    assert len((tmp_path / "figures" / "parity-f44.csv").read_text().splitlines()) == 5401


def test_figures_beyond_the_limit_are_left_out_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlipbench.report.html.LARGEST", 250_000)
    _, _, page = write(tmp_path, [many(12, 300)])
    assert len(page.encode()) < 250_000
    assert quality.STEPS[2].said in page
    drawn = page.count('class="plot"')
    assert 0 < drawn < 12
    assert page.count("its data are in the run folder: figures/parity-f") == 12 - drawn
    assert page.count('<figure class="chart"') == 12
