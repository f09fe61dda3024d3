"""mlipbench report."""

from __future__ import annotations

from mlipbench.cli.arguments import RunArgument, console, stored_run
from mlipbench.store import layout


def report(folder: RunArgument) -> None:
    """Write report.html and its companions of a stored run, or of a training, anew; judge nothing."""
    if (folder / layout.TRAINING).is_file():
        from mlipbench.report.training import write_training_report

        write_training_report(folder)
    else:
        from mlipbench.report.write import write_report

        write_report(stored_run(folder).path)
    console().print(f"report: {folder / layout.REPORT}")
