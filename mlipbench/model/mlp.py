"""The perceptron between Bessel functions and radial weights, and between scalars and energies."""

from __future__ import annotations

import itertools

import torch
from torch import nn


class MLP(nn.Module):
    """x -> W_n g silu(... g silu(W_1 x)), each W divided by the root of its inputs, no biases.

    g is the gain that gives silu of normal variables a mean square of 1.
    """

    def __init__(self, widths: tuple[int, ...], gain: float, generator: torch.Generator) -> None:
        super().__init__()
        self.gain = gain
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(a, b, generator=generator, dtype=torch.float64))
            for a, b in itertools.pairwise(widths)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, widths[0]) -> (n, widths[-1])."""
        for number, weight in enumerate(self.weights):
            if number:
                x = self.gain * nn.functional.silu(x)
            x = x @ (weight * (len(weight) ** -0.5))
        return x
