"""Transport and evaporation: diffusion coefficients, enthalpy of vaporisation."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ase.data import chemical_symbols
from pydantic import Field, PositiveFloat, model_validator

from mlipbench.api import (
    Context,
    Criterion,
    Data,
    InputError,
    Inputs,
    Outcome,
    ScalarRef,
    Structure,
    StructureRef,
    Suite,
    TrajectorySpec,
    diffusion,
    literature,
)
from mlipbench_suites import diffusion_figures, held_against, hole, methods, runs, vaporisation
from mlipbench_suites.diffusion_numbers import Mobility, mobility
from mlipbench_suites.trajectory_checks import event_picture


class DiffusionRef(ScalarRef):
    """A reference diffusion coefficient."""

    unit: ClassVar[str] = "A^2/ps"

    infinite_system: bool = Field(
        default=False,
        description="true: an experiment, or corrected for the size of its cell; false: of a periodic cell "
        "of about the same size",
    )


class EnthalpyRef(ScalarRef):
    """A reference enthalpy of vaporisation."""

    unit: ClassVar[str] = "kJ/mol"


class DynamicsParams(runs.RunParams):
    """Parameters of the suite `dynamics`."""

    ensemble: Literal["velocity_rescaling", "nve"] = Field(
        default="velocity_rescaling",
        description="nve shares the run of nve; Langevin dynamics slows diffusion",
    )
    relaxation_fs: float = Field(default=1000.0, ge=1000.0, description="of the velocity rescaling: gentle")
    frame_every_fs: PositiveFloat = Field(default=50.0, description="time between two frames")
    fit_from_ps: PositiveFloat = Field(default=1.0, description="lag where the fitted slope begins")
    fit_to_ps: PositiveFloat = Field(default=5.0, description="lag where it ends")
    viscosity_mPa_s: PositiveFloat | None = Field(
        default=None, description="of the liquid as the potential has it, for the finite-size correction"
    )
    viscosity_error_mPa_s: float = Field(default=0.0, ge=0, description="one standard error of it")
    references: dict[str, DiffusionRef] = Field(
        default={}, description="element -> reference diffusion coefficient"
    )
    gas: StructureRef | None = Field(
        default=None,
        description="one molecule of the liquid, alone: the enthalpy of vaporisation is measured",
    )
    vaporisation_reference: EnthalpyRef | None = Field(
        default=None,
        description="reference enthalpy of vaporisation, of classical nuclei where it can be had",
    )

    @model_validator(mode="after")
    def _window(self) -> DynamicsParams:
        if self.fit_to_ps <= self.fit_from_ps:
            raise ValueError(f"fit_to_ps: expected more than fit_from_ps, {self.fit_from_ps:g} ps")
        if self.vaporisation_reference is not None and self.gas is None:
            raise ValueError("vaporisation_reference: expected a molecule under gas")
        return self


class Dynamics(Suite):
    """Diffusion coefficients from mean squared displacements; enthalpy of vaporisation."""

    name: ClassVar[str] = "dynamics"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Transport: diffusion and vaporisation"
    method: ClassVar[str] = (
        "Diffusion coefficients are slopes of the mean squared displacement of each species over a stated "
        "window of lags [@einstein1905], the motion of the centre of mass taken out; errors come from "
        "segments of twice the longest lag. In a periodic cube diffusion is slower than in the bulk; where "
        "the viscosity is given, the correction [@yeh2004] is added and stated. Where no atom of a species "
        "has moved by three quarters of the distance between neighbours, it does not diffuse: D is zero, "
        "with a bound from the jumps that did not happen [@hanley1983]. The enthalpy of vaporisation, where "
        "a molecule is given, is that of classical nuclei: energy of the relaxed molecule, kT/2 for each of "
        "its vibrations (harmonic) and kT for the work of expansion, less the potential energy of the liquid "
        "a molecule; kinetic energies cancel."
    )
    citations = (
        literature.EINSTEIN,
        literature.FINITE_SIZE,
        literature.RULE_OF_THREE,
        *runs.CITATIONS,
    )
    needs: ClassVar[frozenset[str]] = frozenset({"energy", "forces"})
    criteria: ClassVar[tuple[Criterion, ...]] = (
        Criterion(
            name="diffusion_error",
            compare="abs<",
            limit=20.0,
            unit="%",
            level="advisory",
            source="the bench's own choice: published potentials of water have 0.21 to 0.24 A^2/ps, and a "
            "kelvin changes D by 2 to 3 %",
        ),
        Criterion(
            name="vaporisation_error",
            compare="abs<",
            limit=5.0,
            unit="%",
            level="advisory",
            source="the bench's own choice: published potentials of water have 43.5 and 44.8 kJ/mol",
        ),
        runs.FAILURES,
    )
    Params: ClassVar[type[runs.RunParams]] = DynamicsParams

    def trajectories(self, params: Any, inputs: Inputs) -> dict[str, TrajectorySpec]:
        """The run, and its preparation where it is at constant energy."""
        p: DynamicsParams = params
        there = {chemical_symbols[z] for z in inputs.structure(p.structure).numbers}
        if set(p.references) - there:
            missing = ", ".join(sorted(set(p.references) - there))
            raise InputError(f"dynamics: {missing}: not in the structure")
        if 1000 * (p.fit_to_ps - p.fit_from_ps) < 4 * p.frame_every_fs:
            raise InputError(
                f"dynamics: a slope from {p.fit_from_ps:g} to {p.fit_to_ps:g} ps: expected at least four "
                f"times frame_every_fs, {p.frame_every_fs:g} fs"
            )
        return runs.trajectories(p, inputs, p.frame_every_fs)

    def structures(self, params: Any, inputs: Inputs) -> list[Structure]:
        """The molecule. Raises InputError where the liquid is not made of such molecules."""
        p: DynamicsParams = params
        if p.gas is None:
            return []
        gas = inputs.structure(p.gas)
        vaporisation.count(inputs.structure(p.structure), gas)
        return [gas]

    def produce(self, params: Any, context: Context) -> None:
        """Run; relax the molecule; keep the references."""
        p: DynamicsParams = params
        t = runs.temperature(p, context.intended_use)
        for name, ref in p.references.items():
            held_against.save_number(context, name, context.scalar(ref), t, p.level_of_theory)
        if p.gas is not None:
            vaporisation.relax(context, context.structure(p.gas))
        if p.vaporisation_reference is not None:
            scalar = context.scalar(p.vaporisation_reference)
            held_against.save_number(context, "vaporisation", scalar, t, p.level_of_theory)
        hole.run_and_quench(context, [list(self.trajectories(p, context))])

    def measure(self, params: Any, data: Data) -> Outcome:
        """Diffusion of each species; vaporisation."""
        p: DynamicsParams = params
        run = runs.load(p, data)
        outcome = Outcome([run.survival], notes=run.remarks)
        outcome.figures += event_picture("dynamics-event", run.whole)
        outcome.methods = methods.dynamics(p, run)
        found = _displacements(p, run, data)
        if isinstance(found, str):
            outcome.notes.append(f"No diffusion coefficient was measured: {found}.")
        else:
            every = [mobility(p, z, displacement, run) for z, displacement in found.items()]
            for one in every:
                outcome.measurements += one.measurements
                outcome.notes += one.remarks
                _hold(p, one, run, data, outcome)
            outcome.figures.append(diffusion_figures.displacements(every, p.fit_from_ps, p.fit_to_ps, run))
            outcome.tables.append(diffusion_figures.table(every))
        if p.gas is not None and not run.problem:
            _vaporisation(p, run, data, outcome)
        return outcome


def _displacements(p: DynamicsParams, run: runs.Run, data: Data) -> dict[int, diffusion.Displacement] | str:
    """Of every species; or why there are none."""
    if run.problem:
        return run.problem
    structure = run.whole.structure
    found = diffusion.Displacements(structure.numbers, structure.masses, p.frame_every_fs, 1000 * p.fit_to_ps)
    for piece in runs.frames(data, run):
        found.add(piece.positions)
    if not found.n_segments:
        need = diffusion.SEGMENT * p.fit_to_ps
        return (
            f"{run.counted_ps:.3g} ps count, one segment with lags up to {p.fit_to_ps:g} ps takes {need:g} ps"
        )
    return found.displacements()


def _hold(p: DynamicsParams, one: Mobility, run: runs.Run, data: Data, outcome: Outcome) -> None:
    """A diffusion coefficient against its reference."""
    if one.name not in p.references:
        return
    held = held_against.load_number(data, one.name)
    outcome.notes += held.remarks(f"diffusion of {one.name}")
    own = one.infinite if p.references[one.name].infinite_system else one.periodic
    if held.remark:
        return
    if own is None:
        outcome.notes.append(
            f"diffusion of {one.name}: the reference is of an infinite system; give viscosity_mPa_s and a "
            "cubic cell to have it compared."
        )
        return
    conditions = {**run.conditions, "species": one.name}
    outcome.measurements.append(held_against.relative("diffusion_error", own, held, conditions, run.evidence))


def _vaporisation(p: DynamicsParams, run: runs.Run, data: Data, outcome: Outcome) -> None:
    """The enthalpy, and its reference."""
    heat = vaporisation.measure(data, run)
    outcome.measurements += heat.measurements
    outcome.notes += heat.remarks
    if p.vaporisation_reference is None or heat.enthalpy is None:
        return
    held = held_against.load_number(data, "vaporisation")
    outcome.notes += held.remarks("vaporisation")
    if not held.remark:
        outcome.measurements.append(
            held_against.relative("vaporisation_error", heat.enthalpy, held, run.conditions, run.evidence)
        )
