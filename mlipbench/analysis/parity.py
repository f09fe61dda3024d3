"""Errors of a potential against labels: averages with error bars, alignment of energies, baselines.

Errors over frames are bootstrapped over clusters (trajectories) of frames: the components of one frame
are one draw, and so are the neighbouring frames of one trajectory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlipbench.analysis.stats import Bootstrapped, bootstrap, cluster_sums
from mlipbench.core.errors import SuiteError
from mlipbench.core.structure import BoolArray, FloatArray, IntArray

EnergyReference = Literal["as_is", "isolated_atoms", "fitted"]


@dataclass(frozen=True)
class Labels:
    """Labels and answers for all frames, NaN where a label is missing."""

    frame: IntArray  # (n_atoms,) frame of each atom
    numbers: IntArray  # (n_atoms,)
    energy: FloatArray  # (n_frames,) eV, reference
    energy_predicted: FloatArray  # (n_frames,) eV
    forces: FloatArray  # (n_atoms, 3) eV/A, reference
    forces_predicted: FloatArray  # (n_atoms, 3) eV/A

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.energy)

    @property
    def counts(self) -> tuple[IntArray, IntArray]:
        """Elements (n_elements,) and atoms of each in each frame (n_frames, n_elements)."""
        elements, column = np.unique(self.numbers, return_inverse=True)
        counts = np.zeros((self.n_frames, len(elements)), dtype=np.int64)
        np.add.at(counts, (self.frame, column), 1)
        return elements, counts


@dataclass(frozen=True)
class Alignment:
    """Energy errors after the zero was set."""

    errors: FloatArray  # (n_frames,) eV/atom, predicted less reference
    offsets: dict[int, float]  # eV per atom of each element, taken off the predictions
    fitted: int  # degrees of freedom that the fit used up


def align(
    labels: Labels, reference: EnergyReference, isolated: dict[int, tuple[float, float]] | None = None
) -> Alignment:
    """Set the zero of the energies.

    as_is: none. isolated_atoms: E - sum_i e(Z_i) on both sides, `isolated` Z -> (label's, potential's)
    energy of the atom. fitted: the offsets per element of the least squares
    min sum_frames ((E_pred - E_ref - sum_Z n_Z c_Z) / n)^2.
    """
    elements, counts = labels.counts
    n = counts.sum(axis=1)
    raw = (labels.energy_predicted - labels.energy) / n
    fractions = counts / n[:, None]
    if reference == "as_is":
        return Alignment(raw, {}, 0)
    if reference == "isolated_atoms":
        missing = [int(z) for z in elements if z not in (isolated or {})]
        if isolated is None or missing:
            raise SuiteError(
                f"isolated-atom energies are missing for atomic numbers {missing}: give them in "
                "isolated_atom_energies_eV, or choose energy_reference fitted or as_is"
            )
        offsets = np.array([isolated[int(z)][1] - isolated[int(z)][0] for z in elements])
        rank = 0
    else:
        known = np.isfinite(raw)
        offsets, _, rank, _ = np.linalg.lstsq(fractions[known], raw[known], rcond=None)
    named = {int(z): float(c) for z, c in zip(elements, offsets, strict=True)}
    return Alignment(raw - fractions @ offsets, named, int(rank))


def composition_residual(energy_per_atom: FloatArray, counts: IntArray) -> tuple[FloatArray, BoolArray]:
    """Energies per atom less the mean of their composition, and which frames have company in it.

    Compositions are fractions of elements, so cells of any size count as one.
    """
    fractions = np.round(counts / counts.sum(axis=1, keepdims=True), 9)
    _, group = np.unique(fractions, axis=0, return_inverse=True)
    group = group.reshape(-1)
    known = np.isfinite(energy_per_atom)
    sums = np.bincount(group[known], energy_per_atom[known], minlength=group.max() + 1)
    sizes = np.bincount(group[known], minlength=group.max() + 1)
    mean = sums / np.maximum(sizes, 1)
    return energy_per_atom - mean[group], known & (sizes[group] > 1)


@dataclass(frozen=True)
class ErrorSummary:
    """Errors of one quantity, in the unit of the errors."""

    mae: Bootstrapped
    rmse: Bootstrapped
    mean: Bootstrapped  # signed
    skill: Bootstrapped  # 1 - MAE / MAE of the baseline
    r2: Bootstrapped  # 1 - sum e^2 / sum baseline^2
    p95: float
    p99: float
    largest: float
    n: int  # components


def summarise(
    errors: FloatArray,
    baseline: FloatArray,
    clusters: IntArray,
    n_clusters: int,
    rng: np.random.Generator,
    used_up: int = 0,
) -> ErrorSummary:
    """Errors (n,), reference less its baseline prediction (n,), cluster of each (n,).

    `used_up`: degrees of freedom that a fit took, off the number of independent clusters.
    """
    known = np.isfinite(errors)
    e, b = errors[known], baseline[known]
    columns = np.column_stack([np.abs(e), e**2, e, np.abs(b), b**2, np.ones(len(e))])
    sums = cluster_sums(columns, clusters[known], n_clusters)
    sums = sums[sums[:, 5] > 0]
    sizes = sums[:, 5]

    def boot(statistic: Callable[[FloatArray], FloatArray]) -> Bootstrapped:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = bootstrap(sums, statistic, sizes, rng)
        return Bootstrapped(found.value, found.stderr, found.n_eff - used_up)

    p95, p99 = np.percentile(np.abs(e), [95, 99])
    return ErrorSummary(
        mae=boot(lambda s: s[..., 0] / s[..., 5]),
        rmse=boot(lambda s: np.sqrt(s[..., 1] / s[..., 5])),
        mean=boot(lambda s: s[..., 2] / s[..., 5]),
        skill=boot(lambda s: 1 - s[..., 0] / s[..., 3]),
        r2=boot(lambda s: 1 - s[..., 1] / s[..., 4]),
        p95=float(p95),
        p99=float(p99),
        largest=float(np.abs(e).max()),
        n=len(e),
    )


def force_angles(forces: FloatArray, predicted: FloatArray) -> FloatArray:
    """Angle in degrees between label and answer, for atoms whose label exceeds a tenth of the r.m.s.

    Forces near zero have no direction worth judging. Returns (n_selected,).
    """
    size = np.linalg.norm(forces, axis=1)
    known = np.isfinite(size)
    rms = np.sqrt(np.mean(size[known] ** 2)) if known.any() else 0.0
    chosen = known & (size > 0.1 * rms)
    a, b = forces[chosen], predicted[chosen]
    cosine = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-300)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def magnitude_bins(forces: FloatArray, n_bins: int = 4) -> tuple[IntArray, FloatArray]:
    """Bin of each atom by the magnitude of its label (equal numbers), and the edges in eV/A."""
    size = np.linalg.norm(forces, axis=1)
    edges = np.quantile(size[np.isfinite(size)], np.linspace(0, 1, n_bins + 1))
    return np.clip(np.searchsorted(edges, size, side="right") - 1, 0, n_bins - 1), edges


def worst_frames(labels: Labels, k: int) -> IntArray:
    """The k frames of largest r.m.s. force error, worst first."""
    squared = ((labels.forces_predicted - labels.forces) ** 2).sum(axis=1)
    n = np.bincount(labels.frame, minlength=labels.n_frames)
    mean = np.bincount(labels.frame, squared, minlength=labels.n_frames) / np.maximum(n, 1)
    mean = np.where(np.isfinite(mean), mean, -1.0)
    return np.asarray(np.argsort(-mean, kind="stable")[:k])


def voigt(stress: FloatArray) -> FloatArray:
    """Six components (n, 6) in the order xx, yy, zz, yz, xz, xy of stresses (n, 3, 3)."""
    return np.asarray(stress[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]])
