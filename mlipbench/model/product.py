"""Product: polynomials of the messages of an atom, of body order correlation + 1.

    B_i[L M, c] = sum_{nu = 1}^{correlation} sum_path W_nu[element, path, c]
                  sum_{lm_1 ... lm_nu} U^{LM}_{path, lm_1 ... lm_nu} prod_k m_i[lm_k, c]

Batatia et al., arXiv:2206.07697, eqs. 10 and 11. U couples nu messages one after the other, each step
by sqrt(2l+1) times a 3j symbol. As the product is symmetric, the sums run over monomials
lm_1 <= ... <= lm_nu, and only over those that couple to anything.
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import torch
from torch import nn

from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.model.architecture import Architecture
from mlipbench.model.graph import Graph
from mlipbench.model.irreps import wigner_3j
from mlipbench.model.linear import Linear


@functools.cache
def couplings(max_ell: int, power: int) -> tuple[tuple[int, int, FloatArray], ...]:
    """All ways of coupling `power` messages: (order, parity, U) with U (2L+1, components, ...).

    Sorted by order, odd parity before even, then by the order in which they are found: for power - 1
    messages in their order, for the last message by rising l, for the result by rising L.
    """
    width = (max_ell + 1) ** 2
    if power == 1:
        unit = np.eye(width)
        orders = range(max_ell + 1)
        return tuple((l1, (-1) ** l1, unit[l1 * l1 : (l1 + 1) ** 2]) for l1 in orders)
    found = []
    for left, parity, u in couplings(max_ell, power - 1):
        for last in range(max_ell + 1):
            for result in range(abs(left - last), left + last + 1):
                symbol = math.sqrt(2 * result + 1) * wigner_3j(result, left, last).numpy()
                tensor = np.zeros((2 * result + 1, *u.shape[1:], width))
                tensor[..., last * last : (last + 1) ** 2] = np.einsum("ijk,j...->i...k", symbol, u)
                found.append((result, parity * (-1) ** last, tensor))
    return tuple(sorted(found, key=lambda coupling: coupling[:2]))


def basis(max_ell: int, power: int, order: int) -> FloatArray:
    """U of all paths that lead to `order` with its natural parity: (paths, 2L+1, components, ...)."""
    wanted = (order, (-1) ** order)
    leading = [u for result, parity, u in couplings(max_ell, power) if (result, parity) == wanted]
    width = (max_ell + 1) ** 2
    return np.stack(leading) if leading else np.zeros((0, 2 * order + 1, *[width] * power))


@functools.cache
def monomials(max_ell: int, power: int, order: int) -> tuple[IntArray, FloatArray]:
    """Monomials that couple to `order`, (monomials, power) rising components, and their coefficients
    (paths, 2L+1, monomials)."""
    indices, summed = symmetrised(basis(max_ell, power, order), power)
    coupled = np.abs(summed).max(axis=(0, 1), initial=0.0) > 1e-12
    return indices[coupled], np.ascontiguousarray(summed[..., coupled])


def symmetrised(tensor: FloatArray, power: int) -> tuple[IntArray, FloatArray]:
    """The polynomials of couplings (paths, 2L+1, components, ...): all monomials (monomials, power),
    rising components, and their coefficients (paths, 2L+1, monomials), sums over the permutations."""
    width = tensor.shape[-1]
    indices = np.array(list(itertools.combinations_with_replacement(range(width), power)))
    number = {tuple(m): n for n, m in enumerate(indices.tolist())}
    target = [number[tuple(sorted(m))] for m in itertools.product(range(width), repeat=power)]
    summed = np.zeros((len(indices), *tensor.shape[:2]))
    np.add.at(summed, target, np.moveaxis(tensor.reshape(*tensor.shape[:2], -1), 2, 0))
    return indices, np.moveaxis(summed, 0, 2)


class Contraction(nn.Module):
    """B of one order L."""

    def __init__(
        self,
        max_ell: int,
        correlation: int,
        order: int,
        channels: int,
        n_elements: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.width = 2 * order + 1
        self.powers = []
        self.weights = nn.ParameterList()  # of each power (n_elements, paths, channels)
        for power in range(1, correlation + 1):
            indices, coefficients = monomials(max_ell, power, order)
            n_paths = len(coefficients)
            if not n_paths:
                continue
            self.powers.append(power)
            self.register_buffer(f"indices_{power}", torch.from_numpy(indices.T.copy()), persistent=False)
            flat = torch.from_numpy(coefficients.reshape(n_paths, -1))
            self.register_buffer(f"coefficients_{power}", flat, persistent=False)
            shape = (n_elements, n_paths, channels)
            weight = torch.randn(shape, generator=generator, dtype=torch.float64) / n_paths
            self.weights.append(nn.Parameter(weight))

    def forward(self, x: torch.Tensor, element: int) -> torch.Tensor:
        """Messages (channels, components, n) of atoms of one element -> (channels, 2L+1, n)."""
        products, factors = [], []
        for power, weight in zip(self.powers, self.weights, strict=True):
            indices = getattr(self, f"indices_{power}")
            product = x[:, indices[0]]
            for index in indices[1:]:
                product = product * x[:, index]
            products.append(product)
            factor = weight[element].T @ getattr(self, f"coefficients_{power}")
            factors.append(factor.reshape(len(factor), self.width, -1))
        return torch.bmm(torch.cat(factors, dim=2), torch.cat(products, dim=1))


class Product(nn.Module):
    """B of all orders, mixed by a linear map, plus what passed the interaction by."""

    def __init__(self, architecture: Architecture, layer: int, generator: torch.Generator) -> None:
        super().__init__()
        orders, channels = architecture.orders_after(layer), architecture.channels
        correlation = architecture.correlation_of(layer)
        self.contractions = nn.ModuleList(
            Contraction(
                architecture.max_ell, correlation, order, channels, len(architecture.elements), generator
            )
            for order in orders
        )
        self.linear = Linear(orders, channels, channels, generator)

    def forward(self, messages: torch.Tensor, passing: torch.Tensor | None, graph: Graph) -> torch.Tensor:
        """Messages (n_atoms, (max_ell + 1)^2, channels) -> features (n_atoms, components, channels)."""
        x = messages.permute(2, 1, 0)  # each channel is a polynomial of its own
        by_element = [
            torch.cat([contraction(x[:, :, atoms], element) for contraction in self.contractions], dim=1)
            for element, atoms in graph.by_element
        ]
        y: torch.Tensor = self.linear(torch.cat(by_element, dim=2).permute(2, 1, 0)[graph.from_sorted])
        return y if passing is None else y + passing
