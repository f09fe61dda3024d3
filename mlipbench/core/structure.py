"""A structure: elements, positions, cell. The value that every layer passes around."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Structure:
    """Atoms in a cell.

    Positions are never wrapped: images are a matter of the neighbour list.
    """

    numbers: IntArray  # (n_atoms,) atomic numbers
    positions: FloatArray  # (n_atoms, 3) A
    cell: FloatArray  # (3, 3) A, rows are lattice vectors; zero rows where not periodic
    pbc: BoolArray  # (3,)
    masses: FloatArray  # (n_atoms,) u

    @classmethod
    def from_ase(cls, atoms: Any) -> Structure:
        """The structure of an `ase.Atoms`, calculators and constraints left behind."""
        return cls(
            numbers=np.array(atoms.numbers, dtype=np.int64),
            positions=np.array(atoms.positions, dtype=np.float64),
            cell=np.array(atoms.cell.array, dtype=np.float64),
            pbc=np.array(atoms.pbc, dtype=np.bool_),
            masses=np.array(atoms.get_masses(), dtype=np.float64),
        )

    def to_ase(self) -> Any:
        """The same structure as `ase.Atoms` (imports ase)."""
        from ase import Atoms

        return Atoms(
            numbers=self.numbers,
            positions=self.positions,
            cell=self.cell,
            pbc=self.pbc,
            masses=self.masses,
        )

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def volume(self) -> float:
        """Volume of the cell in A^3 (0 where the cell does not span space)."""
        return float(abs(np.linalg.det(self.cell)))

    def with_positions(self, positions: FloatArray, cell: FloatArray | None = None) -> Structure:
        """The same atoms elsewhere."""
        return replace(self, positions=positions, cell=self.cell if cell is None else cell)

    @property
    def hash(self) -> str:
        """sha256 of elements, masses, positions, cell and periodicity, bit for bit."""
        digest = hashlib.sha256()
        for array in (self.numbers, self.positions, self.cell, self.pbc, self.masses):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """A structure with reference labels."""

    structure: Structure
    energy: float | None  # eV, total
    forces: FloatArray | None  # (n_atoms, 3) eV/A
    stress: FloatArray | None  # (3, 3) eV/A^3, positive under tension
    config_type: str  # "" where the file names none
    trajectory: str  # name of the trajectory the frame came from, "" where unknown
    label: str  # "file.extxyz#12": where a reader finds the frame
    temperature_K: float | None = None  # at which it was sampled; None where the file does not say
