"""What a configuration says beyond types: files exist, stages follow each other, irreps couple."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ase.data import atomic_numbers, chemical_symbols
from pydantic import ValidationError

from mlipbench.config.checks import check_file
from mlipbench.config.problems import KeyPath, Problem, did_you_mean
from mlipbench.config.source import Source
from mlipbench.core.suite import FramesRef
from mlipbench.data.frames import LABELS
from mlipbench.model.architecture import Architecture
from mlipbench.training.schema import TrainingConfig

ARCHITECTURE = (
    "r_max", "num_layers", "hidden_irreps", "max_ell", "correlation", "num_radial_basis", "radial_mlp",
    "num_polynomial_cutoff", "interaction", "interaction_first", "distance_transform", "cutoff_acts_on",
    "readout_mlp", "zbl",
)  # fmt: skip
"""Fields that a configuration shares with `Architecture`."""
SCHEDULED = ("max_num_epochs", "lr", "energy_weight", "forces_weight", "stress_weight")


def check(config: TrainingConfig, source: Source, folder: Path) -> list[Problem]:
    """All that can be said before any file is read."""
    return [
        *_files(config, source, folder),
        *_labels(config, source),
        *_energies(config, source),
        *_network(config, source),
        *_schedule(config, source),
        *_together(config, source),
    ]


def file_refs(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str | FramesRef]]:
    """The single entries of train_file and its like, with their places."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield (*path, number), item
    elif value is not None:
        yield path, value


def _files(config: TrainingConfig, source: Source, folder: Path) -> Iterator[Problem]:
    for field in ("train_file", "valid_file", "test_file"):
        value = getattr(config, field)
        if isinstance(value, list) and not value:
            yield source.problem((field,), "an empty list", "at least one file")
        for path, ref in file_refs(value, (field,)):
            if isinstance(ref, str):
                yield from check_file(source, folder, path, ref)
            elif (ref.file is None) == (ref.reference is None):
                yield source.problem(path, "which frames?", "one of file, reference")
            elif ref.file is not None:
                yield from check_file(source, folder, (*path, "file"), ref.file)
    for field in ("start_from", "references"):
        if (name := getattr(config, field)) is not None:
            yield from check_file(source, folder, (field,), name)


def _labels(config: TrainingConfig, source: Source) -> Iterator[Problem]:
    for name in config.keys:
        if name not in LABELS:
            hint = did_you_mean(name, LABELS) or "charges and dipoles belong to other models"
            yield source.problem(
                ("keys", name), "unknown label", f"one of {', '.join(LABELS)}", hint=hint, key=True
            )


def _energies(config: TrainingConfig, source: Source) -> Iterator[Problem]:
    if not isinstance(config.E0s, dict):
        return
    if not config.E0s:
        yield source.problem(("E0s",), "no element", "one energy for each element", hint="or say average")
    seen: dict[int, str] = {}
    for key in config.E0s:
        number = atomic_numbers.get(key, 0) or (int(key) if key.isdigit() and int(key) <= 118 else 0)
        if number < 1:
            hint = did_you_mean(key, chemical_symbols[1:])
            yield source.problem(("E0s", key), "not an element", "Si, or 14", hint=hint, key=True)
        elif number in seen:
            yield source.problem(("E0s", key), f"the same element as {seen[number]}", key=True)
        seen[number] = key


def _network(config: TrainingConfig, source: Source) -> Iterator[Problem]:
    fields = {name: getattr(config, name) for name in ARCHITECTURE}
    try:
        Architecture(elements=(1,), avg_num_neighbors=1.0, **fields)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            field = str(item["loc"][0]) if item["loc"] else "hidden_irreps"
            yield source.problem((field,), str(item["msg"]).removeprefix("Value error, "))


def _schedule(config: TrainingConfig, source: Source) -> Iterator[Problem]:
    stages = sorted(config.train_schedule.items(), key=lambda item: item[1].start)
    expected = 0
    for key, stage in stages:
        path: KeyPath = ("train_schedule", key)
        if stage.end < stage.start:
            yield source.problem(
                (*path, "end"), "a stage ends before it begins", f"at least {stage.start}", str(stage.end)
            )
        if stage.start != expected:
            yield source.problem(
                (*path, "start"), "stages follow each other, the first from epoch 0",
                str(expected), str(stage.start),
            )  # fmt: skip
        if not any(stage.loss.values()):
            yield source.problem((*path, "loss"), "no term has a weight", "a weight above 0")
        expected = stage.end + 1
    if not stages and not any((config.energy_weight, config.forces_weight, config.stress_weight)):
        yield source.problem(("forces_weight",), "no term has a weight", "a weight above 0")


def _together(config: TrainingConfig, source: Source) -> Iterator[Problem]:
    given = config.model_fields_set
    if config.train_schedule:
        for field in SCHEDULED:
            if field in given:
                yield source.problem(
                    (field,),
                    "train_schedule says this for each stage",
                    hint="remove one of the two",
                    key=True,
                )
    if config.valid_file is not None and "valid_fraction" in given:
        yield source.problem(
            ("valid_fraction",), "valid_file is there too", hint="keep one of them", key=True
        )
    if config.test_file is not None and config.test_fraction:
        yield source.problem(("test_fraction",), "test_file is there too", hint="keep one of them", key=True)
    if config.valid_file is None and config.valid_fraction == 0:
        yield source.problem(
            ("valid_fraction",), "no frames to validate on", "a fraction above 0", "0", "or name a valid_file"
        )
    if config.valid_fraction + config.test_fraction >= 1:
        yield source.problem(
            ("test_fraction",), "nothing is left to train on",
            "valid_fraction + test_fraction below 1", f"{config.valid_fraction + config.test_fraction:g}",
        )  # fmt: skip
    if config.lr_min > config.lr:
        yield source.problem(("lr_min",), "above lr", f"at most {config.lr:g}", f"{config.lr_min:g}")
