"""mlipbench convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlipbench.cli.arguments import console


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN.model", help="A model written by mace-torch.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The potential to write, such as si.mlip.")],
    trust: Annotated[
        bool,
        typer.Option(
            "--trust-pickle",
            help="I trust where this file comes from: reading it runs whatever code it contains.",
        ),
    ] = False,
    head: Annotated[
        str | None, typer.Option("--head", help="Which head, of a model that has several.")
    ] = None,
) -> None:
    """Make a potential of mlipbench of a mace-torch model; mace-torch has to be installed."""
    from mlipbench.model import mace_torch, package  # they import torch, which takes seconds

    made = mace_torch.convert_file(source, target.stem, head, trust)
    package.save(made, target)
    architecture = made.metadata.architecture
    console().print(
        f"{target}: {len(architecture.elements)} elements, {architecture.num_layers} layers, "
        f"{architecture.hidden_irreps}, cutoff {architecture.r_max:g} A; in a suite file: "
        f"use: embedded, kwargs: {{path: {target}}}"
    )
