"""The rule "partial: n of 9", over all combinations.

The oracle is written down apart from the gate: a table of what each kind of evidence says about its item, and
a count. An item is settled by PASS, by a waiver, or by an intended use that has no need of it; what the
potential merely does not offer settles nothing.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from mlipbench.core.criterion import Criterion, Verdict
from mlipbench.core.result import (
    CHECKLIST,
    ChecklistEntry,
    IntendedUseRecord,
    JudgedMeasurement,
    SuiteSummary,
)
from mlipbench.run import gate

VERDICTS = tuple(Verdict)
STATUSES = ("PASS", "FAIL", "INCONCLUSIVE", "ERROR", "NOT_APPLICABLE", "WAIVED", "NOT_MEASURED")
SETTLED = ("PASS", "WAIVED", "NOT_APPLICABLE")


def measured(
    verdict: Verdict, waived: bool, item: int, name: str, needs: str | None = None
) -> JudgedMeasurement:
    return JudgedMeasurement(
        id=f"s/{name}", value=1.0, unit="1", stderr=0.1, n_eff=9.0, required=True, verdict=verdict,
        waived=waived,
        criterion=Criterion(
            name=name, compare="<", limit=2.0, unit="1", item=item, source="test", needs_property=needs
        ),
    )  # fmt: skip


def suite(measurements: list[JudgedMeasurement], status: str = "complete", item: int = 1) -> SuiteSummary:
    return SuiteSummary(
        suite="s", version=1, status=status, reason="why", items=[item], measurements=measurements
    )


def use(pressure_bar: float | None = 1.0, phases: tuple[str, ...] = ("diamond",)) -> IntendedUseRecord:
    return IntendedUseRecord(
        temperature_K=300,
        elements=["Si"],
        phases=list(phases),
        pressure_bar=pressure_bar,
        electrostatics=False,
    )


def expected(kinds: tuple[tuple[Verdict, bool], ...]) -> str:
    """What several measurements of a property that the use needs say together: the worst of them."""
    said = {
        "NOT_MEASURED" if v == "NOT_APPLICABLE" else "WAIVED" if w and v != "PASS" else str(v)
        for v, w in kinds
    }
    worst = ("FAIL", "ERROR", "INCONCLUSIVE", "NOT_MEASURED", "WAIVED", "PASS")
    return min(said, key=worst.index)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_item_takes_the_worst_of_up_to_three_measurements(number: int) -> None:
    """All 10 + 100 + 1000 vectors of verdicts, each waived or not."""
    kinds = list(itertools.product(VERDICTS, (False, True)))
    for vector in itertools.product(kinds, repeat=number):
        feeding = [measured(v, w, 2, f"m{i}", "dipole") for i, (v, w) in enumerate(vector)]
        entry = gate.checklist({"s": suite(feeding, item=2)}, use())[1]
        assert str(entry.status) == expected(vector), vector


@pytest.mark.parametrize("status", ["error", "not_run", "not_applicable"])
@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("waived", [False, True])
def test_a_suite_without_result_unsettles_what_others_have_settled(
    status: str, verdict: Verdict, waived: bool
) -> None:
    suites = {
        "a": suite([measured(verdict, waived, 2, "m", "dipole")], item=2),
        "b": suite([], status, item=2),
    }
    entry = gate.checklist(suites, use())[1]
    alone = expected(((verdict, waived),))
    if alone == "FAIL":
        assert entry.status == "FAIL"
    elif status == "error":
        assert entry.status == "ERROR"
    else:
        assert entry.status == (alone if alone in ("ERROR", "INCONCLUSIVE") else "NOT_MEASURED")
    assert entry.status not in SETTLED


def test_what_the_potential_does_not_offer_settles_only_what_the_use_can_spare() -> None:
    """Stress at constant volume is spared; a property the use needs, or nobody can judge of, is not."""
    for pressure, needs, status in (
        (None, "stress", "NOT_APPLICABLE"),
        (1.0, "stress", "NOT_MEASURED"),
        (None, "dipole", "NOT_MEASURED"),
        (1.0, "dipole", "NOT_MEASURED"),
    ):
        feeding = [measured(Verdict.NOT_APPLICABLE, False, 3, "stress_mae", needs)]
        entry = gate.checklist({"s": suite(feeding, item=3)}, use(pressure))[2]
        assert entry.status == status, (pressure, needs)
        silent = {"s": suite([], item=3)}  # frames without stresses
        assert gate.checklist(silent, use(pressure))[2].status == (
            "NOT_APPLICABLE" if pressure is None else "NOT_MEASURED"
        )
    assert gate.checklist({"s": suite([], "not_run", item=3)}, use(None))[2].status == "NOT_MEASURED"
    assert gate.checklist({"s": suite([], item=2)}, use(None))[2].status == "NOT_MEASURED"
    crystal, liquid = use(None, ("diamond",)), use(None, ("liquid",))
    undeclared = {"s": suite([], "not_applicable", item=7)}
    assert gate.checklist(undeclared, crystal)[6].status == "NOT_MEASURED"
    assert gate.checklist(undeclared, liquid)[6].status == "NOT_APPLICABLE"


def entries(statuses: tuple[str, ...]) -> list[ChecklistEntry]:
    return [
        ChecklistEntry.model_validate(
            {"number": n, "item": CHECKLIST[n], "status": s, "reason": "", "measurements": []}
        )
        for n, s in enumerate(statuses, start=1)
    ]


def test_the_sentence_counts_every_combination() -> None:
    """All 5005 mixtures of seven statuses over nine items, each in a random order of the items."""
    rng = np.random.default_rng(9)
    mixtures = list(itertools.combinations_with_replacement(STATUSES, 9))
    assert len(mixtures) == 5005
    for mixture in mixtures:
        order = tuple(str(s) for s in rng.permutation(mixture))
        nine = entries(order)
        for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ERROR):
            check(gate.sentence(verdict, nine), order, verdict)


def check(words: str, order: tuple[str, ...], verdict: Verdict) -> None:
    settled = sum(status in SETTLED for status in order)
    deployable = settled == 9 and verdict == "PASS"
    assert words.startswith("Deployable") == deployable
    if deployable:
        waived = [n for n, status in enumerate(order, start=1) if status == "WAIVED"]
        assert ("by waiver" in words) == bool(waived)
        assert [int(n) for n in re.findall(r"\d+", words)] == waived
        return
    assert f"Partial: {settled} of 9" in words
    told = re.split(r"Partial: \d of 9 checklist items settled", words)[1]
    named = sorted(int(n) for n in re.findall(r"\d+", told))
    assert named == [n for n, status in enumerate(order, start=1) if status not in SETTLED]
    for status, word in (("FAIL", "failed"), ("NOT_MEASURED", "not measured")):
        listed = re.search(rf"{word}: ([\d, ]+)", told)
        numbers = [int(n) for n in listed[1].split(",")] if listed else []
        assert numbers == [n for n, s in enumerate(order, start=1) if s == status]
