"""Facts about a run as rows of term and text: use, provenance, timings, and what must be said loudly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlipbench.core.result import JudgedMeasurement, Results
from mlipbench.report import numbers


@dataclass(frozen=True)
class Row:
    """A term and what is said of it."""

    term: str
    text: str


def use_rows(results: Results) -> list[Row]:
    """The intended use as declared."""
    use = results.intended_use
    rows = [
        Row("Temperature", f"{use.temperature_K:g} K"),
        Row("Elements", ", ".join(use.elements) or "not declared"),
        Row("Phases", ", ".join(use.phases) or "not declared"),
    ]
    if use.pressure_bar is not None:
        rows.append(Row("Pressure", f"{use.pressure_bar:g} bar"))
    return [*rows, Row("Electrostatics", "matter" if use.electrostatics else "do not matter")]


def notices(results: Results, suites_without_result: list[str]) -> list[Row]:
    """What weakens the verdict whatever its colour; printed on the first screen."""
    rows = []
    if not results.potential.verified:
        rows.append(
            Row(
                "Unverified potential",
                "part of what decides its answers could not be hashed, so the same name may give other "
                "numbers elsewhere. What is known of it is listed under “What was judged”.",
            )
        )
    unverified = [r.name for r in results.references if not r.verified]
    if unverified:
        rows.append(
            Row("Unverified reference", f"{', '.join(unverified)}: drawn, but no required verdict uses it.")
        )
    loosened = [
        m.id for suite in results.suites.values() for m in suite.measurements if limit_change(m) == "loosened"
    ]
    if loosened:
        rows.append(
            Row("Loosened limits", "the suite file made these easier to meet: " + ", ".join(loosened))
        )
    if suites_without_result:
        rows.append(
            Row(
                "Missing parts",
                f"figures and tables of {', '.join(suites_without_result)} are not in the folder",
            )
        )
    return rows


def limit_change(m: JudgedMeasurement) -> str:
    """ "loosened" or "tightened" where the suite file changed the suite's own limit, else ""."""
    c = m.criterion
    if c is None or m.default_limit is None or m.default_limit == c.limit:
        return ""
    if c.compare == "==":
        return "loosened"  # another exact count: not what the suite asks for
    looser = m.default_limit > c.limit if c.compare == ">" else m.default_limit < c.limit
    return "loosened" if looser else "tightened"


def rows_of(content: dict[str, Any], prefix: str = "") -> list[Row]:
    """A nested mapping as flat rows: `versions.numpy`."""
    rows: list[Row] = []
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            rows += rows_of(value, f"{name}.")
        elif value is None:
            continue
        else:
            rows.append(Row(name, _plain(value)))
    return rows


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(v) for v in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items()) or "none"
    return str(value) or "–"


def timing_rows(timings: dict[str, Any], prefix: str = "") -> list[Row]:
    """Wall time per suite, seconds in words."""
    rows: list[Row] = []
    for key, value in timings.items():
        if isinstance(value, dict):
            rows += timing_rows(value, f"{prefix}{key}.")
        else:
            known = isinstance(value, (int, float)) and not isinstance(value, bool)
            rows.append(Row(f"{prefix}{key}", numbers.duration(value) if known else _plain(value)))
    return rows
