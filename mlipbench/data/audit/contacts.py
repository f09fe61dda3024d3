"""Contacts that are too close, and positions that are not in A."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ase.data import chemical_symbols

from mlipbench.core.structure import Structure
from mlipbench.core.units import BOHR
from mlipbench.data.audit.examination import Examination
from mlipbench.data.audit.findings import Amount
from mlipbench.data.audit.geometry import geometry

CLOSEST_A = 0.5  # no two nuclei are closer at energies of interest (H2 0.74)
CLOSE_RATIO = 0.6  # of the sum of covalent radii: compressed, but seen in hot or shocked matter
_BOHR_RATIO = (1.55, 2.5)  # neighbour distance over covalent sum in Bohr; in A 0.9 to 1.1 where atoms bond
_NANOMETRE_RATIO = (0.07, 0.14)
_NOBLE = {2, 10, 18, 36, 54, 86}  # no bonds: 1.5 to 1.8 in A for argon and heavier


def check_lengths(x: Examination) -> float:
    """A per unit of length in the file: 1 where all is well."""
    members = [
        i
        for i in x.trusted()
        if x.frames[i].n_atoms > 1 and np.isfinite(x.geometries[int(i)].neighbour_ratio)
    ]
    if not members:
        return 1.0
    structures = [x.frames[i].frame.structure for i in members]
    ratio = float(np.median([x.geometries[int(i)].neighbour_ratio for i in members]))
    noble = np.mean([np.isin(s.numbers, list(_NOBLE)).mean() for s in structures])
    if noble > 0.5:
        ratio *= 1.0 / 1.7
    name, factor = _unit(ratio, structures)
    if not name:
        return 1.0
    x.add(
        "units.length",
        "error",
        f"neighbours are {ratio:.2f} times the sum of covalent radii apart (0.9 to 1.1 where atoms bond)",
        members,
        Amount(
            value=ratio,
            unit="1",
            of="median distance to the nearest neighbour over the sum of covalent radii",
        ),
        name,
        f"multiply positions and cell by {factor:.6g}"
        if factor != 1
        else "multiply the positions by the cell",
    )
    if factor == 1:
        x.distrusted.update(int(i) for i in members)
    return factor


def _unit(ratio: float, structures: list[Structure]) -> tuple[str, float]:
    if _BOHR_RATIO[0] < ratio < _BOHR_RATIO[1]:
        return "positions (and cell) in Bohr, A is expected", BOHR
    if ratio < 0.4 and all(_within_one(s) for s in structures):
        return "fractional coordinates in place of positions", 1.0
    if _NANOMETRE_RATIO[0] < ratio < _NANOMETRE_RATIO[1]:
        return "positions in nm, A is expected", 10.0
    return "", 1.0


def _within_one(s: Structure) -> bool:
    lengths = np.linalg.norm(s.cell, axis=1)
    return bool(s.pbc.all() and lengths.min() > 2 and s.positions.min() > -0.5 and s.positions.max() < 1.5)


def rescale(x: Examination, factor: float) -> None:
    """Go on with lengths in A."""
    for i in x.trusted():
        frame = x.frames[i].frame
        s = replace(
            frame.structure, positions=factor * frame.structure.positions, cell=factor * frame.structure.cell
        )
        x.frames[i] = replace(x.frames[i], frame=replace(frame, structure=s))
        x.geometries[int(i)] = geometry(s)


def check_contacts(x: Examination) -> None:
    """No contact below 0.5 A; those below 0.6 times the covalent sum are noted."""
    short = [i for i in x.trusted() if x.geometries[int(i)].closest_A < CLOSEST_A]
    close = [i for i in x.trusted() if x.geometries[int(i)].closest_ratio < CLOSE_RATIO and i not in short]
    if short:
        worst = min(short, key=lambda i: x.geometries[int(i)].closest_A)
        found = x.geometries[int(worst)]
        images = np.mean([x.geometries[int(i)].across for i in short]) > 0.5
        x.add(
            "contacts.short",
            "error",
            f"two atoms {found.closest_A:.3f} A apart ({_closest(found.by_pair)})",
            short,
            Amount(value=found.closest_A, unit="A", of="closest contact"),
            "the contact is to a periodic image: the cell is too small for what it holds (dummy, other unit)"
            if images
            else "overlapping atoms: an unrelaxed start, or atoms doubled at the cell's edge",
            "correct the cell"
            if images
            else "leave the frames out: their forces make the loss explode (NaN)",
        )
        x.distrusted.update(int(i) for i in short)
    if close:
        worst = min(close, key=lambda i: x.geometries[int(i)].closest_ratio)
        found = x.geometries[int(worst)]
        x.add(
            "contacts.close",
            "note",
            f"contacts below {CLOSE_RATIO:g} times the covalent sum, down to {found.closest_A:.2f} A",
            close,
            Amount(value=found.closest_ratio, unit="1", of="closest contact over the sum of covalent radii"),
            "strongly compressed or very hot frames",
            "check that pseudopotential cores do not overlap there",
        )


def _closest(by_pair: dict[tuple[int, int], float]) -> str:
    low, high = min(by_pair, key=lambda pair: by_pair[pair])
    return f"{chemical_symbols[low]}-{chemical_symbols[high]}"
