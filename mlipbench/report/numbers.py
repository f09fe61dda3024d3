"""Numbers and units as a reader wants them: digits that the error bar supports, and no more."""

from __future__ import annotations

import math
import re

from mlipbench.core.criterion import Criterion

_SUPERSCRIPTS = str.maketrans("0123456789-+", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺")
_MINUS = "−"
# Two digits of the error where rounding to one would move it by more than a seventh
# (the rule of the Particle Data Group): 0.123 -> 0.12, 0.456 -> 0.5.
_TWO_DIGITS_BELOW = 3.55


def superscript(exponent: int) -> str:
    """`-4` -> `⁻⁴`."""
    return str(exponent).translate(_SUPERSCRIPTS)


def pretty_unit(unit: str) -> str:
    """`eV/A^3` -> `eV/Å³`; a pure number ("1") has no unit to print."""
    return "" if unit in ("", "1") else pretty_text(unit if unit != "A" else "Å")


def pretty_text(text: str) -> str:
    """Units and powers inside a sentence in print: `1.2e-09 eV/A^3` -> `1.2 × 10⁻⁹ eV/Å³`."""
    text = re.sub(r"(?<=[/(])A(?![A-Za-z])", "Å", text)
    text = re.sub(r"(?<=\d )A(?![A-Za-z])", "Å", text)
    text = re.sub(r"(?<=\()A(?=\))", "Å", text)
    text = re.sub(r"(?<=[A-Za-zÅ])\^(-?\d)", lambda match: match[1].translate(_SUPERSCRIPTS), text)
    text = re.sub(r"(?<![\w.])(-?\d+(?:\.\d+)?)e([+-]\d{1,3})\b", _power, text)
    return re.sub(r"(?<= [<>]) (?=[\d.])", "\N{NO-BREAK SPACE}", text).replace("limit == ", "limit exactly ")


def _power(match: re.Match[str]) -> str:
    return f"{match[1].replace('-', _MINUS)} × 10{superscript(int(match[2]))}"


def plain_number(value: float | None, digits: int = 4) -> str:
    """A number without an error bar, to `digits` significant digits."""
    if value is None:
        return "not measured"
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value)).replace("-", _MINUS)
    exponent = math.floor(math.log10(abs(value)))
    if -4 <= exponent < 6:
        decimals = max(digits - 1 - exponent, 0)
        text = f"{value:.{decimals}f}"
        return (text.rstrip("0").rstrip(".") if decimals else text).replace("-", _MINUS)
    mantissa = f"{value / 10.0**exponent:.{digits - 1}f}".rstrip("0").rstrip(".")
    return f"{mantissa} × 10{superscript(exponent)}".replace("-", _MINUS)


def with_error(value: float | None, stderr: float | None, *, exact: bool = False) -> str:
    """`12.34 ± 0.12`, rounded where the error bar ends; `(1.2 ± 0.4) × 10⁻⁵` for small numbers.

    An exact number is printed alone, one of unknown error with the words "no error bar".
    """
    if value is None or not math.isfinite(value):
        return plain_number(value)
    if exact:
        return plain_number(value)
    if stderr is None or not math.isfinite(stderr):
        return f"{plain_number(value)} (no error bar)"
    if stderr == 0:
        return f"{plain_number(value)} ± 0"
    exponent = math.floor(math.log10(max(abs(value), stderr)))
    scale = 0 if -3 <= exponent < 5 else exponent
    shown, error = value / 10.0**scale, stderr / 10.0**scale
    place = math.floor(math.log10(error))
    decimals = (1 if error / 10.0**place < _TWO_DIGITS_BELOW else 0) - place
    text = f"{_rounded(shown, decimals)} ± {_rounded(error, decimals)}"
    return f"({text}) × 10{superscript(scale)}" if scale else text


def _rounded(value: float, decimals: int) -> str:
    return f"{round(value, decimals) + 0.0:.{max(decimals, 0)}f}".replace("-", _MINUS)  # no -0


def quantity(value: float | None, stderr: float | None, unit: str, *, exact: bool = False) -> str:
    """Number, error bar and unit in one line of text."""
    text, printed = with_error(value, stderr, exact=exact), pretty_unit(unit)
    if not printed or value is None:
        return text
    if text.endswith(" (no error bar)"):
        return f"{text.removesuffix(' (no error bar)')} {printed} (no error bar)"
    return f"{text} {printed}"


def samples(n_eff: float | None, *, exact: bool) -> str:
    """Effective number of samples for a table cell."""
    if exact:
        return "exact"
    if n_eff is None:
        return "unknown"
    return f"{n_eff:.0f}" if n_eff >= 100 else plain_number(n_eff, 2)


def limit_text(criterion: Criterion, limit: float | None = None) -> str:
    """The limit as an inequality: `< 50 meV/Å`, `|x| < 1 meV/atom/ps`, `exactly 0`."""
    number = plain_number(criterion.limit if limit is None else limit)
    unit = pretty_unit(criterion.unit)
    text = f"{number} {unit}".strip()
    words = {"<": "< ", ">": "> ", "abs<": "|x| < ", "==": "exactly "}
    return words[criterion.compare] + text


_ACRONYMS = {
    "mae": "MAE", "rmse": "RMSE", "r2": "R²", "nve": "NVE", "nvt": "NVT", "npt": "NPT", "md": "MD",
    "rdf": "RDF", "dft": "DFT", "p95": "P95", "p99": "P99", "com": "centre-of-mass", "eos": "EOS",
}  # fmt: skip


def humanise(name: str) -> str:
    """An identifier as words: `force_mae` -> `force MAE`."""
    return " ".join(_ACRONYMS.get(word, word) for word in name.split("_") if word)


def sentence_case(text: str) -> str:
    """First letter upper case, the rest untouched."""
    return text[:1].upper() + text[1:]


def condition_text(conditions: dict[str, float | str]) -> str:
    """What sets a measurement apart: `300 K`, `species Si`."""
    parts = []
    for name, value in conditions.items():
        text = f"{value:g}" if isinstance(value, (int, float)) else str(value)
        if name == "temperature_K":
            parts.append(f"{text} K")
        elif name == "pressure_bar":
            parts.append(f"{text} bar")
        else:
            parts.append(f"{humanise(name)} {text}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Wall time in words: `2 min 14 s`, `0.8 s`."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
