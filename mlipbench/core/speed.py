"""How fast a potential is: what is asked, and what was timed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.core.structure import FloatArray, Structure


@dataclass(frozen=True, eq=False)
class SpeedRequest:
    """What to time. Supercells of the structure come as close to the sizes as whole cells can."""

    structure: Structure
    sizes: tuple[int, ...] = (192, 1000, 10_000)  # numbers of atoms
    replicas: int = 4  # side by side, against one
    timestep_fs: float = 0.5
    temperature_K: float = 300.0  # of the molecular dynamics
    rounds: int = 7  # in which everything that is compared is timed in turn

    def cells(self) -> list[tuple[int, int, int]]:
        """Cells along each axis for each size, each once, from small to large."""
        found = {_cells(self.structure, size) for size in self.sizes}
        return sorted(found, key=lambda cells: int(np.prod(cells)))


@dataclass(frozen=True, eq=False)
class SizeSpeed:
    """Complete calls, from moved positions to energy and forces, at one number of atoms."""

    n_atoms: int
    cells: tuple[int, int, int]
    call_ms: FloatArray  # (n_rounds,) median of each round; empty: not timed
    memory_MB: float | None  # peak above the process that has loaded the potential
    note: str = ""  # why it was not timed
    gpu_memory_MB: float | None = None  # the most that torch held of a GPU so far; None: it used none


@dataclass(frozen=True, eq=False)
class Speed:
    """All that was timed of one potential."""

    name: str
    dtype: str
    device: str
    threads: str  # of OMP_NUM_THREADS, as its process saw it; "default" where it is not set
    loaded_MB: float  # memory of loading it, above a process that has not
    sizes: list[SizeSpeed]
    # At the smallest size; empty where it was not timed.
    step_ms: FloatArray  # (n_rounds,) of molecular dynamics, monitors and commits included
    inside_ms: FloatArray  # (n_rounds,) of which within the potential
    single_ms: FloatArray  # (n_rounds,) of a call of one replica
    batch_ms: FloatArray  # (n_rounds,) of a replica's share of a call of several
    replicas: int


def repeated(structure: Structure, cells: tuple[int, int, int]) -> Structure:
    """A supercell, copies of the cell one after the other."""
    hops = np.stack(np.meshgrid(*(np.arange(n) for n in cells), indexing="ij"), axis=-1).reshape(-1, 3)
    shifts = hops @ structure.cell
    return Structure(
        numbers=np.tile(structure.numbers, len(hops)),
        positions=(shifts[:, None] + structure.positions).reshape(-1, 3),
        cell=structure.cell * np.array(cells)[:, None],
        pbc=structure.pbc,
        masses=np.tile(structure.masses, len(hops)),
    )


def _cells(structure: Structure, size: int) -> tuple[int, int, int]:
    """The supercell whose number of atoms, then whose shape, is nearest to what is wanted."""
    most = max(round(size / len(structure)), 1)
    lengths = np.linalg.norm(structure.cell, axis=1)
    best, cost = (1, 1, 1), np.inf
    for a in range(1, most + 1 if structure.pbc[0] else 2):
        for b in range(1, most // a + 1 if structure.pbc[1] else 2):
            thickest = max(round(size / (len(structure) * a * b)), 1)
            cells = (a, b, thickest if structure.pbc[2] else 1)
            sides = (lengths * cells)[structure.pbc]
            spread = float(np.ptp(np.log(np.maximum(sides, 1e-300)))) if len(sides) else 0.0
            badness = abs(np.log(np.prod(cells) * len(structure) / size)) + 0.05 * spread
            if badness < cost:
                best, cost = cells, badness
    return best
