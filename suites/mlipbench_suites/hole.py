"""Is an event a hole in the energy surface? A quench, contacts and coordination say.

Liquids, glasses and defects go down in energy too, and the energy that a hole sets free may show as heat
first. So the last frame of a run that broke off and its start are both taken downhill at fixed cell. A hole
is confirmed where the last frame's minimum lies below the start's and atoms in it are unphysically close.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlipbench.api import Context, Data, PotentialError, Structure, Trajectory, structure

FORCE_TOLERANCE = 0.02  # eV/A
MOST_EVALUATIONS = 1000  # of one quench
MARGIN_EV_PER_ATOM = 1e-3  # above what a quench to FORCE_TOLERANCE leaves

# Contacts are unphysical below these shares. The shortest bond for its elements, the quintuple one between
# chromium atoms, has 0.60 covalent sums (radii of Cordero et al., Dalton Trans. 2008, 2832); a triple bond
# of carbon has 0.78 of the single bond of diamond.
COVALENT_SHARE = 0.6
NEIGHBOUR_SHARE = 0.75
NEAREST = 1.1  # x distance to an atom's nearest neighbour: its neighbours, for the second share
LOOSE = 2.0  # x covalent sum: further apart, atoms of a gas, which may bond
COINCIDENT_A = 0.1  # least reach of a search: atoms may sit on top of each other
SHELL = 1.25  # x mean distance to the nearest neighbour: counted as coordination


def run_and_quench(context: Context, chains: Sequence[Sequence[str]]) -> None:
    """Run all trajectories; quench start and last frame of those that broke off.

    A chain is labels of trajectories that go on from one another: only the first that broke off counts.
    """
    context.run_trajectories()
    starts: dict[str, tuple[Structure, float]] = {}
    for chain in chains:
        for label in chain:
            run = context.trajectory(label)
            if run.event is not None:
                if run.event.what != "not_finite" and len(run.structure) > 1:
                    _quench(context, label, run, starts)
                break


def _quench(
    context: Context, label: str, run: Trajectory, starts: dict[str, tuple[Structure, float]]
) -> None:
    """Save start [0] and last frame [1], quenched: positions, energies per atom, largest forces."""
    start, last = run.structure, run.structure.with_positions(run.positions[-1], run.cells[-1])
    try:
        if start.hash not in starts:
            starts[start.hash] = context.relax(start, FORCE_TOLERANCE, MOST_EVALUATIONS)
        found = [starts[start.hash], context.relax(last, FORCE_TOLERANCE, MOST_EVALUATIONS)]
        answers = context.evaluate([s for s, _ in found], ["energy", "forces"])
    except PotentialError:
        return  # without arrays `find` says that no quench was possible
    forces = [np.inf if a.forces is None else float(np.abs(a.forces).max()) for a in answers]
    context.save(_name(label, "positions"), np.array([s.positions for s, _ in found]))
    context.save(_name(label, "cells"), np.array([s.cell for s, _ in found]))
    context.save(_name(label, "energy_per_atom"), np.array([e for _, e in found]) / len(start))
    context.save(_name(label, "largest_force"), np.array(forces))


def _name(label: str, what: str) -> str:
    """Arrays have names of letters, digits, '-', '_', '.'."""
    return f"quench.{label.replace('@', '-').replace('#', '-')}.{what}"


@dataclass(frozen=True)
class Finding:
    """What a quench says, in numbers; no words where none was called for."""

    confirmed: bool = False
    words: str = ""


def find(data: Data, label: str, run: Trajectory) -> Finding:
    """Whether the event that ended a run was a fall into a hole."""
    if run.event is None or run.event.what == "not_finite" or len(run.structure) < 2:
        return Finding()
    if not data.has(_name(label, "positions")):
        return Finding(
            words="no quench was possible: the potential gives no numbers for the last frame or the start"
        )
    places = zip(data.array(_name(label, "positions")), data.array(_name(label, "cells")), strict=True)
    start, last = (run.structure.with_positions(x, cell) for x, cell in places)
    energies, forces = data.array(_name(label, "energy_per_atom")), data.array(_name(label, "largest_force"))
    gain = float(energies[0] - energies[1])
    distance, limit, i, j = tightest_contact(last, contact_limits(start))
    confirmed = distance < limit and gain > MARGIN_EV_PER_ATOM
    shell = SHELL * structure.neighbour_distance(start.positions, start.cell, start.pbc)
    before, after = (
        float(structure.coordination(s.positions, s.cell, s.pbc, shell).mean()) for s in (start, last)
    )
    verdict = "a hole in the energy surface, confirmed" if confirmed else "no hole confirmed"
    side = "below" if gain > 0 else "above"
    text = (
        f"{verdict}: quenched, the last frame lies {abs(gain):.4g} eV/atom {side} the quenched start (margin "
        f"{MARGIN_EV_PER_ATOM:g}); its tightest contact, atoms {i} and {j}, is {distance:.3f} A (unphysical "
        f"below {limit:.3f} A); mean coordination {after:.2f}, at the start {before:.2f}"
    )
    if forces.max() > FORCE_TOLERANCE:
        text += f"; quenched not quite to a minimum, largest force {forces.max():.2g} eV/A"
    return Finding(confirmed, text)


def contact_limits(start: Structure) -> np.ndarray:
    """Distance below which two atoms are unphysically close, (n_elements, n_elements) A.

    0.6 covalent sums; or 0.75 of the distance between neighbours of these elements in the start, where
    that is more. Elements in the order of their atomic numbers.
    """
    kinds, kind = np.unique(start.numbers, return_inverse=True)
    radii = structure.COVALENT_RADII[np.minimum(kinds, len(structure.COVALENT_RADII) - 1)]
    sums = radii[:, None] + radii[None, :]
    reach = max(structure.closest_contact(start.positions, start.cell, start.pbc)[0], COINCIDENT_A)
    nearest = np.full(len(start), np.inf)
    while not NEAREST * nearest.max() <= reach:
        reach *= 1.5
        near = structure.pairs(start.positions, start.cell, start.pbc, reach)
        np.minimum.at(nearest, near.first, near.distances)
        np.minimum.at(nearest, near.second, near.distances)
    kept = near.distances <= NEAREST * np.minimum(nearest[near.first], nearest[near.second])
    first, second, distances = kind[near.first[kept]], kind[near.second[kept]], near.distances[kept]
    apart = np.full(sums.shape, np.inf)
    np.minimum.at(apart, (first, second), distances)
    np.minimum.at(apart, (second, first), distances)
    return np.asarray(
        np.maximum(COVALENT_SHARE * sums, np.where(apart < LOOSE * sums, NEIGHBOUR_SHARE * apart, 0.0))
    )


def tightest_contact(s: Structure, limits: np.ndarray) -> tuple[float, float, int, int]:
    """Distance, its limit, and the atoms of the pair that is closest measured by its limit."""
    kind = np.unique(s.numbers, return_inverse=True)[1]
    closest, i, j = structure.closest_contact(s.positions, s.cell, s.pbc)
    # No pair with a smaller share of its limit is further apart than that share of the largest limit.
    reach = (1 + 1e-9) * closest / limits[kind[i], kind[j]] * float(limits.max())
    near = structure.pairs(s.positions, s.cell, s.pbc, max(reach, COINCIDENT_A))
    limit = limits[kind[near.first], kind[near.second]]
    k = int(np.argmin(near.distances / limit))
    return float(near.distances[k]), float(limit[k]), int(near.first[k]), int(near.second[k])
