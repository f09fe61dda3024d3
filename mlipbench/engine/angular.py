"""Spherical harmonics, their gradients, and couplings, as lists of products for the kernels."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch

from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.engine.jit import pasted
from mlipbench.model.irreps import spherical_harmonics, wigner_3j


class Harmonics(NamedTuple):
    """Solid harmonics S_lm(r) = |r|^l Y_lm(r / |r|), component lm of order l from l^2 on."""

    max_ell: int
    raising: IntArray  # (n, 3) S[k] = sum value S[i] S[j], j of order 1; by rising k
    raising_values: FloatArray  # (n,)
    gradient: IntArray  # (m, 3) dS[k]/dx_a = sum value S[i]: k, a, i
    gradient_values: FloatArray  # (m,)


def harmonics_lists(max_ell: int) -> Harmonics:
    """The recursion S_{l+1} = c_l C(S_l, S_1), and the gradients, which are harmonics of order l - 1."""
    width = (max_ell + 1) ** 2
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(4 * width, 3)))
    values = spherical_harmonics(points, max_ell)  # the recursion holds for vectors of any length
    slopes = torch.func.vmap(torch.func.jacrev(lambda r: spherical_harmonics(r[None], max_ell)[0]))(points)
    raising, gradient = np.zeros((width, width, 4)), np.zeros((width, 3, width))
    for order in range(1, max_ell + 1):
        here = slice(order**2, (order + 1) ** 2)
        below = slice((order - 1) ** 2, order**2)
        flat = slopes[:, here].reshape(len(points), -1)
        found = torch.linalg.lstsq(values[:, below], flat).solution
        gradient[here, :, below] = found.reshape(below.stop - below.start, -1, 3).permute(1, 2, 0).numpy()
        if order > 1:
            symbol = wigner_3j(order - 1, 1, order)
            made = torch.einsum("ni,nj,ijk->nk", values[:, below], values[:, 1:4], symbol)
            scale = float((values[:, here] * made).sum() / (made * made).sum())
            raising[here, below, 1:4] = scale * symbol.permute(2, 0, 1).numpy()
    (up, raised), (down, slopes_of) = _nonzero(raising), _nonzero(gradient)
    return Harmonics(max_ell, up, _roots(raised), down, _roots(slopes_of))


def coupling_list(l1: int, l2: int, l3: int) -> tuple[IntArray, FloatArray]:
    """M[m3, m1] = sum_m2 value Y[l2 m2]: rows (m3 (2 l1 + 1) + m1, component of Y), and values."""
    symbol = math.sqrt(2 * l3 + 1) * wigner_3j(l1, l2, l3).numpy()  # m1, m2, m3
    indices, values = _nonzero(np.ascontiguousarray(symbol.transpose(2, 0, 1)))
    return np.stack([indices[:, 0] * (2 * l1 + 1) + indices[:, 1], indices[:, 2] + l2 * l2], axis=1), values


def _nonzero(tensor: FloatArray) -> tuple[IntArray, FloatArray]:
    where = np.abs(tensor) > 1e-10
    return np.ascontiguousarray(np.argwhere(where)), tensor[where]


def _roots(values: FloatArray) -> FloatArray:
    """The roots of fractions that these numbers are; the last bits of a fit are others every time."""
    squares = [Fraction(float(v * v)).limit_denominator(10_000) for v in values]
    return np.array([math.copysign(math.sqrt(s), v) for s, v in zip(squares, values, strict=True)])


@pasted
def solid_harmonics(x, y, z, lists, values):  # type: ignore[no-untyped-def]
    """Values (components,) at the vector (x, y, z)."""
    values[:] = 0.0
    values[0] = 1.0
    if lists.max_ell > 0:
        values[1], values[2], values[3] = math.sqrt(3.0) * x, math.sqrt(3.0) * y, math.sqrt(3.0) * z
    for n in range(len(lists.raising)):
        values[lists.raising[n, 0]] += (
            lists.raising_values[n] * values[lists.raising[n, 1]] * values[lists.raising[n, 2]]
        )


@pasted
def solid_gradient(weights, lists, values, gradient):  # type: ignore[no-untyped-def]
    """gradient_a = sum_k weights_k dS_k/dx_a (3,)."""
    gradient[:] = 0.0
    for n in range(len(lists.gradient)):
        k, a, i = lists.gradient[n, 0], lists.gradient[n, 1], lists.gradient[n, 2]
        gradient[a] += lists.gradient_values[n] * weights[k] * values[i]
