"""Public originals in their own formats, as frames in eV and A.

deepmd   folders with type.raw, type_map.raw and set.NNN/{box,coord,energy,force}.npy (virial.npy): A, eV,
         eV/A; a virial in eV, positive under pressure
mlearn   JSON: pymatgen structures; energy in eV, forces in eV/A, `virial_stress` as VASP prints it: kbar,
         positive under pressure, in the order xx, yy, zz, xy, yz, zx
phono3py phono3py_params.yaml: supercells with displacements, forces, energies (eV, A); fc3 and fc2 sets
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators import singlepoint

from mlipbench.core.errors import DataError
from mlipbench.core.structure import FloatArray
from mlipbench.data.parsing import parsing
from mlipbench.data.public import Public

KBAR_IN_EV_PER_A3 = 1 / 1602.1766208  # CODATA 2014, as ASE has it


def convert(folder: Path, spec: Public) -> list[Atoms]:
    """The frames of the originals that lie below `folder`. Raises DataError."""
    readers: dict[str, Callable[[Path, Public], list[Atoms]]] = {
        "deepmd": _deepmd,
        "mlearn": _mlearn,
        "phono3py": _phono3py,
    }
    with parsing(str(folder), f"{spec.format} data"):
        frames = readers[spec.format](folder, spec)
    if not frames:
        raise DataError(f"{folder}: no frames in the {spec.format} data")
    return frames


def _frame(atoms: Atoms, info: dict[str, str], **labels: Any) -> Atoms:
    atoms.info.update({key: value for key, value in info.items() if value})
    calculator: Any = singlepoint.SinglePointCalculator  # untyped
    atoms.calc = calculator(atoms, **labels)
    return atoms


def _deepmd(folder: Path, spec: Public) -> list[Atoms]:
    """Systems in the order of their names, their sets and frames in the order of the files."""
    frames = []
    for system in sorted(path.parent for path in folder.rglob("type.raw")):
        names = (system / "type_map.raw").read_text(encoding="utf-8").split()
        symbols = [names[int(kind)] for kind in (system / "type.raw").read_text(encoding="utf-8").split()]
        periodic = not (system / "nopbc").exists()
        for part in sorted(system.glob("set.*")):
            shape = (-1, len(symbols), 3)
            positions, forces = _npy(part, "coord").reshape(shape), _npy(part, "force").reshape(shape)
            energies = _npy(part, "energy").reshape(-1)
            cells = _npy(part, "box").reshape(-1, 3, 3) if periodic else np.zeros((len(energies), 3, 3))
            virials = _npy(part, "virial").reshape(-1, 3, 3) if (part / "virial.npy").exists() else None
            if not len(positions) == len(forces) == len(energies) == len(cells):
                raise DataError(f"{part}: coord, force, energy and box hold different numbers of frames")
            for i, energy in enumerate(energies):
                atoms = Atoms(symbols, positions=positions[i], cell=cells[i], pbc=periodic)
                info = {"config_type": spec.config_type, "source": f"{part.relative_to(folder)}/{i}"}
                labels = {"energy": float(energy), "forces": forces[i]}
                if virials is not None:
                    labels["stress"] = _voigt(-virials[i] / abs(np.linalg.det(cells[i])))
                frames.append(_frame(atoms, info, **labels))
    return frames


def _npy(folder: Path, name: str) -> FloatArray:
    """Numbers of a set; they are stored in float32 in some."""
    return np.asarray(np.load(folder / f"{name}.npy", allow_pickle=False), dtype=np.float64)


def _mlearn(folder: Path, spec: Public) -> list[Atoms]:
    frames = []
    for name in spec.originals:
        for entry in json.loads((folder / name).read_text(encoding="utf-8")):
            structure, outputs = entry["structure"], entry["outputs"]
            symbols = [site["species"][0]["element"] for site in structure["sites"]]
            atoms = Atoms(
                symbols,
                positions=[site["xyz"] for site in structure["sites"]],
                cell=structure["lattice"]["matrix"],
                pbc=True,
            )
            xx, yy, zz, xy, yz, zx = -np.array(outputs["virial_stress"]) * KBAR_IN_EV_PER_A3
            frames.append(
                _frame(
                    atoms,
                    {"config_type": entry["group"]},
                    energy=float(outputs["energy"]),
                    forces=np.array(outputs["forces"], dtype=np.float64),
                    stress=np.array([xx, yy, zz, yz, zx, xy]),
                )
            )
    return frames


def _phono3py(folder: Path, spec: Public) -> list[Atoms]:
    import yaml

    (name,) = spec.originals
    path = folder / name
    text = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise DataError(f"{path}: YAML syntax: {error}") from error
    if document["physical_unit"]["length"] != "angstrom":
        raise DataError(f"{path}: lengths in {document['physical_unit']['length']} (expected angstrom)")
    prefix = "phonon_" if spec.part == "fc2" else ""
    cell = document[f"{prefix}supercell"]
    fractions = np.array([point["coordinates"] for point in cell["points"]])
    lattice = np.array(cell["lattice"], dtype=np.float64)
    displacements, forces, energies = _displaced(document, prefix)
    frames = []
    for displacement, force, energy in zip(displacements, forces, energies, strict=True):
        atoms = Atoms(
            [point["symbol"] for point in cell["points"]],
            positions=fractions @ lattice + displacement,
            cell=lattice,
            pbc=True,
        )
        frames.append(_frame(atoms, {"config_type": spec.config_type}, energy=float(energy), forces=force))
    return frames


def _displaced(document: dict[str, Any], prefix: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Displacements and forces (n_frames, n_atoms, 3) in A and eV/A, energies (n_frames,) in eV.

    Written since phonopy 2.24 as lists under `dataset`, before as one mapping for each atom.
    """
    if f"{prefix}dataset" in document:
        found = document[f"{prefix}dataset"]
        lists = found["displacements"], found["forces"], found["supercell_energies"]
    else:
        old = document[f"{prefix}displacements"]
        lists = (
            [[atom["displacement"] for atom in supercell] for supercell in old],
            [[atom["force"] for atom in supercell] for supercell in old],
            document[f"{prefix}supercell_energies"],
        )
    displacements, forces, energies = (np.array(part, dtype=np.float64) for part in lists)
    return displacements, forces, energies


def _voigt(tensor: FloatArray) -> FloatArray:
    """xx, yy, zz, yz, xz, xy."""
    return tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
