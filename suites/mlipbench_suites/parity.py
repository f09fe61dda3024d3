"""Errors of energies, forces and stresses on held-out labelled frames."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from ase.data import chemical_symbols
from pydantic import Field, NonNegativeInt, PositiveFloat

from mlipbench.api import (
    Context,
    Criterion,
    Data,
    Evidence,
    FramesRef,
    InputError,
    Inputs,
    LabelledFrame,
    Measurement,
    Outcome,
    Structure,
    Suite,
    SuiteParams,
    Table,
    duplicates,
    literature,
    parity,
    stats,
)
from mlipbench_suites import methods, parity_pictures, parity_tables
from mlipbench_suites.parity_numbers import Answers, Summaries, summarise, systematic


class ParityParams(SuiteParams):
    """Parameters of the suite `parity`."""

    frames: FramesRef = Field(description="held-out labelled frames")
    train: FramesRef | None = Field(
        default=None, description="what the potential was trained on, to show that frames are held out"
    )
    energy_reference: Literal["as_is", "isolated_atoms", "fitted"] = Field(
        default="as_is",
        description="how the zero of the energy is set: as it is, by isolated atoms, or by an offset per "
        "element fitted to these frames; the report shows as_is beside it",
    )
    isolated_atom_energies_eV: dict[str, float] | None = Field(
        default=None, description="of the labels' level of theory, for isolated_atoms: {Si: -101.3}"
    )
    worst_frames: NonNegativeInt = Field(default=5, description="frames pictured with their force errors")
    near_duplicate_A: PositiveFloat = Field(
        default=0.05, description="r.m.s. displacement below which a training frame repeats a test frame"
    )
    bootstrap_seed: NonNegativeInt = Field(default=0, description="of the error bars")


class Parity(Suite):
    """Errors against labels, their distribution, and their structure."""

    name: ClassVar[str] = "parity"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Energies, forces and stresses against labels"
    method: ClassVar[str] = (
        "The potential answers for labelled frames that it has not been trained on. Averages of absolute "
        "errors have error bars by bootstrap [@efron1979] over trajectories of frames (frames where none are "
        "named), "
        "never over force components, which are not independent. The skill compares with the prediction "
        "of each composition's mean energy, and of no force. Tails are judged within bins of species and "
        "force, since pooled residuals mix scales. The systematic share is what a small cross-validated "
        "model of the error (density, energy, closest contact, temperature of the frame; pair forces and "
        "scaled forces) explains of it: "
        "random errors average out along a trajectory, systematic ones accumulate. Stresses count six "
        "components."
    )
    citations = (literature.BOOTSTRAP,)
    needs: ClassVar[frozenset[str]] = frozenset({"energy", "forces"})
    criteria: ClassVar[tuple[Criterion, ...]] = (
        Criterion(
            name="energy_mae",
            compare="<",
            limit=1.0,
            unit="meV/atom",
            item=1,
            needs=(Evidence("frames", 30, "frames"),),
            source="deployment checklist, item 1",
        ),
        Criterion(
            name="force_mae",
            compare="<",
            limit=50.0,
            unit="meV/A",
            item=2,
            needs=(Evidence("frames", 30, "frames"),),
            grades={"better": 30.0},
            source="deployment checklist, item 2",
        ),
        Criterion(
            name="stress_mae",
            compare="<",
            limit=1e-3,
            unit="eV/A^3",
            item=3,
            needs=(Evidence("frames", 30, "frames"),),
            needs_property="stress",
            source="deployment checklist, item 3, where stresses were trained on",
        ),
        Criterion(
            name="energy_r2",
            compare=">",
            limit=0.999,
            unit="1",
            level="advisory",
            source="validation suite; depends on the spread of the set, the skill is the honest figure",
        ),
        Criterion(
            name="force_r2",
            compare=">",
            limit=0.99,
            unit="1",
            level="advisory",
            source="validation suite; depends on the spread of the set, the skill is the honest figure",
        ),
        Criterion(
            name="leaked_frames",
            compare="==",
            limit=0,
            unit="1",
            level="required",
            source="deployment checklist, items 1 to 3: the frames are held out",
        ),
    )
    Params: ClassVar[type[SuiteParams]] = ParityParams

    def structures(self, params: Any, inputs: Inputs) -> list[Structure]:
        """The labelled frames, and isolated atoms where they set the zero."""
        p: ParityParams = params
        frames = [f.structure for f in inputs.frames(p.frames)]
        return [*frames, *_atoms(p, frames)]

    def produce(self, params: Any, context: Context) -> None:
        """Evaluate all frames; store labels, answers, and repeats of training frames."""
        p: ParityParams = params
        frames = context.frames(p.frames)
        structures = [f.structure for f in frames]
        atoms = _atoms(p, structures)
        stress = "stress" in context.properties and any(f.stress is not None for f in frames)
        wanted = ["energy", "forces", *(["stress"] if stress else [])]
        answers = context.evaluate(structures, wanted)
        _save_labels(context, frames)
        context.save("level_of_theory", np.array([context.level_of_theory(p.frames)]))
        context.save("energy_predicted", np.array([a.energy for a in answers]))
        context.save("forces_predicted", np.concatenate([_or_nan(a.forces, (0, 3)) for a in answers]))
        if stress:
            context.save("stress_predicted", np.array([_or_nan(a.stress, (3, 3)) for a in answers]))
        if atoms:
            alone = context.evaluate(atoms, ["energy", "forces"])
            context.save("isolated_numbers", np.array([a.numbers[0] for a in atoms]))
            context.save("isolated_energies", np.array([a.energy for a in alone]))
        if p.train is not None:
            train = [f.structure for f in context.frames(p.train)]
            found = duplicates.matches(structures, train, p.near_duplicate_A)
            rows = [(m.index, m.other, m.kind == "duplicate", m.distance_A) for m in found]
            context.save("leaks", np.array(rows, dtype=float).reshape(-1, 4))
            theories = [context.level_of_theory(ref) for ref in (p.train, p.frames)]
            context.save("levels_of_theory", np.array(theories))

    def measure(self, params: Any, data: Data) -> Outcome:
        """All errors with error bars, tables, figures, remarks."""
        p: ParityParams = params
        answers = Answers.load(data)
        isolated = _isolated(p, data)
        align = parity.align(answers.labels, p.energy_reference, isolated)
        summaries = summarise(answers, align, np.random.default_rng(p.bootstrap_seed))
        measurements = [*_energies(p, summaries, answers), *_forces(summaries, answers)]
        pressure = data.intended_use.pressure_bar is not None
        measurements += _stresses(summaries, answers, data.has("stress_predicted"), pressure)
        shares, structured_tables = systematic(answers, align, np.random.default_rng(p.bootstrap_seed))
        notes = [*_zero(p, align, summaries), *parity_tables.temperature_words(answers)]
        outcome = Outcome([*measurements, *shares], notes=notes)
        outcome.tables = [*parity_tables.tables(answers, align, p.worst_frames), *structured_tables]
        outcome.notes += parity_tables.words(answers, align)
        outcome.figures = [
            *parity_pictures.figures(answers, align),
            *parity_pictures.worst(answers, p.worst_frames),
        ]
        _held_out(p, data, answers, outcome)
        outcome.methods = methods.parity(p, data, answers)
        return outcome


def _atoms(p: ParityParams, frames: list[Structure]) -> list[Structure]:
    """One isolated atom an element; raises InputError where its label energy is missing."""
    if p.energy_reference != "isolated_atoms":
        return []
    atoms = []
    for z in sorted({int(z) for s in frames for z in np.unique(s.numbers)}):
        if chemical_symbols[z] not in (p.isolated_atom_energies_eV or {}):
            raise InputError(
                f"energy_reference isolated_atoms needs isolated_atom_energies_eV of {chemical_symbols[z]}: "
                "give it in eV at the labels' level of theory, or choose fitted or as_is"
            )
        example = next(s for s in frames if z in s.numbers)
        mass = example.masses[example.numbers == z][:1]
        atoms.append(
            Structure(np.array([z]), np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, dtype=bool), mass)
        )
    return atoms


def _isolated(p: ParityParams, data: Data) -> dict[int, tuple[float, float]] | None:
    if p.energy_reference != "isolated_atoms" or p.isolated_atom_energies_eV is None:
        return None
    pairs = zip(data.array("isolated_numbers"), data.array("isolated_energies"), strict=True)
    return {int(z): (p.isolated_atom_energies_eV[chemical_symbols[int(z)]], float(e)) for z, e in pairs}


def _or_nan(value: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, np.nan) if value is None else np.asarray(value, dtype=float)


def _save_labels(context: Context, frames: list[LabelledFrame]) -> None:
    """Structures and labels of all frames, one behind the other; NaN for missing labels."""
    s = [f.structure for f in frames]
    context.save("n_atoms", np.array([len(x) for x in s]))
    context.save("numbers", np.concatenate([x.numbers for x in s]))
    context.save("masses", np.concatenate([x.masses for x in s]))
    context.save("positions", np.concatenate([x.positions for x in s]))
    context.save("cells", np.array([x.cell for x in s]))
    context.save("pbc", np.array([x.pbc for x in s]))
    context.save("energy", np.array([np.nan if f.energy is None else f.energy for f in frames]))
    forces = [_or_nan(f.forces, (len(x), 3)) for f, x in zip(frames, s, strict=True)]
    context.save("forces", np.concatenate(forces))
    context.save("stress", np.array([_or_nan(f.stress, (3, 3)) for f in frames]))
    temperatures = [np.nan if f.temperature_K is None else f.temperature_K for f in frames]
    context.save("temperature", np.array(temperatures))
    for name in ("config_type", "trajectory", "label"):
        context.save(name, np.array([getattr(f, name) for f in frames]))


def _measurement(
    name: str, value: stats.Bootstrapped, factor: float, unit: str, answers: Answers, note: str = ""
) -> Measurement:
    known = value.stderr is not None and np.isfinite(value.value)
    return Measurement(
        name=name,
        value=factor * value.value if np.isfinite(value.value) else None,
        unit=unit,
        stderr=factor * value.stderr if known and value.stderr is not None else None,
        n_eff=max(value.n_eff, 0.0),
        evidence=answers.evidence,
        method=f"bootstrap over {answers.cluster_words}; n_eff: their number, discounted for unequal sizes",
        note=note,
    )


def _missing(name: str, unit: str, what: str) -> list[Measurement]:
    return [Measurement(name=name, value=None, unit=unit, note=f"the frames carry no {what} labels")]


def _energies(p: ParityParams, s: Summaries, answers: Answers) -> list[Measurement]:
    if s.energy is None or s.energy_as_is is None:
        return _missing("energy_mae", "meV/atom", "energy")
    note = ""
    if s.fitted:
        note = (
            f"after a fitted offset per element ({s.fitted} of the degrees of freedom, taken off n_eff); as "
            f"it is the error is {1000 * s.energy_as_is.mae.value:.4g} meV/atom"
        )
    e, unit = s.energy, "meV/atom"
    spread = "energies per atom after removal of each composition's mean"
    return [
        _measurement("energy_mae", e.mae, 1000, unit, answers, note),
        _measurement("energy_mae_as_is", s.energy_as_is.mae, 1000, unit, answers, "no offset removed"),
        _measurement("energy_rmse", e.rmse, 1000, unit, answers),
        _measurement("energy_mean_error", e.mean, 1000, unit, answers, "signed, predicted less label"),
        *(
            [
                _measurement("energy_r2", s.energy_spread.r2, 1, "1", answers, spread),
                _measurement(
                    "energy_skill",
                    s.energy_spread.skill,
                    1,
                    "1",
                    answers,
                    "1 - MAE / MAE of predicting each composition's mean",
                ),
            ]
            if s.energy_spread is not None
            else []
        ),
    ]


def _forces(s: Summaries, answers: Answers) -> list[Measurement]:
    if s.forces is None:
        return _missing("force_mae", "meV/A", "force")
    f = s.forces
    return [
        _measurement("force_mae", f.mae, 1000, "meV/A", answers, "per Cartesian component"),
        _measurement("force_rmse", f.rmse, 1000, "meV/A", answers),
        _measurement("force_r2", f.r2, 1, "1", answers),
        _measurement("force_skill", f.skill, 1, "1", answers, "1 - MAE / mean size of the labels"),
    ]


def _stresses(s: Summaries, answers: Answers, asked: bool, needed: bool) -> list[Measurement]:
    """`asked`: the potential answered; `needed`: the intended use cannot do without stresses."""
    if s.stress is None:
        known = bool(np.isfinite(answers.stress).any())
        return [] if (known and not asked) or not needed else _missing("stress_mae", "eV/A^3", "stress")
    return [
        _measurement("stress_mae", s.stress.mae, 1, "eV/A^3", answers, "six components"),
        _measurement("stress_rmse", s.stress.rmse, 1, "eV/A^3", answers),
        _measurement("pressure_error", s.stress.mean, -1, "eV/A^3", answers, "signed, predicted less label")
        if s.pressure is None
        else _measurement(
            "pressure_error", s.pressure.mean, 1, "eV/A^3", answers, "signed: positive pushes outwards"
        ),
    ]


def _zero(p: ParityParams, align: parity.Alignment, s: Summaries) -> list[str]:
    if p.energy_reference == "as_is" or s.energy is None or s.energy_as_is is None:
        return []
    zero = {"fitted": "a fitted offset per element", "isolated_atoms": "the isolated atoms"}
    offsets = ", ".join(f"{chemical_symbols[z]} {c:+.6g} eV" for z, c in align.offsets.items())
    return [
        f"The zero of the energy was set by {zero[p.energy_reference]}: taken off the predictions {offsets} "
        f"per atom. As it is the error is {1000 * s.energy_as_is.mae.value:.5g} meV/atom, with this zero "
        f"{1000 * s.energy.mae.value:.4g} meV/atom."
    ]


def _held_out(p: ParityParams, data: Data, answers: Answers, outcome: Outcome) -> None:
    """Count and list of test frames that repeat training frames; level of theory compared."""
    if p.train is None:
        outcome.notes.append(
            "No training file was given, so nothing shows that these frames are held out: name it under "
            "`train` to have duplicates looked for."
        )
        return
    leaks = data.array("leaks")
    exact = int(leaks[:, 2].sum())
    outcome.measurements.append(
        Measurement(
            name="leaked_frames",
            value=float(len(leaks)),
            unit="1",
            exact=True,
            method="structure fingerprints and displacements against every training frame",
            note=f"{exact} duplicates, {len(leaks) - exact} within {p.near_duplicate_A:g} A of a training "
            "frame" + ("; the errors above include them and flatter the potential" if len(leaks) else ""),
        )
    )
    if len(leaks):
        outcome.tables.append(
            Table(
                id="parity-leaks",
                caption="Test frames that repeat a training frame (the first fifty).",
                columns=["test frame", "training frame (number)", "kind", "r.m.s. displacement (A)"],
                rows=[
                    [answers.names[int(i)], int(j), "duplicate" if same else "near-duplicate", float(d)]
                    for i, j, same, d in leaks[:50]
                ],
            )
        )
    trained, tested = (str(x) for x in data.array("levels_of_theory"))
    if trained and tested and trained != tested:
        outcome.notes.append(
            f"Level of theory: trained on {trained}, tested on {tested}; part of the error is theirs."
        )
    elif not (trained and tested):
        outcome.notes.append("The level of theory of the training or test labels is not stated.")
