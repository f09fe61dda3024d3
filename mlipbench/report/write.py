"""The three files of a report, written beside the results they are made of."""

from __future__ import annotations

from pathlib import Path

from mlipbench.report.checklist import render_checklist
from mlipbench.report.html import render
from mlipbench.report.junit import render_junit
from mlipbench.report.view import load_run
from mlipbench.store import layout


def write_report(run_folder: Path) -> None:
    """Write report.html, checklist.md and junit.xml into a finished run folder.

    Each file appears whole or not at all; the same folder gives the same bytes again. Raises StoreError
    where results.json is missing or damaged, or the folder cannot be written to.
    """
    run = load_run(run_folder)
    files = {
        layout.REPORT: render(run).encode(),
        layout.CHECKLIST: render_checklist(run).encode(),
        layout.JUNIT: render_junit(run),
    }
    for name, content in files.items():
        layout.write_bytes(run_folder / name, content)
