"""mlipbench export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mlipbench.cli.arguments import RunArgument, console, stored_run
from mlipbench.core.errors import StoreError
from mlipbench.store import layout
from mlipbench.store.runs import RunFolder
from mlipbench.store.trajectories import TrajectoryStore


class Format(StrEnum):
    """File formats."""

    h5md = "h5md"
    extxyz = "extxyz"


def export(
    folder: RunArgument,
    into: Annotated[Path, typer.Option("--into", help="Folder for the files.")] = Path("trajectories"),
    file_format: Annotated[
        Format, typer.Option("--format", help="h5md (MDAnalysis, VMD, OVITO) or extxyz (ASE, OVITO).")
    ] = Format.h5md,
) -> None:
    """Write the trajectories of a stored run to files that other programs read."""
    from mlipbench.store.export import write_extxyz, write_h5md

    run = stored_run(folder)
    out = console()
    for name, (key, n_steps, stride) in trajectories(run).items():
        trajectory = TrajectoryStore(run.trajectories).read(key, n_steps, stride)
        if not len(trajectory.frame_steps):
            out.print(f"{name}: no frames were stored")
            continue
        path = into / f"{name}.{'h5' if file_format is Format.h5md else 'extxyz'}"
        with layout.replacing(path) as unfinished:
            (write_h5md if file_format is Format.h5md else write_extxyz)(trajectory, unfinished)
        out.print(f"{path}: {len(trajectory.frame_steps)} frames, {trajectory.length_ps:g} ps")


def trajectories(run: RunFolder) -> dict[str, list[Any]]:
    """File name -> key, steps, stride of every trajectory that a suite of the run has asked for."""
    # What is called complete must be there: its links raise StoreError where they are not.
    done = [
        key
        for key, suite in run.results().suites.items()
        if key != layout.CONTRACT and (suite.status == "complete" or run.suite(key).produced())
    ]
    links = {
        f"{key}-{label.replace('@', '-').replace('#', '-')}": link
        for key in done
        for label, link in run.suite(key).trajectory_links().items()
    }
    if not links:
        raise StoreError(
            f"{run.path} holds no trajectories: none of its suites asked for one, or none is done"
        )
    return links
