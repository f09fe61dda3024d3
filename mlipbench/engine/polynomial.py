"""The product: polynomials of the messages of an atom, channel by channel, and their gradients.

    B[LM] = sum_n coefficient[element, LM, n] monomial_n(m),    monomial_n = monomial_parent m_last

Each monomial is made of another one of a power less, so that all cost one product each. The way
back goes through them in the opposite order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.engine.jit import inner
from mlipbench.engine.lanes import LANES, aligned, load, multiplied, scaled, store, zeros


class Polynomials(NamedTuple):
    """Of one layer. The first `width` monomials are the messages' components themselves."""

    width: int
    parent: IntArray  # (n_monomials,)
    last: IntArray  # (n_monomials,)
    first: IntArray  # (rows + 1,) where the terms of each row LM begin
    monomial: IntArray  # (n_terms,)
    coefficients: Any  # (n_elements, n_terms, channels), flat, float64 or float32
    channels: int


Contribution = tuple[IntArray, FloatArray]
"""Monomials (n, power) of rising components, and their coefficients (n_elements, rows, n, channels)."""


def polynomials_of(
    contributions: Sequence[tuple[int, Sequence[Contribution]]], width: int, rows: int, dtype: str
) -> Polynomials:
    """Contributions to the rows from a first one on, of orders and powers."""
    numbers: dict[tuple[int, ...], int] = {(k,): k for k in range(width)}
    wanted = {tuple(m) for _, found in contributions for indices, _ in found for m in indices.tolist()}
    ancestors = {m[:power] for m in wanted for power in range(2, len(m) + 1)}
    for monomial in sorted(ancestors, key=lambda m: (len(m), m)):
        numbers[monomial] = len(numbers)
    terms: list[list[int]] = [[] for _ in range(rows)]
    coefficients: list[list[FloatArray]] = [[] for _ in range(rows)]
    for begin, found in contributions:
        for indices, values in found:
            for m in range(values.shape[1]):
                used = np.flatnonzero(values[:, m].any(axis=(0, 2)))
                terms[begin + m] += [numbers[tuple(indices[n].tolist())] for n in used]
                coefficients[begin + m] += [values[:, m, n] for n in used]
    made = list(numbers)
    stacked = np.stack([c for row in coefficients for c in row], axis=1)
    joined = aligned(stacked.size, dtype)
    joined[:] = stacked.ravel()
    return Polynomials(
        width=width,
        parent=np.array([numbers.get(m[:-1], 0) for m in made]),
        last=np.array([m[-1] for m in made]),
        first=np.cumsum([0, *(len(t) for t in terms)]),
        monomial=np.array([n for t in terms for n in t], dtype=np.int64),
        coefficients=joined,
        channels=contributions[0][1][0][1].shape[-1],
    )


@inner
def _monomials(polynomials, messages, begin, values):  # type: ignore[no-untyped-def]
    """All monomials of LANES channels of an atom, whose messages begin at `begin`."""
    for k in range(polynomials.width):
        store(values, k * LANES, 0, load(messages, begin + k * polynomials.channels, 0, 1))
    for n in range(polynomials.width, len(polynomials.parent)):
        left = load(values, polynomials.parent[n] * LANES, 0, 1)
        right = load(values, polynomials.last[n] * LANES, 0, 1)
        store(values, n * LANES, 0, multiplied(left, right))


@inner
def multiply(atom, species, polynomials, messages, products):  # type: ignore[no-untyped-def]
    """An atom's B (n_atoms, rows, channels) of messages (n_atoms, width, channels), flat."""
    channels, rows = polynomials.channels, len(polynomials.first) - 1
    values = np.empty(len(polynomials.parent) * LANES, messages.dtype)
    element = species[atom] * polynomials.first[rows] * channels
    for c in range(0, channels, LANES):
        _monomials(polynomials, messages, atom * polynomials.width * channels + c, values)
        for row in range(rows):
            total = zeros(messages, 1)
            for n in range(polynomials.first[row], polynomials.first[row + 1]):
                coefficient = load(polynomials.coefficients, element + n * channels + c, 0, 1)
                total = scaled(load(values, polynomials.monomial[n] * LANES, 0, 1), coefficient, total)
            store(products, (atom * rows + row) * channels + c, 0, total)


@inner
def multiply_back(atom, species, polynomials, messages, gradients, back):  # type: ignore[no-untyped-def]
    """From dE/dB of an atom the gradients of its messages, `back`."""
    channels, rows = polynomials.channels, len(polynomials.first) - 1
    values = np.empty(len(polynomials.parent) * LANES, messages.dtype)
    slopes = np.empty(len(values), messages.dtype)
    element = species[atom] * polynomials.first[rows] * channels
    for c in range(0, channels, LANES):
        begin = atom * polynomials.width * channels + c
        _monomials(polynomials, messages, begin, values)
        slopes[:] = 0.0
        for row in range(rows):
            gradient = load(gradients, (atom * rows + row) * channels + c, 0, 1)
            for n in range(polynomials.first[row], polynomials.first[row + 1]):
                coefficient = load(polynomials.coefficients, element + n * channels + c, 0, 1)
                at = polynomials.monomial[n] * LANES
                store(slopes, at, 0, scaled(gradient, coefficient, load(slopes, at, 0, 1)))
        for n in range(len(polynomials.parent) - 1, polynomials.width - 1, -1):
            slope = load(slopes, n * LANES, 0, 1)
            left, right = polynomials.parent[n] * LANES, polynomials.last[n] * LANES
            store(slopes, left, 0, scaled(load(values, right, 0, 1), slope, load(slopes, left, 0, 1)))
            store(slopes, right, 0, scaled(load(values, left, 0, 1), slope, load(slopes, right, 0, 1)))
        for k in range(polynomials.width):
            store(back, begin + k * channels, 0, load(slopes, k * LANES, 0, 1))
