"""mlipbench losses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlipbench.cli.arguments import console
from mlipbench.core.errors import InputError, StoreError
from mlipbench.store.layout import write_bytes

if TYPE_CHECKING:
    from mlipbench.training.debug_log import Breakdown


def losses(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a training.")],
    min_epoch: Annotated[int | None, typer.Option("--min-epoch", min=0, help="From this epoch on.")] = None,
    max_epoch: Annotated[int | None, typer.Option("--max-epoch", min=0, help="Up to this epoch.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="The picture to write (default: DIR/losses.png).")
    ] = None,
) -> None:
    """Draw the loss of every batch, term by term, also while the training is going on."""
    from mlipbench.report.raster import png
    from mlipbench.training.debug_log import breakdown_figure, read_breakdown

    target = output or folder / "losses.png"
    if target.suffix.lower() != ".png":
        raise InputError(f"--output {target}: expected a name that ends in .png")
    if min_epoch is not None and max_epoch is not None and min_epoch > max_epoch:
        raise InputError(f"--min-epoch {min_epoch} is above --max-epoch {max_epoch}")
    found = {name: read_breakdown(path) for name, path in _logs(folder).items()}
    chosen = {name: log.between(min_epoch, max_epoch) for name, log in found.items()}
    figure = breakdown_figure(chosen)
    if not figure.panels:
        there = sorted({epoch for log in found.values() for epoch, _ in log.batches})
        epochs = f"epochs {there[0]} to {there[-1]}" if there else "no batch yet"
        raise StoreError(f"{folder}: no batches between these epochs; its logs hold {epochs}")
    write_bytes(target, png(figure))
    out = console()
    for name, log in chosen.items():
        out.print(f"{name}: {_summary(log)}")
    out.print(f"{target}: written")


def _logs(folder: Path) -> dict[str, Path]:
    """Name -> debug.log of every member that has begun. Raises StoreError."""
    from mlipbench.training.journal import DEBUG

    logs = {path.parent.name: path for path in folder.glob(f"member-*/{DEBUG}")}
    if not logs:
        raise StoreError(
            f"{folder} is not the folder of a training that has begun: it has no member-0/{DEBUG}; "
            "`mlipbench train` makes one"
        )
    return dict(sorted(logs.items(), key=lambda item: [int(n) for n in re.findall(r"\d+", item[0])]))


def _summary(log: Breakdown) -> str:
    """`480 batches, epochs 0 to 39; of epoch 39: forces 94 %, energy per atom 6 %`."""
    malformed = f"; {log.malformed} lines of the log could not be read" if log.malformed else ""
    if not log.batches:
        return f"no batches between these epochs{malformed}"
    epochs = [epoch for epoch, _ in log.batches]
    last = [terms for (epoch, _), terms in log.batches.items() if epoch == epochs[-1]]
    sums = {name: sum(terms.get(name, 0.0) for terms in last) for name in log.terms}
    total = sum(sums.values())
    shares = ", ".join(f"{name.replace('_', ' ')} {100 * s / total:.3g} %" for name, s in sums.items())
    told = f"; of epoch {epochs[-1]}: {shares}" if total > 0 else ""
    return f"{len(log.batches)} batches, epochs {epochs[0]} to {epochs[-1]}{told}{malformed}"
