"""Which part of a reference set each frame belongs to, where the frames themselves do not say.

    frame,part,trajectory
    253,train,segment-00

One line a frame, by its number in the set; lines that begin with # are remarks. `part` (train, valid, test,
gap) becomes the config_type of the frame, `trajectory` its trajectory: `config_types: [test]` then chooses
the part, and errors are averaged over trajectories.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mlipbench.core.errors import DataError
from mlipbench.core.structure import LabelledFrame
from mlipbench.data.parsing import read_text

COLUMNS = "frame,part,trajectory"


@dataclass(frozen=True)
class Membership:
    """Of one frame."""

    frame: int  # number in the set
    part: str
    trajectory: str


def read_parts(path: Path) -> list[Membership]:
    """In the order of the file. Raises DataError."""
    lines = enumerate(read_text(path).splitlines(), start=1)
    rows = [(number, line.strip()) for number, line in lines if line.strip() and not line.startswith("#")]
    if not rows or rows[0][1] != COLUMNS:
        raise DataError(
            f"{path}:1: expected the columns {COLUMNS}, got {rows[0][1] if rows else 'nothing'!r}"
        )
    found: dict[int, Membership] = {}
    for number, line in rows[1:]:
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 3 or not all(cells) or not cells[0].isdecimal():
            raise DataError(f"{path}:{number}: expected {COLUMNS}, got {line!r}")
        frame = int(cells[0])
        if frame in found:
            raise DataError(f"{path}:{number}: frame {frame} is named twice")
        found[frame] = Membership(frame, cells[1], cells[2])
    return list(found.values())


def assigned(frames: list[LabelledFrame], path: Path) -> list[LabelledFrame]:
    """The frames of a whole set, in their order, with part and trajectory. Raises DataError where `path` does
    not name each of them."""
    parts = {member.frame: member for member in read_parts(path)}
    if set(parts) != set(range(len(frames))):
        raise DataError(
            f"{path}: names {len(parts)} frames up to number {max(parts, default=0)}; expected each of the "
            f"{len(frames)} frames of the set, from 0"
        )
    return [
        replace(frame, config_type=parts[n].part, trajectory=parts[n].trajectory)
        for n, frame in enumerate(frames)
    ]
