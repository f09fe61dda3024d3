"""A structure from what a suite file says: a file, a reference set, or a crystal."""

from __future__ import annotations

from fnmatch import fnmatchcase
from math import sqrt
from pathlib import Path

from ase import Atoms
from ase.build import bulk
from ase.data import chemical_symbols
from ase.formula import Formula
from ase.io import read

from mlipbench.core.errors import DataError
from mlipbench.core.structure import LabelledFrame, Structure
from mlipbench.core.suite import FramesRef, StructureRef
from mlipbench.data.frames import check_structure, read_frames
from mlipbench.data.parsing import existing_file, parsing
from mlipbench.data.references import Manifest

# Crystal -> number of elements; those with a cubic conventional cell are built in it.
CUBIC = {"sc": 1, "fcc": 1, "bcc": 1, "diamond": 1}
CUBIC |= {"rocksalt": 2, "zincblende": 2, "cesiumchloride": 2, "fluorite": 2}
HEXAGONAL = {"hcp": 1, "wurtzite": 2}
IDEAL_C_OVER_A = sqrt(8.0 / 3.0)


def resolve_structure(ref: StructureRef, folder: Path, references: Manifest) -> Structure:
    """What a reference means; relative files start in `folder`. Raises DataError.

    Crystals are built in their conventional cell with lattice constant `lattice_A`; hcp and wurtzite
    have the ideal c/a = sqrt(8/3) (for another one give a file).
    """
    if ref.file is not None:
        path = existing_file(folder / Path(ref.file).expanduser())
        where = f"{path}: frame {ref.index}"
        with parsing(where, "a structure"):
            atoms = read(path, index=ref.index)
    elif ref.reference is not None:
        where = f"{ref.reference}: frame {ref.index}"
        atoms = references.frames(ref.reference, str(ref.index))[0].structure.to_ase()
    elif ref.crystal is not None:
        where = f"{ref.crystal} {ref.symbol}"
        atoms = _crystal(ref.crystal, ref.symbol, ref.lattice_A)
    else:
        raise DataError("a structure needs one of file, reference, crystal")
    if not isinstance(atoms, Atoms) or len(atoms) == 0:
        raise DataError(f"{where}: no atoms")
    structure = Structure.from_ase(atoms)
    check_structure(structure, where)
    if ref.repeat == (1, 1, 1):
        return structure
    if any(n > 1 and not periodic for n, periodic in zip(ref.repeat, structure.pbc, strict=True)):
        raise DataError(f"{where}: cannot be repeated where it is not periodic (repeat {list(ref.repeat)})")
    return Structure.from_ase(atoms * ref.repeat)


def resolve_frames(ref: FramesRef, folder: Path, references: Manifest) -> list[LabelledFrame]:
    """The labelled frames a reference means. Raises DataError."""
    if ref.reference is not None:
        frames = references.frames(ref.reference, ref.index, ref.keys)
    elif ref.file is not None:
        frames = read_frames(folder / Path(ref.file).expanduser(), ref.index, ref.keys)
    else:
        raise DataError("frames need one of file, reference")
    for pattern in ref.config_types:
        if not any(fnmatchcase(frame.config_type, pattern) for frame in frames):
            there = ", ".join(sorted({frame.config_type or "none" for frame in frames}))
            raise DataError(
                f"{ref.reference or ref.file}: no frame has config_type {pattern!r} "
                f"(config types there: {there})"
            )
    kinds = ref.config_types or ("*",)
    return [f for f in frames if any(fnmatchcase(f.config_type, pattern) for pattern in kinds)]


def _crystal(crystal: str, symbol: str | None, lattice_A: float | None) -> Atoms:
    sizes = CUBIC | HEXAGONAL
    if crystal not in sizes:
        raise DataError(f"unknown crystal {crystal!r} (expected one of {', '.join(sorted(sizes))})")
    if symbol is None or lattice_A is None:
        raise DataError(f"crystal {crystal} needs symbol and lattice_A")
    try:
        elements = list(Formula(symbol).count())
    except ValueError as error:
        raise DataError(f"{symbol!r} is not a formula (expected Si, NaCl, ...)") from error
    if not set(elements) <= set(chemical_symbols[1:]) or len(elements) != sizes[crystal]:
        example = {1: "Si", 2: "NaCl"}[sizes[crystal]]
        raise DataError(
            f"crystal {crystal} cannot be built of {symbol!r} "
            f"(expected {sizes[crystal]} element{'s' * (sizes[crystal] > 1)}, such as {example})"
        )
    with parsing(f"{crystal} {symbol}", "a crystal"):
        if crystal in HEXAGONAL:
            return bulk(symbol, crystal, a=lattice_A, covera=IDEAL_C_OVER_A)
        return bulk(symbol, crystal, a=lattice_A, cubic=True)
