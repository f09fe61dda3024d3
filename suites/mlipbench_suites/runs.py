"""One run at one temperature, as the suites of structure, spectra and transport share it.

Suites that ask for the same ensemble, time step and start share one trajectory: velocity rescaling, gentle
enough for velocities to be trusted; Langevin dynamics, the run of `stability`; constant energy, that of
`nve`, each with that suite's own defaults. Langevin dynamics reaches every vibration of a crystal, but blurs
spectra and slows diffusion; rescaling keeps both, but leaves it to anharmonicity how energy is shared
between vibrations, which takes many picoseconds in a cold crystal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from mlipbench.api import (
    NVE,
    Criterion,
    Data,
    Duration,
    InputError,
    Inputs,
    IntendedUse,
    Langevin,
    MaxwellBoltzmann,
    Measurement,
    StructureRef,
    SuiteParams,
    Trajectory,
    TrajectorySpec,
    VelocityRescaling,
    literature,
    stats,
    steps_lasting,
)
from mlipbench_suites import hole
from mlipbench_suites.trajectory_checks import COM_TOLERANCE, Realised, finite, realised, survival

PREPARE, RUN = "prepare", "run"
FAILURES = Criterion(
    name="failures",
    compare="==",
    limit=0,
    unit="1",
    level="at_target",
    source="validation suite: no unphysical configuration",
)
"""What `Run.survival` is held against, in every suite of such a run."""
CITATIONS = (
    literature.VELOCITY_RESCALING,
    literature.BAOAB,
    literature.VELOCITY_VERLET,
    literature.EQUILIBRATION,
    literature.AUTOCORRELATION,
    literature.RESTRICTED_LIKELIHOOD,
)
"""Works behind a run and its errors."""
CANONICAL_SIGMAS = 4.0


class RunParams(SuiteParams):
    """Parameters of the run itself."""

    structure: StructureRef = Field(description="where the run starts")
    temperature_K: PositiveFloat | None = Field(
        default=None, description="of the run; default: that of the intended use"
    )
    duration_ps: Duration = Field(default=100.0, description="length of the run")
    timestep_fs: PositiveFloat = Field(
        default=0.5, description="0.5 serves hydrogen; 1 to 2 where nothing lighter than carbon moves"
    )
    ensemble: Literal["velocity_rescaling", "langevin", "nve"] = Field(
        default="velocity_rescaling", description="langevin shares the run of stability, nve that of nve"
    )
    relaxation_fs: PositiveFloat = Field(default=1000.0, description="of the velocity rescaling")
    friction_per_fs: PositiveFloat = Field(default=0.005, description="of the Langevin thermostat")
    prepare_ps: PositiveFloat = Field(
        default=5.0, description="NVT (Langevin) before nve; no tier shortens it"
    )
    prepare_friction_per_fs: PositiveFloat = Field(default=0.01, description="Langevin friction of that")
    equilibrate_ps: float = Field(
        default=2.0,
        ge=0,
        description="left out at the start of an NVT run, or more where the energies say so",
    )
    monitor_stride: PositiveInt = Field(default=10, description="steps between two samples of the energy")
    level_of_theory: str = Field(
        default="",
        description="what the potential was trained to reproduce (PBE, PBE0+TS): a reference of another "
        "level is drawn and decides nothing",
    )


def temperature(p: RunParams, use: IntendedUse) -> float:
    """Of the run, in K."""
    return p.temperature_K or use.temperature_K


def trajectories(p: RunParams, inputs: Inputs, frame_every_fs: float) -> dict[str, TrajectorySpec]:
    """The run, and what prepares it where it is at constant energy.

    Raises InputError where no whole number of steps lies between two frames.
    """
    start, t = inputs.structure(p.structure), temperature(p, inputs.intended_use)
    stride = round(frame_every_fs / p.timestep_fs)
    if stride < 1 or abs(stride * p.timestep_fs - frame_every_fs) > 1e-6 * frame_every_fs:
        raise InputError(
            f"a frame every {frame_every_fs:g} fs: expected a multiple of the time step, {p.timestep_fs:g} fs"
        )
    spec = TrajectorySpec(
        structure=start,
        ensemble=NVE(),
        timestep_fs=p.timestep_fs,
        n_steps=steps_lasting(p.duration_ps, p.timestep_fs),
        start=MaxwellBoltzmann(t),
        seed=inputs.seed,
        frame_stride=stride,
        monitor_stride=p.monitor_stride,
    )
    if p.ensemble == "velocity_rescaling":
        return {RUN: replace(spec, ensemble=VelocityRescaling(t, p.relaxation_fs))}
    if p.ensemble == "langevin":
        return {RUN: replace(spec, ensemble=Langevin(t, p.friction_per_fs))}
    prepared = replace(
        spec,
        ensemble=Langevin(t, p.prepare_friction_per_fs),
        n_steps=steps_lasting(p.prepare_ps, p.timestep_fs),
        frame_stride=0,
    )
    return {PREPARE: prepared, RUN: replace(spec, start=prepared)}


@dataclass(frozen=True)
class Run:
    """What a run did, and which of it counts."""

    whole: Trajectory  # monitors, and the last frame alone
    temperature_K: float  # asked for
    first_step: int  # of what counts
    realised: Realised
    survival: Measurement
    problem: str  # why nothing can be scored; "" where it can

    @property
    def counted_ps(self) -> float:
        """Length of what counts."""
        return (self.whole.n_steps - self.first_step) * self.whole.timestep_fs / 1000

    @property
    def conditions(self) -> dict[str, float | str]:
        """What sets its measurements apart."""
        return {"temperature_K": self.temperature_K}

    @property
    def evidence(self) -> dict[str, float]:
        """What a PASS may ask for."""
        return {"length_ps": self.whole.length_ps}

    @property
    def remarks(self) -> list[str]:
        """Where a run at constant energy has another temperature than it was prepared at."""
        t = self.realised.temperature
        if self.problem or t.stderr is None or abs(t.value - self.temperature_K) < 0.02 * self.temperature_K:
            return []
        return [
            f"The run had {t.value:.1f} ± {t.stderr:.1g} K where {self.temperature_K:g} K was asked: what "
            "depends on temperature is off by as much."
        ]

    @property
    def counted(self) -> Trajectory:
        """Monitors from the first step that counts."""
        return samples(self.whole, self.whole.steps >= self.first_step)


def load(p: RunParams, data: Data) -> Run:
    """The run; what has to equilibrate is left out, detected in the energies."""
    t = temperature(p, data.intended_use)
    whole = _monitors(data, RUN)
    before = _monitors(data, PREPARE) if p.ensemble == "nve" else None
    first = 0
    if before is None:
        known = finite(whole)
        series = (whole.potential_energy[known], whole.temperature[known])
        detected = max((stats.equilibration(x) for x in series if len(x)), default=0)
        least = np.searchsorted(whole.time_fs, 1000 * p.equilibrate_ps)
        first = int(whole.steps[min(max(detected, int(least)), len(whole.steps) - 1)])
    broken = (PREPARE, before) if before is not None and before.event else (RUN, whole)
    found = hole.find(data, *broken)
    state = realised(samples(whole, whole.steps >= first), t)
    away = abs(state.temperature.value - t)
    likely = CANONICAL_SIGMAS * t / np.sqrt(3 * len(whole.structure))  # of energies drawn at T, harmonic
    by_chance = before is not None and away <= likely and state.com_share <= COM_TOLERANCE
    problem = "" if by_chance else state.problem
    if broken[1].event is not None:
        problem = f"the run broke off by {broken[1].event}"
    quiet = replace(whole, event=None) if before is None else before
    return Run(whole, t, first, state, survival("failures", whole, quiet, found, t), problem)


def frames(data: Data, run: Run) -> Iterator[Trajectory]:
    """Piece by piece, the frames that count, at equal intervals."""
    for piece in data.pieces(RUN):
        keep = piece.frame_steps >= run.first_step
        if piece.event is not None:
            keep &= piece.frame_steps < piece.event.step
        yield replace(piece, **{name: getattr(piece, name)[keep] for name in _FRAMES})


def _monitors(data: Data, label: str) -> Trajectory:
    """A trajectory with its last frame alone."""
    pieces = list(map(_thin, data.pieces(label)))
    last = next((piece for piece in reversed(pieces) if len(piece.frame_steps)), pieces[-1])
    return replace(
        last, **{name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in _SAMPLES}
    )


def _thin(piece: Trajectory) -> Trajectory:
    """With its last frame alone, and no view on the others."""
    return replace(piece, **{name: getattr(piece, name)[-1:].copy() for name in _FRAMES})


_SAMPLES = (
    "steps",
    "potential_energy",
    "kinetic_energy",
    "conserved",
    "temperature",
    "closest_contact",
    "momentum",
    "angular_momentum",
)
_FRAMES = ("frame_steps", "positions", "velocities", "cells")


def samples(run: Trajectory, keep: np.ndarray) -> Trajectory:
    """A trajectory with some of its monitor samples, (n_samples,) bool."""
    return replace(run, **{name: getattr(run, name)[keep] for name in _SAMPLES})
