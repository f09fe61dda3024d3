"""Figures of the suite `phonons` for a crystal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlipbench.api import Figure, Panel, Series, StructurePicture, phonons, vibrations
from mlipbench_suites.drawing import FloatArray, level, line, picture, points, rounded
from mlipbench_suites.phonon_spectra import IMAGINARY_THZ, Spectra

if TYPE_CHECKING:
    from mlipbench_suites.phonon_numbers import Lowest
    from mlipbench_suites.phonons import PhononsParams

DOS_POINTS = 301
DOS_WIDTH = 0.01  # of the highest frequency: standard deviation of the Gaussian on each mode
NARROWEST_THZ = 1e-3
HOTTEST_K = 1000.0


def figures(p: PhononsParams, s: Spectra, worst: Lowest) -> list[Figure | StructurePicture]:
    """Bands and density of states, errors, thermodynamics, and the worst mode where it is imaginary."""
    found: list[Figure | StructurePicture] = [_spectrum(s, worst), _errors(p, s), _thermal(p, s)]
    if worst.frequency < IMAGINARY_THZ:
        found.append(_mode(s, worst))
    return found


def _spectrum(s: Spectra, worst: Lowest) -> Figure:
    over, against = "", ""
    if s.compared is not None:
        over = f" over the reference ({s.theory or 'level of theory not stated'})"
        mae = float(np.abs(s.compared[0] - s.compared[1]).mean())
        against = f", and they leave the reference by {mae:.3g} THz on average"
    return Figure(
        id="phonons-bands",
        caption=f"Band structure and density of states{over}. Shading: change with the displacement. In a "
        "stable phase of a sound potential no band dips below zero, and bands and peaks lie on those of the "
        "reference.",
        alt=f"Bands go from {worst.frequency:.3g} THz to {s.on_mesh.first.max():.3g} THz{against}.",
        panels=[_bands(s), _density(s)],
    )


def _bands(s: Spectra) -> Panel:
    x = s.path.distances
    series = [_stack(x, [b.first for b in s.along_path], "potential", [b.change for b in s.along_path])]
    references = [b.reference for b in s.along_path if b.reference is not None]
    if references:
        series.append(_stack(x, references, "reference", role="reference"))
    series.append(level(IMAGINARY_THZ, "below it: imaginary"))
    return Panel(
        title="Band structure",
        xlabel="wave vector",
        ylabel="frequency (THz)",
        xticks=_ticks(s.path),
        series=series,
    )


def _stack(
    distances: list[FloatArray],
    frequencies: list[FloatArray],
    label: str,
    changes: list[FloatArray] | None = None,
    role: str = "data",
) -> Series:
    """All bands as one line with gaps between them."""
    x: list[float | None] = []
    y: list[float | None] = []
    error: list[float | None] = []
    for k, (along, rows) in enumerate(zip(distances, frequencies, strict=True)):
        for band in range(rows.shape[1]):
            x += [*rounded(along).tolist(), float(along[-1])]
            y += [*rounded(rows[:, band], 5).tolist(), None]
            if changes is not None:
                error += [*rounded(changes[k][:, band], 3).tolist(), None]
    return Series.model_validate(
        {"kind": "line", "x": x, "y": y, "yerr": error, "label": label, "role": role}
    )


def _ticks(path: phonons.Path) -> list[tuple[float, str]]:
    """Names of the special points; two where the path jumps."""
    ticks: list[tuple[float, str]] = []
    for (a, b), x in zip(path.labels, path.distances, strict=True):
        names = [n.replace("G", "Γ") for n in (a, b)]
        if not ticks:
            ticks.append((float(x[0]), names[0]))
        elif ticks[-1][1] != names[0]:
            ticks[-1] = (ticks[-1][0], f"{ticks[-1][1]}|{names[0]}")
        ticks.append((float(x[-1]), names[1]))
    return ticks


def _density(s: Spectra) -> Panel:
    curves = [s.on_mesh.first, s.on_mesh.check]
    if s.on_mesh.reference is not None:
        curves.append(s.on_mesh.reference)
    low, high = min(c.min() for c in curves), max(c.max() for c in curves)
    width = max(DOS_WIDTH * high, NARROWEST_THZ)
    grid = np.linspace(min(low, 0.0) - 4 * width, high + 4 * width, DOS_POINTS)
    weights = 3.0 * s.free
    densities = [vibrations.density_of_states(c, weights, grid, width) for c in curves]
    main = line(grid, densities[0], "potential")
    main.yerr = rounded(np.abs(densities[0] - densities[1]), 3).tolist()
    series = [main]
    if s.on_mesh.reference is not None:
        series.append(line(grid, densities[2], "reference", "reference"))
    return Panel(
        title=f"Density of states, Gaussians of {width:.2g} THz",
        xlabel="frequency (THz)",
        ylabel="modes an atom (1/THz)",
        series=series,
    )


def _errors(p: PhononsParams, s: Spectra) -> Figure:
    """Change with the displacement, and errors against the reference, against the frequency."""
    f, change = s.at_exact.first[s.computed], s.at_exact.change[s.computed]
    panels = [
        Panel(
            title=f"From {p.displacement_A:g} to {p.check_displacement_A:g} A",
            xlabel="frequency (THz)",
            ylabel="change of the frequency (THz)",
            series=[points(f, change, "exact frequencies"), level(s.noise, "noise floor", "context")],
        )
    ]
    words = f"The displacement moves frequencies by {s.noise:.2g} THz, root mean square"
    if s.compared is not None:
        panels.insert(
            0,
            Panel(
                title="Potential against reference",
                xlabel="reference frequency (THz)",
                ylabel="frequency (THz)",
                series=[
                    points(s.compared[1], s.compared[0], "exact frequencies"),
                    Series(kind="diagonal", label="equal", role="reference"),
                ],
            ),
        )
        words += f"; against the reference they have a slope of {s.slope:.3f}"
    return Figure(
        id="phonons-errors",
        caption="Frequencies against those of the reference where there is one, and what the choice of the "
        "displacement does to them. A sound potential lies on the diagonal (below it: softened), and its "
        "errors are far above the noise floor or small.",
        alt=f"{words}.",
        panels=panels,
    )


def _thermal(p: PhononsParams, s: Spectra) -> Figure:
    temperatures = np.linspace(10.0, max(HOTTEST_K, 1.2 * p.temperature_K), 60)
    named = {"potential": s.on_mesh.first}
    if s.on_mesh.reference is not None:
        named["reference"] = s.on_mesh.reference
    heat, free = [], []
    for label, frequencies in named.items():
        found = [vibrations.thermal(frequencies, s.free, float(t)) for t in temperatures]
        role = "data" if label == "potential" else "reference"
        capacity = vibrations.GAS_CONSTANT * np.array([t.heat_capacity for t in found])
        heat.append(line(temperatures, capacity, label, role))
        free.append(line(temperatures, 1000 * np.array([t.free_energy for t in found]), label, role))
    limit = 3 * vibrations.GAS_CONSTANT
    return Figure(
        id="phonons-thermal",
        caption="Harmonic heat capacity at constant volume with the limit of Dulong and Petit, and "
        "vibrational free energy. A potential that is too soft has too large a heat capacity and too low a "
        "free energy.",
        alt=f"The heat capacity rises to {heat[0].y[-1]:.3g} J/mol/K at {temperatures[-1]:.0f} K.",
        panels=[
            Panel(
                title="Heat capacity",
                xlabel="temperature (K)",
                ylabel="C_V (J/mol/K)",
                series=[*heat, level(limit, "Dulong and Petit", "context")],
            ),
            Panel(title="Free energy", xlabel="temperature (K)", ylabel="F (meV/atom)", series=free),
        ],
    )


def _mode(s: Spectra, worst: Lowest) -> StructurePicture:
    """Displacements along the lowest mode, in the supercell."""
    return picture(
        "phonons-lowest-mode",
        s.supercell,
        f"The mode of lowest frequency, {worst.frequency:.3g} THz at q = "
        f"({', '.join(f'{x:.3g}' for x in worst.q)}): the arrows point where the atoms go. Along them the "
        "energy falls, so this is not the stable phase of this potential. A sound potential has no such "
        "mode.",
        f"Displacements of the imaginary mode at {worst.frequency:.3g} THz.",
        arrows=s.dynamics.pattern(worst.q, worst.band),
        arrow_unit="relative",
    )
