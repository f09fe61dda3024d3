"""Figures of the suite `parity`."""

from __future__ import annotations

import numpy as np

from mlipbench.api import Figure, Panel, Series, StructurePicture, parity, structured
from mlipbench_suites.drawing import histogram, level, picture, points
from mlipbench_suites.parity_numbers import Answers

FEW_FRAMES = 500


def figures(answers: Answers, align: parity.Alignment) -> list[Figure]:
    """Parity plots, histograms of residuals, errors against magnitude and against what a frame is."""
    panels, residuals, spreads = [], [], []
    labels = answers.labels
    known = np.isfinite(align.errors)
    if known.any():
        atoms = np.bincount(labels.frame)
        spread, _ = parity.composition_residual(labels.energy / atoms, labels.counts[1])
        x = 1000 * spread[known]
        y = x + 1000 * align.errors[known]
        panels.append(_parity("Energy", "energy less composition mean (meV/atom)", x, y))
        residuals.append(_residuals("Energy", "predicted - label (meV/atom)", y - x))
        spreads.append(_spread("energies", y - x, "meV/atom"))
    errors = answers.force_errors.reshape(-1)
    good = np.isfinite(errors)
    if good.any():
        reference = labels.forces.reshape(-1)[good]
        panels.append(_parity("Force", "force component (eV/A)", reference, reference + errors[good]))
        residuals.append(_residuals("Force", "predicted - label (meV/A)", 1000 * errors[good]))
        spreads.append(_spread("force components", 1000 * errors[good], "meV/A"))
    if answers.stress_predicted is not None:
        a, b = parity.voigt(answers.stress).reshape(-1), parity.voigt(answers.stress_predicted).reshape(-1)
        both = np.isfinite(a) & np.isfinite(b)
        if both.any():
            panels.append(_parity("Stress", "stress component (eV/A^3)", a[both], b[both]))
            residuals.append(_residuals("Stress", "predicted - label (eV/A^3)", (b - a)[both]))
            spreads.append(_spread("stress components", (b - a)[both], "eV/A^3"))
    if not panels:
        return []
    found = [
        Figure(
            id="parity",
            caption="Predicted against labelled values with the diagonal. A sound potential is a tight "
            "cloud on the diagonal: no bow, no fan, no island off it.",
            alt="Predicted against labelled values, which leave the diagonal by, root mean square and mean: "
            f"{'; '.join(spreads)}.",
            panels=panels,
        ),
        Figure(
            id="parity-residuals",
            caption="Distribution of the errors, with the Gaussian of the same robust width. A sound "
            "potential has a narrow histogram about zero; pooled force errors look heavier than a "
            "Gaussian even then, because they mix small and large forces.",
            alt="Histograms of the errors with a Gaussian of the same robust width; root mean square and "
            f"mean: {'; '.join(spreads)}.",
            panels=residuals,
        ),
    ]
    if good.any():
        found.append(_magnitude(answers))
    if known.any():
        found.append(_structure(answers, align))
    return found


def _parity(title: str, what: str, x: np.ndarray, y: np.ndarray) -> Panel:
    return Panel(
        title=title,
        xlabel=f"label: {what}",
        ylabel=f"predicted: {what}",
        series=[
            points(x, y, "values", dense=len(x) > FEW_FRAMES),
            Series(kind="diagonal", label="exact", role="reference"),
        ],
    )


def _spread(what: str, errors: np.ndarray, unit: str) -> str:
    return f"{what} {np.sqrt(np.mean(errors**2)):.3g} and {errors.mean():+.2g} {unit}"


def _residuals(title: str, what: str, errors: np.ndarray) -> Panel:
    return Panel(title=title, xlabel=what, ylabel="probability density", series=histogram(errors, "errors"))


def _magnitude(answers: Answers) -> Figure:
    size = np.linalg.norm(answers.labels.forces, axis=1)
    wrong = 1000 * np.linalg.norm(answers.force_errors, axis=1)
    bins = structured.binned(size, wrong, answers.atom_clusters, 10)
    return Figure(
        id="parity-magnitude",
        caption="Size of the force error against size of the labelled force, atom by atom, with the mean in "
        "bins. It rises slowly in a sound potential; a steep rise is fanning: large forces are thinly "
        "sampled or the model is biased.",
        alt="The mean force error goes from "
        f"{bins[0].mean:.3g} meV/A at a labelled force of {bins[0].centre:.2g} eV/A to {bins[-1].mean:.3g} "
        f"meV/A at {bins[-1].centre:.2g} eV/A."
        if bins
        else "Too few atoms for a mean in bins.",
        panels=[
            Panel(
                xlabel="labelled force (eV/A)",
                ylabel="force error (meV/A)",
                series=[
                    points(size, wrong, "atoms", dense=True),
                    Series(
                        kind="line",
                        x=[b.centre for b in bins],
                        y=[b.mean for b in bins],
                        label="mean",
                        role="fit",
                    ),
                ],
            )
        ],
    )


def _structure(answers: Answers, align: parity.Alignment) -> Figure:
    panels, trends = [], []
    errors = 1000 * align.errors
    for name, column in zip(answers.features.names, answers.features.values.T, strict=True):
        if not np.isfinite(column).any() or np.nanstd(column) == 0:
            continue
        bins = structured.binned(column, errors, answers.clusters, 5)
        if bins:
            trends.append(f"from {bins[0].mean:+.2g} to {bins[-1].mean:+.2g} over {name}")
        panels.append(
            Panel(
                xlabel=name,
                ylabel="energy error (meV/atom)",
                series=[
                    points(column, errors, "frames"),
                    Series(
                        kind="points",
                        x=[b.centre for b in bins],
                        y=[b.mean for b in bins],
                        yerr=[b.stderr for b in bins],
                        label="mean of a bin",
                        role="fit",
                    ),
                    level(0.0, "no error", "reference"),
                ],
            )
        )
    return Figure(
        id="parity-structure",
        caption="Signed energy error against what describes a frame, with means in bins. A sound potential "
        "scatters about zero everywhere; a trend is a systematic error that accumulates along a trajectory.",
        alt=f"Means in bins of the signed energy error go, in meV/atom, {'; '.join(trends) or 'nowhere'}.",
        panels=panels or [Panel(xlabel="frame", ylabel="energy error (meV/atom)", series=[])],
    )


def worst(answers: Answers, k: int) -> list[StructurePicture]:
    """The k worst frames with an arrow of force error per atom, the worst atom marked."""
    pictures = []
    for rank, frame in enumerate(parity.worst_frames(answers.labels, k)):
        atoms = answers.atoms_of(int(frame))
        errors = 1000 * answers.force_errors[atoms]
        if not np.isfinite(errors).all():
            continue
        size = np.linalg.norm(errors, axis=1)
        atom = int(size.argmax())
        where = f"{answers.names[frame]}" + (
            f" ({answers.config_types[frame]})" if answers.config_types[frame] else ""
        )
        pictures.append(
            picture(
                f"parity-worst-{rank + 1}",
                answers.structure_of(int(frame)),
                f"Frame {where}: force errors as arrows, largest {size[atom]:.4g} meV/A on atom {atom} "
                "(marked). In a sound potential the arrows of the worst frame are not much longer than those "
                "of others and point nowhere in particular.",
                f"Force errors on the atoms of frame {where}.",
                arrows=errors,
                arrow_unit="meV/A",
                highlight=[atom],
            )
        )
    return pictures
