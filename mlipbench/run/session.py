"""A run from its plan to results.json: probe, suites cheapest first, gate. Reports are cli's affair."""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mlipbench.config.plan import Plan, SuiteEntry
from mlipbench.core.criterion import Verdict
from mlipbench.core.errors import InputError, StoreError
from mlipbench.core.result import (
    IntendedUseRecord,
    PotentialRecord,
    ReferenceRecord,
    Results,
    SuiteResult,
    SuiteSummary,
    Waiver,
)
from mlipbench.run import gate, probe
from mlipbench.run.cost import RunEstimate
from mlipbench.run.execute import asked, failed_result, measure_again, result_head
from mlipbench.run.inputs import PlanInputs
from mlipbench.run.planning import plan_manifest, read_lock, write_lock
from mlipbench.run.process import Message, run_child
from mlipbench.run.verdicts import Terms, judge_suite
from mlipbench.store import layout
from mlipbench.store.layout import write_json
from mlipbench.store.provenance import provenance
from mlipbench.store.runs import RunFolder

ENDED_EARLY = "the process ended of its own accord before it was done"


class Display(Protocol):
    """Who watches a run."""

    def estimated(self, estimate: RunEstimate) -> None:
        """What is left of the run, once that is known."""

    def begin(self, key: str, seconds: float | None) -> None:
        """A task begins; `seconds` is the estimate."""

    def progress(self, key: str, fraction: float, text: str) -> None:
        """How far it is."""

    def end(self, key: str, result: SuiteResult | None) -> None:
        """It is over."""


@dataclass
class Session:
    """One call of `mlipbench run` on one folder."""

    plan: Plan
    run: RunFolder
    display: Display
    fail_fast: bool = False
    timings: dict[str, Any] = field(default_factory=dict)
    estimate: RunEstimate | None = None

    def execute(self) -> Results:
        """Do all that is not done yet, and write results.json.

        Raises InputError where the plan and the potential do not fit (exit 2), StoreError where the
        folder cannot be used.
        """
        self.run.create()
        with self.run.lock():
            inputs = checked_inputs(self.plan)
            self._forget_another_plan()
            write_lock(self.run, self.plan)
            write_json(
                self.run.file(layout.PROVENANCE),
                provenance({"seed": self.plan.seed, "suite_file": Path(self.plan.file).name}),
            )
            self._probe()
            contract = self.run.suite(layout.CONTRACT).result()
            broken = self.fail_fast and contract is not None and self._fails(contract)
            self._suites(layout.CONTRACT if broken else "")
            results = collect(self.run, self.plan, inputs.references)
            self.run.write_results(results)
            self._write_timings()
            return results

    def finish(self, seconds: float) -> None:
        """Note how long the whole command took, the report included."""
        self.timings["whole run"] = {"taken": round(seconds, 3), **self.timings.pop("whole run", {})}
        write_json(self.run.file(layout.TIMINGS), self.timings)

    def _write_timings(self) -> None:
        if self.estimate:
            total = self.estimate.total
            known = {"estimated": total.seconds, "at least": total.low, "at most": total.high}
            self.timings["whole run"] = {name: round(value, 3) for name, value in known.items()}
            suites = {key: round(cost.seconds, 3) for key, cost in self.estimate.suites.items()}
            self.timings["estimates"] = suites
        write_json(self.run.file(layout.TIMINGS), self.timings)

    def _forget_another_plan(self) -> None:
        """Drop the suites' results where the folder holds a run of another plan; what was computed stays.

        results.json stays too, and is refused by every reader until this run has replaced it.
        """
        path = self.run.file(layout.PLAN)
        if path.is_file() and _plan_of(path) != self.plan.sha256():
            for key in self.plan.suites:
                self.run.suite(key).drop_result()

    def _probe(self) -> None:
        """Load and check the potential in a child; the estimate where it came so far."""
        answers: dict[str, Any] = {}
        self.run.suite(layout.CONTRACT).drop_result()
        failure = self._child(layout.CONTRACT, ["probe"], None, answers)
        if self.run.suite(layout.CONTRACT).result() is None:
            why = f"{failure or ENDED_EARLY}; its output is in log.txt"
            self.run.suite(layout.CONTRACT).write_result(
                failed_result(self.run, layout.CONTRACT, layout.CONTRACT, why)
            )
        self.display.end(layout.CONTRACT, self.run.suite(layout.CONTRACT).result())
        if "estimate" in answers:
            self.estimate = RunEstimate.of_plain(answers["estimate"])
            self.display.estimated(self.estimate)

    def _suites(self, stopped_by: str) -> None:
        """All suites, the cheapest first; with `fail_fast` until the first that fails."""
        known = self.estimate.suites if self.estimate else {}
        for key in [*known, *(key for key in self.plan.suites if key not in known)]:
            entry = self.plan.suites[key]
            if stopped_by:
                why = f"not reached: --fail-fast ended the run after {stopped_by}"
                self.run.suite(key).write_result(result_head(entry, self.plan, "not_run", why))
                continue
            result = self._suite(entry, known[key].seconds if key in known else None)
            self.display.end(key, result)
            if self.fail_fast and self._fails(result):
                stopped_by = key

    def _fails(self, result: SuiteResult) -> bool:
        """Whether the gate would fail for this suite alone, waivers in force heard."""
        fields = set(SuiteSummary.model_fields)
        summary = SuiteSummary.model_validate(result.model_dump(include=fields))
        waivers = [Waiver.model_validate(waiver.model_dump()) for waiver in self.plan.waivers]
        heard = gate.apply_waivers({result.key: summary}, waivers, datetime.date.today())
        return gate.decide(heard) in (Verdict.FAIL, Verdict.ERROR)

    def _suite(self, entry: SuiteEntry, seconds: float | None) -> SuiteResult:
        folder = self.run.suite(entry.key)
        folder.drop_result()
        record = probe.record_of(self.run)
        if not record:
            reason = self.run.suite(layout.CONTRACT).result()
            why = f"the potential could not be loaded: {reason.reason if reason else ''}"
            folder.write_result(result_head(entry, self.plan, "error", why))
        elif lacking := entry.suite.needs - set(record["properties"]):
            folder.write_result(self._without(entry, lacking, frozenset(record["properties"])))
        else:
            failure = self._child(entry.key, ["suite", entry.key], seconds, {})
            if folder.result() is None:
                why = f"{failure or ENDED_EARLY}; its output is in log.txt"
                folder.write_result(result_head(entry, self.plan, "error", why))
        result = folder.result()
        if result is None:
            raise StoreError(f"{folder.path}: somebody has removed the result; run the suite file again")
        return result

    def _without(self, entry: SuiteEntry, lacking: frozenset[str], offered: frozenset[str]) -> SuiteResult:
        """The result of a suite whose potential lacks what it needs: its criteria say whether the intended
        use can do without."""
        terms = Terms(self.plan.intended_use, offered, probe.suite_limits(self.plan, entry.key))
        reason = f"the potential gives no {', '.join(sorted(lacking))}"
        return result_head(entry, self.plan, "not_applicable", reason).model_copy(
            update={"measurements": judge_suite(entry.key, [], entry.suite.criteria, terms)}
        )

    def _child(self, key: str, task: list[str], seconds: float | None, answers: dict[str, Any]) -> str:
        """Run one task in a child; "" or how it failed. Its messages go to the display."""
        self.display.begin(key, seconds)
        start = time.monotonic()

        def on_message(message: Message) -> None:
            if "fraction" in message:
                self.display.progress(key, message["fraction"], message["text"])
            else:
                answers.update(message)

        log = self.run.path / layout.SUITES / key / "log.txt"
        watchdog = self.plan.watchdog
        held = [] if self.run.lock_descriptor is None else [self.run.lock_descriptor]
        ending = run_child(
            [str(self.run.path), *task], log, watchdog.stall_s, watchdog.memory_GB, on_message, held
        )
        self.timings[key] = round(time.monotonic() - start, 3)
        if "input_error" in answers:
            raise InputError(answers["input_error"])
        if "store_error" in answers:
            raise StoreError(answers["store_error"])
        return ending.failure


def _plan_of(path: Path) -> str:
    """Which plan a lock file is of; "" where it is damaged: it is about to be replaced."""
    try:
        return layout.read_plan(path)[1]
    except StoreError:
        return ""


def checked_inputs(plan: Plan) -> PlanInputs:
    """The inputs of a plan, every file read and every reference verified before any compute."""
    inputs = PlanInputs(plan, plan_manifest(plan))
    for key in plan.suites:
        inputs.content_hash(plan.params(key))
    return inputs


def estimate_costs(plan: Plan, stored: RunFolder, display: Display) -> RunEstimate:
    """What `mlipbench plan` says of what is left to do in a run folder, which need not be there."""
    checked_inputs(plan)
    with tempfile.TemporaryDirectory() as folder:
        session = Session(plan, RunFolder(Path(folder)), display)
        write_lock(session.run, plan)
        answers: dict[str, Any] = {}
        failure = session._child(layout.CONTRACT, ["estimate", str(stored.path.absolute())], None, answers)
        display.end(layout.CONTRACT, None)
        if failure:
            log = (Path(folder) / layout.SUITES / layout.CONTRACT / "log.txt").read_text()
            raise InputError(f"the potential cannot be asked: {failure}\n{log.strip()}")
        return RunEstimate.of_plain(answers["estimate"])


_OF_THE_POTENTIAL = ("fingerprint", "properties", "dtype", "device", "citations")  # from probe.json


def collect(run: RunFolder, plan: Plan, references: Mapping[str, ReferenceRecord]) -> Results:
    """results.json from what the suites have stored."""
    suites = {}
    fields = set(SuiteSummary.model_fields)
    for key in [layout.CONTRACT, *plan.suites]:
        result = run.suite(key).result() or _not_run(run, plan, key)
        suites[key] = SuiteSummary.model_validate(result.model_dump(include=fields))
    record = probe.record_of(run)
    identity = record.get(
        "identity", {"name": plan.potential.use, "key": "", "verified": False, "details": {}}
    )
    results = Results.model_validate(
        {
            "title": plan.title,
            "verdict": Verdict.INCONCLUSIVE,
            "sentence": "",
            "exit_code": gate.EXIT_CODES[Verdict.INCONCLUSIVE],
            "tier": plan.tier,
            "seed": plan.seed,
            "intended_use": _use_record(plan),
            "potential": PotentialRecord(
                **identity, **{name: record[name] for name in _OF_THE_POTENTIAL if name in record}
            ),
            "references": [references[name] for name in sorted(references)],
            "checklist": gate.checklist(suites, _use_record(plan)),
            "waivers": [w.model_dump() for w in plan.waivers],
            "suites": suites,
            "plan_sha256": plan.sha256(),
        }
    )
    return gate.rejudge(results, run.today())


def _not_run(run: RunFolder, plan: Plan, key: str) -> SuiteResult:
    """What stands for a result that is not there: it counts, so that nothing passes for want of it."""
    reason = "there is no result: the run was interrupted, or the file was removed"
    if key in plan.suites:
        return result_head(plan.suites[key], plan, "not_run", reason)
    return failed_result(run, key, key, reason).model_copy(update={"status": "not_run"})


def _use_record(plan: Plan) -> IntendedUseRecord:
    use = plan.intended_use
    return IntendedUseRecord(
        temperature_K=use.temperature_K,
        elements=list(use.elements),
        phases=list(use.phases),
        pressure_bar=use.pressure_bar,
        electrostatics=use.electrostatics,
    )


def analyze(run: RunFolder) -> Results:
    """Measure and judge a stored run again, computing nothing. What never was produced stays.

    The run folder is enough: neither the potential nor the files of the plan are looked for.
    """
    with run.lock():
        plan = read_lock(run)
        references = {reference.name: reference for reference in run.results().references}
        for key, entry in plan.suites.items():
            folder = run.suite(key)
            if not folder.produced():
                continue
            potential_key = layout.read_json(run.file(layout.PROBE))["identity"]["key"]
            if folder.asked() != asked(plan, entry, potential_key):
                raise StoreError(
                    f"{folder.path}/data.json: computed for another plan or another potential than those in "
                    f"{layout.PLAN} and {layout.PROBE}; run the suite file again"
                )
            measure_again(run, plan, entry)
        results = collect(run, plan, references)
        run.write_results(results)
    return results
