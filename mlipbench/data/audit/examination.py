"""The state of an audit: frames, their distances, which of them are still trusted, what was found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from mlipbench.core.structure import BoolArray, IntArray, LabelledFrame
from mlipbench.data.audit.energy_forces import Compared
from mlipbench.data.audit.findings import Amount, Finding, Level, places
from mlipbench.data.audit.geometry import Geometry
from mlipbench.data.audit.reading import AuditFrame


@dataclass
class Examination:
    """Frames under examination; checks add findings and take trust away from frames.

    A frame that is wrong in one respect takes no part in later checks, so that one cause gives one
    finding.
    """

    frames: list[AuditFrame]
    geometries: dict[int, Geometry] = field(default_factory=dict)  # of frames with a sound cell
    distrusted: set[int] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    unexamined: list[str] = field(default_factory=list)
    pairs: Compared | None = None  # close frames, their labels in eV and A

    def labelled(self) -> list[LabelledFrame]:
        """The labelled frames, trusted or not."""
        return [f.frame for f in self.frames]

    def trusted(self, *labels: str) -> IntArray:
        """Numbers of the trusted frames that have all of these labels."""
        return np.array(
            [
                i
                for i, f in enumerate(self.frames)
                if i not in self.distrusted and all(getattr(f.frame, name) is not None for name in labels)
            ],
            dtype=np.int64,
        )

    def spacing_A(self) -> float:
        """Median distance to the nearest neighbour."""
        near = [g.neighbour_A for g in self.geometries.values() if np.isfinite(g.neighbour_A)]
        return float(np.median(near)) if near else 0.0

    def add(
        self,
        name: str,
        level: Level,
        what: str,
        chosen: Iterable[int] | IntArray | BoolArray = (),
        amount: Amount | None = None,
        cause: str = "",
        remedy: str = "",
    ) -> None:
        """A finding about some frames."""
        self.findings.append(
            Finding(
                id=name,
                level=level,
                what=what,
                where=places(self.frames, chosen),
                amount=amount,
                cause=cause,
                remedy=remedy,
            )
        )
