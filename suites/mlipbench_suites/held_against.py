"""Reference curves and numbers as `produce` leaves them for `measure`, and whether they decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlipbench.api import Context, Curve, CurveRef, Data, Measurement, Scalar, blocks

SAME_TEMPERATURE = 0.01  # relative


@dataclass(frozen=True)
class Held:
    """A reference curve, rising; `remark` says why it decides nothing ("" where it does)."""

    name: str  # what it is a curve of: O-H, total
    x: np.ndarray  # (n,)
    y: np.ndarray  # (n,)
    error: np.ndarray | None  # (n,) one standard error; None: not stated
    said: str  # level of theory, temperature, source in words
    remark: str

    @property
    def decides(self) -> bool:
        """Whether verdicts rest on it."""
        return not self.remark


def save(
    context: Context,
    references: Mapping[str, CurveRef],
    drawn: Mapping[str, Sequence[CurveRef]],
    temperature_K: float,
    level_of_theory: str,
) -> None:
    """Keep all curves: those that may decide, and those that are only drawn."""
    names, remarks, said = [], [], []
    for name, ref in [*references.items(), *((n, ref) for n, refs in drawn.items() for ref in refs)]:
        curve = context.curve(ref)
        order = np.argsort(curve.abscissa)
        error = np.full(len(curve), np.nan) if curve.error is None else curve.error
        context.save(
            f"curve.{len(names)}", np.stack([curve.abscissa[order], curve.value[order], error[order]])
        )
        names.append(name)
        said.append(_words(curve))
        why = mismatch(curve, temperature_K, level_of_theory)
        remarks.append(why if ref.decides else "it is named to be drawn")
    context.save("curves", np.array([names, said, remarks], dtype=str).reshape(3, len(names)))


def load(data: Data) -> list[Held]:
    """What `save` has kept."""
    held = []
    for k, (name, said, remark) in enumerate(data.array("curves").T):
        x, y, error = data.array(f"curve.{k}")
        held.append(Held(str(name), x, y, None if np.isnan(error).all() else error, str(said), str(remark)))
    return held


def mismatch(reference: Curve | Scalar, temperature_K: float, level_of_theory: str) -> str:
    """Why a reference is not held against a run at this temperature; "" where it is."""
    theirs = reference.temperature_K
    if theirs is None:
        return "it does not state its temperature"
    if abs(theirs - temperature_K) > SAME_TEMPERATURE * temperature_K:
        return f"it is at {theirs:g} K, the run at {temperature_K:g} K"
    if not level_of_theory:
        return "level_of_theory does not say what the potential was trained to reproduce"
    if _plain(reference.level_of_theory) != _plain(level_of_theory):
        return f"its level of theory is {reference.level_of_theory}, the potential's {level_of_theory}"
    return ""


def remarks(held: Sequence[Held]) -> list[str]:
    """For the reader: what was drawn and decided nothing, and why."""
    return [
        f"{h.name}: the reference ({h.said}) is drawn and decides nothing: {h.remark}."
        for h in held
        if not h.decides
    ]


def _words(reference: Curve | Scalar) -> str:
    at = "" if reference.temperature_K is None else f", {reference.temperature_K:g} K"
    return f"{reference.level_of_theory}{at}; {reference.source}"


def _plain(text: str) -> str:
    return "".join(text.split()).casefold()


@dataclass(frozen=True)
class HeldNumber:
    """A reference number; `remark` says why it decides nothing ("" where it does)."""

    value: float
    error: float | None  # one standard error; None: not stated
    said: str
    remark: str

    def remarks(self, name: str) -> list[str]:
        """For the reader."""
        if not self.remark:
            return []
        return [f"{name}: the reference {self.value:.4g} ({self.said}) decides nothing: {self.remark}."]


def save_number(
    context: Context, name: str, reference: Scalar, temperature_K: float, level_of_theory: str
) -> None:
    """Keep a number, and whether it decides."""
    error = np.nan if reference.error is None else reference.error
    context.save(f"number.{name}", np.array([reference.value, error]))
    remark = mismatch(reference, temperature_K, level_of_theory)
    context.save(f"words.{name}", np.array([_words(reference), remark], dtype=str))


def load_number(data: Data, name: str) -> HeldNumber:
    """What `save_number` has kept."""
    value, error = data.array(f"number.{name}")
    said, remark = data.array(f"words.{name}")
    return HeldNumber(float(value), None if np.isnan(error) else float(error), str(said), str(remark))


def relative(
    name: str,
    own: blocks.Estimate,
    held: HeldNumber,
    conditions: dict[str, float | str],
    evidence: dict[str, float],
) -> Measurement:
    """100 (own / reference - 1) in %, both errors in it; without an error of the reference no verdict."""
    ratio = own.value / held.value
    known = held.error is not None and own.stderr is not None
    parts = [
        (100 * (own.stderr or 0.0) / abs(held.value), own.n_eff),
        (100 * abs(ratio) * (held.error or 0.0) / abs(held.value), np.inf),
    ]
    total = blocks.joint(100 * (ratio - 1), parts)
    note = "" if known else f"{total.value:+.3g} %; "
    if held.error is None:
        note += "the reference states no error: give it one"
    elif own.stderr is None:
        note += "too few independent samples for an error"
    return Measurement(
        name=name,
        value=total.value if known else None,
        unit="%",
        stderr=total.stderr if known else None,
        n_eff=total.n_eff if known else None,
        conditions=conditions,
        evidence=evidence,
        method=f"relative to {held.value:.4g} ({held.said}); errors of both",
        note=note,
    )
