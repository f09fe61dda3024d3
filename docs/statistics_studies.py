"""Coverage of error bars and errors of the judge, measured; docs/make_statistics.py runs and shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit
from statistics_series import ERRORS, NOISES, REQUIRED, Case, autoregressive, cases, clusters, energies

from mlipbench.analysis import stats
from mlipbench.analysis.drift import drift
from mlipbench.core.criterion import Criterion, Evidence, Verdict
from mlipbench.core.judge import judge
from mlipbench.core.measurement import Measurement

Row = dict[str, Any]
__all__ = ["REQUIRED", "STUDIES", "Row", "cases"]


def intervals(case: Case, what: str, repeats: int, rng: np.random.Generator) -> Row:
    """Coverage of `mean` or `slope`, two-sided and by the upper and lower 95 % bound, and widths."""
    found = np.empty((repeats, 3))
    time = np.arange(case.n, dtype=float)
    for k in range(repeats):
        x = case.make(rng, case.n)
        if what == "mean":
            average = stats.time_average(x)
            found[k] = average.value, average.stderr, average.n_eff
        else:
            line = drift(time, x)
            found[k] = line.slope, line.stderr, line.n_eff
    value, stderr, n_eff = found.T
    half, one = (stdtrit(n_eff - 1, q) * stderr for q in (0.975, 0.95))
    ideal = 1.96 * np.std(value)
    return {
        "what": what,
        "family": case.family,
        "lengths": case.lengths,
        "n": case.n,
        "two_sided": float(np.mean(np.abs(value) < half)),
        "upper": float(np.mean(value + one > 0)),
        "lower": float(np.mean(value - one < 0)),
        "width": float(np.median(half) / ideal),
        "mean_width": float(np.mean(half) / ideal),
    }


def series(repeats: int, seed: int = 20) -> list[Row]:
    """Means of stationary series, slopes of all; slopes need 12 samples."""
    rows = []
    for number, case in enumerate(cases()):
        for what in ("mean", "slope"):
            if (what == "mean" and not case.lengths) or (what == "slope" and case.n < 12):
                continue
            rows.append(intervals(case, what, repeats, np.random.default_rng([seed, number])))
            print(rows[-1], flush=True)
    return rows


def equilibration(repeats: int, seed: int = 21) -> list[Row]:
    """How often something is dropped, and coverage, with a transient of `size` standard deviations."""
    rows = []
    for lengths in (30, 100, 300):
        for size in (0, 1, 3, 10):
            rng = np.random.default_rng([seed, lengths, size])
            n = 5 * lengths
            transient = size * np.exp(-np.arange(n) / (n / 15))
            found = [stats.time_average(autoregressive(5)(rng, n) + transient) for _ in range(repeats)]
            rows.append(
                {
                    "lengths": lengths,
                    "size": size,
                    "dropped": float(np.mean([a.start > 0 for a in found])),
                    "two_sided": float(np.mean([abs(a.value) < a.half_width() for a in found])),
                }
            )
    return rows


def memory(repeats: int, seed: int = 22) -> list[Row]:
    """Mean of the estimated over the exact autocorrelation time of AR(1)."""
    exact = 0.5 / np.tanh(0.5 / 7)
    rows = []
    for lengths in (10, 30, 100, 1000):
        rng = np.random.default_rng([seed, lengths])
        found = [stats.autocorrelation_time(autoregressive(7)(rng, 7 * lengths)) for _ in range(repeats)]
        rows.append({"lengths": lengths, "ratio": float(np.mean(found) / exact)})
    return rows


def _mean(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def averages_over_frames(repeats: int, seed: int = 23) -> list[Row]:
    """Coverage of mean |error| by the studentised bootstrap, and by plain t intervals."""
    rows = []
    for unequal in (False, True):
        for name, errors in ERRORS.items():
            for n in (3, 5, 10, 30, 100):
                rng = np.random.default_rng([seed, n, unequal, len(name)])
                inside = np.zeros(5)
                widths = []
                for _ in range(repeats):
                    s, w = clusters(rng, n, errors, unequal)
                    b = stats.bootstrap(np.column_stack([s, w]), _mean, w, rng)
                    u = s - b.value * w
                    plain = np.sqrt(n / (n - 1) * u @ u) / w.sum()
                    one, two = stdtrit(b.n_eff - 1, [0.95, 0.975])
                    away = b.value - 1
                    inside += [
                        abs(away) < two * b.stderr,
                        away > -one * b.stderr,
                        away < one * b.stderr,
                        abs(away) < two * plain,
                        away > -one * plain,
                    ]
                    widths.append(b.stderr / plain)
                names = ("two_sided", "upper", "lower", "plain_two_sided", "plain_upper")
                row = {"errors": name, "sizes": "unequal" if unequal else "equal", "clusters": n}
                row |= dict(zip(names, (inside / repeats).tolist(), strict=True))
                rows.append(row | {"width": float(np.median(widths))})
                print(rows[-1], flush=True)
    return rows


DRIFT = Criterion(
    name="drift", compare="abs<", limit=1.0, unit="u", needs=(Evidence("length_ps", 50, "ps"),), source="here"
)
MAE = Criterion(
    name="mae", compare="<", limit=1.0, unit="u", needs=(Evidence("frames", 30, "frames"),), source="here"
)


def _shares(found: list[Verdict]) -> Row:
    return {v.value.lower(): float(np.mean([f == v for f in found])) for v in (Verdict.PASS, Verdict.FAIL)}


def judged_drift(repeats: int, seed: int = 24, noises: Sequence[str] = NOISES) -> list[Row]:
    """Verdicts on a drift of half, once and twice the limit, 50 ps."""
    rows = []
    time = 0.01 * np.arange(5001)
    for number, noise in enumerate(noises):
        make = energies(noise)
        for truth in (0.5, 1.0, 2.0):
            rng = np.random.default_rng([seed, number, int(2 * truth)])
            found = []
            for _ in range(repeats):
                line = drift(time, truth * time + make(rng, len(time)))
                m = Measurement(
                    name="drift",
                    value=line.slope,
                    unit="u",
                    stderr=line.stderr,
                    n_eff=line.n_eff,
                    evidence={"length_ps": 50.0},
                )
                found.append(judge([m], DRIFT)[0].verdict)
            rows.append({"what": noise, "truth": truth} | _shares(found))
            print(rows[-1], flush=True)
    return rows


def judged_errors(repeats: int, seed: int = 25) -> list[Row]:
    """Verdicts on a mean |error| of half, once and twice the limit, 30 frames."""
    rows = []
    settings = [(name, 30, False) for name in ERRORS] + [("half normal", 6, True), ("half normal", 3, True)]
    for number, (name, n, unequal) in enumerate(settings):
        for truth in (0.5, 1.0, 2.0):
            rng = np.random.default_rng([seed, number, int(2 * truth)])
            found = []
            for _ in range(repeats):
                s, w = clusters(rng, n, ERRORS[name], unequal)
                b = stats.bootstrap(np.column_stack([truth * s, w]), _mean, w, rng)
                m = Measurement(
                    name="mae",
                    value=b.value,
                    unit="u",
                    stderr=b.stderr,
                    n_eff=b.n_eff,
                    evidence={"frames": 30.0},
                )
                found.append(judge([m], MAE)[0].verdict)
            words = f"{n} trajectories of unequal size" if unequal else "30 frames"
            rows.append({"what": f"{words}, {name}", "truth": truth} | _shares(found))
            print(rows[-1], flush=True)
    return rows


def families(repeats: int, seed: int = 26) -> list[Row]:
    """At least one false claim in a family of three, normal samples, n = 10; |x| < 1."""
    rows = []
    for truths in ((1.0, 1.0, 1.0), (0.2, 1.01, 1.01), (0.2, 0.2, 1.01), (0.99, 1.01, 3.0), (0.0, 0.0, 0.0)):
        for sigma in (0.3, 30.0):
            rng = np.random.default_rng([seed, len(rows)])
            false_pass = false_fail = 0
            for _ in range(repeats):
                x = rng.normal(truths, sigma, size=(10, 3))
                family = [
                    Measurement(
                        name="drift", value=m, unit="u", stderr=s, n_eff=10, evidence={"length_ps": 50}
                    )
                    for m, s in zip(x.mean(axis=0), x.std(axis=0, ddof=1) / np.sqrt(10), strict=True)
                ]
                verdicts = [j.verdict for j in judge(family, DRIFT)]
                pairs = list(zip(verdicts, truths, strict=True))
                false_pass += any(v == Verdict.PASS and t >= 1 for v, t in pairs)
                false_fail += any(v == Verdict.FAIL and t <= 1 for v, t in pairs)
            rows.append(
                {
                    "truths": truths,
                    "sigma": sigma,
                    "false_pass": false_pass / repeats,
                    "false_fail": false_fail / repeats,
                }
            )
    return rows


STUDIES = {
    "series": series,
    "equilibration": equilibration,
    "memory": memory,
    "frames": averages_over_frames,
    "judged_drift": judged_drift,
    "judged_errors": judged_errors,
    "families": families,
}
