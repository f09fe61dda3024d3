"""The audit: what is wrong with labelled frames, before anything is trained on them or judged by them.

Each file is examined by itself (its units are its own), then all frames together. What is found wrong
in one respect is put right (units, signs) or set aside (single frames) before the next check, so that one
cause gives one finding. docs/audit.md says what each check does, and why its limit is what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlipbench.core.errors import DataError
from mlipbench.data.audit.balance import check_balance
from mlipbench.data.audit.cells import check_box, check_cells, check_counts
from mlipbench.data.audit.contacts import check_contacts, check_lengths, rescale
from mlipbench.data.audit.domain import domain
from mlipbench.data.audit.energies import check_isolated_atoms, check_offsets, check_outliers
from mlipbench.data.audit.examination import Examination
from mlipbench.data.audit.findings import LEVELS, AuditReport, Finding
from mlipbench.data.audit.labels import check_labels, check_theory
from mlipbench.data.audit.leaks import check_correlation, check_duplicates
from mlipbench.data.audit.precision import check_precision
from mlipbench.data.audit.reading import AuditFrame
from mlipbench.data.audit.units import check_units


def audit(
    train: Sequence[AuditFrame],
    test: Sequence[AuditFrame] = (),
    isolated_atoms: Mapping[int, float] | None = None,
) -> AuditReport:
    """Findings about a training set, and about a test set held out of it.

    `isolated_atoms`: Z -> energy in eV, where no frames of single atoms say it.
    """
    if not train:
        raise DataError("no frames to audit")
    files: dict[tuple[bool, str], list[AuditFrame]] = {}
    for held_out, side in ((False, train), (True, test)):
        for frame in side:
            files.setdefault((held_out, frame.file), []).append(frame)
    examined = [_file(frames) for frames in files.values()]
    whole = _joined(examined)
    mask = np.concatenate([np.full(len(f), held_out) for (held_out, _), f in files.items()])
    check_theory(whole)
    check_counts(whole)
    check_isolated_atoms(whole, isolated_atoms or {})
    check_duplicates(whole, mask)
    check_offsets(whole)
    check_outliers(whole)
    check_correlation(whole, mask)
    findings: list[Finding] = sorted(whole.findings, key=lambda f: LEVELS.index(f.level))
    domains = [
        domain(
            [f for f, m in zip(whole.frames, mask, strict=True) if m == side],
            [g for i, g in whole.geometries.items() if mask[i] == side],
        )
        if (mask == side).any()
        else None
        for side in (False, True)
    ]
    if domains[0] is None:
        raise DataError("no training frames to audit")
    return AuditReport(findings=findings, unexamined=whole.unexamined, train=domains[0], test=domains[1])


def _file(frames: Sequence[AuditFrame]) -> Examination:
    x = Examination(list(frames))
    check_cells(x)
    check_labels(x)
    check_box(x)
    factor = check_lengths(x)
    if factor != 1.0:
        rescale(x, factor)
    check_contacts(x)
    check_balance(x)
    check_precision(x)
    check_units(x)
    return x


def _joined(parts: Sequence[Examination]) -> Examination:
    whole = Examination([])
    for part in parts:
        offset = len(whole.frames)
        whole.frames += part.frames
        whole.geometries.update({i + offset: g for i, g in part.geometries.items()})
        whole.distrusted |= {i + offset for i in part.distrusted}
        whole.findings += part.findings
        whole.unexamined += part.unexamined
    if len(parts) == 1:
        whole.pairs = parts[0].pairs
    return whole
