"""Figure and table of the suite `dynamics`."""

from __future__ import annotations

import numpy as np

from mlipbench.api import Figure, Panel, Table, blocks
from mlipbench_suites.diffusion_numbers import Mobility
from mlipbench_suites.drawing import line, strip
from mlipbench_suites.runs import Run

TWO_SIDED = 1.96


def displacements(every: list[Mobility], from_ps: float, to_ps: float, run: Run) -> Figure:
    """Mean squared displacements with their slopes; one panel a species."""
    message = "; ".join(_words(one) for one in every)
    return Figure(
        id=f"dynamics-msd-{run.temperature_K:g}K",
        caption=f"Mean squared displacement at {run.temperature_K:g} K with a band of 95 % confidence at "
        f"each lag, and the slope from {from_ps:g} to {to_ps:g} ps: {message}. In a liquid it grows as the "
        "lag, in a solid it stays at twice the mean squared vibration.",
        alt=f"Diffusion: {message}.",
        panels=[_panel(one, from_ps, to_ps) for one in every],
    )


def _panel(one: Mobility, from_ps: float, to_ps: float) -> Panel:
    d = one.displacement
    half = np.full(len(d.msd), np.nan)
    if len(d.series) >= blocks.FEWEST_BLOCKS:
        half = TWO_SIDED * d.series.std(axis=0, ddof=1) / np.sqrt(len(d.series))
    series = [strip(d.lags_ps, d.msd, half, "95 %"), line(d.lags_ps, d.msd, one.name)]
    if one.moves:
        inside = (d.lags_ps >= from_ps) & (d.lags_ps <= to_ps)
        ends = np.array([from_ps, to_ps])
        middle = float(d.msd[inside].mean()), float(d.lags_ps[inside].mean())
        fitted = middle[0] + 6 * one.periodic.value * (ends - middle[1])
        series.append(line(ends, fitted, "slope 6 D", "fit"))
    return Panel(title=one.name, xlabel="lag (ps)", ylabel="displacement squared (A^2)", series=series)


def _words(one: Mobility) -> str:
    if not one.moves:
        return f"{one.name} does not diffuse"
    error = "" if one.periodic.stderr is None else f" ± {one.periodic.stderr:.1g}"
    return f"{one.name} D = {one.periodic.value:.3g}{error} A^2/ps"


def table(every: list[Mobility]) -> Table:
    """Of all species."""
    return Table(
        id="dynamics-diffusion",
        caption="Diffusion coefficients in the periodic cell and, where the viscosity is given, of an "
        "infinite system; where no atom has left its place, a 95 % bound. 1 A^2/ps is 1e-8 m^2/s.",
        columns=[
            "species", "D (A^2/ps)", "error", "D infinite (A^2/ps)", "error ", "bound (A^2/ps)", "farthest "
            "(A)",
        ],
        rows=[
            [
                one.name,
                one.periodic.value,
                one.periodic.stderr if one.moves else None,
                one.infinite and one.infinite.value,
                one.infinite and one.infinite.stderr if one.moves else None,
                one.bound,
                one.displacement.farthest,
            ]
            for one in every
        ],
    )  # fmt: skip
