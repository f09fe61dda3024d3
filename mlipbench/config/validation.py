"""pydantic models against a located file: every violation becomes one Problem.

Validation is strict: a string is no number, a bool is no number, 2.5 is no integer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from mlipbench.config.problems import (
    KeyPath,
    Problem,
    closest,
    describe,
    did_you_mean,
    meant_in_another_unit,
    number_hint,
    one_of,
    unit_hint,
)
from mlipbench.config.source import Source

ModelT = TypeVar("ModelT", bound=BaseModel)


def validate(
    model: type[ModelT], data: Any, source: Source, prefix: KeyPath = ()
) -> tuple[ModelT | None, list[Problem]]:
    """The validated model, or None and what is wrong with `data`, which stands at `prefix`."""
    try:
        return model.model_validate_json(json.dumps(data), strict=True), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
        return None, _problems(errors, model, data, source, prefix)


@dataclass(frozen=True)
class _Finding:
    """One pydantic error, with its place in the file."""

    error: Any
    path: KeyPath  # in `data`; the last part may be missing there
    union: int | None  # length of the path at which branches of a union part

    @property
    def kind(self) -> str:
        return str(self.error["type"])


def _problems(
    errors: Sequence[Any], model: type[BaseModel], data: Any, source: Source, prefix: KeyPath
) -> list[Problem]:
    findings = [_find(error, data) for error in errors]
    unknown = {f.path: f for f in findings if f.kind == "extra_forbidden"}
    meant = {path: _meant(path, model, data) for path in unknown}
    replaced = {(*path[:-1], field) for path, field in meant.items() if field}
    groups: dict[object, list[_Finding]] = {}
    for number, finding in enumerate(findings):
        if finding.kind == "missing" and finding.path in replaced:
            continue
        own: object = number if finding.union is None else finding.path[: finding.union]
        groups.setdefault(own, []).append(finding)
    problems = []
    for group in groups.values():
        for finding, expected in _one_branch(group):
            field = meant.get(finding.path)
            problems.append(_problem(finding, expected, field, model, source, prefix, data))
    return problems


def _find(error: Any, data: Any) -> _Finding:
    """Follow the location as far as the data goes; names of union branches are in between."""
    path: list[str | int] = []
    union: int | None = None
    here = data
    *_, last = error["loc"] or ("",)
    for part in error["loc"]:
        inside = part in here if isinstance(here, dict) else isinstance(here, list) and isinstance(part, int)
        if inside and (isinstance(here, dict) or part < len(here)):
            path.append(part)
            here = here[part]
        elif error["type"] == "missing" and part is last:
            path.append(part)
        elif part != "[key]" and union is None:
            union = len(path)
    return _Finding(error, tuple(path), union)


def _one_branch(group: list[_Finding]) -> Iterable[tuple[_Finding, str]]:
    """Of a union's branches: the one that got furthest, or all their expectations in one line."""
    deepest = max(len(finding.path) for finding in group)
    best = [finding for finding in group if len(finding.path) == deepest]
    if group[0].union is None or len(best) == 1:
        return [(finding, _expected(finding.error)) for finding in best]
    wishes = dict.fromkeys(_expected(finding.error) for finding in best)
    return [(best[0], " or ".join(wish for wish in wishes if wish))]


def _meant(path: KeyPath, model: type[BaseModel], data: Any) -> str | None:
    """The field that an unknown key probably stands for."""
    free = _free_fields(path, model, data)
    key = str(path[-1])
    return meant_in_another_unit(key, free) or closest(key, free)


def _free_fields(path: KeyPath, model: type[BaseModel], data: Any) -> list[str]:
    """Fields of the model at the parent of `path` which the file does not give."""
    here = data
    for part in path[:-1]:
        here = here[part]
    names = {name for found in models_at(model, path[:-1]) for name in found.model_fields}
    return sorted(names - set(here))


def models_at(annotation: Any, path: KeyPath) -> list[type[BaseModel]]:
    """The models that may stand at a path below an annotation."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return models_at(get_args(annotation)[0], path)
    if origin in (Union, UnionType):
        return [found for branch in get_args(annotation) for found in models_at(branch, path)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return [annotation]
        field = annotation.model_fields.get(str(path[0]))
        return models_at(field.annotation, path[1:]) if field else []
    if path and get_args(annotation):
        return models_at(get_args(annotation)[-1 if origin is dict else 0], path[1:])
    return []


def _problem(
    finding: _Finding,
    expected: str,
    meant: str | None,
    model: type[BaseModel],
    source: Source,
    prefix: KeyPath,
    data: Any,
) -> Problem:
    error, path = finding.error, (*prefix, *finding.path)
    if finding.kind == "extra_forbidden":
        name, names = str(finding.path[-1]), _free_fields(finding.path, model, data)
        if meant and meant == meant_in_another_unit(name, names):
            hint = unit_hint(name, meant, error["input"])
            return source.problem(path, "unknown key", expected=meant, hint=hint, key=True)
        hint = f"did you mean {meant}?" if meant else ""
        return source.problem(path, "unknown key", expected=one_of(names), hint=hint, key=True)
    if finding.kind == "missing" and isinstance(path[-1], int):
        return source.problem(path[:-1], "too few entries", got=f"{path[-1]}")
    if finding.kind == "missing":
        hint = _description(model, finding.path)
        return source.problem(path, "missing key", hint=hint)
    if finding.kind in ("value_error", "assertion_error"):
        what = str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        got = "" if isinstance(error["input"], (dict, list)) else describe(error["input"])
        return source.problem(path, what, got=got)
    got = describe(error["input"])
    what = "wrong type" if finding.kind.endswith(("_type", "_parsing")) else "wrong value"
    key: str | int = path[-1] if path else ""
    if isinstance(key, int) and len(path) > 1:
        key = path[-2]
    return source.problem(path, what, expected, got, _hint(error, expected, key))


def _description(model: type[BaseModel], path: KeyPath) -> str:
    for parent in models_at(model, path[:-1]):
        field = parent.model_fields.get(str(path[-1]))
        if field and field.description:
            return field.description
    return ""


def _hint(error: Any, expected: str, key: str | int) -> str:
    kind, value = error["type"], error["input"]
    if kind in ("literal_error", "enum") and isinstance(value, str):
        return did_you_mean(value, re.findall(r"'([^']*)'", error["ctx"]["expected"]))
    if value is None:
        return "give a value, or leave the key out where it has a default"
    if kind.startswith(("float", "int")):
        return number_hint(value, key)
    if expected.startswith("a list") and not isinstance(value, (dict, list)):
        return f"write [{value}]"
    if kind == "string_type" and isinstance(value, (int, float)):
        return f'write "{describe(value)}" in quotes'
    return ""


_EXPECTED = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "path_type": "a path",
    "none_required": "nothing",
    "finite_number": "a finite number",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text like {pattern}",
    "date_type": "a date such as 2027-01-31",
    "date_parsing": "a date such as 2027-01-31",
    "date_from_datetime_parsing": "a date such as 2027-01-31",
    "date_from_datetime_inexact": "a date such as 2027-01-31",
}


def _expected(error: Any) -> str:
    words = _EXPECTED.get(error["type"])
    if words is None:
        return str(error["msg"])
    context = {k: f"{v:g}" if isinstance(v, float) else v for k, v in error.get("ctx", {}).items()}
    return words.format(**context)
