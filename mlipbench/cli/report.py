"""mlipbench report."""

from __future__ import annotations

from mlipbench.cli.arguments import RunArgument, console, stored_run
from mlipbench.report.write import write_report
from mlipbench.store import layout


def report(folder: RunArgument) -> None:
    """Write report.html, checklist.md and junit.xml of a stored run anew; judge nothing."""
    run = stored_run(folder)
    write_report(run.path)
    console().print(f"report: {run.file(layout.REPORT)}")
