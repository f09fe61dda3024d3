"""What a training suffers from, told by its record: symptom, the numbers behind it, and what to change.

What is recognised: a force error on a plateau (and why), a training that ended too early, overfitting,
a gap between training and validation, spikes and gradients that are always clipped, energies that are
poor where forces are good and the reverse, a tail of outliers, settings that let energies drift in NVE.
A loss that is not finite is explained where it happens, by `training.diagnosis.divergence`.
"""

from __future__ import annotations

from mlipbench.core.training import Diagnosis, TrainingRecord
from mlipbench.training.diagnosis.curves import member_symptoms
from mlipbench.training.diagnosis.errors import error_symptoms
from mlipbench.training.diagnosis.precautions import setting_symptoms

_LEVELS = ("error", "warning", "note")
_SAID_BY = {
    "gap": ("overfitting", "plateau.data"),
    "plateau.data": ("overfitting",),
    "clipping": ("instability",),
} | dict.fromkeys(("plateau.schedule", "plateau.capacity", "unfinished", "energies", "forces"), ("useless",))
"""What need not be said beside something that says more."""


def diagnose(record: TrainingRecord) -> list[Diagnosis]:
    """All that is wrong with a training, worst first; empty for a sound one.

    Curves are judged member by member, errors for the committee as a whole.
    """
    found = _merged([member_symptoms(record, member) for member in record.members])
    found += error_symptoms(record) + setting_symptoms(record)
    ids = {d.id for d in found}
    told = [d for d in found if not ids.intersection(_SAID_BY.get(d.id, ()))]
    return sorted(told, key=lambda d: _LEVELS.index(d.level))


def _merged(by_member: list[list[Diagnosis]]) -> list[Diagnosis]:
    """One diagnosis for all members that share it, with the numbers of the first."""
    first: dict[str, Diagnosis] = {}
    members: dict[str, list[int]] = {}
    for number, found in enumerate(by_member):
        for d in found:
            first.setdefault(d.id, d)
            members.setdefault(d.id, []).append(number)
    if len(by_member) == 1:
        return list(first.values())
    return [
        d.model_copy(update={"evidence": f"{_which(members[d.id], len(by_member))}: {d.evidence}"})
        for d in first.values()
    ]


def _which(members: list[int], number: int) -> str:
    if len(members) == 1:
        return f"member {members[0]} of {number}"
    return f"{len(members)} of {number} members, of which member {members[0]}"
