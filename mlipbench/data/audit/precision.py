"""With how many digits labels were stored: the grid that all values lie on."""

from __future__ import annotations

import numpy as np

from mlipbench.core.structure import FloatArray
from mlipbench.data.audit.examination import Examination
from mlipbench.data.audit.findings import Amount

_FEWEST = 10
_ENERGY_EV = 1e-4  # per atom: a tenth of the checklist's 1 meV/atom
_FORCE_EV_PER_A = 0.005  # a tenth of the checklist's 50 meV/A
_POSITION_A = 0.005  # times a force of 1 eV/A: 5 meV for each atom
_NOTED = {"energies": 1e-6, "forces": 1e-4, "positions": 1e-4}  # eV/atom, eV/A, A: finer is not mentioned


def grid(values: FloatArray) -> float:
    """The coarsest step, a power of two or of ten, that all values are multiples of; 0 where none is.

    float32 leaves powers of two (1/512 eV for -30000 eV), rounding in print leaves powers of ten.
    """
    values = np.unique(np.asarray(values, dtype=float))
    if len(values) < _FEWEST:
        return 0.0
    rounding = 1e-15 * float(np.abs(values).max())
    for step in sorted([2.0**-k for k in range(25)] + [10.0**-k for k in range(8)], reverse=True):
        off = np.abs(values - step * np.round(values / step))
        if off.max() <= max(4 * rounding, 1e-9 * step) and step > 100 * rounding:
            return step
    return 0.0


def check_precision(x: Examination) -> None:
    """Steps of energies, forces and positions."""
    frames = [x.frames[i].frame for i in x.trusted()]
    sizes = [len(f.structure) for f in frames if f.energy is not None]
    energies = np.array([f.energy for f in frames if f.energy is not None])
    forces = np.concatenate([f.forces.ravel() for f in frames if f.forces is not None] or [np.zeros(0)])
    positions = np.concatenate([f.structure.positions.ravel() for f in frames] or [np.zeros(0)])
    per_atom = 1.0 / max(float(np.median(sizes)), 1.0) if sizes else 1.0
    for name, values, share, unit, limit in (
        ("energies", energies, per_atom, "eV", _ENERGY_EV),
        ("forces", forces, 1.0, "eV/A", _FORCE_EV_PER_A),
        ("positions", positions, 1.0, "A", _POSITION_A),
    ):
        step = grid(values[:100_000])
        if step * share <= _NOTED[name]:
            continue
        binary = float(np.log2(step)).is_integer() and step < 1
        x.add(
            f"precision.{name}",
            "warning" if step * share > limit else "note",
            f"{name} of {x.frames[0].file} come in steps of {step:.3g} {unit}"
            + (f" ({share * step:.2g} eV per atom)" if share < 1 else ""),
            (),
            Amount(value=step, unit=unit, of=f"step of the {name}"),
            "stored as float32" if binary else "rounded when they were written",
            "read them again from the output in double precision",
        )
