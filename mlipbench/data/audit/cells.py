"""Cells and periodicity: missing, flat, forgotten, or of several kinds; how many atoms frames have."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from mlipbench.analysis.structure import pairs
from mlipbench.core.structure import Structure
from mlipbench.core.units import BOHR
from mlipbench.data.audit.examination import Examination
from mlipbench.data.audit.findings import Amount
from mlipbench.data.audit.geometry import geometry

_SPREAD = 10  # atom counts further apart than this factor
_LOOKED_AT = 20  # frames that are looked at where the answer is the same for all
_CORNER = 0.2  # edge of the eight corner cubes over that of the box; together 6.4 % of its volume
_BLOCK = 32  # atoms from which a cluster is round, and not a block


def check_cells(x: Examination) -> None:
    """All checks of cells; fills in the distances of the frames whose cell is sound."""
    structures = [f.frame.structure for f in x.frames]
    odd = [
        i
        for i, s in enumerate(structures)
        if not (np.isfinite(s.positions).all() and np.isfinite(s.cell).all())
    ]
    _broken(x, "structure.not_numbers", "positions or cell that are not numbers (NaN or infinite)", odd)
    rest = [i for i in range(len(structures)) if i not in odd]
    missing = [
        i for i in rest if (np.linalg.norm(structures[i].cell, axis=1)[structures[i].pbc] < 1e-6).any()
    ]
    _broken(x, "cell.missing", "periodic frames without a cell", missing)
    flat = [i for i in rest if structures[i].pbc.all() and structures[i].volume < 1e-6 and i not in missing]
    _broken(x, "cell.flat", "cells without a volume: their vectors lie in a plane", flat)
    for i in x.trusted():
        x.geometries[int(i)] = geometry(structures[i])
    _forgotten(x)
    _mixed(x)


def _broken(x: Examination, name: str, what: str, chosen: list[int]) -> None:
    if chosen:
        x.add(
            name,
            "error",
            what,
            chosen,
            Amount(value=len(chosen), unit="frames", of="frames affected"),
            "lost in a conversion",
            'write them again: Lattice="..." pbc="T T T", or pbc="F F F" for molecules',
        )
        x.distrusted.update(chosen)


def _forgotten(x: Examination) -> None:
    """Frames said to be no crystal whose atoms fill a box."""
    open_frames = [
        i for i in x.trusted() if not x.frames[i].frame.structure.pbc.any() and x.frames[i].n_atoms > 1
    ]
    some = open_frames[:: max(len(open_frames) // _LOOKED_AT, 1)]
    for name, test, what in (
        ("cell.pbc_missing", _fills_cell, "pbc is false, but the atoms fill the cell and continue across it"),
        ("cell.missing", _fills_box, "no cell, but the atoms fill a rectangular box, which clusters do not"),
    ):
        chosen = [i for i in some if test(x, int(i))]
        if len(chosen) > 0.5 * len(some):
            x.add(
                name,
                "warning",
                what,
                open_frames,
                Amount(value=len(open_frames), unit="frames", of="frames without periodicity"),
                "periodicity lost in a conversion",
                'write Lattice="..." pbc="T T T"',
            )
            x.distrusted.update(int(i) for i in open_frames)


def _fills_cell(x: Examination, i: int) -> bool:
    structure, own = x.frames[i].frame.structure, x.geometries[i]
    if structure.volume < 1e-6 or structure.volume > 100 * len(structure):
        return False
    whole = replace(structure, pbc=np.ones(3, dtype=bool))
    near = pairs(whole.positions, whole.cell, whole.pbc, 1.3 * own.neighbour_A)
    across = near.distances[near.shifts.any(axis=1)]
    return len(across) > 0 and bool(across.min() > 0.7 * own.neighbour_A)


def _fills_box(x: Examination, i: int) -> bool:
    structure = x.frames[i].frame.structure
    if len(structure) < _BLOCK or structure.volume > 1e-6:
        return False
    inside = structure.positions - structure.positions.min(axis=0)
    size = inside.max(axis=0)
    if (size < 1e-3).any():
        return False
    near_end = (inside < _CORNER * size) | (inside > (1 - _CORNER) * size)
    return float(near_end.all(axis=1).mean()) > 0.5 * (2 * _CORNER) ** 3


def _mixed(x: Examination) -> None:
    """The same atoms with and without periodicity."""
    kinds: defaultdict[bytes, defaultdict[tuple[bool, ...], list[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for i in x.trusted():
        s = x.frames[i].frame.structure
        if len(s) > 1:
            kinds[np.sort(s.numbers).tobytes()][tuple(bool(p) for p in s.pbc)].append(int(i))
    for by_pbc in kinds.values():
        if len(by_pbc) > 1:
            rarest = min(by_pbc.values(), key=len)
            x.add(
                "cell.mixed",
                "warning",
                "the same atoms are periodic in some frames and not in others: "
                + ", ".join(f"pbc {' '.join('FT'[p] for p in k)} ({len(v)})" for k, v in by_pbc.items()),
                rarest,
                cause="periodicity lost in a conversion, or files of different origin joined",
                remedy="give all of them the periodicity of the calculation",
            )


def check_box(x: Examination) -> None:
    """A cell in Bohr around atoms in A: they fill 0.529 of it in each direction."""
    chosen = [i for i in x.trusted() if x.frames[i].frame.structure.pbc.all() and x.frames[i].n_atoms >= 8]
    filled = [i for i in chosen if _looks_bohr(x.frames[i].frame.structure, x.geometries[int(i)].neighbour_A)]
    if filled and len(filled) > 0.5 * len(chosen):
        x.add(
            "cell.unit",
            "warning",
            "the atoms fill 0.53 of the cell along each of its vectors, the rest is empty",
            filled,
            cause="the cell in Bohr, the positions in A",
            remedy="multiply the cell by 0.529177",
        )


def _looks_bohr(structure: Structure, spacing: float) -> bool:
    extent = np.ptp(structure.positions @ np.linalg.inv(structure.cell), axis=0)
    layer = spacing / np.linalg.norm(structure.cell, axis=1)  # atoms of a crystal leave that much free
    return bool(((extent < BOHR + 0.03) & (extent + layer > BOHR - 0.03)).all())


def check_counts(x: Examination) -> None:
    """Numbers of atoms in one set lie within a factor of ten."""
    counts = np.array([f.n_atoms for f in x.frames])
    several = counts[counts > 1]
    if len(several) and several.max() > _SPREAD * several.min():
        x.add(
            "sizes.spread",
            "note",
            f"frames of {several.min()} to {several.max()} atoms in one set",
            np.flatnonzero(counts == several.max()),
            Amount(
                value=float(several.max() / several.min()),
                unit="1",
                of="largest over smallest number of atoms",
            ),
            "molecules or unit cells and large cells joined",
            "weigh energies per atom, and put frames of similar size into one batch",
        )
