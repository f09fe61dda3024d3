"""Configurations as SVG: atoms as discs, bonds, the cell, arrows for forces, rings for marked atoms.

Orthographic projection from a fixed, slightly turned direction, far things first. Arrows share one
scale, told by the key under the picture.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from mlipbench.core.figure import StructurePicture
from mlipbench.report import elements
from mlipbench.report.numbers import pretty_unit

WIDTH = 460.0  # user units
MOST_BONDED = 600  # bonds are drawn up to this number of atoms
_DISC = 0.5  # radius of a disc in covalent radii
_BOND = 1.2  # a bond joins atoms closer than this times the sum of their covalent radii
_LONGEST_ARROW = 0.16  # of the picture's width
_SHORTEST_ARROW = 2.5  # user units; what is shorter is not drawn
_TURN, _TILT = math.radians(-18.0), math.radians(14.0)

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class DrawnStructure:
    """The picture, and remarks on what it leaves out."""

    svg: str
    remarks: list[str]


@dataclass(frozen=True)
class _Scene:
    """Projected atoms. `xy` in user units (y down), `depth` grows towards the viewer."""

    numbers: NDArray[np.int64]  # (n,)
    xy: FloatArray  # (n, 2)
    depth: FloatArray  # (n,) A
    arrows: FloatArray  # (n, 2) in the arrows' unit, projected
    marked: NDArray[np.bool_]  # (n,)
    bonds: list[tuple[int, int]]
    cell: list[tuple[FloatArray, FloatArray]]  # edges
    scale: float  # user units per A
    height: float


def draw_structure(picture: StructurePicture, prefix: str, most_atoms: int) -> DrawnStructure:
    """Draw a configuration. `prefix` makes the ids of its title unique on the page.

    Of more than `most_atoms`, marked ones and those nearest to the viewer are drawn.
    """
    remarks: list[str] = []
    positions = np.array(picture.positions, dtype=np.float64).reshape(-1, 3)
    cell = np.array(picture.cell, dtype=np.float64).reshape(-1, 3)
    known: NDArray[np.bool_] = np.asarray(np.isfinite(positions).all(axis=1))
    if not known.all():
        remarks.append(f"{int((~known).sum())} atoms without finite positions are not drawn")
    positions, wrapped = _wrapped(positions, cell)
    if wrapped:
        remarks.append("atoms far outside are folded back into the cell")
    chosen = _chosen(positions, known, picture.highlight, most_atoms)
    if len(chosen) < known.sum():
        remarks.append(f"{len(chosen)} of {int(known.sum())} atoms are drawn")
    scene = _project(picture, positions, cell, chosen)
    keys, height = _keys(scene, picture)
    body = [*_edges(scene), *_solids(scene), *_arrows(scene), *keys]
    svg = (
        f'<svg class="structure" style="overflow:visible" viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" '
        f'aria-labelledby="{prefix}-title {prefix}-desc"><title id="{prefix}-title">'
        f'Atoms of {escape(_formula(picture.numbers))}</title><desc id="{prefix}-desc">'
        f"{escape(picture.alt)}</desc>{''.join(body)}</svg>"
    )
    return DrawnStructure(svg, remarks)


def _wrapped(positions: FloatArray, cell: FloatArray) -> tuple[FloatArray, bool]:
    """Fold atoms into the cell where some lie more than half a cell outside of it."""
    if cell.shape != (3, 3) or abs(np.linalg.det(cell)) < 1e-6:
        return positions, False
    fractional = positions @ np.linalg.inv(cell)
    finite = fractional[np.isfinite(fractional).all(axis=1)]
    if not len(finite) or (finite.min() >= -0.5 and finite.max() <= 1.5):
        return positions, False
    return (fractional - np.floor(fractional)) @ cell, True


def _chosen(
    positions: FloatArray, known: NDArray[np.bool_], highlight: list[int], most: int
) -> NDArray[np.int64]:
    indices = np.flatnonzero(known)
    if len(indices) <= most:
        return indices
    marked = sorted({i for i in highlight if 0 <= i < len(known) and known[i]})
    others = np.setdiff1d(indices, marked)
    nearest = others[np.argsort(-(positions[others] @ _view())[:, 2], kind="stable")]
    return np.array(sorted([*marked, *nearest[: max(most - len(marked), 0)].tolist()]), dtype=np.int64)


def _view() -> FloatArray:
    """Columns: right, up, towards the viewer."""
    turn = np.array(
        [[math.cos(_TURN), 0, math.sin(_TURN)], [0, 1, 0], [-math.sin(_TURN), 0, math.cos(_TURN)]]
    )
    tilt = np.array(
        [[1, 0, 0], [0, math.cos(_TILT), -math.sin(_TILT)], [0, math.sin(_TILT), math.cos(_TILT)]]
    )
    return np.asarray((tilt @ turn).T)


def _project(
    picture: StructurePicture, positions: FloatArray, cell: FloatArray, chosen: NDArray[np.int64]
) -> _Scene:
    view = _view()
    atoms = positions[chosen] @ view
    has_cell = cell.shape == (3, 3) and bool(np.any(cell))
    corners = (
        np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ cell @ view
        if has_cell
        else None
    )
    points = np.concatenate([a for a in (atoms, corners) if a is not None and len(a)] or [np.zeros((1, 3))])
    low, high = points[:, :2].min(axis=0) - 1.0, points[:, :2].max(axis=0) + 1.0
    scale = min(WIDTH / (high[0] - low[0]), WIDTH / (high[1] - low[1]))
    offset = (WIDTH - scale * (high[0] - low[0])) / 2

    def flat(projected: FloatArray) -> FloatArray:
        return np.stack(
            [offset + scale * (projected[:, 0] - low[0]), scale * (high[1] - projected[:, 1])], axis=1
        )

    numbers = np.array(picture.numbers, dtype=np.int64)[chosen]
    arrows = np.zeros((len(chosen), 2))
    if picture.arrows:
        arrows = np.nan_to_num((np.array(picture.arrows, dtype=np.float64)[chosen] @ view)[:, :2] * (1, -1))
    edges = []
    if corners is not None:
        drawn = flat(corners)
        edges = [(drawn[i], drawn[i ^ bit]) for i in range(8) for bit in (1, 2, 4) if i < i ^ bit]
    return _Scene(
        numbers=numbers,
        xy=flat(atoms),
        depth=atoms[:, 2],
        arrows=arrows,
        marked=np.isin(chosen, picture.highlight),
        bonds=_bonds(numbers, positions[chosen]),
        cell=edges,
        scale=scale,
        height=scale * (high[1] - low[1]),
    )


def _bonds(numbers: NDArray[np.int64], positions: FloatArray) -> list[tuple[int, int]]:
    if not 1 < len(numbers) <= MOST_BONDED:
        return []
    radii = np.array([elements.radius(int(z)) for z in numbers])
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    first, second = np.nonzero(np.triu(distances < _BOND * (radii[:, None] + radii[None]), k=1))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def _edges(scene: _Scene) -> list[str]:
    return [_line(a, b, "cell") for a, b in scene.cell]


def _line(a: FloatArray, b: FloatArray, style: str) -> str:
    return f'<path class="{style}" d="M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}"/>'


def _solids(scene: _Scene) -> list[str]:
    """Bonds and atoms, far ones first and fainter."""
    depth = scene.depth
    span = float(depth.max() - depth.min()) if len(depth) else 0.0
    nearness = (depth - depth.min()) / span if span > 0 else np.ones(len(depth))
    parts: list[tuple[float, str]] = []
    for i, j in scene.bonds:
        place = (depth[i] + depth[j]) / 2 - 1e-3
        faint = 0.25 + 0.5 * (nearness[i] + nearness[j]) / 2
        bond = _line(scene.xy[i], scene.xy[j], "bond")
        parts.append((place, bond.replace("/>", f' stroke-opacity="{faint:.2f}"/>')))
    for i, number in enumerate(scene.numbers):
        x, y = scene.xy[i]
        size = max(_DISC * elements.radius(int(number)) * scene.scale, 2.0)
        disc = (
            f'<circle class="atom" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" '
            f'fill="{_hazed(elements.colour(int(number)), float(nearness[i]))}"/>'
        )
        parts.append((float(depth[i]), disc))
        if scene.marked[i]:  # in front of everything, as it is what the picture is about
            ring = f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="{size + 3:.1f}"/>'
            parts.append((math.inf, ring))
    return [part for _, part in sorted(parts, key=lambda p: p[0])]


def _hazed(colour: str, nearness: float) -> str:
    """Far atoms are mixed with grey, near ones keep their colour."""
    share = 0.45 * (1.0 - nearness)
    mixed = (
        round((1 - share) * int(colour[i : i + 2], 16) + share * level)
        for i, level in ((1, 168), (3, 172), (5, 178))
    )
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _arrow_scale(scene: _Scene) -> float:
    """User units per unit of the arrows."""
    longest = float(np.linalg.norm(scene.arrows, axis=1).max()) if len(scene.arrows) else 0.0
    return _LONGEST_ARROW * WIDTH / longest if longest > 0 else 0.0


def _arrows(scene: _Scene) -> list[str]:
    scale = _arrow_scale(scene)
    if not scale:
        return []
    lengths = np.linalg.norm(scene.arrows, axis=1) * scale
    return [
        _arrow(scene.xy[i], scene.xy[i] + scale * scene.arrows[i])
        for i in np.argsort(scene.depth, kind="stable")
        if lengths[i] > _SHORTEST_ARROW
    ]


def _arrow(start: FloatArray, end: FloatArray) -> str:
    along = (end - start) / np.linalg.norm(end - start)
    across = np.array([-along[1], along[0]])
    head = min(6.5, 0.5 * float(np.linalg.norm(end - start)))
    neck = end - head * along
    left, right = neck + 0.48 * head * across, neck - 0.48 * head * across
    return (
        f'<path class="arrow-halo" d="M{start[0]:.1f} {start[1]:.1f}L{neck[0]:.1f} {neck[1]:.1f}"/>'
        f'<path class="arrow" d="M{start[0]:.1f} {start[1]:.1f}L{neck[0]:.1f} {neck[1]:.1f}"/>'
        f'<path class="arrow-head" d="M{end[0]:.1f} {end[1]:.1f}L{left[0]:.1f} {left[1]:.1f}'
        f'L{right[0]:.1f} {right[1]:.1f}z"/>'
    )


def nice(value: float) -> float:
    """The largest of 1, 2, 5 x 10^n not above a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (5.0, 2.0, 1.0) if factor * power <= value * (1 + 1e-9))


def _keys(scene: _Scene, picture: StructurePicture) -> tuple[list[str], float]:
    """Scale bar, arrow key, elements and the ring's meaning, in a row under the picture."""
    y = scene.height + 22.0
    bar = nice(0.22 * WIDTH / scene.scale)
    x = 12.0
    parts = [
        f'<path class="bar" d="M{x} {y - 4}v8M{x} {y}h{bar * scene.scale:.1f}'
        f'M{x + bar * scene.scale:.1f} {y - 4}v8"/>'
    ]
    x += bar * scene.scale + 7
    x = _label(parts, x, y, f"{bar:g} Å")
    for number, count in sorted(Counter(picture.numbers).items()):
        parts.append(
            f'<circle class="atom" cx="{x + 6:.1f}" cy="{y}" r="6" fill="{elements.colour(number)}"/>'
        )
        x = _label(parts, x + 16, y, f"{elements.symbol(number)} ({count})")
    scale = _arrow_scale(scene)
    if scale or picture.highlight:
        x, y = 12.0, y + 24.0
    if scale:
        length = nice(0.7 * _LONGEST_ARROW * WIDTH / scale)
        parts.append(_arrow(np.array([x, y]), np.array([x + length * scale, y])))
        x = _label(parts, x + length * scale + 7, y, f"{length:g} {pretty_unit(picture.arrow_unit)}".strip())
    if picture.highlight:
        parts.append(f'<circle class="ring" cx="{x + 7:.1f}" cy="{y}" r="7"/>')
        x = _label(parts, x + 19, y, "marked atom" if len(picture.highlight) == 1 else "marked atoms")
    return parts, y + 16.0


def _label(parts: list[str], x: float, y: float, text: str) -> float:
    """Write a label and return where the next key may begin."""
    parts.append(f'<text x="{x:.1f}" y="{y + 4.5:.1f}">{escape(text)}</text>')
    return x + 7.6 * len(text) + 20


def _formula(numbers: list[int]) -> str:
    """`Na32Cl32`."""
    counts = Counter(elements.symbol(z) for z in numbers)
    return "".join(f"{name}{count if count > 1 else ''}" for name, count in counts.items())
