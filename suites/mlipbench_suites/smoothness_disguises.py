"""The same physical question in other words: what a sound potential answers alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mlipbench.api import Context, Evaluation, Structure
from mlipbench_suites.smoothness_probes import asked_for

APART = 100.0  # A between two copies of what is not periodic


@dataclass(frozen=True)
class Disguise:
    """A structure that is physically the same, and how its answer reads for the original."""

    name: str
    structure: Structure
    back: Callable[[Evaluation], Evaluation]


def same(
    context: Context, frames: list[Structure], given: list[Evaluation], rng: np.random.Generator
) -> None:
    """Save answers to questions that mean the same, as if they had been asked of the frames."""
    names = asked_for(context, frames[0])
    asked = [disguises(frame, answer, rng) for frame, answer in zip(frames, given, strict=True)]
    told: dict[str, list[Evaluation]] = {}
    for group in asked:
        found = context.evaluate([d.structure for d in group], names)
        for disguise, answer in zip(group, found, strict=True):
            told.setdefault(disguise.name, []).append(disguise.back(answer))
    told |= _ways(context, frames, names)
    context.save("same.names", np.array(list(told)))
    context.save("same.energy", np.array([[a.energy for a in found] for found in told.values()]))
    context.save("same.forces", np.array([[_forces(a) for a in found] for found in told.values()]))
    if "stress" in names:
        context.save("same.stress", np.array([[_stress(a) for a in found] for found in told.values()]))


def _forces(answer: Evaluation) -> np.ndarray:
    return np.zeros((0, 3)) if answer.forces is None else answer.forces


def _stress(answer: Evaluation) -> np.ndarray:
    return np.full((3, 3), np.nan) if answer.stress is None else answer.stress


def _ways(context: Context, frames: list[Structure], names: tuple[str, ...]) -> dict[str, list[Evaluation]]:
    """Asked again, all at once, as replicas of molecular dynamics, and for the energy alone."""
    potential = context.potential
    again = [potential.evaluate([frame], names)[0] for frame in frames]
    bound = potential.bind(frames[0], len(frames))(
        np.stack([f.positions for f in frames]), np.stack([f.cell for f in frames]), "stress" in names
    )
    replicas = [
        Evaluation(
            float(bound.energies[k]), bound.forces[k], None if bound.stresses is None else bound.stresses[k]
        )
        for k in range(len(frames))
    ]
    alone = [potential.evaluate([frame], ("energy",))[0].energy for frame in frames]
    found = {
        "repetition": again,
        "batch": potential.evaluate(frames, names),
        "replicas of dynamics": replicas,
        "energy alone": [replace(a, energy=e) for a, e in zip(again, alone, strict=True)],
    }
    if "energies" in context.properties:
        parts = [potential.evaluate([frame], (*names, "energies"))[0] for frame in frames]
        sums = [float(a.energies.sum()) if a.energies is not None else np.nan for a in parts]
        found["sum of atomic energies"] = [replace(a, energy=e) for a, e in zip(parts, sums, strict=True)]
    return found


def disguises(frame: Structure, answer: Evaluation, rng: np.random.Generator) -> list[Disguise]:
    """The frame turned, mirrored, moved, renumbered, wrapped, in another cell, and twice."""
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    found = [
        _turned("rotation", frame, turn),
        _turned("reflection", frame, -turn),
        Disguise("translation", frame.with_positions(frame.positions + rng.uniform(-5, 5, 3)), _unchanged),
        _permuted(frame, rng.permutation(len(frame))),
        _twice(frame, answer),
    ]
    if frame.pbc.any():
        hops = rng.integers(-2, 3, size=(len(frame), 3)) * frame.pbc
        found.append(
            Disguise("wrapping", frame.with_positions(frame.positions + hops @ frame.cell), _unchanged)
        )
    axes = np.flatnonzero(frame.pbc)
    if len(axes) > 1:
        cell = frame.cell.copy()
        cell[axes[1]] += cell[axes[0]]
        cell[axes[-1]] -= cell[axes[-2]] if len(axes) > 2 else 0.0
        found.append(
            Disguise("other lattice vectors", frame.with_positions(frame.positions, cell), _unchanged)
        )
    return found


def _unchanged(answer: Evaluation) -> Evaluation:
    return answer


def _turned(name: str, frame: Structure, turn: np.ndarray) -> Disguise:
    def back(a: Evaluation) -> Evaluation:
        stress = None if a.stress is None else turn.T @ a.stress @ turn
        return Evaluation(a.energy, None if a.forces is None else a.forces @ turn, stress)

    # The negative of all lattice vectors is the same lattice: the cell stays right-handed.
    cell = frame.cell @ (turn.T * np.sign(np.linalg.det(turn)))
    return Disguise(name, frame.with_positions(frame.positions @ turn.T, cell), back)


def _permuted(frame: Structure, order: np.ndarray) -> Disguise:
    def back(a: Evaluation) -> Evaluation:
        return Evaluation(a.energy, None if a.forces is None else a.forces[np.argsort(order)], a.stress)

    shuffled = replace(
        frame,
        numbers=frame.numbers[order],
        masses=frame.masses[order],
        positions=frame.positions[order],
    )
    return Disguise("permutation", shuffled, back)


def _twice(frame: Structure, original: Evaluation) -> Disguise:
    """Two cells side by side, or two copies far apart: half the energy, the forces of the worse half."""
    axes = np.flatnonzero(frame.pbc)
    cell = frame.cell.copy()
    shift = cell[axes[0]].copy() if len(axes) else np.array([APART, 0.0, 0.0])
    if len(axes):
        cell[axes[0]] *= 2
    double = replace(
        frame,
        numbers=np.tile(frame.numbers, 2),
        masses=np.tile(frame.masses, 2),
        positions=np.concatenate([frame.positions, frame.positions + shift]),
        cell=cell,
    )

    def back(a: Evaluation) -> Evaluation:
        if a.forces is None or original.forces is None:
            return replace(a, energy=a.energy / 2)
        halves = np.split(a.forces, 2)
        expected = original.forces
        worse = max(halves, key=lambda half: float(np.abs(half - expected).max()))
        return Evaluation(a.energy / 2, worse, a.stress)

    return Disguise("two copies", double, back)
