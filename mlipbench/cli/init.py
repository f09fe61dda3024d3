"""mlipbench init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlipbench.cli.arguments import console
from mlipbench.core.errors import InputError


def init(
    structure: Annotated[Path, typer.Option(help="A structure of your material, any format ASE reads.")],
    data: Annotated[Path, typer.Option(help="Held-out labelled frames: extxyz or ASE database.")],
    calculator: Annotated[
        str,
        typer.Option(help="Your potential: a registered name, package.module:callable, or file.py:callable."),
    ],
    temperature: Annotated[float, typer.Option(help="Temperature of the intended use, in K.")] = 300.0,
    output: Annotated[Path, typer.Option("--output", help="The suite file to write.")] = Path("suite.yaml"),
) -> None:
    """Write a commented suite file for your structure, data and calculator."""
    from mlipbench.config.template import write_template

    if output.exists():
        raise InputError(f"{output} exists already; delete it, or name another with --output")
    for path in (structure, data):
        if not path.is_file():
            raise InputError(f"{path}: no such file")
    text = write_template(str(structure), str(data), calculator, temperature)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror}") from error
    console().print(f"{output} written; look it through, then: mlipbench run {output}")
