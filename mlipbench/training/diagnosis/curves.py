"""Symptoms that the curves of one member show."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import groupby

import numpy as np

from mlipbench.core.training import CHECKLIST_LIMITS, Diagnosis, Epoch, MemberRecord, TrainingRecord
from mlipbench.training.diagnosis import remedies
from mlipbench.training.diagnosis.trend import FEWEST, last, level, smoothed, trend

FORCE_LIMIT = CHECKLIST_LIMITS["forces_mae"]  # meV/A
STEEP = 0.10  # a fall by this share is one that going on would continue
NORMAL_GAP = 0.20  # validation above training
_CAPACITY_GAP = 0.30  # up to this, training and validation fail alike
_FEWEST_EPOCHS = 10  # of which a curve is judged
_SPIKE = 3.0  # times the median of the epochs around it
_WANDERS = 2.0  # training errors over validation errors at the end
_RISE = 0.05  # of the validation loss above its minimum
_CLIPPED = 0.9


def member_symptoms(record: TrainingRecord, member: MemberRecord) -> list[Diagnosis]:
    """What is wrong with one member."""
    checks: tuple[Callable[[TrainingRecord, MemberRecord], Diagnosis | None], ...] = (
        _diverged, _interrupted, _force_error, _falling, _overfitting, _spikes, _clipping,
    )  # fmt: skip
    return [d for check in checks if (d := check(record, member)) is not None] + member.causes


def _diverged(record: TrainingRecord, member: MemberRecord) -> Diagnosis | None:
    if member.ended != "diverged":
        return None
    return Diagnosis(
        id="diverged",
        level="error",
        what="The loss stopped being a number, and the training with it.",
        evidence=f"after {len(member.epochs)} whole epochs{': ' if member.message else ''}{member.message}",
        remedy="Mend the causes that are named beside this, and train into another folder."
        if member.causes
        else f"Lower the learning rate ({remedies.times(record, 'lr', 0.1)}), see that clip_grad is on, and "
        "train into another folder.",
    )


def _interrupted(record: TrainingRecord, member: MemberRecord) -> Diagnosis | None:
    if member.ended != "unfinished":
        return None
    return Diagnosis(
        id="interrupted",
        level="warning",
        what="The training has not come to its end.",
        evidence=f"{len(member.epochs)} epochs are done",
        remedy="Run the same `mlipbench train` command again: it goes on from the last checkpoint.",
    )


def _known(epochs: list[Epoch], get: Callable[[Epoch], float | None]) -> list[float]:
    return [value for epoch in epochs if (value := get(epoch)) is not None and value > 0]


def _valid_forces(epoch: Epoch) -> float | None:
    return epoch.valid.forces_mae if epoch.valid else None


def _train_forces(epoch: Epoch) -> float | None:
    return epoch.train.forces_mae


def _fall(values: list[float], share: float) -> float:
    """By which share a curve falls in its last part; 0 where that may be chance."""
    found = trend(last(values, share))
    return -found.change if found is not None and found.falls else 0.0


def _force_error(record: TrainingRecord, member: MemberRecord) -> Diagnosis | None:
    """A validation force error above the limit that has stopped falling, with the likeliest cause."""
    valid, train = _known(member.epochs, _valid_forces), _known(member.epochs, _train_forces)
    if len(valid) < _FEWEST_EPOCHS or not train or member.ended in ("diverged", "unfinished"):
        return None
    fall = _fall(valid, 1 / 3)
    if level(valid) <= FORCE_LIMIT or fall >= STEEP:
        return None
    gap = level(valid) / level(train) - 1
    rates = [epoch.lr for epoch in member.epochs]
    if rates[-1] > 0.5 * max(rates):
        cause, remedy = "schedule", _lower_rate(record, rates)
    elif gap <= _CAPACITY_GAP:
        cause, remedy = "capacity", _more_capacity(record)
    else:
        cause, remedy = "data", _more_data(record)
    return Diagnosis(
        id=f"plateau.{cause}",
        level="warning",
        what=f"The force error has stopped falling above {FORCE_LIMIT:g} meV/A. {_CAUSES[cause]}",
        evidence=f"validation force MAE {level(valid):.0f} meV/A, "
        + (f"fallen by {100 * fall:.0f} %" if fall else "not fallen")
        + f" over the last third of {len(valid)} epochs; training force MAE {level(train):.0f} meV/A; "
        f"learning rate {rates[0]:.2g} at first, {rates[-1]:.2g} at the end",
        remedy=remedy,
    )


_CAUSES = {
    "schedule": "The learning rate was never lowered, so the weights may be wandering about a minimum.",
    "capacity": "Frames that it has learnt from are no better than others: the network, not the data, "
    "sets the limit.",
    "data": "Frames that it has learnt from are much better than others: the data set the limit.",
}


def _lower_rate(record: TrainingRecord, rates: list[float]) -> str:
    how = "`scheduler: cosine`" if record.config.get("scheduler") == "plateau" else "`scheduler: plateau`"
    return (
        f"Lower the learning rate as the training goes on: {how}, or a last stage in train_schedule with "
        f"`lr: {0.1 * rates[-1]:.2g}`. If the error stays where it is, the network or the data are too small."
    )


def _more_capacity(record: TrainingRecord) -> str:
    angles = remedies.higher_orders(record)
    channels = remedies.channels_times(record, 2)
    reach = record.architecture.get("r_max")
    known = isinstance(reach, (int, float))
    cutoff = f"r_max ({reach:g} A) encloses the first two coordination shells" if known else "r_max is enough"
    if angles:
        return (
            f"Angles beyond what the network sees are the usual cause: {angles}. Then more channels "
            f"({channels}); and see that {cutoff}."
        )
    return f"More channels ({channels}), correlation 3, one more layer; and see that {cutoff}."


def _more_data(record: TrainingRecord) -> str:
    return (
        f"Label more frames than the {remedies.trained_frames(record)} there are, of the kinds with the "
        "largest errors (table of errors by kind of frame); a learning curve over 1/4, 1/2 and all of them "
        "shows what more would bring."
    )


def _falling(record: TrainingRecord, member: MemberRecord) -> Diagnosis | None:
    """Errors that would go on falling, or too few epochs to tell."""
    if member.ended in ("diverged", "unfinished"):
        return None
    valid = _known(member.epochs, _valid_forces)
    name, unit = "force", "meV/A"
    if not valid:
        valid = _known(member.epochs, lambda e: e.valid.energy_mae if e.valid else None)
        name, unit = "energy", "meV/atom"
    rates = [epoch.lr for epoch in member.epochs]
    factor = max(2, math.ceil(_FEWEST_EPOCHS / max(len(member.epochs), 1)))
    more = f"Train longer ({remedies.times(record, 'max_num_epochs', factor)}), and lower the rate only then."
    if len(valid) < _FEWEST_EPOCHS:
        return Diagnosis(
            id="unfinished",
            level="note",
            what="There are too few epochs for the curves to tell whether the training was long enough.",
            evidence=f"{len(valid)} epochs with validation; curves are judged from {_FEWEST_EPOCHS} on",
            remedy=more,
        )
    share, words = 1 / 5, "fifth"
    if name == "force" and level(valid) > FORCE_LIMIT and _fall(valid, 1 / 3) >= STEEP:
        share, words = 1 / 3, "third"
    fall = _fall(valid, share)
    if fall < STEEP:
        return None
    return Diagnosis(
        id="unfinished",
        level="warning",
        what="The errors were still falling steeply when the training ended.",
        evidence=f"validation {name} MAE fell by {100 * fall:.0f} % in the last {words} of {len(valid)} "
        f"epochs, to {level(valid):.3g} {unit}; learning rate at the end {rates[-1]:.2g}",
        remedy=more,
    )


def _overfitting(record: TrainingRecord, member: MemberRecord) -> Diagnosis | None:
    """Within one stage (losses of others have other weights): validation rises, training falls."""
    for stage, group in reversed([(name, list(g)) for name, g in groupby(member.epochs, lambda e: e.stage)]):
        epochs = [e for e in group if e.valid_loss is not None]
        found = _overfitted(epochs)
        if found is None:
            continue
        epoch, rise, fall = found
        where = f" of stage {stage}" if len({e.stage for e in member.epochs}) > 1 else ""
        kept = (
            f"; the weights of epoch {member.best_epoch} were kept" if member.best_epoch is not None else ""
        )
        return Diagnosis(
            id="overfitting",
            level="warning",
            what="The validation loss rises while the training loss falls: the network learns its frames by "
            "heart.",
            evidence=f"from epoch {epoch} to the end{where} the validation loss rose by {100 * rise:.0f} %, "
            f"the training loss fell by {100 * fall:.0f} %; {remedies.trained_frames(record)} training "
            f"frames, {record.n_parameters} parameters{kept}",
            remedy=f"More training frames; a smaller network ({remedies.channels_times(record, 0.5)}); "
            f"{remedies.times(record, 'weight_decay', 10)}; early stopping (`patience: "
            f"{max(len(member.epochs) // 10, 10)}`).",
        )
    return None


def _overfitted(epochs: list[Epoch]) -> tuple[int, float, float] | None:
    """Epoch of the minimum, rise of the validation loss and fall of the training loss after it."""
    if len(epochs) < _FEWEST_EPOCHS:
        return None
    valid = [float(e.valid_loss or np.nan) for e in epochs]
    smooth = smoothed(valid)
    lowest = int(np.argmin(smooth))
    after = len(epochs) - 1 - lowest
    if after < max(FEWEST, len(epochs) // 5):
        return None
    rising, falling = trend(valid[lowest:]), trend([e.train_loss for e in epochs[lowest:]])
    if rising is None or falling is None or not rising.rises or not falling.falls:
        return None
    rise = level(valid) / smooth[lowest] - 1
    return (epochs[lowest].epoch, rise, -falling.change) if rise > _RISE and rising.change > _RISE else None


def _spikes(record: TrainingRecord, member: MemberRecord) -> Diagnosis | None:
    """Training losses far above those of the epochs around them, or a loss that rises and stays there."""
    told = []
    for _, group in groupby(member.epochs, lambda e: e.stage):  # a stage may begin with any loss
        epochs = list(group)
        losses = [e.train_loss for e in epochs]
        told += [f"epoch {epochs[i].epoch} ({ratio:.0f} times)" for i, ratio in spikes(losses)]
    ends_high = _ends_high([e for e in member.epochs if e.stage == member.epochs[-1].stage])
    wandering = _wandering(member)
    if len(told) < 2 and not ends_high and not wandering:  # one bad batch is forgiven
        return None
    evidence = []
    if told:
        evidence.append(
            f"{len(told)} epochs with more than {_SPIKE:g} times the loss of those around them: "
            f"{', '.join(told[:4])}"
        )
    if ends_high:
        evidence.append(f"at the end the training loss is {ends_high:.0f} times its lowest")
    if wandering:
        evidence.append(wandering)
    return Diagnosis(
        id="instability",
        level="warning",
        what="Steps are too large: the loss jumps, or the weights wander about.",
        evidence="; ".join(evidence),
        remedy=f"Lower the learning rate ({remedies.times(record, 'lr', 0.3)}), clip gradients harder "
        f"({remedies.times(record, 'clip_grad', 0.3)}), take larger batches; look at the frames with the "
        "largest errors.",
    )


def spikes(losses: list[float]) -> list[tuple[int, float]]:
    """(index, ratio) of losses above three times, and five times the scatter of, those around them."""
    y = np.log(np.maximum(losses, 1e-300))
    above = np.array(
        [
            y[i] - max(float(np.median(y[max(i - 3, 0) : i])), float(np.median(y[i + 1 : i + 4])))
            for i in range(1, len(y) - 1)
        ]
    )
    if len(above) < FEWEST:
        return []
    scatter = 1.4826 * float(np.median(np.abs(above - np.median(above))))
    least = max(np.log(_SPIKE), 5 * scatter)
    return [(i + 1, float(np.exp(jump))) for i, jump in enumerate(above) if jump > least]


def _wandering(member: MemberRecord) -> str:
    """Training errors far above those of validation, which sees the average of the weights."""
    valid, train = _known(member.epochs, _valid_forces), _known(member.epochs, _train_forces)
    if len(valid) < _FEWEST_EPOCHS or not train or level(train) < _WANDERS * level(valid):
        return ""
    return (
        f"the weights on their way have a training force MAE of {level(train):.0f} meV/A, their average a "
        f"validation force MAE of {level(valid):.0f}"
    )


def _ends_high(epochs: list[Epoch]) -> float:
    """How far above its lowest a training loss ends; 0 where it is no matter."""
    if len(epochs) < _FEWEST_EPOCHS:
        return 0.0
    losses = [e.train_loss for e in epochs]
    ratio = level(losses) / max(min(smoothed(losses)), 1e-300)
    return ratio if ratio > _SPIKE else 0.0


def _clipping(record: TrainingRecord, member: MemberRecord) -> Diagnosis | None:
    """Gradients of nearly every step clipped, past the beginning."""
    half = member.epochs[len(member.epochs) // 2 :]
    if len(member.epochs) < _FEWEST_EPOCHS:
        return None
    share = float(np.median([e.clipped for e in half]))
    if share < _CLIPPED:
        return None
    norm = float(np.median([e.gradient_norm for e in half]))
    room = float(f"{3 * norm:.1g}")
    return Diagnosis(
        id="clipping",
        level="note",
        what="The gradient is clipped at nearly every step, so the clip and not the loss sets its length.",
        evidence=f"{100 * share:.0f} % of the steps of the second half; gradient norm before clipping "
        f"{norm:.3g}",
        remedy=f"`clip_grad: {room:g}`, or all loss weights lowered by the same factor.",
    )
