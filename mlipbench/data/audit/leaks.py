"""Repeats within a set, and leaks between training and test frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import cast

import numpy as np

from mlipbench.core.structure import BoolArray
from mlipbench.data.audit.examination import Examination
from mlipbench.data.audit.findings import Amount, Level
from mlipbench.data.audit.reading import AuditFrame
from mlipbench.data.audit.repeats import Correlated, correlated, duplicates, same_place

_TIMES = ("time_fs", "time_ps", "time", "step", "md_step", "timestep")
_FEW = 0.05  # share of held-out frames: a contiguous segment has correlated frames at its ends alone
_SPLIT = "hold out whole trajectories, or contiguous segments with a gap of a correlation time"
_CONTRADICT_EV_PER_ATOM = 1e-3
_CONTRADICT_EV_PER_A = 0.01


def check_duplicates(x: Examination, held_out: BoolArray) -> None:
    """Structures that stand in the set twice; `held_out` marks the test frames."""
    members = [int(i) for i in x.trusted() if x.frames[i].n_atoms > 1]
    pairs = [(members[i], members[j]) for i, j in duplicates([x.frames[i].frame.structure for i in members])]
    odd = [(i, j) for i, j in pairs if _contradict(x.frames[i], x.frames[j])]
    rest = [pair for pair in pairs if pair not in odd]
    leaked = [(i, j) for i, j in rest if held_out[i] != held_out[j]]
    within = [(i, j) for i, j in rest if held_out[i] == held_out[j]]
    twice = [
        (i, j) for i, j in within if same_place(x.frames[i].frame.structure, x.frames[j].frame.structure)
    ]
    equivalent = [pair for pair in within if pair not in twice]
    joined = "files joined that share frames, or a restart that wrote a frame twice"
    for chosen, name, level, what, cause, remedy in (
        (
            odd,
            "repeats.contradict",
            "error",
            "repeat a structure with other labels",
            "two levels of theory, or two electronic states, in one set",
            "find out which label is meant",
        ),
        (
            leaked,
            "leaks.duplicates",
            "error",
            "of the test set stand in the training set too",
            f"{joined}, or the two are equal by symmetry (equivalent strains)",
            "take them out of one of the two",
        ),
        (twice, "repeats.duplicates", "warning", "repeat an earlier frame", joined, "leave the repeats out"),
        (
            equivalent,
            "repeats.equivalent",
            "note",
            "equal an earlier one up to rotation and order of atoms",
            "equivalent strains, sites or surfaces",
            "they hold no new information, and must not be split between training and test",
        ),
    ):
        if chosen:
            _repeated(x, chosen, name, cast(Level, level), what, cause, remedy)
    x.distrusted.update(i for pair in odd for i in pair)
    x.distrusted.update(i for i, _ in leaked + within)


def _repeated(
    x: Examination, pairs: list[tuple[int, int]], name: str, level: Level, what: str, cause: str, remedy: str
) -> None:
    partners = ", ".join(f"{x.frames[i].frame.label} = {x.frames[j].frame.label}" for i, j in pairs[:3])
    x.add(
        name,
        level,
        f"{len(pairs)} frames {what} ({partners}{', ...' if len(pairs) > 3 else ''})",
        [i for i, _ in pairs],
        Amount(value=len(pairs), unit="frames", of="equal structures"),
        cause,
        remedy,
    )


def check_correlation(x: Examination, held_out: BoolArray) -> None:
    """Frames too close in time to be independent, and trajectories on both sides."""
    rest = np.array([i for i in x.trusted() if x.frames[i].n_atoms > 1], dtype=np.int64)
    frames = [x.frames[i].frame for i in rest]
    for side, name in ((~held_out, "training set" if held_out.any() else "set"), (held_out, "test set")):
        own = rest[side[rest]]
        found = correlated([x.frames[i].frame for i in own])
        if found is not None and len(found.frames):
            _within(x, own, found, name)
    if not held_out.any():
        return
    found = correlated(frames, held_out[rest])
    if found is None:
        x.unexamined.append(
            "test against training frames: fewer than 8 training frames of the same atoms and cell"
        )
    if found is not None and len(found.frames):
        _leak(x, rest, found)
    else:
        _trajectories(x, held_out)


def _contradict(one: AuditFrame, other: AuditFrame) -> bool:
    a, b = one.frame, other.frame
    if a.energy is not None and b.energy is not None:
        per_atom = a.energy / one.n_atoms - b.energy / other.n_atoms
        if abs(per_atom) > _CONTRADICT_EV_PER_ATOM:
            return True
    if a.forces is not None and b.forces is not None:
        sizes = [np.sort(np.linalg.norm(f, axis=1)) for f in (a.forces, b.forces)]
        return len(sizes[0]) == len(sizes[1]) and bool(
            np.abs(sizes[0] - sizes[1]).max() > _CONTRADICT_EV_PER_A
        )
    return False


def _within(x: Examination, own: np.ndarray, found: Correlated, name: str) -> None:
    share = len(found.frames) / found.n_examined
    if share < _FEW:
        return
    x.add(
        "repeats.correlated",
        "note",
        f"{100 * share:.0f} % of the {name} have a frame close in time: {np.median(found.distances_A):.2g} A "
        f"away (root mean square), where independent frames are {found.typical_A:.2g} A apart",
        own[found.frames],
        Amount(
            value=float(np.median(found.distances_A)), unit="A", of="median distance to the closest frame"
        ),
        "frames of one trajectory, more often than it forgets",
        "they count as fewer frames than they are; split by trajectory",
    )


def _leak(x: Examination, rest: np.ndarray, found: Correlated) -> None:
    share = len(found.frames) / found.n_examined
    many = share > _FEW and len(found.frames) > 2
    test, training = [[x.frames[i] for i in rest[n]] for n in (found.frames, found.partners)]
    shared = _shared_names(test, training)
    apart = not shared and not many and all(f.frame.trajectory for f in (*test, *training))
    cause = (
        "frames of one trajectory were shuffled before the split" if many else "the split cuts a trajectory"
    )
    if apart:
        cause = "runs of other names came into one basin (as surfaces do that reconstruct), or the names lie"
    x.add(
        "leaks.correlated",
        "error" if many else "note" if apart else "warning",
        f"{len(found.frames)} of {found.n_examined} test frames ({100 * share:.0f} %) have a "
        f"training frame close in time: {np.median(found.distances_A):.2g} A away (median), where "
        f"independent frames are {found.typical_A:.2g} A apart"
        + (f"; both of trajectory {shared}" if shared else ""),
        rest[found.frames],
        Amount(
            value=float(np.median(found.distances_A)),
            unit="A",
            of="median distance to the closest training frame",
        ),
        cause,
        _SPLIT + (" (where times are lost, chain each frame to its closest)" if not shared else ""),
    )


def _shared_names(ones: Sequence[AuditFrame], others: Sequence[AuditFrame]) -> str:
    names = {
        a.frame.trajectory
        for a, b in zip(ones, others, strict=True)
        if a.frame.trajectory and a.frame.trajectory == b.frame.trajectory
    }
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")


def _trajectories(x: Examination, held_out: BoolArray) -> None:
    """Names of trajectories on both sides, where the frames themselves look independent."""
    sides: defaultdict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for i, frame in enumerate(x.frames):
        if frame.frame.trajectory:
            sides[frame.frame.trajectory][int(held_out[i])].append(i)
    shared = {name: both for name, both in sides.items() if both[0] and both[1]}
    if not shared:
        return
    chosen = [i for _, test in shared.values() for i in test]
    gap = _closest_time(x, shared)
    x.add(
        "leaks.trajectory",
        "warning",
        f"{len(shared)} trajectories have frames in both sets ({', '.join(list(shared)[:3])})"
        + (f", the closest {gap[0]:g} {gap[1]} apart" if gap else ""),
        chosen,
        Amount(value=len(chosen), unit="frames", of="test frames of a trajectory that is trained on"),
        "a split by frame",
        _SPLIT,
    )


def _closest_time(x: Examination, shared: dict[str, tuple[list[int], list[int]]]) -> tuple[float, str] | None:
    for key in _TIMES:
        gaps = []
        for train, test in shared.values():
            times = [[x.frames[i].info.get(key) for i in side] for side in (train, test)]
            if all(isinstance(t, float) for side in times for t in side):
                gaps.append(
                    float(np.abs(np.subtract.outer(*[np.array(t, dtype=float) for t in times])).min())
                )
        if gaps:
            return min(gaps), {"time_fs": "fs", "time_ps": "ps"}.get(key, f"({key})")
    return None
