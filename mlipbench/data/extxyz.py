"""Extended XYZ files, cut into frames whose line numbers are known before ASE parses them.

A frame is a line with the number of atoms, a comment line of key=value pairs with
`Properties=name:type:columns:...`, and one line for each atom.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms
from ase.io import iread

from mlipbench.core.errors import DataError
from mlipbench.data.parsing import parsing, read_text

_PROPERTIES = re.compile(r"""(?:^|\s)Properties\s*=\s*["']?([^\s"']+)""")
# ASE's reader insists on nine numbers under these two names, and only these.
_VOIGT = re.compile(r"""(?<!\S)(stress|virial)\s*=\s*["']\s*((?:[^\s"']+\s+){5}[^\s"']+)\s*["']""")


def _full(found: re.Match[str]) -> str:
    """Six numbers xx yy zz yz xz xy as a 3x3 matrix."""
    xx, yy, zz, yz, xz, xy = found.group(2).split()
    return f'{found.group(1)}="{xx} {xy} {xz} {xy} {yy} {yz} {xz} {yz} {zz}"'


@dataclass(frozen=True)
class Block:
    """One frame's text."""

    path: Path
    number: int  # of the frame, from 0
    line: int  # of its first line, from 1
    lines: list[str]

    def where(self, offset: int = 0) -> str:
        """`file:line: frame n`, for messages."""
        return f"{self.path}:{self.line + offset}: frame {self.number}"

    def atoms(self) -> Atoms:
        """The frame as ASE reads it. Raises DataError."""
        self._check_columns()
        with parsing(self.where(), "extended XYZ"):
            count, comment, *atoms = self.lines
            text = io.StringIO("\n".join([count, _VOIGT.sub(_full, comment), *atoms, ""]))
            return next(iread(text, index=0, format="extxyz"))

    def _check_columns(self) -> None:
        """ASE leaves surplus columns out without a word; here they are an error."""
        found = _PROPERTIES.search(self.lines[1])
        if found is None:
            return
        widths = found.group(1).split(":")[2::3]
        if not all(width.isdigit() for width in widths):
            raise DataError(
                f"{self.where(1)}: Properties={found.group(1)} is malformed (expected name:type:columns, ...)"
            )
        expected = sum(int(width) for width in widths)
        for offset, line in enumerate(self.lines[2:], start=2):
            got = len(line.split())
            if got != expected:
                raise DataError(
                    f"{self.where(offset)}: {got} columns (expected {expected}: Properties={found.group(1)})"
                )


def split(path: Path) -> list[Block]:
    """All frames of a file, unparsed. Raises DataError where the file is cut off or malformed."""
    lines = read_text(path).splitlines()
    blocks: list[Block] = []
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        where = f"{path}:{at + 1}: frame {len(blocks)}"
        if not lines[at].strip().isdecimal():
            raise DataError(f"{where}: expected the number of atoms, got {lines[at].strip()[:60]!r}")
        n_atoms = int(lines[at].strip()[:12])
        if n_atoms == 0:
            raise DataError(f"{where}: no atoms")
        block = lines[at : at + 2 + n_atoms]
        if len(block) < 2 + n_atoms:
            raise DataError(
                f"{where}: the file ends after {max(len(block) - 2, 0)} of {n_atoms} atoms: was it cut off?"
            )
        blocks.append(Block(path, len(blocks), at + 1, block))
        at += 2 + n_atoms
    if not blocks:
        raise DataError(f"{path}: no frames in the file")
    return blocks
