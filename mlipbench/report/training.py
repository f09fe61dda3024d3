"""The page of a training: what it came to, what ails it, and everything needed to do it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment
from pydantic import ValidationError

from mlipbench.core.errors import StoreError
from mlipbench.core.training import TrainingRecord
from mlipbench.report.bibliography import plain
from mlipbench.report.drawings import Drawing, Named, data_files, drawings, printed
from mlipbench.report.facts import rows_of
from mlipbench.report.html import environment, text_uri
from mlipbench.report.methods import Methods
from mlipbench.report.provenance import MACHINE, SOFTWARE, Group
from mlipbench.report.quality import LARGEST, STEPS, Quality
from mlipbench.report.raster import png
from mlipbench.report.training_methods import training_methods
from mlipbench.report.training_view import TrainingView, view
from mlipbench.report.words import TRAINING_TERMS
from mlipbench.store import layout

CURVE = "learning-curve"  # id of the figure that is written as PNG too


def write_training_report(folder: Path) -> None:
    """Write report.html, methods.txt, citations.bib, figures/*.csv and learning_curve.png of a training.

    Each file appears whole or not at all; the same record gives the same bytes again. Raises StoreError
    where training.json is missing or damaged, or the folder cannot be written to.
    """
    record, digest = read_record(folder)
    methods, _ = training_methods(record, digest)
    files = {
        layout.REPORT: render(record, digest).encode(),
        layout.METHODS: methods.text.encode(),
        layout.CITATIONS: methods.bibtex.encode(),
    }
    files |= {f"{layout.FIGURES}/{name}": text.encode() for name, text in data_files(_named(record)).items()}
    curve = next((figure for figure in record.figures if figure.id == CURVE), None)
    if curve is not None:
        files[layout.LEARNING_CURVE] = png(curve)
    for name, content in files.items():
        layout.write_bytes(folder / name, content)
    for path in (folder / layout.FIGURES).glob("*.csv"):
        if f"{layout.FIGURES}/{path.name}" not in files:
            layout.remove(path)  # of a figure that the training no longer has


def read_record(folder: Path) -> tuple[TrainingRecord, str]:
    """training.json and its sha256. Raises StoreError."""
    path = folder / layout.TRAINING
    if not path.is_file():
        raise StoreError(
            f"{path}: not found. Expected the folder of a training, which `mlipbench train` makes"
        )
    try:
        record = TrainingRecord.model_validate(layout.read_json(path))
    except ValidationError as error:
        raise StoreError(f"{path}: not a record of this version of mlipbench:\n{error}") from error
    return record, layout.sha256(layout.read_bytes(path))


def render(record: TrainingRecord, record_sha256: str) -> str:
    """The page's HTML, drawn as finely as 5 MB allow."""
    methods, bibliography = training_methods(record, record_sha256)
    pages, shown = environment(bibliography), view(record)
    page = ""
    for quality in STEPS:
        empty: list[Drawing] = []
        without = _page(pages, shown, methods, record_sha256, empty, quality)
        found = drawings(_named(record), quality, LARGEST - len(without.encode()))
        if found is not None:
            page = _page(pages, shown, methods, record_sha256, found, quality)
            if len(page.encode()) <= LARGEST:
                break
    return page


def _named(record: TrainingRecord) -> list[Named]:
    return [(figure, figure.id) for figure in record.figures]


def _page(
    pages: Environment,
    shown: TrainingView,
    methods: Methods,
    record_sha256: str,
    found: list[Drawing],
    quality: Quality,
) -> str:
    record = shown.record
    return pages.get_template("training.html").render(
        view=shown,
        record=record,
        drawings=found,
        tables=[printed(table, quality.table_rows, layout.TRAINING) for table in shown.tables],
        quality=quality,
        methods=methods,
        provenance=_provenance(record),
        unverified=_unverified(record),
        record_sha256=record_sha256,
        terms=TRAINING_TERMS,
        plain_work=plain,
        text_uri=text_uri,
    )


def _provenance(record: TrainingRecord) -> list[Group]:
    stored = record.provenance
    own = {
        "name": record.name,
        "record_version": record.version,
        "package": record.package,
        "seeds": [member.seed for member in record.members],
    }
    rest: dict[str, Any] = {k: v for k, v in stored.items() if k not in (*MACHINE, *SOFTWARE)}
    groups = [
        Group("Training", rows_of(own)),
        Group("Machine", rows_of({k: stored[k] for k in MACHINE if k in stored})),
        Group("Software", rows_of({k: stored[k] for k in SOFTWARE if k in stored})),
        Group("Further", rows_of(rest)),
    ]
    return [group for group in groups if group.rows]


def _unverified(record: TrainingRecord) -> list[str]:
    """What the record cannot vouch for."""
    found = []
    git = record.provenance.get("git") or {}
    if git.get("modified"):
        found.append(
            f"the code: commit {str(git.get('commit', ''))[:12]} with local changes that are kept nowhere"
        )
    if not record.level_of_theory:
        found.append("the data: their level of theory is not stated (level_of_theory in the configuration)")
    return found
