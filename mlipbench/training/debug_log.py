"""The breakdown of the loss batch by batch, as debug.log tells it, also of a training that is going on.

    DEBUG: epoch 3 batch 12: loss breakdown: forces: 7.4e-06, energy_per_atom: 1.2e-04

Other lines are passed over. A training that was killed and resumed writes some batches twice; the last
word counts. A last line without its end is still being written and is left out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from mlipbench.core.errors import StoreError
from mlipbench.core.figure import Figure, Panel, Series

_LINE = re.compile(r"epoch (\d+) batch (\d+): loss breakdown: (.+)$")
_MARK = "loss breakdown"
_TERM = re.compile(r"\s*([A-Za-z_]\w*): (\S+)\s*")


@dataclass(frozen=True)
class Breakdown:
    """Terms of the loss of every batch that the log holds, in their order."""

    batches: dict[tuple[int, int], dict[str, float]]  # (epoch, batch) -> term -> weighted share
    malformed: int  # lines that should tell of a batch and do not

    def between(self, first: int | None, last: int | None) -> Breakdown:
        """The epochs from `first` to `last`, both included; None stands for no limit."""
        low, high = -1 if first is None else first, math.inf if last is None else last
        return Breakdown({k: v for k, v in self.batches.items() if low <= k[0] <= high}, self.malformed)

    @property
    def terms(self) -> list[str]:
        """Names, in the order of their appearance."""
        return list(dict.fromkeys(name for terms in self.batches.values() for name in terms))


def read_breakdown(path: Path) -> Breakdown:
    """Read a debug.log. Raises StoreError where there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror or error}); expected the log of a member of a "
            "training, which `mlipbench train` writes"
        ) from error
    batches: dict[tuple[int, int], dict[str, float]] = {}
    malformed = 0
    for line in text[: text.rfind("\n") + 1].splitlines():
        if _MARK not in line:
            continue
        found = _LINE.search(line)
        terms = _terms(found[3]) if found else None
        if found is None or terms is None:
            malformed += 1
            continue
        batches[int(found[1]), int(found[2])] = terms
    return Breakdown(dict(sorted(batches.items())), malformed)


def _terms(text: str) -> dict[str, float] | None:
    """`forces: 7.4e-06, energy_per_atom: 1.2e-04`; None where a part of it is not that."""
    terms = {}
    for part in text.split(","):
        found = _TERM.fullmatch(part)
        try:
            terms[found[1] if found else ""] = float(found[2] if found else "")
        except ValueError:
            return None
    return terms


def breakdown_figure(members: dict[str, Breakdown]) -> Figure:
    """One panel a member: every term and their sum against the epoch. Members without batches have none."""
    panels = []
    for name, found in members.items():
        if not found.batches:
            continue
        x = _abscissa(list(found.batches))
        total = [_finite(sum(terms.values())) for terms in found.batches.values()]
        series = [
            Series(
                kind="line",
                x=x,
                y=[_finite(terms.get(term, math.nan)) for terms in found.batches.values()],
                label=term.replace("_", " "),
            )
            for term in found.terms
        ]
        if len(series) > 1:
            series.append(Series(kind="line", x=x, y=total, role="context", label="sum"))
        panels.append(
            Panel(title=name, xlabel="epoch", ylabel="loss of the batch", yscale="log", series=series)
        )
    return Figure(
        id="losses",
        caption="Loss of every batch, term by term, weights included.",
        alt="Terms of the loss against the epoch, batch by batch.",
        panels=panels,
    )


def _abscissa(batches: list[tuple[int, int]]) -> list[float | None]:
    """Epoch and fraction of it: batches spread evenly over as many as the longest epoch has."""
    per_epoch = max(batch for _, batch in batches) + 1
    return [epoch + batch / per_epoch for epoch, batch in batches]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
