"""A YAML 1.2 file as plain data that remembers where everything stands.

Read strictly: duplicated keys, numbers that are not finite, tags, merge keys and values that only
another YAML version would understand are problems, never guesses.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from mlipbench.config.problems import KeyPath, Problem, describe
from mlipbench.core.errors import PlanError

MAX_BYTES = 200_000  # a suite file is a page or two
MAX_NODES = 50_000  # values after aliases are expanded
MAX_DEPTH = 40
_TAG = "tag:yaml.org,2002:"
_NOT_PRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

Place = tuple[int, int]  # line, column, both from 1


@dataclass(frozen=True)
class Source:
    """Plain data (dict, list, str, int, float, bool, None; all keys str) with places.

    `problems` are those which left the data readable: the rest of the file can still be checked.
    """

    file: str
    data: dict[str, Any]
    problems: tuple[Problem, ...] = ()
    keys: Mapping[KeyPath, Place] = field(default_factory=dict)
    values: Mapping[KeyPath, Place] = field(default_factory=dict)

    def where(self, path: KeyPath, key: bool = False) -> Place:
        """Line and column of a value (of its key, where `key` or where the value is a block).

        A path that leads nowhere has the place of the nearest part of it that exists.
        """
        while path and path not in self.values:
            path, key = path[:-1], True
        found = self.keys.get(path) if key else None
        return found or self.values.get(path, (1, 1))

    def problem(
        self, path: KeyPath, what: str, expected: str = "", got: str = "", hint: str = "", key: bool = False
    ) -> Problem:
        """A problem at the place of `path`."""
        return Problem(self.file, *self.where(path, key), path, what, expected, got, hint)


def load_source(path: Path) -> Source:
    """Read a file. Raises PlanError with one line where it cannot be read as a mapping."""
    name = str(path)
    text = _read(path)
    node = _compose(name, text)
    if node is None:
        raise _error(name, (1, 1), "the file is empty", "a mapping of keys and values")
    if not isinstance(node, MappingNode):
        got = "a list" if isinstance(node, SequenceNode) else "a single value"
        raise _error(name, _place(node), "not a suite file", "a mapping of keys and values", got)
    reader = _Reader(name)
    data = reader.build(node, (), ())
    return Source(name, data, tuple(reader.problems), reader.keys, reader.values)


def _error(
    file: str, place: Place, what: str, expected: str = "", got: str = "", hint: str = ""
) -> PlanError:
    return PlanError([str(Problem(file, *place, (), what, expected, got, hint))])


def _read(path: Path) -> str:
    name = str(path)
    try:
        size = path.stat().st_size
        raw = path.read_bytes() if size <= MAX_BYTES else b""
    except FileNotFoundError as error:
        raise _error(name, (1, 1), "no such file") from error
    except IsADirectoryError as error:
        raise _error(name, (1, 1), "this is a folder", "a YAML file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _error(name, (1, 1), f"the file cannot be read: {reason}") from error
    if size > MAX_BYTES:
        raise _error(name, (1, 1), "the file is too large", f"at most {MAX_BYTES} bytes", str(size))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        byte = f"byte 0x{raw[error.start]:02x}"
        raise _error(
            name, _position(before), "not UTF-8 text", "UTF-8", byte, "save the file as UTF-8"
        ) from error
    bad = _NOT_PRINTABLE.search(text)
    if bad:
        got = f"character U+{ord(bad.group()):04X}"
        raise _error(name, _position(text[: bad.start()]), "not a text file", "printable text", got)
    version = re.search(r"^%YAML[ \t]+(?!1\.2\b)(\S+)", text, re.MULTILINE)
    if version:
        place = _position(text[: version.start()])
        raise _error(name, place, "another YAML version", "1.2", version.group(1), "remove the line")
    return text


def _position(before: str) -> Place:
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _compose(name: str, text: str) -> Node | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ReusedAnchorWarning)
            node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except ReusedAnchorWarning as error:
        *_, (line, col) = re.findall(r"line (\d+), column (\d+)", str(error)) or [("1", "1")]
        place = (int(line), int(col))
        raise _error(name, place, "an anchor of that name exists already", hint="rename it") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _error(name, place, *_syntax(error, text)) from error
    except ReaderError as error:
        place = _position(text[: error.position])
        raise _error(
            name, place, "not a text file", "printable text", f"character U+{error.character:04X}"
        ) from error
    except RecursionError as error:
        raise _error(name, _too_deep(text), "nested too deeply", f"at most {MAX_DEPTH} levels") from error
    except (YAMLError, ValueError, IndexError, AttributeError, TypeError) as error:
        # The parser trips over its own feet on some malformed directives and tags.
        raise _error(name, (1, 1), f"YAML syntax: {error}") from error
    return node


def _syntax(error: MarkedYAMLError, text: str) -> tuple[str, str, str, str]:
    """(what, expected, got, hint) of a syntax error."""
    problem = " ".join(str(error.problem or error.context).split())
    hint = ""
    mark = error.problem_mark
    if "\\t" in problem:
        return "YAML syntax: a tab", "spaces", "a tab", "indent with spaces"
    if "single document" in str(error.context):
        return "YAML syntax: a second document", "one document", "a line ---", "split the file"
    if "mapping values are not allowed" in problem:
        hint = 'check the indentation, and put text that holds ": " in quotes'
    elif "found undefined alias" in problem:
        hint = "put text that starts with * in quotes"
    elif error.context and error.context_mark and mark and error.context_mark.line != mark.line:
        hint = f"{' '.join(str(error.context).split())} that starts in line {error.context_mark.line + 1}"
    elif "could not find expected ':'" in problem:
        hint = "write key: value"
    return f"YAML syntax: {problem}", "", "", hint


def _too_deep(text: str) -> Place:
    """Where nesting passes MAX_DEPTH; events come one by one, without recursion."""
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        kind = type(event).__name__
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        if depth > MAX_DEPTH + 3:  # stream, document and the mapping at the top count too
            return event.start_mark.line + 1, event.start_mark.column + 1
    return 1, 1


def _place(node: Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _tag(node: Node) -> str:
    return str(node.tag).removeprefix(_TAG)


def _text(node: ScalarNode) -> str:
    """The text of a scalar; a character that JSON would escape as two surrogates is one again."""
    text = str(node.value)
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return text  # a lone surrogate: reported where it stands


class _Reader:
    """Turns nodes into data, noting places and problems."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.keys: dict[KeyPath, Place] = {}
        self.values: dict[KeyPath, Place] = {}

    def build(self, node: Node, path: KeyPath, above: tuple[int, ...]) -> Any:
        """The value of a node; `above` are the nodes that hold it."""
        if id(node) in above:
            raise _error(self.file, _place(node), "an alias that holds itself")
        if len(above) > MAX_DEPTH:
            raise _error(self.file, _place(node), "nested too deeply", f"at most {MAX_DEPTH} levels")
        if len(self.values) >= MAX_NODES:
            hint = "aliases multiply what they stand for"
            raise _error(self.file, _place(node), "too many values", f"at most {MAX_NODES}", hint=hint)
        self.values[path] = self._place_of(node, path)
        if isinstance(node, MappingNode):
            return self._mapping(node, path, (*above, id(node)))
        if isinstance(node, SequenceNode):
            self._check_tag(node, path, "seq")
            return [
                self.build(item, (*path, index), (*above, id(node))) for index, item in enumerate(node.value)
            ]
        return self._scalar(node, path) if isinstance(node, ScalarNode) else None

    def _place_of(self, node: Node, path: KeyPath) -> Place:
        """A block starts on the line after its key, an empty value nowhere: there the key counts."""
        nowhere = node.value == "" if isinstance(node, ScalarNode) else not getattr(node, "flow_style", False)
        return self.keys.get(path, _place(node)) if nowhere else _place(node)

    def _mapping(self, node: MappingNode, path: KeyPath, above: tuple[int, ...]) -> dict[str, Any]:
        self._check_tag(node, path, "map")
        data: dict[str, Any] = {}
        first: dict[str, Place] = {}
        for key_node, value_node in node.value:
            place = _place(key_node)
            if _tag(key_node) == "merge":
                hint = "write the keys out, or use an alias for the whole mapping"
                self._note(place, (*path, "<<"), "merge keys are not YAML 1.2", hint=hint)
                continue
            if not isinstance(key_node, ScalarNode) or key_node.value == "":
                got = "nothing" if isinstance(key_node, ScalarNode) else "a list or mapping"
                self._note(place, path, "not a key", "a name", got)
                continue
            key = _text(key_node)
            if _NOT_PRINTABLE.search(key):
                self._note(place, path, "a key with control characters", "printable text")
                continue
            if key in first:
                line, col = first[key]
                what = f"duplicated key, first given at {line}:{col}"
                self._note(place, (*path, key), what, hint="remove one of the two")
                continue
            first[key] = place
            self.keys[(*path, key)] = place
            data[key] = self.build(value_node, (*path, key), above)
        return data

    def _scalar(self, node: ScalarNode, path: KeyPath) -> str | int | float | bool | None:
        kind = _tag(node)
        text = _text(node)
        if kind == "null":
            return None
        if kind == "bool":
            return bool(text.casefold() == "true")
        if kind in ("int", "float"):
            number = _number(text, kind)
            if number is None:
                self._note(_place(node), path, "not a number", "a number", describe(text))
            elif not math.isfinite(number) or (abs(number) >= 2**63 and isinstance(number, int)):
                self._note(_place(node), path, "not a usable number", "a finite number", text[:60])
                return None
            return number
        self._check_tag(node, path, "str", "timestamp", "value")
        if _NOT_PRINTABLE.search(text):
            self._note(_place(node), path, "text with control characters", "printable text")
            return None
        return text

    def _check_tag(self, node: Node, path: KeyPath, *allowed: str) -> None:
        if _tag(node) not in allowed:
            got = str(node.tag).replace(_TAG, "!!")
            self._note(_place(node), path, "tags have no meaning here", "plain YAML", got, "remove it")

    def _note(
        self, place: Place, path: KeyPath, what: str, expected: str = "", got: str = "", hint: str = ""
    ) -> None:
        self.problems.append(Problem(self.file, *place, path, what, expected, got, hint))


def _number(text: str, kind: str) -> int | float | None:
    plain = text.replace("_", "").casefold()
    try:
        if kind == "float":
            return float(re.sub(r"\.(inf|nan)$", r"\1", plain))
        if len(plain) > 400:
            return math.inf
        base = {"0x": 16, "0o": 8, "0b": 2}.get(plain.lstrip("+-")[:2], 10)
        return int(plain, base)
    except (ValueError, OverflowError):
        return None
