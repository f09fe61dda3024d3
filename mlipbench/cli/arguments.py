"""Arguments that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mlipbench.core.errors import StoreError
from mlipbench.store import layout
from mlipbench.store.runs import RunFolder


class TierName(StrEnum):
    """How much of the suite file's lengths is run."""

    screen = "screen"
    standard = "standard"
    full = "full"


SuiteFile = Annotated[
    str,
    typer.Argument(
        metavar="SUITE", help="A suite file, or the name of one that comes with mlipbench (quickstart)."
    ),
]
TierOption = Annotated[
    TierName | None,
    typer.Option(
        "--tier",
        help="Scale the lengths of simulations: screen 0.1, standard 0.5, full 1 (default: what the suite "
        "file says, else full). A short run can FAIL or be INCONCLUSIVE; it cannot PASS what needs more.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", help="Folder for report and data (default: reports/NAME of the suite file)."),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run: reports/NAME.")]


def stored_run(folder: Path) -> RunFolder:
    """The folder of a run that has been begun; StoreError where it is none."""
    if not (folder / layout.PLAN).is_file():
        raise StoreError(
            f"{folder} is not the folder of a run: it has no {layout.PLAN}; `mlipbench run` makes one"
        )
    return RunFolder(folder)


def run_folder(suite_file: Path, output: Path | None) -> RunFolder:
    """Where a suite file's run lies."""
    return RunFolder(output or Path("reports") / suite_file.stem)


def console() -> Console:
    """Standard output."""
    return Console(highlight=False, soft_wrap=True, markup=False)
