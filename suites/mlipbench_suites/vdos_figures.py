"""Figures and tables of the suite `vdos`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols

from mlipbench.api import Figure, Panel, Table, blocks, vdos
from mlipbench_suites.drawing import line, strip
from mlipbench_suites.held_against import Held
from mlipbench_suites.runs import Run
from mlipbench_suites.vdos_numbers import TOTAL, degrees_of_freedom, of_species, shares

if TYPE_CHECKING:
    from mlipbench_suites.vdos import Band

TWO_SIDED = 1.96
SHOWN = 0.99  # of the integral; the kicks of a thermostat leave up to half a percent far out
MARGIN = 1.2  # beyond that


def spectra(
    found: vdos.Spectra, held: list[Held], bands: Mapping[str, Band], temperature_K: float
) -> list[Figure]:
    """One figure for all species together, with references; one for each where there are several."""
    names = [TOTAL, *(chemical_symbols[z] for z in found.species)]
    return [
        _figure(found, name, [h for h in held if h.name == name], bands, temperature_K)
        for name in (names if len(found.species) > 1 else names[:1])
    ]


def _figure(
    found: vdos.Spectra, name: str, held: list[Held], bands: Mapping[str, Band], temperature_K: float
) -> Figure:
    x = found.wavenumbers
    density, series = of_species(found, name)
    total = np.cumsum(found.weights() * density)
    end = min(int(MARGIN * np.searchsorted(total, SHOWN * total[-1])) + 1, len(x))
    half = TWO_SIDED * _errors(series)
    drawn = []
    for h in held:
        scale = float(total[-1]) / float(np.trapezoid(h.y, h.x))
        role = "reference" if h.decides else "context"
        near = h.x <= MARGIN * x[end - 1]
        if h.error is not None:
            half_width = scale * TWO_SIDED * h.error[near]
            drawn.append(strip(h.x[near], scale * h.y[near], half_width, "", role))
        drawn.append(line(h.x[near], scale * h.y[near], h.said, role))
    drawn += [strip(x[:end], density[:end], half[:end], "95 % of the run", "data")]
    drawn += [line(x[:end], density[:end], "this run")]
    shown = found.weights(0, x[end - 1])
    centre = float(density @ (shown * x)) / float(density @ shown)
    message = f"The spectrum of {name if name != TOTAL else 'all atoms'} is centred at {centre:.0f} cm^-1."
    places = [f"{n} {b.window_per_cm[0]:g} to {b.window_per_cm[1]:g}" for n, b in bands.items()
              if name in (TOTAL, b.species)]  # fmt: skip
    expected = f" Centroids are expected (cm^-1): {', '.join(places)}." if places else ""
    return Figure(
        id=f"vdos-{name}-{temperature_K:g}K",
        caption=f"Vibrational density of states of {name} at {temperature_K:g} K, smoothed over "
        f"{found.resolution:.0f} cm^-1, with a band of 95 % confidence at each wavenumber; references are "
        f"scaled to the same integral.{expected} {message} A sound potential lies within the bands of a "
        "reference of its own level of theory and temperature.",
        alt=message,
        panels=[
            Panel(
                title="Density of states",
                xlabel="wavenumber (cm^-1)",
                ylabel="degrees of freedom per cm^-1",
                series=drawn,
            )
        ],
    )


def _errors(series: np.ndarray) -> np.ndarray:
    """Of the mean over segments, taken as independent: (n,)."""
    if len(series) < blocks.FEWEST_BLOCKS:
        return np.full(series.shape[1], np.nan)
    return np.asarray(series.std(axis=0, ddof=1) / np.sqrt(len(series)))


def weights(found: vdos.Spectra, run: Run) -> Table:
    """Degrees of freedom of each species."""
    n = degrees_of_freedom(run)
    return Table(
        id="vdos-freedom",
        caption="Integral of the spectrum of each species beside the degrees of freedom that equipartition "
        f"gives it; {n:g} in all.",
        columns=["species", "integral", "by equipartition"],
        rows=[
            [chemical_symbols[z], float(integral), share]
            for z, integral, share in zip(found.species, found.integral(), shares(run).values(), strict=True)
        ],
    )


def band_table(rows: list[list[str | float | int | None]]) -> Table:
    """Centroids and weights of the bands."""
    return Table(
        id="vdos-bands",
        caption="Bands: centroid (one standard error) against its window, share of all degrees of freedom in "
        "the range against what is expected, and whose they are.",
        columns=[
            "band", "species, range", "centroid (cm^-1)", "error", "window (cm^-1)", "where",
            "share", "error ", "expected", "share by species",
        ],
        rows=rows,
    )  # fmt: skip
