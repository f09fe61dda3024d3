"""Formation energy of a vacancy in a crystal of one element, for the suite `eos_elastic`.

    E_f = E(N - 1 atoms, relaxed) - (N - 1)/N E(N atoms),   both in the cell of the perfect crystal

Neighbours of a vacancy may pair and break its symmetry: two starts, one with all atoms displaced at random,
one with the neighbours moved together two and two as well. The lower end counts.
"""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols

from mlipbench.api import Context, Data, InputError, Measurement, Structure
from mlipbench_suites.drawing import FloatArray

DISPLACED_A = 0.05  # r.m.s. of each component
PAIRED_A = (0.0, 0.4)  # by which a neighbour of the vacancy is moved towards another, start by start
SHELL = 1.2  # neighbours are atoms within so many times the distance of the nearest
EVALUATIONS_EACH = 60
"""Of one relaxation (measured: 13 to 55)."""
METHOD = "energy of the relaxed cell without one atom less that of as many atoms of the crystal"


def check(crystal: Structure) -> None:
    """Raises InputError where the crystal is not of one element."""
    elements = [chemical_symbols[z] for z in np.unique(crystal.numbers)]
    if len(elements) > 1:
        raise InputError(
            f"vacancy_repeat needs a crystal of one element, got {', '.join(elements)}: in a compound the "
            "energy depends on where the atom goes"
        )


def starts(crystal: Structure, repeat: tuple[int, int, int]) -> list[Structure]:
    """The repeated crystal without its first atom, the others moved out of the symmetry."""
    shifts = np.stack(np.meshgrid(*map(np.arange, repeat), indexing="ij"), axis=-1).reshape(-1, 3)
    positions = (crystal.positions[None] + (shifts @ crystal.cell)[:, None]).reshape(-1, 3)
    cell = crystal.cell * np.array(repeat)[:, None]
    displaced = np.random.default_rng(0).normal(0, DISPLACED_A, positions.shape)
    return [
        Structure(
            numbers=np.tile(crystal.numbers, len(shifts))[1:],
            positions=(positions + displaced + by * _together(positions, cell))[1:],
            cell=cell,
            pbc=crystal.pbc,
            masses=np.tile(crystal.masses, len(shifts))[1:],
        )
        for by in PAIRED_A
    ]


def _together(positions: FloatArray, cell: FloatArray) -> FloatArray:
    """Unit vectors (n_atoms, 3) from each neighbour of the first atom to its partner, 0 for the others."""
    fractional = (positions - positions[0]) @ np.linalg.inv(cell)
    away = (fractional - np.round(fractional)) @ cell  # by the nearest image
    distance = np.linalg.norm(away, axis=1)
    near = np.flatnonzero((distance > 0) & (distance < SHELL * distance[1:].min()))
    found = np.zeros_like(positions)
    for one, other in zip(near[0::2], near[1::2], strict=False):
        along = away[other] - away[one]
        found[one], found[other] = along / np.linalg.norm(along), -along / np.linalg.norm(along)
    return found


def produce(
    context: Context, crystal: Structure, repeat: tuple[int, int, int], force: float, steps: int
) -> None:
    """Keep the energies (n_starts,) eV of the relaxed cells, and that of the crystal by atom."""
    relaxed = [context.relax(start, force, steps)[1] for start in starts(crystal, repeat)]
    energy = context.evaluate([crystal], ["energy"])[0].energy
    context.save("vacancy_energies", np.array(relaxed))
    context.save("vacancy_per_atom", np.array([energy / len(crystal)]))


def measure(data: Data, n_atoms: int, reference: FloatArray | None, theory: str) -> list[Measurement]:
    """The energy, and its deviation from a reference (value, error) eV; `n_atoms` of the full cell."""
    energies = data.array("vacancy_energies") - (n_atoms - 1) * float(data.array("vacancy_per_atom")[0])
    value = float(energies.min())
    others = ", ".join(f"{e:.4g}" for e in sorted(energies)[1:])
    note = f"cell of {n_atoms} atoms; the other start ends at {others} eV"
    found = [
        Measurement(
            name="vacancy_formation_energy", value=value, unit="eV", exact=True, method=METHOD, note=note
        )
    ]
    if reference is not None:
        of, error = float(reference[0]), float(np.nan_to_num(reference[1]))
        known = f" ± {error:.2g}" if error else ", its error not stated"
        found.append(
            Measurement(
                name="vacancy_error",
                value=100 * (value / of - 1),
                unit="%",
                exact=not error,
                stderr=100 * value / of**2 * error if error else None,
                n_eff=1e6 if error else None,
                method="deviation from the reference; error: that of the reference",
                note=f"{value:.4g} eV where the reference has {of:.4g}{known} ({theory})",
            )
        )
    return found
