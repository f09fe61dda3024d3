"""Before any suite: load the potential, say who it is, check its contract, time it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ase.data import chemical_symbols

from mlipbench.config.plan import Plan
from mlipbench.core.errors import InputError, StoreError
from mlipbench.core.potential import Potential
from mlipbench.core.result import SuiteResult
from mlipbench.core.structure import Structure
from mlipbench.potentials import contract, loading
from mlipbench.run.context import declared_trajectories
from mlipbench.run.cost import RunEstimate, Startup, Work, around, in_order
from mlipbench.run.inputs import PlanInputs
from mlipbench.run.timing import NOTHING, Stopwatch
from mlipbench.run.verdicts import Terms, judge_suite
from mlipbench.store import layout
from mlipbench.store.layout import read_json, write_json
from mlipbench.store.runs import RunFolder
from mlipbench.store.trajectories import TrajectoryStore

METHOD = (
    "Before any suite runs, the potential is asked about slightly rattled copies of the structures of the "
    "plan. Forces are compared with Richardson-extrapolated central differences of the energy, the stress "
    "with the derivative of the energy with respect to strain, a batch with single calls, and an "
    "answer with its repetition. What fails here makes every later number meaningless."
)
METHODS = (
    "Before any other calculation the potential was asked about rattled copies of the structures ({number} "
    "of them): forces were compared with Richardson-extrapolated central differences of the energy, the "
    "stress with the derivative of the energy in the strain, answers in a batch with single ones, and "
    "answers with their repetition."
)


@dataclass(frozen=True)
class Stored:
    """What a run folder holds already."""

    trajectories: TrajectoryStore
    produced: frozenset[str]  # suites that are only measured
    evaluated: Mapping[str, int]  # suite -> structures whose answers are kept


def load_potential(plan: Plan) -> Potential:
    """The potential of the plan. Raises InputError, and whatever the user's own code raises."""
    section = plan.potential
    files = [plan.resolve(name) for name in section.files]
    return loading.load(section.use, section.kwargs, plan.folder, files)


def probe_structures(plan: Plan, inputs: PlanInputs) -> list[Structure]:
    """The different structures that the suites start from, one for each set of elements and size."""
    chosen: dict[bytes, Structure] = {}
    for key, entry in plan.suites.items():
        params = plan.params(key)
        specs = declared_trajectories(plan, key, inputs).values()
        for structure in [
            *(spec.structure for spec in specs),
            *entry.suite().structures(params, inputs)[:1],
        ]:
            chosen.setdefault(structure.numbers.tobytes(), structure)
    return list(chosen.values())


def describe(run: RunFolder, plan: Plan, inputs: PlanInputs, potential: Potential) -> list[Structure]:
    """Check the elements, note identity and capabilities in probe.json; the probe structures.

    Raises InputError where the plan asks for elements that the potential does not have.
    """
    _check_elements(plan, inputs, potential)
    path = run.file(layout.PROBE)
    identity = potential.identity
    known = read_json(path) if path.exists() else {}
    if known.get("identity", {}).get("key") != identity.key:
        write_json(
            path,
            {
                "identity": asdict(identity),
                "properties": sorted(potential.capabilities.properties),
                "dtype": potential.capabilities.dtype,
                "device": potential.capabilities.device,
                "citations": [work.model_dump(mode="json") for work in potential.citations],
                "fingerprint": "",
                "fingerprints": {},  # hash of a structure -> of the answers about it
            },
        )
    return probe_structures(plan, inputs)


def _check_elements(plan: Plan, inputs: PlanInputs, potential: Potential) -> None:
    allowed = potential.capabilities.elements
    if allowed is None:
        return
    have = ", ".join(chemical_symbols[z] for z in sorted(allowed))
    problems = []
    for symbol in plan.intended_use.elements:
        if chemical_symbols.index(symbol) not in allowed:
            place = ("intended_use", "elements", plan.intended_use.elements.index(symbol))
            problems.append(plan.problem(place, "outside the potential", f"one of {have}", repr(symbol)))
    for key, entry in plan.suites.items():
        params = plan.params(key)
        specs = declared_trajectories(plan, key, inputs).values()
        structures = [*(s.structure for s in specs), *entry.suite().structures(params, inputs)]
        asked = {int(z) for structure in structures for z in structure.numbers}
        if asked - allowed:
            missing = ", ".join(chemical_symbols[z] for z in sorted(asked - allowed))
            what = "its structures have elements outside the potential"
            problems.append(plan.problem(("suites", key), what, f"one of {have}", missing, key=True))
    if problems:
        raise InputError("\n".join(str(problem) for problem in problems))


def check_contract(run: RunFolder, plan: Plan, potential: Potential, structures: list[Structure]) -> None:
    """Measure and judge the contract, and keep (or compare) the fingerprint."""
    path = run.file(layout.PROBE)
    record = read_json(path)
    known = record["fingerprints"]
    found = {s.hash: contract.fingerprint(potential, [s]) for s in structures}
    if any(known.get(structure, found[structure]) != found[structure] for structure in found):
        raise StoreError(
            f"the potential answers differently than when {run.path} was begun, though nothing that "
            "it declares has changed; name its files under potential.files, and choose another --output"
        )
    terms = Terms(plan.intended_use, potential.capabilities.properties, suite_limits(plan, layout.CONTRACT))
    measurements = contract.check(potential, structures, plan.seed)
    run.suite(layout.CONTRACT).write_result(
        SuiteResult(
            key=layout.CONTRACT,
            suite=layout.CONTRACT,
            version=1,
            title="Contract of the potential",
            method=METHOD,
            methods=METHODS.format(number=min(len(structures), contract.MOST_STRUCTURES)),
            asked={"structures": [f"{len(s)} atoms" for s in structures], "seed": plan.seed},
            status="complete",
            measurements=judge_suite(layout.CONTRACT, measurements, contract.CRITERIA, terms),
        )
    )
    together = hashlib.sha256("".join(found[key] for key in sorted(found)).encode()).hexdigest()
    write_json(path, record | {"fingerprints": known | found, "fingerprint": together})


def suite_limits(plan: Plan, key: str) -> dict[str, float]:
    """The limits that the suite file sets for one suite."""
    prefix = f"{key}/"
    return {
        name.removeprefix(prefix): section.limit
        for name, section in plan.limits.items()
        if name.startswith(prefix)
    }


def estimate(
    plan: Plan,
    inputs: PlanInputs,
    potential: Potential,
    startup: Startup,
    stored: Stored,
    progress: Callable[[float, str], None],
) -> RunEstimate:
    """Cost of what is left of a run, from a few timed evaluations and steps."""
    began = time.perf_counter()
    offered = potential.capabilities.properties
    watch = Stopwatch(potential, lambda: progress(-1.0, "timing the potential"))
    properties = tuple(sorted(offered & {"energy", "forces", "stress"}))
    works = {
        key: Work(
            list(declared_trajectories(plan, key, inputs).values()),
            entry.suite().structures(plan.params(key), inputs),
            properties,
            key in stored.produced,
            stored.evaluated.get(key, 0),
        )
        for key, entry in plan.suites.items()
        if entry.suite.needs <= offered
    }
    checking = NOTHING
    for structure in contract.probes(probe_structures(plan, inputs)):
        one = watch.answers([structure], properties)
        checking = checking.plus(one.times(contract.n_evaluations(structure, offered) + 1))
    suites = in_order(works, stored.trajectories, watch, startup, potential.identity.key)
    timing = time.perf_counter() - began  # a run does that too
    before, after = around(len(plan.suites), startup, checking, timing)
    return RunEstimate(before, suites, after)


def record_of(run: RunFolder) -> dict[str, Any]:
    """probe.json; {} where the potential could not be loaded."""
    path = run.file(layout.PROBE)
    record: dict[str, Any] = read_json(path) if path.exists() else {}
    return record
