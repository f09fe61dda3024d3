"""Does molecular dynamics survive at the target temperature and well above it?"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from scipy.special import chdtri

from mlipbench.api import (
    Context,
    Criterion,
    Data,
    Duration,
    Evidence,
    Figure,
    Inputs,
    IntendedUse,
    Langevin,
    MaxwellBoltzmann,
    Measurement,
    Outcome,
    Panel,
    StructureRef,
    Suite,
    SuiteParams,
    Table,
    Trajectory,
    TrajectorySpec,
    VelocityRescaling,
    literature,
    stats,
    steps_lasting,
)
from mlipbench_suites import hole, methods
from mlipbench_suites.drawing import level, line
from mlipbench_suites.nve_figures import contact_panel
from mlipbench_suites.structure_watch import Watch, watch
from mlipbench_suites.trajectory_checks import Realised, each_once, event_picture, explained, realised


class StabilityParams(SuiteParams):
    """Parameters of the suite `stability`."""

    structure: StructureRef = Field(description="where the runs start")
    temperature_K: PositiveFloat | None = Field(
        default=None, description="the target temperature; default: that of the intended use"
    )
    factors: list[PositiveFloat] = Field(
        default=[1.0, 1.5],
        min_length=1,
        description="temperatures, as multiples of the target, each once",
    )
    duration_ps: Duration = Field(default=100.0, description="length of each run")
    replicas: PositiveInt = Field(default=1, description="independent runs at each temperature")
    timestep_fs: PositiveFloat = Field(
        default=0.5, description="0.5 serves hydrogen; 1 to 2 where nothing lighter than carbon moves"
    )
    thermostat: Literal["langevin", "velocity_rescaling"] = "langevin"
    friction_per_fs: PositiveFloat = Field(default=0.005, description="of the Langevin thermostat")
    relaxation_fs: PositiveFloat = Field(default=200.0, description="of the velocity rescaling")
    monitor_stride: PositiveInt = Field(default=10, description="steps between two checks")
    frame_every_fs: PositiveFloat = Field(default=100.0, description="time between two stored frames")

    _each_once = field_validator("factors")(each_once)


class Stability(Suite):
    """Survival of NVT runs at the target temperature and at 1.5 times it."""

    name: ClassVar[str] = "stability"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Stability of molecular dynamics (NVT)"
    method: ClassVar[str] = (
        "Independent NVT runs at the target temperature and at 1.5 times it, under monitors that end a run "
        "which has left physics: a pair closer than 0.5 A, a temperature beyond 20000 K, a potential energy "
        "5 eV/atom below the start, an answer that is no number. The last frame of a run that broke off and "
        "the start are quenched: a hole in the energy surface is confirmed where the frame's minimum lies "
        "deeper and holds atoms that are unphysically close. One run is one trial: where none of them "
        "fails in a total time t, the failure rate lies below about 3/t at 95 % confidence (Poisson "
        "[@hanley1983]). The closest contact is followed throughout; for "
        "molecules the bond graph of the start, for ordered solids the Lindemann ratio, the displacements "
        "and the share of neighbours kept, so that melting, which is physics, is told apart from failure. "
        "Mean temperatures have errors under noise of short and of long memory, mixed as their restricted "
        "likelihoods say [@harville1977]; the equilibration is detected by the autocorrelation time "
        "[@wolff2004] and dropped [@chodera2016]."
    )
    citations = (
        literature.BAOAB,
        literature.VELOCITY_RESCALING,
        literature.RULE_OF_THREE,
        literature.AUTOCORRELATION,
        literature.EQUILIBRATION,
        literature.RESTRICTED_LIKELIHOOD,
    )
    needs: ClassVar[frozenset[str]] = frozenset({"energy", "forces"})
    criteria: ClassVar[tuple[Criterion, ...]] = (
        Criterion(
            name="failures",
            compare="==",
            limit=0,
            unit="1",
            level="required",
            item=5,
            needs=(Evidence("length_ps", 100, "ps"),),
            source="deployment checklist, item 5: at least 100 ps at the target temperature and 1.5 times it",
        ),
        Criterion(
            name="temperature_error",
            compare="abs<",
            limit=5.0,
            unit="%",
            level="advisory",
            source="common to all dynamics: the realised temperature is the one asked for",
        ),
        Criterion(
            name="bond_changes",
            compare="==",
            limit=0,
            unit="1",
            level="advisory",
            source="stability: the bond graph of the molecules at the start (chemistry may break it rightly)",
        ),
    )
    Params: ClassVar[type[SuiteParams]] = StabilityParams

    def trajectories(self, params: Any, inputs: Inputs) -> dict[str, TrajectorySpec]:
        """One run a temperature and replica: nvt@T#replica."""
        p: StabilityParams = params
        start = inputs.structure(p.structure)
        return {
            _label(t, replica): TrajectorySpec(
                structure=start,
                ensemble=Langevin(t, p.friction_per_fs)
                if p.thermostat == "langevin"
                else VelocityRescaling(t, p.relaxation_fs),
                timestep_fs=p.timestep_fs,
                n_steps=steps_lasting(p.duration_ps, p.timestep_fs),
                start=MaxwellBoltzmann(t),
                seed=inputs.seed + replica,
                frame_stride=max(round(p.frame_every_fs / p.timestep_fs), 1),
                monitor_stride=p.monitor_stride,
            )
            for t in _temperatures(p, inputs.intended_use)
            for replica in range(p.replicas)
        }

    def produce(self, params: Any, context: Context) -> None:
        """Run; quench what broke off."""
        hole.run_and_quench(context, [[label] for label in self.trajectories(params, context)])

    def measure(self, params: Any, data: Data) -> Outcome:
        """Failures, the bound on their rate, realised temperature, and what became of the structure."""
        p: StabilityParams = params
        outcome = Outcome([])
        rows: list[list[str | float | int | None]] = []
        every: list[Trajectory] = []
        for t in _temperatures(p, data.intended_use):
            runs = [data.trajectory(_label(t, replica)) for replica in range(p.replicas)]
            every += runs
            states = [realised(run, t) for run in runs]
            found = [hole.find(data, _label(t, k), run) for k, run in enumerate(runs)]
            outcome.measurements += [*_survival(runs, states, found, t), *_temperature(runs, states, t)]
            watched = [watch(run) for run in runs]
            outcome.measurements += _structure(runs, watched, t)
            outcome.notes += sorted({f"{t:g} K: {w.words}" for w in watched if w.words})
            for k, (run, seen) in enumerate(zip(runs, watched, strict=True)):
                outcome.figures += event_picture(f"stability-event-{t:g}K-{k}", run)
                rows.append([t, k, run.length_ps, str(run.event) if run.event else "survived", seen.words])
            outcome.figures.append(_figure(runs, watched, t))
        outcome.measurements += _not_run(_temperatures(p, data.intended_use), data.intended_use)
        outcome.tables.append(
            Table(
                id="stability-runs",
                caption="Every run: how long it lasted, how it ended, what became of the structure.",
                columns=["temperature (K)", "replica", "simulated (ps)", "outcome", "structure"],
                rows=rows,
            )
        )
        outcome.methods = methods.stability(p, _temperatures(p, data.intended_use), every)
        return outcome


def _temperatures(p: StabilityParams, use: IntendedUse) -> list[float]:
    target = p.temperature_K or use.temperature_K
    return [factor * target for factor in p.factors]


def _not_run(temperatures: list[float], use: IntendedUse) -> list[Measurement]:
    """The item asks for the intended temperature and 1.5 times it: what was left out is no pass."""
    return [
        Measurement(
            name="failures",
            value=None,
            unit="1",
            conditions={"temperature_K": wanted},
            note=f"no run at {wanted:g} K, {factor:g} times the temperature of the intended use",
        )
        for factor in (1.0, 1.5)
        for wanted in [factor * use.temperature_K]
        if not any(abs(t - wanted) <= 0.01 * wanted for t in temperatures)
    ]


def _label(temperature_K: float, replica: int) -> str:
    return f"nvt@{temperature_K:g}K#{replica}"


def _survival(
    runs: list[Trajectory], states: list[Realised], found: list[hole.Finding], t: float
) -> list[Measurement]:
    conditions: dict[str, float | str] = {"temperature_K": t}
    failed = [run for run in runs if run.event is not None]
    total = sum(run.length_ps for run in runs)
    problem = "" if failed else next((s.problem for s in states if s.problem), "")
    words = [explained(run.event, what) for run, what in zip(runs, found, strict=True) if run.event]
    # 95 % upper limit of a Poisson mean after k events: half the chi-squared quantile of 2 k + 2
    bound = 0.5 * float(chdtri(2 * len(failed) + 2, 0.05)) / max(total, 1e-300)
    return [
        Measurement(
            name="failures",
            value=None if problem else float(len(failed)),
            unit="1",
            exact=True,
            conditions=conditions,
            evidence={"length_ps": min(run.length_ps for run in runs), "total_ps": total},
            method=f"{len(runs)} independent runs; evidence is the length of the shortest"
            if len(runs) > 1
            else "one run, whose length is the evidence",
            note=f"not scored: {problem}" if problem else "; ".join(words),
        ),
        Measurement(
            name="failure_rate_bound",
            value=bound,
            unit="1/ps",
            exact=True,
            conditions=conditions,
            method="95 % upper limit of a Poisson rate",
            note=f"{len(failed)} failures in {total:.4g} ps of {len(runs)} runs: fewer than one failure in "
            f"{1 / bound:.3g} ps at 95 % confidence",
        ),
    ]


def _temperature(runs: list[Trajectory], states: list[Realised], t: float) -> list[Measurement]:
    """Mean temperature against the target; runs are independent, so errors add in squares."""
    conditions: dict[str, float | str] = {"temperature_K": t}
    known = [s.temperature for s in states if s.temperature.stderr is not None]
    if not known or any(run.event is not None for run in runs):
        return []
    joint = stats.combined(known)
    method = "time average, equilibration dropped; error: noise of short or long memory, as the data say"
    return [
        Measurement(
            name="mean_temperature",
            value=joint.value,
            unit="K",
            stderr=joint.stderr,
            n_eff=joint.n_eff,
            conditions=conditions,
            method=method,
        ),
        Measurement(
            name="temperature_error",
            value=100 * (joint.value / t - 1),
            unit="%",
            stderr=100 * joint.stderr / t,
            n_eff=joint.n_eff,
            conditions=conditions,
            method=method,
        ),
    ]


def _structure(runs: list[Trajectory], watched: list[Watch], t: float) -> list[Measurement]:
    conditions: dict[str, float | str] = {"temperature_K": t}
    contacts = [run.closest_contact[np.isfinite(run.closest_contact)] for run in runs]
    shortest = min((float(c.min()) for c in contacts if len(c)), default=None)
    found = [
        Measurement(
            name="closest_contact",
            value=shortest,
            unit="A",
            exact=shortest is not None,
            conditions=conditions,
            note="" if shortest is not None else "no pair of atoms",
        )
    ]
    ratios = [w.lindemann for w in watched if w.lindemann is not None]
    if ratios:
        found.append(
            Measurement(
                name="lindemann_ratio",
                value=float(np.mean(ratios)),
                unit="1",
                stderr=float(np.std(ratios, ddof=1) / np.sqrt(len(ratios))) if len(ratios) > 1 else None,
                n_eff=float(len(ratios)),
                conditions=conditions,
                method="r.m.s. displacement about the mean position over the neighbour distance, mean and "
                "error over runs",
                note="; ".join(sorted({w.words for w in watched if w.words})),
            )
        )
    changes = [w.bond_changes for w in watched if w.bond_changes is not None]
    if changes:
        found.append(
            Measurement(
                name="bond_changes",
                value=float(sum(changes)),
                unit="1",
                exact=True,
                conditions=conditions,
                method="bonds of the start broken (beyond 1.6 covalent sums) or formed, largest number along "
                "each run, summed over runs",
                note="; ".join(sorted({w.words for w in watched if w.words})),
            )
        )
    return found


def _figure(runs: list[Trajectory], watched: list[Watch], t: float) -> Figure:
    """Temperature, closest contact and structure against time; at most four runs are drawn."""
    drawn = list(zip(runs, watched, strict=True))[:4]
    panels = [
        Panel(
            title="Temperature",
            xlabel="time (ps)",
            ylabel="temperature (K)",
            series=[
                *(line(r.time_fs / 1000, r.temperature, f"run {k}") for k, (r, _) in enumerate(drawn)),
                level(t, "thermostat", "reference"),
            ],
        ),
        contact_panel(min(runs, key=lambda run: float(np.nanmin(run.closest_contact)))),
    ]
    if drawn[0][1].kept is not None:
        panels.append(
            Panel(
                title="Neighbours of the start",
                xlabel="time (ps)",
                ylabel="share kept",
                series=[
                    line(r.frame_steps * r.timestep_fs / 1000, w.kept, f"run {k}")
                    for k, (r, w) in enumerate(drawn)
                    if w.kept is not None
                ],
            )
        )
    failed = [run for run in runs if run.event is not None]
    message = f"{len(failed)} of {len(runs)} runs at {t:g} K broke off" if failed else "no run broke off"
    return Figure(
        id=f"stability-{t:g}K",
        caption=f"NVT at {t:g} K: temperature, closest pair of atoms, and the share of the start's "
        f"neighbours that are kept; {message}. A sound potential holds the temperature and stays far above "
        "the contact limit; a solid keeps its neighbours, a liquid or a melting crystal loses them without "
        "failing.",
        alt=f"At {t:g} K {message}.",
        panels=panels,
    )
