"""mlipbench list."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from mlipbench.cli.arguments import console
from mlipbench.potentials.loading import available
from mlipbench.run.planning import manifest
from mlipbench.run.registry import suite_entry_points, suite_type


class Kind(StrEnum):
    """What can be listed."""

    suites = "suites"
    potentials = "potentials"
    references = "references"


def listing(what: Annotated[Kind, typer.Argument(help="suites, potentials or references.")]) -> None:
    """Show what a suite file can name: suites, potentials, reference data."""
    if what is Kind.suites:
        rows = [(name, suite_type(name).title) for name in suite_entry_points()]
    elif what is Kind.potentials:
        rows = list(available().items())
    else:
        known = manifest(None)
        rows = [(name, f"{e.title} [{e.level_of_theory}]") for name, e in known.entries.items()]
    table = Table(show_header=False, box=None)
    for row in rows:
        table.add_row(*row)
    console().print(table)
