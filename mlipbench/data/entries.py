"""YAML files of named entries (manifests, scalars), checked against a model; problems have places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from mlipbench.core.errors import DataError
from mlipbench.data.parsing import read_text

ModelT = TypeVar("ModelT", bound=BaseModel)
MAX_VALUES = 50_000
"""In one file, aliases expanded: a dozen lines of them can stand for a billion values."""


def load_mapping(path: Path, what: str) -> CommentedMap:
    """The mapping at the top of a file, with positions and comments. Raises DataError."""
    return parse_mapping(path, read_text(path), what)


def parse_mapping(path: Path, text: str, what: str) -> CommentedMap:
    """The same of the text that `path` holds."""
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}:1:1"
        raise DataError(f"{where}: YAML syntax: {' '.join(str(error.problem).split())}") from error
    except (
        YAMLError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        # The parser trips over its own feet on some malformed directives, tags and keys.
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{path}:1:1: YAML syntax: {reason}") from error
    if not isinstance(document, CommentedMap) or not document:
        raise DataError(f"{path}:1:1: not {what}")
    if not _fits(document):
        raise DataError(f"{path}:1:1: expected at most {MAX_VALUES} values, got more: aliases multiply them")
    return document


def _fits(document: Any) -> bool:
    """Whether a document has at most MAX_VALUES values. One that holds itself has not."""
    waiting, count = [document], 0
    while waiting and count <= MAX_VALUES:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list | tuple | set):
            waiting += value
    return count <= MAX_VALUES


def validate(path: Path, raw: CommentedMap, model: type[ModelT]) -> dict[str, ModelT]:
    """Name -> entry. Raises DataError with every problem, one a line."""
    problems: list[str] = []
    entries: dict[str, ModelT] = {}
    for name, content in raw.items():
        try:
            entries[str(name)] = model.model_validate_json(json.dumps(content, default=str), strict=True)
        except ValidationError as error:
            problems += [_problem(path, raw, name, item) for item in error.errors(include_url=False)]
        except (TypeError, ValueError) as error:
            problems.append(f"{place(path, raw, name)}: {name}: not a mapping of names and values: {error}")
    if problems:
        raise DataError("\n".join(" ".join(problem.splitlines()) for problem in problems))
    return entries


def place(path: Path, mapping: CommentedMap, key: Any) -> str:
    """`file:line:col` of a key; of the mapping where the key was merged into it."""
    line, col = (mapping.lc.data or {}).get(key, (mapping.lc.line, mapping.lc.col))[:2]
    return f"{path}:{line + 1}:{col + 1}"


def _problem(path: Path, raw: CommentedMap, name: Any, error: Any) -> str:
    """`file:line:col: name.field: what; got this`, at the innermost key that is in the file."""
    inner, key = raw, name
    for part in error["loc"]:
        below = inner[key]
        if not isinstance(below, CommentedMap) or part not in below:
            break
        inner, key = below, part
    what = str(error["msg"]).removeprefix("Value error, ")
    text = f"{place(path, inner, key)}: {'.'.join(map(str, [name, *error['loc']]))}: {what}"
    given = error["input"]
    if error["type"] in ("missing", "extra_forbidden") or isinstance(given, dict | list):
        return text
    return f"{text}; got {str(given)[:60]!r}" if isinstance(given, str) else f"{text}; got {given!r}"
