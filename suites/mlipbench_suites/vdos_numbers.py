"""Numbers of the suite `vdos`: degrees of freedom, bands, distances from references."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from mlipbench.api import BOLTZMANN, Measurement, blocks, vdos
from mlipbench_suites.held_against import Held
from mlipbench_suites.runs import Run

if TYPE_CHECKING:
    from mlipbench_suites.vdos import Band

TOTAL = "total"
FASTEST = 0.2  # part of the spectrum below half the sampling rate that must be empty
SEGMENTS = "error: segments of the run with the memory that the data show"


def known_species(curves: dict[str, Any]) -> dict[str, Any]:
    """Validator: keys are `total` or elements."""
    unknown = sorted(name for name in curves if name != TOTAL and name not in atomic_numbers)
    if unknown:
        raise ValueError(f"expected total or an element, got {', '.join(unknown)}")
    return curves


def of_species(spectra: vdos.Spectra, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Density (n,) and its series (n_segments, n) of an element of the structure, or of all."""
    if name == TOTAL:
        return spectra.density.sum(axis=0), spectra.series.sum(axis=1)
    k = spectra.species.index(atomic_numbers[name])
    return spectra.density[k], spectra.series[:, k]


def degrees_of_freedom(run: Run) -> float:
    """That the kinetic energy of the run is spread over: 2 K / kT, as the monitors count them."""
    kinetic, temperature = run.counted.kinetic_energy, run.counted.temperature
    return float(np.round(2 * kinetic.sum() / (BOLTZMANN * temperature.sum())))


def shares(run: Run) -> dict[int, float]:
    """Degrees of freedom of each species by equipartition, what the centre of mass lacks taken off."""
    s = run.whole.structure
    free = 1.0 - s.masses / s.masses.sum()
    free *= degrees_of_freedom(run) / free.sum()
    return {int(z): float(free[s.numbers == z].sum()) for z in np.unique(s.numbers)}


def freedom(spectra: vdos.Spectra, run: Run, steps: np.ndarray) -> list[Measurement]:
    """The integral against the degrees of freedom, of all and of each species; what may be aliased.

    Each segment of velocities is held against the kinetic energy that the monitors saw meanwhile.
    """
    weights = spectra.weights()
    held = _kinetic(run, steps)
    n = degrees_of_freedom(run)
    every = spectra.series @ weights / held[:, None]  # (n_segments, n_species)
    total = blocks.estimate(100 * (every.sum(axis=1).mean() / n - 1), 100 * (every.sum(axis=1) / n - 1))
    found = [
        Measurement(
            name="degrees_of_freedom",
            value=float(spectra.integral().sum()),
            unit="1",
            exact=True,
            conditions=run.conditions,
            note=f"integral of the spectrum; {n:g} carry the kinetic energy of the run",
        ),
        _measured("freedom_error", total, "%", run.conditions, run, f"integral less count; {SEGMENTS}"),
    ]
    for k, (z, share) in enumerate(shares(run).items()):
        e = blocks.estimate(float(every[:, k].mean()) / share, every[:, k] / share)
        conditions = {**run.conditions, "species": chemical_symbols[z]}
        how = f"degrees of freedom over those of equipartition; {SEGMENTS}"
        found.append(_measured("equipartition", e, "1", conditions, run, how))
    fast = spectra.weights(low=(1 - FASTEST) * spectra.wavenumbers[-1])
    parts = 100 * spectra.series.sum(axis=1) @ fast / n
    e = blocks.estimate(float(parts.mean()), parts)
    how = f"share beyond {(1 - FASTEST) * spectra.wavenumbers[-1]:.0f} cm^-1; {SEGMENTS}"
    return [*found, _measured("aliased_weight", e, "%", run.conditions, run, how)]


def _kinetic(run: Run, steps: np.ndarray) -> np.ndarray:
    """Kinetic energy in each segment over that in all, as the monitors saw it, (n_segments,)."""
    at = np.searchsorted(run.whole.steps, steps)
    parts = [run.whole.kinetic_energy[a:b] for a, b in itertools.pairwise(at)]
    return np.array([part.mean() for part in parts]) / np.concatenate(parts).mean()


@dataclass(frozen=True)
class Bands:
    """Bands as measurements and as rows of a table."""

    measurements: list[Measurement]
    rows: list[list[str | float | int | None]]


def bands(known: Mapping[str, Band], spectra: vdos.Spectra, run: Run) -> Bands:
    """Centroid within its window or not, weight against its share, of each band."""
    found, rows = Bands([], []), []
    x = spectra.wavenumbers
    n = degrees_of_freedom(run)
    for name, band in known.items():
        of = of_species(spectra, band.species)
        inside = spectra.weights(*band.range_per_cm)
        centre = vdos.centroid(x, *of, inside)
        low, high = band.window_per_cm
        away = max(low - centre.value, centre.value - high)
        conditions = {**run.conditions, "band": name}
        parts = spectra.series.sum(axis=1) @ inside / n
        weight = blocks.estimate(float(parts.mean()), parts)
        place = f"{band.species}, {band.range_per_cm[0]:g} to {band.range_per_cm[1]:g} cm^-1"
        outside = blocks.Estimate(away, centre.stderr, centre.n_eff)
        how = f"centroid of the spectrum of {place}; {SEGMENTS}"
        found.measurements.append(_measured("band_centre", centre, "cm^-1", conditions, run, how))
        found.measurements.append(
            _measured("band_outside", outside, "cm^-1", conditions, run, how).model_copy(
                update={"note": f"window {low:g} to {high:g} cm^-1; negative inside"}
            )
        )
        if band.share is not None:
            ratio = blocks.estimate(weight.value / band.share, parts / band.share)
            how = f"degrees of freedom of all species there over the share of {band.share:.3g}; {SEGMENTS}"
            found.measurements.append(_measured("band_weight", ratio, "1", conditions, run, how))
        of_each = zip(spectra.species, spectra.integral(*band.range_per_cm) / n, strict=True)
        rows.append(
            [
                name,
                place,
                centre.value,
                centre.stderr,
                f"{low:g} to {high:g}",
                "inside" if away < 0 else "outside",
                weight.value,
                weight.stderr,
                band.share,
                ", ".join(f"{chemical_symbols[z]} {share:.3g}" for z, share in of_each),
            ]
        )
    return Bands(found.measurements, rows)


def compare(h: Held, spectra: vdos.Spectra, run: Run, rng: np.random.Generator) -> list[Measurement]:
    """Distance from a reference that decides."""
    _, series = of_species(spectra, h.name)
    d = vdos.distance(
        spectra.wavenumbers, series, h.x, h.y, np.zeros(len(h.x)) if h.error is None else h.error, rng
    )
    conditions = {**run.conditions, "species": h.name}
    floor = d.floor or 0.0
    clean = float(np.sqrt(max(d.value**2 - floor**2, 0.0)))
    note = (
        f"{d.value:.3g} cm^-1 as it is, noise floor {floor:.2g} cm^-1, width of the reference {d.width:.3g}"
    )
    if h.error is None:
        note += "; the reference states no errors, and none are counted"
    how = f"Wasserstein-1 distance less its noise floor (in squares) over the reference's width; {SEGMENTS}"
    relative = blocks.Estimate(clean / d.width, None if d.stderr is None else d.stderr / d.width, d.n_eff)
    found = [
        _measured("spectrum_distance", relative, "1", conditions, run, how).model_copy(update={"note": note}),
        _measured(
            "spectrum_w1",
            blocks.Estimate(d.value, d.stderr, d.n_eff),
            "cm^-1",
            conditions,
            run,
            f"area between the normalised integrals; {SEGMENTS}",
        ),
    ]
    if d.floor is not None:
        found.append(
            Measurement(
                name="spectrum_noise_floor",
                value=d.floor,
                unit="cm^-1",
                exact=True,
                conditions=conditions,
                method="half the distance between two halves of the run; the reference's errors added in "
                "squares",
            )
        )
    return found


def _measured(
    name: str, e: blocks.Estimate, unit: str, conditions: dict[str, float | str], run: Run, method: str
) -> Measurement:
    known = np.isfinite(e.value)
    return Measurement(
        name=name,
        value=e.value if known else None,
        unit=unit,
        stderr=e.stderr if known else None,
        n_eff=e.n_eff,
        conditions=conditions,
        evidence=run.evidence,
        method=method,
        note="" if known else "no weight there",
    )
