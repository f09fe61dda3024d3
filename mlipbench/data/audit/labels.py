"""Labels that are missing, not numbers, zero, constant, or of several levels of theory."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import numpy as np

from mlipbench.data.audit.examination import Examination
from mlipbench.data.audit.findings import Amount

_THEORY = re.compile(
    r"^(level_?of_?theory|theory|functional|xc|xc_functional|dft_functional|method|basis(_set)?|dispersion"
    r"|vdw|pseudo(potential)?s?|pp|encut|ecut(wfc)?|cutoff_ry|cutoff_ev|code|program|calculator)$",
    re.IGNORECASE,
)
_SYMMETRIC = 1e-4  # asymmetry up to which forces may be zero by symmetry; of thermal frames 0.06 and more


def check_labels(x: Examination) -> None:
    """All checks of one file's labels."""
    _unreadable(x)
    _missing(x)
    _zero(x)
    _constant(x)


def _unreadable(x: Examination) -> None:
    kinds: defaultdict[str, list[int]] = defaultdict(list)
    for i, frame in enumerate(x.frames):
        if i not in x.distrusted:  # without a cell, a stress cannot be read either
            for kind in frame.faults:
                kinds[kind].append(i)
    for kind, chosen in kinds.items():
        ambiguous = kind == "labels"
        x.add(
            "labels.ambiguous" if ambiguous else "labels.unreadable",
            "error",
            x.frames[chosen[0]].faults[kind],
            chosen,
            Amount(value=len(chosen), unit="frames", of="frames affected"),
            "the answers of a model or of a second method stand beside the labels"
            if ambiguous
            else "a calculation that failed or was cut off, or a conversion that went wrong",
            "say which is the label" if ambiguous else "repeat the calculation, or leave the frames out",
        )
        x.distrusted.update(chosen)


def _missing(x: Examination) -> None:
    if all(f.frame.energy is None and f.frame.forces is None and f.frame.stress is None for f in x.frames):
        x.add(
            "labels.none",
            "error",
            "no labels in any frame",
            range(len(x.frames)),
            cause="labels under another name, or lost in a conversion",
            remedy="say --keys energy=..., forces=..., stress=...",
        )
        return
    for name in ("energy", "forces", "stress"):
        possible = [i for i, f in enumerate(x.frames) if _expected(x, i, name)]
        missing = [i for i in possible if getattr(x.frames[i].frame, name) is None]
        missing = [i for i in missing if not x.frames[i].faults]
        if not missing:
            continue
        amount = Amount(value=len(missing), unit="frames", of=f"frames without {name}")
        if len(missing) == len(possible):
            if name != "stress" or not any(f.frame.stress is not None for f in x.frames):
                x.add(
                    f"labels.no_{name}",
                    "warning" if name == "energy" else "note",
                    f"no frame of {x.frames[0].file} has {name}",
                    (),
                    amount,
                    "not computed, or under another name",
                    f"say --keys {name}=... where it has another name",
                )
            continue
        x.add(
            f"labels.missing_{name}",
            "error" if name == "energy" else "warning",
            f"{name} missing in {len(missing)} of {len(possible)} frames",
            missing,
            amount,
            "files of different origin joined, or calculations that failed",
            "compute the missing labels, or leave these frames out (or give them weight zero)",
        )


def _expected(x: Examination, i: int, name: str) -> bool:
    """Isolated atoms need no forces, and what has no cell no stress."""
    frame = x.frames[i]
    if name == "energy":
        return True
    return frame.n_atoms > 1 and (name == "forces" or bool(frame.frame.structure.pbc.all()))


def _zero(x: Examination) -> None:
    """Forces or stresses that are exactly zero where symmetry does not make them so."""
    forces = [
        i
        for i in x.trusted("forces")
        if x.frames[i].n_atoms > 1
        and not np.any(x.frames[i].frame.forces)
        and i in x.geometries
        and x.geometries[i].asymmetry > _SYMMETRIC
    ]
    stress = [i for i in x.trusted("stress") if not np.any(x.frames[i].frame.stress)]
    for name, chosen in (("forces", forces), ("stress", stress)):
        if chosen:
            x.add(
                f"labels.zero_{name}",
                "error",
                f"{name} exactly zero in {len(chosen)} frames",
                chosen,
                Amount(value=len(chosen), unit="frames", of=f"frames with zero {name}"),
                f"{name} were not computed, and zeros were written in their place",
                f"compute the {name}, or take the zeros out of the file",
            )
    x.distrusted.update(forces)


def _constant(x: Examination) -> None:
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    for i in x.trusted("energy"):
        if x.frames[i].n_atoms > 1:
            groups[np.sort(x.frames[i].frame.structure.numbers).tobytes()].append(i)
    for members in groups.values():
        energies = {x.frames[i].frame.energy for i in members}
        structures = {x.frames[i].frame.structure.hash for i in members}
        if len(members) >= 3 and len(energies) == 1 and len(structures) >= 3:
            x.add(
                "labels.constant_energy",
                "error",
                f"the energies of {len(members)} different frames are all {energies.pop()!r} eV",
                members,
                cause="a placeholder, or the energy of one frame written to all",
                remedy="write each frame's own energy",
            )
            x.distrusted.update(members)


def check_theory(x: Examination) -> None:
    """Keys that name a level of theory have one value in the whole set."""
    keys = {key for f in x.frames for key in f.info if _THEORY.match(key)}
    for key in sorted(keys):
        values = Counter(str(f.info.get(key, "not stated")) for f in x.frames)
        if len(values) > 1:
            rarest = min(values, key=lambda v: values[v])
            x.add(
                "theory.mixed",
                "warning",
                f"{key} differs within the set: " + ", ".join(f"{v} ({n})" for v, n in values.most_common(5)),
                [i for i, f in enumerate(x.frames) if str(f.info.get(key, "not stated")) == rarest],
                cause="data of several levels of theory joined",
                remedy="train on one level of theory, or label all frames again with it",
            )
