"""The judge: one function turns measurements and criteria into verdicts.

A value v with standard error s and n_eff independent samples is compared with a limit L by its
one-sided bound at confidence 1 - alpha (alpha = 0.05), t quantiles with n_eff - 1 degrees of
freedom. For "abs<" this is the two one-sided tests procedure of an equivalence claim:

    PASS          |v| + t s < L   and all demanded evidence is there
    FAIL          |v| - t s > L   also on little evidence: what is outside beyond doubt is outside
    INCONCLUSIVE  otherwise, with how much more would be needed

An error larger than the limit puts |v| outside on either side by chance, so a FAIL of "abs<" counts
both tails: P(T > (|v| - L)/s) + P(T > (|v| + L)/s) <= alpha, the claim's p value at |truth| = L.
Where one criterion is asked several times (temperatures, pairs) the claims are corrected after
Holm (Scand. J. Statist. 6, 65 (1979)): the family makes one false claim at most 5 % of the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtr, stdtrit

from mlipbench.core.criterion import Criterion, Verdict
from mlipbench.core.measurement import Measurement

ALPHA = 0.05


@dataclass(frozen=True)
class Judgement:
    """A verdict and its reason in words; `bound` is the confidence bound that was compared."""

    verdict: Verdict
    reason: str
    bound: float | None = None


def judge(measurements: Sequence[Measurement], criterion: Criterion) -> list[Judgement]:
    """Verdicts for all measurements that one criterion is asked about."""
    p_values = [_p_values(m, criterion) for m in measurements]
    alphas = _holm([p and min(p) for p in p_values])
    return [_judge_one(m, criterion, alpha) for m, alpha in zip(measurements, alphas, strict=True)]


def _excess(measurement: Measurement, criterion: Criterion) -> float:
    """Value minus limit, signed so that negative is good."""
    value = math.nan if measurement.value is None else measurement.value
    if criterion.compare == "abs<":
        return abs(value) - criterion.limit
    if criterion.compare == ">":
        return criterion.limit - value
    return value - criterion.limit


def _degrees_of_freedom(measurement: Measurement) -> float:
    return max((measurement.n_eff or 0.0) - 1.0, 0.0)


def _p_values(measurement: Measurement, criterion: Criterion) -> tuple[float, float] | None:
    """p values of the claims inside and outside; None where there is no test to do."""
    m = measurement
    if m.value is None or not math.isfinite(m.value) or m.exact or not m.stderr:
        return None
    dof = _degrees_of_freedom(m)
    if dof < 1:
        return None
    excess = _excess(m, criterion) / m.stderr
    outside = float(stdtr(dof, -excess))
    if criterion.compare == "abs<":
        outside += float(stdtr(dof, -excess - 2 * abs(criterion.limit) / m.stderr))
    return float(stdtr(dof, excess)), outside


def _holm(p_values: list[float | None]) -> list[float]:
    """Level at which each claim is tested: alpha/m for the smallest p, alpha/(m-1) next, ...

    Holm stops at the first claim that does not hold; the levels of those behind it stay at the
    level where it stopped, which they cannot reach, being larger.
    """
    tested = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    alphas = [ALPHA] * len(p_values)
    level = ALPHA / max(len(tested), 1)
    for rank, (p, index) in enumerate(tested):
        alphas[index] = level
        if p <= level:
            level = ALPHA / max(len(tested) - rank - 1, 1)
    return alphas


def _judge_one(m: Measurement, c: Criterion, alpha: float) -> Judgement:
    if m.value is None or math.isnan(m.value):
        return Judgement(Verdict.INCONCLUSIVE, m.note or "could not be measured")
    if m.unit != c.unit:
        raise ValueError(f"{m.name} is in {m.unit}, its criterion in {c.unit}")
    if c.compare == "==":
        inside, outside, bound = m.value == c.limit, m.value != c.limit, m.value
    elif m.exact or math.isinf(m.value):
        excess = _excess(m, c)
        inside, outside, bound = excess < 0, excess > 0, m.value
    else:
        if m.stderr is None or _degrees_of_freedom(m) < 1:
            return Judgement(
                Verdict.INCONCLUSIVE,
                f"{_show(m.value, m.unit)} has no error bar: too few independent samples "
                f"({m.n_eff or 0:.1f})",
            )
        margin = float(stdtrit(_degrees_of_freedom(m), 1 - alpha)) * m.stderr
        excess = _excess(m, c)
        claims = _p_values(m, c)
        inside = excess + margin < 0
        outside = excess - margin > 0 and (claims is None or claims[1] < alpha)
        toward = margin if (excess < 0 or not outside) else -margin
        base = abs(m.value) if c.compare == "abs<" else m.value
        bound = base - toward if c.compare == ">" else base + toward
    sign = {"abs<": "|x| <", "==": "exactly"}.get(c.compare, c.compare)
    limit = f"limit {sign} {_show(c.limit, c.unit)}"
    if outside:
        what = "" if m.exact or c.compare == "==" else "the 95 % bound "
        return Judgement(Verdict.FAIL, f"{what}{_show(bound, m.unit)} is outside, {limit}", bound)
    missing = [
        e.lack(m.evidence.get(e.name, 0.0))
        for e in c.needs
        if m.evidence.get(e.name, 0.0) < e.at_least * (1 - 1e-9)
    ]
    if inside and not missing:
        if c.compare == "==":
            return Judgement(Verdict.PASS, f"{_show(bound, m.unit)} as demanded", bound)
        grade = _grade(abs(bound) if c.compare == "abs<" else bound, c)
        return Judgement(Verdict.PASS, f"bound {_show(bound, m.unit)}, {limit}{grade}", bound)
    reasons = missing + ([] if inside else [_more_data(m, c, alpha)])
    return Judgement(Verdict.INCONCLUSIVE, "; ".join(reasons), bound)


def _grade(bound: float, c: Criterion) -> str:
    met = [name for name, limit in c.grades.items() if (bound > limit if c.compare == ">" else bound < limit)]
    return f", grade {met[-1]}" if met else ""


def _more_data(m: Measurement, c: Criterion, alpha: float) -> str:
    """How much more data would decide, if the value stayed: the error falls as 1/sqrt(n)."""
    excess = abs(_excess(m, c))
    text = f"{_show(m.value or 0, m.unit)} ± {_show(m.stderr or 0, m.unit)} cannot be told from the limit"
    if not excess or not m.stderr:
        return text
    margin = float(stdtrit(_degrees_of_freedom(m), 1 - alpha)) * m.stderr
    return f"{text}; about {(margin / excess) ** 2:.2g} times the data would decide"


def _show(value: float, unit: str) -> str:
    return f"{value:.3g}" + (f" {unit}" if unit != "1" else "")
