"""Figures and tables of the suite `rdf`."""

from __future__ import annotations

import numpy as np

from mlipbench.api import Figure, Panel, Series, Table
from mlipbench_suites.drawing import level, line, strip
from mlipbench_suites.held_against import Held
from mlipbench_suites.rdf_numbers import Compared, PeakPair

FEWEST_OF_A_LINE = 10
TWO_SIDED = 1.96  # standard errors of a band


def curves(c: Compared, held: list[Held], temperature_K: float) -> Figure:
    """g(r) with its error band over the references; what is left between them."""
    r, g = c.found.r, c.found.g
    series = []
    for h in held:
        inside = h.x <= c.found.edges[-1]
        role = "reference" if h.decides else "context"
        if h.error is not None:
            series.append(strip(h.x[inside], h.y[inside], TWO_SIDED * h.error[inside], "", role))
        series.append(_drawn(h.x[inside], h.y[inside], h.said, role))
    series += [strip(r, g, TWO_SIDED * c.stderr, "95 % of the run"), line(r, g, "this run")]
    panels = [Panel(title=f"g(r), {c.name}", xlabel="r (A)", ylabel="g", series=series)]
    if c.reference is not None:
        rest = g - c.reference
        theirs = []
        if c.reference_error is not None:
            theirs = [strip(r, 0 * r, TWO_SIDED * c.reference_error, "95 % of the reference", "reference")]
        panels.append(
            Panel(
                title="Run less reference",
                xlabel="r (A)",
                ylabel="g - g_ref",
                series=[
                    *theirs,
                    strip(r, rest, TWO_SIDED * c.stderr, "95 % of the run"),
                    line(r, rest, "difference"),
                    level(0.0, "no difference", "reference"),
                ],
            )
        )
    message = _message(c)
    return Figure(
        id=f"rdf-{c.name}-{temperature_K:g}K",
        caption=f"Radial distribution function of {c.name} at {temperature_K:g} K, with bands of 95 % "
        f"confidence for each bin. {message} A sound potential lies within both bands of a reference of its "
        "own level of theory and temperature; other curves are there for orientation.",
        alt=message,
        panels=panels,
    )


def _drawn(x: np.ndarray, y: np.ndarray, label: str, role: str) -> Series:
    """A line; a few extrema are points."""
    drawn = line(x, y, label, role)
    return drawn if len(x) >= FEWEST_OF_A_LINE else drawn.model_copy(update={"kind": "points"})


def _message(c: Compared) -> str:
    if not c.peaks:
        return f"No peak of {c.name} stands out."
    first = c.peaks[0]
    if first.position is None or first.height is None:
        return f"The first peak of the reference is missing from {c.name}."
    at, height = first.position.value, first.height.value
    text = f"The first peak of {c.name} lies at {at:.3f} A and is {height:.3g} high"
    if first.height_error is None or first.position_error is None:
        return f"{text}."
    return (
        f"{text}, {first.position_error.value:+.2g} % and {first.height_error.value:+.2g} % from the "
        "reference."
    )


def peak_table(every: list[Compared]) -> Table:
    """All peaks."""
    return Table(
        id="rdf-peaks",
        caption="Peaks of g(r) with one standard error, and their relative difference from the reference "
        "(both errors).",
        columns=[
            "pair", "peak", "position (A)", "error (A)", "reference (A)", "difference (%)", "error (%)",
            "height", "error", "reference height", "difference (%) ", "error (%) ",
        ],
        rows=[[c.name, k, *_row(peak)] for c in every for k, peak in enumerate(c.peaks, start=1)],
    )  # fmt: skip


def _row(peak: PeakPair) -> list[str | float | int | None]:
    row: list[str | float | int | None] = []
    for k, (own, relative) in enumerate(
        ((peak.position, peak.position_error), (peak.height, peak.height_error))
    ):
        row += [own and own.value, own and own.stderr, peak.reference and peak.reference[k]]
        row += [relative and relative.value, relative and relative.stderr]
    return row


def shell_table(every: list[Compared]) -> Table:
    """Coordination numbers and differences."""
    return Table(
        id="rdf-shells",
        caption="Neighbours up to the first minimum (of the reference, where there is one; its number at the "
        "density of the run), and the integral of |g - g_ref| over that of g_ref beside the noise floor.",
        columns=[
            "pair", "minimum (A)", "neighbours", "error", "reference neighbours", "difference (%)",
            "noise floor (%)",
        ],
        rows=[
            [
                c.name,
                c.shell_A,
                c.neighbours and c.neighbours.value,
                c.neighbours and c.neighbours.stderr,
                c.reference_neighbours,
                c.difference and 100 * c.difference.value,
                None if c.difference is None or c.difference.floor is None else 100 * c.difference.floor,
            ]
            for c in every
        ],
    )  # fmt: skip
