"""Figures of the suite `eos_elastic`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlipbench.api import Figure, Panel, Series, elastic, eos
from mlipbench_suites.drawing import FloatArray, level, line, points, rounded

if TYPE_CHECKING:
    from mlipbench_suites.elastic_numbers import Constants

CURVE_POINTS = 121


def equation_of_state(
    volumes: FloatArray, energies: FloatArray, fit: eos.Fit, reference: FloatArray | None, theory: str
) -> Figure:
    """Energies with the fitted curve over the reference's, and the pressure."""
    x = np.linspace(volumes.min(), volumes.max(), CURVE_POINTS)
    energy = [
        points(volumes, 1000 * (energies - fit.energy), "potential"),
        line(x, 1000 * (fit.energies(x) - fit.energy), "fitted curve", "fit"),
    ]
    pressure = [line(x, fit.pressures(x), "potential"), level(0.0, "no pressure", "context")]
    over, where, against = "", "", ""
    if reference is not None:
        other = eos.birch_murnaghan(reference[0], reference[1])
        first, last = max(x[0], reference[0].min()), min(x[-1], reference[0].max())
        if first < last:  # volumes that both have
            y = np.linspace(first, last, CURVE_POINTS)
            energy += _reference_energies(y, reference, other)
            pressure.append(line(y, other.pressures(y), "reference", "reference"))
        over = f" over the reference ({theory}) and its fit"
        where = ", where the reference has it, and the same width"
        against = f", the reference {other.volume:.4g} A^3/atom and {other.bulk_modulus:.4g} GPa"
    return Figure(
        id="eos_elastic-energy",
        caption=f"Energy above the minimum and pressure against volume{over}. A sound potential has one "
        f"smooth minimum{where}.",
        alt=f"The minimum lies at {fit.volume:.4g} A^3/atom with a bulk modulus of {fit.bulk_modulus:.4g} GPa"
        f"{against}.",
        panels=[
            Panel(
                title="Energy",
                xlabel="volume (A^3/atom)",
                ylabel="E - E(V0) (meV/atom)",
                series=energy,
            ),
            Panel(title="Pressure", xlabel="volume (A^3/atom)", ylabel="pressure (GPa)", series=pressure),
        ],
    )


def _reference_energies(x: FloatArray, reference: FloatArray, fit: eos.Fit) -> list[Series]:
    """The reference's energies within the volumes x, and its curve there, meV/atom above its minimum."""
    within = reference[:, (reference[0] >= x[0]) & (reference[0] <= x[-1])]
    marks = points(within[0], 1000 * (within[1] - fit.energy), "reference")
    curve = line(x, 1000 * (fit.energies(x) - fit.energy), "reference, fitted", "reference")
    return [marks.model_copy(update={"role": "reference"}), curve]


def constants(c: Constants, references: Mapping[str, tuple[float, float]]) -> Figure:
    """Independent constants with error bars beside their references."""
    names = [elastic.name(e) for e in c.independent]
    places = np.arange(1.0, len(names) + 1)
    values = np.array([c.values[e] for e in c.independent])
    errors = np.array([c.errors[e] for e in c.independent])
    series = [_bars(places, values, errors, "potential", "data")]
    known = [k for k, name in enumerate(names) if name in references]
    if known:
        theirs = np.array([references[names[k]] for k in known])
        series.append(_bars(places[known], theirs[:, 0], theirs[:, 1], "reference", "reference"))
    series.append(level(0.0, "0", "context"))
    listed = ", ".join(f"{n} {v:.4g}" for n, v in zip(names, values, strict=True))
    ends = [(0.5, ""), (len(names) + 0.5, "")]
    return Figure(
        id="eos_elastic-constants",
        caption="Independent elastic constants with their errors, in the axes of the standardised cell. "
        "Those of a sound potential lie on the reference.",
        alt=f"Elastic constants in GPa: {listed}.",
        panels=[
            Panel(
                xlabel="constant",
                ylabel="elastic constant (GPa)",
                xticks=[ends[0], *zip(places.tolist(), names, strict=True), ends[1]],
                series=series,
            )
        ],
    )


def _bars(x: FloatArray, y: FloatArray, error: FloatArray, label: str, role: str) -> Series:
    return Series.model_validate(
        {
            "kind": "points",
            "x": x.tolist(),
            "y": rounded(y).tolist(),
            "yerr": rounded(error, 3).tolist(),
            "label": label,
            "role": role,
        }
    )
