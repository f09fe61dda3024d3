"""Figures of a training, as values of its record."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from mlipbench.core.figure import Figure, Numbers, Panel, Series
from mlipbench.core.training import (
    CHECKLIST_LIMITS,
    PARTS,
    Epoch,
    Errors,
    FrameErrors,
    MemberRecord,
    TrainingRecord,
)

# field of Errors -> title, unit
_QUANTITIES = {
    "energy_mae": ("Energy", "meV/atom"),
    "forces_mae": ("Forces", "meV/A"),
    "stress_mae": ("Stress", "meV/A^3"),
}
PART_NAMES = {"train": "training", "valid": "validation", "test": "test"}

_MOST_POINTS = 120  # epochs of a member, where each is a point

Get = Callable[[Epoch], float | None]


def figures(record: TrainingRecord) -> list[Figure]:
    """All figures for which the record has data."""
    if not any(member.epochs for member in record.members):
        return []
    made = (
        learning_curve(record),
        _errors(record),
        _train_against_valid(record),
        _terms(record),
        _steps(record),
        _frames(record),
    )
    return [figure for figure in made if figure is not None]


def learning_curve(record: TrainingRecord) -> Figure:
    """Loss of training and validation, and the learning rate, epoch by epoch."""
    loss = [
        *_curve(record, lambda e: e.train_loss, "training"),
        *_curve(record, lambda e: e.valid_loss, "validation"),
    ]
    first, last = record.members[0].epochs[0], record.members[0].epochs[-1]
    return Figure(
        id="learning-curve",
        caption="Learning curve. Loss of the training frames (of the weights on their way) and of the "
        "validation frames (of the averaged weights, where weights are averaged), and the learning rate. "
        "Losses of different stages have other weights. A sound training falls by orders of magnitude at "
        f"first and levels off; validation stays beside training.{_band_words(record)}",
        alt=f"The training loss goes from {first.train_loss:.2g} to {last.train_loss:.2g} in "
        f"{len(record.members[0].epochs)} epochs.",
        panels=[
            _panel("Loss", "loss", [*loss, *_best(record, lambda e: e.valid_loss), *_stages(record, loss)]),
            _panel("Learning rate", "learning rate", _curve(record, lambda e: e.lr, "learning rate")),
        ],
    )


def _errors(record: TrainingRecord) -> Figure | None:
    panels, told = [], []
    for field, (title, unit) in _QUANTITIES.items():
        series = [
            *_curve(record, _of_train(field), "training"),
            *_curve(record, _of_valid(field), "validation"),
        ]
        if not series:
            continue
        limit = Series(
            kind="level", y=[CHECKLIST_LIMITS[field]], role="limit", label="limit of the deployment checklist"
        )
        stages = _stages(record, series)
        panels.append(
            _panel(title, f"MAE ({unit})", [*series, *_best(record, _of_valid(field)), limit, *stages])
        )
        ends = _values(record.members[0], _of_valid(field)) or _values(record.members[0], _of_train(field))
        told.append(f"{title.lower()} to {ends[-1][1]:.3g} {unit}")
    if not panels:
        return None
    return Figure(
        id="errors-by-epoch",
        caption="Mean absolute errors after each epoch. A sound training brings validation below the limits "
        f"and ends where the curves are level.{_band_words(record)}",
        alt=f"Errors fall: {', '.join(told)}.",
        panels=panels,
    )


def _train_against_valid(record: TrainingRecord) -> Figure | None:
    panels: list[Panel] = []
    alt = "Validation errors against training errors, epoch by epoch."
    for field in ("energy_mae", "forces_mae"):
        title, unit = _QUANTITIES[field]
        series = []
        for number, member in enumerate(record.members[:4]):
            train, valid = dict(_values(member, _of_train(field))), dict(_values(member, _of_valid(field)))
            both = [epoch for epoch in train if epoch in valid]
            shown = both[:: math.ceil(len(both) / _MOST_POINTS)] if both else []
            left_out = f"{len(shown)} of {len(both)} epochs, evenly chosen" if len(shown) < len(both) else ""
            series.append(
                Series(
                    kind="points",
                    x=[train[epoch] for epoch in shown],
                    y=[valid[epoch] for epoch in shown],
                    label="epochs" if len(record.members) == 1 else f"member {number}",
                    thinned=left_out,
                )
            )
            if both and not panels and field == "forces_mae":
                alt = f"{alt} Force MAE ends at {train[both[-1]]:.3g} and {valid[both[-1]]:.3g} meV/A."
        if any(s.x for s in series):
            equal = Series(kind="diagonal", label="equal errors")
            panels.append(
                Panel(
                    title=title, xlabel=f"training MAE ({unit})", ylabel=f"validation MAE ({unit})",
                    xscale="log", yscale="log", series=[*series, equal],
                )
            )  # fmt: skip
    if not panels:
        return None
    return Figure(
        id="train-against-valid",
        caption="Validation against training errors; time runs towards the lower left. A sound training "
        "follows the diagonal, at the end about 20 % above it; overfitting turns away from it upwards.",
        alt=alt,
        panels=panels,
    )


def _terms(record: TrainingRecord) -> Figure | None:
    """Shares of the loss, of training and validation."""
    panels = []
    parts: tuple[tuple[str, Callable[[Epoch], dict[str, float]]], ...] = (
        ("Training", lambda e: e.train_terms),
        ("Validation", lambda e: e.valid_terms),
    )
    for title, get in parts:
        names = list(dict.fromkeys(name for m in record.members for e in m.epochs for name in get(e)))
        series = [s for name in names for s in _curve(record, _share(get, name), name.replace("_", " "))]
        if series:
            panels.append(
                Panel(title=title, xlabel="epoch", ylabel="share of the loss", yscale="log", series=series)
            )
    if not panels:
        return None
    return Figure(
        id="loss-terms",
        caption="Shares of the terms in the loss, weights included. What has a share far below 1 % all the "
        "time is not learnt from; its weight is what sets it.",
        alt="Share of each term in the loss, epoch by epoch.",
        panels=panels,
    )


def _share(get: Callable[[Epoch], dict[str, float]], name: str) -> Get:
    def share(epoch: Epoch) -> float | None:
        terms = get(epoch)
        total = sum(terms.values())
        return terms[name] / total if name in terms and total > 0 else None

    return share


def _steps(record: TrainingRecord) -> Figure:
    clipped = _curve(record, lambda e: e.clipped, "")[0]
    edges: Numbers = [*clipped.x, (clipped.x[-1] or 0.0) + 1]
    bars = [Series(kind="bars", x=edges, y=clipped.y)]
    return Figure(
        id="steps",
        caption="Norm of the gradient before clipping, mean over the steps of an epoch, and the fraction of "
        "steps whose gradient was clipped. Clipping at the beginning is usual; later it should be rare.",
        alt="Gradient norm and fraction of clipped steps, epoch by epoch.",
        panels=[
            _panel("Gradient", "gradient norm", _curve(record, lambda e: e.gradient_norm, "gradient norm")),
            Panel(title="Clipped steps", xlabel="epoch", ylabel="fraction of the steps", series=bars),
        ],
    )


def _frames(record: TrainingRecord) -> Figure | None:
    """How errors are distributed over frames: a tail shows as a curve that bends before it reaches 1."""
    panels: list[Panel] = []
    quantities: tuple[tuple[str, str, Callable[[FrameErrors], float | None]], ...] = (
        ("Forces", "r.m.s. force error of the frame (meV/A)", lambda f: f.forces_rmse),
        ("Energy", "energy error of the frame, magnitude (meV/atom)", lambda f: f.energy),
    )
    for title, label, get in quantities:
        series = []
        for part in PARTS:
            found = [abs(v) for f in record.frames if f.part == part and (v := get(f)) is not None]
            values: Numbers = [*sorted(v for v in found if v > 0)]
            if values:
                share: Numbers = [(i + 1) / len(values) for i in range(len(values))]
                series.append(Series(kind="line", x=values, y=share, label=PART_NAMES[part]))
        if series:
            ylabel = "fraction of frames with less"
            panels.append(Panel(title=title, xlabel=label, ylabel=ylabel, xscale="log", series=series))
    if not panels:
        return None
    return Figure(
        id="frames",
        caption="Distribution of errors over frames: which fraction of the frames has less than the error on "
        "the abscissa. Validation and test that lie on each other are what one wants; a long tail to the "
        "right is a few frames of another kind.",
        alt="Cumulative distribution of the errors of single frames, for each part of the data.",
        panels=panels,
    )


# ---------------------------------------------------------------- curves
def _panel(title: str, ylabel: str, series: list[Series]) -> Panel:
    return Panel(title=title, xlabel="epoch", ylabel=ylabel, yscale="log", series=series)


def _of_train(field: str) -> Get:
    return lambda epoch: value_of(epoch.train, field)


def _of_valid(field: str) -> Get:
    return lambda epoch: value_of(epoch.valid, field)


def value_of(errors: Errors | None, field: str) -> float | None:
    """A field of errors that may not be there."""
    value = getattr(errors, field) if errors is not None else None
    return None if value is None else float(value)


def _values(member: MemberRecord, get: Get) -> list[tuple[int, float]]:
    return [(epoch.epoch, value) for epoch in member.epochs if (value := get(epoch)) is not None]


def _curve(record: TrainingRecord, get: Get, label: str) -> list[Series]:
    """A line; of a committee, the median of its members in the band from the lowest to the highest."""
    by_epoch: dict[int, list[float]] = {}
    for member in record.members:
        for epoch, value in _values(member, get):
            by_epoch.setdefault(epoch, []).append(value)
    if not by_epoch:
        return []
    x: Numbers = [*sorted(by_epoch)]
    line = Series(kind="line", x=x, y=[float(np.median(by_epoch[e])) for e in sorted(by_epoch)], label=label)
    if len(record.members) == 1:
        return [line]
    low: Numbers = [min(by_epoch[e]) for e in sorted(by_epoch)]
    high: Numbers = [max(by_epoch[e]) for e in sorted(by_epoch)]
    return [line, Series(kind="band", x=x, y=low, y2=high, role="context")]


def _band_words(record: TrainingRecord) -> str:
    if len(record.members) == 1:
        return ""
    return f" Lines are medians over the {len(record.members)} members, bands their whole range."


def _best(record: TrainingRecord, get: Get) -> list[Series]:
    """Epochs whose weights were kept."""
    points = [
        (epoch, value)
        for member in record.members
        for epoch, value in _values(member, get)
        if epoch == member.best_epoch
    ]
    if not points:
        return []
    x, y = zip(*points, strict=True)
    return [Series(kind="points", x=list(x), y=list(y), role="reference", label="weights that were kept")]


def _stages(record: TrainingRecord, series: list[Series]) -> list[Series]:
    """Vertical lines where a stage begins, over the range of what is drawn beside them."""
    drawn = [v for s in series for v in (*s.y, *s.y2) if v is not None and v > 0]
    if not drawn:
        return []
    return [
        Series(
            kind="line",
            x=[epoch, epoch],
            y=[min(drawn), max(drawn)],
            role="context",
            label=f"stage {name} begins",
        )
        for epoch, name in _beginnings(record)
    ]


def _beginnings(record: TrainingRecord) -> Iterator[tuple[int, str]]:
    """Epoch and name of every stage but the first."""
    longest = max(record.members, key=lambda m: len(m.epochs))
    for before, after in pairwise(longest.epochs):
        if before.stage != after.stage:
            yield after.epoch, after.stage
