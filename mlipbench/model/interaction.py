"""Interaction: messages from the neighbours, summed into features of an atom and its surroundings.

    A_i[l3, path, c] = sum_j R_path,c(r_ij) sum_{m1 m2} C^{l3 m3}_{l1 m1, l2 m2} h_j[l1 m1, c] Y_{l2 m2}(r_ij)
    m_i[l3, c'] = sum_{path, c} W[l3, path, c, c'] A_i[l3, path, c] / sqrt(n_paths n_channels) / neighbours

Batatia et al., arXiv:2206.07697, eqs. 8 and 9. A path is a triple (l1, l2, l3) that couples. C is
sqrt(2 l3 + 1) times the 3j symbol, h are the features after a linear map, R comes from an MLP of the
Bessel functions. For each pair the coupling with Y collapses into a small matrix M[m3, m1] that all
channels share.

In the first layer, h depends on the element of j alone, and the last linear map of the MLP, on a(r) of K
numbers, can be taken out of the sum. Pairs then have K numbers instead of paths times channels:

    A_i[lm, c] = sum_{element} h_element[c] sum_k W[k, l, c] sum_{j of element} a_k(r_ij) Y_lm(r_ij)
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
from mlipbench.model.messages import Path, Pattern, sum_neighbours
from mlipbench.model.mlp import MLP


@dataclass(frozen=True, eq=False)
class Edges:
    """What all layers see of the pairs."""

    harmonics: torch.Tensor  # (n_pairs, (max_ell + 1)^2) Y of the direction
    basis: torch.Tensor  # (n_distances, num_radial_basis)
    cutoff: torch.Tensor | None  # (n_distances, 1), None where the basis contains it


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


class Interaction(nn.Module):
    """One of the four kinds of interaction, see `architecture.Block`."""

    coupling: torch.Tensor  # ((max_ell + 1)^2, columns), see `Pattern`

    def __init__(self, architecture: Architecture, layer: int, generator: torch.Generator) -> None:
        super().__init__()
        channels, max_ell = architecture.channels, architecture.max_ell
        n_elements, gain = len(architecture.elements), architecture.activation_gain
        kind = architecture.interaction_of(layer)
        orders = architecture.hidden_orders if layer else (0,)
        self.first = layer == 0
        self.messages = tuple(range(max_ell + 1))
        all_paths = paths(orders, max_ell)
        self.orders = sorted({first for first, _, _ in all_paths})  # of the features that couple to anything
        n_leading = [sum(path[2] == l3 for path in all_paths) for l3 in self.messages]
        self.paths, coupling = _coupling(all_paths, orders, max_ell)
        self.register_buffer("coupling", coupling, persistent=False)
        self.neighbours = architecture.avg_num_neighbors

        self.up = Linear(orders, channels, channels, generator)
        widths = (architecture.num_radial_basis, *architecture.radial_mlp, len(all_paths) * channels)
        self.radial = MLP(widths, gain, generator)
        self.down = nn.ParameterList(
            nn.Parameter(torch.randn(n, channels, channels, generator=generator, dtype=torch.float64))
            for n in n_leading
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

    def forward(
        self, x: torch.Tensor, edges: Edges, graph: Graph
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features (n_atoms, components, channels) -> messages (n_atoms, (max_ell + 1)^2, channels) and
        what passes them by, if anything does."""
        passing = self.residual(x, graph) if self.residual is not None else None
        gathered = self._gather_first(x, edges, graph) if self.first else self._gather(x, edges, graph)
        message = self._mix(gathered) / self._divisor(edges, graph)
        if self.mixing is not None:
            message = self.mixing(message, graph)
        return message, passing

    def _gather(self, x: torch.Tensor, edges: Edges, graph: Graph) -> torch.Tensor:
        """A (n_atoms, rows, channels)."""
        pattern = Pattern(self.paths, self.coupling, graph.by_receiver, graph.senders, graph.distance_of)
        radial = (self._hidden(edges) @ self.radial.last()).reshape(-1, len(self.paths), x.shape[2])
        return sum_neighbours(self.up(x), radial, edges.harmonics, pattern)

    def _gather_first(self, x: torch.Tensor, edges: Edges, graph: Graph) -> torch.Tensor:
        """A (n_atoms, (max_ell + 1)^2, channels); x is the same for all atoms of an element."""
        hidden, width = self._hidden(edges)[:, None], edges.harmonics.shape[1]
        whole = Path(0, slice(0, 1), slice(0, width), slice(0, width))
        unit = torch.eye(width, dtype=x.dtype, device=x.device)
        pattern = Pattern([whole], unit, graph.by_kind, graph.senders, graph.distance_of)
        sums = sum_neighbours(None, hidden, edges.harmonics, pattern)
        radial = self.radial.last().reshape(-1, len(self.paths), x.shape[2])
        by_order = [sums[:, path.rows] @ radial[:, path.number] for path in self.paths]
        sent = self.up(torch.cat([x[atoms[:1]] for _, atoms in graph.by_element]))
        kinds = torch.cat(by_order, dim=1) * sent[graph.kind_elements]
        gathered: torch.Tensor = kinds.new_zeros(len(x), *kinds.shape[1:])
        return gathered.index_add(0, graph.kind_receivers, kinds)

    def _hidden(self, edges: Edges) -> torch.Tensor:
        """What the last map of the radial MLP makes the radial weights of, (n_distances, K)."""
        hidden: torch.Tensor = self.radial.hidden(edges.basis)
        return hidden if edges.cutoff is None else hidden * edges.cutoff

    def _mix(self, gathered: torch.Tensor) -> torch.Tensor:
        """The linear map from all paths and channels to the channels of each order."""
        mixed, begin = [], 0
        for l3, weight in zip(self.messages, self.down, strict=True):
            end = begin + len(weight) * (2 * l3 + 1)
            x = gathered[:, begin:end].reshape(len(gathered), len(weight), -1, gathered.shape[2])
            x = x.transpose(1, 2).flatten(2)
            scale = x.shape[2] ** -0.5  # x (n_atoms, 2 l3 + 1, paths * channels)
            mixed.append(x @ (scale * weight.flatten(0, 1)))
            begin = end
        return torch.cat(mixed, dim=1)

    def _divisor(self, edges: Edges, graph: Graph) -> torch.Tensor | float:
        """The average number of neighbours, or 1 + the sum of tanh(density^2) over those at hand."""
        if self.density is None:
            return self.neighbours
        near = torch.tanh(self.density(edges.basis) ** 2)
        if edges.cutoff is not None:
            near = near * edges.cutoff
        near = near[graph.distance_of]
        density = near.new_zeros(graph.n_atoms, 1).index_add(0, graph.receivers, near)
        return (1.0 + density)[:, :, None]


def _coupling(
    all_paths: list[tuple[int, int, int]], orders: tuple[int, ...], max_ell: int
) -> tuple[list[Path], torch.Tensor]:
    """The paths with their places, and the coupling ((max_ell + 1)^2, columns) of harmonics to all M."""
    where = dict(zip(orders, components(orders), strict=True))
    placed, blocks, row, column = [], [], 0, 0
    for number, (l1, l2, l3) in enumerate(all_paths):
        block = torch.zeros((max_ell + 1) ** 2, 2 * l3 + 1, 2 * l1 + 1, dtype=torch.float64)
        block[l2 * l2 : (l2 + 1) ** 2] = math.sqrt(2 * l3 + 1) * wigner_3j(l1, l2, l3).permute(1, 2, 0)
        blocks.append(block.flatten(1))
        rows, columns = slice(row, row + 2 * l3 + 1), slice(column, column + blocks[-1].shape[1])
        placed.append(Path(number, where[l1], rows, columns))
        row, column = rows.stop, columns.stop
    return placed, torch.cat(blocks, dim=1)
