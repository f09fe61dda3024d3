"""Is an error random or structured? Two potentials of equal MAE need not be equally good.

Random errors average out along a trajectory; structured ones, a wrong force whenever the cell is a
little expanded, accumulate. The systematic share is what a small model of the error, fitted on other
trajectories, explains of it:

    share = 1 - sum (e - e_model)^2 / sum e^2      (cross-validated over clusters of frames)

Energy errors are modelled by density, energy, closest contact and temperature of the frame (its r.m.s.
force stands in for a temperature that is not known), and their squares. Force errors atom by atom,

    dF_i = sum_m c_m v_im,    v_i0 = F_i (softening, hardening),
    v_im = sum_j exp(-(r_ij - mu_m)^2 / 2 s^2) r_ji / |r_ji|   (a pair force: pressure-like, along r)

with c_m linear in the frame's density, energy and temperature. Random errors give a share near zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.analysis.stats import Bootstrapped, bootstrap, cluster_sums
from mlipbench.analysis.structure import Pairs
from mlipbench.core.structure import FloatArray, IntArray

N_FOLDS = 5
RIDGE = 1e-3
PAIR_CUTOFF_A = 5.0
PAIR_CENTRES = 6


@dataclass(frozen=True)
class Features:
    """What describes a frame; NaN where it does not exist (the density of a molecule)."""

    names: tuple[str, ...]
    values: FloatArray  # (n_frames, n_features)


def design(features: Features, squares: bool) -> FloatArray:
    """Standardised features (n_frames, p) with a constant; those that vary and are known everywhere."""
    columns = [np.ones(len(features.values))]
    for column in features.values.T:
        spread = float(np.std(column)) if np.isfinite(column).all() else 0.0
        if spread > 1e-9 * max(float(np.abs(column).max()) if spread else 0.0, 1e-300):
            z = np.clip((column - column.mean()) / spread, -4, 4)
            columns.append(z)
            if squares:
                columns.append(z**2 - 1)
    return np.column_stack(columns)


def scalar_share(
    errors: FloatArray, features: Features, clusters: IntArray, n_clusters: int, rng: np.random.Generator
) -> Bootstrapped:
    """Systematic share of errors of frames (n_frames,)."""
    x = design(features, squares=True)
    known = np.isfinite(errors)
    return _share(errors[known], x[known], clusters[known], n_clusters, rng)


def force_share(
    errors: FloatArray, basis: FloatArray, clusters: IntArray, n_clusters: int, rng: np.random.Generator
) -> Bootstrapped:
    """Systematic share of force errors (n_atoms, 3) on a basis (n_atoms, 3, p); clusters per atom."""
    known = np.isfinite(errors).all(axis=1)
    return _share(
        errors[known].reshape(-1),
        basis[known].reshape(-1, basis.shape[2]),
        np.repeat(clusters[known], 3),
        n_clusters,
        rng,
    )


def _share(
    y: FloatArray, x: FloatArray, clusters: IntArray, n_clusters: int, rng: np.random.Generator
) -> Bootstrapped:
    """1 - SSE / SST with SSE cross-validated over clusters, bootstrapped over clusters."""
    present = np.unique(clusters)
    folds = {int(c): k % N_FOLDS for k, c in enumerate(present)}
    fold = np.array([folds[int(c)] for c in clusters])
    scale = np.sqrt(np.mean(x**2, axis=0))
    x = x / np.where(scale > 0, scale, 1.0)
    rest = np.array(y, dtype=float)
    for k in range(N_FOLDS):
        out = fold == k
        if not out.any() or out.all():
            continue
        a, b = x[~out], y[~out]
        normal = a.T @ a + RIDGE * len(b) * np.eye(x.shape[1])
        rest[out] = y[out] - x[out] @ np.linalg.solve(normal, a.T @ b)
    sums = cluster_sums(np.column_stack([rest**2, y**2, np.ones(len(y))]), clusters, n_clusters)
    sums = sums[sums[:, 2] > 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return bootstrap(sums, lambda s: 1 - s[..., 0] / s[..., 1], sums[:, 2], rng)


def pair_basis(near: Pairs, n_atoms: int) -> FloatArray:
    """v_im of the module, (n_atoms, 3, PAIR_CENTRES), of pairs within PAIR_CUTOFF_A."""
    basis = np.zeros((n_atoms, 3, PAIR_CENTRES))
    if not len(near.distances):
        return basis
    centres = np.linspace(1.0, PAIR_CUTOFF_A, PAIR_CENTRES)
    width = (centres[1] - centres[0]) / 1.5
    radial = np.exp(-0.5 * ((near.distances[:, None] - centres) / width) ** 2)
    along = (near.vectors / near.distances[:, None])[:, :, None] * radial[:, None, :]
    np.add.at(basis, near.second, along)
    np.add.at(basis, near.first, -along)
    return basis


def pair_projection(near: Pairs, errors: FloatArray) -> FloatArray:
    """Force error along each pair, (n_pairs,) eV/A: 1/2 (dF_j - dF_i) . r_ij / |r_ij|.

    Positive: the pair is pushed apart too hard, the error acts as too high a pressure. Unlike the sum
    of dF . r over atoms it does not depend on where the cell is cut.
    """
    relative = 0.5 * (errors[near.second] - errors[near.first])
    return np.asarray((relative * near.vectors).sum(axis=1) / near.distances)


@dataclass(frozen=True)
class Bin:
    """Mean of a quantity in a bin of another, with its error over clusters."""

    centre: float
    mean: float
    stderr: float | None  # None: all of one cluster, nothing tells how much it would differ
    n: int


def binned(x: FloatArray, y: FloatArray, clusters: IntArray, n_bins: int = 6) -> list[Bin]:
    """Means of y (n,) in bins of x (n,) of equal number, errors from the clusters in each bin."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y, clusters = x[known], y[known], clusters[known]
    if not len(x):
        return []
    edges = np.unique(np.quantile(x, np.linspace(0, 1, n_bins + 1)))
    index = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(len(edges) - 2, 0))
    bins = []
    for k in range(max(len(edges) - 1, 1)):
        inside = index == k
        if not inside.any():
            continue
        mean = float(y[inside].mean())
        present, local = np.unique(clusters[inside], return_inverse=True)
        sums = np.bincount(local, y[inside] - mean)
        m = len(present)
        stderr = float(np.sqrt((sums**2).sum() * m / (m - 1)) / inside.sum()) if m > 1 else None
        bins.append(Bin(float(x[inside].mean()), mean, stderr, int(inside.sum())))
    return bins
