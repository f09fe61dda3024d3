"""What a training leaves behind as numbers: training.json, from which its report is drawn.

Energies are given per atom in meV, forces in meV/A, stresses in meV/A^3. Losses have the units of the
loss function and are comparable within one stage only.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlipbench.core.figure import Figure, Table

Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")

CHECKLIST_LIMITS: Final = {"energy_mae": 1.0, "forces_mae": 50.0, "stress_mae": 1.0}
"""What the deployment checklist asks of a test set, in the units of `Errors`. For
orientation: `mlipbench run` judges, on its own reference and with error bars."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Errors(_Model):
    """Errors over some frames; None where no frame has the label."""

    n_frames: int
    energy_mae: float | None = Field(default=None, description="meV/atom")
    energy_rmse: float | None = Field(default=None, description="meV/atom")
    forces_mae: float | None = Field(default=None, description="meV/A, mean over components")
    forces_rmse: float | None = Field(default=None, description="meV/A")
    stress_mae: float | None = Field(default=None, description="meV/A^3, mean over nine components")
    stress_rmse: float | None = Field(default=None, description="meV/A^3")


class Epoch(_Model):
    """One pass over the training set, and the validation after it."""

    epoch: int = Field(description="from 0")
    stage: str
    lr: float = Field(description="learning rate of its steps")
    seconds: float
    train_loss: float
    train_terms: dict[str, float] = Field(description="loss term -> its weighted share of train_loss")
    train: Errors = Field(description="of the answers before each step, so of weights on their way")
    valid_loss: float | None = Field(description="of the averaged weights where there is averaging")
    valid_terms: dict[str, float]
    valid: Errors | None
    gradient_norm: float = Field(description="mean over the steps, before clipping")
    clipped: float = Field(description="fraction of the steps whose gradient was clipped")


class Diagnosis(_Model):
    """Something about a training that its user should know, with what to do."""

    id: str = Field(description="plateau, nan.short_bond, overfitting, ...")
    level: Literal["error", "warning", "note"]
    what: str
    evidence: str = Field(description="the numbers it rests on")
    remedy: str


class MemberRecord(_Model):
    """One network of the committee."""

    seed: int
    epochs: list[Epoch]
    best_epoch: int | None = Field(description="whose weights were kept")
    ended: Literal["schedule", "patience", "diverged", "unfinished"]
    message: str = Field(default="", description="where it diverged, in words")
    causes: list[Diagnosis] = Field(default=[], description="why it may have diverged")
    seconds: float


class FrameErrors(_Model):
    """Errors of one frame of the finished potential."""

    part: Part
    label: str = Field(description="file#number: where a reader finds the frame")
    config_type: str
    n_atoms: int
    energy: float | None = Field(description="predicted less reference, meV/atom")
    forces_rmse: float | None = Field(description="meV/A")
    largest_force: float | None = Field(description="largest error of a component, meV/A")
    stress_rmse: float | None = Field(description="meV/A^3")


class ErrorRow(_Model):
    """Errors of one kind of frames; config_type "" counts all of the part."""

    part: Part
    config_type: str
    errors: Errors
    energy_mae_stderr: float | None = Field(default=None, description="over trajectories, meV/atom")
    forces_mae_stderr: float | None = Field(default=None, description="over trajectories, meV/A")


class PartSummary(_Model):
    """What a part of the data is."""

    part: Part
    sources: list[str]
    n_frames: int
    n_trajectories: int | None = Field(description="None where the frames name none")
    n_atoms: dict[str, int] = Field(description="atoms of each element, summed over the frames")
    labels: dict[str, int] = Field(description="label -> frames that have it")
    energy_spread: float | None = Field(
        description="r.m.s. of energies about their least-squares fit to the composition, meV/atom: "
        "what a potential without structure would miss by"
    )
    force_rms: float | None = Field(description="meV/A: what zero forces would miss by")


class TrainingRecord(_Model):
    """Everything about a training: training.json."""

    version: Literal[1] = 1
    name: str
    finished: bool
    level_of_theory: str
    config: dict[str, Any] = Field(description="the configuration, defaults filled in")
    architecture: dict[str, Any]
    n_parameters: int = Field(description="of one member")
    parts: list[PartSummary]
    split: str = Field(description="how validation and test frames were chosen, in words")
    atomic_energies_eV: dict[str, float]
    atomic_energies_from: str
    scale: float
    shift_eV: float
    members: list[MemberRecord]
    rows: list[ErrorRow] = []
    frames: list[FrameErrors] = []
    diagnoses: list[Diagnosis] = []
    audit: list[str] = Field(default=[], description="findings of the audit, one line each")
    warnings: list[str] = []
    package: dict[str, str] = Field(default={}, description="file and key of the potential")
    provenance: dict[str, Any]
    figures: list[Figure] = []
    tables: list[Table] = []
