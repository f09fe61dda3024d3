"""The child's side: one task in a process of its own. The only place that catches everything.

    python -m mlipbench.run.execute PIPE RUN estimate OLD  load, check elements, time what OLD does not hold
    python -m mlipbench.run.execute PIPE RUN probe        load, identity, contract, time
    python -m mlipbench.run.execute PIPE RUN suite KEY    produce (unless done), measure, judge

Messages to the parent, one JSON object a line: {"fraction", "text"} for progress, {"estimate"},
{"input_error"} for what the user has to mend. Whatever else goes wrong becomes the stored result.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import psutil

import mlipbench
from mlipbench.config.plan import Plan, SuiteEntry
from mlipbench.core.citation import marks
from mlipbench.core.criterion import Criterion
from mlipbench.core.errors import InputError, MlipbenchError, StoreError, SuiteError
from mlipbench.core.potential import Potential
from mlipbench.core.result import SuiteResult
from mlipbench.core.structure import Structure
from mlipbench.run import probe
from mlipbench.run.context import EVALUATION_CHUNK, StoredData, SuiteContext, declared_trajectories
from mlipbench.run.cost import Startup
from mlipbench.run.inputs import PlanInputs
from mlipbench.run.planning import plan_manifest, read_lock
from mlipbench.run.registry import source_hash
from mlipbench.run.verdicts import Terms, check_outcome, judge_suite
from mlipbench.store import layout
from mlipbench.store.runs import RunFolder
from mlipbench.store.trajectories import TrajectoryStore

INPUT_ERROR_STATUS = 2


class _Parent:
    """The pipe to the parent; progress is thinned to what a reader can follow."""

    def __init__(self, descriptor: int) -> None:
        self._pipe = os.fdopen(descriptor, "w", buffering=1)
        self._last = 0.0

    def __enter__(self) -> _Parent:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # the user's code has closed it
            self._pipe.close()

    def send(self, **message: Any) -> None:
        """Send one message."""
        self._pipe.write(json.dumps(message) + "\n")

    def progress(self, fraction: float, text: str) -> None:
        """Progress (fraction < 0: alive, no news), at most five times a second."""
        if time.monotonic() - self._last > 0.2 or fraction in (0.0, 1.0):
            self._last = time.monotonic()
            self.send(fraction=fraction, text=text)


def main(arguments: list[str]) -> int:
    """Do one task; 0 also where a suite's error has become its result."""
    descriptor, folder, task, *rest = arguments
    _end_with_parent()
    os.set_inheritable(int(descriptor), False)  # what the user's code starts must not hold the pipe open
    run = RunFolder(Path(folder))
    with _Parent(int(descriptor)) as parent:
        try:
            plan = read_lock(run)
            inputs = PlanInputs(plan, plan_manifest(plan))
            if task == "suite":
                _suite(run, plan, inputs, plan.suites[rest[0]], parent)
            else:
                stored = RunFolder(Path(rest[0])) if rest else run
                _probe(run, plan, inputs, parent, stored, with_contract=task == "probe")
        except InputError as error:
            parent.send(input_error=str(error))
            return INPUT_ERROR_STATUS
        except StoreError as error:
            parent.send(store_error=str(error))
            return 1
    return 0


def _end_with_parent() -> None:
    """End this process and all it started when the parent is gone: its end of stdin closes."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


# ---------------------------------------------------------------- the potential
def _probe(
    run: RunFolder, plan: Plan, inputs: PlanInputs, parent: _Parent, stored: RunFolder, with_contract: bool
) -> None:
    """Who the potential is, its contract, its cost. Without a contract check every error is the user's."""
    began = psutil.Process().create_time()
    ready = time.time()
    parent.progress(0.0, "loading the potential")
    try:
        if with_contract:
            plan = sound_part(plan, inputs)
        potential = probe.load_potential(plan)
        startup = Startup(max(ready - began, 0.0), max(time.time() - ready, 0.0))
        structures = probe.describe(run, plan, inputs, potential)
        if with_contract:
            parent.progress(0.2, "checking the contract of the potential")
            probe.check_contract(run, plan, potential, structures)
    except (InputError, StoreError):
        raise
    except BaseException as error:
        if not with_contract:
            raise
        _store_failure(run, layout.CONTRACT, layout.CONTRACT, error)
        return
    try:
        parent.progress(0.5, "timing the potential")
        held = _held(stored, plan, inputs, potential.identity.key)
        found = probe.estimate(plan, inputs, potential, startup, held, parent.progress)
        parent.send(estimate=found.plain())
    except BaseException:
        if not with_contract:
            raise  # of a run the suites themselves will tell


def _held(run: RunFolder, plan: Plan, inputs: PlanInputs, potential_key: str) -> probe.Stored:
    """What a run folder holds of a plan."""
    produced, evaluated = set(), {}
    for key, entry in plan.suites.items():
        production = production_key(plan, entry, inputs, potential_key)
        if _is_produced(run, key, production):
            produced.add(key)
        else:
            evaluated[key] = EVALUATION_CHUNK * run.suite(key).n_evaluations(production)
    return probe.Stored(TrajectoryStore(run.trajectories), frozenset(produced), evaluated)


# ---------------------------------------------------------------- suites
def _suite(run: RunFolder, plan: Plan, inputs: PlanInputs, entry: SuiteEntry, parent: _Parent) -> None:
    folder = run.suite(entry.key)
    try:
        potential_key = probe.record_of(run)["identity"]["key"]
        key = production_key(plan, entry, inputs, potential_key)
        if not _is_produced(run, entry.key, key):
            parent.progress(0.0, "loading the potential")
            potential = probe.load_potential(plan)
            _check_identity(potential, potential_key)
            _check_declarations(plan, entry.key, inputs)
            sound = sound_part(plan, inputs)
            among = [s for k in sound.suites for s in declared_trajectories(plan, k, inputs).values()]
            context = SuiteContext(plan, inputs.manifest, run, entry, potential, among, parent.progress)
            context.folder.begin(key)
            entry.suite().produce(plan.params(entry.key), context)
            unverified = inputs.unverified(plan.params(entry.key))
            context.folder.finish(key, asked(plan, entry, potential_key), context.links(), unverified)
        parent.progress(1.0, "measuring")
        folder.write_result(measure(run, plan, entry))
    except StoreError:
        raise
    except BaseException as error:
        _store_failure(run, entry.key, entry.name, error, entry)


def _is_produced(run: RunFolder, key: str, production: str) -> bool:
    """Whether all that a suite needs to be measured is there."""
    folder, store = run.suite(key), TrajectoryStore(run.trajectories)
    return folder.produced(production) and all(
        store.is_complete(*link) for link in folder.trajectory_links().values()
    )


def sound_part(plan: Plan, inputs: PlanInputs) -> Plan:
    """The plan without the suites that cannot say what they need: each tells so when its turn comes."""
    sound = {}
    for key, entry in plan.suites.items():
        try:
            _check_declarations(plan, key, inputs)
            sound[key] = entry
        except InputError:
            raise
        except BaseException:
            continue
    return replace(plan, suites=sound)


def _check_declarations(plan: Plan, key: str, inputs: PlanInputs) -> None:
    """Whether a suite can say what it needs. Raises what the suite raises, and SuiteError."""
    declared_trajectories(plan, key, inputs)
    structures = plan.suites[key].suite().structures(plan.params(key), inputs)
    if not isinstance(structures, list) or not all(isinstance(s, Structure) for s in structures):
        raise SuiteError(f"structures of suite {key} gave {structures!r}; expected a list of Structure")


def production_key(plan: Plan, entry: SuiteEntry, inputs: PlanInputs, potential_key: str) -> str:
    """sha256 of everything that decides what `produce` leaves."""
    parts = [
        mlipbench.__version__,
        source_hash(entry.suite),
        str(entry.suite.version),
        inputs.content_hash(plan.params(entry.key)),
        asked(plan, entry, potential_key),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def asked(plan: Plan, entry: SuiteEntry, potential_key: str) -> str:
    """sha256 of what the plan asks a suite to produce: what a stored run knows of its production key."""
    params = plan.params(entry.key).model_dump_json()
    parts = [entry.name, params, potential_key, str(plan.seed), repr(plan.intended_use)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def measure(run: RunFolder, plan: Plan, entry: SuiteEntry) -> SuiteResult:
    """Measure and judge what a suite has produced; pure, the potential is not needed."""
    params = plan.params(entry.key)
    outcome = entry.suite().measure(params, StoredData(plan, run, entry.key))
    check_outcome(outcome, entry.suite.criteria)
    _check_citations(entry, outcome.methods)
    unverified = run.suite(entry.key).unverified_references()
    terms = Terms(
        plan.intended_use,
        frozenset(probe.record_of(run)["properties"]),
        probe.suite_limits(plan, entry.key),
        gates=not unverified,
    )
    remarks = [
        f"The reference {name} is not verified: its criteria advise, and decide nothing."
        for name in unverified
    ]
    return result_head(entry, plan, status="complete").model_copy(
        update={
            "measurements": judge_suite(entry.key, outcome.measurements, entry.suite.criteria, terms),
            "figures": outcome.figures,
            "tables": outcome.tables,
            "notes": [*remarks, *outcome.notes],
            "methods": outcome.methods,
        }
    )


def _check_citations(entry: SuiteEntry, methods: str) -> None:
    unknown = set(marks(f"{entry.suite.method}\n{methods}")) - {work.key for work in entry.suite.citations}
    if unknown:
        raise SuiteError(
            f"suite {entry.name} cites {', '.join(sorted(unknown))}; expected every work that its texts mark "
            "as [@key] among its `citations`"
        )


def measure_again(run: RunFolder, plan: Plan, entry: SuiteEntry) -> None:
    """`measure` of a stored production, in the parent's process; its error becomes the result."""
    try:
        run.suite(entry.key).write_result(measure(run, plan, entry))
    except StoreError:
        raise
    except (Exception, SystemExit) as error:
        _store_failure(run, entry.key, entry.name, error, entry)


def result_head(entry: SuiteEntry, plan: Plan, status: str, reason: str = "") -> SuiteResult:
    """A suite's result before it has found anything."""
    criteria: tuple[Criterion, ...] = entry.suite.criteria
    limits = probe.suite_limits(plan, entry.key)
    return SuiteResult.model_validate(
        {
            "key": entry.key,
            "suite": entry.name,
            "version": entry.suite.version,
            "title": entry.suite.title,
            "method": entry.suite.method,
            "citations": list(entry.suite.citations),
            "asked": plan.params(entry.key).model_dump(mode="json", exclude_none=True),
            "status": status,
            "reason": reason,
            "items": sorted({c.item for c in criteria if c.item is not None}),
            "gates": any(
                c.level in ("required", "at_target") or (c.level == "if_limited" and c.name in limits)
                for c in criteria
            ),
        }
    )


def _check_identity(potential: Potential, expected: str) -> None:
    if potential.identity.key != expected:
        raise StoreError(
            "the potential is not the one that was probed at the start of this run: its files or "
            "arguments have changed meanwhile; run the suite file again"
        )


def _store_failure(
    run: RunFolder, key: str, name: str, error: BaseException, entry: SuiteEntry | None = None
) -> None:
    """Keep an error as the suite's result, with the traceback beside it."""
    kind = "" if isinstance(error, MlipbenchError) else f"{type(error).__name__}: "
    reason = f"{kind}{error}" if str(error) else type(error).__name__
    run.suite(key).write_traceback("".join(traceback.format_exception(error)))
    run.suite(key).write_result(failed_result(run, key, name, reason, entry))


def failed_result(
    run: RunFolder, key: str, name: str, reason: str, entry: SuiteEntry | None = None
) -> SuiteResult:
    """A result that says why there is none."""
    if entry is not None:
        return result_head(entry, read_lock(run), "error", reason)
    return SuiteResult(
        key=key,
        suite=name,
        version=1,
        title="Contract of the potential",
        method=probe.METHOD,
        asked={},
        status="error",
        reason=reason,
    )


def _leave(status: int) -> NoReturn:
    """End at once: threads and exit handlers that the user's code has left cannot hold a finished task."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # a full disk, a closed stream
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    try:
        _status = main(sys.argv[1:])
    except BaseException:
        traceback.print_exc()
        _status = 1
    _leave(_status)
