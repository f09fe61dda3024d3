"""Density at constant temperature and pressure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mlipbench.api import (
    Context,
    Criterion,
    Data,
    Duration,
    Inputs,
    IntendedUse,
    Langevin,
    MaxwellBoltzmann,
    Outcome,
    Scalar,
    ScalarRef,
    StochasticCellRescaling,
    Structure,
    StructureRef,
    Suite,
    SuiteParams,
    Trajectory,
    TrajectorySpec,
    VelocityRescaling,
    literature,
    steps_lasting,
)
from mlipbench_suites import density_figures, density_results, methods
from mlipbench_suites.density_criteria import CRITERIA, DENSITY_LIMIT, Asked
from mlipbench_suites.density_numbers import (
    Reference,
    RigidPressures,
    analyse,
    reference,
    rigid_cells,
    rigid_pressures,
)
from mlipbench_suites.structure_watch import watch
from mlipbench_suites.trajectory_checks import event_picture

LIQUID = ("liquid", "gas", "molecule")
SOFT_GPA, STIFF_GPA = 2.0, 50.0  # bulk moduli of liquids and of crystals, roughly
GROSS_ERROR = 10.0  # % by which a stress may be wrong before a run makes no sense
SHORTEST_RELAXATION = 10  # times between two moves of the cell


class MassDensity(ScalarRef):
    """A density."""

    unit = "g/cm^3"


class VolumePerAtom(ScalarRef):
    """A volume per atom."""

    unit = "A^3/atom"


class LatticeConstant(ScalarRef):
    """A lattice constant of a cubic crystal."""

    unit = "A"


class BulkModulus(ScalarRef):
    """An isothermal bulk modulus."""

    unit = "GPa"


class DensityParams(SuiteParams):
    """Parameters of the suite `density`."""

    structure: StructureRef = Field(description="where the runs start: periodic, and near equilibrium")
    density: MassDensity | None = Field(default=None, description="the reference; one of three")
    volume_per_atom: VolumePerAtom | None = Field(default=None, description="the reference; one of three")
    lattice_constant: LatticeConstant | None = Field(
        default=None, description="the reference, of a cubic crystal; one of three"
    )
    atoms_per_cell: PositiveInt | None = Field(
        default=None,
        description="atoms in the cubic cell of that lattice constant; default: as the crystal was built",
    )
    bulk_modulus: BulkModulus | None = Field(
        default=None, description="isothermal, from the reference's equation of state; for a comparison"
    )
    temperature_K: PositiveFloat | None = Field(default=None, description="default: that of the intended use")
    pressure_bar: float | None = Field(
        default=None, description="default: that of the intended use, or 1 where it names none"
    )
    duration_ps: Duration = Field(default=60.0, description="length of each NPT run")
    prepare_ps: PositiveFloat = Field(
        default=5.0, description="NVT (Langevin) before it; no tier shortens it, so that all start alike"
    )
    replicas: PositiveInt = Field(default=1, description="independent runs")
    timestep_fs: PositiveFloat = Field(
        default=0.5, description="0.5 serves hydrogen; 1 to 2 where nothing lighter than carbon moves"
    )
    thermostat: Literal["langevin", "velocity_rescaling"] = "langevin"
    friction_per_fs: PositiveFloat = Field(default=0.005, description="of the Langevin thermostat")
    relaxation_fs: PositiveFloat = Field(default=200.0, description="of the velocity rescaling")
    cell_relaxation_fs: PositiveFloat = Field(default=500.0, description="of the volume")
    cell_stride: PositiveInt = Field(
        default=10, description="steps between two moves of the cell, and two samples"
    )
    cell: Literal["isotropic", "lengths", "full"] = Field(
        default="isotropic",
        description="what moves: the volume; the lengths along x, y, z; all lengths and angles. For crystals "
        "whose axes differ; a liquid does not resist a change of shape",
    )
    stiffness_GPa: PositiveFloat | None = Field(
        default=None,
        description="bulk modulus to a factor of three: sets the pace of the cell; default: 2 where all "
        "phases of the intended use are liquid, gas or molecule, else 50",
    )
    frame_every_fs: PositiveFloat = Field(default=100.0, description="time between two stored frames")

    @model_validator(mode="after")
    def _one_reference(self) -> DensityParams:
        given = [
            n for n in ("density", "volume_per_atom", "lattice_constant") if getattr(self, n) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                "expected one reference out of density, volume_per_atom, lattice_constant, got "
                f"{' and '.join(given) or 'none'}"
            )
        shortest = SHORTEST_RELAXATION * self.cell_stride * self.timestep_fs
        if self.cell_relaxation_fs < shortest:
            raise ValueError(
                f"expected a cell_relaxation_fs of at least {SHORTEST_RELAXATION} times the "
                f"{self.cell_stride * self.timestep_fs:g} fs between two moves of the cell, got "
                f"{self.cell_relaxation_fs:g}; lower cell_stride"
            )
        return self

    @property
    def reference(self) -> MassDensity | VolumePerAtom | LatticeConstant:
        """The one that was given."""
        return self.density or self.volume_per_atom or self.lattice_constant  # type: ignore[return-value]


class Density(Suite):
    """Mean density of NPT runs against a reference."""

    name: ClassVar[str] = "density"
    version: ClassVar[int] = 2
    title: ClassVar[str] = "Density (NPT)"
    method: ClassVar[str] = (
        "Before any run, the pressure that follows from the stress is compared with the derivative of the "
        "energy with respect to the volume, by differences, on the start scaled by up to 2 %; a stress that "
        "is grossly wrong is not run at all. The system is then brought to its temperature at constant "
        "volume, and goes on at constant pressure: stochastic cell rescaling [@bernetti2020], of the volume "
        "alone or of lengths and angles too [@deltatto2022], which samples the cells of the NPT ensemble. "
        "The equilibration is detected by the autocorrelation "
        "time [@wolff2004] and dropped [@chodera2016]; the mean density has an error under noise of short "
        "and of long memory, mixed as their restricted likelihoods say [@harville1977], and is held against "
        "the reference with both errors. The bulk modulus follows from the fluctuations of the volume. A "
        "cell that shrinks below half or grows beyond twice its volume ends the run: the system collapses or "
        "evaporates, and fails; so does one that is stretched to 1.5 times, or squeezed "
        "to 1/1.5, of its length along some direction."
    )
    citations = (
        literature.STOCHASTIC_CELL_RESCALING,
        literature.ANISOTROPIC_CELL_RESCALING,
        literature.BAOAB,
        literature.VELOCITY_RESCALING,
        literature.AUTOCORRELATION,
        literature.EQUILIBRATION,
        literature.RESTRICTED_LIKELIHOOD,
    )
    needs: ClassVar[frozenset[str]] = frozenset({"energy", "forces", "stress"})
    criteria: ClassVar[tuple[Criterion, ...]] = CRITERIA
    Params: ClassVar[type[SuiteParams]] = DensityParams

    def trajectories(self, params: Any, inputs: Inputs) -> dict[str, TrajectorySpec]:
        """prepare#k (NVT) and npt#k, which goes on from it, for every replica k."""
        p: DensityParams = params
        start = inputs.structure(p.structure)
        reference(p, start, inputs.scalar(p.reference))  # what cannot be compared is refused before the run
        t = p.temperature_K or inputs.intended_use.temperature_K
        barostat = StochasticCellRescaling(
            thermostat=Langevin(t, p.friction_per_fs)
            if p.thermostat == "langevin"
            else VelocityRescaling(t, p.relaxation_fs),
            pressure_bar=_pressure(p, inputs.intended_use),
            compressibility_per_GPa=1.0 / _stiffness(p, inputs.intended_use),
            relaxation_fs=p.cell_relaxation_fs,
            stride=p.cell_stride,
            cell=p.cell,
        )
        wanted = {}
        for k in range(p.replicas):
            prepared = TrajectorySpec(
                structure=start,
                ensemble=Langevin(t, 2 * p.friction_per_fs),
                timestep_fs=p.timestep_fs,
                n_steps=steps_lasting(p.prepare_ps, p.timestep_fs),
                start=MaxwellBoltzmann(t),
                seed=inputs.seed + k,
                monitor_stride=p.cell_stride,
            )
            wanted[f"prepare#{k}"] = prepared
            wanted[f"npt#{k}"] = replace(
                prepared,
                ensemble=barostat,
                n_steps=steps_lasting(p.duration_ps, p.timestep_fs),
                start=prepared,
                frame_stride=max(round(p.frame_every_fs / p.timestep_fs), 1),
            )
        return wanted

    def structures(self, params: Any, inputs: Inputs) -> list[Structure]:
        """The start, scaled."""
        return rigid_cells(inputs.structure(params.structure))

    def produce(self, params: Any, context: Context) -> None:
        """Check the stress; run unless it is grossly wrong."""
        p: DensityParams = params
        start = context.structure(p.structure)
        answers = context.evaluate(self.structures(p, context), ["energy", "stress"])
        energies = np.array([a.energy for a in answers])
        stresses = np.array([a.stress for a in answers])
        found = rigid_pressures(start, energies, stresses)
        context.save("rigid_from_stress", found.from_stress)
        context.save("rigid_from_energy", found.from_energy)
        known = reference(p, start, context.scalar(p.reference))
        _save(context, "reference", known.source)
        context.save("atoms_per_cell", np.array([known.atoms_per_cell]))
        if p.bulk_modulus is not None:
            _save(context, "bulk_modulus", context.scalar(p.bulk_modulus))
        if found.error < GROSS_ERROR:
            context.run_trajectories()

    def measure(self, params: Any, data: Data) -> Outcome:
        """Density against the reference, bulk modulus, stress check, survival."""
        p: DensityParams = params
        use = data.intended_use
        t, pressure = p.temperature_K or use.temperature_K, _pressure(p, use)
        rigid = RigidPressures(data.array("rigid_from_stress"), data.array("rigid_from_energy"))
        asked = Asked(t, pressure, use)
        outcome = Outcome(density_results.stress(rigid, asked))
        if rigid.error >= GROSS_ERROR:
            outcome.measurements += density_results.not_run(rigid, asked)
            outcome.notes.append("No run was made: with this stress the pressure has no meaning.")
            return outcome
        prepared = [data.trajectory(f"prepare#{k}") for k in range(p.replicas)]
        runs = [data.trajectory(f"npt#{k}") for k in range(p.replicas)]
        known = _reference(p, data, runs[0].structure)
        modulus = _load(data, "bulk_modulus") if p.bulk_modulus is not None else None
        analysed = [analyse(run, t) for run in runs if len(run.steps) > 1]
        found = density_results.density(analysed, prepared, runs, known, asked)
        outcome.measurements += found.measurements
        outcome.measurements += density_results.fluctuations(analysed, found.mean, known, modulus, asked)
        if p.cell != "isotropic":
            outcome.measurements += density_results.lengths_and_angles(analysed, asked)
        outcome.notes += density_results.notes(analysed, known, asked)
        outcome.notes += sorted({w.words for w in (watch(_at_rest(run)) for run in runs) if w.words})
        if analysed:
            figure = density_figures.traces(analysed, found.mean, known, DENSITY_LIMIT, pressure, t)
            outcome.figures.append(figure)
        if found.mean is not None:
            outcome.figures.append(density_figures.distribution(analysed))
        for k, run in enumerate(runs):
            outcome.figures += event_picture(f"density-event-{k}", run)
        outcome.methods = methods.density(p, runs, t, pressure, known.source)
        return outcome


def _pressure(p: DensityParams, use: IntendedUse) -> float:
    if p.pressure_bar is not None:
        return p.pressure_bar
    return 1.0 if use.pressure_bar is None else use.pressure_bar


def _stiffness(p: DensityParams, use: IntendedUse) -> float:
    soft = bool(use.phases) and all(phase in LIQUID for phase in use.phases)
    return p.stiffness_GPa or (SOFT_GPA if soft else STIFF_GPA)


def _at_rest(run: Trajectory) -> Trajectory:
    """The run with its frames carried into the cell of the first: displacements are the atoms' own."""
    if not len(run.cells):
        return run
    first = run.cells[0]
    positions = run.positions @ np.linalg.solve(run.cells, np.broadcast_to(first, run.cells.shape))
    return replace(run, positions=positions, cells=np.broadcast_to(first, run.cells.shape))


_WORDS = ("name", "unit", "level_of_theory", "source")
_NUMBERS = ("value", "error", "temperature_K", "pressure_bar")


def _save(context: Context, name: str, scalar: Scalar) -> None:
    """Keep a reference number for `measure`; NaN stands for what it does not say."""
    numbers = [getattr(scalar, field) for field in _NUMBERS]
    context.save(f"{name}_numbers", np.array([np.nan if x is None else x for x in numbers]))
    context.save(f"{name}_words", np.array([getattr(scalar, field) for field in _WORDS]))


def _load(data: Data, name: str) -> Scalar:
    numbers = [None if np.isnan(x) else float(x) for x in data.array(f"{name}_numbers")]
    words = [str(word) for word in data.array(f"{name}_words")]
    return Scalar(**dict(zip(_NUMBERS, numbers, strict=True)), **dict(zip(_WORDS, words, strict=True)))  # type: ignore[arg-type]


def _reference(p: DensityParams, data: Data, start: Structure) -> Reference:
    atoms = int(data.array("atoms_per_cell")[0]) or None
    return reference(p.model_copy(update={"atoms_per_cell": atoms}), start, _load(data, "reference"))
