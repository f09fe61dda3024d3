"""Vibrational density of states from velocities: bands, degrees of freedom, distance from a reference."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from ase.data import chemical_symbols
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, field_validator

from mlipbench.api import (
    Context,
    Criterion,
    CurveRef,
    Data,
    Duration,
    InputError,
    Inputs,
    Measurement,
    Outcome,
    Suite,
    TrajectorySpec,
    literature,
    vdos,
)
from mlipbench_suites import held_against, hole, methods, runs, vdos_figures
from mlipbench_suites.trajectory_checks import event_picture
from mlipbench_suites.vdos_numbers import TOTAL, Bands, bands, compare, freedom, known_species

LEAST_RELAXATION_FS = 1000.0
MOST_INTERVAL_FS = 2.0
MOST_INTERVAL_HEAVY_FS = 3.0  # where nothing is lighter than carbon: half the sampling rate is 5560 cm^-1
CARBON = 6


class SpectrumRef(CurveRef):
    """A reference spectrum over its whole range, of any scale: it is normalised to 1."""

    abscissa_unit: ClassVar[str] = "cm^-1"


class DrawnSpectrum(SpectrumRef):
    """A spectrum drawn beside the others: another temperature or level of theory, an experiment."""

    decides: ClassVar[bool] = False


class Band(BaseModel):
    """A part of the spectrum, and where its centre is expected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    species: str = Field(description="element whose spectrum shows it")
    range_per_cm: tuple[float, float] = Field(description="where its weight is counted")
    window_per_cm: tuple[float, float] = Field(description="where its centroid is expected")
    share: PositiveFloat | None = Field(
        default=None, description="of all degrees of freedom, that it should carry; none: not judged"
    )


WATER = {
    "stretch": Band(species="H", range_per_cm=(2500, 4500), window_per_cm=(3000, 3500), share=2 / 9),
    "bend": Band(species="H", range_per_cm=(1300, 2100), window_per_cm=(1500, 1800), share=1 / 9),
    "libration": Band(species="H", range_per_cm=(300, 1300), window_per_cm=(400, 900), share=3 / 9),
    "translation": Band(species="O", range_per_cm=(0, 300), window_per_cm=(30, 250), share=3 / 9),
}
"""Modes of a water molecule in the liquid: 2 + 1 + 3 + 3 of 9, each with its share by equipartition."""


class VdosParams(runs.RunParams):
    """Parameters of the suite `vdos`."""

    duration_ps: Duration = Field(default=50.0, description="length of the run")
    ensemble: Literal["velocity_rescaling", "langevin", "nve"] = Field(
        default="velocity_rescaling",
        description="for a crystal langevin, which alone gives each vibration its kT; it shares the run of "
        "stability where that has this friction, nve that of nve",
    )
    relaxation_fs: float = Field(
        default=1000.0, ge=LEAST_RELAXATION_FS, description="of the velocity rescaling: gentle"
    )
    friction_per_fs: float = Field(
        default=1 / LEAST_RELAXATION_FS,
        gt=0,
        le=1 / LEAST_RELAXATION_FS,
        description="of the Langevin thermostat: gentle, 0.001 widens lines by 5.3 cm^-1",
    )
    velocity_every_fs: float = Field(
        default=2.0,
        gt=0,
        le=MOST_INTERVAL_HEAVY_FS,
        description="time between two stored velocities; above 2 where nothing is lighter than carbon alone",
    )
    correlation_fs: PositiveFloat = Field(
        default=2000.0, description="length of the correlation: 2000 fs resolve 17 cm^-1"
    )
    bands: dict[str, Band] | None = Field(
        default=None, description="default: those of liquid water where there are H and O, else none"
    )
    references: dict[str, SpectrumRef] = Field(
        default={},
        description="total, or an element -> reference spectrum; it decides where temperature and level of "
        "theory are the run's",
    )
    drawn: dict[str, list[DrawnSpectrum]] = Field(
        default={}, description="total, or an element -> spectra drawn beside it, which decide nothing"
    )
    floor_seed: NonNegativeInt = Field(default=0, description="of the random halves of the noise floor")

    @field_validator("references", "drawn")
    @classmethod
    def _keys(cls, curves: dict[str, Any]) -> dict[str, Any]:
        return known_species(curves)


class Spectra(Suite):
    """Velocity spectra of the species."""

    name: ClassVar[str] = "vdos"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Vibrations: density of states from velocities"
    method: ClassVar[str] = (
        "The mass-weighted velocity autocorrelation of each species, along a run at constant energy or under "
        "a thermostat with a relaxation time of at least 1 ps, is multiplied by a Hann window and "
        "transformed; with the kinetic temperature of the same run its integral counts degrees of freedom "
        "[@lin2003], which is checked. Bands are judged by the centroid of the spectrum within their range "
        "and by the share of all degrees of freedom that they carry. From a reference spectrum the distance "
        "is that of Wasserstein, the area between the two normalised integrals [@vallender1974], over the "
        "standard deviation of the reference: an L1 distance saturates once a band has moved by its width. "
        "What lies beyond the ends of the reference counts as lying there. "
        "It is never zero for a run of finite length: the noise floor is printed beside it and taken off in "
        "squares. Errors come from segments of twice the correlation time each. At constant energy or under "
        "velocity rescaling modes of a nearly harmonic crystal keep the energies of their start for longer "
        "than that, so such runs are less certain than they look; Langevin dynamics draws them anew within "
        "its relaxation time, and widens each line by friction/(2 pi c)."
    )
    citations = (literature.TWO_PHASE, literature.WASSERSTEIN, *runs.CITATIONS)
    needs: ClassVar[frozenset[str]] = frozenset({"energy", "forces"})
    criteria: ClassVar[tuple[Criterion, ...]] = (
        Criterion(
            name="freedom_error",
            compare="abs<",
            limit=1.0,
            unit="%",
            level="at_target",
            source="the integral of the spectrum is the number of degrees of freedom: a check of the "
            "spectrum",
        ),
        Criterion(
            name="aliased_weight",
            compare="<",
            limit=0.1,
            unit="%",
            level="at_target",
            source="velocities are stored often enough: nothing is left in the fastest fifth of the spectrum",
        ),
        Criterion(
            name="spectrum_distance",
            compare="<",
            limit=0.1,
            unit="1",
            level="advisory",
            source="the bench's own choice: a tenth of the reference's width; frequencies of silicon that "
            "are all 5 % too low give 0.1",
        ),
        Criterion(
            name="band_outside",
            compare="<",
            limit=0.0,
            unit="cm^-1",
            level="advisory",
            source="validation suite: O-H stretch in the right range (3000 to 3500 cm^-1), bands near 1600, "
            "600 and 200 cm^-1; negative inside the window",
        ),
        Criterion(
            name="band_weight",
            compare=">",
            limit=0.5,
            unit="1",
            level="advisory",
            source="validation suite: bands present; half of the weight that equipartition gives them",
        ),
        runs.FAILURES,
    )
    Params: ClassVar[type[runs.RunParams]] = VdosParams

    def trajectories(self, params: Any, inputs: Inputs) -> dict[str, TrajectorySpec]:
        """The run, and its preparation where it is at constant energy."""
        p: VdosParams = params
        numbers = inputs.structure(p.structure).numbers
        if p.velocity_every_fs > MOST_INTERVAL_FS and numbers.min() < CARBON:
            raise InputError(
                f"vdos: velocity_every_fs of {p.velocity_every_fs:g} with {chemical_symbols[numbers.min()]}: "
                f"expected at most {MOST_INTERVAL_FS:g} fs where anything is lighter than carbon"
            )
        there = {chemical_symbols[z] for z in numbers}
        asked = {*p.references, *p.drawn, *(band.species for band in (p.bands or {}).values())} - {TOTAL}
        if asked - there:
            known, strange = ", ".join(sorted(there)), ", ".join(sorted(asked - there))
            raise InputError(f"vdos: expected {TOTAL} or {known}, as in the structure, got {strange}")
        return runs.trajectories(p, inputs, p.velocity_every_fs)

    def produce(self, params: Any, context: Context) -> None:
        """Run; keep the references."""
        p: VdosParams = params
        t = runs.temperature(p, context.intended_use)
        held_against.save(context, p.references, p.drawn, t, p.level_of_theory)
        hole.run_and_quench(context, [list(self.trajectories(p, context))])

    def measure(self, params: Any, data: Data) -> Outcome:
        """Spectra, their integral, bands, distances."""
        p: VdosParams = params
        run = runs.load(p, data)
        held = held_against.load(data)
        outcome = Outcome([run.survival], notes=[*run.remarks, *held_against.remarks(held)])
        outcome.figures += event_picture("vdos-event", run.whole)
        outcome.methods = methods.vdos(p, run)
        found = _transformed(p, run, data)
        if isinstance(found, str):
            outcome.measurements += _not_scored(run, found)
            outcome.notes.append(f"No spectrum was computed: {found}.")
            return outcome
        spectra, steps = found
        outcome.measurements += freedom(spectra, run, steps)
        known = _bands(p, run)
        judged: Bands = bands(known, spectra, run)
        outcome.measurements += judged.measurements
        for h in held:
            if h.decides:
                outcome.measurements += compare(h, spectra, run, np.random.default_rng(p.floor_seed))
        outcome.figures += vdos_figures.spectra(spectra, held, known, run.temperature_K)
        outcome.tables.append(vdos_figures.weights(spectra, run))
        if judged.rows:
            outcome.tables.append(vdos_figures.band_table(judged.rows))
        return outcome


def _bands(p: VdosParams, run: runs.Run) -> dict[str, Band]:
    """Those asked for, or those of water where there are hydrogen and oxygen."""
    if p.bands is not None:
        return p.bands
    return WATER if {1, 8} == set(run.whole.structure.numbers.tolist()) else {}


def _transformed(p: VdosParams, run: runs.Run, data: Data) -> tuple[vdos.Spectra, np.ndarray] | str:
    """Spectra and the steps at which segments begin and end; or why there are none."""
    if run.problem:
        return run.problem
    structure = run.whole.structure
    found = vdos.VelocitySpectrum(structure.numbers, structure.masses, p.velocity_every_fs, p.correlation_fs)
    first = None
    for piece in runs.frames(data, run):
        if first is None and len(piece.frame_steps):
            first = int(piece.frame_steps[0])
        found.add(piece.velocities)
    if first is None or not found.n_segments:
        need = vdos.SEGMENT * p.correlation_fs / 1000
        return f"{run.counted_ps:.3g} ps count, one segment of the correlation takes {need:g} ps"
    stride = round(p.velocity_every_fs / p.timestep_fs)
    steps = first + found.segment_frames * stride * np.arange(found.n_segments + 1)
    inside = (run.whole.steps >= steps[0]) & (run.whole.steps < steps[-1])
    return found.spectra(float(run.whole.temperature[inside].mean())), steps


def _not_scored(run: runs.Run, why: str) -> list[Measurement]:
    return [
        Measurement(
            name="freedom_error",
            value=None,
            unit="%",
            conditions=run.conditions,
            note=f"not scored: {why}",
        )
    ]
