"""mlipbench analyze."""

from __future__ import annotations

import typer

from mlipbench.cli.arguments import RunArgument, console, stored_run
from mlipbench.cli.display import print_results


def analyze(folder: RunArgument) -> None:
    """Measure and judge a stored run again, with the suites as they are now; compute nothing anew."""
    from mlipbench.report.write import write_report
    from mlipbench.run.session import analyze as analyze_run

    run = stored_run(folder)
    results = analyze_run(run)
    write_report(run.path)
    print_results(console(), results)
    raise typer.Exit(results.exit_code)
