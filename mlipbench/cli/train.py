"""mlipbench train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mlipbench.cli.arguments import console

if TYPE_CHECKING:
    from rich.progress import TaskID

    from mlipbench.core.training import Epoch, TrainingRecord
    from mlipbench.training.session import Training


def train(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A training configuration (YAML), or the name of one that comes with mlipbench (water).",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder for the potential and its record (default: NAME).")
    ] = None,
    member: Annotated[
        int | None,
        typer.Option("--member", min=0, help="Train this member of the committee only (from 0)."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Read and check configuration and data, then stop.")
    ] = False,
) -> None:
    """Train a potential on labelled frames; killed at any moment, the same command goes on from there.

    Several processes: torchrun --nproc-per-node N -m mlipbench train CONFIG.
    Exit codes: 0 trained; 1 the loss is not a number any more (the message says why); 2 configuration or
    data are wrong; 74 the folder cannot be used.
    """
    # they import torch, which takes seconds
    from mlipbench.report.training import write_training_report
    from mlipbench.training.config import find_config, load_config
    from mlipbench.training.group import process_group
    from mlipbench.training.session import Training

    configuration = load_config(find_config(config))
    with process_group() as group:
        folder = output or Path(configuration.name)
        training = Training(configuration, folder, group)
        if member is not None and member >= configuration.config.committee:
            raise configuration.problem(
                "committee", f"no member {member}", f"--member below {configuration.config.committee}"
            )
        out = console()
        if not group.leads:
            out.quiet = True
        _introduce(out, training)
        if check:
            return
        with TrainingDisplay(out, configuration.config.committee) as display:
            record = training.run(display, member)
        if group.leads:
            write_training_report(folder)
            _conclude(out, record, folder)
        if any(m.ended == "diverged" for m in record.members):
            raise typer.Exit(1)


class TrainingDisplay:
    """Implements `training.loop.Display`: a bar on a terminal, a line an epoch everywhere."""

    def __init__(self, out: Console, members: int) -> None:
        self._out, self._members = out, members
        self._bars = Progress(
            TextColumn("{task.fields[name]:<10}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=out,
            disable=out.quiet or not out.is_terminal,
        )
        self._tasks: dict[int, TaskID] = {}

    def __enter__(self) -> TrainingDisplay:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def step(self, member: int, epoch: int, fraction: float, loss: float) -> None:
        """Move the bar."""
        if member not in self._tasks:
            self._tasks[member] = self._bars.add_task("", total=1.0, name=f"member {member}")
        self._bars.update(
            self._tasks[member], completed=fraction, description=f"epoch {epoch} loss {loss:.4g}"
        )

    def epoch(self, member: int, epoch: Epoch) -> None:
        """Print the line of an epoch."""
        who = f"member {member} " if self._members > 1 else ""
        errors = epoch.valid
        parts = [f"{who}epoch {epoch.epoch:4d}", f"train {epoch.train_loss:.4g}"]
        if epoch.valid_loss is not None and errors is not None:
            parts.append(f"valid {epoch.valid_loss:.4g}")
            for name, value, unit in (
                ("E", errors.energy_mae, "meV/atom"),
                ("F", errors.forces_mae, "meV/A"),
                ("S", errors.stress_mae, "meV/A^3"),
            ):
                if value is not None:
                    parts.append(f"{name} {value:.3g} {unit}")
        parts.append(f"lr {epoch.lr:.2g}  {epoch.seconds:.1f} s")
        self._out.print("  ".join(parts))


def _introduce(out: Console, training: Training) -> None:
    sets, shape = training.sets, training.start.architecture
    counts = ", ".join(f"{len(frames)} {part}" for part, frames in sets.parts())
    out.print(f"frames: {counts}; {sets.split}")
    out.print(
        f"network: {shape.hidden_irreps}, {shape.num_layers} layers, max_ell {shape.max_ell}, r_max "
        f"{shape.r_max:g} A, {shape.avg_num_neighbors:.1f} neighbours on average"
    )
    for warning in sets.warnings:
        out.print(f"warning: {warning}")


def _conclude(out: Console, record: TrainingRecord, folder: Path) -> None:
    for diagnosis in record.diagnoses:
        out.print(f"{diagnosis.level}: {diagnosis.what} ({diagnosis.evidence}) {diagnosis.remedy}")
    for member in record.members:
        if member.message:
            out.print(member.message)
    for row in record.rows:
        if row.config_type == "":
            e = row.errors
            out.print(
                f"{row.part}: {e.n_frames} frames, energy {_number(e.energy_mae)} meV/atom, forces "
                f"{_number(e.forces_mae)} meV/A, stress {_number(e.stress_mae)} meV/A^3 (MAE)"
            )
    if record.package:
        path = folder / record.package["file"]
        out.print(f"potential: {path}; in a suite file: use: embedded, kwargs: {{path: {path}}}")
    out.print(f"report: {folder / 'report.html'}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
