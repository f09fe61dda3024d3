"""What the references in a suite file mean: a named reference or a file of the user's, read and checked."""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import Any

from mlipbench.core.errors import DataError
from mlipbench.core.reference import Curve, PhononReference, Scalar
from mlipbench.core.suite import CurveRef, DataRef, FramesRef, PhononsRef, ScalarRef, StructureRef
from mlipbench.data.curves import read_curve
from mlipbench.data.phonon_reference import read_phonons
from mlipbench.data.references import Manifest
from mlipbench.data.scalars import choose, read_scalars
from mlipbench.data.structures import resolve_frames, resolve_structure


@singledispatch
def resolve(ref: DataRef, folder: Path, references: Manifest) -> Any:
    """The value that `ref` means; relative files start in `folder`. Raises DataError."""
    raise TypeError(f"no reference: {ref!r}")


resolve.register(StructureRef, resolve_structure)
resolve.register(FramesRef, resolve_frames)


@resolve.register
def _curve(ref: CurveRef, folder: Path, references: Manifest) -> Curve:
    """In the units that the class of `ref` asks for."""
    name = ref.reference
    curve = read_curve(_file(ref, folder)) if name is None else references.curve(name)
    return curve.converted(ref.abscissa_unit or curve.abscissa_unit, ref.value_unit or curve.value_unit)


@resolve.register
def _scalar(ref: ScalarRef, folder: Path, references: Manifest) -> Scalar:
    """In the unit that the class of `ref` asks for."""
    if ref.reference is not None:
        scalar = references.scalar(ref.reference, ref.quantity)
    else:
        path = _file(ref, folder)
        scalar = choose(path, read_scalars(path), ref.quantity)
    return scalar.converted(ref.unit or scalar.unit)


@resolve.register
def _phonons(ref: PhononsRef, folder: Path, references: Manifest) -> PhononReference:
    if ref.reference is not None:
        return references.phonons(ref.reference)
    return read_phonons(_file(ref, folder))


def _file(ref: DataRef, folder: Path) -> Path:
    if ref.file is None:
        raise DataError(f"a {ref.kind} reference needs one of file, reference")
    return folder / Path(ref.file).expanduser()
