"""Labelled frames from extended XYZ files, ASE databases and our own HDF5 files (data/hdf5.py).

Where the labels are found, unless `keys` names them (our name -> name in the file):

    energy   `energy`, `total_energy`, `free_energy` (only where there is no other)
    forces   `forces`, `force`
    stress   `stress`: 3x3, or six numbers in ASE's order xx, yy, zz, yz, xz, xy; eV/A^3, positive
             under tension. Else `virial`, `virials` in eV: stress = -virial / volume
    config_type  `config_type`, `config_name`;   trajectory  `trajectory`, `traj`
    temperature  `temperature_K`, `temperature`: at which the frame was sampled, in K

in calculator results, comment line, atom columns, or the key-value pairs and data of a database row;
in any letter case, and with REF_, DFT_ before or _ref, _dft behind. Two candidates that disagree are
refused, since one of them may be a model's answer. Units are eV and A: nothing is converted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
from ase import Atoms

from mlipbench.core.errors import DataError
from mlipbench.core.structure import FloatArray, LabelledFrame, Structure
from mlipbench.data import extxyz
from mlipbench.data.hdf5 import SUFFIXES, HDF5Frames
from mlipbench.data.parsing import existing_file, parsing

LABELS = ("energy", "forces", "stress", "virial", "config_type", "trajectory", "temperature")
_OPTIONAL = ("config_type", "trajectory", "temperature")  # a key that a frame lacks is no error
_MEANINGS = {
    "energy": "energy",
    "total_energy": "energy",
    "free_energy": "free_energy",
    "forces": "forces",
    "force": "forces",
    "stress": "stress",
    "virial": "virial",
    "virials": "virial",
    "config_type": "config_type",
    "config_name": "config_type",
    "trajectory": "trajectory",
    "traj": "trajectory",
    "temperature": "temperature",
    "temperature_k": "temperature",
}
_AFFIX = re.compile(r"^(ref|dft)_|_(ref|dft)$")
_ASYMMETRY = 1e-3  # of the largest component: rounding in the file is smaller, a wrong order larger


def read_frames(
    path: Path,
    index: str = ":",
    keys: Mapping[str, str] | None = None,
    require: Collection[str] = (),
) -> list[LabelledFrame]:
    """The frames that `index` (":", "::10", "5:20", "7", "-1") selects.

    Every frame has the properties of `require` ("energy", "forces", "stress"); energies and forces
    are given by all frames or by none. Raises DataError with file, frame and what is missing.
    """
    for name in keys or {}:
        if name not in LABELS:
            raise DataError(f"{path}: unknown label {name!r} in keys (expected one of {', '.join(LABELS)})")
    if path.suffix.lower() in SUFFIXES:
        frames = select(path, HDF5Frames(existing_file(path)), index)
        _check_complete(path, [f"{path}: frame {frame.label}" for frame in frames], frames, require)
        return frames
    chosen = selected(path, index)
    frames = [_labelled(path, number, where, atoms, keys or {}) for number, where, atoms in chosen]
    _check_complete(path, [where for _, where, _ in chosen], frames, require)
    return frames


def parse_index(text: str) -> slice | int:
    """A Python slice or a number as text. Raises DataError."""
    parts = text.strip().split(":")
    if len(parts) <= 3 and all(re.fullmatch(r"-?\d{1,12}|", part.strip()) for part in parts):
        numbers = [int(part) if part.strip() else None for part in parts]
        if len(numbers) > 1 and numbers[2:] != [0]:
            return slice(*numbers)
        if len(numbers) == 1 and numbers[0] is not None:
            return numbers[0]
    raise DataError(f'index {text!r} is not a slice (expected ":", "::10", "5:20" or a number)')


def selected(path: Path, index: str) -> list[tuple[int, str, Atoms]]:
    """(frame number, where it stands, atoms) of the selected frames."""
    existing_file(path)
    suffix = Path(path.stem if path.suffix == ".gz" else path.name).suffix.lower()
    if suffix in SUFFIXES:
        packed = [(n, f"{path}: frame {n}", as_atoms(frame)) for n, frame in enumerate(HDF5Frames(path))]
        return [tuple(item) for item in select(path, packed, index)]
    if suffix in (".xyz", ".extxyz"):
        blocks = select(path, extxyz.split(path), index)
        return [(block.number, block.where(), block.atoms()) for block in blocks]
    if suffix == ".db":
        rows = list(enumerate(_database(path)))
        return [(number, f"{path}: frame {number}", atoms) for number, atoms in select(path, rows, index)]
    raise DataError(
        f"{path}: unknown format {suffix!r} (expected .extxyz, .xyz, also with .gz, an ASE database .db, or "
        ".h5 of `mlipbench pack`)"
    )


def select(path: Path, items: Sequence[Any], index: str) -> list[Any]:
    """The items, which `path` holds, that `index` means. Raises DataError where there is none."""
    try:
        wanted = parse_index(index)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if isinstance(wanted, slice):
        chosen = list(items[wanted])
    else:
        chosen = [items[wanted]] if -len(items) <= wanted < len(items) else []
    if not chosen:
        raise DataError(f"{path}: index {index!r} selects none of its {len(items)} frames")
    return chosen


def _database(path: Path) -> list[Atoms]:
    connect: Any = ase.db.connect  # untyped
    frames = []
    with parsing(str(path), "an ASE database"), connect(path, type="db", append=True) as database:
        for row in database.select():
            atoms = row.toatoms()
            atoms.info.update(row.key_value_pairs)
            atoms.info.update(row.data)
            frames.append(atoms)
    if not frames:
        raise DataError(f"{path}: no frames in the database")
    return frames


def _labelled(path: Path, number: int, where: str, atoms: Atoms, keys: Mapping[str, str]) -> LabelledFrame:
    structure = Structure.from_ase(atoms)
    check_structure(structure, where)
    found = labels(atoms, where, keys)
    return labelled(
        path, number, structure, found, {name: f(found, structure, where) for name, f in CONVERSIONS.items()}
    )


def as_atoms(frame: LabelledFrame) -> Atoms:
    """A labelled frame as a file of frames would give it."""
    atoms: Atoms = frame.structure.to_ase()
    texts = {"config_type": frame.config_type, "trajectory": frame.trajectory}
    values = {"energy": frame.energy, "stress": frame.stress, "temperature_K": frame.temperature_K}
    atoms.info = {k: v for k, v in texts.items() if v} | {k: v for k, v in values.items() if v is not None}
    if frame.forces is not None:
        atoms.arrays["forces"] = frame.forces
    return atoms


def labelled(
    path: Path, number: int, structure: Structure, found: Mapping[str, Any], values: Mapping[str, Any]
) -> LabelledFrame:
    """The frame of a file with its converted labels (`values`) and its other ones (`found`)."""
    return LabelledFrame(
        structure=structure,
        energy=values.get("energy"),
        forces=values.get("forces"),
        stress=values.get("stress"),
        config_type=str(found.get("config_type", "")),
        trajectory=str(found.get("trajectory", "")),
        label=f"{path.name}#{number}",
        temperature_K=values.get("temperature"),
    )


def check_structure(structure: Structure, where: str) -> None:
    """Atoms are elements, positions numbers, and there is a cell wherever the structure is periodic."""
    if (structure.numbers < 1).any() or not (structure.masses > 0).all():
        raise DataError(f"{where}: atoms that are no element (no species given, X, or a mass of 0)")
    if not np.isfinite(structure.positions).all():
        raise DataError(f"{where}: positions that are not numbers (NaN or infinite)")
    if not np.isfinite(structure.cell).all():
        raise DataError(f"{where}: a cell that is not made of numbers (NaN or infinite)")
    lengths = np.linalg.norm(structure.cell, axis=1)
    if structure.pbc.any() and (lengths[structure.pbc] < 1e-6).any():
        raise DataError(
            f'{where}: periodic, but the cell is missing (expected Lattice="...", or pbc="F F F")'
        )
    if structure.pbc.all() and structure.volume < 1e-6:
        raise DataError(f"{where}: the cell has no volume: its vectors lie in a plane")


def labels(atoms: Atoms, where: str, keys: Mapping[str, str]) -> dict[str, Any]:
    """Meaning -> value as the file has it. Raises DataError where two candidates disagree."""
    values: dict[str, Any] = {**atoms.info, **atoms.arrays}
    if atoms.calc is not None:
        values.update({k: v for k, v in atoms.calc.results.items() if v is not None})
    chosen: dict[str, tuple[str, Any]] = {}
    for meaning, key in keys.items():
        if key not in values and meaning in _OPTIONAL:
            continue
        if key not in values:
            present = ", ".join(sorted(set(values) - {"numbers", "positions"})) or "none"
            raise DataError(f"{where}: no {key!r} for {meaning} (the frame has: {present})")
        chosen[meaning] = (key, values[key])
    for key, value in values.items():
        meaning = _MEANINGS.get(_AFFIX.sub("", str(key).casefold()), "")
        if not meaning or meaning in keys:
            continue
        other = chosen.setdefault(meaning, (key, value))
        if not _same(other[1], value):
            raise DataError(
                f"{where}: {other[0]!r} and {key!r} disagree: which one is the label? "
                f"(say keys: {{{meaning}: {key}}})"
            )
    return {meaning: value for meaning, (_, value) in chosen.items()}


def _same(one: Any, two: Any) -> bool:
    return one is two or bool(np.array_equal(np.asarray(one), np.asarray(two)))


def _numbers(value: Any, shape: tuple[int, ...], name: str, where: str) -> FloatArray:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {name} that are not numbers: {str(value)[:60]!r}") from error
    if array.shape != shape:
        raise DataError(f"{where}: {name} of shape {array.shape} (expected {shape})")
    if not np.isfinite(array).all():
        raise DataError(f"{where}: {name} that are not numbers (NaN or infinite)")
    return array


def _energy(found: Mapping[str, Any], structure: Structure, where: str) -> float | None:
    """eV."""
    value = found.get("energy", found.get("free_energy"))
    return None if value is None else float(_numbers(value, (), "energy", where))


def _forces(found: Mapping[str, Any], structure: Structure, where: str) -> FloatArray | None:
    """(n_atoms, 3) eV/A."""
    value = found.get("forces")
    return None if value is None else _numbers(value, (len(structure), 3), "forces", where)


def _temperature(found: Mapping[str, Any], structure: Structure, where: str) -> float | None:
    """K."""
    if "temperature" not in found:
        return None
    value = float(_numbers(found["temperature"], (), "temperature", where))
    if value < 0:
        raise DataError(f"{where}: temperature of {value:g} (expected K, at least 0)")
    return value


def _stress(found: Mapping[str, Any], structure: Structure, where: str) -> FloatArray | None:
    """(3, 3) eV/A^3."""
    name = "stress" if "stress" in found else "virial"
    if name not in found:
        return None
    if structure.volume < 1e-6:
        raise DataError(f"{where}: {name} given, but no cell")
    shape = np.shape(found[name])
    if shape == (6,):
        xx, yy, zz, yz, xz, xy = _numbers(found[name], (6,), name, where)
        tensor: FloatArray = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    elif shape == (9,):
        tensor = _numbers(found[name], (9,), name, where).reshape(3, 3)
    elif shape == (3, 3):
        tensor = _numbers(found[name], (3, 3), name, where)
    else:
        raise DataError(f"{where}: {name} of shape {shape} (expected (3, 3), or 6 numbers xx yy zz yz xz xy)")
    if np.abs(tensor - tensor.T).max() > _ASYMMETRY * np.abs(tensor).max():
        raise DataError(f"{where}: {name} is not symmetric: are its components in the expected order?")
    symmetric: FloatArray = 0.5 * (tensor + tensor.T)
    return symmetric if name == "stress" else -symmetric / structure.volume


CONVERSIONS: Mapping[str, Callable[[Mapping[str, Any], Structure, str], Any]] = {
    "energy": _energy,
    "forces": _forces,
    "stress": _stress,
    "temperature": _temperature,
}
"""Label -> what makes it of the values that `labels` has found; None where there is none, else DataError."""


def _check_complete(
    path: Path, places: Sequence[str], frames: Sequence[LabelledFrame], require: Collection[str]
) -> None:
    """Energies and forces in all frames or in none, and what is required in all."""
    for name in ("energy", "forces", "stress"):
        missing = [i for i, frame in enumerate(frames) if getattr(frame, name) is None]
        if not missing or (name not in require and (name == "stress" or len(missing) == len(frames))):
            continue
        raise DataError(
            f"{places[missing[0]]}: {name} missing, in {len(missing)} of {len(frames)} frames "
            f"(expected {name} or REF_{name}; where it has another name, say keys: {{{name}: ...}})"
        )
    if all(f.energy is None and f.forces is None and f.stress is None for f in frames):
        raise DataError(f"{path}: no labels in any frame (expected energy, forces, stress)")
