"""Measurements and remarks of the suite `density`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase.geometry import cell_to_cellpar
from numpy.typing import NDArray
from scipy.special import chdtri

from mlipbench.api import (
    Measurement,
    Scalar,
    Trajectory,
    conversion_factor,
    drift,
    stats,
)
from mlipbench.api import density as fluctuation
from mlipbench_suites.density_criteria import LARGEST_STDERR, Asked
from mlipbench_suites.density_numbers import Reference, RigidPressures, Run, relative_error
from mlipbench_suites.hole import Finding
from mlipbench_suites.trajectory_checks import explained, finite, realised

BEYOND_CHANCE = 1e-3  # probability that runs of one density differ so much
TEMPERATURE_APART = 0.01  # share by which a reference's temperature may differ without a remark


@dataclass(frozen=True)
class Found:
    """Measurements about the density, and the mean behind them (g/cm^3) where there is one."""

    measurements: list[Measurement]
    mean: stats.Average | None


def stress(rigid: RigidPressures, asked: Asked) -> list[Measurement]:
    """The stress against the energy, and what the start presses with at rest."""
    sign = "; the sign is reversed" if rigid.reversed else ""
    pairs = ", ".join(
        f"{a:.4g} and {b:.4g}" for a, b in zip(rigid.from_stress, rigid.from_energy, strict=True)
    )
    return [
        Measurement(
            name="stress_error",
            value=rigid.error,
            unit="%",
            exact=True,
            method="largest difference of -tr(stress)/3 and -dE/dV (central differences, extrapolated) over "
            "the largest pressure, start scaled to 0.98, 1 and 1.02 of its volume",
            note=f"pressures from stress and energy in GPa: {pairs}{sign}",
        ),
        Measurement(
            name="pressure_at_start",
            value=float(rigid.from_stress[1]),
            unit="GPa",
            exact=True,
            method="-tr(stress)/3 of the structure as given, atoms at rest",
        ),
        Measurement(
            name="bulk_modulus_rigid",
            value=rigid.bulk_modulus,
            unit="GPa",
            exact=True,
            method="-V dP/dV of the start scaled as a whole, atoms at rest: without thermal softening, and "
            "far too large for molecules",
        ),
    ]


def not_run(rigid: RigidPressures, asked: Asked) -> list[Measurement]:
    """What stands for a density that was not computed."""
    why = f"not run: the stress is wrong by {rigid.error:.3g} %{' (reversed sign)' if rigid.reversed else ''}"
    return [
        Measurement(name="density_error", value=None, unit="%", conditions=asked.conditions, note=why),
    ]


def density(
    analysed: Sequence[Run],
    prepared: Sequence[Trajectory],
    runs: Sequence[Trajectory],
    known: Reference,
    asked: Asked,
) -> Found:
    """Survival, mean density and its deviation from the reference."""
    broken = [run for run in (*prepared, *runs) if run.event is not None]
    found = [_failures(prepared, runs, asked)]
    problem = "a run broke off" if broken else ""
    for run in runs:
        state = realised(run, asked.temperature_K) if not problem else None
        if state is not None and state.problem:
            problem = f"not scored: {state.problem}"
    averages = [run.density for run in analysed if run.density.stderr is not None]
    if not problem and len(averages) < len(runs):
        problem = "too few samples for a mean"
    if problem:
        found.append(_not_scored(problem, asked))
        return Found(found + _elsewhere(asked), None)
    mean, apart = _over_runs(averages)
    kept = min(run.kept_ps for run in analysed)
    own = 100 * mean.stderr / mean.value if mean.stderr is not None else np.inf
    error, stderr, n_eff = relative_error(mean, known)
    dropped = max(run.trajectory.length_ps - run.kept_ps for run in analysed)
    method = "time average after the equilibration; noise of short or long memory, as the data say" + (
        f"; mean of {len(analysed)} runs" if len(analysed) > 1 else ""
    )
    evidence = {"length_ps": kept, "precision": min(1 / own, 1e6) if own > 0 else 1e6}
    words = f"{mean.value:.4g} ± {mean.stderr:.2g} g/cm^3 where the reference has {known.density:.4g}"
    words += f" ± {known.error:.2g}" if known.error is not None else ""
    if own > LARGEST_STDERR:
        words += (
            f"; the standard error of the mean is {own:.2g} % where at most {LARGEST_STDERR:g} % is asked"
        )
    words += apart
    found += [
        _of(asked, "density", mean.value, "g/cm^3", mean.stderr, mean.n_eff, method, evidence),
        _of(
            asked,
            "density_error",
            error,
            "%",
            stderr,
            n_eff,
            "mean over reference - 1, both errors",
            evidence,
        ).model_copy(update={"note": words}),
        Measurement(
            name="equilibration",
            value=dropped,
            unit="ps",
            exact=True,
            conditions=asked.conditions,
            method="detected by the autocorrelation time of the density; longest of the runs",
        ),
        _noise_floor(analysed, asked),
    ]
    if known.atoms_per_cell:
        a = known.lattice_constant(mean.value, runs[0].structure)
        spread = a * mean.stderr / mean.value / 3 if mean.stderr is not None else None
        found.append(_of(asked, "lattice_constant", a, "A", spread, mean.n_eff, "from the mean density", {}))
    return Found(found + _elsewhere(asked), mean)


def _over_runs(averages: Sequence[stats.Average]) -> tuple[stats.Average, str]:
    """Mean over runs; where they differ by more than their errors explain, their scatter is the error, with
    words."""
    mean, k = stats.combined(averages), len(averages)
    values = np.array([a.value for a in averages])
    errors = np.array([a.stderr or 0.0 for a in averages])
    if k < 2 or not errors.all():
        return mean, ""
    excess = float((((values - values.mean()) / errors) ** 2).sum())
    if excess < float(chdtri(k - 1, BEYOND_CHANCE)):
        return mean, ""
    scatter = float(values.std(ddof=1) / np.sqrt(k))
    words = f"; the runs differ beyond chance, from {values.min():.4g} to {values.max():.4g} g/cm^3"
    return replace(mean, stderr=max(scatter, mean.stderr or 0.0), n_eff=float(k)), words


def _failures(prepared: Sequence[Trajectory], runs: Sequence[Trajectory], asked: Asked) -> Measurement:
    words = [
        f"{what}: {explained(run.event, Finding())}"
        for what, group in (("NVT", prepared), ("NPT", runs))
        for run in group
        if run.event is not None and not (what == "NPT" and run.event.step == 0)
    ]
    return Measurement(
        name="failures",
        value=float(sum(run.event is not None for run in runs)),
        unit="1",
        exact=True,
        conditions=asked.conditions,
        evidence={"length_ps": min(run.length_ps for run in runs)},
        method=f"monitors along {len(runs)} NPT runs and their preparations: volume, closest contact, "
        "temperature, potential energy, numbers",
        note="; ".join(words),
    )


def _not_scored(why: str, asked: Asked) -> Measurement:
    return Measurement(name="density_error", value=None, unit="%", conditions=asked.conditions, note=why)


def _elsewhere(asked: Asked) -> list[Measurement]:
    """The item asks for the pressure of the intended use: a run at another one is no pass."""
    wanted = asked.use.pressure_bar
    if wanted is None or abs(asked.pressure_bar - wanted) <= max(1.0, 0.01 * abs(wanted)):
        return []
    elsewhere = Asked(asked.use.temperature_K, wanted, asked.use)
    return [_not_scored(f"no run at the {wanted:g} bar of the intended use", elsewhere)]


def _noise_floor(analysed: Sequence[Run], asked: Asked) -> Measurement:
    blocks = [
        fluctuation.mean_error_of_blocks(run.densities[run.density.start :]) / run.density.value
        for run in analysed
    ]
    floor = 100 * float(np.sqrt(np.sum(np.square(blocks)))) / len(blocks)
    return Measurement(
        name="noise_floor",
        value=floor,
        unit="%",
        stderr=floor / np.sqrt(14 * len(blocks)),
        n_eff=7.0 * len(blocks) + 1,
        conditions=asked.conditions,
        method="what two runs of this length differ by for chance alone: standard error of the mean density "
        "from eight blocks",
    )


def fluctuations(
    analysed: Sequence[Run],
    mean: stats.Average | None,
    known: Reference,
    known_modulus: Scalar | None,
    asked: Asked,
) -> list[Measurement]:
    """Bulk modulus, pressure and temperature realised, and the conserved quantity."""
    sound = [run for run in analysed if run.trajectory.event is None]
    found = []
    moduli = [run.modulus for run in sound if run.modulus.stderr is not None]
    if moduli and len(moduli) == len(sound):
        joint = stats.combined(moduli)
        method = "kT <V> / var(V); relative error of the variance, equilibration dropped"
        found.append(_of(asked, "bulk_modulus", joint.value, "GPa", joint.stderr, joint.n_eff, method, {}))
        if known_modulus is not None:
            found.append(_modulus_error(joint, known_modulus, asked))
        if mean is not None:
            found.append(_pressure_at_reference(joint, mean, known, asked))
    for name, unit in (("temperature", "K"), ("pressure", "bar")):
        averages = [
            stats.time_average(
                getattr(r.trajectory, name)[finite(r.trajectory)][r.density.start :], equilibrate=False
            )
            for r in sound
        ]
        if averages and all(a.stderr is not None for a in averages):
            joint = stats.combined(averages)
            method = "time average over the same samples as the density"
            found.append(_of(asked, f"mean_{name}", joint.value, unit, joint.stderr, joint.n_eff, method, {}))
    return found + _conserved(sound, asked)


def lengths_and_angles(analysed: Sequence[Run], asked: Asked) -> list[Measurement]:
    """Means of a, b, c in A and alpha, beta, gamma in degrees over the frames of the runs."""
    series = [_parameters(run) for run in analysed if run.trajectory.event is None]
    found = []
    for column, name in enumerate(("a", "b", "c", "alpha", "beta", "gamma")):
        averages = [stats.time_average(s[:, column], equilibrate=False) for s in series if len(s) > 1]
        if averages and all(a.stderr is not None for a in averages):
            joint = stats.combined(averages)
            unit = "A" if column < 3 else "degree"
            method = "time average over stored frames, equilibration dropped"
            found.append(_of(asked, f"cell_{name}", joint.value, unit, joint.stderr, joint.n_eff, method, {}))
    return found


def _parameters(run: Run) -> NDArray[np.float64]:
    """(n_frames, 6): lengths in A and angles in degrees of the cells after the equilibration."""
    trajectory = run.trajectory
    begin = trajectory.steps[finite(trajectory)][run.density.start]
    cells = trajectory.cells[trajectory.frame_steps >= begin]
    return np.array([cell_to_cellpar(cell) for cell in cells]).reshape(-1, 6)


def _pressure_at_reference(
    modulus: stats.Average, mean: stats.Average, known: Reference, asked: Asked
) -> Measurement:
    strain = float(np.log(known.density / mean.value))
    pressure = asked.pressure_bar * conversion_factor("bar", "GPa") + modulus.value * strain
    errors = ((modulus.stderr or 0.0) * strain, modulus.value * (mean.stderr or 0.0) / mean.value)
    method = "P + B ln(reference / mean density): what the potential presses with in the reference's cell"
    n_eff = min(modulus.n_eff, mean.n_eff)
    return _of(asked, "pressure_at_reference", pressure, "GPa", float(np.hypot(*errors)), n_eff, method, {})


def _modulus_error(joint: stats.Average, known: Scalar, asked: Asked) -> Measurement:
    ratio = joint.value / known.value
    own, theirs = (joint.stderr or 0.0) / known.value, ratio * (known.error or 0.0) / known.value
    return _of(
        asked,
        "bulk_modulus_error",
        100 * (ratio - 1),
        "%",
        100 * float(np.hypot(own, theirs)),
        joint.n_eff,
        f"against {known.value:g} GPa ({known.source})",
        {},
    )


def _conserved(sound: Sequence[Run], asked: Asked) -> list[Measurement]:
    """Slope of the energy less what both baths gave, of the longest run."""
    if not sound:
        return []
    run = max((r.trajectory for r in sound), key=lambda r: r.length_ps)
    keep = finite(run)
    time, energy = run.time_fs[keep] / 1000, 1000 * run.conserved[keep] / len(run.structure)
    if len(time) < drift.FEWEST_SAMPLES:
        return []
    slope = drift.drift(time, energy - energy[0])
    method = "slope of the energy less the heat of thermostat and barostat, longest run"
    return [
        _of(
            asked, "conserved_drift", slope.slope, "meV/atom/ps", slope.stderr, slope.n_eff, method, {}
        ).model_copy(
            update={
                "note": "a slope beyond the limit: shorten timestep_fs or cell_stride, or raise stiffness_GPa"
            }
        )
    ]


def _of(
    asked: Asked,
    name: str,
    value: float,
    unit: str,
    stderr: float | None,
    n_eff: float,
    method: str,
    evidence: dict[str, float],
) -> Measurement:
    return Measurement(
        name=name,
        value=value,
        unit=unit,
        stderr=stderr,
        n_eff=n_eff,
        conditions=asked.conditions,
        evidence=evidence,
        method=method,
    )


def notes(analysed: Sequence[Run], known: Reference, asked: Asked) -> list[str]:
    """What a reader should know about the reference and the runs."""
    source, what = known.source, known.source.name.replace("_", " ")
    remarks = [f"The reference is a {what} of {source.value:g} {source.unit} ({source.level_of_theory})."]
    if known.error is None:
        remarks.append("The reference states no error and was taken as exact.")
    t = source.temperature_K
    if t is not None and abs(t - asked.temperature_K) > TEMPERATURE_APART * asked.temperature_K:
        remarks.append(
            f"The reference holds at {t:g} K, the runs were made at {asked.temperature_K:g} K: the thermal "
            "expansion between them counts as an error of the potential."
        )
    if asked.use.pressure_bar is None:
        remarks.append(
            f"The intended use names no pressure; the runs were made at {asked.pressure_bar:g} bar and the "
            "checklist item is judged there."
        )
    for k, run in enumerate(analysed):
        dropped = run.trajectory.length_ps - run.kept_ps
        if dropped > 0:
            remarks.append(f"Run {k}: the first {dropped:.3g} ps were dropped as equilibration.")
    return remarks
