"""Why a loss is not a finite number: the batch in which it happened, and the settings, say it.

The three usual causes are a pair of atoms much too close, an energy of the free
atom that is wrong by tens of eV, and a batch of structures whose numbers of atoms span an order of
magnitude; clipping that is off and a large learning rate make each of them worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from mlipbench.core.neighbours import candidates
from mlipbench.core.structure import FloatArray, LabelledFrame
from mlipbench.core.training import Diagnosis

SHORTEST_BOND = 0.5  # A
LARGEST_COHESION = 10.0  # eV/atom: no solid or molecule binds more (tungsten, diamond: 8 to 9)
LARGEST_SPAN = 10.0  # of numbers of atoms in a batch
LARGEST_RATE = 0.02  # learning rate; 0.01 is the usual one


def explain(
    frames: Sequence[LabelledFrame],
    atomic_energies_eV: Mapping[str, float],
    *,
    clip_grad: float | None,
    lr: float,
) -> list[Diagnosis]:
    """What may have made the loss of a batch NaN or infinite, likeliest first; never empty.

    `frames` are those of the batch (energies in eV, total), `atomic_energies_eV` symbol -> E0 with all of
    their elements, `clip_grad` the largest norm of the gradient (None: not clipped), `lr` the learning
    rate of the step. Diagnoses of level "error" are causes; those of level "warning" are circumstances.
    """
    causes = [_short_bond(frames), _wrong_e0s(frames, atomic_energies_eV), _unlike_sizes(frames)]
    circumstances = [_not_clipped(clip_grad), _large_rate(lr)]
    found = [d for d in (*causes, *circumstances) if d is not None]
    return found or [_unknown(frames, clip_grad, lr)]


def _short_bond(frames: Sequence[LabelledFrame]) -> Diagnosis | None:
    """The closest pair of each frame that has one below the limit."""
    found = [pair for frame in frames if (pair := _closest(frame)) is not None]
    if not found:
        return None
    found.sort(key=lambda pair: pair[0])
    told = "; ".join(f"{d:.2f} A between {a} and {b} in {label}" for d, a, b, label in found[:3])
    return Diagnosis(
        id="nan.short_bond",
        level="error",
        what=f"Atoms are closer than {SHORTEST_BOND:g} A, where forces are beyond what a network can follow.",
        evidence=told + (f"; {len(found)} such frames in the batch" if len(found) > 3 else ""),
        remedy="Remove or relax these frames (`mlipbench audit` lists all of them), and keep clip_grad on.",
    )


def _closest(frame: LabelledFrame) -> tuple[float, str, str, str] | None:
    """Distance, elements, label."""
    s = frame.structure
    pairs = candidates(s.positions, s.cell, s.pbc, SHORTEST_BOND, half=True)
    if not len(pairs.i):
        return None
    vectors = s.positions[pairs.j] - s.positions[pairs.i] + pairs.offsets.T
    lengths = np.linalg.norm(vectors, axis=1)
    nearest = int(np.argmin(lengths))
    a, b = (chemical_symbols[int(s.numbers[index[nearest]])] for index in (pairs.i, pairs.j))
    return float(lengths[nearest]), a, b, frame.label


def _wrong_e0s(frames: Sequence[LabelledFrame], e0s: Mapping[str, float]) -> Diagnosis | None:
    """Energies per atom, counted from the free atoms, that no bond explains."""
    labelled = [frame for frame in frames if frame.energy is not None]
    if not labelled:
        return None
    rest = np.array([_bound_energy(frame, e0s) for frame in labelled])
    sizes = np.array([len(frame.structure) for frame in labelled])
    middle = float(np.median(rest / sizes))
    if abs(middle) <= LARGEST_COHESION:
        return None
    named = ", ".join(f"{symbol}: {e0s[symbol]:.6g}" for symbol in _symbols(labelled))
    return Diagnosis(
        id="nan.e0s",
        level="error",
        what="The energies of the free atoms (E0s) are wrong by tens of eV, or are those of another method.",
        evidence=f"energies less those of the free atoms have a median of {middle:.4g} eV per atom, where "
        f"bonds give at most {LARGEST_COHESION:g}; E0s in use: {named}{_suspects(labelled, rest)}",
        remedy="Compute them with the method and the pseudopotentials of the labels, one atom in a large "
        "box; or `E0s: average`, the least-squares fit to the training set.",
    )


def _bound_energy(frame: LabelledFrame, e0s: Mapping[str, float]) -> float:
    """Energy less that of the free atoms, eV."""
    free = sum(e0s[chemical_symbols[int(z)]] for z in frame.structure.numbers)
    return float(frame.energy or 0.0) - free


def _symbols(frames: Sequence[LabelledFrame]) -> list[str]:
    numbers = sorted({int(z) for frame in frames for z in frame.structure.numbers})
    return [chemical_symbols[z] for z in numbers]


def _suspects(frames: Sequence[LabelledFrame], rest: FloatArray) -> str:
    """Elements by which the energies are off, where the compositions of the batch tell them apart."""
    symbols = _symbols(frames)
    if len(symbols) == 1:
        return ""
    counts = np.array([[np.sum(f.structure.numbers == atomic_numbers[s]) for s in symbols] for f in frames])
    if np.linalg.matrix_rank(counts) < len(symbols):
        return "; the compositions of the batch do not tell which"
    shifts = np.linalg.lstsq(counts.astype(np.float64), rest, rcond=None)[0]
    wrong = [f"{s} by {x:.3g} eV" for s, x in zip(symbols, shifts, strict=True) if abs(x) > LARGEST_COHESION]
    return f"; likely wrong: {', '.join(wrong)}" if wrong else ""


def _unlike_sizes(frames: Sequence[LabelledFrame]) -> Diagnosis | None:
    sizes = sorted(len(frame.structure) for frame in frames)
    if len(sizes) < 2 or sizes[-1] < LARGEST_SPAN * sizes[0]:
        return None
    return Diagnosis(
        id="nan.sizes",
        level="error",
        what="The batch holds structures whose numbers of atoms span an order of magnitude: the large ones "
        "decide the gradient, the small ones are thrown about by it.",
        evidence=f"{sizes[0]} to {sizes[-1]} atoms in a batch of {len(sizes)} structures",
        remedy="`batch_size: 1`, or larger batches in which all sizes are common; and a lower learning rate.",
    )


def _not_clipped(clip_grad: float | None) -> Diagnosis | None:
    if clip_grad is not None:
        return None
    return Diagnosis(
        id="nan.clipping",
        level="warning",
        what="Gradients are not clipped, so one batch can throw the weights anywhere.",
        evidence="clip_grad: null",
        remedy="`clip_grad: 10`",
    )


def _large_rate(lr: float) -> Diagnosis | None:
    if lr <= LARGEST_RATE:
        return None
    return Diagnosis(
        id="nan.learning_rate",
        level="warning",
        what="The learning rate is high.",
        evidence=f"lr {lr:.3g}; 0.01 is the usual one",
        remedy="`lr: 0.01`, or lower",
    )


def _unknown(frames: Sequence[LabelledFrame], clip_grad: float | None, lr: float) -> Diagnosis:
    forces = [float(np.abs(f.forces).max()) for f in frames if f.forces is not None and len(f.forces)]
    largest = f"largest force {max(forces):.3g} eV/A; " if forces else ""
    return Diagnosis(
        id="nan.unknown",
        level="error",
        what="None of the usual causes is found in this batch; the weights may have gone astray before it.",
        evidence=f"{len(frames)} frames ({', '.join(f.label for f in frames[:3])}"
        f"{', ...' if len(frames) > 3 else ''}); {largest}clip_grad {clip_grad:g}, lr {lr:.3g}",
        remedy=f"Lower the learning rate (`lr: {lr / 10:.2g}`) and the clipping (`clip_grad: 1`); "
        "`dtype: float64` if it is not.",
    )
