"""Series, pictures and rounding that the built-in suites share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mlipbench.api import Series, Structure, StructurePicture

MOST_POINTS = 2000
LEAST_EXPONENT = -290  # smaller numbers are drawn as zero
FloatArray = npt.NDArray[np.float64]


def rounded(values: FloatArray, digits: int = 6) -> FloatArray:
    """Values to so many significant digits: figures need no more, and files stay small."""
    values = np.asarray(values, dtype=float)
    size = np.abs(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.where((size > 0) & np.isfinite(size), np.floor(np.log10(size)), 0)
    scale = 10.0 ** (digits - 1 - np.maximum(exponent, LEAST_EXPONENT))
    return np.asarray(np.round(values * scale) / scale)


def thinned(n: int, most: int = MOST_POINTS) -> npt.NDArray[np.int64]:
    """Indices 0 .. n-1, evenly thinned to at most `most`."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)


def trace(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A long line thinned to its lowest and highest point in each of 1000 columns."""
    if len(x) <= MOST_POINTS:
        return rounded(x), rounded(y)
    parts = np.array_split(np.arange(len(x)), MOST_POINTS // 2)
    lows = [part[0] + int(np.argmin(y[part])) for part in parts]
    highs = [part[0] + int(np.argmax(y[part])) for part in parts]
    chosen = np.unique(np.array([*lows, *highs]))
    return rounded(x[chosen]), rounded(y[chosen])


def line(x: FloatArray, y: FloatArray, label: str, role: str = "data") -> Series:
    """A line, thinned and rounded; values that are not numbers are left out."""
    known = np.isfinite(x) & np.isfinite(y)
    a, b = trace(x[known], y[known])
    thinned = f"{len(a)} of {known.sum()} points, the lowest and highest of each stretch"
    return Series.model_validate(
        {
            "kind": "line",
            "x": a,
            "y": b,
            "label": label,
            "role": role,
            "thinned": thinned if len(a) < known.sum() else "",
        }
    )


def strip(x: FloatArray, y: FloatArray, half: FloatArray, label: str, role: str = "data") -> Series:
    """A band from y - half to y + half, evenly thinned and rounded; what is no number is left out."""
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & np.isfinite(half))
    chosen = known[thinned(len(known))]
    x, y, half = (np.asarray(values)[chosen] for values in (x, y, half))
    return Series.model_validate(
        {
            "kind": "band",
            "x": rounded(x),
            "y": rounded(y - half),
            "y2": rounded(y + half),
            "label": label,
            "role": role,
            "thinned": f"{len(chosen)} of {len(known)} points" if len(chosen) < len(known) else "",
        }
    )


def level(y: float, label: str, role: str = "limit") -> Series:
    """A horizontal line."""
    return Series.model_validate({"kind": "level", "y": [y], "label": label, "role": role})


def band(low: float, high: float, label: str, role: str = "reference") -> Series:
    """A horizontal band."""
    return Series.model_validate({"kind": "band", "y": [low], "y2": [high], "label": label, "role": role})


def histogram(values: FloatArray, label: str, n_bins: int = 61) -> list[Series]:
    """A density histogram within six robust sigma, and the Gaussian of that sigma."""
    centre = float(np.median(values))
    sigma = max(1.4826 * float(np.median(np.abs(values - centre))), 1e-12)
    edges = np.linspace(centre - 6 * sigma, centre + 6 * sigma, n_bins + 1)
    counts, _ = np.histogram(values, edges)
    density = counts / (len(values) * (edges[1] - edges[0]))
    x = np.linspace(edges[0], edges[-1], 121)
    gauss = np.exp(-0.5 * ((x - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    return [
        Series(kind="bars", x=rounded(edges).tolist(), y=rounded(density).tolist(), label=label),
        Series(
            kind="line",
            x=rounded(x).tolist(),
            y=rounded(gauss).tolist(),
            label="Gaussian of the same robust width",
            role="reference",
        ),
    ]


def picture(
    name: str,
    structure: Structure,
    caption: str,
    alt: str,
    arrows: FloatArray | None = None,
    arrow_unit: str = "",
    highlight: list[int] | None = None,
) -> StructurePicture:
    """A structure to look at, rounded to 1e-4."""
    return StructurePicture(
        id=name,
        caption=caption,
        alt=alt,
        numbers=structure.numbers.tolist(),
        positions=np.round(structure.positions, 4).tolist(),
        cell=np.round(structure.cell, 4).tolist(),
        arrows=[] if arrows is None else rounded(arrows, 4).tolist(),
        arrow_unit=arrow_unit,
        highlight=highlight or [],
    )


def points(x: FloatArray, y: FloatArray, label: str, dense: bool = False) -> Series:
    """A cloud, thinned and rounded."""
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    chosen = known[thinned(len(known))]
    return Series(
        kind="density" if dense else "points",
        x=rounded(x[chosen]).tolist(),
        y=rounded(y[chosen]).tolist(),
        label=label,
        thinned=f"{len(chosen)} of {len(known)} points, evenly chosen" if len(chosen) < len(known) else "",
    )
