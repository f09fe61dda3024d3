"""What is wrong in a user's file: one problem, one line, with its place and what to do.

suite.yaml:12:5: suites.nve.timestep_ps: unknown key (expected one of ...); the unit is fixed ...
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from mlipbench.core.units import BOHR, HARTREE

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where. Lines and columns count from 1."""

    file: str
    line: int
    col: int
    path: KeyPath
    what: str
    expected: str = ""
    got: str = ""
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.col}: "
        if self.path:
            text += f"{dotted(self.path)}: "
        text += self.what
        sides = [f"expected {self.expected}"] if self.expected else []
        sides += [f"got {self.got}"] if self.got else []
        if sides:
            text += f" ({', '.join(sides)})"
        text += f"; {self.hint}" if self.hint else ""
        return " ".join(text.splitlines())  # one line, whatever the file holds


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Sorted by place; of two problems of the same key at the same place the first found stays."""
    seen: dict[tuple[int, int, KeyPath], Problem] = {}
    for problem in problems:
        seen.setdefault((problem.line, problem.col, problem.path), problem)
    return [seen[key] for key in sorted(seen, key=lambda key: key[:2])]


def dotted(path: KeyPath) -> str:
    """`suites.nve.temperatures_K[1]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def describe(value: Any) -> str:
    """A value as a reader of the file knows it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}..."'
    return repr(value)


def one_of(names: Collection[str], most: int = 12) -> str:
    """`one of a, b, c`, for `expected`."""
    shown = sorted(names)
    if not shown:
        return "none: there are none"
    more = f", ... ({len(shown)} in all)" if len(shown) > most else ""
    return ("one of " if len(shown) > 1 else "") + ", ".join(shown[:most]) + more


def closest(name: str, names: Collection[str]) -> str | None:
    """The known name that was probably meant, case left aside."""
    folded = {known.casefold(): known for known in sorted(names, reverse=True)}
    found = difflib.get_close_matches(name.casefold()[:100], folded, n=1, cutoff=0.65)
    return folded[found[0]] if found else None


def did_you_mean(name: str, names: Collection[str]) -> str:
    """A hint, or nothing where no known name is near."""
    near = closest(name, names)
    return f"did you mean {near}?" if near else ""


# Dimension -> suffix -> (factor, offset) to the first unit of the dimension.
_DIMENSIONS: dict[str, dict[str, tuple[float, float]]] = {
    "time": {
        "fs": (1.0, 0.0),
        "as": (1e-3, 0.0),
        "ps": (1e3, 0.0),
        "ns": (1e6, 0.0),
        "us": (1e9, 0.0),
        "ms": (1e12, 0.0),
        "s": (1e15, 0.0),
    },
    "length": {
        "A": (1.0, 0.0),
        "angstrom": (1.0, 0.0),
        "pm": (0.01, 0.0),
        "nm": (10.0, 0.0),
        "bohr": (BOHR, 0.0),
    },
    "energy": {"eV": (1.0, 0.0), "meV": (1e-3, 0.0), "Ry": (HARTREE / 2, 0.0), "Ha": (HARTREE, 0.0)},
    "temperature": {"K": (1.0, 0.0), "C": (1.0, 273.15), "degC": (1.0, 273.15)},
    "pressure": {
        "bar": (1.0, 0.0),
        "Pa": (1e-5, 0.0),
        "kPa": (1e-2, 0.0),
        "MPa": (10.0, 0.0),
        "GPa": (1e4, 0.0),
        "kbar": (1e3, 0.0),
        "atm": (1.01325, 0.0),
    },
    "memory": {
        "GB": (1.0, 0.0),
        "MB": (1e-3, 0.0),
        "TB": (1e3, 0.0),
        "GiB": (1.073741824, 0.0),
        "MiB": (1.048576e-3, 0.0),
    },
}
_UNITS = {
    suffix: (dimension, *scale) for dimension, units in _DIMENSIONS.items() for suffix, scale in units.items()
}


def meant_in_another_unit(key: str, fields: Collection[str]) -> str | None:
    """The field that `key` names with another unit: timestep_ps -> timestep_fs."""
    stem, _, suffix = key.rpartition("_")
    if not stem or suffix not in _UNITS:
        return None
    for field in sorted(fields):
        field_stem, _, field_suffix = field.rpartition("_")
        same = field_stem.casefold() == stem.casefold() and field_suffix in _UNITS
        if same and field_suffix != suffix and _UNITS[field_suffix][0] == _UNITS[suffix][0]:
            return field
    return None


def unit_hint(key: str, field: str, value: Any) -> str:
    """What to write instead of `key: value`, converted where the value is a number."""
    source, target = key.rpartition("_")[2], field.rpartition("_")[2]
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        return f"the unit is fixed: write {field} with its value in {target}"
    (_, factor, offset), (_, own_factor, own_offset) = _UNITS[source], _UNITS[target]
    converted = [f"{(v * factor + offset - own_offset) / own_factor:.10g}" for v in values]
    text = f"[{', '.join(converted)}]" if isinstance(value, list) else converted[0]
    return f"the unit is fixed: write {field}: {text}"


_NUMBER_AND_UNIT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s].*)?$")


def number_hint(value: Any, key: str | int) -> str:
    """Help for text where a number is expected: "300 K", "300", "1e-3"."""
    if isinstance(value, list):
        return "write one number, not a list"
    found = _NUMBER_AND_UNIT.match(value) if isinstance(value, str) else None
    if found is None:
        return ""
    number, unit = found.groups()
    if unit is None:
        return f"write {number} without quotes"
    named = str(key).rpartition("_")[2] in _UNITS
    return f"write {number} alone" + (", the unit is in the name of the key" if named else "")
