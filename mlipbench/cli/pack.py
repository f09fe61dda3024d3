"""mlipbench pack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlipbench.cli.arguments import console
from mlipbench.core.errors import InputError


def pack(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Labelled frames: extxyz or ASE database.")
    ],
    output: Annotated[Path, typer.Option("--output", help="The HDF5 file to write, such as train.h5.")],
) -> None:
    """Put labelled frames into one HDF5 file, from which a training reads them one by one."""
    from mlipbench.data.frames import read_frames
    from mlipbench.data.hdf5 import SUFFIXES, write_hdf5

    if output.suffix.lower() not in SUFFIXES:
        raise InputError(f"--output {output}: expected a name that ends in {' or '.join(SUFFIXES)}")
    if output in files:
        raise InputError(f"--output {output} is one of the files to read; choose another name")
    count = write_hdf5(output, (frame for path in files for frame in read_frames(path)))
    console().print(f"{output}: {count} frames")
