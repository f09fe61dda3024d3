"""mlipbench run."""

from __future__ import annotations

import time
from typing import Annotated

import psutil
import typer

from mlipbench.cli.arguments import OutputOption, SuiteFile, TierOption, console, run_folder
from mlipbench.cli.display import RunDisplay, duration, in_words, print_results
from mlipbench.store import layout


def run(
    suite: SuiteFile,
    output: OutputOption = None,
    tier: TierOption = None,
    fail_fast: Annotated[
        bool,
        typer.Option(
            "--fail-fast",
            help="Stop after the first suite (the cheapest run first) in which a required criterion fails or "
            "which ends in an error; the others are INCONCLUSIVE, not reached. The same command without "
            "--fail-fast goes on from there.",
        ),
    ] = False,
) -> None:
    """Judge a potential: run the suites, the cheapest first, write the report, set the exit code.

    Killed at any moment, the same command goes on where it was; finished work is not done again. A higher
    --tier goes on from what a lower one has computed.
    """
    from mlipbench.run.planning import find_suite_file, read_plan
    from mlipbench.run.session import Session

    path = find_suite_file(suite)
    plan = read_plan(path, tier.value if tier else None)
    out = console()
    for warning in plan.warnings:
        out.print(f"warning: {warning}")
    folder = run_folder(path, output)
    with RunDisplay(out) as display:
        session = Session(plan, folder, display, fail_fast)
        results = session.execute()
    from mlipbench.report.write import write_report  # matplotlib: no mistake in a suite file waits for it

    write_report(folder.path)
    print_results(out, results)
    out.print(f"report: {folder.file(layout.REPORT)}")
    seconds = max(time.time() - psutil.Process().create_time(), 0.0)
    session.finish(seconds)
    if session.estimate:
        out.print(f"took {duration(seconds)}; the estimate was {in_words(session.estimate.total)}")
    raise typer.Exit(results.exit_code)
