"""The published result format: results.json and the result of one suite.

`schema_version` rises when a field changes its meaning or goes; docs/results.schema.json is
generated from here. Nothing in these models depends on the clock or the machine, so two runs of one
plan give the same bytes; wall times and hardware are in timings.json and provenance.json.
"""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mlipbench.core.citation import Citation
from mlipbench.core.criterion import Criterion, Verdict
from mlipbench.core.figure import Figure, StructurePicture, Table

SCHEMA_VERSION = 1

# The deployment checklist: nine items, each fed by the required criteria that name it.
CHECKLIST: dict[int, str] = {
    1: "Energy error on held-out frames",
    2: "Force error on held-out frames",
    3: "Stress error on held-out frames",
    4: "Energy drift in NVE at the target temperature",
    5: "Molecular dynamics stable at the target temperature and 1.5 times it",
    6: "Radial distribution function against the reference",
    7: "No imaginary phonon modes in stable phases",
    8: "Density from NPT",
    9: "Derivatives smooth enough for downstream use",
}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Waiver(_Model):
    """A required criterion that a named reason sets aside until a date."""

    criterion: str = Field(description="suite/measurement, as parity/force_mae")
    reason: str = Field(min_length=10)
    expires: datetime.date


class JudgedMeasurement(_Model):
    """One number with its error bar, its criterion and what the judge says."""

    id: str = Field(description="suite key / measurement key: parity/force_mae, nve/drift@300K")
    value: float | None
    unit: str
    stderr: float | None
    n_eff: float | None
    method: str = ""
    conditions: dict[str, float | str] = {}
    evidence: dict[str, float] = {}
    exact: bool = False
    note: str = ""
    criterion: Criterion | None = Field(description="None: information, not judged")
    required: bool = Field(description="whether the verdict counts for the gate")
    default_limit: float | None = Field(
        default=None, description="the suite's own limit where the suite file changed it"
    )
    verdict: Verdict | None
    reason: str = ""
    bound: float | None = None
    waived: bool = False


class SuiteResult(_Model):
    """All that one suite found."""

    key: str
    suite: str = Field(description="name the suite is registered under")
    version: int
    title: str
    method: str = Field(description="the method in words, with literature")
    methods: str = Field(default="", description="what this run did, past tense, to be copied into a paper")
    citations: list[Citation] = Field(default=[], description="works that the two texts mark as [@key]")
    asked: dict[str, object] = Field(description="parameters, resolved")
    status: Literal["complete", "not_applicable", "error", "not_run"]
    reason: str = Field(default="", description="why not applicable, or the error in a line")
    items: list[int] = Field(default=[], description="checklist items it feeds")
    gates: bool = Field(default=True, description="whether it has criteria that are required")
    measurements: list[JudgedMeasurement] = []
    figures: list[Figure | StructurePicture] = []
    tables: list[Table] = []
    notes: list[str] = []


class ChecklistEntry(_Model):
    """One of the nine items."""

    number: int
    item: str
    status: Verdict | Literal["NOT_MEASURED", "WAIVED"]
    reason: str
    limit: str = Field(default="", description="limit and its source in words")
    measurements: list[str] = Field(description="ids of the measurements that feed it")


class PotentialRecord(_Model):
    """Identity of the potential that was judged."""

    name: str
    key: str
    verified: bool
    details: dict[str, str]
    fingerprint: str = Field(default="", description="sha256 of its answers on probe structures")
    properties: list[str] = Field(default=[], description="what it can be asked")
    dtype: str = ""
    device: str = ""
    citations: list[Citation] = Field(default=[], description="what a paper that uses it should cite")


class ReferenceRecord(_Model):
    """A reference that was used."""

    name: str
    sha256: str
    level_of_theory: str
    licence: str = ""
    source: str = ""
    verified: bool = True


class IntendedUseRecord(_Model):
    """The intended use, as declared."""

    temperature_K: float
    elements: list[str]
    phases: list[str]
    pressure_bar: float | None
    electrostatics: bool


class SuiteSummary(_Model):
    """A suite in results.json (figures and tables stay in its own result.json)."""

    suite: str
    version: int
    status: Literal["complete", "not_applicable", "error", "not_run"]
    reason: str = ""
    items: list[int] = []
    gates: bool = True
    measurements: list[JudgedMeasurement]


class Results(_Model):
    """results.json."""

    schema_version: int = SCHEMA_VERSION
    title: str
    verdict: Verdict
    sentence: str = Field(description="the verdict in a sentence: deployable, or partial: n of 9")
    exit_code: int
    tier: str
    seed: int
    intended_use: IntendedUseRecord
    potential: PotentialRecord
    references: list[ReferenceRecord] = []
    checklist: list[ChecklistEntry] = Field(min_length=9, max_length=9)
    waivers: list[Waiver] = []
    suites: dict[str, SuiteSummary]
    plan_sha256: str = Field(default="", description="of the plan, wherever it lies: see plan.lock.yaml")
    sha256: str = Field(
        default="",
        exclude=True,  # the store adds it when it writes, and takes it off when it reads
        description="seal: of the text of this file before this line",
    )
