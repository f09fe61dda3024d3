"""What became of the atoms along a run: bonds of molecules, order of solids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.api import Structure, Trajectory, structure

FEWEST_FRAMES = 4
ORDERED_SPREAD = 0.06
MOST_FRAMES = 400


@dataclass(frozen=True)
class Watch:
    """Findings along one run; None where a quantity makes no sense for the system."""

    words: str
    lindemann: float | None = None
    kept: np.ndarray | None = None  # (n_frames,) share of the start's neighbours kept
    bond_changes: int | None = None


def watch(run: Trajectory) -> Watch:
    """Bond graph for molecules, Lindemann ratio and neighbours for ordered solids."""
    start = run.structure
    if len(run.positions) < FEWEST_FRAMES or len(start) < 2:
        return Watch("too few frames to tell")
    if not np.isfinite(run.positions).all():
        return Watch("positions are not numbers at the end")
    graph = structure.bonds(start.numbers, start.positions, start.cell, start.pbc)
    if structure.molecules(len(start), graph) is not None:
        return _molecules(run, graph)
    return _solid(run) if start.pbc.any() else Watch("a cluster without covalent bonds: nothing tracked")


def _molecules(run: Trajectory, graph: structure.Pairs) -> Watch:
    start = run.structure
    chosen = np.unique(np.linspace(0, len(run.positions) - 1, MOST_FRAMES).astype(int))
    changes = [
        structure.bond_changes(start.numbers, graph, run.positions[k], run.cells[k], start.pbc)
        for k in chosen
    ]
    worst = max(changes, key=lambda c: c.broken + c.formed)
    last = changes[-1]
    if worst.broken + worst.formed == 0:
        return Watch("all bonds of the start kept", bond_changes=0)
    return Watch(
        f"bonds broken {last.broken}, formed {last.formed}, atoms exchanged {last.exchanged} at the end "
        f"(at most {worst.broken} and {worst.formed})",
        bond_changes=worst.broken + worst.formed,
    )


def _solid(run: Trajectory) -> Watch:
    """Lindemann ratio and phase, where the start is ordered; the first tenth is left to equilibrate."""
    start = run.structure
    distance = structure.neighbour_distance(start.positions, start.cell, start.pbc)
    origin = np.concatenate([start.positions[None], run.positions])
    cells = np.concatenate([start.cell[None], run.cells])
    kept = structure.neighbours_kept(origin, cells, start.pbc, distance)[1:]
    if not _ordered(start, distance):
        return Watch("the start is not an ordered solid: melting has no meaning here", kept=kept)
    later = run.positions[len(run.positions) // 10 :]
    ratio = structure.lindemann_ratio(later, start.masses, distance)
    if run.event is not None:
        return Watch("broke off: the structure says no more", ratio, kept)
    msd = structure.mean_squared_displacement(later, start.masses)
    words = {
        "solid": "stays solid",
        "molten or diffusing": "melted or diffuses: a phase change, physical above the melting point of the "
        "level of theory, and no failure of the dynamics",
        "rearranged": "rearranged to another structure without diffusing: look at the last frames",
    }[structure.phase(ratio, msd, distance, kept)]
    return Watch(f"{words} (Lindemann ratio {ratio:.3f})", ratio, kept)


def _ordered(start: Structure, distance: float) -> bool:
    """Whether all atoms of an element have the same number of neighbours at nearly one distance."""
    near = structure.pairs(start.positions, start.cell, start.pbc, 1.25 * distance)
    counts = structure.coordination(start.positions, start.cell, start.pbc, 1.25 * distance)
    same = all(np.ptp(counts[start.numbers == z]) == 0 for z in np.unique(start.numbers))
    return bool(same and np.std(near.distances) < ORDERED_SPREAD * distance)
