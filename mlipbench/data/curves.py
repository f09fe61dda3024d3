"""Reference curves: CSV with a header of `# key: value` lines.

    # abscissa_unit: A
    # value_unit: 1
    # level_of_theory: PBE0+TS
    # temperature_K: 330
    # source: who computed or measured it
    r,g_OO,error
    2.00,0.000,0.001
    2.05,0.003,0.001

The column line names abscissa and value; the third column, one standard error, is optional. The
abscissa rises or falls strictly. `pandas.read_csv(file, comment="#")` reads the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlipbench.core.errors import DataError
from mlipbench.core.reference import Curve
from mlipbench.core.units import check_unit
from mlipbench.data.parsing import read_text

REQUIRED = ("abscissa_unit", "value_unit", "level_of_theory", "source")
NUMBERS = ("temperature_K", "pressure_bar")
KEYS = (*REQUIRED, *NUMBERS, "note")
MOST_PROBLEMS = 10  # shown of one file
LEAST_POINTS = 2


@dataclass
class _Reading:
    """What has been read so far, and what is wrong with it."""

    path: Path
    header: dict[str, str] = field(default_factory=dict)
    mentioned: set[str] = field(default_factory=set)  # header keys, also those whose value is wrong
    columns: list[str] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)
    last_line: int = 1
    problems: list[str] = field(default_factory=list)

    def problem(self, line: int, col: int, text: str) -> None:
        self.problems.append(f"{self.path}:{line}:{col}: {text}")


def read_curve(path: Path) -> Curve:
    """The curve of a file. Raises DataError with what is wrong, line by line."""
    reading = _Reading(path)
    for number, line in enumerate(read_text(path).removeprefix("\ufeff").splitlines(), start=1):
        if not line.strip():
            continue
        reading.last_line = number
        if line.lstrip().startswith("#"):
            _header_line(reading, number, line)
        elif not reading.columns:
            _column_line(reading, number, line)
        else:
            _row(reading, number, line)
    _check_whole(reading)
    if reading.problems:
        shown, more = reading.problems[:MOST_PROBLEMS], len(reading.problems) - MOST_PROBLEMS
        raise DataError("\n".join(shown) + (f"\n{path}: and {more} more problems" if more > 0 else ""))
    header, table = reading.header, np.array(reading.rows, dtype=np.float64)
    return Curve(
        abscissa_name=reading.columns[0],
        abscissa=table[:, 0],
        abscissa_unit=header["abscissa_unit"],
        value_name=reading.columns[1],
        value=table[:, 1],
        value_unit=header["value_unit"],
        error=table[:, 2] if len(reading.columns) == 3 else None,
        level_of_theory=header["level_of_theory"],
        source=header["source"],
        temperature_K=float(header["temperature_K"]) if "temperature_K" in header else None,
        pressure_bar=float(header["pressure_bar"]) if "pressure_bar" in header else None,
    )


def _header_line(reading: _Reading, number: int, line: str) -> None:
    col = len(line) - len(line.lstrip()) + 1
    key, colon, value = (part.strip() for part in line.lstrip().removeprefix("#").partition(":"))
    reading.mentioned.add(key)
    if not colon:
        reading.problem(number, col, f"expected `# key: value`, got {line.strip()[:60]!r}")
    elif key not in KEYS:
        reading.problem(number, col, f"unknown key {key!r} (expected one of {', '.join(KEYS)})")
    elif reading.columns:
        reading.problem(number, col, f"{key} below the columns: the header comes first")
    elif key in reading.header and key != "note":
        reading.problem(number, col, f"{key} is given twice")
    elif not value:
        reading.problem(number, col, f"{key} has no value")
    else:
        reading.header[key] = value
        _header_value(reading, number, line.index(value, line.index(":")) + 1, key, value)


def _header_value(reading: _Reading, number: int, col: int, key: str, value: str) -> None:
    if key.endswith("_unit"):
        try:
            check_unit(value)
        except DataError as error:
            reading.problem(number, col, f"{key}: {error}")
    if key in NUMBERS:
        parsed = _number(value)
        if parsed is None or (key == "temperature_K" and parsed < 0):
            what = "a temperature in K, at least 0" if key == "temperature_K" else "a number in bar"
            reading.problem(number, col, f"{key}: expected {what}, got {value[:60]!r}")


def _column_line(reading: _Reading, number: int, line: str) -> None:
    names = [name.strip() for name in line.split(",")]
    reading.columns = names
    if all(_number(name) is not None for name in names):
        reading.columns = ["?", "?", "error"][: max(len(names), 2)]
        reading.problem(
            number, 1, f"expected the names of the columns (r,g,error) before the numbers, got {line[:60]!r}"
        )
    elif not 2 <= len(names) <= 3 or not all(names):
        reading.problem(number, 1, f"expected abscissa,value or abscissa,value,error, got {line[:60]!r}")
    elif len(names) == 3 and names[2] != "error":
        reading.problem(number, 1, f"the third column is called error, got {names[2]!r}")
    elif len(set(names)) < len(names):
        reading.problem(number, 1, f"two columns of one name: {line[:60]!r}")


def _row(reading: _Reading, number: int, line: str) -> None:
    cells = line.split(",")
    if len(cells) != len(reading.columns):
        hint = "; columns are separated by commas" if len(cells) == 1 else ""
        reading.problem(
            number, 1, f"expected {len(reading.columns)} numbers, got {len(cells)}: {line[:60]!r}{hint}"
        )
        return
    row, col = [], 1
    for name, cell in zip(reading.columns, cells, strict=True):
        parsed = _number(cell)
        if parsed is None:
            reading.problem(number, col, f"{name}: expected a finite number, got {cell.strip()[:60]!r}")
            return
        row.append(parsed)
        col += len(cell) + 1
    if len(row) == 3 and row[2] < 0:
        reading.problem(number, len(line) - len(cells[2]) + 1, f"error: expected at least 0, got {row[2]:g}")
    _check_order(reading, number, row[0])
    reading.rows.append(row)


def _check_order(reading: _Reading, number: int, abscissa: float) -> None:
    """The direction is that of the first two rows."""
    if not reading.rows:
        return
    step = abscissa - reading.rows[-1][0]
    direction = reading.rows[1][0] - reading.rows[0][0] if len(reading.rows) > 1 else step
    if step * direction <= 0:
        expected = "another than" if direction == 0 or step == 0 else "above" if direction > 0 else "below"
        what = f"expected {expected} {reading.rows[-1][0]:g}, got {abscissa:g}"
        reading.problem(number, 1, f"{reading.columns[0]} is not strictly monotonic: {what}")


def _check_whole(reading: _Reading) -> None:
    for key in REQUIRED:
        if key not in reading.mentioned:
            reading.problem(1, 1, f"no `# {key}: ...` in the header")
    if not reading.columns:
        reading.problem(reading.last_line, 1, "no columns (expected a line such as r,g,error)")
    elif len(reading.rows) < LEAST_POINTS and not reading.problems:
        reading.problem(
            reading.last_line, 1, f"expected at least {LEAST_POINTS} points, got {len(reading.rows)}"
        )


def _number(text: str) -> float | None:
    """A finite number, or None. No underscores: Python would read 1_0 as ten."""
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
