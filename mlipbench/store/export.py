"""Trajectories for other programs: H5MD (MDAnalysis, VMD, OVITO) and extxyz (ASE, OVITO)."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mlipbench.core.errors import InputError
from mlipbench.core.trajectory import Trajectory

_MONITORS = {
    "potential_energy": "eV",
    "kinetic_energy": "eV",
    "conserved": "eV",
    "temperature": "K",
    "closest_contact": "Angstrom",
    "momentum": "u Angstrom fs-1",
    "angular_momentum": "u Angstrom+2 fs-1",
    "volume": "Angstrom+3",
    "pressure": "bar",
}


def write_h5md(trajectory: Trajectory, path: Path) -> None:
    """Frames as H5MD 1.1 (de Buyl, Colberg, Hoefling, Comput. Phys. Commun. 185, 1546 (2014)).

    The particle group is named `trajectory`; positions (A, unwrapped), velocities (A/fs), box, species and
    mass are in it, with time in fs. The monitors have a stride of their own and lie under
    `parameters/monitors`, because readers take an observable's rows for those of the frames.
    """
    _demand_frames(trajectory, path)
    with h5py.File(path, "w") as file:
        _header(file)
        group = file.create_group("particles/trajectory")
        group.create_dataset("species", data=trajectory.structure.numbers)
        group.create_dataset("mass", data=trajectory.structure.masses).attrs["unit"] = "u"
        box = group.create_group("box")
        pbc = trajectory.structure.pbc
        box.attrs["dimension"] = 3
        box.attrs.create(
            "boundary", ["periodic" if p else "none" for p in pbc], dtype=h5py.string_dtype("ascii")
        )
        steps = trajectory.frame_steps
        _time_series(group, "position", trajectory.positions, "Angstrom", trajectory, steps)
        _time_series(group, "velocity", trajectory.velocities, "Angstrom fs-1", trajectory, steps)
        if np.linalg.det(trajectory.structure.cell) != 0:
            _time_series(box, "edges", trajectory.cells, "Angstrom", trajectory, steps)
        monitors = file.create_group("parameters/monitors")
        for name, unit in _MONITORS.items():
            values = getattr(trajectory, name)
            if values is not None:
                _time_series(monitors, name, values, unit, trajectory, trajectory.steps)


def write_extxyz(trajectory: Trajectory, path: Path) -> None:
    """Frames as extended XYZ: positions (A), `velocities` in ASE's unit, and `time_fs` and `step`."""
    from ase.io import write
    from ase.units import fs

    _demand_frames(trajectory, path)
    images = []
    for index, step in enumerate(trajectory.frame_steps):
        structure = trajectory.structure.with_positions(trajectory.positions[index], trajectory.cells[index])
        atoms = structure.to_ase()
        atoms.set_velocities(trajectory.velocities[index] / fs)
        atoms.info["step"] = int(step)
        atoms.info["time_fs"] = float(step * trajectory.timestep_fs)
        images.append(atoms)
    write(path, images, format="extxyz")


def _header(file: h5py.File) -> None:
    h5md = file.create_group("h5md")
    h5md.attrs["version"] = np.array([1, 1], dtype=np.int32)
    h5md.create_group("author").attrs["name"] = "mlipbench"
    creator = h5md.create_group("creator")
    creator.attrs["name"] = "mlipbench"
    creator.attrs["version"] = version("mlipbench")


def _time_series(
    parent: h5py.Group, name: str, values: np.ndarray[Any, Any], unit: str, trajectory: Trajectory, steps: Any
) -> None:
    """An element of H5MD that changes with time: value, step, time."""
    group = parent.create_group(name)
    group.create_dataset("value", data=values).attrs["unit"] = unit
    group.create_dataset("step", data=steps)
    group.create_dataset("time", data=steps * trajectory.timestep_fs).attrs["unit"] = "fs"


def _demand_frames(trajectory: Trajectory, path: Path) -> None:
    if not len(trajectory.frame_steps):
        raise InputError(
            f"{path}: the trajectory has no frames to export; ask for it with a frame_stride above 0"
        )
