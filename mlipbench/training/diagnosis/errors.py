"""Symptoms that the errors of the finished potential show."""

from __future__ import annotations

from collections import Counter

import numpy as np

from mlipbench.core.training import (
    CHECKLIST_LIMITS,
    Diagnosis,
    ErrorRow,
    FrameErrors,
    Part,
    PartSummary,
    TrainingRecord,
)
from mlipbench.training.diagnosis import remedies
from mlipbench.training.diagnosis.curves import FORCE_LIMIT, NORMAL_GAP

ENERGY_LIMIT = CHECKLIST_LIMITS["energy_mae"]  # meV/atom
_UNLIKE = 3.0  # ratio of two relative errors from which one is poor beside the other
_GOOD = 0.2  # relative error: 4 % of the variance is missed
_DOMINATES = 0.9  # share of the loss from which a larger weight changes nothing
_STARVED = 0.1  # share below which a term is hardly learnt
_OFFSET = 0.8  # share of the energy error that is one common shift
_TAIL = 0.05  # share of the frames
_TAIL_CARRIES = 0.5  # of the squared force error
_TAIL_RATIO = 3.0  # worst frame over the median one
_FEWEST_FRAMES = 20
_LARGE_GAP = 1.0


def error_symptoms(record: TrainingRecord) -> list[Diagnosis]:
    """What is wrong with the errors of the finished potential."""
    checks = (_useless(record), _gap(record), _poor_energies(record), _poor_forces(record), _outliers(record))
    return [d for d in checks if d is not None]


def _total(record: TrainingRecord, part: Part) -> ErrorRow | None:
    return next((row for row in record.rows if row.part == part and not row.config_type), None)


def _held_out(record: TrainingRecord) -> ErrorRow | None:
    return _total(record, "test") or _total(record, "valid")


def _summary(record: TrainingRecord, part: Part) -> PartSummary | None:
    return next((summary for summary in record.parts if summary.part == part), None)


def _useless(record: TrainingRecord) -> Diagnosis | None:
    """Force errors as large as the forces."""
    row = _held_out(record)
    summary = _summary(record, row.part) if row else None
    if row is None or summary is None or not summary.force_rms or row.errors.forces_rmse is None:
        return None
    ratio = row.errors.forces_rmse / summary.force_rms
    if ratio < 1:
        return None
    return Diagnosis(
        id="useless",
        level="error",
        what="The potential is no better than none: its force errors are as large as the forces.",
        evidence=f"{row.part} forces RMSE {row.errors.forces_rmse:.3g} meV/A, where forces have an r.m.s. of "
        f"{summary.force_rms:.3g} meV/A",
        remedy="See that forces have a weight in the loss, start from the usual learning rate and clipping "
        "(`lr: 0.01`, `clip_grad: 10`), and let `mlipbench audit` check units and signs of the labels.",
    )


def _gap(record: TrainingRecord) -> Diagnosis | None:
    """Force errors of validation frames well above those of training frames, in units of their forces."""
    train, valid = _total(record, "train"), _total(record, "valid")
    if train is None or valid is None or not train.errors.forces_mae or not valid.errors.forces_mae:
        return None
    of_train, of_valid = _summary(record, "train"), _summary(record, "valid")
    harder = 1.0  # validation frames may have larger forces
    if of_train and of_valid and of_train.force_rms and of_valid.force_rms:
        harder = of_valid.force_rms / of_train.force_rms
    gap = valid.errors.forces_mae / train.errors.forces_mae / harder - 1
    doubt = 2 * (valid.forces_mae_stderr or 0.0) / valid.errors.forces_mae * (1 + gap)
    if gap - doubt <= NORMAL_GAP:
        return None
    return Diagnosis(
        id="gap",
        level="warning" if gap > _LARGE_GAP else "note",
        what="Validation frames are met worse than training frames by more than the usual 20 %.",
        evidence=f"force MAE {train.errors.forces_mae:.3g} meV/A on training frames, "
        f"{valid.errors.forces_mae:.3g} meV/A on validation frames; relative to their forces "
        f"{100 * gap:.0f} % more",
        remedy=f"More training frames than {remedies.trained_frames(record)}; else a smaller network "
        f"({remedies.channels_times(record, 0.5)}) or {remedies.times(record, 'weight_decay', 10)}.",
    )


def _skills(record: TrainingRecord, row: ErrorRow) -> tuple[float, float] | None:
    """Relative errors of energies and forces: r.m.s. error over r.m.s. of what is to be learnt."""
    summary = _summary(record, row.part)
    e, f = row.errors.energy_rmse, row.errors.forces_rmse
    if summary is None or not summary.energy_spread or not summary.force_rms or e is None or f is None:
        return None
    return e / summary.energy_spread, f / summary.force_rms


def _loss_share(record: TrainingRecord, term: str) -> float:
    """Share of a term (energy, forces) in the training loss over the last epochs of all members."""
    shares = []
    for epoch in (e for member in record.members for e in member.epochs[-3:]):
        total = sum(epoch.train_terms.values())
        own = sum(value for name, value in epoch.train_terms.items() if name.startswith(term))
        shares.append(own / total if total > 0 else 0.0)
    return float(np.median(shares)) if shares else 0.0


def _relative(skills: tuple[float, float], row: ErrorRow) -> str:
    return (
        f"{row.part} energy MAE {row.errors.energy_mae:.3g} meV/atom, r.m.s. {100 * skills[0]:.0f} % of the "
        f"energies' own spread; force MAE {row.errors.forces_mae:.3g} meV/A, r.m.s. {100 * skills[1]:.0f} % "
        "of the forces"
    )


def _poor_energies(record: TrainingRecord) -> Diagnosis | None:
    row = _held_out(record)
    skills = _skills(record, row) if row else None
    if row is None or skills is None or row.errors.energy_mae is None or row.errors.forces_mae is None:
        return None
    energy, forces = skills
    beside = forces < _GOOD or row.errors.forces_mae < FORCE_LIMIT or energy >= 1
    if not beside or row.errors.energy_mae <= ENERGY_LIMIT or energy < _UNLIKE * forces:
        return None
    share = _loss_share(record, "energy")
    errors = [f.energy for f in record.frames if f.part == row.part and f.energy is not None]
    shift = float(np.mean(errors)) if errors else 0.0
    of_train = _total(record, "train")
    learnt = of_train is None or (of_train.errors.energy_mae or 0.0) < row.errors.energy_mae / _UNLIKE
    if of_train is not None and learnt and abs(shift) > _OFFSET * row.errors.energy_mae:
        return Diagnosis(
            id="energies.offset",
            level="warning",
            what="Energies of frames that were held out are off by a common shift.",
            evidence=f"{_relative(skills, row)}; mean error {shift:+.3g} meV/atom; "
            f"on training frames energy MAE {of_train.errors.energy_mae:.3g} meV/atom",
            remedy="These energies are not counted as those of the training set, whose frames fare better: "
            "another setup of the reference calculations, or compositions from which E0s do not follow. "
            "Check the sources and their level of theory, and give E0s of single atoms.",
        )
    if share > _DOMINATES:
        return None
    return Diagnosis(
        id="energies",
        level="warning",
        what="Energies are poor beside the forces: they weigh too little in the loss.",
        evidence=f"{_relative(skills, row)}; energies are {_percent(share)} of the training loss",
        remedy=f"Raise the energy weight ({remedies.times(record, 'energy_weight', 10)}), at least in a last "
        "stage with a low learning rate.",
    )


def _poor_forces(record: TrainingRecord) -> Diagnosis | None:
    row = _held_out(record)
    skills = _skills(record, row) if row else None
    if row is None or skills is None or row.errors.energy_mae is None or row.errors.forces_mae is None:
        return None
    energy, forces = skills
    share = _loss_share(record, "forces")
    uneven = row.errors.energy_mae < ENERGY_LIMIT or energy < _GOOD / 2
    uneven = uneven and forces > _GOOD and forces > _UNLIKE * energy and share < _DOMINATES
    if row.errors.forces_mae <= FORCE_LIMIT or not (uneven or share < _STARVED):
        return None
    return Diagnosis(
        id="forces",
        level="warning",
        what="Forces are poor, and weigh too little in the loss.",
        evidence=f"{_relative(skills, row)}; forces are {_percent(share)} of the training loss",
        remedy=f"Raise the force weight ({remedies.times(record, 'forces_weight', 10)}) or lower the energy "
        f"weight ({remedies.times(record, 'energy_weight', 0.1)}).",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share >= 1e-4 or share == 0 else "less than 0.01 %"


def _outliers(record: TrainingRecord) -> Diagnosis | None:
    """A few frames that carry most of the squared force error."""
    row = _held_out(record)
    frames = [f for f in record.frames if row and f.part == row.part and f.forces_rmse is not None]
    if len(frames) < _FEWEST_FRAMES:
        return None
    frames.sort(key=_squared, reverse=True)
    carried = np.cumsum([_squared(f) for f in frames])
    if carried[-1] <= 0:
        return None
    few = int(np.searchsorted(carried, _TAIL_CARRIES * carried[-1])) + 1
    rmse = [float(f.forces_rmse or 0.0) for f in frames]
    median = float(np.median(rmse))
    if few > max(1, _TAIL * len(frames)) or max(rmse) < _TAIL_RATIO * median:
        return None
    tail = frames[:few]
    worst = ", ".join(f"{f.label} ({f.forces_rmse:.0f} meV/A)" for f in tail[:3])
    share = carried[few - 1] / carried[-1]
    return Diagnosis(
        id="outliers",
        level="warning",
        what="Nearly all frames are met well, and a few are not: they come from a region that the training "
        "set hardly covers, or their labels are wrong.",
        evidence=f"{few} of {len(frames)} {tail[0].part} frames carry {100 * share:.0f} % of the squared "
        f"force error; worst: {worst}; median frame {median:.0f} meV/A{_kinds(record, tail)}",
        remedy="Look at these frames first: are their reference calculations converged? If so, label more "
        "structures like them (`mlipbench audit` shows what the training set lacks) and train again.",
    )


def _squared(frame: FrameErrors) -> float:
    """Sum of squared force errors, (meV/A)^2."""
    return 3 * frame.n_atoms * float(frame.forces_rmse or 0.0) ** 2


def _kinds(record: TrainingRecord, tail: list[FrameErrors]) -> str:
    """Config types of the tail, with how many training frames are of each."""
    counts = Counter(f.config_type for f in tail if f.config_type)
    trained = {r.config_type: r.errors.n_frames for r in record.rows if r.part == "train"}
    told = [f"{name} ({n}; {trained.get(name, 0)} in training)" for name, n in counts.most_common(3)]
    return f"; of config_type {', '.join(told)}" if told else ""
