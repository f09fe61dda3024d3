"""Many points as shading: counts on a hexagonal lattice (Carr et al., J. Am. Stat. Assoc. 82, 424 (1987))."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVELS = 6  # steps of shading between one point and the fullest cell, in the logarithm of the count


@dataclass(frozen=True)
class Shade:
    """All cells of one step of shading."""

    opacity: float
    corners: NDArray[np.float64]  # (n_cells, 6, 2), in units of the box: 0 to 1


@dataclass(frozen=True)
class Shading:
    """Cells in steps of shading, and the count of the fullest one."""

    shades: list[Shade]
    fullest: int


def shade(points: NDArray[np.float64], cells_across: int = 44) -> Shading:
    """Bin points, (n, 2) in units of a square box (0 to 1), into hexagons."""
    width = 1.0 / cells_across
    height = width * np.sqrt(3.0)
    even = np.round(points / (width, height))
    odd = np.floor(points / (width, height)) + 0.5
    distances = [(((points / (width, height) - c) * (width, height)) ** 2).sum(axis=1) for c in (even, odd)]
    nearest = np.where((distances[0] <= distances[1])[:, None], even, odd)
    cells, counts = np.unique(nearest, axis=0, return_counts=True)
    fullest = int(counts.max()) if len(counts) else 0
    if not fullest:
        return Shading([], 0)
    step = np.ceil(LEVELS * np.log1p(counts) / np.log1p(fullest)).astype(int)
    angles = np.deg2rad(np.arange(30, 390, 60))
    hexagon = np.stack([np.cos(angles), np.sin(angles)], axis=1) * width / np.sqrt(3.0)
    corners = (cells * (width, height))[:, None, :] + hexagon[None]
    shades = [
        Shade(opacity=0.16 + 0.84 * (level - 1) / (LEVELS - 1), corners=corners[step == level])
        for level in range(1, LEVELS + 1)
        if np.any(step == level)
    ]
    return Shading(shades, fullest)
