"""Labelled frames in one HDF5 file, read one by one: for sets that do not fit into memory.

    offsets (n_frames + 1,) where the atoms of each frame begin     numbers (n_atoms,)
    positions (n_atoms, 3) A     masses (n_atoms,) u     cell (n_frames, 3, 3) A     pbc (n_frames, 3)
    energy (n_frames,) eV     forces (n_atoms, 3) eV/A     stress (n_frames, 3, 3) eV/A^3
    temperature (n_frames,) K     config_type, trajectory, label (n_frames,) text

Missing labels are NaN. The attribute `format` of the file is "mlipbench frames 1".
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

import h5py
import numpy as np

from mlipbench.core.errors import DataError
from mlipbench.core.structure import FloatArray, LabelledFrame, Structure

FORMAT = "mlipbench frames 1"
SUFFIXES = (".h5", ".hdf5")
AT_ONCE = 200  # frames that are written together
_PER_ATOM: dict[str, tuple[int, ...]] = {"numbers": (), "masses": (), "positions": (3,), "forces": (3,)}
_PER_FRAME: dict[str, tuple[int, ...]] = {
    "cell": (3, 3),
    "pbc": (3,),
    "energy": (),
    "stress": (3, 3),
    "temperature": (),
}
_TYPES = {"numbers": "i8", "pbc": "?"}
_TEXTS = ("config_type", "trajectory", "label")


def write_hdf5(path: Path, frames: Iterable[LabelledFrame]) -> int:
    """Write frames as they come; how many. What was there before stays until all are written."""
    temporary = path.with_name(path.name + ".part")
    try:
        with h5py.File(temporary, "w") as file:
            _create(file)
            waiting = iter(frames)
            while group := list(islice(waiting, AT_ONCE)):
                _append(file, group)
            count = len(file["energy"])
            file.attrs["format"] = FORMAT  # last: a file without it is not complete
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written: {error}; name a file that can be written") from error
    return count


class HDF5Frames(Sequence[LabelledFrame]):
    """The frames of a file, each read when it is asked for. Raises DataError where it is no such file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = h5py.File(path, "r")
            found = self._file.attrs.get("format")
            self._offsets = self._file["offsets"][:] if found == FORMAT else np.zeros(0)
        except (OSError, KeyError) as error:
            raise DataError(
                f"{path}: not an HDF5 file, or cut short ({error}); `mlipbench pack` writes one"
            ) from error
        if found != FORMAT:
            raise DataError(
                f"{path}: not frames of mlipbench (expected format {FORMAT!r}, got {found!r}); "
                "`mlipbench pack` makes such a file of extxyz files and ASE databases"
            )

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, number: int) -> LabelledFrame: ...
    @overload
    def __getitem__(self, number: slice) -> list[LabelledFrame]: ...
    def __getitem__(self, number: int | slice) -> LabelledFrame | list[LabelledFrame]:
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        return self._read(number % len(self))

    def __iter__(self) -> Iterator[LabelledFrame]:
        return (self._read(n) for n in range(len(self)))

    def trajectories(self) -> list[str]:
        """Of every frame, without reading the rest."""
        return [text.decode() for text in self._file["trajectory"][:]]

    def _read(self, number: int) -> LabelledFrame:
        atoms = slice(int(self._offsets[number]), int(self._offsets[number + 1]))
        per_atom = {name: self._file[name][atoms] for name in _PER_ATOM}
        per_frame = {name: self._file[name][number] for name in _PER_FRAME}
        texts = {name: self._file[name][number].decode() for name in _TEXTS}
        structure = Structure(
            numbers=per_atom["numbers"],
            positions=per_atom["positions"],
            cell=per_frame["cell"],
            pbc=per_frame["pbc"],
            masses=per_atom["masses"],
        )
        energy, temperature = float(per_frame["energy"]), float(per_frame["temperature"])
        return LabelledFrame(
            structure=structure,
            energy=None if np.isnan(energy) else energy,
            forces=_given(per_atom["forces"]),
            stress=_given(per_frame["stress"]),
            config_type=texts["config_type"],
            trajectory=texts["trajectory"],
            label=texts["label"],
            temperature_K=None if np.isnan(temperature) else temperature,
        )


def _given(values: FloatArray) -> FloatArray | None:
    return None if np.isnan(values).any() else values


def _create(file: Any) -> None:
    for name, shape in (_PER_ATOM | _PER_FRAME).items():
        file.create_dataset(
            name, (0, *shape), _TYPES.get(name, "f8"), maxshape=(None, *shape), chunks=(4096, *shape)
        )
    for name in _TEXTS:
        file.create_dataset(name, (0,), h5py.string_dtype(), maxshape=(None,))
    file.create_dataset("offsets", (1,), "i8", maxshape=(None,))


def _append(file: Any, frames: Sequence[LabelledFrame]) -> None:
    structures = [frame.structure for frame in frames]
    _extend(file["offsets"], file["offsets"][-1] + np.cumsum([len(s) for s in structures]))
    for name in ("numbers", "masses", "positions"):
        _extend(file[name], np.concatenate([getattr(s, name) for s in structures]))
    forces = [np.full((len(f.structure), 3), np.nan) if f.forces is None else f.forces for f in frames]
    _extend(file["forces"], np.concatenate(forces))
    for name in ("cell", "pbc"):
        _extend(file[name], np.stack([getattr(s, name) for s in structures]))
    _extend(file["energy"], np.array([np.nan if f.energy is None else f.energy for f in frames]))
    stress = [np.full((3, 3), np.nan) if f.stress is None else f.stress for f in frames]
    _extend(file["stress"], np.stack(stress))
    temperatures = [np.nan if f.temperature_K is None else f.temperature_K for f in frames]
    _extend(file["temperature"], np.array(temperatures))
    for name in _TEXTS:
        _extend(file[name], np.array([getattr(f, name) for f in frames], dtype=object))


def _extend(dataset: Any, values: Any) -> None:
    begin = len(dataset)
    dataset.resize(begin + len(values), axis=0)
    dataset[begin:] = values
