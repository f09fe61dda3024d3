"""Figures, tables and words of the suite `smoothness`."""

from __future__ import annotations

import numpy as np

from mlipbench.api import Data, Figure, Measurement, Panel, Series, Table, Trajectory
from mlipbench_suites.drawing import line, points, rounded
from mlipbench_suites.smoothness_numbers import Noise, Same, Scan
from mlipbench_suites.smoothness_probes import NOISE_STEP


def figures(
    data: Data, scans: list[Scan], derivative: tuple[np.ndarray, np.ndarray], twin: Noise | None
) -> list[Figure]:
    """The line where most happens, forces against differences, noise."""
    return [_scan(scans), _derivative(*derivative), _noise(data, twin)]


def _scan(scans: list[Scan]) -> Figure:
    """Energy, force and its slope along the line with the largest jump."""
    worst = max(scans, key=lambda s: (abs(s.energy.size), abs(s.force.size), abs(s.slope.size)))
    x, energy, force = worst.stretches[0]
    where, words = _what(worst)
    fine = [s for s in worst.stretches[1:] if s.shape[1] > 1]
    centre = min(fine, key=lambda s: abs(float(s[0].mean()) - where)) if fine else worst.stretches[0]
    panels = [
        Panel(
            title="Energy",
            xlabel="displacement (A)",
            ylabel="energy (eV)",
            series=[line(x, energy - energy[len(x) // 2], "energy")],
        ),
        Panel(
            title="Force",
            xlabel="displacement (A)",
            ylabel="force along the line (eV/A)",
            series=[line(x, force, "force")],
        ),
        Panel(
            title=f"Around {where:.2f} A",
            xlabel="displacement (A)",
            ylabel="energy less its cubic (meV)",
            series=[line(centre[0], 1000 * _bent(centre[0], centre[1]), "energy less its cubic")],
        ),
        Panel(
            title="Slope",
            xlabel="displacement (A)",
            ylabel="d(force)/dx (eV/A^2)",
            series=[line(centre[0], np.gradient(centre[2], centre[0]), "slope of the force")],
        ),
    ]
    return Figure(
        id="smoothness-scan",
        caption=f"Atom {worst.atom} led along the line with the largest jump ({words}): energy and force on "
        "the whole line, and in small steps about the place, the energy less the cubic that fits it best and "
        "the slope of the force. A sound potential shows smooth curves, however closely one looks.",
        alt=f"Energy and force of an atom led along a line: {words}.",
        panels=panels,
    )


def _bent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    centred = x - x.mean()
    fit: np.ndarray = np.polyval(np.polyfit(centred, y, 3), centred)
    return y - fit


def _what(scan: Scan) -> tuple[float, str]:
    """Where a line is most broken, and how."""
    kinds = (
        ("energy", scan.energy, "eV"),
        ("force", scan.force, "eV/A"),
        ("slope of the force", scan.slope, "eV/A^2"),
    )
    for name, jump, unit in kinds:
        if jump.size:
            return jump.position, f"the {name} jumps by {jump.size:.3g} {unit} at {jump.position:.3f} A"
    return scan.slope.position, "nothing jumps"


def _derivative(got: np.ndarray, expected: np.ndarray) -> Figure:
    difference = 1000 * (got - expected)
    largest = float(np.abs(difference).max())
    ends = np.array([expected.min(), expected.max()])
    return Figure(
        id="smoothness-derivative",
        caption="Force components against central differences of the energy, and what lies between the "
        "two. A sound potential lies on the diagonal; its differences are the rounding of the energy.",
        alt=f"Forces and differences of the energy lie within {largest:.2g} meV/A.",
        panels=[
            Panel(
                title="Forces",
                xlabel="-dE/dx (eV/A)",
                ylabel="force (eV/A)",
                series=[
                    points(expected, got, "components"),
                    Series(kind="diagonal", x=rounded(ends).tolist(), role="reference", label="equal"),
                ],
            ),
            Panel(
                title="Difference",
                xlabel="-dE/dx (eV/A)",
                ylabel="force less -dE/dx (meV/A)",
                series=[points(expected, difference, "components")],
            ),
        ],
    )


def _noise(data: Data, twin: Noise | None) -> Figure:
    """Energies of the first fine line less their cubic, in each precision."""
    x = NOISE_STEP * np.arange(data.array("noise.energy").shape[1])
    series = [line(x, 1000 * _bent(x, data.array("noise.energy")[0]), "as it is")]
    if twin is not None:
        other = str(data.array("twin.dtype")[0])
        series.append(line(x, 1000 * _bent(x, data.array("twin.noise.energy")), other, "context"))
    return Figure(
        id="smoothness-noise",
        caption="Total energy while one atom is led along a line of 0.016 A, less the cubic that fits it "
        "best. What scatters from point to point is rounding noise; a sound potential in float64 shows a "
        "smooth curve.",
        alt="Energy along a fine line less its cubic: the scatter is rounding noise.",
        panels=[
            Panel(
                title="Rounding noise",
                xlabel="displacement (A)",
                ylabel="energy less its cubic (meV)",
                series=series,
            )
        ],
    )


def jump_table(scans: list[Scan]) -> Table:
    """Every line with what was found on it."""
    rows: list[list[str | float | int | None]] = [
        [
            k,
            s.frame,
            s.atom,
            *(
                value
                for b in (s.energy, s.force, s.slope)
                for value in (b.size, b.position if b.size else None)
            ),
        ]
        for k, s in enumerate(scans)
    ]
    return Table(
        id="smoothness-jumps",
        caption="Lines along which an atom was led, with the largest jump on each (0: none stands out) and "
        "the displacement where it lies.",
        columns=[
            "line",
            "frame",
            "atom",
            "jump of energy (eV)",
            "at (A)",
            "of force (eV/A)",
            "at (A) ",
            "of slope (eV/A^2)",
            "at (A)  ",
        ],
        rows=rows,
    )


def same_table(same: Same) -> Table:
    """Questions that mean the same, and how far their answers lie apart."""
    stress = [None] * len(same.names) if same.stress is None else same.stress.tolist()
    return Table(
        id="smoothness-same",
        caption="The same physical question in other words: largest difference to the plain question.",
        columns=["question", "energy (meV/atom)", "forces (meV/A)", "stress (eV/A^3)"],
        rows=[
            [name, float(e), float(f), s]
            for name, e, f, s in zip(same.names, same.energy, same.forces, stress, strict=True)
        ],
    )


def words(measurements: list[Measurement], n_jumps: int, cutoff: float | None, run: Trajectory) -> list[str]:
    """Remarks: the cutoff where jumps lie, what is behind forces that are no gradient, precision."""
    by_name = {m.name: m for m in measurements}
    found = []
    if run.event is not None:
        found.append(f"The run that gives the configurations ended by {run.event}; rattled copies stand in.")
    if cutoff is not None:
        found.append(
            f"All jumps lie where a neighbour passes {cutoff:.3f} A: a cutoff at which the potential does "
            "not end smoothly. Use a smoother cutoff function (a larger num_polynomial_cutoff), or shift it."
        )
    elif n_jumps:
        found.append(
            f"Jumps were found at {n_jumps} places, too few or too different to name the distance to a "
            "neighbour that they share: look at the table of jumps."
        )
    force, asymmetric, work = (
        by_name[name].value or 0.0 for name in ("force_error", "hessian_asymmetry", "loop_work")
    )
    if force > 5.0:
        curled = asymmetric > 1.0 or work > 1.0
        found.append(
            "Forces are no gradient of any energy: their Hessian is asymmetric or they do work around a loop."
            if curled
            else "Forces differ from -dE/dx, and show no curl: they may be the gradient of another energy."
        )
    noisy = by_name["energy_noise"]
    if noisy.value is not None and noisy.value > 1000:
        found.append(
            f"The energy scatters {noisy.value:.2g} times as much as its declared precision rounds: the "
            "arithmetic inside is coarser than declared (float32?)."
        )
    return found
