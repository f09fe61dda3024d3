"""Formatting of numbers, error bars, units and limits. Oracle: written out by hand."""

from __future__ import annotations

import math

import pytest

from mlipbench.core.criterion import Criterion
from mlipbench.report import numbers


@pytest.mark.parametrize(
    ("value", "stderr", "expected"),
    [
        (12.3456, 0.123, "12.35 ± 0.12"),
        (12.3456, 0.456, "12.3 ± 0.5"),
        (12.3456, 0.0999, "12.35 ± 0.10"),
        (-0.004, 0.011, "−0.004 ± 0.011"),
        (4.2e-4, 2e-5, "(4.20 ± 0.20) × 10⁻⁴"),
        (-3.1e-7, 5e-7, "(−3 ± 5) × 10⁻⁷"),
        (123456.0, 789.0, "(1.235 ± 0.008) × 10⁵"),
        (12345.0, 234.0, "12340 ± 230"),
        (0.0, 0.02, "0.000 ± 0.020"),
        (3.0, 0.0, "3 ± 0"),
        (3.14159, None, "3.142 (no error bar)"),
        (None, 0.1, "not measured"),
        (math.inf, 0.1, "∞"),
        (math.nan, 0.1, "not a number"),
    ],
)
def test_with_error(value: float | None, stderr: float | None, expected: str) -> None:
    assert numbers.with_error(value, stderr) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"), (-2.0, "−2"), (0.999, "0.999"), (1234.567, "1235"), (2.31e-8, "2.31 × 10⁻⁸"),
        (99999.9, "100000"), (1.5e9, "1.5 × 10⁹"), (-107331.42, "−107331"), (0.00012345, "0.0001234"),
    ],
)  # fmt: skip
def test_plain_number(value: float, expected: str) -> None:
    assert numbers.plain_number(value) == expected


def test_rounded_numbers_stay_within_the_error_bar() -> None:
    """Rounding moves a number by less than half of its error: two digits where one would be too coarse."""
    for exponent in range(-9, 9):
        for mantissa in (1.04, 1.49, 2.2, 3.5, 3.6, 6.4, 9.6):
            stderr = mantissa * 10.0**exponent
            value = 17.77777 * stderr
            text = numbers.with_error(value, stderr)
            power = 1.0
            if "×" in text:
                body, tail = text.split(" × 10")
                digits = tail.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-"))
                power, text = 10.0 ** int(digits), body.strip("()")
            shown, error = (float(part) * power for part in text.split(" ± "))
            assert abs(shown - value) <= 0.15 * stderr
            assert abs(error - stderr) <= 0.15 * stderr


def test_quantity_has_its_unit() -> None:
    assert numbers.quantity(34.2, 0.83, "meV/A") == "34.2 ± 0.8 meV/Å"
    assert numbers.quantity(0.9994, 1e-4, "1") == "0.99940 ± 0.00010"
    assert numbers.quantity(3.0, None, "A") == "3 Å (no error bar)"
    assert numbers.quantity(0.0, 0.0, "1", exact=True) == "0"
    assert numbers.quantity(None, None, "meV/A") == "not measured"


def test_units_in_sentences() -> None:
    text = "bound 2.31e-08 eV/A^3 at 3 A, limit < 0.5 A; A potential of silicon.extxyz#41 from 1/ps^2"
    assert numbers.pretty_text(text) == (
        "bound 2.31 × 10⁻⁸ eV/Å³ at 3 Å, limit <\N{NO-BREAK SPACE}0.5 Å; "
        "A potential of silicon.extxyz#41 from 1/ps²"
    )
    assert numbers.pretty_text("key 3e-05a1b2, version 1.2e-3x") == "key 3e-05a1b2, version 1.2e-3x"


def test_limits_in_words() -> None:
    c = Criterion(name="drift", compare="abs<", limit=1.0, unit="meV/atom/ps", source="x")
    assert numbers.limit_text(c) == "|x| < 1 meV/atom/ps"
    assert numbers.limit_text(c, 0.1) == "|x| < 0.1 meV/atom/ps"
    assert numbers.limit_text(c.model_copy(update={"compare": "==", "unit": "1"})) == "exactly 1"


def test_names_and_times() -> None:
    assert numbers.humanise("force_mae") == "force MAE"
    assert numbers.condition_text({"temperature_K": 300.0, "species": "Si"}) == "300 K, species Si"
    assert [numbers.duration(s) for s in (0.123, 59.6, 134, 7322)] == [
        "0.12 s",
        "1 min 00 s",
        "2 min 14 s",
        "2 h 02 min",
    ]
