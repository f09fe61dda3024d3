"""mlipbench selftest."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from mlipbench.cli.arguments import console

if TYPE_CHECKING:
    from mlipbench.run.selftest import Matrix

MARKS = {"found": "FAIL", "advised": "advised", "error": "ERROR", "unsure": "?", "passed": "."}


def selftest(
    cases: Annotated[
        list[str] | None, typer.Option("--case", help="Only this potential (may be repeated).")
    ] = None,
    suites: Annotated[
        list[str] | None, typer.Option("--suite", help="Only this suite (may be repeated).")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="A folder in which the runs stay, to be looked at.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the matrix as JSON.")] = False,
) -> None:
    """Which suite finds which broken potential, and whether a sound one passes them all; takes minutes.

    Exit codes: 0 every defect is found and the sound potential passes; 1 otherwise.
    """
    from mlipbench.run.selftest import run_matrix, verdict

    with tempfile.TemporaryDirectory() as folder, Console(stderr=True).status("starting") as status:
        matrix = run_matrix(cases or [], suites or [], keep or Path(folder), status.update)
    wrong = verdict(matrix)
    if as_json:
        rows = {name: {suite: asdict(f) for suite, f in row.items()} for name, row in matrix.items()}
        typer.echo(json.dumps({"matrix": rows, "wrong": wrong}, indent=1))
    else:
        console().print(_table(matrix))
        console().print(
            "FAIL: a required criterion fails; advised: an advisory one does; ?: not enough evidence in "
            "runs as short as these; .: passes"
        )
        for line in [*_reasons(matrix), *(f"wrong: {line}" for line in wrong)]:
            console().print(line, highlight=False)
    raise typer.Exit(int(bool(wrong)))


def _table(matrix: Matrix) -> Table:
    """A row a potential, a column a suite."""
    suites = list(dict.fromkeys(suite for row in matrix.values() for suite in row))
    table = Table(Column("potential", no_wrap=True), *suites, title="which suite finds which defect")
    for name, row in matrix.items():
        table.add_row(name, *(MARKS[row[suite].mark] if suite in row else "" for suite in suites))
    return table


def _reasons(matrix: Matrix) -> list[str]:
    """Of every potential that fails anything, the criteria."""
    lines = []
    for name, row in matrix.items():
        failed = dict.fromkeys(
            c.split("@")[0] for f in row.values() if f.mark in ("found", "advised") for c in f.criteria
        )
        if failed:
            lines.append(f"{name}: {', '.join(failed)}")
    return lines
