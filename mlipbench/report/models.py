"""View models: what the templates print, already in words. Built by `report.view`."""

from __future__ import annotations

from dataclasses import dataclass

from mlipbench.core.figure import Figure, StructurePicture, Table
from mlipbench.core.result import Results, SuiteResult
from mlipbench.report import words
from mlipbench.report.bibliography import Bibliography
from mlipbench.report.facts import Row
from mlipbench.report.methods import Methods
from mlipbench.report.provenance import Provenance
from mlipbench.report.words import Badge

_SETTLED = (words.PASS, words.NOT_APPLICABLE, words.WAIVED)


@dataclass(frozen=True)
class MeasurementView:
    """One number of a suite's section."""

    id: str
    anchor: str
    label: str  # "Force MAE"
    condition: str  # "300 K"
    suite_title: str
    measured: bool
    value: str  # "34.2 ± 0.8 meV/Å"
    samples: str
    method: str
    note: str
    limit: str
    source: str
    demands: list[str]  # evidence a PASS asks for
    grades: list[str]
    changed_limit: str  # "Loosened by the suite file: ..."
    loosened: bool
    required: bool
    level: str
    verdict: Badge
    reason: str

    @property
    def full_label(self) -> str:
        """Label with its condition."""
        return f"{self.label} ({self.condition})" if self.condition else self.label


@dataclass(frozen=True)
class SuiteView:
    """One section: a suite, or the contract check."""

    key: str
    found: SuiteResult
    anchor: str
    title: str
    name: str  # "nve, version 1"
    status: Badge
    complete: bool  # whether it came to its end, with numbers
    gates: bool  # whether an error of the suite decides the verdict
    summary: str
    reason: str
    traceback: str
    asked: list[Row]
    required: list[MeasurementView]
    advisory: list[MeasurementView]
    information: list[MeasurementView]
    figures: list[Figure | StructurePicture]
    tables: list[Table]
    notes: list[str]
    method: str

    @property
    def judged(self) -> list[MeasurementView]:
        """Numbers that have a criterion, required ones first."""
        return self.required + self.advisory


@dataclass(frozen=True)
class ItemView:
    """One of the nine checklist items."""

    number: int
    item: str
    status: Badge
    reason: str
    limit: str
    measurements: list[MeasurementView]

    def name_of(self, m: MeasurementView) -> str:
        """What tells a measurement from the others that feed the item; "" where it is alone."""
        if len(self.measurements) == 1:
            return ""
        if len({other.label for other in self.measurements}) == 1:
            return m.condition or m.label
        return m.full_label


@dataclass(frozen=True)
class WaiverView:
    """A waiver and what it did in this run."""

    criterion: str
    reason: str
    expires: str  # ISO date
    effect: str


@dataclass(frozen=True)
class Finding:
    """Something a reader should know first, with a link to its place."""

    badge: Badge
    where: str
    anchor: str
    text: str


@dataclass(frozen=True)
class LimitSource:
    """Where limits come from, and which ones."""

    source: str
    criteria: list[MeasurementView]  # one of each


@dataclass(frozen=True)
class RunView:
    """All of a report."""

    results: Results
    verdict: Badge
    exit_meaning: str
    use: list[Row]
    notices: list[Row]
    waivers: list[WaiverView]
    checklist: list[ItemView]
    decisive: list[Finding]
    advisory: list[Finding]
    suites: list[SuiteView]
    provenance: Provenance
    methods: Methods
    bibliography: Bibliography  # of the methods, and of all else that the report cites
    sources: list[LimitSource]
    seconds: dict[str, float]  # suite key -> wall time
    plan: str

    @property
    def missing(self) -> list[ItemView]:
        """Checklist items that stand between this run and "deployable"."""
        return [item for item in self.checklist if item.status not in _SETTLED]

    @property
    def headline(self) -> str:
        """The verdict in a word; a PASS of a part of the checklist is not called more than that."""
        if self.verdict is words.PASS and self.missing:
            return "Pass, as far as measured"
        return self.verdict.word
