"""The judge against probabilities known from the t distribution, and the rules of DESIGN in words."""

import numpy as np
import pytest

from mlipbench.core.criterion import Criterion, Evidence, Verdict
from mlipbench.core.judge import judge
from mlipbench.core.measurement import Measurement


def criterion(**changes):
    fields = {"name": "x", "compare": "abs<", "limit": 1.0, "unit": "eV", "source": "this test"}
    return Criterion(**(fields | changes))


def measurement(value, stderr=0.1, n_eff=20.0, **changes):
    return Measurement(name="x", value=value, unit="eV", stderr=stderr, n_eff=n_eff, **changes)


def verdict(m, c=None):
    return judge([m], c or criterion())[0].verdict


# One-sided 95 % quantile of t with 19 degrees of freedom: 1.7291 (any table). The bound of 1.0 is
# reached at |x| = 1 -+ 0.17291; a normal quantile (1.645) would move it by 0.008.
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.825, "PASS"),
        (0.829, "INCONCLUSIVE"),
        (1.170, "INCONCLUSIVE"),
        (1.175, "FAIL"),
        (-0.825, "PASS"),
        (-1.175, "FAIL"),
    ],
)
def test_the_bound_is_that_of_the_t_distribution(value, expected):
    assert verdict(measurement(value)) == expected


def test_the_other_comparisons():
    above = criterion(compare=">", limit=1.0)
    assert verdict(measurement(1.2), above) == "PASS"
    assert verdict(measurement(0.8), above) == "FAIL"
    below = criterion(compare="<", limit=1.0)
    assert verdict(measurement(-5.0), below) == "PASS"
    count = criterion(compare="==", limit=0.0)
    assert verdict(measurement(0.0, exact=True), count) == "PASS"
    assert verdict(measurement(1.0, exact=True), count) == "FAIL"


def test_missing_evidence_makes_a_pass_inconclusive_but_never_a_failure():
    demanding = criterion(needs=(Evidence("length_ps", 50, "ps"),))
    short = {"evidence": {"length_ps": 5.0}}
    judged = judge([measurement(0.1, **short)], demanding)[0]
    assert judged.verdict == Verdict.INCONCLUSIVE
    assert "50 ps of length needed, 5 there" in judged.reason
    assert verdict(measurement(9.0, **short), demanding) == "FAIL"
    assert verdict(measurement(0.1, evidence={"length_ps": 50.0}), demanding) == "PASS"


@pytest.mark.parametrize(
    ("evidence", "there", "demand", "lack"),
    [
        (Evidence("frames", 20), 3, "at least 20 frames", "20 frames needed, 3 there"),
        (Evidence("frames", 30, "frames"), 0, "at least 30 frames", "30 frames needed, 0 there"),
        (Evidence("length_ps", 50, "ps"), 5, "at least 50 ps of length", "50 ps of length needed, 5 there"),
        (
            Evidence("precision", 2, "/%"), 0.8,
            "a standard error of at most 0.5 %", "a standard error of 0.5 % needed, 1.25 there",
        ),
        (
            Evidence("precision", 2, "/%"), 0.0,
            "a standard error of at most 0.5 %", "a standard error of 0.5 % needed, none there",
        ),
    ],
)  # fmt: skip
def test_evidence_in_words(evidence, there, demand, lack):
    assert (evidence.demand(), evidence.lack(there)) == (demand, lack)


def test_no_error_bar_no_verdict():
    assert verdict(measurement(0.1, stderr=None)) == "INCONCLUSIVE"
    assert verdict(measurement(0.1, n_eff=1.5)) == "INCONCLUSIVE"
    assert verdict(measurement(None)) == "INCONCLUSIVE"
    assert verdict(measurement(float("nan"))) == "INCONCLUSIVE"


def test_units_are_compared():
    with pytest.raises(ValueError, match="in meV, its criterion in eV"):
        judge([Measurement(name="x", value=1.0, unit="meV", stderr=0.1, n_eff=9)], criterion())


def test_how_much_more_is_said():
    # |x| = 0.9 +- 0.1: the margin of 0.173 must fall to 0.1, that is (1.73)^2 = 3 times the data.
    assert "about 3 times the data" in judge([measurement(0.9)], criterion())[0].reason


def test_grades_name_the_strictest_limit_that_is_met():
    graded = criterion(grades={"better": 0.5, "ideal": 0.1})
    assert "grade better" in judge([measurement(0.2)], graded)[0].reason
    assert "grade" not in judge([measurement(0.6)], graded)[0].reason


def test_holm_tightens_a_family_and_lets_go_step_by_step():
    # p values of claims at x = 0.82: t = 1.8, p = 0.044: alone inside, one of three not.
    alone = judge([measurement(0.82)], criterion())[0].verdict
    family = [j.verdict for j in judge([measurement(0.82) for _ in range(3)], criterion())]
    assert alone == Verdict.PASS
    assert family == [Verdict.INCONCLUSIVE] * 3
    # With two overwhelming claims the third is tested at the full level again.
    mixed = judge([measurement(0.1), measurement(0.1), measurement(0.82)], criterion())
    assert [j.verdict for j in mixed] == [Verdict.PASS] * 3


@pytest.mark.parametrize(
    ("truth", "wrong", "most"), [(2.0, "PASS", 0.01), (1.0, "PASS", 0.06), (1.0, "FAIL", 0.06)]
)
def test_false_claims_are_as_rare_as_promised(truth, wrong, most):
    """Normal samples, n = 10: at twice the limit no PASS; at the limit itself at most alpha of each claim."""
    rng = np.random.default_rng(4)
    samples = rng.normal(truth, 0.5, size=(3000, 10))
    means, errors = samples.mean(axis=1), samples.std(axis=1, ddof=1) / np.sqrt(10)
    found = [verdict(measurement(m, s, 10.0)) for m, s in zip(means, errors, strict=True)]
    assert np.mean([v == wrong for v in found]) <= most


@pytest.mark.parametrize("sigma", [0.3, 30.0])
def test_an_error_beyond_the_limit_makes_no_false_failures(sigma):
    """Truth 1/2 of the limit, n = 10, 4000 repeats (binomial error 0.35 %). Errors of thirty limits put |x|
    outside by chance on either side: a one-sided test would FAIL 10 % of them."""
    rng = np.random.default_rng(6)
    samples = rng.normal(0.5, sigma, size=(4000, 10))
    means, errors = samples.mean(axis=1), samples.std(axis=1, ddof=1) / np.sqrt(10)
    found = [verdict(measurement(m, s, 10.0)) for m, s in zip(means, errors, strict=True)]
    assert np.mean([v == "FAIL" for v in found]) <= 0.05 + 3 * 0.0035


@pytest.mark.parametrize("truths", [(1.0, 1.0, 1.0), (0.1, 1.0, 1.0), (0.1, 0.1, 1.0)])
def test_a_family_makes_one_false_pass_at_most_as_often_as_promised(truths):
    """Holm, 3000 families of three, n = 10 (binomial error 0.4 %): at most 5 % with a false PASS; three tests
    at 5 % each would have 14 % where all three lie at the limit."""
    rng = np.random.default_rng(8)
    false = 0
    for _ in range(3000):
        x = rng.normal(truths, 0.3, size=(10, 3))
        errors = x.std(axis=0, ddof=1) / np.sqrt(10)
        family = [measurement(m, s, 10.0) for m, s in zip(x.mean(axis=0), errors, strict=True)]
        judged = judge(family, criterion())
        false += any(j.verdict == Verdict.PASS and t >= 1 for j, t in zip(judged, truths, strict=True))
    assert false / 3000 <= 0.05 + 3 * 0.004
