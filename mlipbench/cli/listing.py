"""mlipbench list."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from mlipbench.cli.arguments import console


class Kind(StrEnum):
    """What can be listed."""

    suites = "suites"
    potentials = "potentials"


def listing(what: Annotated[Kind, typer.Argument(help="suites or potentials.")]) -> None:
    """Show what a suite file can name: suites, potentials. Of references: mlipbench references list."""
    from mlipbench.potentials.loading import available
    from mlipbench.run.registry import suite_entry_points, suite_type

    if what is Kind.suites:
        rows = [(name, suite_type(name).title) for name in suite_entry_points()]
    else:
        rows = list(available().items())
    table = Table(show_header=False, box=None)
    for row in rows:
        table.add_row(*row)
    console().print(table)
