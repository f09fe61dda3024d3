"""Figures and tables of a record hold the numbers of the record."""

from __future__ import annotations

import numpy as np
import pytest
import records
from records import member, record

from mlipbench.core.figure import Figure, Series
from mlipbench.core.training import Errors, TrainingRecord
from mlipbench.report.figures import draw
from mlipbench.training.figures import figures
from mlipbench.training.tables import tables


def by_id(found: TrainingRecord) -> dict[str, Figure]:
    return {figure.id: figure for figure in figures(found)}


def series(figure: Figure, panel: str, label: str) -> Series:
    axes = next(p for p in figure.panels if p.title == panel)
    return next(s for s in axes.series if s.label == label)


def test_all_figures_of_a_whole_record() -> None:
    found = by_id(record())
    assert list(found) == [
        "learning-curve", "errors-by-epoch", "train-against-valid", "loss-terms", "steps", "frames",
    ]  # fmt: skip
    assert [p.title for p in found["errors-by-epoch"].panels] == ["Energy", "Forces", "Stress"]
    for figure in found.values():
        drawn = draw(figure, figure.id)
        assert all("no data" not in panel.svg for panel in drawn)


def test_curves_are_the_epochs_of_the_record() -> None:
    one = record()
    found = by_id(one)
    epochs = one.members[0].epochs
    valid = series(found["learning-curve"], "Loss", "validation")
    assert valid.x == list(range(60))
    assert valid.y == [e.valid_loss for e in epochs]
    forces = series(found["errors-by-epoch"], "Forces", "training")
    assert forces.y == [e.train.forces_mae for e in epochs]
    kept = series(found["errors-by-epoch"], "Forces", "weights that were kept")
    best = one.members[0].best_epoch
    assert kept.x == [best]
    assert kept.y == [forces_valid(epochs[int(kept.x[0] or 0)].valid)]
    limit = series(found["errors-by-epoch"], "Forces", "limit of the deployment checklist")
    assert limit.y == [50.0]


def forces_valid(errors: Errors | None) -> float | None:
    return errors.forces_mae if errors else None


def test_committee_is_told_by_median_and_range() -> None:
    """Oracle: numpy, over three members of which one is shorter."""
    members = [member(seed=1), member(seed=2), member(40, seed=3)]
    panel = by_id(record(members))["learning-curve"].panels[0]
    line, band = panel.series[0], panel.series[1]
    losses = [[e.train_loss for e in m.epochs] for m in members]
    assert line.y[10] == float(np.median([loss[10] for loss in losses]))
    assert line.y[50] == float(np.median([losses[0][50], losses[1][50]]))
    assert (band.y[10], band.y2[10]) == (min(x[10] for x in losses), max(x[10] for x in losses))
    kept = next(s for s in panel.series if s.label == "weights that were kept")
    assert len(kept.x) == 3


def test_stages_are_marked_where_they_begin() -> None:
    one = member(80)
    epochs = [e.model_copy(update={"stage": "late"}) if e.epoch >= 50 else e for e in one.epochs]
    panel = by_id(record([one.model_copy(update={"epochs": epochs})]))["learning-curve"].panels[0]
    mark = next(s for s in panel.series if s.label == "stage late begins")
    assert mark.x == [50, 50]


def test_shares_of_the_loss_add_up() -> None:
    panel = by_id(record())["loss-terms"].panels[0]
    assert {s.label for s in panel.series} == {"energy per atom", "forces", "stress"}
    total = np.sum([np.array(s.y, dtype=float) for s in panel.series], axis=0)
    np.testing.assert_allclose(total, 1.0, atol=1e-12)


def test_distribution_over_frames() -> None:
    """Oracle: a quarter of the test frames lies below their lower quartile."""
    one = record()
    line = by_id(one)["frames"].panels[0].series[0]
    quartile = np.quantile([f.forces_rmse for f in one.frames], 0.25)
    below = [y for x, y in zip(line.x, line.y, strict=True) if x is not None and x <= quartile]
    assert below[-1] == pytest.approx(0.25, abs=1 / len(one.frames))


@pytest.mark.parametrize("gap", ["validation", "stress", "everything"])
def test_figures_without_some_of_the_data(gap: str) -> None:
    one = member()
    changes = {
        "validation": {"valid": None, "valid_loss": None, "valid_terms": {}},
        "stress": {"train": Errors(n_frames=9, forces_mae=3.0), "valid": Errors(n_frames=9, forces_mae=4.0)},
        "everything": {"train": Errors(n_frames=9), "valid": None, "valid_loss": None, "valid_terms": {}},
    }
    epochs = [e.model_copy(update=changes[gap]) for e in one.epochs]
    found = by_id(record([one.model_copy(update={"epochs": epochs})], frames=[]))
    assert "frames" not in found
    assert ("errors-by-epoch" in found) == (gap != "everything")
    assert ("train-against-valid" in found) == (gap == "stress")
    for figure in found.values():
        draw(figure, "f")


def test_nothing_to_draw() -> None:
    assert figures(record([], frames=[])) == []
    assert figures(record([member(0, ended="unfinished")], frames=[])) == []
    assert [t.id for t in tables(record([], frames=[]))] == []
    draw(figures(record([member(1)]))[0], "f")


def test_tables() -> None:
    frames = records.frames(60, outliers=2)
    members, worst = tables(record([member(seed=7), member(20, seed=8, ended="patience")], frames=frames))
    assert [row[1] for row in members.rows] == [7, 8]
    assert members.rows[1][6] == "early stopping"
    forces = [row[5] for row in worst.rows]
    assert len(forces) == 15
    assert forces == sorted(forces, key=lambda v: -float(v or 0))
    assert {worst.rows[0][0], worst.rows[1][0]} == {"test.extxyz#0", "test.extxyz#1"}


def test_worst_frames_of_energies_alone() -> None:
    frames = [
        f.model_copy(update={"forces_rmse": None, "energy": float(i)}) for i, f in enumerate(records.frames())
    ]
    worst = tables(record(frames=frames))[-1]
    assert worst.rows[0][0] == "test.extxyz#39"
