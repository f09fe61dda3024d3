"""Interaction: messages from the neighbours, summed into features of an atom and its surroundings.

    A_i[l3, path, c] = sum_j R_path,c(r_ij) sum_{m1 m2} C^{l3 m3}_{l1 m1, l2 m2} h_j[l1 m1, c] Y_{l2 m2}(r_ij)
    m_i[l3, c'] = sum_{path, c} W[l3, path, c, c'] A_i[l3, path, c] / sqrt(n_paths n_channels) / neighbours

Batatia et al., arXiv:2206.07697, eqs. 8 and 9. A path is a triple (l1, l2, l3) that couples. C is
sqrt(2 l3 + 1) times the 3j symbol, h are the features after a linear map, R comes from an MLP of the
Bessel functions. For each pair the coupling with Y collapses into a small matrix M[m3, m1] that all
channels share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from mlipbench.model.architecture import Architecture
from mlipbench.model.graph import Graph
from mlipbench.model.irreps import components, wigner_3j
from mlipbench.model.linear import ElementLinear, Linear
from mlipbench.model.mlp import MLP


@dataclass(frozen=True, eq=False)
class Edges:
    """What all layers see of the pairs."""

    harmonics: torch.Tensor  # (n_pairs, (max_ell + 1)^2) Y of the direction
    basis: torch.Tensor  # (n_pairs, num_radial_basis)
    cutoff: torch.Tensor | None  # (n_pairs, 1), None where the basis contains it


def paths(orders_in: tuple[int, ...], max_ell: int) -> list[tuple[int, int, int]]:
    """Triples (l1, l2, l3) of features, harmonics and messages that couple, sorted by l3."""
    found = [
        (l1, l2, l3)
        for l1 in orders_in
        for l2 in range(max_ell + 1)
        for l3 in range(abs(l1 - l2), min(l1 + l2, max_ell) + 1)
        if (l1 + l2 + l3) % 2 == 0
    ]
    return sorted(found, key=lambda path: path[2])


class Coupling(nn.Module):
    """Messages of all paths that begin with order l1."""

    tensor: torch.Tensor  # (harmonics, rows * (2 l1 + 1)); rows are (path, m3)
    path_of_row: torch.Tensor  # (rows,)

    def __init__(self, l1: int, all_paths: list[tuple[int, int, int]], max_ell: int) -> None:
        super().__init__()
        self.width = 2 * l1 + 1
        blocks, numbers = [], []
        for number, (first, l2, l3) in enumerate(all_paths):
            if first == l1:
                block = torch.zeros((max_ell + 1) ** 2, 2 * l3 + 1, 2 * l1 + 1, dtype=torch.float64)
                symbol = math.sqrt(2 * l3 + 1) * wigner_3j(l1, l2, l3)
                block[l2 * l2 : (l2 + 1) ** 2] = symbol.permute(1, 2, 0)
                blocks.append(block)
                numbers += [number] * (2 * l3 + 1)
        self.register_buffer("tensor", torch.cat(blocks, dim=1).flatten(1), persistent=False)
        self.register_buffer("path_of_row", torch.tensor(numbers), persistent=False)

    def forward(self, harmonics: torch.Tensor, x: torch.Tensor, radial: torch.Tensor) -> torch.Tensor:
        """Harmonics (n_pairs, harmonics), features (n_pairs, 2 l1 + 1, channels) of the senders, radial
        weights (n_pairs, paths, channels) -> messages (n_pairs, rows, channels)."""
        shape = (len(harmonics), len(self.path_of_row), self.width)
        matrices = torch.mm(harmonics, self.tensor).reshape(shape)
        return torch.bmm(matrices, x) * radial[:, self.path_of_row]


class Interaction(nn.Module):
    """One of the four kinds of interaction, see `architecture.Block`."""

    def __init__(self, architecture: Architecture, layer: int, generator: torch.Generator) -> None:
        super().__init__()
        channels, max_ell = architecture.channels, architecture.max_ell
        n_elements, gain = len(architecture.elements), architecture.activation_gain
        kind = architecture.interaction_of(layer)
        orders = architecture.hidden_orders if layer else (0,)
        self.messages = tuple(range(max_ell + 1))
        all_paths = paths(orders, max_ell)
        self.orders = [order for order in orders if any(path[0] == order for path in all_paths)]
        where = dict(zip(orders, components(orders), strict=True))
        self.slices = [where[order] for order in self.orders]
        self.neighbours = architecture.avg_num_neighbors

        self.up = Linear(orders, channels, channels, generator)
        self.couplings = nn.ModuleList(Coupling(order, all_paths, max_ell) for order in self.orders)
        widths = (architecture.num_radial_basis, *architecture.radial_mlp, len(all_paths) * channels)
        self.radial = MLP(widths, gain, generator)
        self.n_paths = len(all_paths)
        self._number_rows(all_paths)
        self.down = nn.ParameterList(
            nn.Parameter(torch.randn(len(rows), channels, channels, generator=generator, dtype=torch.float64))
            for rows in self._rows()
        )
        self.density = None
        if kind.startswith("density"):
            self.density = MLP((architecture.num_radial_basis, 1), gain, generator)
        self.residual = self.mixing = None
        if kind.endswith("residual"):
            after = architecture.orders_after(layer)
            self.residual = ElementLinear(orders, after, channels, n_elements, generator)
        else:
            self.mixing = ElementLinear(self.messages, self.messages, channels, n_elements, generator)

    def _number_rows(self, all_paths: list[tuple[int, int, int]]) -> None:
        """For each order of the messages the rows (n_paths, 2 l3 + 1) of the couplings, one after the
        other, that lead to it."""
        begin, first_row = 0, {}
        for order in self.orders:
            for number, path in enumerate(all_paths):
                if path[0] == order:
                    first_row[number] = begin
                    begin += 2 * path[2] + 1
        for l3 in self.messages:
            leading = [n for n, path in enumerate(all_paths) if path[2] == l3]
            rows = [[first_row[n] + m for m in range(2 * l3 + 1)] for n in leading]
            self.register_buffer(f"rows_{l3}", torch.tensor(rows), persistent=False)

    def _rows(self) -> list[torch.Tensor]:
        rows: list[torch.Tensor] = [getattr(self, f"rows_{order}") for order in self.messages]
        return rows

    def forward(
        self, x: torch.Tensor, edges: Edges, graph: Graph
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features (n_atoms, components, channels) -> messages (n_atoms, (max_ell + 1)^2, channels) and
        what passes them by, if anything does."""
        passing = self.residual(x, graph) if self.residual is not None else None
        radial = self.radial(edges.basis)
        if edges.cutoff is not None:
            radial = radial * edges.cutoff
        message = self._mix(self._gather(self.up(x), radial, edges, graph)) / self._divisor(edges, graph)
        if self.mixing is not None:
            message = self.mixing(message, graph)
        return message, passing

    def _gather(self, x: torch.Tensor, radial: torch.Tensor, edges: Edges, graph: Graph) -> torch.Tensor:
        """A (n_atoms, rows, channels)."""
        radial = radial.reshape(len(radial), self.n_paths, x.shape[2])  # path, channel
        sent = x[graph.senders]
        received = [
            coupling(edges.harmonics, sent[:, part], radial)
            for part, coupling in zip(self.slices, self.couplings, strict=True)
        ]
        pairs = torch.cat(received, dim=1)
        return pairs.new_zeros(len(x), *pairs.shape[1:]).index_add(0, graph.receivers, pairs)

    def _mix(self, gathered: torch.Tensor) -> torch.Tensor:
        """The linear map from all paths and channels to the channels of each order."""
        mixed = []
        for rows, weight in zip(self._rows(), self.down, strict=True):
            x = gathered[:, rows.T].flatten(2)  # (n_atoms, 2 l3 + 1, paths * channels)
            scale = x.shape[2] ** -0.5
            mixed.append(x @ (scale * weight.flatten(0, 1)))
        return torch.cat(mixed, dim=1)

    def _divisor(self, edges: Edges, graph: Graph) -> torch.Tensor | float:
        """The average number of neighbours, or 1 + the sum of tanh(density^2) over those at hand."""
        if self.density is None:
            return self.neighbours
        near = torch.tanh(self.density(edges.basis) ** 2)
        if edges.cutoff is not None:
            near = near * edges.cutoff
        density = near.new_zeros(graph.n_atoms, 1).index_add(0, graph.receivers, near)
        return (1.0 + density)[:, :, None]
