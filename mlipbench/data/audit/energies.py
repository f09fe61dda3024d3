"""Energies of one set: of one level of theory, without outliers, and sound against the isolated atoms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from mlipbench.core.structure import BoolArray, FloatArray, IntArray
from mlipbench.data.audit.energy_forces import compared
from mlipbench.data.audit.examination import Examination
from mlipbench.data.audit.findings import Amount
from mlipbench.data.audit.precision import grid

COHESIVE_EV = (-12.0, 1.0)  # per atom against free atoms; tungsten -8.9, diamond -7.4
_JUMP = 6.0  # times the scatter of pairs equally far apart
_LEAST_EV_PER_ATOM = 2e-3
_CLOSE = 0.08  # of the distance to the nearest neighbour: further apart the trapezoid is off too
_STRAINED = 0.02
_WINDOW = 51  # pairs
_FEWEST_PAIRS = 4
_OFF = 5.0  # times what the median frame is off, in the scale of the trapezoid's error
_TIGHT = 0.15  # of the offset: the scatter over the frame's pairs


@dataclass(frozen=True)
class _Rests:
    """Energy differences of close pairs of frames that no work of forces or stress explains."""

    first: IntArray  # (p,) numbers of frames
    second: IntArray  # (p,)
    rest: FloatArray  # (p,) eV
    noise: FloatArray  # (p,) eV, the scale of the trapezoid's error
    distance_A: FloatArray  # (p,)


def _rests(x: Examination) -> _Rests | None:
    pairs = x.pairs or compared(x.labelled(), x.trusted("energy", "forces"))
    if pairs is None:
        return None
    w = pairs.works
    by_stress = np.einsum("pkk->p", w.by_stress)
    trusted = np.zeros(len(x.frames), dtype=bool)
    trusted[x.trusted("energy", "forces")] = True
    known = trusted[w.first] & trusted[w.second] & (w.distance_A < _CLOSE * x.spacing_A())
    known &= (w.strain < 1e-4) | ((by_stress != 0) & (w.strain < _STRAINED))
    if not known.any():
        return None
    step = grid(np.array([f.frame.energy for f in x.frames if f.frame.energy is not None]))
    sizes = np.array([f.n_atoms for f in x.frames])[w.first]
    noise = w.curvature + 0.2 * np.abs(by_stress) + 0.1 * np.abs(w.by_forces) + 5 * step + 1e-5 * sizes
    rest = w.energy - w.by_forces - by_stress
    return _Rests(w.first[known], w.second[known], rest[known], noise[known], w.distance_A[known])


def check_offsets(x: Examination) -> None:
    """Groups of frames that stand off by a constant energy: mixed levels of theory."""
    r = _rests(x)
    if r is None:
        return
    sizes = np.array([f.n_atoms for f in x.frames])[r.first]
    jumps = _jumps(r) & (np.abs(r.rest) > _LEAST_EV_PER_ATOM * sizes)
    if jumps.any():
        _islands(x, r, jumps)


def _jumps(r: _Rests) -> BoolArray:
    """(p,) pairs whose rest is far beyond that of pairs equally far apart."""
    found = np.zeros(len(r.rest), dtype=bool)
    order = np.argsort(r.distance_A, kind="stable")
    relative = np.abs(r.rest[order]) / r.noise[order]
    for k, pair in enumerate(order):
        low = min(max(k - _WINDOW // 2, 0), max(len(order) - _WINDOW, 0))
        # the lower quartile: up to three quarters of the pairs may be jumps
        usual = np.quantile(relative[low : low + _WINDOW], 0.25) / 0.3186
        found[pair] = relative[k] > _JUMP * max(usual, 0.01)
    return found


def _islands(x: Examination, r: _Rests, jumps: BoolArray) -> None:
    """Groups of frames that agree among themselves and stand off from the largest group by one energy."""
    n, calm = len(x.frames), ~jumps
    graph = csr_matrix((np.ones(calm.sum()), (r.first[calm], r.second[calm])), shape=(n, n))
    _, group = connected_components(graph, directed=False)
    used = np.unique(np.concatenate([r.first, r.second]))
    main = int(np.bincount(group[used]).argmax())
    for g in np.unique(group[used]):
        members = used[group[used] == g]
        up = (group[r.first] == main) & (group[r.second] == g)
        down = (group[r.first] == g) & (group[r.second] == main)
        offsets = np.concatenate([r.rest[up], -r.rest[down]])
        if g == main or len(members) < 3 or len(offsets) < 3:
            continue
        offset = float(np.median(offsets))
        if np.median(np.abs(offsets - offset)) < 0.2 * abs(offset):
            _offset(x, members, offset, float(np.std(offsets) / np.sqrt(len(offsets))))


def check_outliers(x: Examination) -> None:
    """Single frames whose energy is off by the same amount against each of their closest frames."""
    r = _rests(x)
    if r is None:
        return
    frames = np.unique(np.concatenate([r.first, r.second]))
    own = [np.concatenate([r.rest[r.second == i], -r.rest[r.first == i]]) for i in frames]
    middle = np.array([np.median(values) for values in own])
    spread = np.array([np.median(np.abs(values - m)) for values, m in zip(own, middle, strict=True)])
    scale = np.array([np.median(r.noise[(r.first == i) | (r.second == i)]) for i in frames])
    enough = np.array([len(values) >= _FEWEST_PAIRS for values in own])
    sizes = np.array([x.frames[i].n_atoms for i in frames])
    off = np.abs(middle) / scale
    bad = enough & (off > _OFF * np.median(off)) & (spread < _TIGHT * np.abs(middle))
    bad &= np.abs(middle) > _LEAST_EV_PER_ATOM * sizes
    if not bad.any():
        return
    worst = float(middle[bad][np.abs(middle[bad]).argmax()])
    x.add(
        "energies.outlier",
        "error",
        f"{bad.sum()} energies are off by up to {worst:.3g} eV: no force explains it",
        frames[bad],
        Amount(value=worst, unit="eV", of="energy minus the work of the forces from the closest frames"),
        "a calculation that did not converge, or ended in another electronic state",
        "repeat these calculations, or leave the frames out",
    )
    x.distrusted.update(int(i) for i in frames[bad])


def _offset(x: Examination, members: IntArray, offset: float, error: float) -> None:
    frames = [x.frames[i] for i in members]
    kinds = {f.file for f in frames} | {f.frame.config_type for f in frames if f.frame.config_type}
    x.add(
        "energies.offset",
        "error",
        f"the energies of {len(members)} frames lie {offset:+.4g} eV off those of the others, which no force "
        f"explains (they are of {', '.join(sorted(kinds)[:4])})",
        members,
        Amount(value=offset, unit="eV", stderr=error, of="constant offset between two groups of frames"),
        "two levels of theory, codes, pseudopotentials or cutoffs in one set, or another unit",
        "train on one level of theory, or label all frames again with it",
    )
    x.distrusted.update(int(i) for i in members)


@dataclass(frozen=True)
class _Composition:
    elements: list[int]
    counts: FloatArray  # (n, n_elements)
    energies: FloatArray  # (n,)


def check_isolated_atoms(x: Examination, given: Mapping[int, float]) -> None:
    """Energies of isolated atoms (`given`: Z -> eV, or frames of one atom) against those of the others."""
    singles = [i for i in x.trusted("energy") if x.frames[i].n_atoms == 1]
    found = {
        int(x.frames[i].frame.structure.numbers[0]): float(x.frames[i].frame.energy or 0.0) for i in singles
    }
    found.update(given)
    members = [i for i in x.trusted("energy") if x.frames[i].n_atoms > 1]
    if not members:
        return
    c = _composition(x, members)
    missing = [chemical_symbols[z] for z in c.elements if z not in found]
    if missing:
        x.add(
            "e0.missing",
            "note" if len(missing) == len(c.elements) else "warning",
            f"no isolated-atom energy for {', '.join(missing)}",
            remedy="add frames of single atoms (large cell, spin polarised), or name them with --e0s",
        )
        return
    e0 = np.array([found[z] for z in c.elements])
    cohesive = (c.energies - c.counts @ e0) / c.counts.sum(axis=1)
    typical = float(np.median(cohesive))
    fitted = _fitted(c)
    words = ", ".join(f"{chemical_symbols[z]} {found[z]:.6g} eV" for z in c.elements)
    if fitted is not None:
        words += "; least squares over the compositions: " + ", ".join(
            f"{chemical_symbols[z]} {e:.6g}" for z, e in zip(c.elements, fitted, strict=True)
        )
    amount = Amount(value=typical, unit="eV/atom", of="median energy against isolated atoms")
    if COHESIVE_EV[0] <= typical <= COHESIVE_EV[1]:
        x.add(
            "e0.consistent",
            "note",
            f"isolated atoms ({words}) leave {typical:.3g} eV/atom of binding",
            singles,
            amount,
        )
        return
    x.add(
        "e0.inconsistent",
        "error",
        f"isolated atoms ({words}) leave {typical:.4g} eV/atom; matter is bound by 0 to 10",
        singles,
        amount,
        "isolated atoms of another level of theory or pseudopotential, another unit, or a wrong element",
        "compute the isolated atoms with the settings of the frames, spin polarised",
    )


def _composition(x: Examination, members: list[int]) -> _Composition:
    numbers = [x.frames[i].frame.structure.numbers for i in members]
    elements = sorted({int(z) for s in numbers for z in s})
    counts = np.array([[float((s == z).sum()) for z in elements] for s in numbers])
    return _Composition(elements, counts, np.array([x.frames[i].frame.energy for i in members]))


def _fitted(c: _Composition) -> FloatArray | None:
    """Energies of the elements by least squares, where the compositions decide them."""
    if np.linalg.matrix_rank(c.counts) < len(c.elements):
        return None
    return np.asarray(np.linalg.lstsq(c.counts, c.energies, rcond=None)[0])
