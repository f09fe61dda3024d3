"""What a suite file says beyond types: files that exist, names that are known, sense across sections."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols
from pydantic import BaseModel

from mlipbench.config.problems import KeyPath, Problem, closest, describe, did_you_mean, one_of
from mlipbench.config.source import Source
from mlipbench.core.errors import InputError
from mlipbench.core.suite import DataRef, FramesRef, StructureRef, Suite

ELEMENTS = frozenset(chemical_symbols[1:])
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

ReferenceKinds = Callable[[Path | None], Mapping[str, str]]
"""The user's manifest (None: he has none) -> name and kind of every known reference."""


@dataclass(frozen=True)
class Surroundings:
    """What a suite file is checked against."""

    suite_types: Mapping[str, type[Suite]] | Callable[[str], type[Suite]]
    suite_names: Collection[str] = ()  # for suggestions where `suite_types` is a function
    potential_names: Collection[str] | None = None  # None: not checked
    references: ReferenceKinds | None = None  # None: not checked
    resolve: Callable[[DataRef, Path], object] | None = None  # reads what a reference means, or raises


def resolve_path(folder: Path, name: str) -> Path:
    """A path of the suite file: relative ones start from the file's folder."""
    return folder / Path(name).expanduser()


def missing_file(folder: Path, name: str) -> str | None:
    """What is wrong with a file that a suite file names; None where it can be read."""
    path = resolve_path(folder, name)
    try:
        if path.is_file():
            return None
        return "this is a folder" if path.is_dir() else "no such file"
    except (OSError, ValueError) as error:
        return f"not a path: {getattr(error, 'strerror', None) or error}"


def check_file(source: Source, folder: Path, path: KeyPath, name: str) -> list[Problem]:
    """A problem where the file is not there."""
    wrong = missing_file(folder, name)
    if wrong is None:
        return []
    hint = "" if Path(name).is_absolute() else f"paths start from the folder of {Path(source.file).name}"
    return [source.problem(path, wrong, got=describe(name), hint=hint)]


def split_use(use: str) -> tuple[str, str] | None:
    """("package.module" or "file.py", "callable"), or None where `use` is a registered name."""
    target, colon, name = use.rpartition(":")
    return (target, name) if colon else None


def check_potential(source: Source, folder: Path, around: Surroundings) -> list[Problem]:
    """The name is registered, or its module or file can be looked for; the weights exist."""
    section = source.data.get("potential")
    if not isinstance(section, dict):
        return []
    problems = []
    files = section.get("files")
    for index, name in enumerate(files if isinstance(files, list) else []):
        if isinstance(name, str):
            problems += check_file(source, folder, ("potential", "files", index), name)
    use = section.get("use")
    if isinstance(use, str) and use:
        problems += _check_use(source, folder, use, around.potential_names)
    return problems


def _check_use(source: Source, folder: Path, use: str, names: Collection[str] | None) -> list[Problem]:
    path: KeyPath = ("potential", "use")
    parts = split_use(use)
    if parts is None:
        if names is None or use in names:
            return []
        hint = did_you_mean(use, names) or "or write package.module:callable, or file.py:callable"
        return [source.problem(path, "unknown potential", one_of(names), describe(use), hint)]
    target, name = parts
    if not _MODULE.fullmatch(name):
        return [source.problem(path, "not the name of a callable", "file.py:callable", describe(use))]
    if target.endswith(".py"):
        return check_file(source, folder, path, target)
    if not _MODULE.fullmatch(target):
        expected = "a registered name, package.module:callable, or file.py:callable"
        return [source.problem(path, "not a potential", expected, describe(use))]
    return []


def check_elements(source: Source) -> list[Problem]:
    """Element symbols of the intended use, each once."""
    section = source.data.get("intended_use")
    elements = section.get("elements") if isinstance(section, dict) else None
    problems = []
    if isinstance(elements, list):
        for index, symbol in enumerate(elements):
            path: KeyPath = ("intended_use", "elements", index)
            if isinstance(symbol, str) and symbol not in ELEMENTS:
                hint = did_you_mean(symbol, ELEMENTS)
                problems.append(source.problem(path, "not an element", "a symbol", describe(symbol), hint))
            elif symbol in elements[:index]:
                problems.append(source.problem(path, "named twice", got=describe(symbol)))
    return problems


def check_key(source: Source, key: str) -> list[Problem]:
    """The key of a suite names its folder and its measurements."""
    if _KEY.fullmatch(key):
        return []
    expected = "letters, digits, - and _, at most 64"
    return [source.problem(("suites", key), "not a name for a suite", expected, key=True)]


def suite_type(
    source: Source, key: str, section: Mapping[str, Any], around: Surroundings
) -> tuple[type[Suite] | None, list[Problem]]:
    """The suite that a section of `suites` names with its key or with `use`."""
    path: KeyPath = ("suites", key, "use") if "use" in section else ("suites", key)
    name = section.get("use", key)
    if not isinstance(name, str):
        return None, [source.problem(path, "wrong type", "the name of a suite", describe(name))]
    types, names = around.suite_types, around.suite_names
    try:
        if isinstance(types, Mapping):
            names = names or list(types)
            return types[name], []
        return types(name), []
    except KeyError:
        hint = did_you_mean(name, names)
        if not hint and "use" not in section:
            hint = "a key of your own needs `use: name of a suite`"
        return None, [
            source.problem(
                path, "unknown suite", one_of(names), describe(name), hint, key="use" not in section
            )
        ]
    except InputError as error:
        return None, [source.problem(path, str(error), key="use" not in section)]


def references_in(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, DataRef]]:
    """All references to data among a suite's parameters, with their paths."""
    if isinstance(value, DataRef):
        yield path, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from references_in(getattr(value, name), (*path, name))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from references_in(item, (*path, index))
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from references_in(item, (*path, name))


def check_reference(
    source: Source,
    folder: Path,
    path: KeyPath,
    ref: DataRef,
    kinds: Mapping[str, str] | None,
    around: Surroundings,
) -> list[Problem]:
    """One source is named, it is there, and (given `around.resolve`) it can be read."""
    sources = ("file", "reference", "crystal") if isinstance(ref, StructureRef) else ("file", "reference")
    given = [name for name in sources if getattr(ref, name) is not None]
    if len(given) != 1:
        return [
            source.problem(path, "not one source", f"exactly {one_of(sources)}", ", ".join(given) or "none")
        ]
    if ref.file is not None:
        problems = check_file(source, folder, (*path, "file"), ref.file)
    elif ref.reference is not None:
        problems = _check_name(source, (*path, "reference"), ref.reference, ref.kind, kinds)
    else:
        problems = []
    if isinstance(ref, StructureRef):
        problems += _check_structure(source, path, ref)
    elif isinstance(ref, FramesRef):
        problems += _check_frames(source, path, ref)
    unknown = ref.reference is not None and kinds is None  # the manifest is itself a problem
    if not problems and not unknown and around.resolve is not None:
        try:
            around.resolve(ref, folder)
        except InputError as error:
            problems.append(source.problem(path, str(error)))
    return problems


def _check_name(
    source: Source, path: KeyPath, name: str, kind: str, kinds: Mapping[str, str] | None
) -> list[Problem]:
    if kinds is None:
        return []
    if name not in kinds:
        hint = did_you_mean(name, kinds)
        return [source.problem(path, "unknown reference", one_of(kinds), describe(name), hint)]
    if kinds[name] != kind:
        return [source.problem(path, "a reference of another kind", kind, kinds[name])]
    return []


def _check_structure(source: Source, path: KeyPath, ref: StructureRef) -> list[Problem]:
    problems = []
    for field in ("symbol", "lattice_A"):
        if (getattr(ref, field) is None) == (ref.crystal is not None):
            what = "a crystal needs it" if ref.crystal else "only a crystal has it"
            where = (*path, field)
            problems.append(source.problem(where, what))
    if min(ref.repeat) < 1:
        got = describe(list(ref.repeat)) if len(ref.repeat) != 3 else str(list(ref.repeat))
        problems.append(source.problem((*path, "repeat"), "wrong value", "cells of at least 1", got))
    return problems


_FRAME_LABELS = ("energy", "forces", "stress", "virial", "config_type", "trajectory")
_SLICE = re.compile(r"-?\d+|(-?\d*):(-?\d*)(:-?\d*)?")


def _check_frames(source: Source, path: KeyPath, ref: FramesRef) -> list[Problem]:
    problems = []
    if not _SLICE.fullmatch(ref.index) or ref.index.endswith(":0"):
        expected = 'a Python slice such as ":", "::10", "5:20", or a number'
        problems.append(source.problem((*path, "index"), "wrong value", expected, describe(ref.index)))
    for name in ref.keys:
        if name not in _FRAME_LABELS:
            hint = did_you_mean(name, _FRAME_LABELS)
            where = (*path, "keys", name)
            problems.append(
                source.problem(where, "unknown label", one_of(_FRAME_LABELS), hint=hint, key=True)
            )
    return problems


def check_criteria(source: Source, suites: Mapping[str, type[Suite] | None]) -> list[Problem]:
    """`limits` and `waivers` name criteria of suites of this file (None: a suite not known)."""
    problems = []
    limits = source.data.get("limits")
    for name in limits if isinstance(limits, dict) else ():
        problems += _check_criterion(source, ("limits", name), name, suites, key=True)
    waivers = source.data.get("waivers")
    seen: set[str] = set()
    for index, waiver in enumerate(waivers if isinstance(waivers, list) else ()):
        name = waiver.get("criterion") if isinstance(waiver, dict) else None
        if isinstance(name, str):
            path: KeyPath = ("waivers", index, "criterion")
            found = _check_criterion(source, path, name, suites, key=False)
            if not found and name in seen:
                found = [source.problem(path, "waived twice", got=describe(name))]
            seen.add(name)
            problems += found
    return problems


def _check_criterion(
    source: Source, path: KeyPath, name: str, suites: Mapping[str, type[Suite] | None], key: bool
) -> list[Problem]:
    suite_key, slash, criterion = name.partition("/")
    if not slash:
        known = [f"{k}/{c.name}" for k, s in suites.items() if s for c in s.criteria]
        near = [full for full in known if full.endswith(f"/{name}")]
        hint = f"did you mean {near[0]}?" if near else ""
        return [source.problem(path, "not a criterion", "suite/criterion", describe(name), hint, key)]
    if suite_key not in suites:
        if closest(suite_key, [key for key, suite in suites.items() if suite is None]):
            return []  # probably that one, whose own name is the problem
        hint = did_you_mean(suite_key, suites)
        return [
            source.problem(path, "no such suite in this file", one_of(suites), describe(suite_key), hint, key)
        ]
    suite = suites[suite_key]
    names = {c.name for c in suite.criteria} if suite else {criterion}
    if criterion in names:
        return []
    hint = did_you_mean(criterion, names)
    if criterion.partition("@")[0] in names:
        hint = f"write {suite_key}/{criterion.partition('@')[0]}: it counts for all conditions"
    return [source.problem(path, "unknown criterion", one_of(names), describe(criterion), hint, key)]


def expired(source: Source, today: datetime.date, waivers: list[tuple[str, datetime.date]]) -> list[str]:
    """Warnings about waivers that no longer count."""
    return [
        str(
            source.problem(
                ("waivers", index, "expires"), f"the waiver of {name} expired on {date}, it is not applied"
            )
        )
        for index, (name, date) in enumerate(waivers)
        if date < today
    ]
