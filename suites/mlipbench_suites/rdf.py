"""Radial distribution functions along an NVT run, against reference curves."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from ase.data import chemical_symbols
from pydantic import Field, NonNegativeInt, PositiveFloat, field_validator

from mlipbench.api import (
    Context,
    Criterion,
    CurveRef,
    Data,
    Evidence,
    InputError,
    Inputs,
    Measurement,
    Outcome,
    Suite,
    TrajectorySpec,
    literature,
    rdf,
)
from mlipbench_suites import held_against, hole, methods, rdf_figures, runs
from mlipbench_suites.rdf_numbers import Compared, compare, coordination, measurements
from mlipbench_suites.trajectory_checks import event_picture


class DistributionRef(CurveRef):
    """A reference g(r): averages over bins whose middles are its abscissa, with standard errors."""

    abscissa_unit: ClassVar[str] = "A"
    value_unit: ClassVar[str] = "1"


class DrawnDistribution(DistributionRef):
    """A g(r) drawn beside the others: another temperature or level of theory, an experiment."""

    decides: ClassVar[bool] = False


class RdfParams(runs.RunParams):
    """Parameters of the suite `rdf`."""

    ensemble: Literal["langevin", "velocity_rescaling"] = Field(
        default="langevin",
        description="langevin shares the run of stability, and reaches slow vibrations of crystals",
    )
    pairs: list[str] = Field(default=[], description="[O-O, O-H]; default: all pairs of elements")
    references: dict[str, DistributionRef] = Field(
        default={},
        description="pair -> reference curve; it decides where temperature and level of theory are the run's",
    )
    drawn: dict[str, list[DrawnDistribution]] = Field(
        default={}, description="pair -> curves drawn beside it, which decide nothing: experiments"
    )
    bin_A: PositiveFloat = Field(
        default=0.02, description="width of the bins where there is no reference, whose bins are taken"
    )
    range_A: PositiveFloat | None = Field(
        default=None, description="largest distance; at most (default) half the smallest height of the cell"
    )
    frame_every_fs: PositiveFloat = Field(default=50.0, description="time between two frames")
    floor_seed: NonNegativeInt = Field(default=0, description="of the random halves of the noise floor")

    @field_validator("pairs")
    @classmethod
    def _pairs(cls, names: list[str]) -> list[str]:
        return _each_pair_once(names)

    @field_validator("references", "drawn")
    @classmethod
    def _keys(cls, curves: dict[str, Any]) -> dict[str, Any]:
        return dict(zip(_each_pair_once(list(curves)), curves.values(), strict=True))


def _each_pair_once(names: list[str]) -> list[str]:
    """In one spelling (O-H for H-O)."""
    spelt = [rdf.pair_name(rdf.pair_of(name)) for name in names]
    twice = sorted({name for name in spelt if spelt.count(name) > 1})
    if twice:
        raise ValueError(f"expected each pair once, got {', '.join(twice)} more than once")
    return spelt


class RadialDistributions(Suite):
    """Positions and heights of the peaks of g(r), coordination numbers."""

    name: ClassVar[str] = "rdf"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Structure: radial distribution functions"
    method: ClassVar[str] = (
        "Distances along an NVT run are counted with MDAnalysis [@michaudagrawal2011] in the bins of the "
        "reference curve, up to half the smallest height of the cell. A cubic polynomial through the "
        "logarithm of g about each peak, down to half of its prominence, gives position and height, of the "
        "run and of the reference alike. Errors of the run come from blocks, whose memory the data weigh "
        "[@harville1977]; errors of the reference from those that it states for its bins, taken to be "
        "correlated as those of the run are; both enter the verdict. A reference of another "
        "temperature or level of theory is drawn and decides nothing. The integral of |g - g_ref| is never "
        "zero for a run of finite length: what the difference between two halves of the run and the "
        "reference's errors make of it is printed beside it as the noise floor."
    )
    citations = (literature.MDANALYSIS, *runs.CITATIONS)
    needs: ClassVar[frozenset[str]] = frozenset({"energy", "forces"})
    criteria: ClassVar[tuple[Criterion, ...]] = (
        Criterion(
            name="peak_height_error",
            compare="abs<",
            limit=5.0,
            unit="%",
            level="at_target",
            item=6,
            needs=(Evidence("length_ps", 100, "ps"),),
            source="deployment checklist, item 6; 100 ps of NVT from the validation suite",
        ),
        Criterion(
            name="peak_position_error",
            compare="abs<",
            limit=1.0,
            unit="%",
            level="at_target",
            item=6,
            needs=(Evidence("length_ps", 100, "ps"),),
            source="validation suite: about 1 % in the position of a peak is acceptable",
        ),
        Criterion(
            name="missing_peaks",
            compare="==",
            limit=0,
            unit="1",
            level="at_target",
            item=6,
            source="deployment checklist, item 6: a peak of the reference that is not there has no height",
        ),
        runs.FAILURES,
    )
    Params: ClassVar[type[runs.RunParams]] = RdfParams

    def trajectories(self, params: Any, inputs: Inputs) -> dict[str, TrajectorySpec]:
        """The NVT run."""
        p: RdfParams = params
        start = inputs.structure(p.structure)
        if not start.pbc.all():
            raise InputError("rdf needs a structure that is periodic in all directions: g(r) is per volume")
        missing = [name for name in _asked(p, start.numbers) if not _there(name, start.numbers)]
        if missing:
            elements = ", ".join(chemical_symbols[z] for z in np.unique(start.numbers))
            raise InputError(
                f"rdf: expected pairs of {elements}, as in the structure, got {', '.join(missing)}"
            )
        return runs.trajectories(p, inputs, p.frame_every_fs)

    def produce(self, params: Any, context: Context) -> None:
        """Run; keep the references."""
        p: RdfParams = params
        t = runs.temperature(p, context.intended_use)
        held_against.save(context, p.references, p.drawn, t, p.level_of_theory)
        hole.run_and_quench(context, [list(self.trajectories(p, context))])

    def measure(self, params: Any, data: Data) -> Outcome:
        """Peaks, coordination numbers, differences, curves."""
        p: RdfParams = params
        run = runs.load(p, data)
        held = held_against.load(data)
        reach = rdf.half_height(run.whole.structure.cell)
        outcome = Outcome([run.survival], notes=[*run.remarks, *_notes(p, reach, held)])
        outcome.figures += event_picture("rdf-event", run.whole)
        found = {} if run.problem else _distributions(p, run, held, reach, data)
        if not found:
            why = run.problem or "no frame is left behind the equilibration"
            outcome.measurements += _not_scored(held, run, why)
            outcome.notes.append(f"No g(r) was computed: {why}.")
        every: list[Compared] = []
        for pair, g in found.items():
            name = rdf.pair_name(pair)
            mine = [h for h in held if h.name == name]
            compared = compare(name, g, mine, np.random.default_rng(p.floor_seed))
            every.append(compared)
            outcome.measurements += measurements(compared, run)
            outcome.figures.append(rdf_figures.curves(compared, mine, run.temperature_K))
            outcome.notes += compared.remarks
        if every:
            outcome.measurements += coordination(every, run)
            outcome.tables += [rdf_figures.peak_table(every), rdf_figures.shell_table(every)]
        outcome.methods = methods.rdf(p, run, reach, held)
        return outcome


def _asked(p: RdfParams, numbers: np.ndarray) -> list[str]:
    """Names of the pairs."""
    return p.pairs or [*dict.fromkeys([*map(rdf.pair_name, rdf.all_pairs(numbers)), *p.references, *p.drawn])]


def _there(name: str, numbers: np.ndarray) -> bool:
    return all(np.any(numbers == z) for z in rdf.pair_of(name))


def _distributions(
    p: RdfParams, run: runs.Run, held: list[held_against.Held], reach: float, data: Data
) -> dict[rdf.Pair, rdf.Distribution]:
    """g(r) of every pair, frame by frame, in the bins of the reference that decides."""
    numbers = run.whole.structure.numbers
    reach = min(p.range_A or reach, reach)
    grids = {}
    for name in _asked(p, numbers):
        edges = rdf.even_edges(p.bin_A, reach)
        for h in held:
            theirs = rdf.edges_about(h.x)
            if h.decides and h.name == name and (theirs <= reach).sum() > 2:
                edges = theirs[theirs <= reach]
        grids[rdf.pair_of(name)] = edges
    histogram = rdf.Histogram(numbers, grids)
    n = 0
    for piece in runs.frames(data, run):
        histogram.add(piece.positions, piece.cells)
        n += len(piece.positions)
    return histogram.distributions() if n else {}


def _notes(p: RdfParams, reach: float, held: list[held_against.Held]) -> list[str]:
    said = held_against.remarks(held)
    if p.range_A is not None and p.range_A > reach:
        said.append(
            f"{p.range_A:g} A were asked, the curves end at {reach:.4g} A: half the smallest height of the "
            "cell, beyond which images of one atom are counted together."
        )
    said += [
        f"{h.name}: the reference goes to {h.x[-1]:.4g} A, compared is what lies below {reach:.4g} A, half "
        "the smallest height of the cell."
        for h in held
        if h.decides and h.x[-1] > reach
    ]
    if not any(h.decides for h in held):
        said.append(
            "No reference curve of this temperature and level of theory was given: peaks are reported, none "
            "is judged, and item 6 of the checklist stays open."
        )
    return said


def _not_scored(held: list[held_against.Held], run: runs.Run, why: str) -> list[Measurement]:
    return [
        Measurement(
            name="peak_height_error",
            value=None,
            unit="%",
            conditions={**run.conditions, "pair": h.name},
            note=f"not scored: {why}",
        )
        for h in held
        if h.decides
    ]
