"""mlipbench gate."""

from __future__ import annotations

import datetime

import typer

from mlipbench.cli.arguments import RunArgument, console, stored_run
from mlipbench.cli.display import print_results


def gate(folder: RunArgument) -> None:
    """Say whether a stored run passes, with the waivers that are in force today; set the exit code."""
    from mlipbench.run.gate import rejudge

    run = stored_run(folder)
    today = run.today()
    results = rejudge(run.results(), today)
    out = console()
    print_results(out, results)
    if results.waivers and today > datetime.date.today():
        out.print(
            f"note: the clock stands before the day of the run, {today}: "
            "waivers are judged by the later of the two"
        )
    for waiver in results.waivers:
        state = "in force" if waiver.expires >= today else "EXPIRED"
        out.print(f"waiver {state}: {waiver.criterion} until {waiver.expires}: {waiver.reason}")
    raise typer.Exit(results.exit_code)
