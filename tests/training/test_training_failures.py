"""Trainings of seconds made to fail, each in one of the known ways, and a sound one; no record is made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from sets import CONFIG, frames, train, write

from mlipbench.core.structure import LabelledFrame
from mlipbench.core.training import Diagnosis, TrainingRecord
from mlipbench.data.frames import as_atoms

SMOOTH: dict[str, Any] = {
    "scheduler": "cosine", "num_polynomial_cutoff": 6, "dtype": "float64", "hidden_irreps": "8x0e + 8x1o",
    "lr": 0.02,
}  # fmt: skip


def fail(
    folder: Path, labelled: list[LabelledFrame], **changes: Any
) -> tuple[TrainingRecord, dict[str, Diagnosis]]:
    config = {
        k: v for k, v in (CONFIG | SMOOTH).items() if k != "valid_fraction" or "valid_file" not in changes
    }
    record = train(write(folder, config, labelled, **changes), folder / "out")
    return record, {d.id: d for d in record.diagnoses}


# ---------------------------------------------------------------- sound
@pytest.mark.physics
def test_sound_training_is_told_nothing(tmp_path: Path) -> None:
    """The twin of all others: 15 meV/A and 0.3 meV/atom on silicon of Stillinger and Weber."""
    record, found = fail(
        tmp_path, frames(40, amplitude=0.05), max_num_epochs=60, energy_weight=1000, lr=0.05, batch_size=2,
        hidden_irreps="16x0e", num_radial_basis=8, radial_mlp=[16, 16],
    )  # fmt: skip
    assert found == {}
    valid = next(row for row in record.rows if row.part == "valid" and not row.config_type)
    assert (valid.errors.forces_mae or 99) < 25
    assert (valid.errors.energy_mae or 99) < 1


# ---------------------------------------------------------------- curves and errors
def test_network_without_angles_stays_on_a_plateau(tmp_path: Path) -> None:
    """Stillinger-Weber silicon is bonds and angles; max_ell 0 with correlation 1 sees bonds alone."""
    _, found = fail(
        tmp_path, frames(24, amplitude=0.1), max_num_epochs=40, hidden_irreps="8x0e", max_ell=0, correlation=1
    )
    assert "plateau.capacity" in found
    assert "`max_ell: 2` in place of 0" in found["plateau.capacity"].remedy


def test_three_frames_leave_a_gap(tmp_path: Path) -> None:
    record, found = fail(
        tmp_path, frames(12, amplitude=0.15), max_num_epochs=60, valid_fraction=0.75, split="random"
    )
    assert record.parts[0].n_frames == 3
    assert {"gap", "plateau.data", "overfitting"} & set(found)


@pytest.mark.physics
def test_energies_of_a_few_frames_are_overfitted(tmp_path: Path) -> None:
    """45 energies and 656 parameters: the validation loss turns up while the training loss falls."""
    _, found = fail(
        tmp_path, frames(60, amplitude=0.02), max_num_epochs=60, forces_weight=0, stress_weight=0,
        energy_weight=1000,
    )  # fmt: skip
    assert "overfitting" in found
    assert "forces" in found
    assert "forces are 0 % of the training loss" in found["forces"].evidence


def test_energies_without_weight_are_poor(tmp_path: Path) -> None:
    _, found = fail(tmp_path, frames(24, amplitude=0.05), max_num_epochs=30, energy_weight=0, stress_weight=0)
    assert "energies" in found
    assert "energies are 0 % of the training loss" in found["energies"].evidence


def test_frame_of_another_kind_is_an_outlier(tmp_path: Path) -> None:
    """24 frames like those of the training, and one whose atoms are displaced seven times as far."""
    wild = replace(frames(1, seed=6, amplitude=0.35)[0], config_type="hot")
    test = [*frames(24, seed=5, amplitude=0.05), wild]
    ase.io.write(tmp_path / "test.extxyz", [as_atoms(f) for f in test], format="extxyz")
    _, found = fail(tmp_path, frames(24, amplitude=0.05), max_num_epochs=30, test_file="test.extxyz")
    assert "1 of 25 test frames" in found["outliers"].evidence
    assert "test.extxyz#24" in found["outliers"].evidence
    assert "hot (1; 0 in training)" in found["outliers"].evidence


def test_training_cut_short(tmp_path: Path) -> None:
    _, found = fail(tmp_path, frames(24, amplitude=0.05), max_num_epochs=12, lr=0.003, scheduler="constant")
    assert "still falling steeply" in found["unfinished"].what


def test_learning_rate_beyond_reason(tmp_path: Path) -> None:
    """A step of 1 in every weight, nothing clipped: forces come out ten times too large."""
    _, found = fail(
        tmp_path, frames(24, amplitude=0.1), max_num_epochs=12, lr=1.0, clip_grad=None, ema_decay=None,
        scheduler="constant",
    )  # fmt: skip
    assert found["useless"].level == "error"


def test_gradients_that_are_always_clipped(tmp_path: Path) -> None:
    _, found = fail(tmp_path, frames(24, amplitude=0.05), max_num_epochs=12, clip_grad=1e-3)
    assert "100 % of the steps" in found["clipping"].evidence


def test_single_precision_and_steep_cutoff(tmp_path: Path) -> None:
    _, found = fail(
        tmp_path, frames(12, amplitude=0.05), max_num_epochs=1, dtype="float32", num_polynomial_cutoff=5
    )
    assert found["drift"].evidence == "the configuration says dtype float32, num_polynomial_cutoff 5"


# ---------------------------------------------------------------- losses that are no numbers
def collapsed(frame: LabelledFrame) -> LabelledFrame:
    """Two atoms in one place."""
    positions = frame.structure.positions.copy()
    positions[1] = positions[0]
    return replace(frame, structure=frame.structure.with_positions(positions))


@pytest.mark.parametrize("where", ["train", "valid"])
def test_atoms_in_one_place(where: str, tmp_path: Path) -> None:
    labelled = {"train": frames(8, seed=1, amplitude=0.05), "valid": frames(4, seed=2, amplitude=0.05)}
    labelled[where][3] = collapsed(labelled[where][3])
    ase.io.write(tmp_path / "valid.extxyz", [as_atoms(f) for f in labelled["valid"]], format="extxyz")
    record, found = fail(tmp_path, labelled["train"], valid_file="valid.extxyz", max_num_epochs=2)
    assert not record.finished
    assert found["diverged"].level == "error"
    assert found["nan.short_bond"].evidence == f"0.00 A between Si and Si in {where}.extxyz#3"
    assert "nan.e0s" not in found
    assert "nan.sizes" not in found
    again = train(tmp_path / "small.yaml", tmp_path / "out")  # from the checkpoint: the causes are kept
    assert again.diagnoses == record.diagnoses


def test_wrong_energies_of_free_atoms(tmp_path: Path) -> None:
    """E0 of +40 eV in place of -5 eV; a learning rate of 1e45 stands in for a steep gradient."""
    _, found = fail(
        tmp_path, frames(8, amplitude=0.05), max_num_epochs=3, E0s={"Si": 40.0}, lr=1e45, clip_grad=None
    )
    assert "-49" in found["nan.e0s"].evidence
    assert {"diverged", "nan.clipping", "nan.learning_rate"} <= set(found)
    assert "nan.short_bond" not in found


def test_structures_of_unlike_sizes(tmp_path: Path) -> None:
    large = frames(4, seed=3, amplitude=0.05, size=(3, 2, 2))
    unlike = [*frames(4, amplitude=0.05), *large]
    ase.io.write(tmp_path / "valid.extxyz", [as_atoms(f) for f in frames(2, seed=2)], format="extxyz")
    _, found = fail(
        tmp_path, unlike, valid_file="valid.extxyz", max_num_epochs=3, lr=1e45, clip_grad=None, batch_size=4
    )
    assert "8 to 96 atoms in a batch of 4 structures" in found["nan.sizes"].evidence
    assert "nan.e0s" not in found


# ---------------------------------------------------------------- an average that is better than its members
@pytest.mark.physics
def test_weights_that_wander(tmp_path: Path) -> None:
    """A rate ten times the usual, never lowered: single weights are bad, their moving average is not."""
    record, found = fail(tmp_path, frames(24, amplitude=0.1), max_num_epochs=60, lr=0.2, scheduler="constant")
    last = record.members[0].epochs[-5:]
    assert np.median([e.train.forces_mae for e in last]) > 2 * np.median([e.valid.forces_mae for e in last])
    assert "their average a validation force MAE" in found["instability"].evidence
    assert "clipping" not in found
