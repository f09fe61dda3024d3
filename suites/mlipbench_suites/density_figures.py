"""Figures of the suite `density`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mlipbench.api import Figure, Panel, Series, Trajectory, stats
from mlipbench_suites.density_numbers import G_PER_CM3, Reference, Run
from mlipbench_suites.drawing import band, histogram, level, line

MOST_RUNS = 4
View = Callable[[np.ndarray], np.ndarray]  # density in g/cm^3 -> what is drawn


def traces(
    runs: Sequence[Run],
    mean: stats.Average | None,
    known: Reference,
    limit: float,
    pressure_bar: float,
    t: float,
) -> Figure:
    """Density, volume, pressure and temperature against time; the reference with its errors."""
    drawn = list(runs)[:MOST_RUNS]
    words = "no mean density"
    if mean is not None and mean.stderr is not None:
        words = f"the mean density is {mean.value:.4g} ± {mean.stderr:.2g} g/cm^3"
    broken = sum(run.trajectory.event is not None for run in runs)
    if broken:
        words = f"{broken} of {len(runs)} runs broke off"
    return Figure(
        id="density-traces",
        caption=f"NPT at {t:g} K and {pressure_bar:g} bar: density and volume with the reference "
        f"({known.density:.4g} g/cm^3, the band is its standard error) and the limits of {limit:g} % about "
        f"it, pressure and temperature; what was dropped as equilibration is drawn as context. Here {words}. "
        "A sound potential settles within the limits and fluctuates about a steady mean.",
        alt=f"Along the run {words}, the reference {known.density:.4g} g/cm^3.",
        panels=[
            Panel(
                title="Density",
                xlabel="time (ps)",
                ylabel="density (g/cm^3)",
                series=[*_parts(drawn, lambda d: d), *_known(known, limit, lambda d: d), *_mean(mean)],
            ),
            _volume_panel(drawn, known, limit),
            _panel(drawn, "Pressure", "pressure (bar)", "pressure", pressure_bar, "barostat"),
            _panel(drawn, "Temperature", "temperature (K)", "temperature", t, "thermostat"),
        ],
    )


def distribution(runs: Sequence[Run]) -> Figure:
    """Volumes in equilibrium, with the Gaussian of the same width."""
    run = max(runs, key=lambda r: r.kept_ps)
    volumes = np.asarray(len(run.trajectory.structure) * _per_atom(run, run.densities[run.density.start :]))
    relative = 100 * float(np.std(volumes) / np.mean(volumes))
    return Figure(
        id="density-volumes",
        caption="Distribution of the volume after the equilibration, longest run. Its width tells the bulk "
        "modulus. A system in one phase has a single, nearly Gaussian peak; two peaks or a long tail point "
        "at a change of phase.",
        alt=f"The volume fluctuates by {relative:.2g} % of its mean.",
        panels=[
            Panel(
                title="Volume",
                xlabel="volume (A^3)",
                ylabel="density of probability (1/A^3)",
                series=histogram(volumes, "volumes"),
            )
        ],
    )


def _per_atom(run: Run, densities: np.ndarray) -> np.ndarray:
    start = run.trajectory.structure
    return np.asarray(start.masses.sum() / len(start) * G_PER_CM3 / densities)


def _volume_panel(drawn: Sequence[Run], known: Reference, limit: float) -> Panel:
    def per_atom(d: np.ndarray) -> np.ndarray:
        return _per_atom(drawn[0], np.asarray(d))

    return Panel(
        title="Volume",
        xlabel="time (ps)",
        ylabel="volume per atom (A^3)",
        series=[*_parts(drawn, per_atom), *_known(known, limit, per_atom)],
    )


def _parts(drawn: Sequence[Run], view: View) -> list[Series]:
    """Each run, and before it what was dropped."""
    found = []
    for k, run in enumerate(drawn):
        cut = run.density.start
        name = f"run {k}" if len(drawn) > 1 else "run"
        if cut:
            found.append(
                line(run.times_ps[: cut + 1], view(run.densities[: cut + 1]), f"{name}, dropped", "context")
            )
        found.append(line(run.times_ps[cut:], view(run.densities[cut:]), name))
    return found


def _known(known: Reference, limit: float, view: View) -> list[Series]:
    shares = (1 - limit / 100, 1 + limit / 100)
    found = [level(float(view(np.array(known.density))), "reference", "reference")]
    if known.error:
        ends = [float(view(np.array(known.density + sign * known.error))) for sign in (-1, 1)]
        found.append(band(min(ends), max(ends), "error of the reference", "reference"))
    return found + [
        level(float(view(np.array(known.density * share))), f"limit, {100 * (share - 1):+g} %")
        for share in shares
    ]


def _mean(mean: stats.Average | None) -> list[Series]:
    if mean is None or mean.stderr is None:
        return []
    half = mean.half_width()
    return [
        level(mean.value, "mean", "fit"),
        band(mean.value - half, mean.value + half, "95 % interval of the mean", "fit"),
    ]


def _panel(drawn: Sequence[Run], title: str, ylabel: str, name: str, target: float, bath: str) -> Panel:
    def values(run: Trajectory) -> np.ndarray:
        return np.asarray(getattr(run, name))

    return Panel(
        title=title,
        xlabel="time (ps)",
        ylabel=ylabel,
        series=[
            *(
                line(
                    r.trajectory.time_fs / 1000, values(r.trajectory), f"run {k}" if len(drawn) > 1 else "run"
                )
                for k, r in enumerate(drawn)
            ),
            level(target, bath, "reference"),
        ],
    )
