"""What an audit finds: values that are written as JSON and drawn as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mlipbench.data.audit.reading import AuditFrame

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
LISTED = 12  # frame numbers that a place lists


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Place(_Value):
    """Frames of one file."""

    file: str
    frames: list[int] = Field(description=f"numbers from 0, the first {LISTED}")
    count: int = Field(description="how many frames in all")


class Amount(_Value):
    """The number behind a finding."""

    value: float
    unit: str
    stderr: float | None = None
    of: str = Field(description="what was measured")


class Finding(_Value):
    """One thing about the data that a user should know."""

    id: str = Field(description="units.forces, leaks.correlated, ...")
    level: Level
    what: str
    where: list[Place] = []
    amount: Amount | None = None
    cause: str = Field(default="", description="likely cause")
    remedy: str = ""


class ContactRange(_Value):
    """Closest contact of two elements in the whole set."""

    pair: str
    closest_A: float
    covalent_A: float = Field(description="sum of covalent radii")


class Domain(_Value):
    """What the set covers: a potential is asked for no more."""

    files: dict[str, int] = Field(description="file -> frames")
    formulas: dict[str, int] = Field(description="formula -> frames")
    config_types: dict[str, int]
    n_atoms: tuple[int, int]
    labels: dict[str, int] = Field(description="label -> frames that have it")
    density_g_per_cm3: tuple[float, float] | None
    energy_eV_per_atom: tuple[float, float] | None
    largest_force_eV_per_A: float | None
    rms_force_eV_per_A: float | None
    pressure_GPa: tuple[float, float] | None
    temperature_K: tuple[float, float] | None
    contacts: list[ContactRange]


class AuditReport(_Value):
    """All findings, errors first."""

    findings: list[Finding]
    unexamined: list[str] = Field(description="what could not be checked with these data, and why")
    train: Domain
    test: Domain | None = None

    def count(self, level: Level) -> int:
        """Findings of a level."""
        return sum(finding.level == level for finding in self.findings)


def places(frames: Sequence[AuditFrame], chosen: Iterable[int]) -> list[Place]:
    """Where the chosen frames stand."""
    files: dict[str, list[int]] = {}
    for i in sorted({int(k) for k in chosen}):
        files.setdefault(frames[i].file, []).append(frames[i].number)
    return [Place(file=f, frames=numbers[:LISTED], count=len(numbers)) for f, numbers in files.items()]
