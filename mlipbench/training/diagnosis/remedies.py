"""What a record says about settings, and changes of them in the words of a configuration file."""

from __future__ import annotations

import re
from typing import Any

from mlipbench.core.training import TrainingRecord

_BLOCK = re.compile(r"(\d+)x(\d+)([eo])")
_TERMS = {"energy_weight": "energy_per_atom", "forces_weight": "forces", "stress_weight": "stress"}
_PARITY = {0: "0e", 1: "1o", 2: "2e"}


def higher_orders(record: TrainingRecord) -> str:
    """How to let the network see more of the angles; "" where it sees all that it can."""
    max_ell = record.architecture.get("max_ell")
    if not isinstance(max_ell, int) or max_ell >= 3:
        return ""
    raised = 2 if max_ell < 2 else 3
    hidden = str(record.architecture.get("hidden_irreps", ""))
    orders = {int(order) for _, order, _ in _BLOCK.findall(hidden)}
    missing = next((order for order in (1, 2) if order not in orders), None)
    text = f"`max_ell: {raised}` in place of {max_ell}"
    if missing is None or not hidden:
        return text
    channels = _BLOCK.findall(hidden)[0][0]
    return f'{text} and `hidden_irreps: "{hidden} + {channels}x{_PARITY[missing]}"`'


def channels_times(record: TrainingRecord, factor: float) -> str:
    """hidden_irreps: "64x0e + 64x1o" of a network with `factor` times as many channels, as code."""
    hidden = str(record.architecture.get("hidden_irreps", ""))
    scaled = _BLOCK.sub(lambda m: f"{max(round(int(m[1]) * factor), 1)}x{m[2]}{m[3]}", hidden)
    return f'`hidden_irreps: "{scaled}"`' if scaled else "other hidden_irreps"


def times(record: TrainingRecord, name: str, factor: float) -> str:
    """weight_decay: 5e-06 (as code) in place of 5e-07, or what to do where the number is not known."""
    value, name, where = _setting(record, name)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value == 0:
        return f"{name} {'raised' if factor > 1 else 'lowered'}{where}"
    scaled = round(value * factor) if isinstance(value, int) and factor > 1 else value * factor
    return f"`{name}: {scaled:.6g}` in place of {value:.6g}{where}"


def _setting(record: TrainingRecord, name: str) -> tuple[Any, str, str]:
    """A setting, its name, and where it stands if a schedule of stages takes the place of the flat fields."""
    schedule = record.config.get("train_schedule") or {}
    if not schedule or name not in ("lr", "max_num_epochs", *_TERMS):
        return record.config.get(name), name, ""
    key, stage = max(schedule.items(), key=lambda item: item[1]["start"])
    where = f" in stage {stage.get('name') or key} of train_schedule"
    if name in _TERMS:
        return stage["loss"].get(_TERMS[name]), _TERMS[name], where
    name = "end" if name == "max_num_epochs" else name
    return stage[name], name, where


def trained_frames(record: TrainingRecord) -> int:
    """Frames of the training set."""
    return sum(part.n_frames for part in record.parts if part.part == "train")
