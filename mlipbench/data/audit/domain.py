"""What a set covers: elements, sizes, densities, contacts, energies, forces, pressures, temperatures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula

from mlipbench.core.structure import FloatArray
from mlipbench.core.units import EV_PER_A3_IN_GPA
from mlipbench.data.audit.findings import ContactRange, Domain
from mlipbench.data.audit.geometry import Geometry, covalent
from mlipbench.data.audit.reading import AuditFrame


def domain(frames: Sequence[AuditFrame], geometries: Sequence[Geometry]) -> Domain:
    """The domain of some frames; `geometries` of those whose cells are sound."""
    labelled = [f.frame for f in frames]
    several = [f for f in labelled if len(f.structure) > 1]
    forces = [np.linalg.norm(f.forces, axis=1) for f in several if f.forces is not None]
    together = np.concatenate(forces) if forces else np.zeros(0)
    return Domain(
        files=dict(Counter(f.file for f in frames)),
        formulas=dict(Counter(_formula(f) for f in frames)),
        config_types=dict(Counter(f.config_type for f in labelled if f.config_type)),
        n_atoms=(min(f.n_atoms for f in frames), max(f.n_atoms for f in frames)),
        labels={
            name: sum(getattr(f, name) is not None for f in labelled)
            for name in ("energy", "forces", "stress")
        },
        density_g_per_cm3=_range(g.density for g in geometries),
        energy_eV_per_atom=_range(None if f.energy is None else f.energy / len(f.structure) for f in several),
        largest_force_eV_per_A=float(together.max()) if len(together) else None,
        rms_force_eV_per_A=float(np.sqrt((together**2).mean() / 3)) if len(together) else None,
        pressure_GPa=_range(None if f.stress is None else _pressure(f.stress) for f in labelled),
        temperature_K=_range(f.temperature_K for f in labelled),
        contacts=_contacts(geometries),
    )


def _formula(frame: AuditFrame) -> str:
    symbols = [chemical_symbols[z] for z in frame.frame.structure.numbers]
    return str(Formula.from_list(symbols).format("hill"))


def _pressure(stress: FloatArray) -> float:
    return float(-np.trace(stress) / 3 * EV_PER_A3_IN_GPA)


def _range(values: Iterable[float | None]) -> tuple[float, float] | None:
    known = [v for v in values if v is not None]
    return (min(known), max(known)) if known else None


def _contacts(geometries: Sequence[Geometry]) -> list[ContactRange]:
    closest: dict[tuple[int, int], float] = {}
    for g in geometries:
        for pair, distance in g.by_pair.items():
            closest[pair] = min(distance, closest.get(pair, np.inf))
    return [
        ContactRange(
            pair=f"{chemical_symbols[a]}-{chemical_symbols[b]}",
            closest_A=d,
            covalent_A=float(covalent(np.array([a, b])).sum()),
        )
        for (a, b), d in sorted(closest.items())
    ]
