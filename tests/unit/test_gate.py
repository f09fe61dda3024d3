"""The gate's rules, one by one."""

import datetime
import json

import pytest

from mlipbench.core.criterion import Criterion, Verdict
from mlipbench.core.result import IntendedUseRecord, JudgedMeasurement, Results, SuiteSummary, Waiver
from mlipbench.run import gate

TODAY = datetime.date(2026, 11, 20)


def judged(name, verdict, item=None, required=True):
    return JudgedMeasurement(
        id=f"s/{name}", value=1.0, unit="1", stderr=0.1, n_eff=9.0, required=required, verdict=verdict,
        criterion=Criterion(name=name, compare="<", limit=2.0, unit="1", item=item, source="test"),
    )  # fmt: skip


def suite(*measurements, status="complete", items=(), gates=True, reason=""):
    return SuiteSummary(
        suite="s",
        version=1,
        status=status,
        reason=reason,
        items=list(items),
        gates=gates,
        measurements=list(measurements),
    )


def use(**changes):
    fields = {
        "temperature_K": 300.0,
        "elements": [],
        "phases": ["diamond"],
        "pressure_bar": None,
        "electrostatics": False,
    }
    return IntendedUseRecord(**(fields | changes))


def statuses(suites, **changes):
    return {e.number: str(e.status) for e in gate.checklist(suites, use(**changes))}


def test_rdf_without_a_reference_leaves_item_6_open_and_says_why():
    [item] = [e for e in gate.checklist({"rdf": suite(items=[6])}, use()) if e.number == 6]
    assert item.status == "NOT_MEASURED"
    assert "no reference curve of the run's temperature and level of theory" in item.reason


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["PASS", "PASS"], "PASS"),
        (["PASS", "INCONCLUSIVE"], "INCONCLUSIVE"),
        (["INCONCLUSIVE", "FAIL", "PASS"], "FAIL"),
        (["NOT_APPLICABLE", "PASS"], "PASS"),
        ([], "INCONCLUSIVE"),
    ],
)
def test_the_worst_required_verdict_decides(verdicts, expected):
    measurements = [judged(f"m{i}", Verdict(v)) for i, v in enumerate(verdicts)]
    assert gate.decide({"s": suite(*measurements)}) == expected


def test_advisory_failures_do_not_gate():
    assert (
        gate.decide({"s": suite(judged("a", Verdict.FAIL, required=False), judged("b", Verdict.PASS))})
        == "PASS"
    )


def test_errors_and_what_was_not_run_gate_unless_the_suite_only_advises():
    passing = suite(judged("a", Verdict.PASS))
    assert gate.decide({"a": passing, "b": suite(status="error")}) == "ERROR"
    assert gate.decide({"a": passing, "b": suite(status="not_run")}) == "INCONCLUSIVE"
    assert gate.decide({"a": passing, "b": suite(status="error", gates=False)}) == "PASS"
    assert gate.decide({"a": suite(judged("a", Verdict.FAIL)), "b": suite(status="error")}) == "FAIL"


def test_a_waiver_sets_aside_what_it_names_until_its_day():
    suites = {"s": suite(judged("a", Verdict.FAIL, item=2), judged("b", Verdict.PASS, item=1))}
    waiver = Waiver(criterion="s/a", reason="known to the authors", expires=TODAY)
    on_the_day = gate.apply_waivers(suites, [waiver], TODAY)
    assert gate.decide(on_the_day) == "PASS"
    assert statuses(on_the_day)[2] == "WAIVED"
    a_day_later = gate.apply_waivers(suites, [waiver], TODAY + datetime.timedelta(days=1))
    assert gate.decide(a_day_later) == "FAIL"


def test_items_take_the_worst_of_what_feeds_them():
    suites = {
        "s": suite(judged("a", Verdict.PASS, item=5), judged("b", Verdict.INCONCLUSIVE, item=5), items=[5])
    }
    assert statuses(suites)[5] == "INCONCLUSIVE"
    assert statuses({"s": suite(status="error", items=[5], reason="it broke")})[5] == "ERROR"


def test_of_many_alike_an_item_names_the_farthest_out():
    """Nine undecided peaks are one line, not a wall of text; two are named both."""
    bounds = [2.1, 2.9, 2.3]
    many = [
        judged("peak", Verdict.INCONCLUSIVE, item=6).model_copy(
            update={"id": f"s/peak@pair={n}", "bound": bound, "reason": f"bound {bound}"}
        )
        for n, bound in enumerate(bounds)
    ]
    passing = judged("peak", Verdict.PASS, item=6).model_copy(update={"id": "s/peak@pair=3"})
    [item] = [e for e in gate.checklist({"s": suite(*many, passing)}, use()) if e.number == 6]
    assert item.reason == "s/peak@pair=1: bound 2.9; farthest out of 3 alike, 4 in all"
    assert len(item.measurements) == 4
    [item] = [e for e in gate.checklist({"s": suite(*many[:2])}, use()) if e.number == 6]
    assert item.reason == "s/peak@pair=0: bound 2.1; s/peak@pair=1: bound 2.9"


def test_what_does_not_apply_is_told_from_what_was_not_measured():
    assert statuses({})[8] == "NOT_APPLICABLE"
    assert statuses({}, pressure_bar=1.0)[8] == "NOT_MEASURED"
    assert statuses({})[7] == "NOT_MEASURED"
    assert statuses({}, phases=["liquid"])[7] == "NOT_APPLICABLE"


def test_deployable_is_said_only_when_all_nine_are_settled():
    everything = suite(*(judged(f"m{i}", Verdict.PASS, item=i) for i in range(1, 10)))
    entries = gate.checklist({"s": everything}, use(pressure_bar=1.0))
    assert gate.sentence(Verdict.PASS, entries).startswith("Deployable")
    eight = suite(*(judged(f"m{i}", Verdict.PASS, item=i) for i in range(1, 9)))
    words = gate.sentence(Verdict.PASS, gate.checklist({"s": eight}, use()))
    assert "Deployable" not in words
    assert "Partial: 8 of 9" in words


def test_the_published_schema_is_that_of_the_models(pytestconfig):
    published = json.loads((pytestconfig.rootpath / "docs" / "results.schema.json").read_text())
    published.pop("$schema")
    assert published == Results.model_json_schema(), (
        "run python docs/make_schema.py, and raise SCHEMA_VERSION"
    )
