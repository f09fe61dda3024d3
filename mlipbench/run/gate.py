"""The gate: checklist, verdict and exit code from what the suites have stored.

    0   all required criteria PASS (or are waived, or NOT_APPLICABLE)
    1   a required one FAILs
    2   the suite file or its inputs are wrong: nothing was run
    3   a required one is INCONCLUSIVE, or was not measured because the run stopped early
    4   a required one ended in ERROR
    70  a fault of our own

A FAIL weighs more than an ERROR, an ERROR more than an INCONCLUSIVE. "Deployable" is said only when
all nine checklist items PASS, are waived by name, or do not apply to the intended use.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence

from mlipbench.core.criterion import Criterion, Verdict
from mlipbench.core.result import (
    CHECKLIST,
    ChecklistEntry,
    IntendedUseRecord,
    JudgedMeasurement,
    Results,
    SuiteSummary,
    Waiver,
)

EXIT_CODES = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 3, Verdict.ERROR: 4}
INTERNAL_FAULT = 70
NO_STRESSES = "the frames have no stresses, and the intended use names no pressure: constant volume"
MANY = 3
"""Measurements of one kind and status from which on the checklist names one of them and their number."""

_WORST_FIRST = (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.PASS)
_ITEM_WORST_FIRST = (
    Verdict.FAIL,
    Verdict.ERROR,
    Verdict.INCONCLUSIVE,
    "NOT_MEASURED",
    "WAIVED",
    Verdict.PASS,
    Verdict.NOT_APPLICABLE,
)


def apply_waivers(
    suites: Mapping[str, SuiteSummary], waivers: Sequence[Waiver], today: datetime.date
) -> dict[str, SuiteSummary]:
    """Mark the measurements that a waiver in force names (`suite/measurement`, all conditions)."""
    in_force = {w.criterion for w in waivers if w.expires >= today}

    def waived(m: JudgedMeasurement) -> bool:
        return m.id in in_force or m.id.split("@")[0] in in_force

    return {
        key: suite.model_copy(
            update={"measurements": [m.model_copy(update={"waived": waived(m)}) for m in suite.measurements]}
        )
        for key, suite in suites.items()
    }


def decide(suites: Mapping[str, SuiteSummary]) -> Verdict:
    """The worst verdict of what is required and not waived."""
    verdicts = [
        m.verdict
        for suite in suites.values()
        for m in suite.measurements
        if m.required and not m.waived and m.verdict not in (None, Verdict.NOT_APPLICABLE)
    ]
    for suite in suites.values():
        if suite.gates and suite.status == "error":
            verdicts.append(Verdict.ERROR)
        if suite.gates and suite.status == "not_run":
            verdicts.append(Verdict.INCONCLUSIVE)
    if not verdicts:
        return Verdict.INCONCLUSIVE
    return next(v for v in _WORST_FIRST if v in verdicts)


def checklist(suites: Mapping[str, SuiteSummary], use: IntendedUseRecord) -> list[ChecklistEntry]:
    """The nine items, each with the worst verdict of the required measurements that feed it."""
    return [_entry(number, item, suites, use) for number, item in CHECKLIST.items()]


def _entry(
    number: int, item: str, suites: Mapping[str, SuiteSummary], use: IntendedUseRecord
) -> ChecklistEntry:
    feeding = [
        m
        for suite in suites.values()
        for m in suite.measurements
        if m.criterion is not None and m.criterion.item == number and m.required
    ]
    concerned = [s for s in suites.values() if number in s.items and s.gates and s.status != "complete"]
    found = _said(feeding, [_counts_as(m, number, use) for m in feeding])
    found += [(Verdict.ERROR, s.reason) for s in concerned if s.status == "error"]
    spared = _does_not_apply(number, use)
    if not found and spared:
        found = [(Verdict.NOT_APPLICABLE, spared)]
    elif not spared:
        found += [("NOT_MEASURED", s.reason) for s in concerned if s.status != "error"]
    if not found:
        asked = any(number in s.items for s in suites.values())
        if asked and number == 3 and use.pressure_bar is None:
            found = [(Verdict.NOT_APPLICABLE, NO_STRESSES)]
        else:
            why = _why_not_measured(number, use) if asked else ""
            found = [("NOT_MEASURED", why or "no suite of this run measures it")]
    status = next(status for status in _ITEM_WORST_FIRST if any(status == s for s, _ in found))
    reasons = [reason for s, reason in found if s == status]
    return ChecklistEntry.model_validate(
        {
            "number": number,
            "item": item,
            "status": status,
            "reason": "waived by name, see the waivers" if status == "WAIVED" else "; ".join(reasons),
            "limit": "; ".join(dict.fromkeys(_limit(m.criterion) for m in feeding if m.criterion)),
            "measurements": [m.id for m in feeding],
        }
    )


def _said(feeding: Sequence[JudgedMeasurement], statuses: Sequence[str]) -> list[tuple[str, str]]:
    """Status and reason of each measurement; of many alike the one farthest out, and their number."""
    alike: dict[tuple[str, str], list[JudgedMeasurement]] = {}
    for m, status in zip(feeding, statuses, strict=True):
        alike.setdefault((m.id.split("@")[0], status), []).append(m)
    said = []
    for (name, status), those in alike.items():
        if len(those) < MANY:
            said += [(status, f"{m.id}: {m.reason}") for m in those]
            continue
        worst = max(those, key=_outside)
        of = sum(m.id.split("@")[0] == name for m in feeding)
        said.append((status, f"{worst.id}: {worst.reason}; farthest out of {len(those)} alike, {of} in all"))
    return said


def _outside(m: JudgedMeasurement) -> float:
    """How far the bound lies beyond the limit, in its unit; infinite where there is none."""
    if m.bound is None or m.criterion is None:
        return math.inf
    limit = m.criterion.limit
    if m.criterion.compare == "==":
        return abs(m.bound - limit)
    bound = abs(m.bound) if m.criterion.compare == "abs<" else m.bound
    return limit - bound if m.criterion.compare == ">" else bound - limit


def _why_not_measured(number: int, use: IntendedUseRecord) -> str:
    """Of an item whose suite has run and judged nothing that is required."""
    if number == 4:
        return f"no run at the target temperature of {use.temperature_K:g} K"
    if number == 6:
        return "no reference curve of the run's temperature and level of theory, or no run at the target one"
    return ""


def _counts_as(m: JudgedMeasurement, number: int, use: IntendedUseRecord) -> str:
    """What a required measurement says about its item.

    A waiver sets aside what is not met, no more. NOT_APPLICABLE means that the potential does not offer a
    property: that settles the item only where the intended use can do without the property.
    """
    if m.verdict == Verdict.NOT_APPLICABLE:
        stress = m.criterion is not None and m.criterion.needs_property == "stress"
        dispensable = (stress and use.pressure_bar is None) or _does_not_apply(number, use)
        return Verdict.NOT_APPLICABLE if dispensable else "NOT_MEASURED"
    if m.waived and m.verdict != Verdict.PASS:
        return "WAIVED"
    return m.verdict or "NOT_MEASURED"


def _does_not_apply(number: int, use: IntendedUseRecord) -> str:
    """Items that the intended use, not the potential, sets aside."""
    if number == 8 and use.pressure_bar is None:
        return "the intended use names no pressure: constant volume"
    if number == 7 and use.phases and all(p in ("liquid", "gas", "molecule") for p in use.phases):
        return "the intended use has no crystalline phase"
    return ""


def _limit(c: Criterion) -> str:
    sign = {"abs<": "magnitude below", "<": "below", ">": "above", "==": "exactly"}[c.compare]
    unit = "" if c.unit == "1" else f" {c.unit}"
    needs = "".join(f", {e.demand()}" for e in c.needs)
    return f"{c.name} {sign} {c.limit:g}{unit}{needs} ({c.source})"


def sentence(verdict: Verdict, entries: Sequence[ChecklistEntry]) -> str:
    """The verdict in words, with the partial rule."""
    done = [e for e in entries if e.status in (Verdict.PASS, Verdict.NOT_APPLICABLE, "WAIVED")]
    waived = [e.number for e in entries if e.status == "WAIVED"]
    if verdict == Verdict.PASS and len(done) == len(entries):
        suffix = f", item {_numbers(waived)} by waiver" if waived else ""
        return f"Deployable for the intended use: all nine checklist items are settled{suffix}."
    parts = [f"Partial: {len(done)} of {len(entries)} checklist items settled"]
    for status, word in (
        (Verdict.FAIL, "failed"),
        (Verdict.ERROR, "ended in an error"),
        (Verdict.INCONCLUSIVE, "inconclusive"),
        ("NOT_MEASURED", "not measured"),
    ):
        numbers = [e.number for e in entries if e.status == status]
        if numbers:
            parts.append(f"{word}: {_numbers(numbers)}")
    judged = {
        Verdict.PASS: "Every required criterion that was measured passes.",
        Verdict.FAIL: "A required criterion fails: do not deploy.",
        Verdict.INCONCLUSIVE: "The evidence does not suffice for a verdict.",
        Verdict.ERROR: "A required suite ended in an error.",
    }[verdict]
    return f"{judged} {'; '.join(parts)}."


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(str(n) for n in numbers)


def rejudge(results: Results, today: datetime.date) -> Results:
    """The stored results with the waivers of `today`: what `mlipbench gate` goes by."""
    suites = apply_waivers(results.suites, results.waivers, today)
    verdict = decide(suites)
    entries = checklist(suites, results.intended_use)
    return results.model_copy(
        update={
            "suites": suites,
            "verdict": verdict,
            "exit_code": EXIT_CODES[verdict],
            "checklist": entries,
            "sentence": sentence(verdict, entries),
        }
    )
