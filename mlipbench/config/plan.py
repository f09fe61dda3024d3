"""The validated suite file.

plan = load_plan(Path("suite.yaml"), suite_types)     # PlanError names every problem of the file
plan.lock()                                           # plain data, for plan.lock.yaml
Plan.from_lock(locked, suite_types)                   # the same plan, in another process
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel

from mlipbench.config import checks
from mlipbench.config.problems import KeyPath, Problem, in_order
from mlipbench.config.sections import (
    LimitSection,
    PlanFile,
    PotentialSection,
    Tier,
    UseSection,
    WaiverSection,
    Watchdog,
)
from mlipbench.config.source import Source, load_source
from mlipbench.config.validation import validate
from mlipbench.core.errors import InputError, PlanError
from mlipbench.core.suite import DataRef, IntendedUse, Suite, SuiteParams, TierScaled

__all__ = ["Plan", "SuiteEntry", "SuiteTypes", "Tier", "load_plan", "scale_params"]

SuiteTypes = Mapping[str, type[Suite]] | Callable[[str], type[Suite]]
TIER_FACTORS: Mapping[Tier, float] = {"screen": 0.1, "standard": 0.5, "full": 1.0}
ParamsT = TypeVar("ParamsT", bound=BaseModel)


@dataclass(frozen=True)
class SuiteEntry:
    """One suite of the plan."""

    key: str  # what the file and the report call it
    name: str  # what it is registered under
    suite: type[Suite]
    params: SuiteParams  # as in the file: lengths not yet scaled by the tier


@dataclass(frozen=True)
class Plan:
    """What is to be run, on what, and how it is judged. Paths are as written in the file."""

    file: str  # the suite file, as it was named
    folder: Path  # absolute; relative paths start here
    title: str
    potential: PotentialSection
    use: UseSection
    tier: Tier
    seed: int
    suites: Mapping[str, SuiteEntry]
    limits: Mapping[str, LimitSection]
    waivers: tuple[WaiverSection, ...]
    watchdog: Watchdog
    references: str | None
    warnings: tuple[str, ...] = field(default=(), compare=False)
    source: Source | None = field(default=None, compare=False, repr=False)

    @property
    def intended_use(self) -> IntendedUse:
        """The value that suites see."""
        return self.use.intended_use()

    def params(self, key: str) -> SuiteParams:
        """The parameters of a suite, lengths scaled by the tier."""
        return scale_params(self.suites[key].params, self.tier)

    def with_tier(self, tier: Tier) -> Plan:
        """The same plan at another tier."""
        return replace(self, tier=tier)

    def resolve(self, name: str) -> Path:
        """A path of the suite file as an absolute path."""
        return checks.resolve_path(self.folder, name)

    def problem(
        self, path: KeyPath, what: str, expected: str = "", got: str = "", hint: str = "", key: bool = False
    ) -> Problem:
        """A problem found later (an element outside the potential), at its place in the file."""
        source = self.source or Source(self.file, {})
        return source.problem(path, what, expected, got, hint, key)

    def lock(self) -> dict[str, Any]:
        """The plan as plain data (str, int, float, bool, None, list, dict), defaults filled in."""
        return {
            "file": self.file,
            "folder": str(self.folder),
            "title": self.title,
            "potential": self.potential.model_dump(mode="json"),
            "intended_use": self.use.model_dump(mode="json"),
            "tier": self.tier,
            "seed": self.seed,
            "suites": {
                key: {"use": entry.name, **entry.params.model_dump(mode="json")}
                for key, entry in self.suites.items()
            },
            "limits": {name: limit.model_dump(mode="json") for name, limit in self.limits.items()},
            "waivers": [waiver.model_dump(mode="json") for waiver in self.waivers],
            "watchdog": self.watchdog.model_dump(mode="json"),
            "references": self.references,
        }

    def sha256(self) -> str:
        """Of all that the plan asks, wherever the suite file and the run lie."""
        asked = {name: value for name, value in self.lock().items() if name not in ("file", "folder")}
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    @classmethod
    def from_lock(cls, locked: Mapping[str, Any], suite_types: SuiteTypes) -> Plan:
        """The plan that `lock` wrote. Files are not looked for again. Raises PlanError."""
        data = dict(locked)
        file, folder = str(data.pop("file", "plan.lock.yaml")), Path(str(data.pop("folder", ".")))
        source = Source("plan.lock.yaml", data)
        plan, _, problems = _assemble(source, folder, checks.Surroundings(suite_types))
        if plan is None or problems:
            raise PlanError([str(problem) for problem in problems])
        return replace(plan, file=file, source=None)


def load_plan(
    path: Path,
    suite_types: SuiteTypes,
    *,
    suite_names: Collection[str] = (),
    potential_names: Collection[str] | None = None,
    references: checks.ReferenceKinds | None = None,
    resolve: Callable[[DataRef, Path], object] | None = None,
    today: datetime.date | None = None,
) -> Plan:
    """Read and check a suite file. Raises PlanError with all its problems, one line each.

    `suite_types` finds a suite by name: a mapping (which may import as late as it likes), or a
    function that raises KeyError (unknown) or InputError (known, but it cannot be imported).
    `references` maps the user's manifest (or None) to the kinds of all known references; `resolve`
    reads what a reference to data means and raises InputError. What is None is not checked.
    """
    source = load_source(path)
    folder = path.parent.absolute()
    around = checks.Surroundings(suite_types, suite_names, potential_names, references, resolve)
    plan, suites, problems = _assemble(source, folder, around)
    problems = [*source.problems, *problems]
    problems += checks.check_potential(source, folder, around)
    problems += checks.check_elements(source)
    problems += checks.check_criteria(source, {key: entry[0] for key, entry in suites.items()})
    kinds, found = _reference_kinds(source, folder, references)
    problems += found
    for key, (_, params) in suites.items():
        for place, ref in checks.references_in(params, ("suites", key)):
            problems += checks.check_reference(source, folder, place, ref, kinds, around)
    if problems or plan is None:
        raise PlanError([str(problem) for problem in in_order(problems)])
    waivers = [(waiver.criterion, waiver.expires) for waiver in plan.waivers]
    return replace(plan, warnings=tuple(checks.expired(source, today or datetime.date.today(), waivers)))


_Suites = dict[str, tuple[type[Suite] | None, SuiteParams | None]]


def _assemble(
    source: Source, folder: Path, around: checks.Surroundings
) -> tuple[Plan | None, _Suites, list[Problem]]:
    """Types alone: what the models can say. Suites that are unknown or wrong map to None."""
    top, problems = validate(PlanFile, source.data, source)
    suites: _Suites = {}
    entries: dict[str, SuiteEntry] = {}
    sections = source.data.get("suites")
    for key, section in sections.items() if isinstance(sections, dict) else ():
        problems += checks.check_key(source, key)
        section = {} if section is None else section
        if not isinstance(section, dict):
            suites[key] = (None, None)
            continue
        suite, wrong = checks.suite_type(source, key, section, around)
        problems += wrong
        params: SuiteParams | None = None
        if suite is not None:
            own = {name: value for name, value in section.items() if name != "use"}
            params, wrong = validate(suite.Params, own, source, ("suites", key))
            problems += wrong
            if params is not None:
                entries[key] = SuiteEntry(key, str(section.get("use", key)), suite, params)
        suites[key] = (suite, params)
    if top is None or problems:
        return None, suites, problems
    plan = Plan(
        file=source.file,
        folder=folder,
        title=top.title or Path(source.file).stem,
        potential=top.potential,
        use=top.intended_use,
        tier=top.tier,
        seed=top.seed,
        suites=entries,
        limits=top.limits,
        waivers=top.waivers,
        watchdog=top.watchdog,
        references=top.references,
        source=source,
    )
    return plan, suites, problems


def _reference_kinds(
    source: Source, folder: Path, references: checks.ReferenceKinds | None
) -> tuple[Mapping[str, str] | None, list[Problem]]:
    """Kinds of all known references; None where they cannot be known."""
    own = source.data.get("references")
    manifest: Path | None = None
    if isinstance(own, str):
        missing = checks.check_file(source, folder, ("references",), own)
        if missing:
            return None, missing
        manifest = checks.resolve_path(folder, own)
    if references is None:
        return None, []
    try:
        return references(manifest), []
    except InputError as error:
        return None, [source.problem(("references",), str(error))]


def scale_params(params: ParamsT, tier: Tier) -> ParamsT:
    """The same parameters with every `Duration` (also in nested models) multiplied for the tier."""
    return _scale_model(params, TIER_FACTORS[tier])


def _scale_model(model: ParamsT, factor: float) -> ParamsT:
    changed = {
        name: _scaled(getattr(model, name), [*info.metadata, *_marks(info.annotation)], factor)
        for name, info in type(model).model_fields.items()
    }
    return model.model_copy(update=changed)


def _scaled(value: Any, marks: Collection[object], factor: float) -> Any:
    if isinstance(value, BaseModel):
        return _scale_model(value, factor)
    if isinstance(value, (list, tuple)):
        return type(value)(_scaled(item, marks, factor) for item in value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value * factor if number and any(isinstance(m, TierScaled) for m in marks) else value


def _marks(annotation: Any) -> list[object]:
    """Marks found anywhere in an annotation: Duration | None, list[Duration]."""
    if get_origin(annotation) is Annotated:
        return list(get_args(annotation)[1:])
    return [mark for part in get_args(annotation) for mark in _marks(part)]
