"""From a configuration to frames that can be trained on: read, examined, split, counted from free atoms.

Everything that is wrong with the data is said here, before the first epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np

from mlipbench.core.errors import DataError, InputError
from mlipbench.core.shipped import reference_data
from mlipbench.core.structure import LabelledFrame
from mlipbench.core.suite import FramesRef
from mlipbench.data.audit.audit import audit
from mlipbench.data.audit.findings import AuditReport
from mlipbench.data.audit.reading import AuditFrame
from mlipbench.data.frames import read_frames
from mlipbench.data.hdf5 import SUFFIXES, HDF5Frames
from mlipbench.data.references import Manifest
from mlipbench.data.splits import split
from mlipbench.data.structures import resolve_frames
from mlipbench.training.checks import file_refs
from mlipbench.training.config import Configuration
from mlipbench.training.losses import Term

LABEL_OF: Mapping[Term, str] = {"energy_per_atom": "energy", "forces": "forces", "stress": "stress"}
WEIGHT_OF: Mapping[Term, str] = {
    "energy_per_atom": "energy_weight",
    "forces": "forces_weight",
    "stress": "stress_weight",
}
AUDITED = 2000  # frames of a larger set that the audit looks at, evenly chosen


class Chosen(Sequence[LabelledFrame]):
    """Some frames of a sequence, read when they are asked for."""

    def __init__(self, frames: Sequence[LabelledFrame], numbers: Sequence[int]) -> None:
        self.frames, self.numbers = frames, list(numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, number: int) -> LabelledFrame: ...
    @overload
    def __getitem__(self, number: slice) -> list[LabelledFrame]: ...
    def __getitem__(self, number: int | slice) -> LabelledFrame | list[LabelledFrame]:
        if isinstance(number, slice):
            return [self.frames[n] for n in self.numbers[number]]
        return self.frames[self.numbers[number]]


@dataclass(frozen=True, eq=False)
class Sets:
    """The three parts of the data, and the free atoms found among them."""

    train: Sequence[LabelledFrame]
    valid: Sequence[LabelledFrame]
    test: Sequence[LabelledFrame]
    isolated: list[LabelledFrame]
    sources: dict[str, list[str]]  # part -> files and references
    split: str  # how the parts came about, in words
    level_of_theory: str
    terms: dict[Term, bool] = field(default_factory=dict)  # which labels are trained on
    warnings: list[str] = field(default_factory=list)
    audit: list[str] = field(default_factory=list)

    def parts(self) -> list[tuple[str, Sequence[LabelledFrame]]]:
        """Those that have frames."""
        return [(name, frames) for name in ("train", "valid", "test") if (frames := getattr(self, name))]


def read_sets(configuration: Configuration) -> Sets:
    """Read, split and examine. Raises PlanError and DataError."""
    config = configuration.config
    references = _manifest(configuration)
    loaded = {part: _load(configuration, f"{part}_file", references) for part in ("train", "valid", "test")}
    isolated = [f for frames in loaded.values() for f in frames if _is_free_atom(f, config.r_max)]
    if not config.keep_isolated_atoms:
        loaded = {part: _without_free_atoms(frames, config.r_max) for part, frames in loaded.items()}
    train, how = loaded["train"], []
    sources = {part: _sources(getattr(config, f"{part}_file")) for part in loaded}
    valid = loaded["valid"] if config.valid_file is not None else None
    test = loaded["test"]
    fraction = 0.0 if valid is not None else config.valid_fraction
    if fraction or config.test_fraction:
        names = train.trajectories() if isinstance(train, HDF5Frames) else [f.trajectory for f in train]
        chosen = split(names, fraction, config.test_fraction, config.split, config.seed)
        whole = train
        train = Chosen(whole, chosen[0])
        if fraction:
            valid, sources["valid"] = Chosen(whole, chosen[1]), sources["train"]
            how.append(_how(config.split, "validation", fraction, names, config.seed))
        if config.test_fraction:
            test, sources["test"] = Chosen(whole, chosen[2]), sources["train"]
            how.append(_how(config.split, "test", config.test_fraction, names, config.seed))
    sets = Sets(
        train=train,
        valid=valid or [],
        test=test,
        isolated=isolated,
        sources={part: names for part, names in sources.items() if names},
        split="; ".join(how) or "the parts are files of their own",
        level_of_theory=config.level_of_theory or _level(configuration, references),
    )
    _check_counts(sets)
    _check_periodicity(configuration, sets)
    sets.terms.update(_terms(configuration, sets))
    _audit(configuration, sets)
    return sets


# ---------------------------------------------------------------- reading
def _manifest(configuration: Configuration) -> Manifest:
    shipped = Manifest.load(reference_data())
    own = configuration.config.references
    return shipped if own is None else shipped.joined(Manifest.load(configuration.folder / own))


def _load(configuration: Configuration, field_name: str, references: Manifest) -> Sequence[LabelledFrame]:
    config = configuration.config
    found: list[Sequence[LabelledFrame]] = []
    for _, ref in file_refs(getattr(config, field_name), (field_name,)):
        try:
            found.append(_frames(ref, configuration.folder, references, config.keys))
        except InputError as error:
            raise configuration.problem(field_name, str(error)) from error
    if len(found) == 1:
        return found[0]
    return [frame for frames in found for frame in frames]


def _frames(
    ref: str | FramesRef, folder: Path, references: Manifest, keys: Mapping[str, str]
) -> Sequence[LabelledFrame]:
    if isinstance(ref, FramesRef):
        return resolve_frames(ref, folder, references)
    path = folder / Path(ref).expanduser()
    return HDF5Frames(path) if path.suffix.lower() in SUFFIXES else read_frames(path, keys=keys)


def _sources(value: Any) -> list[str]:
    refs = [ref for _, ref in file_refs(value, ())]
    return [ref if isinstance(ref, str) else ref.reference or str(ref.file) for ref in refs]


def _level(configuration: Configuration, references: Manifest) -> str:
    """What the references that are trained on say, where they agree."""
    refs = [ref for _, ref in file_refs(configuration.config.train_file, ())]
    levels = {
        references.entry(ref.reference).level_of_theory if ref.reference else ref.level_of_theory
        for ref in refs
        if isinstance(ref, FramesRef)
    }
    return levels.pop() if len(levels) == 1 else ""


def _is_free_atom(frame: LabelledFrame, r_max: float) -> bool:
    """One atom, and no image of it within the cutoff."""
    structure = frame.structure
    if len(structure) != 1:
        return False
    lengths = np.linalg.norm(structure.cell[structure.pbc], axis=1)
    return bool((lengths > r_max).all())


def _without_free_atoms(frames: Sequence[LabelledFrame], r_max: float) -> Sequence[LabelledFrame]:
    kept = [n for n, frame in enumerate(frames) if not _is_free_atom(frame, r_max)]
    return frames if len(kept) == len(frames) else Chosen(frames, kept)


def _how(by: str, part: str, fraction: float, names: Sequence[str], seed: int) -> str:
    n = len({name for name in names if name})
    if by == "random":
        together = "single frames at random"
    elif n:
        together = f"whole trajectories of {n}"
    else:
        together = "single frames (they name no trajectory)"
    return f"{part}: {100 * fraction:g} % of the training files, {together}, seed {seed}"


# ---------------------------------------------------------------- checks
def _check_counts(sets: Sets) -> None:
    if len(sets.train) < 2:
        raise DataError(
            f"{len(sets.train)} training frame{'s' * (len(sets.train) != 1)} (free atoms not counted): "
            "expected at least 2, and some dozens for a potential of any use; give more frames"
        )
    if not sets.valid:
        raise DataError("no validation frames (free atoms not counted); give a valid_file with frames")
    known = {int(z) for frame in sets.train for z in frame.structure.numbers}
    for part, frames in (("validation", sets.valid), ("test", sets.test)):
        for frame in frames:
            unknown = {int(z) for z in frame.structure.numbers} - known
            if unknown:
                raise DataError(
                    f"{frame.label}: a {part} frame holds the elements {sorted(unknown)} (atomic numbers), "
                    f"which no training frame holds (they have {sorted(known)}); remove it, or train on them"
                )


def _check_periodicity(configuration: Configuration, sets: Sets) -> None:
    config = configuration.config
    kinds: dict[tuple[bool, ...], str] = {}
    for _, frames in sets.parts():
        for frame in frames:
            pbc = tuple(bool(p) for p in frame.structure.pbc)
            if len(frame.structure) > 1:
                kinds.setdefault(pbc, frame.label)
            _check_cell(configuration, frame)
    if len(kinds) > 1 and not config.allow_mixed_periodicity:
        listed = ", ".join(f"{_letters(pbc)} ({label})" for pbc, label in kinds.items())
        raise configuration.problem(
            "train_file", "frames of different periodicity", "one kind", listed,
            "is a cell missing somewhere? If it is meant, say allow_mixed_periodicity: true",
        )  # fmt: skip


def _check_cell(configuration: Configuration, frame: LabelledFrame) -> None:
    structure, r_max = frame.structure, configuration.config.r_max
    if not structure.pbc.any():
        return
    height = min(_heights(structure.cell, structure.pbc))
    if r_max > 3 * height:
        raise configuration.problem(
            "r_max", f"larger than sensible for the cell of {frame.label}",
            f"at most three times the smallest distance between its faces, {height:.2f} A", f"{r_max:g}",
            "such a cell holds no information about those distances; use a smaller cutoff or larger cells",
        )  # fmt: skip
    if frame.stress is not None and not structure.pbc.all():
        raise configuration.problem(
            "train_file", f"{frame.label} has a stress but is periodic in some directions only",
            "pbc in all three, or no stress", _letters(tuple(structure.pbc)),
        )  # fmt: skip


def _heights(cell: Any, pbc: Any) -> list[float]:
    """Distances between opposite faces along the periodic directions."""
    vectors = cell[pbc]
    inverse = np.linalg.pinv(vectors)  # columns are the reciprocal vectors within their span
    return [float(1.0 / np.linalg.norm(inverse[:, k])) for k in range(len(vectors))]


def _letters(pbc: tuple[bool, ...]) -> str:
    return "".join("FT"[p] for p in pbc)


def _terms(configuration: Configuration, sets: Sets) -> dict[Term, bool]:
    """Which loss terms have labels. Raises PlanError where one that is asked for has none."""
    config = configuration.config
    there: dict[Term, bool] = {}
    for term, label in LABEL_OF.items():
        with_label = sum(getattr(frame, label) is not None for frame in sets.train)
        there[term] = with_label > 0
        weight = WEIGHT_OF[term]
        scheduled = any(section.loss.get(term, 0) > 0 for section in config.train_schedule.values())
        wanted = scheduled if config.train_schedule else getattr(config, weight) > 0
        asked = scheduled or configuration.asked_for(weight) or term != "stress"
        if not wanted:
            continue
        if not with_label and asked:
            place = "train_schedule" if scheduled else weight
            raise configuration.problem(
                place, f"no training frame has {label}", f"labels named {label} or REF_{label}", "",
                f"say keys: {{{label}: NAME}} where they have another name, or give this term no weight",
            )  # fmt: skip
        if not with_label:
            sets.warnings.append(f"no training frame has {label}: it is not trained on")
        elif with_label < len(sets.train):
            sets.warnings.append(
                f"{len(sets.train) - with_label} of {len(sets.train)} training frames lack {label}"
            )
    return there


def _audit(configuration: Configuration, sets: Sets) -> None:
    """Findings in a line each. Raises DataError where they are errors and shall stop."""
    if configuration.config.audit == "off":
        sets.warnings.append("the data were not audited")
        return
    given = configuration.config.e0s()
    train = [*_some(sets.train), *_some(sets.valid), *sets.isolated]
    report = audit(_audited(train), _audited(_some(sets.test)), given)
    sets.audit.extend(_lines(report))
    # A leak makes the test figure too good, the training none the worse.
    errors = [f for f in report.findings if f.level == "error" and not f.id.startswith("leaks.")]
    if errors and configuration.config.audit == "stop":
        listed = "\n".join(f"{f.id}: {f.what}; {f.remedy}" for f in errors)
        raise DataError(
            f"the audit of the training data found errors:\n{listed}\nmend the data, or say audit: note to "
            "train on them all the same (`mlipbench audit` lists the frames)"
        )


def _some(frames: Sequence[LabelledFrame]) -> list[LabelledFrame]:
    if len(frames) <= AUDITED:
        return list(frames)
    return [frames[int(n)] for n in np.linspace(0, len(frames) - 1, AUDITED)]


def _audited(frames: Sequence[LabelledFrame]) -> list[AuditFrame]:
    return [AuditFrame.of(f, int(f.label.rpartition("#")[2] or 0)) for f in frames]


def _lines(report: AuditReport) -> Iterator[str]:
    for finding in report.findings:
        yield f"{finding.level} {finding.id}: {finding.what}"
