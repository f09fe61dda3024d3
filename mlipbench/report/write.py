"""The files of a report, written beside the results they are made of."""

from __future__ import annotations

from pathlib import Path

from mlipbench.report.checklist import render_checklist
from mlipbench.report.drawings import data_files, suite_figures
from mlipbench.report.html import render
from mlipbench.report.junit import render_junit
from mlipbench.report.view import load_run
from mlipbench.store import layout


def write_report(run_folder: Path) -> None:
    """Write report.html, checklist.md, junit.xml, methods.txt, citations.bib and figures/ of a finished run.

    Each file appears whole or not at all; the same folder gives the same bytes again. Raises StoreError
    where results.json is missing or damaged, or the folder cannot be written to.
    """
    run = load_run(run_folder)
    files = {
        layout.REPORT: render(run).encode(),
        layout.CHECKLIST: render_checklist(run).encode(),
        layout.JUNIT: render_junit(run),
        layout.METHODS: run.methods.text.encode(),
        layout.CITATIONS: run.methods.bibtex.encode(),
    }
    files |= {
        f"{layout.FIGURES}/{name}": text.encode()
        for name, text in data_files(suite_figures(run.suites)).items()
    }
    for name, content in files.items():
        layout.write_bytes(run_folder / name, content)
    for path in (run_folder / layout.FIGURES).glob("*.csv"):
        if f"{layout.FIGURES}/{path.name}" not in files:
            layout.remove(path)  # of a figure that the run no longer has
