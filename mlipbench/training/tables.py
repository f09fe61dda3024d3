"""Tables of a training, as values of its record."""

from __future__ import annotations

from mlipbench.core.figure import Table
from mlipbench.core.training import TrainingRecord
from mlipbench.training.figures import PART_NAMES, value_of

MOST_FRAMES = 15  # in the table of the worst


def tables(record: TrainingRecord) -> list[Table]:
    """The members, and the frames with the largest errors."""
    return [table for table in (_members(record), _worst(record)) if table.rows]


def _members(record: TrainingRecord) -> Table:
    rows: list[list[str | float | int | None]] = []
    for number, member in enumerate(record.members):
        best = next((e for e in member.epochs if e.epoch == member.best_epoch), None)
        forces = value_of(best.valid, "forces_mae") if best else None
        energy = value_of(best.valid, "energy_mae") if best else None
        rows.append(
            [
                str(number), member.seed, len(member.epochs), member.best_epoch, energy, forces,
                _ENDED[member.ended], round(member.seconds / 60, 1),
            ]
        )  # fmt: skip
    return Table(
        id="members",
        caption="The networks of the committee. Errors are those of the validation frames in the epoch whose "
        "weights were kept.",
        columns=[
            "Member", "Seed", "Epochs", "Kept epoch", "Energy MAE (meV/atom)", "Force MAE (meV/A)",
            "Ended by", "Wall time (min)",
        ],
        rows=rows,
    )  # fmt: skip


_ENDED = {
    "schedule": "end of the schedule",
    "patience": "early stopping",
    "diverged": "divergence",
    "unfinished": "not ended",
}


def _worst(record: TrainingRecord) -> Table:
    """Of test frames; without them, of validation frames; without those, of all."""
    frames = record.frames
    for part in ("test", "valid"):
        if any(f.part == part for f in record.frames):
            frames = [f for f in record.frames if f.part == part]
            break
    worst = sorted(frames, key=lambda f: f.forces_rmse or abs(f.energy or 0.0), reverse=True)[:MOST_FRAMES]
    return Table(
        id="worst-frames",
        caption=f"The {len(worst)} frames of {len(frames)} with the largest force errors. What stands out "
        "here is either a wrong label or a region that the training set lacks.",
        columns=[
            "Frame", "Part", "config_type", "Atoms", "Energy error (meV/atom)", "Forces RMSE (meV/A)",
            "Largest component (meV/A)", "Stress RMSE (meV/A^3)",
        ],
        rows=[
            [
                f.label, PART_NAMES[f.part], f.config_type or "–", f.n_atoms, f.energy, f.forces_rmse,
                f.largest_force, f.stress_rmse,
            ]
            for f in worst
        ],
    )  # fmt: skip
