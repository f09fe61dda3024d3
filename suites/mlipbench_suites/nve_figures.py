"""Figures of the suite `nve`."""

from __future__ import annotations

import numpy as np

from mlipbench.api import Figure, Panel, Trajectory, drift
from mlipbench_suites.drawing import level, line
from mlipbench_suites.trajectory_checks import finite


def energy(run: Trajectory, fit: drift.Drift, temperature_K: float) -> Figure:
    """Total energy with its fit, temperature, closest contact against time."""
    keep = finite(run)
    time = run.time_fs[keep] / 1000
    total = (run.potential_energy + run.kinetic_energy)[keep]
    values = 1000 * (total - total[:1]) / len(run.structure)
    ends = np.array([time[0], time[-1]]) if len(time) else np.zeros(2)
    error = "" if fit.stderr is None else f" ± {fit.stderr:.2g}"
    slope = f"{fit.slope:.3g}{error} meV/atom/ps"
    event = f" The run ended by {run.event}." if run.event else ""
    allowed = ends * 1.0
    return Figure(
        id=f"nve-energy-{temperature_K:g}K",
        caption=f"NVE run prepared at {temperature_K:g} K: total energy per atom since the start with its "
        f"fitted line ({slope}), temperature, and the closest pair of atoms.{event} A sound potential "
        "shows a flat band of total energy without steps, a temperature that stays about its value, and "
        "contacts far above the limit.",
        alt=f"The total energy at {temperature_K:g} K drifts by {slope}"
        + (" until the run breaks off." if run.event else "."),
        panels=[
            Panel(
                title="Total energy",
                xlabel="time (ps)",
                ylabel="E - E(0) (meV/atom)",
                series=[
                    line(time, values, "total energy"),
                    line(ends, fit.offset + fit.slope * ends, "fitted drift", "fit"),
                    line(ends, allowed, "limit, +1 meV/atom/ps", "limit"),
                    line(ends, -allowed, "limit, -1 meV/atom/ps", "limit"),
                ],
            ),
            Panel(
                title="Temperature",
                xlabel="time (ps)",
                ylabel="temperature (K)",
                series=[
                    line(run.time_fs / 1000, run.temperature, "instantaneous"),
                    level(temperature_K, "prepared at", "reference"),
                ],
            ),
            contact_panel(run),
        ],
    )


def contact_panel(run: Trajectory, limit_A: float = 0.5) -> Panel:
    """Closest pair against time with the limit that ends a run."""
    return Panel(
        title="Closest contact",
        xlabel="time (ps)",
        ylabel="closest pair (A)",
        series=[
            line(run.time_fs / 1000, run.closest_contact, "closest pair"),
            level(limit_A, "ends the run"),
        ],
    )
