"""A training's record as the words and rows of its page."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from mlipbench.core.figure import Table
from mlipbench.core.training import (
    CHECKLIST_LIMITS,
    PARTS,
    Diagnosis,
    ErrorRow,
    PartSummary,
    TrainingRecord,
)
from mlipbench.report import elements, numbers
from mlipbench.report.facts import Row, rows_of
from mlipbench.report.words import Badge

PART_NAMES = {"train": "Training", "valid": "Validation", "test": "Test"}
_QUANTITIES = (
    ("energy", "Energy", "meV/atom"),
    ("forces", "Forces", "meV/A"),
    ("stress", "Stress", "meV/A^3"),
)
_SIGMAS = 1.645  # one-sided 95 % of a normal distribution

_DONE = Badge(
    "Finished", "pass", "✓", "The training came to its end and nothing in its record asks for a change."
)
_ATTEND = Badge(
    "Finished, with remarks",
    "inconclusive",
    "?",
    "The training came to its end; its record asks for a change.",
)
_LARGE = Badge(
    "Finished, with large errors",
    "inconclusive",
    "?",
    "The training came to its end, but errors are above the limits of the deployment checklist.",
)
_OPEN = Badge("Not finished", "not-measured", "○", "Epochs or members are still to be trained.")
_BROKEN = Badge("Failed", "fail", "✗", "The loss stopped being a number: there is no potential.")
LEVELS = {
    "error": Badge("Error", "fail", "✗", "The training cannot be used as it is."),
    "warning": Badge(
        "Warning", "inconclusive", "?", "The potential could be better, and the remedy says how."
    ),
    "note": Badge("Note", "information", "i", "Good to know; nothing need be done."),
}
_INSIDE = Badge("Inside", "pass", "✓", "The error and its error bar lie inside the limit.")
_OUTSIDE = Badge("Outside", "fail", "✗", "The error lies outside the limit, error bar considered.")
_CLOSE = Badge("Too close to tell", "inconclusive", "?", "The error bar crosses the limit.")


@dataclass(frozen=True)
class Accuracy:
    """One quantity on the first screen."""

    quantity: str
    mae: str  # with error bar and unit
    rmse: str
    relative: str  # r.m.s. error over r.m.s. of what is to be learnt
    limit: str
    place: Badge


@dataclass(frozen=True)
class ErrorLine:
    """A row of the table of errors: MAE and RMSE of each quantity, "–" where there is no label."""

    kind: str
    n_frames: int
    values: list[tuple[str, str]]  # MAE, RMSE


@dataclass(frozen=True)
class ErrorGroup:
    """The lines of one part of the data."""

    part: str
    lines: list[ErrorLine]


@dataclass(frozen=True)
class PartLine:
    """A row of the table of data."""

    part: str
    sources: str
    frames: int
    trajectories: str
    atoms: str
    labels: str
    spread: str
    forces: str


@dataclass(frozen=True)
class TrainingView:
    """What the template prints; citations, figures and provenance come beside it."""

    record: TrainingRecord
    badge: Badge
    sentence: str
    detail: str
    identity: list[Row]
    accuracy: list[Accuracy]
    accuracy_of: str  # "40 test frames"
    diagnoses: list[tuple[Badge, Diagnosis]]
    errors: list[ErrorGroup]
    data: list[PartLine]
    atomic_energies: list[Row]
    network: list[Row]
    schedule: list[Row]
    tables: list[Table]
    config: str


def view(record: TrainingRecord) -> TrainingView:
    """Everything in words."""
    held_out = _held_out(record)
    accuracy = _accuracy(record, held_out) if held_out else []
    return TrainingView(
        record=record,
        badge=_badge(record, accuracy),
        sentence=_sentence(record, held_out),
        detail=_detail(record),
        identity=_identity(record),
        accuracy=accuracy,
        accuracy_of=_frames_of(held_out) if held_out else "",
        diagnoses=[(LEVELS[d.level], _printed(d)) for d in record.diagnoses],
        errors=_error_groups(record),
        data=[_part(summary) for summary in record.parts],
        atomic_energies=[
            Row(symbol, f"{numbers.plain_number(energy, 9)} eV")
            for symbol, energy in record.atomic_energies_eV.items()
        ],
        network=_network(record),
        schedule=_schedule(record),
        tables=record.tables,
        config=_yaml(record.config),
    )


def _printed(d: Diagnosis) -> Diagnosis:
    """Its sentences with units in print."""
    evidence = numbers.sentence_case(_pretty(d.evidence))
    what, remedy = _pretty(d.what), _pretty(d.remedy)
    return d.model_copy(update={"what": what, "evidence": f"{evidence.rstrip('.')}.", "remedy": remedy})


def _pretty(text: str) -> str:
    """Units and powers in print, but for what stands between backticks: that is to be copied."""
    parts = text.split("`")
    return "`".join(part if i % 2 else numbers.pretty_text(part) for i, part in enumerate(parts))


# ---------------------------------------------------------------- first screen
def _held_out(record: TrainingRecord) -> ErrorRow | None:
    """The errors that say most: of test frames, else of validation frames."""
    totals = {row.part: row for row in record.rows if not row.config_type}
    return totals.get("test") or totals.get("valid")


def _frames_of(row: ErrorRow) -> str:
    one = row.errors.n_frames == 1
    return f"{row.errors.n_frames} {PART_NAMES[row.part].lower()} {'frame' if one else 'frames'}"


def _diverged(record: TrainingRecord) -> bool:
    return any(member.ended == "diverged" for member in record.members)


def _badge(record: TrainingRecord, accuracy: list[Accuracy]) -> Badge:
    if _diverged(record):
        return _BROKEN
    if not record.finished:
        return _OPEN
    if any(d.level != "note" for d in record.diagnoses):
        return _ATTEND
    return _LARGE if any(row.place is _OUTSIDE for row in accuracy) else _DONE


def _sentence(record: TrainingRecord, row: ErrorRow | None) -> str:
    if row is None and _diverged(record):
        return "The loss stopped being a number: there is no potential."
    if row is None:
        return "There is no potential yet, so no errors are known."
    told = [
        f"{title.lower()} {_value(row, name, unit)}"
        for name, title, unit in _QUANTITIES
        if getattr(row.errors, f"{name}_mae") is not None
    ]
    return f"Mean absolute errors on {_frames_of(row)}: {', '.join(told) or 'none, for lack of labels'}."


def _detail(record: TrainingRecord) -> str:
    if record.finished:
        return (
            "Errors on held-out frames say little about molecular dynamics: whether the potential may be "
            "used is for `mlipbench run` to say."
        )
    if _diverged(record):
        return "Change what the diagnosis names, and train into another folder."
    return "Run the same `mlipbench train` command again to go on from the last checkpoint."


def _identity(record: TrainingRecord) -> list[Row]:
    frames = {part.part: part.n_frames for part in record.parts}
    told = ", ".join(f"{frames[part]} {PART_NAMES[part].lower()}" for part in PARTS if part in frames)
    asked = record.config.get("committee") or len(record.members) or 1
    networks = "one network" if asked == 1 else f"committee of {asked}"
    if len(record.members) < asked:
        networks += f", {len(record.members)} begun"
    return [
        Row("Potential", record.package.get("file", "none yet")),
        Row("Level of theory", record.level_of_theory or "not stated"),
        Row("Frames", told or "none"),
        Row("Network", f"{networks}, {record.n_parameters} parameters{'' if asked == 1 else ' each'}"),
    ]


def _value(row: ErrorRow, name: str, unit: str) -> str:
    """MAE with its error bar, where it has one."""
    mae, stderr = getattr(row.errors, f"{name}_mae"), _stderr(row, name)
    return numbers.quantity(mae, stderr, unit, exact=stderr is None)


def _stderr(row: ErrorRow, name: str) -> float | None:
    found: float | None = getattr(row, f"{name}_mae_stderr", None)  # stresses have none
    return found


def _accuracy(record: TrainingRecord, row: ErrorRow) -> list[Accuracy]:
    summary = next((p for p in record.parts if p.part == row.part), None)
    scales = {
        "energy": summary.energy_spread if summary else None,
        "forces": summary.force_rms if summary else None,
    }
    found = []
    for name, title, unit in _QUANTITIES:
        mae, rmse = getattr(row.errors, f"{name}_mae"), getattr(row.errors, f"{name}_rmse")
        if mae is None:
            continue
        limit, scale = CHECKLIST_LIMITS[f"{name}_mae"], scales.get(name)
        found.append(
            Accuracy(
                quantity=title,
                mae=_value(row, name, unit),
                rmse=f"{numbers.plain_number(rmse, 3)} {numbers.pretty_unit(unit)}",
                relative=f"{numbers.plain_number(100 * rmse / scale, 2)} %" if scale else "–",
                limit=f"< {limit:g} {numbers.pretty_unit(unit)}",
                place=_place(mae, _stderr(row, name) or 0.0, limit),
            )
        )
    return found


def _place(mae: float, stderr: float, limit: float) -> Badge:
    if mae + _SIGMAS * stderr < limit:
        return _INSIDE
    return _OUTSIDE if mae - _SIGMAS * stderr > limit else _CLOSE


# ---------------------------------------------------------------- errors and data
def _error_groups(record: TrainingRecord) -> list[ErrorGroup]:
    """Test first: it is what a reader looks for."""
    groups = []
    for part in reversed(PARTS):
        rows = sorted((r for r in record.rows if r.part == part), key=lambda r: r.config_type)
        if rows:
            groups.append(ErrorGroup(PART_NAMES[part], [_error_line(row) for row in rows]))
    return groups


def _error_line(row: ErrorRow) -> ErrorLine:
    values = []
    for name, _, _ in _QUANTITIES:
        mae, rmse = getattr(row.errors, f"{name}_mae"), getattr(row.errors, f"{name}_rmse")
        if mae is None:
            values.append(("–", ""))
            continue
        stderr = _stderr(row, name)
        told = numbers.plain_number(mae, 3) if stderr is None else numbers.with_error(mae, stderr)
        values.append((told, numbers.plain_number(rmse, 3)))
    return ErrorLine(row.config_type or "all", row.errors.n_frames, values)


def _part(summary: PartSummary) -> PartLine:
    scale = numbers.plain_number
    return PartLine(
        part=PART_NAMES[summary.part],
        sources=", ".join(summary.sources),
        frames=summary.n_frames,
        trajectories="not named" if summary.n_trajectories is None else str(summary.n_trajectories),
        atoms=", ".join(f"{symbol} {count}" for symbol, count in summary.n_atoms.items()),
        labels=", ".join(
            name if count == summary.n_frames else f"{name} ({count})"
            for name, count in summary.labels.items()
            if count
        ),
        spread="–" if summary.energy_spread is None else f"{scale(summary.energy_spread, 3)} meV/atom",
        forces="–" if summary.force_rms is None else f"{scale(summary.force_rms, 3)} meV/Å",
    )


# ---------------------------------------------------------------- network and schedule
def _network(record: TrainingRecord) -> list[Row]:
    shown = dict(record.architecture)
    if isinstance(shown.get("elements"), (list, tuple)):
        shown["elements"] = [elements.symbol(int(z)) for z in shown["elements"]]
    return [
        Row("parameters", str(record.n_parameters)),
        *rows_of(shown),
        Row("scale", numbers.plain_number(record.scale, 6)),
        Row("shift", f"{numbers.plain_number(record.shift_eV, 6)} eV"),
    ]


def _schedule(record: TrainingRecord) -> list[Row]:
    c = record.config
    kept = [m.best_epoch for m in record.members if m.best_epoch is not None]
    epochs = [len(m.epochs) for m in record.members]
    seconds = sum(m.seconds for m in record.members)
    rows = [
        Row("Epochs trained", _range(epochs)),
        Row("Epoch whose weights were kept", _range(kept)),
        Row("Stages", "; ".join(stages(record)) or "none begun"),
        Row("Batches", f"{c['batch_size']} structures" if "batch_size" in c else ""),
        Row("Wall time", numbers.duration(seconds) if seconds else ""),
    ]
    return [row for row in rows if row.text]


def _range(values: list[int]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def stages(record: TrainingRecord) -> list[str]:
    """`training: epochs 0 to 59, learning rate 0.01 to 0.0001`, of the first member."""
    if not record.members:
        return []
    found: dict[str, list[Any]] = {}
    for epoch in record.members[0].epochs:
        found.setdefault(epoch.stage, []).append(epoch)
    return [
        f"{name}: epochs {group[0].epoch} to {group[-1].epoch}, learning rate "
        f"{group[0].lr:.3g} to {group[-1].lr:.3g}"
        for name, group in found.items()
    ]


def _yaml(config: dict[str, Any]) -> str:
    """The configuration as one would write it; lists and short mappings in a line."""
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.width = 100
    yaml.representer.add_representer(type(None), _null)
    buffer = io.StringIO()
    yaml.dump(config, buffer)
    return buffer.getvalue()


def _null(representer: Any, _: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")
