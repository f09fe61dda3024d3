"""mlipbench run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlipbench.cli.arguments import SuiteFile, TierOption, console
from mlipbench.cli.display import RunDisplay, print_results
from mlipbench.report.write import write_report
from mlipbench.run.planning import find_suite_file, read_plan
from mlipbench.run.session import Session
from mlipbench.store import layout
from mlipbench.store.runs import RunFolder


def run(
    suite: SuiteFile,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Folder for report and data (default: reports/NAME of the suite file)."
        ),
    ] = None,
    tier: TierOption = None,
    fail_fast: Annotated[
        bool,
        typer.Option("--fail-fast", help="Stop after the first suite in which a required criterion fails."),
    ] = False,
) -> None:
    """Judge a potential: run the suites, write the report, set the exit code.

    Killed at any moment, the same command goes on where it was; finished work is not done again.
    """
    path = find_suite_file(suite)
    plan = read_plan(path, tier.value if tier else None)
    out = console()
    for warning in plan.warnings:
        out.print(f"warning: {warning}")
    folder = RunFolder(output or Path("reports") / path.stem)
    with RunDisplay(out) as display:
        results = Session(plan, folder, display, fail_fast).execute()
    write_report(folder.path)
    print_results(out, results)
    out.print(f"report: {folder.file(layout.REPORT)}")
    raise typer.Exit(results.exit_code)
