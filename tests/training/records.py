"""Made-up records of trainings: a sound one, and others that differ from it in what ails them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlipbench.core.training import (
    Diagnosis,
    Epoch,
    ErrorRow,
    Errors,
    FrameErrors,
    MemberRecord,
    PartSummary,
    TrainingRecord,
)
from mlipbench.store import layout
from mlipbench.training.diagnosis.diagnose import diagnose
from mlipbench.training.figures import figures
from mlipbench.training.tables import tables

CONFIG: dict[str, Any] = {
    "name": "silicon", "train_file": "train.extxyz", "valid_file": None, "test_file": "test.extxyz",
    "valid_fraction": 0.1, "test_fraction": 0.0, "split": "trajectory", "keys": {}, "config_type_weights": {},
    "level_of_theory": "PBE, 40 Ry", "E0s": {"Si": -103.1}, "audit": "stop", "r_max": 5.0, "num_layers": 2,
    "hidden_irreps": "32x0e + 32x1o", "max_ell": 2, "correlation": 3, "num_radial_basis": 8,
    "radial_mlp": [64, 64, 64], "num_polynomial_cutoff": 6, "scaling": "rms_forces", "committee": 1,
    "start_from": None, "batch_size": 5, "max_num_epochs": 60, "loss": "weighted", "huber_delta": 0.01,
    "energy_weight": 1.0, "forces_weight": 100.0, "stress_weight": 1.0, "train_schedule": {}, "lr": 0.01,
    "lr_min": 1e-6, "scheduler": "plateau", "lr_factor": 0.8, "scheduler_patience": 5, "weight_decay": 5e-7,
    "amsgrad": True, "clip_grad": 10.0, "ema_decay": 0.99, "patience": None, "eval_interval": 1,
    "dtype": "float64", "device": "cpu", "zbl": False, "seed": 1,
}  # fmt: skip
ARCHITECTURE: dict[str, Any] = {
    "elements": [14], "r_max": 5.0, "num_layers": 2, "hidden_irreps": "32x0e + 32x1o", "max_ell": 2,
    "correlation": [3], "interaction_first": "residual", "interaction": "residual", "num_radial_basis": 8,
    "num_polynomial_cutoff": 6, "distance_transform": "none", "cutoff_acts_on": "basis",
    "radial_mlp": [64, 64, 64], "readout_mlp": 16, "avg_num_neighbors": 28.4, "zbl": False,
    "activation_gain": 1.6791767923989418,
}  # fmt: skip

Curve = Callable[[float], float]  # progress from 0 to 1 -> value


def sound(t: float) -> float:
    """Falls to 1 by a power law and stays: what errors of a sound training do, in units of the last."""
    return 1.0 + 20.0 * float(np.exp(-12.0 * t))


def cosine(t: float) -> float:
    """Learning rate over its first value."""
    return 0.5 * (1.0 + float(np.cos(np.pi * t))) + 1e-3


def member(
    epochs: int = 60,
    *,
    train: Curve = sound,
    valid: Curve | None = None,
    forces: float = 24.0,
    gap: float = 1.1,
    lr: Curve = cosine,
    noise: float = 0.05,
    seed: int = 1,
    shares: dict[str, float] | None = None,
    clipped: float = 0.02,
    **fields: Any,
) -> MemberRecord:
    """A member whose training errors follow `train`, validation errors `valid` (else `gap` times those).

    `forces` is the training force MAE of a curve's value 1 in meV/A; losses go with its square.
    """
    random = np.random.default_rng(seed)
    shares = shares or {"energy_per_atom": 0.03, "forces": 0.95, "stress": 0.02}
    found = []
    for number in range(epochs):
        t = number / max(epochs - 1, 1)
        low = train(t) * float(np.exp(noise * random.standard_normal()))
        high = (valid(t) if valid else gap * train(t)) * float(np.exp(noise * random.standard_normal()))
        losses = [100 * (1.4e-3 * forces * value) ** 2 for value in (low, high)]
        found.append(
            Epoch(
                epoch=number,
                stage="training",
                lr=0.01 * lr(t),
                seconds=2.5,
                train_loss=losses[0],
                train_terms={k: s * losses[0] for k, s in shares.items()},
                train=errors(forces * low, 100),
                valid_loss=losses[1],
                valid_terms={k: s * losses[1] for k, s in shares.items()},
                valid=errors(forces * high, 20),
                gradient_norm=0.8 * low,
                clipped=clipped,
            )
        )
    best = int(np.argmin([e.valid_loss or 0.0 for e in found])) if found else None
    return MemberRecord(**{
        "seed": seed, "epochs": found, "best_epoch": best, "ended": "schedule",
        "seconds": 2.5 * epochs, **fields,
    })  # fmt: skip


def errors(forces: float, n_frames: int, energy: float | None = None) -> Errors:
    """Errors that go together: forces in meV/A, energy MAE in meV/atom."""
    energy = forces / 40 if energy is None else energy
    return Errors(
        n_frames=n_frames, energy_mae=energy, energy_rmse=1.3 * energy, forces_mae=forces,
        forces_rmse=1.4 * forces, stress_mae=forces / 200, stress_rmse=forces / 150,
    )  # fmt: skip


def part(name: Any, n_frames: int, **fields: Any) -> PartSummary:
    """A part of silicon frames of 64 atoms."""
    return PartSummary(**{
        "part": name, "sources": ["test.extxyz" if name == "test" else "train.extxyz"], "n_frames": n_frames,
        "n_trajectories": max(n_frames // 10, 1), "n_atoms": {"Si": 64 * n_frames},
        "labels": {"energy": n_frames, "forces": n_frames, "stress": n_frames}, "energy_spread": 45.0,
        "force_rms": 1400.0, **fields,
    })  # fmt: skip


def rows(train: Errors, valid: Errors, test: Errors) -> list[ErrorRow]:
    """The error table: each part as a whole, the test part by config_type too."""
    found = [
        ErrorRow(
            part=name, config_type="", errors=e,
            energy_mae_stderr=None if e.energy_mae is None else 0.08 * e.energy_mae,
            forces_mae_stderr=None if e.forces_mae is None else 0.03 * e.forces_mae,
        )
        for name, e in (("train", train), ("valid", valid), ("test", test))
    ]  # fmt: skip
    for kind, factor in (("bulk_300K", 0.7), ("bulk_1500K", 1.3)):
        for name, e in (("train", train), ("test", test)):
            scaled = {k: v * factor for k, v in e.model_dump(exclude={"n_frames"}).items() if v is not None}
            found.append(
                ErrorRow(part=name, config_type=kind, errors=Errors(n_frames=e.n_frames // 2, **scaled))
            )
    return found


def frames(
    n: int = 40, rmse: float = 36.0, outliers: int = 0, seed: int = 3, energy: float = 0.8
) -> list[FrameErrors]:
    """Test frames with scattered errors, `outliers` of them twenty times as bad."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(n):
        value = rmse * float(np.exp(0.3 * random.standard_normal())) * (20.0 if i < outliers else 1.0)
        found.append(
            FrameErrors(
                part="test",
                label=f"test.extxyz#{i}",
                config_type="surface" if i < outliers else ("bulk_300K", "bulk_1500K")[i % 2],
                n_atoms=64,
                energy=energy * float(random.standard_normal()),
                forces_rmse=value,
                largest_force=4.2 * value,
                stress_rmse=0.2,
            )
        )
    return found


def record(members: list[MemberRecord] | None = None, **fields: Any) -> TrainingRecord:
    """A finished training of silicon, sound where `fields` do not say otherwise."""
    config = CONFIG | fields.pop("config", {})
    return TrainingRecord(**{
        "name": "silicon", "finished": True, "level_of_theory": "PBE, 40 Ry", "config": config,
        "architecture": ARCHITECTURE | fields.pop("architecture", {}), "n_parameters": 81234,
        "parts": [part("train", 100), part("valid", 20), part("test", 40)],
        "split": "10 % of the trajectories of train.extxyz, chosen at random with seed 1, for validation; "
        "test.extxyz for the test",
        "atomic_energies_eV": {"Si": -103.1}, "atomic_energies_from": "the configuration", "scale": 1.4,
        "shift_eV": -4.6, "members": members if members is not None else [member()],
        "rows": rows(errors(24.0, 100), errors(26.4, 20), errors(26.0, 40)), "frames": frames(),
        "package": {"file": "silicon.mlip", "key": "3fa2c1d09b7e4c55a1f2e3d4c5b6a798" * 2},
        "provenance": {
            "date": "2026-11-20T20:17:00+00:00", "python": "3.11.7", "cores": 2, "threads": "1",
            "packages": {"mlipbench": "0.1.0", "torch": "2.13.0", "e3nn": "0.6.0", "numpy": "2.4.6"},
            "git": {"commit": "58810ea41e77", "modified": False},
        },
        **fields,
    })  # fmt: skip


KINDS = ("sound", "ailing", "committee", "unfinished", "diverged")


def build(kind: str, folder: Path) -> Path:
    """The folder of a training of one of `KINDS`: training.json with diagnoses, figures, tables."""
    found = _of_kind(kind)
    found = found.model_copy(
        update={"diagnoses": diagnose(found), "figures": figures(found), "tables": tables(found)}
    )
    folder.mkdir(parents=True, exist_ok=True)
    layout.write_json(folder / layout.TRAINING, found.model_dump(mode="json"))
    return folder


def _of_kind(kind: str) -> TrainingRecord:
    if kind == "sound":
        return record()
    if kind == "ailing":
        return _ailing()
    if kind == "committee":
        return record([member(seed=s) for s in range(1, 5)], config={"committee": 4})
    nothing: dict[str, Any] = {"finished": False, "rows": [], "frames": [], "package": {}}
    if kind == "unfinished":
        return record([member(), member(17, seed=2, ended="unfinished")], config={"committee": 4}, **nothing)
    message = "epoch 2, batch 7: the loss is nan, the norm of its gradient inf; frames train.extxyz#41"
    causes = [
        Diagnosis(
            id="nan.short_bond", level="error", what="Atoms are closer than 0.5 A.",
            evidence="0.31 A between Si and Si in train.extxyz#41", remedy="Remove or relax these frames.",
        )
    ]  # fmt: skip
    return record([member(2, ended="diverged", message=message, causes=causes)], **nothing)


def _ailing() -> TrainingRecord:
    """A schedule of two stages, overfitting, energies that weigh too little, outliers, single precision."""
    schedule = {
        "0": {"name": "forces first", "start": 0, "end": 39, "loss": {"forces": 100.0}, "lr": 0.01},
        "1": {
            "name": "",
            "start": 40,
            "end": 159,
            "loss": {"forces": 100.0, "energy_per_atom": 1.0},
            "lr": 1e-3,
        },
    }
    shares = {"energy_per_atom": 0.002, "forces": 0.998}
    first = member(40, forces=34, shares=shares)
    second = member(
        120, forces=34, shares=shares, train=lambda t: 1.3 - 0.7 * t + 0.3 * float(np.exp(-12 * t)),
        valid=lambda t: 1.6 + 0.3 * float(np.exp(-12 * t)) + 0.8 * max(t - 0.3, 0.0),
    )  # fmt: skip
    later = [e.model_copy(update={"epoch": e.epoch + 40, "stage": "1"}) for e in second.epochs]
    early = [e.model_copy(update={"stage": "forces first"}) for e in first.epochs]
    both = first.model_copy(update={"epochs": [*early, *later], "best_epoch": 76, "seconds": 400.0})
    poor = [
        f.model_copy(update={"energy": (-1) ** i * 9.0}) for i, f in enumerate(frames(60, 66, outliers=2))
    ]
    table = rows(errors(24, 100, 8.0), errors(52, 20, 9.0), errors(54, 40, 9.0))
    return record(
        [both], rows=table, frames=poor, config={"train_schedule": schedule, "dtype": "float32"},
        architecture={"num_polynomial_cutoff": 5}, level_of_theory="",
        audit=["warning: 3 frames of train.extxyz are duplicates of each other (#4, #17, #92)"],
        warnings=["12 frames have no stress: they do not count in its loss"],
    )  # fmt: skip
