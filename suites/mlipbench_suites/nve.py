"""Energy conservation along NVE runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from mlipbench.api import (
    NVE,
    Context,
    Criterion,
    Data,
    Duration,
    Evidence,
    Inputs,
    Langevin,
    MaxwellBoltzmann,
    Measurement,
    Outcome,
    StructureRef,
    Suite,
    SuiteParams,
    Table,
    Trajectory,
    TrajectorySpec,
    drift,
    literature,
    steps_lasting,
)
from mlipbench_suites import hole, methods, nve_figures, runs
from mlipbench_suites.nve_step import step_check
from mlipbench_suites.trajectory_checks import (
    MASS_VELOCITY_SQUARED,
    com_share,
    each_once,
    event_picture,
    finite,
    realised,
    survival,
)


class NveParams(SuiteParams):
    """Parameters of the suite `nve`."""

    structure: StructureRef = Field(description="where the runs start")
    temperatures_K: list[PositiveFloat] = Field(
        default=[300.0, 600.0, 1500.0],
        min_length=1,
        description="temperatures the runs are prepared at, each once",
    )
    timestep_fs: PositiveFloat = Field(
        default=0.5, description="0.5 serves hydrogen; 1 to 2 where nothing lighter than carbon moves"
    )
    duration_ps: Duration = Field(default=50.0, description="length of each NVE run")
    prepare_ps: PositiveFloat = Field(
        default=5.0, description="NVT (Langevin) before it; no tier shortens it, so that all start alike"
    )
    half_step_ps: PositiveFloat = Field(
        default=1.0, description="run at half the time step, for the check; no tier shortens it"
    )
    prepare_friction_per_fs: PositiveFloat = Field(default=0.01, description="Langevin friction")
    monitor_stride: PositiveInt = Field(default=10, description="steps between two samples of the energy")

    _each_once = field_validator("temperatures_K")(each_once)


@dataclass(frozen=True)
class _Run:
    """One temperature's trajectories and what was found on the way."""

    temperature_K: float
    prepared: Trajectory
    main: Trajectory
    found: hole.Finding  # of the quench, where the preparation or the run broke off


class NveDrift(Suite):
    """Secular drift of the total energy along NVE runs."""

    name: ClassVar[str] = "nve"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Energy conservation (NVE)"
    method: ClassVar[str] = (
        "Each run starts from Maxwell-Boltzmann velocities with the centre of mass at rest, is held at its "
        "temperature by Langevin dynamics (BAOAB [@leimkuhler2013]), and goes on at constant energy with "
        "velocity Verlet [@swope1982]. "
        "The drift is the slope of the total energy per atom; its error comes from a mixture of white "
        "noise and a random walk, each weighed by its restricted likelihood [@harville1977], so that "
        "neither a bounded oscillation nor rounding noise is mistaken for the other. A second run from the "
        "same start at half the time step tells the integrator's error, which falls with the square of the "
        "step on a smooth surface, from "
        "forces that are no gradient. Monitors end a run that has left physics, and the report shows its "
        "last frame. That frame and the start are then quenched: a hole in the energy surface is confirmed "
        "where the frame's minimum lies deeper and holds atoms that are unphysically close."
    )
    citations = (
        literature.BAOAB,
        literature.VELOCITY_VERLET,
        literature.RESTRICTED_LIKELIHOOD,
    )
    needs: ClassVar[frozenset[str]] = frozenset({"energy", "forces"})
    criteria: ClassVar[tuple[Criterion, ...]] = (
        Criterion(
            name="drift",
            compare="abs<",
            limit=1.0,
            unit="meV/atom/ps",
            level="at_target",
            item=4,
            needs=(Evidence("length_ps", 50, "ps"),),
            grades={"ideal": 0.1},
            source="deployment checklist, item 4, at the target temperature; 50 ps from the validation suite",
        ),
        Criterion(
            name="failures",
            compare="==",
            limit=0,
            unit="1",
            level="at_target",
            item=4,
            needs=(Evidence("length_ps", 50, "ps"),),
            source="validation suite: no unphysical configuration in 50 ps at 300, 600 and 1500 K",
        ),
        Criterion(
            name="energy_steps",
            compare="==",
            limit=0,
            unit="1",
            level="advisory",
            source="catalogue of failures: sudden steps of the total energy point at the edge of the data",
        ),
        Criterion(
            name="step_ratio",
            compare=">",
            limit=3.0,
            unit="1",
            level="advisory",
            source="second-order integrator: the energy fluctuation falls by 4 when the step is halved",
        ),
        Criterion(
            name="momentum",
            compare="<",
            limit=1e-3,
            unit="1",
            level="advisory",
            source="validation suite: momentum is conserved; share of the kinetic energy",
        ),
        Criterion(
            name="angular_momentum",
            compare="<",
            limit=1e-2,
            unit="1",
            level="advisory",
            source="validation suite: angular momentum is conserved where nothing is periodic",
        ),
    )
    Params: ClassVar[type[SuiteParams]] = NveParams

    def trajectories(self, params: Any, inputs: Inputs) -> dict[str, TrajectorySpec]:
        """prepare@T, nve@T and half_step@T for every temperature."""
        p: NveParams = params
        start = inputs.structure(p.structure)
        wanted = {}
        for t in p.temperatures_K:
            prepared = TrajectorySpec(
                structure=start,
                ensemble=Langevin(t, p.prepare_friction_per_fs),
                timestep_fs=p.timestep_fs,
                n_steps=steps_lasting(p.prepare_ps, p.timestep_fs),
                start=MaxwellBoltzmann(t),
                seed=inputs.seed,
                monitor_stride=p.monitor_stride,
            )
            prepare, nve, half_step = _labels(t)
            wanted[prepare] = prepared
            for label, dt, length, stride in (
                (nve, p.timestep_fs, p.duration_ps, p.monitor_stride),
                (half_step, p.timestep_fs / 2, p.half_step_ps, 2 * p.monitor_stride),
            ):
                wanted[label] = TrajectorySpec(
                    structure=start,
                    ensemble=NVE(),
                    timestep_fs=dt,
                    n_steps=steps_lasting(length, dt),
                    start=prepared,
                    seed=inputs.seed,
                    monitor_stride=stride,
                )
        return wanted

    def produce(self, params: Any, context: Context) -> None:
        """Run; quench what broke off."""
        hole.run_and_quench(context, [_labels(t)[:2] for t in params.temperatures_K])

    def measure(self, params: Any, data: Data) -> Outcome:
        """Drift, survival, step check and momenta at each temperature."""
        p: NveParams = params
        outcome = Outcome([])
        rows: list[list[str | float | int | None]] = []
        mains: list[Trajectory] = []
        for t in p.temperatures_K:
            prepared, main, half = (data.trajectory(label) for label in _labels(t))
            broken = (_labels(t)[0], prepared) if prepared.event else (_labels(t)[1], main)
            run = _Run(t, prepared, main, hole.find(data, *broken))
            mains.append(main)
            line = _drift(run)
            broke_off = any(r.event is not None for r in (prepared, main, half))
            checked, remark = step_check(_energy_per_atom(main), _energy_per_atom(half), t, broke_off)
            outcome.measurements += [*_measurements(run, line), *checked]
            outcome.notes += remark
            if not prepared.event:  # else there is no run to draw
                outcome.figures += [nve_figures.energy(run.main, line, t)]
            outcome.figures += event_picture(f"nve-event-{t:g}K", broken[1])
            ended = f"{broken[1].event}{' of the preparation' if prepared.event else ''}"
            rows.append([t, run.main.length_ps, ended if broken[1].event else "survived"])
        outcome.tables.append(
            Table(
                id="nve-survival",
                caption="How long each run lasted. The hottest run is the most informative: it leaves the "
                "training domain first.",
                columns=["temperature (K)", "simulated (ps)", "outcome"],
                rows=rows,
            )
        )
        outcome.methods = methods.nve(p, mains)
        return outcome


def _labels(temperature_K: float) -> tuple[str, str, str]:
    """Of the trajectories at one temperature: preparation, run, run at half the step."""
    t = f"{temperature_K:g}K"
    return f"prepare@{t}", f"nve@{t}", f"half_step@{t}"


def _energy_per_atom(run: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """Time in ps and total energy in meV/atom, samples that are numbers."""
    keep = finite(run)
    total = (run.potential_energy + run.kinetic_energy)[keep]
    return run.time_fs[keep] / 1000, 1000 * (total - total[:1]) / len(run.structure)


def _drift(run: _Run) -> drift.Drift:
    time, energy = _energy_per_atom(run.main)
    if run.main.event is not None and len(time) > 1:
        time, energy = time[:-1], energy[:-1]  # the sample of the event itself is told by `failures`
    return drift.drift(time, energy)


def _measurements(run: _Run, line: drift.Drift) -> list[Measurement]:
    conditions: dict[str, float | str] = {"temperature_K": run.temperature_K}
    length = {"length_ps": run.main.length_ps}
    state = realised(_second_half(run.prepared), run.temperature_K)
    time, energy = _energy_per_atom(run.main)
    problem = state.problem and f"not scored: {state.problem} when the run began"
    found = [
        Measurement(
            name="drift",
            value=None if problem or line.stderr is None else line.slope,
            unit="meV/atom/ps",
            stderr=None if problem else line.stderr,
            n_eff=line.n_eff,
            conditions=conditions,
            evidence=length,
            method="slope of the total energy under white noise or a random walk, as the data say; weight of "
            f"the walk {line.random_walk:.2f}",
            note=problem or ("too few samples for a slope" if line.stderr is None else ""),
        ),
        survival("failures", run.main, run.prepared, run.found, run.temperature_K),
        Measurement(
            name="survival_time", value=run.main.length_ps, unit="ps", exact=True, conditions=conditions
        ),
        _information("prepared_temperature", state.temperature.value, "K", conditions).model_copy(
            update={
                "stderr": state.temperature.stderr,
                "n_eff": state.temperature.n_eff,
                "exact": False,
                "method": "second half of the NVT preparation; noise of short or long memory",
            }
        ),
    ]
    if len(time) < drift.FEWEST_SAMPLES:
        return found
    jumps = drift.jumps(energy)
    words = [f"{j.size:+.3g} meV/atom at {time[j.index]:.3g} ps" for j in jumps]
    kinetic = 1000 * float(np.std(run.main.kinetic_energy[finite(run.main)])) / len(run.main.structure)
    found += [
        _information("energy_steps", float(len(jumps)), "1", conditions, "; ".join(words)),
        _information("fluctuation_ratio", line.sigma / max(kinetic, 1e-300), "1", conditions, FLUCTUATION),
        _information("momentum", com_share(run.main), "1", conditions),
    ]
    if not run.main.structure.pbc.any():
        found.append(_information("angular_momentum", _angular_change(run.main), "1", conditions))
    return found


FLUCTUATION = "sigma of the total energy about its line over sigma of the kinetic energy"


def _information(
    name: str, value: float, unit: str, conditions: dict[str, float | str], note: str = ""
) -> Measurement:
    """A property of this very run: no error bar."""
    return Measurement(name=name, value=value, unit=unit, exact=True, conditions=conditions, note=note)


def _second_half(run: Trajectory) -> Trajectory:
    """The later half of the samples, where the thermostat has had time."""
    return runs.samples(run, np.arange(len(run.steps)) >= len(run.steps) // 2)


def _angular_change(run: Trajectory) -> float:
    """Largest change of angular momentum over its thermal scale sqrt(2 K sum m r^2 / 3)."""
    masses = run.structure.masses
    centred = run.structure.positions - masses @ run.structure.positions / masses.sum()
    inertia = float((masses[:, None] * centred**2).sum())
    kinetic = float(np.mean(run.kinetic_energy)) / MASS_VELOCITY_SQUARED  # u A^2/fs^2
    scale = np.sqrt(2 * kinetic * inertia / 3)
    change = np.linalg.norm(run.angular_momentum - run.angular_momentum[0], axis=1).max()
    return float(change / scale) if scale > 0 else 0.0
