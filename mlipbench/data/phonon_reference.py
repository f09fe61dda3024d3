"""Force constants from phonopy YAML: phonopy.yaml, phonopy_params.yaml (what `phonopy -s` and `save` write).

The file holds force constants, or displacements with forces from which they are fitted: by finite
differences where one atom moves at a time, by symfc where all move at random. The units are those of
the file's `physical_unit`; here all is eV and A. Only the file itself is read, never FORCE_SETS or BORN
beside it.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from mlipbench.core.errors import DataError
from mlipbench.core.reference import PhononReference
from mlipbench.core.structure import FloatArray, Structure
from mlipbench.core.units import conversion_factor
from mlipbench.data.parsing import parsing, read_text

WHAT = "phonopy YAML"


def read_phonons(path: Path) -> PhononReference:
    """The force constants of a file. Raises DataError."""
    with _own_recursion_limit():
        return _read(path)


@contextmanager
def _own_recursion_limit() -> Iterator[None]:
    """symfc raises the limit of the whole process to 100 000 when it is imported: later recursions, as of
    a deeply nested YAML file, would overflow the stack instead of raising RecursionError.
    """
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _read(path: Path) -> PhononReference:
    data = _parse(path)
    with parsing(str(path), WHAT), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of phonopy about its own future
        phonon = _phonopy(path, data)
        force_constants = _force_constants(path, data, phonon)
    unit = data.physical_units
    length = _factor(path, unit.length_unit, "A")
    scale = _factor(path, unit.force_constants_unit, "eV/A^2")
    primitive = _structure(phonon.primitive, length)
    born, dielectric = _polar(path, data, len(primitive))
    return PhononReference(
        unit_cell=_structure(phonon.unitcell, length),
        supercell_matrix=np.array(phonon.supercell_matrix, dtype=np.int64),
        primitive_matrix=np.array(phonon.primitive_matrix, dtype=np.float64),
        primitive=primitive,
        supercell=_structure(phonon.supercell, length),
        force_constants=scale * force_constants,
        born_charges=born,
        dielectric=dielectric,
    )


def _parse(path: Path) -> Any:
    """The file as `phonopy.interface.phonopy_yaml.PhonopyYamlData`."""
    import yaml
    from phonopy.interface.phonopy_yaml import load_phonopy_yaml

    text = read_text(path)
    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}:1:1"
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise DataError(f"{where}: YAML syntax: {what}") from error
    if not isinstance(document, dict) or "unit_cell" not in document:
        raise DataError(
            f"{path}:1:1: not {WHAT} (expected unit_cell, supercell_matrix and what phonopy saves)"
        )
    for key in ("physical_unit", "supercell_matrix", "primitive_matrix"):
        if key not in document:
            raise DataError(f"{path}:1:1: no {key} in the file (expected what `phonopy.save` writes)")
    with parsing(str(path), WHAT), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_phonopy_yaml(document)


def _phonopy(path: Path, data: Any) -> Any:
    from phonopy import Phonopy

    phonon = Phonopy(
        data.unitcell,
        supercell_matrix=data.supercell_matrix,
        primitive_matrix=data.primitive_matrix,
        calculator=data.calculator,
        log_level=0,
    )
    if data.supercell is not None and list(data.supercell.symbols) != list(phonon.supercell.symbols):
        raise DataError(f"{path}: the supercell of the file is not the one its supercell_matrix makes")
    return phonon


def _force_constants(path: Path, data: Any, phonon: Any) -> FloatArray:
    """(n_primitive, n_supercell, 3, 3) in the file's unit."""
    n_primitive, n_supercell = len(phonon.primitive), len(phonon.supercell)
    if data.force_constants is not None:
        found = np.array(data.force_constants, dtype=np.float64)
        if found.shape == (n_supercell, n_supercell, 3, 3):
            found = found[np.array(phonon.primitive.p2s_map)]
    else:
        found = _fitted(path, data.dataset, phonon)
    expected = (n_primitive, n_supercell, 3, 3)
    if found.shape != expected:
        raise DataError(f"{path}: force constants of shape {found.shape} (expected {expected})")
    if not np.isfinite(found).all():
        raise DataError(f"{path}: force constants that are not numbers (NaN or infinite)")
    return found


def _fitted(path: Path, dataset: Any, phonon: Any) -> FloatArray:
    """Force constants from displacements and forces, compact."""
    if dataset is None:
        raise DataError(f"{path}: neither force_constants nor displacements with forces in the file")
    single = "first_atoms" in dataset
    forces = [first.get("forces") for first in dataset["first_atoms"]] if single else [dataset.get("forces")]
    if any(part is None for part in forces):
        raise DataError(f"{path}: displacements without forces, and no force_constants in the file")
    n_supercell = len(phonon.supercell)
    for part in forces:
        if np.shape(part)[-2:] != (n_supercell, 3):
            raise DataError(f"{path}: forces of shape {np.shape(part)} (expected (..., {n_supercell}, 3))")
        if not np.isfinite(part).all():
            raise DataError(f"{path}: forces that are not numbers (NaN or infinite)")
    phonon.dataset = dataset
    with redirect_stdout(io.StringIO()):  # symfc reports there
        phonon.produce_force_constants(
            fc_calculator="traditional" if single else "symfc",
            calculate_full_force_constants=False,
            show_drift=False,
        )
        if single:
            phonon.symmetrize_force_constants(show_drift=False)
    return np.array(phonon.force_constants, dtype=np.float64)


def _polar(path: Path, data: Any, n_primitive: int) -> tuple[FloatArray | None, FloatArray | None]:
    """Born charges (n_primitive, 3, 3) in e and the dielectric tensor (3, 3), or None for both."""
    if data.nac_params is None:
        return None, None
    born = np.array(data.nac_params["born"], dtype=np.float64)
    dielectric = np.array(data.nac_params["dielectric"], dtype=np.float64)
    if born.shape != (n_primitive, 3, 3) or dielectric.shape != (3, 3):
        raise DataError(
            f"{path}: Born charges of shape {born.shape} and dielectric tensor of shape {dielectric.shape} "
            f"(expected {(n_primitive, 3, 3)} and (3, 3))"
        )
    if not (np.isfinite(born).all() and np.isfinite(dielectric).all()):
        raise DataError(f"{path}: Born charges or dielectric tensor that are not numbers (NaN or infinite)")
    return born, dielectric


def _structure(cell: Any, length: float) -> Structure:
    """A cell of phonopy, scaled to A."""
    return Structure(
        numbers=np.array(cell.numbers, dtype=np.int64),
        positions=length * np.array(cell.positions, dtype=np.float64),
        cell=length * np.array(cell.cell, dtype=np.float64),
        pbc=np.ones(3, dtype=np.bool_),
        masses=np.array(cell.masses, dtype=np.float64),
    )


def _factor(path: Path, unit: str, target: str) -> float:
    """phonopy joins units with points, and calls the bohr au."""
    ours = unit.replace(".", "*").replace("angstrom*au", "angstrom/au").replace("au", "bohr")
    try:
        return conversion_factor(ours.replace("hartree", "Hartree"), target)
    except DataError as error:
        raise DataError(f"{path}: physical_unit: {error}") from error
