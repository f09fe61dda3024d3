"""The contract that every potential must keep before a suite is run on it.

A potential with reversed stress, forces in other units, or answers that depend on the batch would
make every later verdict meaningless; each check costs a few evaluations and names what it found.
Probes are the given structures, rattled by 0.05 A and, for the stress, strained by a few per cent,
so that no quantity is zero by symmetry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from mlipbench.core.criterion import Criterion
from mlipbench.core.errors import PotentialError
from mlipbench.core.measurement import Measurement
from mlipbench.core.potential import Evaluation, Potential
from mlipbench.core.structure import FloatArray, Structure
from mlipbench.potentials.derivatives import (
    N_DIRECTIONS,
    SOFTEST_FORCE,
    SOFTEST_STRESS,
    Finding,
    ask,
    force_error,
    stress_error,
)

RATTLE = 0.05  # A, rms displacement per direction of the probes
MOST_STRUCTURES = 3
LEAST_ATOMS = 8  # smaller periodic cells are repeated

_SOURCE = "contract of mlipbench: "
CRITERIA: tuple[Criterion, ...] = (
    Criterion(
        name="non_finite",
        compare="==",
        limit=0,
        unit="1",
        source=_SOURCE + "energies, forces and stresses are numbers",
    ),
    Criterion(
        name="force_error",
        compare="abs<",
        limit=2e-3,
        unit="1",
        source=_SOURCE + "forces are -dE/dx; kinks and float32 arithmetic cost less than 0.2 %",
        needs_property="forces",
    ),
    Criterion(
        name="stress_error",
        compare="abs<",
        limit=5e-3,
        unit="1",
        source=_SOURCE + "stress is dE/d(strain)/V, positive under tension",
        needs_property="stress",
    ),
    Criterion(
        name="net_force",
        compare="abs<",
        limit=1e-4,
        unit="eV/A",
        source=_SOURCE + "an isolated or periodic system does not push itself; mesh-based electrostatics "
        "reach 1e-5",
        needs_property="forces",
    ),
    Criterion(
        name="batch_difference",
        compare="abs<",
        limit=1e-4,
        unit="1",
        source=_SOURCE + "a structure's answer does not depend on its batch beyond float32 rounding",
    ),
    Criterion(
        name="repeat_difference",
        compare="abs<",
        limit=1e-5,
        unit="1",
        source=_SOURCE + "the same question has the same answer, to the rounding of parallel sums",
    ),
    Criterion(
        name="stiffness_decades",
        compare="abs<",
        limit=3.0,
        unit="1",
        source=_SOURCE + "restoring forces of matter lie between 0.001 and 1000 eV/A per A (argon 0.1, "
        "diamond 50); outside, the units are not eV and A",
        needs_property="forces",
    ),
)


def check(potential: Potential, structures: Sequence[Structure], seed: int) -> list[Measurement]:
    """Measurements for `CRITERIA`, the worst over the first three structures.

    What the potential does not offer (stress, forces) is not measured. Wrong shapes raise
    PotentialError; what a calculator raises passes through.
    """
    if not structures:
        raise PotentialError("the contract check needs at least one structure, got none")
    rng = np.random.default_rng(seed)
    findings: list[dict[str, Finding]] = []
    for structure in probes(structures):
        findings.append(_check_one(potential, structure, rng))
        if findings[-1]["non_finite"].value:
            break  # nothing else can be said about answers that are not numbers
    units = {criterion.name: criterion.unit for criterion in CRITERIA}
    measurements = []
    for name, unit in units.items():
        found = [f[name] for f in findings if name in f]
        if found:
            worst = max(found, key=lambda f: abs(f.value))
            measurements.append(
                Measurement(
                    name=name,
                    value=worst.value,
                    unit=unit,
                    stderr=0.0,
                    exact=True,
                    method="direct comparison",
                    note=worst.note,
                )
            )
    return measurements


def probes(structures: Sequence[Structure]) -> list[Structure]:
    """Those that `check` asks about."""
    return [_enlarged(structure) for structure in structures[:MOST_STRUCTURES]]


def n_evaluations(structure: Structure, offered: Collection[str]) -> int:
    """How often `check` asks about one of the `probes`: three alone, one again, as a list, as replicas; each
    derivative takes four energies."""
    count = 3 + 1 + 3
    if "forces" in offered:
        count += 3 + 4 * N_DIRECTIONS
    if "stress" in offered and structure.pbc.all():
        count += 1 + 4 * 6
    return count


def fingerprint(potential: Potential, structures: Sequence[Structure]) -> str:
    """sha256 of energies and forces on the structures, rattled, rounded to 1e-8 of their magnitude.

    Equal in every process of one machine; a different one says that the potential, though called
    the same, answers differently.
    """
    digest = hashlib.sha256()
    rng = np.random.default_rng(0)  # the probes are always the same
    forces = "forces" in potential.capabilities.properties
    probes = [_rattled(structure, rng) for structure in structures]
    for answer in potential.evaluate(probes, ("energy", "forces") if forces else ("energy",)):
        for values in (np.array([answer.energy]), answer.forces):
            if values is not None:
                digest.update(_rounded(values).tobytes())
    return digest.hexdigest()


def _rounded(values: FloatArray) -> FloatArray:
    largest = float(np.abs(values).max(initial=SOFTEST_FORCE))
    if not np.isfinite(largest):
        return np.where(np.isfinite(values), 0.0, np.nan)
    scale = 10.0 ** np.ceil(np.log10(largest))
    rounded: FloatArray = np.round(values / scale, 8) + 0.0  # no negative zeros
    return rounded


def _check_one(potential: Potential, structure: Structure, rng: np.random.Generator) -> dict[str, Finding]:
    """All findings for one structure."""
    offered = potential.capabilities.properties
    if not structure.pbc.all():
        offered = offered - {"stress"}
    names = tuple(sorted(offered & {"energy", "forces", "stress"}))
    rattled = [_rattled(structure, rng) for _ in range(3)]
    singles = [ask(potential, [s], names)[0] for s in rattled]
    findings = {"non_finite": _non_finite(singles)}
    if findings["non_finite"].value:
        return findings
    findings["repeat_difference"] = _difference(
        singles[:1], ask(potential, rattled[:1], names), "asked again after other structures"
    )
    findings["batch_difference"] = _batch(potential, rattled, singles, names)
    if "forces" in offered:
        findings["net_force"] = _net_force(singles)
        findings["stiffness_decades"] = _stiffness(rattled, singles)
        findings["force_error"] = force_error(potential, rattled[0], singles[0], rng)
    if "stress" in offered:
        findings["stress_error"] = stress_error(potential, rattled[0])
    return findings


def _non_finite(answers: Sequence[Evaluation]) -> Finding:
    arrays = [np.array(a.energy) for a in answers]
    arrays += [x for a in answers for x in (a.forces, a.stress) if x is not None]
    count = sum(int((~np.isfinite(x)).sum()) for x in arrays)
    return Finding(count, f"expected numbers, got {count} NaN or infinite ones" if count else "")


def _difference(expected: Sequence[Evaluation], got: Sequence[Evaluation], when: str) -> Finding:
    """Largest relative difference of energies, forces and stresses."""
    parts: dict[str, float] = {"energy": 0.0, "forces": 0.0, "stress": 0.0}
    for a, b in zip(expected, got, strict=True):
        parts["energy"] = max(parts["energy"], abs(a.energy - b.energy) / max(abs(a.energy), 1.0))
        for name, least in (("forces", SOFTEST_FORCE), ("stress", SOFTEST_STRESS)):
            x, y = getattr(a, name), getattr(b, name)
            if x is not None and y is not None:
                scale = max(float(np.sqrt(np.mean(x * x))), least)
                parts[name] = max(parts[name], float(np.abs(x - y).max()) / scale)
    worst = max(parts, key=lambda name: parts[name])
    value = parts[worst]
    if np.isnan(list(parts.values())).any():
        return Finding(1.0, f"NaN where there were numbers before, {when}")
    return Finding(value, f"{worst} differ most, {when}" if value else f"identical, {when}")


def _batch(
    potential: Potential,
    structures: Sequence[Structure],
    singles: Sequence[Evaluation],
    names: tuple[str, ...],
) -> Finding:
    """`evaluate` of a list, and `bind` with three replicas, against one structure at a time."""
    findings = [_difference(singles, ask(potential, structures, names), "evaluated as a list")]
    if "forces" in names:
        stress = "stress" in names
        bound = potential.bind(structures[0], len(structures))
        answer = bound(
            np.stack([s.positions for s in structures]), np.stack([s.cell for s in structures]), stress
        )
        n = len(structures)
        expected = {"energies": (n,), "forces": (n, len(structures[0]), 3), "stresses": (n, 3, 3)}
        for name, shape in expected.items():
            array = getattr(answer, name)
            if (name != "stresses" or stress) and (array is None or array.shape != shape):
                raise PotentialError(
                    f"{potential.identity.name}: bound to {n} replicas, {name} have the shape {shape}, "
                    f"got {None if array is None else array.shape}"
                )
        replicas = [
            Evaluation(
                float(answer.energies[r]),
                answer.forces[r],
                answer.stresses[r] if stress and answer.stresses is not None else None,
            )
            for r in range(n)
        ]
        findings.append(_difference(singles, replicas, f"bound to {n} replicas"))
    return max(findings, key=lambda f: f.value)


def _net_force(answers: Sequence[Evaluation]) -> Finding:
    sums = [a.forces.sum(axis=0) / len(a.forces) for a in answers if a.forces is not None]
    worst = max(sums, key=lambda s: float(np.abs(s).max()))
    return Finding(
        float(np.abs(worst).max()),
        f"mean force on an atom, expected 0, got ({worst[0]:.2g}, {worst[1]:.2g}, {worst[2]:.2g}) eV/A",
    )


def _stiffness(structures: Sequence[Structure], answers: Sequence[Evaluation]) -> Finding:
    """log10 of rms change of force over rms displacement between the rattled probes."""
    first, second = (a.forces for a in answers[:2])
    if first is None or second is None or len(first) == 1:
        return Finding(0.0, "a single atom has no stiffness")
    moved = structures[0].positions - structures[1].positions
    stiffness = float(np.linalg.norm(first - second) / np.linalg.norm(moved))
    return Finding(float(np.log10(max(stiffness, 1e-30))), f"displacements meet {stiffness:.3g} eV/A per A")


def _rattled(structure: Structure, rng: np.random.Generator) -> Structure:
    noise = rng.normal(scale=RATTLE, size=structure.positions.shape)
    return structure.with_positions(structure.positions + noise)


def _enlarged(structure: Structure) -> Structure:
    """Twice the cell along each direction where it is periodic and holds few atoms."""
    if len(structure) >= LEAST_ATOMS or not structure.pbc.all():
        return structure
    shifts = np.array([(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ structure.cell
    positions = (shifts[:, None] + structure.positions[None]).reshape(-1, 3)
    return replace(
        structure,
        numbers=np.tile(structure.numbers, 8),
        masses=np.tile(structure.masses, 8),
        positions=positions,
        cell=2.0 * structure.cell,
    )
