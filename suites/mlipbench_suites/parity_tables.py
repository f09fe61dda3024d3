"""Tables and remarks of the suite `parity`."""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols

from mlipbench.api import Table, parity, residuals
from mlipbench_suites.parity_numbers import Answers

HEAVY_KURTOSIS = 3.0
HEAVY_SHARE = 1e-3
FEWEST_IN_A_BIN = 100
ZERO_BY_SYMMETRY = 1e-4  # eV/A

Rows = list[list[str | float | int | None]]


def tables(answers: Answers, align: parity.Alignment, worst: int) -> list[Table]:
    """Quantiles, per species, per config_type, per magnitude, tails, worst frames."""
    found = [_quantiles(answers, align)]
    if np.isfinite(answers.force_errors).any():
        found += [_groups(answers, align), _tails(answers)]
        if worst:
            found.append(_worst(answers, align, worst))
    return found


def _row(name: str, errors: np.ndarray) -> list[str | float | int | None]:
    e = np.abs(errors[np.isfinite(errors)])
    if not len(e):
        return [name, 0, None, None, None, None, None]
    p95, p99 = np.percentile(e, [95, 99])
    rms = float(np.sqrt(np.mean(e**2)))
    return [name, len(e), float(e.mean()), rms, float(p95), float(p99), float(e.max())]


COLUMNS = ["values", "n", "MAE", "RMSE", "95 %", "99 %", "largest"]


def _quantiles(answers: Answers, align: parity.Alignment) -> Table:
    rows: Rows = [_row("energy (meV/atom)", 1000 * align.errors)]
    rows.append(_row("force component (meV/A)", 1000 * answers.force_errors.reshape(-1)))
    angles = parity.force_angles(answers.labels.forces, answers.labels.forces_predicted)
    rows.append(_row("force angle (degrees)", angles))
    if answers.stress_predicted is not None:
        wrong = parity.voigt(answers.stress_predicted - answers.stress)
        rows.append(_row("stress component (eV/A^3)", wrong.reshape(-1)))
    return Table(
        id="parity-quantiles",
        caption="Distribution of the absolute errors. Angles count atoms whose labelled force exceeds a "
        "tenth of the r.m.s. force. In a sound potential the 99 % quantile is a few times the mean.",
        columns=COLUMNS,
        rows=rows,
    )


def _groups(answers: Answers, align: parity.Alignment) -> Table:
    labels, errors = answers.labels, 1000 * answers.force_errors
    rows: Rows = [
        _row(f"species {chemical_symbols[int(z)]}", errors[labels.numbers == z].reshape(-1))
        for z in np.unique(labels.numbers)
    ]
    types = np.array(answers.config_types)
    for name in sorted(set(answers.config_types)):
        inside = types[labels.frame] == name
        rows.append(_row(f"config_type {name or '(none)'}", errors[inside].reshape(-1)))
    index, edges = parity.magnitude_bins(labels.forces)
    for k in range(len(edges) - 1):
        name = f"|F| {edges[k]:.3g} to {edges[k + 1]:.3g} eV/A"
        rows.append(_row(name, errors[index == k].reshape(-1)))
    return Table(
        id="parity-force-groups",
        caption="Force errors (meV/A) by species, config_type and magnitude of the labelled force. A sound "
        "potential has no group far above the others for its magnitude.",
        columns=COLUMNS,
        rows=rows,
    )


def _free(labels: parity.Labels) -> np.ndarray:
    """Components (n_atoms, 3) that are known and that symmetry does not hold at zero.

    In undisturbed crystals label and answer are both zero; as residuals they would say that the rest of
    the errors is heavy-tailed.
    """
    size = np.maximum(np.abs(labels.forces), np.abs(labels.forces_predicted))
    return np.asarray(np.isfinite(size) & (size > ZERO_BY_SYMMETRY))


def _bins(answers: Answers) -> list[tuple[str, np.ndarray]]:
    """Force error components (meV/A) of each bin of species and magnitude that is large enough."""
    labels = answers.labels
    index, edges = parity.magnitude_bins(labels.forces)
    free = _free(labels)
    found = []
    for z in np.unique(labels.numbers):
        for k in range(len(edges) - 1):
            inside = (labels.numbers == z) & (index == k)
            errors = 1000 * answers.force_errors[inside][free[inside]]
            if len(errors) >= FEWEST_IN_A_BIN:
                found.append(
                    (f"{chemical_symbols[int(z)]}, |F| {edges[k]:.3g} to {edges[k + 1]:.3g} eV/A", errors)
                )
    return found


def _tails(answers: Answers) -> Table:
    rows: Rows = []
    for name, errors in _bins(answers):
        t = residuals.tail(errors)
        rows.append([name, t.n, t.sigma, t.excess_kurtosis, t.kurtosis_error, t.beyond_five])
    return Table(
        id="parity-tails",
        caption="Tails of the force errors within bins of species and magnitude (pooled errors mix scales "
        "and always look heavy). A Gaussian has excess kurtosis 0 and a share of 6e-7 beyond five robust "
        "sigma.",
        columns=["bin", "n", "robust sigma (meV/A)", "excess kurtosis", "its error", "beyond 5 sigma"],
        rows=rows,
    )


def _worst(answers: Answers, align: parity.Alignment, k: int) -> Table:
    rows: Rows = []
    for frame in parity.worst_frames(answers.labels, k):
        atoms = answers.atoms_of(int(frame))
        size = np.linalg.norm(answers.force_errors[atoms], axis=1)
        if not np.isfinite(size).all():
            continue
        rows.append(
            [
                answers.names[frame],
                answers.config_types[frame],
                1000 * float(np.sqrt(np.mean(size**2) / 3)),
                1000 * float(size.max()),
                int(size.argmax()),
                1000 * float(align.errors[frame]) if np.isfinite(align.errors[frame]) else None,
            ]
        )
    return Table(
        id="parity-worst",
        caption="The frames of largest force error, worst first; candidates for labelling and training.",
        columns=[
            "frame",
            "config_type",
            "force RMSE (meV/A)",
            "largest (meV/A)",
            "its atom",
            "energy (meV/atom)",
        ],
        rows=rows,
    )


def words(answers: Answers, align: parity.Alignment) -> list[str]:
    """What the form of the errors says, with the likely cause."""
    found = []
    labels = answers.labels
    types = np.array(answers.config_types)
    known = np.isfinite(align.errors)
    if known.sum() >= 12:
        atoms = np.bincount(labels.frame)
        spread, _ = parity.composition_residual(labels.energy / atoms, labels.counts[1])
        shape = residuals.shape(spread[known], align.errors[known], answers.clusters[known])
        found += [f"Energies: {text}." for text in shape.words]
        groups = [(f"config_type {t}", np.flatnonzero(types[known] == t)) for t in sorted(set(types)) if t]
        found += _cluster_words("Energies", 1000 * align.errors[known], groups, "meV/atom")
    errors = answers.force_errors.reshape(-1)
    good = _free(labels).reshape(-1)
    if good.sum() >= FEWEST_IN_A_BIN:
        owner = np.repeat(answers.atom_clusters, 3)
        shape = residuals.shape(labels.forces.reshape(-1)[good], errors[good], owner[good])
        found += [f"Forces: {text}." for text in shape.words]
        size = 1000 * np.linalg.norm(answers.force_errors, axis=1)
        atom = np.flatnonzero(np.isfinite(size))
        groups = [
            *(
                (f"species {chemical_symbols[int(z)]}", np.flatnonzero(labels.numbers[atom] == z))
                for z in _unique(labels)
            ),
            *(
                (f"config_type {t}", np.flatnonzero(types[labels.frame[atom]] == t))
                for t in sorted(set(types))
                if t
            ),
        ]
        found += _cluster_words("Force errors", size[atom], groups, "meV/A")
        found += _tail_words(answers)
    return found


def temperature_words(answers: Answers) -> list[str]:
    """What the systematic share took for the temperature, where that was not the frames' own."""
    if answers.temperatures_tell:
        return []
    missing = int((~np.isfinite(answers.temperatures)).sum())
    why = "The temperature is the same in all frames"
    if missing:
        why = f"{missing} of {len(answers.temperatures)} frames name no temperature (temperature_K)"
    return [f"{why}: in the systematic share the r.m.s. force of a frame stands in for it."]


def _unique(labels: parity.Labels) -> np.ndarray:
    return np.unique(labels.numbers)


def _cluster_words(
    what: str, errors: np.ndarray, groups: list[tuple[str, np.ndarray]], unit: str
) -> list[str]:
    return [
        f"{what}: off-diagonal cluster of {c.n} ({c.name}) at {c.centre:.4g} {unit}, {c.sigmas:.1f} robust "
        "sigma from the rest; a kind of configuration that is poorly represented in training, or labelled "
        "at another level of theory."
        for c in residuals.off_diagonal(errors, groups)
    ]


def _tail_words(answers: Answers) -> list[str]:
    heavy = []
    for name, errors in _bins(answers):
        t = residuals.tail(errors)
        significant = t.excess_kurtosis > max(HEAVY_KURTOSIS, 4 * t.kurtosis_error)
        if significant and t.beyond_five > HEAVY_SHARE:
            heavy.append(f"{name} ({t.beyond_five:.2g} beyond five sigma)")
    if not heavy:
        return []
    return [
        f"Heavy tails in {len(heavy)} bin(s): {'; '.join(heavy[:4])}; a few environments are far worse than "
        "the rest: label the worst frames and train on them."
    ]
