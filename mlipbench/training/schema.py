"""What can be said of a training: the fields of its configuration, with their defaults.

Names are those of mace-torch where it has the option, with its spellings as aliases (training/aliases.py).
Fields carry their unit in the name where they have one; energies are in eV, lengths in A.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from ase.data import atomic_numbers
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from mlipbench.core.suite import FramesRef
from mlipbench.model.architecture import Block, Power
from mlipbench.training.losses import LossFunction, LossKind, Term
from mlipbench.training.optim import Scheduler

Weight = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Dtype = Literal["float64", "float32", "mixed"]
Files = str | FramesRef | list[str | FramesRef]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataFields(_Section):
    """Which frames, and what their energies are counted from."""

    train_file: Files = Field(description="labelled frames: a file, {reference: NAME}, or a list of them")
    valid_file: Files | None = Field(default=None, description="else valid_fraction of train_file")
    test_file: Files | None = Field(default=None, description="looked at once, at the end")
    valid_fraction: Fraction = 0.1
    test_fraction: Fraction = 0.0
    split: Literal["trajectory", "random"] = Field(
        default="trajectory", description="what is kept together where a fraction is held out"
    )
    keys: dict[str, str] = Field(default={}, description="our label -> name in the files")
    config_type_weights: dict[str, Weight] = Field(
        default={}, description="config_type (or pattern) -> weight of its frames in the loss"
    )
    references: str | None = Field(default=None, description="a manifest.yaml of your own references")
    level_of_theory: str = Field(default="", description="of the labels; printed, never guessed")
    E0s: dict[str, float] | Literal["isolated", "average"] | None = Field(
        default=None,
        description="energies of free atoms, eV: {Si: -103.0}; isolated: frames of one atom say them; "
        "average: least squares over the training set; left out: of the package of start_from, else isolated",
    )
    keep_isolated_atoms: bool = Field(default=False, description="train on the frames of one free atom too")
    allow_mixed_periodicity: bool = False
    audit: Literal["stop", "note", "off"] = Field(
        default="stop", description="what errors of the audit do: stop before the first epoch, or be noted"
    )


class ModelFields(_Section):
    """The network, see model/architecture.py."""

    r_max: Annotated[float, Field(gt=0, le=20)] = 5.0
    num_layers: Annotated[int, Field(ge=1, le=6)] = 2
    hidden_irreps: str = "128x0e + 128x1o"
    max_ell: Annotated[int, Field(ge=0, le=3)] = 1
    correlation: Power | list[Power] = 3
    num_radial_basis: Annotated[int, Field(ge=1, le=64)] = 8
    radial_mlp: list[PositiveInt] = [64, 64, 64]
    num_polynomial_cutoff: Annotated[int, Field(ge=2, le=12)] = 5
    interaction: Block = "residual"
    interaction_first: Block = "residual"
    distance_transform: Literal["none", "agnesi", "soft"] = "none"
    cutoff_acts_on: Literal["basis", "weights"] = "basis"
    readout_mlp: PositiveInt = 16
    zbl: bool = False
    avg_num_neighbors: PositiveFloat | None = Field(default=None, description="else measured")
    scaling: Literal["rms_forces", "std", "none"] = Field(
        default="rms_forces", description="what the energies of the network are multiplied by at the start"
    )
    committee: Annotated[int, Field(ge=1, le=32)] = Field(
        default=1, description="members, with seeds from seed on"
    )
    start_from: str | None = Field(
        default=None, description="a potential of mlipbench to fine-tune, which also decides the network"
    )


class StageSection(_Section):
    """One stage of train_schedule: epochs `start` to `end`, both included."""

    name: str = ""
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]
    loss: dict[Term, Weight] = Field(min_length=1, description="term -> weight")
    lr: PositiveFloat


class OptimisationFields(_Section):
    """How the weights are found."""

    batch_size: PositiveInt = 5
    valid_batch_size: PositiveInt | None = None
    max_num_epochs: PositiveInt = 100
    loss: LossKind = "weighted"
    huber_delta: PositiveFloat = 0.01
    energy_weight: Weight = 1.0
    forces_weight: Weight = 100.0
    stress_weight: Weight = 1.0
    train_schedule: dict[str, StageSection] = Field(
        default={}, description="stages; they take the place of max_num_epochs, lr and the three weights"
    )
    lr: PositiveFloat = 0.01
    lr_min: PositiveFloat = 1e-6
    scheduler: Scheduler = "plateau"
    lr_factor: Annotated[float, Field(gt=0, lt=1)] = 0.8
    scheduler_patience: Annotated[int, Field(ge=0)] = 5
    weight_decay: Weight = 5e-7
    amsgrad: bool = True
    clip_grad: PositiveFloat | None = 10.0
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = 0.99
    patience: PositiveInt | None = Field(
        default=None, description="validations without improvement after which a stage ends"
    )
    eval_interval: PositiveInt = Field(default=1, description="epochs from validation to validation")
    dtype: Dtype = Field(default="float64", description="mixed: weights float64, the network float32")
    device: str = "cpu"
    checkpoint_minutes: PositiveFloat = 5.0


class TrainingConfig(DataFields, ModelFields, OptimisationFields):
    """Everything that decides a training."""

    name: str = Field(default="", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$|^$")
    seed: Annotated[int, Field(ge=0)] = 1

    def digest(self) -> str:
        """sha256 of what decides the weights: not the name, nor how often checkpoints are written."""
        decisive = self.model_dump(mode="json", exclude={"name", "checkpoint_minutes", "committee"})
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def e0s(self) -> dict[int, float] | None:
        """Energies of free atoms that the file gives, by atomic number."""
        if not isinstance(self.E0s, dict):
            return None
        return {atomic_numbers.get(key) or int(key): energy for key, energy in self.E0s.items()}

    def stages(self, terms: Mapping[Term, bool]) -> list[Stage]:
        """The stages in their order; `terms` says which have labels."""
        if self.train_schedule:
            sections = [(section.name or key, section) for key, section in self.train_schedule.items()]
        else:
            weights: dict[Term, float] = {
                "energy_per_atom": self.energy_weight,
                "forces": self.forces_weight,
                "stress": self.stress_weight,
            }
            only = StageSection(start=0, end=self.max_num_epochs - 1, loss=weights, lr=self.lr)
            sections = [("training", only)]
        return [
            Stage(
                name,
                section.start,
                section.end,
                LossFunction(
                    {t: w for t, w in section.loss.items() if w > 0 and terms[t]}, self.loss, self.huber_delta
                ),
                section.lr,
            )
            for name, section in sorted(sections, key=lambda item: item[1].start)
        ]


@dataclass(frozen=True)
class Stage:
    """Epochs with one loss and one first learning rate."""

    name: str
    start: int
    end: int  # included
    loss: LossFunction
    lr: float

    @property
    def n_epochs(self) -> int:
        """Epochs."""
        return self.end - self.start + 1
