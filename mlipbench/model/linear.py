"""Linear maps between channels, one for each order: what equivariance allows."""

from __future__ import annotations

import torch
from torch import nn

from mlipbench.model.graph import Graph
from mlipbench.model.irreps import components


class Linear(nn.Module):
    """y_lm = W_l^T x_lm / sqrt(channels in), for the orders in `orders`."""

    def __init__(
        self, orders: tuple[int, ...], inputs: int, outputs: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.slices = components(orders)
        self.scale = inputs**-0.5
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(inputs, outputs, generator=generator, dtype=torch.float64))
            for _ in orders
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, components, inputs) -> (n, components, outputs)."""
        parts = [
            x[:, part] @ (self.scale * weight) for part, weight in zip(self.slices, self.weights, strict=True)
        ]
        return torch.cat(parts, dim=1)


class ElementLinear(nn.Module):
    """y_lm = W_{l,element}^T x_lm / sqrt(channels in * elements), a map for each element.

    The input may hold fewer orders than the output, from the lowest on; what is missing becomes zero.
    """

    def __init__(
        self,
        orders_in: tuple[int, ...],
        orders_out: tuple[int, ...],
        channels: int,
        n_elements: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        shared = tuple(order for order in orders_out if order in orders_in)
        where = dict(zip(orders_in, components(orders_in), strict=True))
        self.slices = [where[order] for order in shared]
        self.missing = sum(2 * order + 1 for order in orders_out if order not in orders_in)
        self.scale = (channels * n_elements) ** -0.5
        shape = (n_elements, channels, channels)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)) for _ in shared
        )

    def forward(self, x: torch.Tensor, graph: Graph) -> torch.Tensor:
        """(n_atoms, components in, channels) -> (n_atoms, components out, channels)."""
        mapped = [
            torch.cat(
                [
                    x[atoms, part] @ (self.scale * weight[element])
                    for part, weight in zip(self.slices, self.weights, strict=True)
                ],
                dim=1,
            )
            for element, atoms in graph.by_element
        ]
        y = torch.cat(mapped)[graph.from_sorted]
        if self.missing:
            y = torch.cat([y, y.new_zeros(len(y), self.missing, y.shape[2])], dim=1)
        return y
