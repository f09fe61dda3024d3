"""A run folder as view models: everything the templates print, already in words.

The report never judges again: verdicts, reasons and the sentence are read from results.json, figures,
tables and methods from suites/<key>/result.json.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mlipbench.core.criterion import Verdict
from mlipbench.core.errors import StoreError
from mlipbench.core.result import ChecklistEntry, JudgedMeasurement, Results, SuiteResult, SuiteSummary
from mlipbench.report import numbers, words
from mlipbench.report.facts import limit_change, notices, rows_of, use_rows
from mlipbench.report.methods import methods
from mlipbench.report.models import (
    Finding,
    ItemView,
    LimitSource,
    MeasurementView,
    RunView,
    SuiteView,
    WaiverView,
)
from mlipbench.report.provenance import provenance
from mlipbench.report.words import BADGES, Badge
from mlipbench.store import layout
from mlipbench.store.runs import RunFolder


def load_run(folder: Path) -> RunView:
    """Read a run folder. Raises StoreError where results.json is missing or damaged."""
    results = RunFolder(folder).results()
    anchors = _Anchors()
    suites = [_suite(folder, results, key, anchors) for key in _suite_order(results)]
    by_id = {m.id: m for suite in suites for m in suite.judged + suite.information}
    checklist = [_item(entry, by_id) for entry in results.checklist]
    timings, stored = _json(folder / layout.TIMINGS), _json(folder / layout.PROVENANCE)
    origin = provenance(folder, results, stored, timings)
    text, bibliography = methods(results, [s.found for s in suites], stored, origin.record_sha256)
    bibliography.add(suite.method for suite in suites)
    return RunView(
        results=results,
        verdict=BADGES[results.verdict],
        exit_meaning=words.EXIT_CODES.get(results.exit_code, "unknown exit code"),
        use=use_rows(results),
        notices=notices(results, _folders_missing(folder, results)),
        waivers=_waivers(results),
        checklist=checklist,
        decisive=_decisive(suites, checklist),
        advisory=[_finding(m) for s in suites for m in s.advisory if m.verdict is words.FAIL],
        suites=suites,
        provenance=origin,
        methods=text,
        bibliography=bibliography,
        sources=_sources(suites),
        seconds={key: float(s) for key, s in timings.items() if isinstance(s, (int, float))},
        plan=layout.read_plan(folder / layout.PLAN)[0],
    )


AnyModel = TypeVar("AnyModel", bound=BaseModel)


def _model(model: type[AnyModel], path: Path) -> AnyModel:
    if not path.is_file():
        raise StoreError(
            f"{path}: not found. Expected the folder of a finished run; repeat `mlipbench run` to finish it"
        )
    try:
        return model.model_validate(layout.read_json(path))
    except ValidationError as error:
        raise StoreError(f"{path}: not a {model.__name__} of this version of mlipbench:\n{error}") from error


def _json(path: Path) -> dict[str, Any]:
    return layout.read_json(path) if path.exists() else {}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


class _Anchors:
    """Readable, unique HTML ids."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def make(self, text: str) -> str:
        base = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower() or "part"
        anchor, count = base, 1
        while anchor in self._taken:
            count += 1
            anchor = f"{base}-{count}"
        self._taken.add(anchor)
        return anchor


def _suite_order(results: Results) -> list[str]:
    return sorted(results.suites, key=lambda key: key != layout.CONTRACT)  # stable: the plan's order is kept


def _folders_missing(folder: Path, results: Results) -> list[str]:
    return [key for key in results.suites if not (folder / layout.SUITES / key / "result.json").is_file()]


def _suite(folder: Path, results: Results, key: str, anchors: _Anchors) -> SuiteView:
    summary = results.suites[key]
    path = folder / layout.SUITES / key / "result.json"
    if path.is_file():
        found = _of_these_results(_model(SuiteResult, path), summary, path)
    else:
        found = SuiteResult(title=key, key=key, method="", asked={}, **summary.model_dump())
    anchor = anchors.make(f"suite-{key}")
    views = [_measurement(m, found.title, anchors) for m in summary.measurements]
    judged = [(m, v) for m, v in zip(summary.measurements, views, strict=True) if m.criterion]
    required = [v for m, v in judged if m.required]
    status = _suite_status(summary.status, required)
    return SuiteView(
        key=key,
        found=found,
        anchor=anchor,
        title=found.title,
        name=f"{summary.suite}, version {summary.version}",
        status=status,
        complete=summary.status == "complete",
        gates=summary.gates,
        summary=_suite_summary(summary.status, required, [v for m, v in judged if not m.required]),
        reason=numbers.sentence_case(numbers.pretty_text(summary.reason)),
        traceback=_text(folder / layout.SUITES / key / "traceback.txt") if summary.status == "error" else "",
        asked=rows_of(found.asked),
        required=required,
        advisory=[v for m, v in judged if not m.required],
        information=[v for m, v in zip(summary.measurements, views, strict=True) if not m.criterion],
        figures=found.figures,
        tables=found.tables,
        notes=[numbers.pretty_text(note) for note in found.notes],
        method=numbers.pretty_text(found.method),
    )


def _of_these_results(found: SuiteResult, summary: SuiteSummary, path: Path) -> SuiteResult:
    """A suite's result, if it is the one that results.json was made of. Raises StoreError."""
    own = SuiteSummary(**found.model_dump(include=set(SuiteSummary.model_fields)))
    waived = [m.waived for m in summary.measurements]
    if len(own.measurements) == len(waived):  # waivers are of the day, not of the suite
        own.measurements = [
            m.model_copy(update={"waived": w}) for m, w in zip(own.measurements, waived, strict=True)
        ]
    if own != summary:
        raise StoreError(
            f"{path}: its numbers are not those of {layout.RESULTS}: a run is going on, or was interrupted; "
            "wait for it, or repeat `mlipbench run` to finish it"
        )
    return found


def _measurement(m: JudgedMeasurement, suite_title: str, anchors: _Anchors) -> MeasurementView:
    c = m.criterion
    verdict = BADGES[m.verdict] if m.verdict else words.INFORMATION
    set_aside = _set_aside(m)
    return MeasurementView(
        id=m.id,
        anchor=anchors.make(m.id),
        label=numbers.sentence_case(numbers.humanise(m.id.rsplit("/", 1)[-1].split("@", 1)[0])),
        condition=numbers.condition_text(m.conditions),
        suite_title=suite_title,
        measured=m.value is not None,
        value=numbers.quantity(m.value, m.stderr, m.unit, exact=m.exact),
        samples=numbers.samples(m.n_eff, exact=m.exact),
        method=numbers.pretty_text(m.method),
        note=numbers.pretty_text(m.note),
        limit=numbers.limit_text(c) if c else "",
        source=numbers.pretty_text(c.source) if c else "",
        demands=[numbers.pretty_text(e.demand()) for e in c.needs] if c else [],
        grades=[f"“{name}”: {numbers.limit_text(c, limit)}" for name, limit in c.grades.items()] if c else [],
        changed_limit=_changed_limit(m),
        loosened=limit_change(m) == "loosened",
        required=m.required,
        level=_level(m),
        verdict=words.WAIVED if set_aside else verdict,
        reason=numbers.pretty_text(f"{verdict.word}: {m.reason}" if set_aside else m.reason),
    )


def _set_aside(m: JudgedMeasurement) -> bool:
    """Whether a waiver changes what the number does to the gate."""
    return m.waived and m.required and m.verdict not in (None, Verdict.PASS, Verdict.NOT_APPLICABLE)


def _level(m: JudgedMeasurement) -> str:
    if m.criterion is None:
        return "information"
    if m.criterion.level == "at_target":
        return "required at the target temperature" if m.required else "advisory away from the target"
    return "required" if m.required else "advisory"


def _changed_limit(m: JudgedMeasurement) -> str:
    change = limit_change(m)
    if not change or m.criterion is None:
        return ""
    own = numbers.limit_text(m.criterion, m.default_limit)
    return f"{change.capitalize()} by the suite file; the suite's own limit is {own}"


_STATUS = {
    "error": (words.ERROR, "The suite ended in an error."),
    "not_applicable": (words.NOT_APPLICABLE, "The suite does not apply."),
    "not_run": (words.NOT_MEASURED, "The suite was not run."),
}
_WORST_FIRST = (words.FAIL, words.ERROR, words.INCONCLUSIVE, words.WAIVED, words.PASS, words.NOT_APPLICABLE)


def _suite_status(status: str, required: list[MeasurementView]) -> Badge:
    if status != "complete":
        return _STATUS[status][0]
    return next((b for b in _WORST_FIRST if any(m.verdict is b for m in required)), words.INFORMATION)


def _suite_summary(status: str, required: list[MeasurementView], advisory: list[MeasurementView]) -> str:
    if status != "complete":
        return _STATUS[status][1]
    parts = [_count("required", required)] if required else ["No required criterion"]
    if advisory:
        parts.append(_count("advisory", advisory))
    return "; ".join(parts) + "."


def _count(level: str, views: list[MeasurementView]) -> str:
    counts = [(b, sum(v.verdict is b for v in views)) for b in _WORST_FIRST]
    told = ", ".join(f"{n} {b.word.lower()}" for b, n in counts if n)
    return f"{len(views)} {level} {'criterion' if len(views) == 1 else 'criteria'}: {told}"


LIMITS_WITH_SOURCE = 3
"""More limits of one checklist item are given without their sources."""


def _item(entry: ChecklistEntry, by_id: dict[str, MeasurementView]) -> ItemView:
    item = ItemView(
        number=entry.number,
        item=entry.item,
        status=BADGES[entry.status],
        reason=entry.reason,
        limit=numbers.pretty_text(entry.limit),
        measurements=[by_id[id_] for id_ in entry.measurements if id_ in by_id],
    )
    reason = entry.reason
    for m in item.measurements:  # ids are for suite files, the column of numbers has names
        reason = reason.replace(f"{m.id}: ", f"{item.name_of(m)}: " if item.name_of(m) else "")
    limits = list(dict.fromkeys(_limit_with_source(m) for m in item.measurements))
    if len(limits) > LIMITS_WITH_SOURCE:  # the sources stand with the numbers of the suite
        limits = list(dict.fromkeys(f"{item.name_of(m)} {m.limit}" for m in item.measurements))
    return replace(
        item,
        reason=numbers.sentence_case(numbers.pretty_text(reason)),
        limit="; ".join(limits) or item.limit,
    )


def _limit_with_source(m: MeasurementView) -> str:
    return f"{', on '.join([m.limit, *m.demands])} ({m.source})"


def _decisive(suites: list[SuiteView], checklist: list[ItemView]) -> list[Finding]:
    """Why the verdict is not a plain PASS: failures, errors, inconclusives, waivers, gaps."""
    findings = [_finding(m) for s in suites for m in s.required]
    findings += [
        Finding(s.status, s.title, s.anchor, (s.reason or s.summary).rstrip(".") + ".")
        for s in suites
        if s.gates and s.status in (words.ERROR, words.NOT_MEASURED)
    ]
    order = (words.FAIL, words.ERROR, words.INCONCLUSIVE, words.NOT_MEASURED, words.WAIVED)
    findings = sorted((f for f in findings if f.badge in order), key=lambda f: order.index(f.badge))
    gaps = [item for item in checklist if item.status is words.NOT_MEASURED]
    if gaps:
        items = "; ".join(f"{i.number}, {i.item[:1].lower()}{i.item[1:]}" for i in gaps)
        findings.append(Finding(words.NOT_MEASURED, "Checklist items", f"item-{gaps[0].number}", items))
    return findings


def _finding(m: MeasurementView) -> Finding:
    """The number, its limit, and what a reader cannot see from the two."""
    said = f"{m.value}; the limit is {m.limit}."
    more = m.note if m.verdict is words.FAIL and m.measured else m.reason
    text = f"{said if m.measured else ''} {numbers.sentence_case(more)}".strip().rstrip(".") + "."
    return Finding(m.verdict, f"{m.suite_title}: {m.full_label}", m.anchor, text)


def _sources(suites: list[SuiteView]) -> list[LimitSource]:
    """Every source of a limit once, with one measurement for each criterion that names it."""
    found: dict[str, dict[str, MeasurementView]] = {}
    for m in (m for suite in suites for m in suite.judged):
        found.setdefault(m.source, {}).setdefault(m.id.split("@")[0], m)
    return [LimitSource(source, list(criteria.values())) for source, criteria in found.items()]


def _waivers(results: Results) -> list[WaiverView]:
    measurements = [m for s in results.suites.values() for m in s.measurements]
    rows = []
    for waiver in results.waivers:
        named = [m for m in measurements if waiver.criterion in (m.id, m.id.split("@", 1)[0])]
        used = [m.id for m in named if _set_aside(m)]
        if used:
            effect = "in force for " + ", ".join(used)
        elif any(m.waived for m in named):
            effect = "in force, but not needed"
        else:
            effect = "not in force: expired, or nothing of that name was measured"
        rows.append(WaiverView(waiver.criterion, waiver.reason, waiver.expires.isoformat(), effect))
    return rows
