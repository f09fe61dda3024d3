"""The forces of a frame add up to zero, and without periodicity their torque does."""

from __future__ import annotations

import numpy as np

from mlipbench.core.structure import FloatArray, LabelledFrame
from mlipbench.data.audit.examination import Examination
from mlipbench.data.audit.findings import Amount

LARGEST = (
    0.1  # of sqrt(sum F^2): independent random forces give 1, the noise of a real-space grid 0.01 to 0.03
)
_FELT = 0.05  # eV/A (eV for a torque): below it the share is that of rounding
_NOTED = 0.01  # eV/A


def check_balance(x: Examination) -> None:
    """Net force and net torque of each frame."""
    members = [i for i in x.trusted("forces") if x.frames[i].n_atoms > 1]
    if not members:
        return
    frames = [x.frames[i].frame for i in members]
    net = np.array([np.linalg.norm(_forces(f).sum(axis=0)) for f in frames])
    size = np.array([np.linalg.norm(_forces(f)) for f in frames])
    off = (net > LARGEST * size) & (net > _FELT)
    chosen = [i for i, bad in zip(members, off, strict=True) if bad]
    worst = Amount(value=float(net.max()), unit="eV/A", of="largest net force of a frame")
    if chosen:
        fixed = _fixed([x.frames[i].frame for i in chosen])
        x.add(
            "forces.net",
            "error",
            f"the forces of {len(chosen)} frames do not add up to zero (up to {net.max():.3g} eV/A)",
            chosen,
            worst,
            f"the forces of {fixed} constrained atoms were written as zero"
            if fixed
            else "the force of an atom is wrong or missing, or forces of another frame or order of atoms",
            "write the forces that act on constrained atoms too"
            if fixed
            else "read the forces from the output again, or leave the frames out",
        )
        x.distrusted.update(int(i) for i in chosen)
    elif net.max() > _NOTED:
        per_atom = net / np.array([len(f.structure) for f in frames])
        x.add(
            "forces.net_small",
            "note",
            f"net force up to {net.max():.3g} eV/A, {1e3 * per_atom.max():.2g} meV/A per atom",
            [members[int(net.argmax())]],
            worst,
            "the real-space grid or the convergence of the reference calculation: no potential can follow it",
            "it bounds the force error that can be reached",
        )
    _torque(x)


def _forces(frame: LabelledFrame) -> FloatArray:
    return np.asarray(frame.forces)


def _fixed(frames: list[LabelledFrame]) -> int:
    """Atoms without a force in any of the frames, where others have one."""
    if len({len(f.structure) for f in frames}) > 1:
        return 0
    still = np.all([~_forces(f).any(axis=1) for f in frames], axis=0)
    return int(still.sum())


def _torque(x: Examination) -> None:
    members = [
        i
        for i in x.trusted("forces")
        if x.frames[i].n_atoms > 1 and not x.frames[i].frame.structure.pbc.any()
    ]
    chosen, largest = [], 0.0
    for i in members:
        frame = x.frames[i].frame
        arms = frame.structure.positions - frame.structure.positions.mean(axis=0)
        each = np.cross(arms, _forces(frame))
        torque = float(np.linalg.norm(each.sum(axis=0)))
        bound = float(np.linalg.norm(np.linalg.norm(arms, axis=1) * np.linalg.norm(_forces(frame), axis=1)))
        if torque > LARGEST * bound and torque > _FELT:
            chosen.append(int(i))
            largest = max(largest, torque)
    if chosen:
        x.add(
            "forces.torque",
            "error",
            f"the forces of {len(chosen)} frames turn the whole molecule (torque up to {largest:.3g} eV)",
            chosen,
            Amount(value=largest, unit="eV", of="largest net torque of a frame"),
            "positions and forces in different orientations (a code's standard and input orientation), or an "
            "external field",
            "take positions and forces from the same orientation of the output",
        )
        x.distrusted.update(chosen)
