"""The shape of errors: tails, bowing, fanning, clusters off the diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlipbench.analysis.stats import robust_sigma
from mlipbench.core.structure import FloatArray, IntArray

GAUSSIAN_BEYOND_FIVE = 5.733e-7  # share of a Gaussian beyond five standard deviations
STRONG = 4.0  # standard errors: what is named in words is beyond chance among some ten tests


@dataclass(frozen=True)
class Tail:
    """Tails of the residuals of one bin."""

    n: int
    excess_kurtosis: float  # 0 for a Gaussian
    kurtosis_error: float  # sqrt(24 / n)
    beyond_five: float  # share beyond five robust sigma
    sigma: float  # robust


def tail(residuals: FloatArray) -> Tail:
    """Tails of residuals (n,) of one scale: one species, one bin of magnitude."""
    x = residuals - np.median(residuals)
    sigma = robust_sigma(x)
    variance = float(np.mean((x - x.mean()) ** 2))
    kurtosis = float(np.mean((x - x.mean()) ** 4)) / variance**2 - 3 if variance > 0 else 0.0
    beyond = float(np.mean(np.abs(x) > 5 * sigma)) if sigma > 0 else 0.0
    return Tail(len(x), kurtosis, float(np.sqrt(24 / len(x))), beyond, sigma)


@dataclass(frozen=True)
class Shape:
    """Form of a parity plot, and what a reader should make of it."""

    slope: float  # of predicted on reference
    slope_error: float
    bow: float  # curvature: residual at two sigma off the centre that the square explains, in RMSE
    bow_t: float  # its size in standard errors
    fan: float  # mean absolute residual in the outer fifth of references over that in the inner fifth
    fan_t: float
    words: tuple[str, ...]


def shape(reference: FloatArray, errors: FloatArray, clusters: IntArray) -> Shape:
    """Bowing and fanning of errors (n,) against reference values (n,).

    Fit e = a + b z + c (z^2 - 1), z the standardised reference; errors of b and c are clustered
    (sandwich over clusters of frames). Fanning: |e - fit| regressed on |z|.
    """
    z = (reference - reference.mean()) / max(float(reference.std()), 1e-300)
    x = np.column_stack([np.ones_like(z), z, z**2 - np.mean(z**2)])
    coefficients, stderr = _regress(x, errors, clusters)
    residual = errors - x @ coefficients
    rmse = max(float(np.sqrt(np.mean(errors**2))), 1e-300)
    slope = 1 + coefficients[1] / max(float(reference.std()), 1e-300)
    slope_error = stderr[1] / max(float(reference.std()), 1e-300)
    size = np.column_stack([np.ones_like(z), np.abs(z)])
    growth, growth_error = _regress(size, np.abs(residual), clusters)
    inner, outer = np.quantile(np.abs(z), [0.2, 0.8])
    spread = [float(np.mean(np.abs(residual[inside]))) for inside in (np.abs(z) >= outer, np.abs(z) <= inner)]
    fan = spread[0] / max(spread[1], 1e-300)
    bow, bow_t = 3 * float(coefficients[2]) / rmse, float(coefficients[2] / max(stderr[2], 1e-300))
    fan_t = float(growth[1] / max(growth_error[1], 1e-300))
    tilted = abs(slope - 1) > max(STRONG * slope_error, 0.02)
    words = []
    if abs(bow_t) > STRONG and abs(bow) > 0.5:
        words.append(
            "bowing: the error curves with the reference value; usually too little training data away "
            "from the centre, or a model too stiff for it"
        )
    if fan_t > STRONG and fan > 2.0:
        cause = (
            "with a slope off 1 the model is biased (forces too small where they matter)"
            if tilted
            else "large values are thinly sampled in training or weigh too little in the loss"
        )
        words.append(f"fanning: the spread of the error grows {fan:.1f}-fold with magnitude; {cause}")
    if tilted:
        kind = "too soft" if slope < 1 else "too hard"
        words.append(f"slope {slope:.3f} instead of 1: the surface is {kind} on the whole")
    return Shape(float(slope), float(slope_error), bow, bow_t, float(fan), fan_t, tuple(words))


def _regress(x: FloatArray, y: FloatArray, clusters: IntArray) -> tuple[FloatArray, FloatArray]:
    """Least squares of y (n,) on x (n, p), standard errors clustered (Liang, Zeger 1986)."""
    inverse = np.linalg.pinv(x.T @ x)
    coefficients = inverse @ (x.T @ y)
    scores = np.zeros((int(clusters.max()) + 1, x.shape[1]))
    np.add.at(scores, clusters, x * (y - x @ coefficients)[:, None])
    used = len(np.unique(clusters))
    factor = used / max(used - 1, 1)
    return coefficients, np.sqrt(np.maximum(np.diag(inverse @ (scores.T @ scores) @ inverse) * factor, 0))


@dataclass(frozen=True)
class Cluster:
    """A group whose errors lie apart from those of the rest."""

    name: str
    n: int
    centre: float  # median error of the group
    sigmas: float  # its distance from the rest in robust sigma of the rest


def off_diagonal(errors: FloatArray, groups: Sequence[tuple[str, IntArray]]) -> list[Cluster]:
    """Named groups, or a nameless bunch, whose errors (n,) lie off the diagonal.

    `groups`: (name, members). A group counts when its median lies more than five robust sigma from
    the median of all others; a bunch without a name is a run of at least three sorted errors behind
    a gap wider than four robust sigma.
    """
    found = []
    for name, members in groups:
        rest = np.setdiff1d(np.arange(len(errors)), members)
        if len(members) < 3 or len(rest) < 8:
            continue
        centre, sigma = float(np.median(errors[members])), robust_sigma(errors[rest])
        away = abs(centre - float(np.median(errors[rest]))) / max(sigma, 1e-300)
        if away > 5:
            found.append(Cluster(name, len(members), centre, away))
    if found:
        return sorted(found, key=lambda c: -c.sigmas)
    order = np.sort(errors)
    sigma = robust_sigma(errors)
    for gap in np.flatnonzero(np.diff(order) > 4 * max(sigma, 1e-300)):
        for part in (order[: gap + 1], order[gap + 1 :]):
            if 3 <= len(part) <= 0.3 * len(errors):
                centre = float(np.median(part))
                away = abs(centre - float(np.median(errors))) / max(sigma, 1e-300)
                found.append(Cluster("no common label", len(part), centre, away))
    return found
