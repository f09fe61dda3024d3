"""Forces as derivatives of the energy, discontinuities, invariances, rounding noise."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from mlipbench.api import (
    Context,
    Criterion,
    Data,
    Inputs,
    IntendedUse,
    Langevin,
    MaxwellBoltzmann,
    Outcome,
    Structure,
    StructureRef,
    Suite,
    SuiteParams,
    TrajectorySpec,
    literature,
    steps_lasting,
)
from mlipbench_suites import methods, smoothness_disguises, smoothness_pictures
from mlipbench_suites import smoothness_numbers as numbers
from mlipbench_suites import smoothness_probes as probes

_TENTH = "a tenth of the error that the deployment checklist allows"
_SAME = (
    f"the same question in other words has the same answer; {_TENTH}, so that no broken symmetry spends the "
    "rest of it"
)


class SmoothnessParams(SuiteParams):
    """Parameters of the suite `smoothness`."""

    structure: StructureRef = Field(
        description="where the short run starts that gives thermal configurations"
    )
    temperature_K: PositiveFloat | None = Field(
        default=None, description="of the configurations; default: that of the intended use"
    )
    frames: int = Field(default=3, ge=2, description="configurations")
    duration_ps: PositiveFloat = Field(default=0.6, description="of the run; no tier shortens it")
    timestep_fs: PositiveFloat = Field(
        default=0.5, description="0.5 serves hydrogen; 1 to 2 where nothing lighter than carbon moves"
    )
    friction_per_fs: PositiveFloat = Field(default=0.005, description="of the Langevin thermostat")
    atoms: PositiveInt = Field(default=6, description="of each configuration, for differences of the energy")
    lines: PositiveInt = Field(default=4, description="along which an atom is led in search of jumps")
    reach_A: float = Field(default=0.5, ge=0.2, le=3.0, description="how far it is led from its place")


class Smoothness(Suite):
    """Whether forces are smooth derivatives of an energy that knows no frame of reference."""

    name: ClassVar[str] = "smoothness"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Smoothness, symmetry and noise"
    method: ClassVar[str] = (
        "Whatever uses forces downstream (dynamics, phonons, spectra, relaxation) takes it that they are the "
        "gradient of one smooth energy [@fu2025]. On configurations of a short run at the target "
        "temperature, forces and stress are compared with differences of the energy. Single atoms are led "
        "along lines, so that neighbours cross whatever cutoff there is: cubics on both sides of an "
        "interval tell a jump of energy, force or slope from steep smooth change, and from rounding noise, "
        "which sixth differences [@more2011] measure. A jump of the energy is work that no force does; one "
        "of the force is an error of every integrator [@toxvaerd2011]. Forces that are no gradient show as "
        "an asymmetric Hessian [@bigi2024] and as work around closed loops. The same physical question "
        "asked in other words (turned, mirrored, moved, renumbered, wrapped, another cell of the same "
        "lattice, twice as much, again, in a batch, of fewer properties) must have the same answer."
    )
    citations = (
        literature.BAOAB,
        literature.COMPUTATIONAL_NOISE,
        literature.SHIFTED_FORCES,
        literature.SMOOTH_POTENTIALS,
        literature.DIRECT_FORCES,
    )
    needs: ClassVar[frozenset[str]] = frozenset({"energy", "forces"})
    criteria: ClassVar[tuple[Criterion, ...]] = (
        Criterion(
            name="non_finite",
            compare="==",
            limit=0,
            unit="1",
            item=9,
            source="energies and forces about thermal configurations are numbers",
        ),
        Criterion(
            name="force_error",
            compare="<",
            limit=numbers.FORCE_LIMIT,
            unit="meV/A",
            item=9,
            source=f"forces are -dE/dx; {_TENTH} of a force (item 2), for the largest deviation",
        ),
        Criterion(
            name="stress_error",
            compare="<",
            limit=numbers.STRESS_LIMIT,
            unit="eV/A^3",
            item=9,
            needs_property="stress",
            source=f"stress is dE/d(strain)/V; {_TENTH} of a stress (item 3)",
        ),
        Criterion(
            name="energy_jump",
            compare="<",
            limit=numbers.JUMP_LIMITS["energy"],
            unit="%",
            item=9,
            source="an atom crosses cutoffs a hundred times in a picosecond: steps of 0.01 kT walk by about "
            "kT in 100 ps, as far as thermal noise itself",
        ),
        Criterion(
            name="force_jump",
            compare="<",
            limit=numbers.JUMP_LIMITS["force"],
            unit="%",
            item=9,
            source="a discontinuous force is an error of every integrator (Toxvaerd and Dyre 2011); 1 % of "
            f"the thermal force is about {_TENTH} of a force (item 2)",
        ),
        Criterion(
            name="slope_jump",
            compare="<",
            limit=numbers.JUMP_LIMITS["slope"],
            unit="%",
            level="advisory",
            source="deployment checklist, item 9, smooth derivatives; 10 % of the stiffness is 5 % of a "
            "frequency, the 0.5 THz that phonons may err, where a neighbour rests at the cutoff",
        ),
        Criterion(
            name="stiffness_noise",
            compare="<",
            limit=1.0,
            unit="%",
            item=9,
            source="deployment checklist, item 9, downstream use of forces: 1 % of a force constant is 0.5 "
            "% of a frequency",
        ),
        Criterion(
            name="noise_heating",
            compare="<",
            limit=0.1,
            unit="meV/atom/ps",
            item=9,
            source="deployment checklist, item 4, grade ideal: what rounding alone adds to the energy",
        ),
        Criterion(
            name="energy_noise",
            compare="<",
            limit=1000.0,
            unit="1",
            level="advisory",
            source="sums of thousands of terms lose some tens of roundings: more is a lower precision than "
            "the one that the potential names",
        ),
        Criterion(name="same_energy", compare="<", limit=0.1, unit="meV/atom", source=f"{_SAME} (item 1)"),
        Criterion(
            name="same_forces",
            compare="<",
            limit=numbers.FORCE_LIMIT,
            unit="meV/A",
            source=f"{_SAME} (item 2)",
        ),
        Criterion(
            name="same_stress",
            compare="<",
            limit=numbers.STRESS_LIMIT,
            unit="eV/A^3",
            needs_property="stress",
            source=f"{_SAME} (item 3)",
        ),
        Criterion(
            name="net_force",
            compare="<",
            limit=0.1,
            unit="meV/A",
            source="no system pushes itself; mesh-based electrostatics reach 0.01 meV/A",
        ),
        Criterion(
            name="net_torque",
            compare="<",
            limit=0.1,
            unit="meV",
            source="nothing isolated turns itself; as for the net force, at a lever of 1 A",
        ),
        Criterion(
            name="hessian_asymmetry",
            compare="<",
            limit=1.0,
            unit="%",
            level="advisory",
            source="second derivatives of an energy are symmetric (Bigi, Langer and Ceriotti 2024)",
        ),
        Criterion(
            name="loop_work",
            compare="<",
            limit=1.0,
            unit="%",
            level="advisory",
            source="conservative forces do no work around a loop of 0.1 A, which an atom runs through in "
            "every vibration; compared with kT",
        ),
        Criterion(
            name="precision_energy",
            compare="<",
            limit=0.1,
            unit="meV/atom",
            level="advisory",
            source=f"float32 against float64: {_TENTH} of an energy (item 1)",
        ),
        Criterion(
            name="precision_force",
            compare="<",
            limit=5.0,
            unit="meV/A",
            level="advisory",
            source=f"float32 against float64: {_TENTH} of a force (item 2)",
        ),
    )
    Params: ClassVar[type[SuiteParams]] = SmoothnessParams

    def trajectories(self, params: Any, inputs: Inputs) -> dict[str, TrajectorySpec]:
        """The short run; `stability` at equal settings shares it."""
        p: SmoothnessParams = params
        temperature = _temperature(p, inputs.intended_use)
        steps = max(steps_lasting(p.duration_ps, p.timestep_fs), p.frames)
        return {
            "thermal": TrajectorySpec(
                structure=inputs.structure(p.structure),
                ensemble=Langevin(temperature, p.friction_per_fs),
                timestep_fs=p.timestep_fs,
                n_steps=steps - steps % p.frames,
                start=MaxwellBoltzmann(temperature),
                seed=inputs.seed,
                frame_stride=steps // p.frames,
            )
        }

    def structures(self, params: Any, inputs: Inputs) -> list[Structure]:
        """As many as `produce` asks about, all like the start."""
        p: SmoothnessParams = params
        start = inputs.structure(p.structure)
        a_frame = probes.NOISE_POINTS + 12 * p.atoms + 24 + probes.LOOP_POINTS + 14
        return [start] * (p.frames * a_frame + 200 * p.lines + 12 * probes.CLUSTER)

    def produce(self, params: Any, context: Context) -> None:
        """A short run; then everything that is asked about its configurations."""
        p: SmoothnessParams = params
        context.run_trajectories()
        rng = np.random.default_rng(context.seed)
        frames = probes.thermal_frames(context.trajectory("thermal"), p.frames, rng)
        given = probes.answers(context, frames)
        sigma = probes.noise(context, frames, rng)
        step = probes.force_step(sigma, 1e-3 * numbers.FORCE_LIMIT / numbers.CHANCE)
        probes.force_differences(context, frames, step, p.atoms, rng)
        if given[0].stress is not None:
            probes.strain_differences(context, frames)
        probes.curl(context, frames, probes.FORCE_STEPS[0], rng)
        probes.scans(context, frames, p.lines, p.reach_A, rng)
        smoothness_disguises.same(context, frames, given, rng)

    def measure(self, params: Any, data: Data) -> Outcome:
        """All differences, jumps and noise; where an answer is no number, only that."""
        p: SmoothnessParams = params
        temperature = _temperature(p, data.intended_use)
        frames = numbers.Frames.load(data)
        finite = numbers.numbers_at_all(data, frames)
        run = data.trajectory("thermal")
        step = float(data.array("difference.step")[0])
        outcome = Outcome([finite], methods=methods.smoothness(p, run, temperature, step))
        if finite.value:
            outcome.notes.append("Answers that are no numbers: nothing else can be said.")
            return outcome
        noise = numbers.Noise.of(data.array("noise.energy"), data.array("noise.forces"))
        scans = numbers.scans(data, noise)
        against = numbers.scales(scans, frames, temperature)
        places = numbers.harmful(scans, against)
        forces, got, expected = numbers.force_error(data, frames, noise)
        twins, twin = numbers.precision(data, frames)
        same = numbers.Same.load(data, frames)
        outcome.measurements += [
            forces,
            *numbers.stress_error(data, frames, noise),
            *numbers.jumps(scans, against),
            *numbers.noise_measurements(noise, frames, against["slope"].size, p.timestep_fs),
            *same.measurements(),
            *numbers.momentum(frames),
            *numbers.curl(data, noise, temperature),
            *twins,
        ]
        outcome.figures = smoothness_pictures.figures(data, scans, (got, expected), twin)
        outcome.tables = [smoothness_pictures.jump_table(scans), smoothness_pictures.same_table(same)]
        outcome.notes = smoothness_pictures.words(
            outcome.measurements, len(places), numbers.cutoff(places, frames), run
        )
        return outcome


def _temperature(p: SmoothnessParams, use: IntendedUse) -> float:
    return p.temperature_K or use.temperature_K
