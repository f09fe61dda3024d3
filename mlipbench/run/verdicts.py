"""From a suite's measurements to judged measurements: criteria, overrides, intended use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlipbench.core.criterion import Criterion, Verdict
from mlipbench.core.errors import SuiteError
from mlipbench.core.figure import Figure, StructurePicture, Table
from mlipbench.core.judge import Judgement, judge
from mlipbench.core.measurement import Measurement
from mlipbench.core.result import JudgedMeasurement
from mlipbench.core.suite import IntendedUse, Outcome


@dataclass(frozen=True)
class Terms:
    """What a suite is judged by, apart from its own criteria."""

    use: IntendedUse
    properties: frozenset[str]  # what the potential can be asked
    limits: Mapping[str, float]  # criterion name -> limit set by the suite file
    gates: bool = True  # False: an unverified reference was used, nothing is required


def check_outcome(outcome: object, criteria: Sequence[Criterion]) -> None:
    """Raises SuiteError where what `measure` returned cannot be judged and stored."""
    if not isinstance(outcome, Outcome):
        raise SuiteError(f"measure returned {type(outcome).__name__}; expected mlipbench.api.Outcome")
    parts = (
        ("measurements", Measurement),
        ("figures", Figure | StructurePicture),
        ("tables", Table),
        ("notes", str),
    )
    for name, kind in parts:
        found = getattr(outcome, name)
        wrong = [x for x in found if not isinstance(x, kind)] if isinstance(found, list | tuple) else [found]
        if wrong:
            got = type(wrong[0]).__name__
            raise SuiteError(f"measure returned {got} in {name}; expected a list as in mlipbench.api.Outcome")
    units = {c.name: c.unit for c in criteria}
    seen: set[str] = set()
    for m in outcome.measurements:
        if m.key in seen:
            raise SuiteError(f"two measurements are called {m.key}: set them apart by `conditions`")
        seen.add(m.key)
        texts = {name for name, condition in m.conditions.items() if isinstance(condition, str)}
        numbers = {**m.evidence, **m.conditions, "value": m.value, "stderr": m.stderr, "n_eff": m.n_eff}
        for name, number in numbers.items():
            if number is None or name in texts:
                continue
            if not isinstance(number, int | float) or isinstance(number, bool):
                raise SuiteError(f"measurement {m.key}: {name} is {number!r}, expected a number")
            if not math.isfinite(number):
                raise SuiteError(
                    f"measurement {m.key}: {name} is {number}; a value that could not be measured is None, "
                    "with a note that says why"
                )
        if m.unit != units.get(m.name, m.unit):
            raise SuiteError(f"measurement {m.key} is in {m.unit}, its criterion in {units[m.name]}")


def judge_suite(
    key: str, measurements: Sequence[Measurement], criteria: Sequence[Criterion], terms: Terms
) -> list[JudgedMeasurement]:
    """Judge each measurement by the criterion of its name; those without one are information.

    A criterion whose property the potential lacks gives an entry of its own: NOT_APPLICABLE, or
    FAIL where the intended use (a pressure, that is NPT) cannot do without it.
    """
    judged: list[JudgedMeasurement] = []
    by_name = {c.name: c for c in criteria}
    for name in dict.fromkeys(m.name for m in measurements):
        family = [m for m in measurements if m.name == name]
        criterion, limit = by_name.get(name), terms.limits.get(name)
        if criterion is None or (criterion.level == "if_limited" and limit is None):
            judged += [_entry(key, m, None, None, False, None) for m in family]
            continue
        asked = criterion if limit is None else criterion.model_copy(update={"limit": limit})
        own = criterion.level != "if_limited"
        default = criterion.limit if own and limit is not None else None
        judged += [
            _entry(key, m, asked, verdict, terms.gates and _is_required(asked, m, terms.use), default)
            for m, verdict in zip(family, judge(family, asked), strict=True)
        ]
    measured = {m.name for m in measurements}
    for criterion in criteria:
        if (
            criterion.level != "if_limited"
            and criterion.name not in measured
            and _lacks(criterion, terms.properties)
        ):
            judged.append(_not_applicable(key, criterion, terms.use))
    return judged


def _lacks(criterion: Criterion, properties: frozenset[str]) -> bool:
    return criterion.needs_property is not None and criterion.needs_property not in properties


def _is_required(criterion: Criterion, measurement: Measurement, use: IntendedUse) -> bool:
    if criterion.level == "at_target":
        temperature = measurement.conditions.get("temperature_K")
        return isinstance(temperature, float | int) and at_target(float(temperature), use)
    return criterion.level in ("required", "if_limited")


def at_target(temperature_K: float, use: IntendedUse) -> bool:
    """Whether a temperature is the intended one (to 1 %)."""
    return abs(temperature_K - use.temperature_K) <= 0.01 * use.temperature_K


def _entry(
    key: str,
    m: Measurement,
    criterion: Criterion | None,
    judgement: Judgement | None,
    required: bool,
    default_limit: float | None,
) -> JudgedMeasurement:
    return JudgedMeasurement(
        id=f"{key}/{m.key}",
        criterion=criterion,
        required=required,
        default_limit=default_limit,
        verdict=judgement.verdict if judgement else None,
        reason=judgement.reason if judgement else "",
        bound=judgement.bound if judgement else None,
        **m.model_dump(exclude={"name"}),
    )


def _not_applicable(key: str, criterion: Criterion, use: IntendedUse) -> JudgedMeasurement:
    lacking = f"the potential gives no {criterion.needs_property}"
    needed = criterion.needs_property == "stress" and use.pressure_bar is not None
    measurement = Measurement(name=criterion.name, value=None, unit=criterion.unit, note=lacking, exact=True)
    verdict = (
        Judgement(
            Verdict.FAIL,
            f"{lacking}, which the intended use at {use.pressure_bar:g} bar cannot do without",
        )
        if needed
        else Judgement(Verdict.NOT_APPLICABLE, lacking)
    )
    return _entry(key, measurement, criterion, verdict, criterion.level != "advisory", None)
