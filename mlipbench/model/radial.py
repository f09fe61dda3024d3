"""From distances to numbers: Bessel functions, cutoff, distance transforms."""

from __future__ import annotations

import math

import ase.data
import torch
from torch import nn

from mlipbench.model.architecture import Architecture


def polynomial_cutoff(x: torch.Tensor, p: int) -> torch.Tensor:
    """1 - O(x^p) at x = 0, 0 from x = 1 on, where first and second derivative vanish too.

    f(x) = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2) (arXiv:2003.03123, eq. 8).
    """
    power = x**p
    value = 1.0 - power * (0.5 * (p + 1.0) * (p + 2.0) - p * (p + 2.0) * x + 0.5 * p * (p + 1.0) * x * x)
    return value * (x < 1.0)


def covalent_radii(elements: tuple[int, ...]) -> torch.Tensor:
    """Covalent radii (n_elements,) in A, of Cordero et al., Dalton Trans. 2008, 2832."""
    return torch.from_numpy(ase.data.covalent_radii[list(elements)])


class RadialBasis(nn.Module):
    """Bessel functions sqrt(2/r_max) sin(n pi r / r_max) / r, n = 1...N, times the cutoff function.

    A distance transform replaces r in the Bessel functions, not in the cutoff.
    """

    frequencies: torch.Tensor  # (num_radial_basis,) n pi / r_max, 1/A
    prefactor: torch.Tensor  # sqrt(2 / r_max), 1/sqrt(A)

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.r_max, self.p = architecture.r_max, architecture.num_polynomial_cutoff
        n = torch.arange(1, architecture.num_radial_basis + 1, dtype=torch.float64)
        self.register_buffer("frequencies", n * (math.pi / self.r_max))
        self.register_buffer("prefactor", torch.tensor(math.sqrt(2.0 / self.r_max), dtype=torch.float64))
        self.transform: AgnesiTransform | SoftTransform | None = None
        if architecture.distance_transform == "agnesi":
            self.transform = AgnesiTransform(architecture.elements)
        elif architecture.distance_transform == "soft":
            self.transform = SoftTransform(architecture.elements)

    def forward(
        self, distances: torch.Tensor, receiving: torch.Tensor, sending: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Bessel functions (n_pairs, num_radial_basis) and cutoff function (n_pairs, 1).

        Distances (n_pairs, 1) in A; species of the receiving and of the sending atoms (n_pairs,).
        """
        cutoff = polynomial_cutoff(distances / self.r_max, self.p)
        r = distances if self.transform is None else self.transform(distances, receiving, sending)
        return self.prefactor * torch.sin(self.frequencies * r) / r, cutoff


class AgnesiTransform(nn.Module):
    """y = 1 / (1 + a s^q / (1 + s^(q-p))), s = r / r0, r0 the mean covalent radius of the two atoms.

    Witt et al., J. Chem. Phys. 159, 164101 (2023), section on radial transformations.
    """

    radii: torch.Tensor  # (n_elements,) A
    a: torch.Tensor
    q: torch.Tensor
    p: torch.Tensor

    def __init__(self, elements: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("radii", covalent_radii(elements))
        for name, value in (("a", 1.0805), ("q", 0.9183), ("p", 4.5791)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    def forward(self, r: torch.Tensor, receiving: torch.Tensor, sending: torch.Tensor) -> torch.Tensor:
        """Transformed distances (n_pairs, 1), without unit."""
        s = r / (0.5 * (self.radii[sending] + self.radii[receiving])[:, None])
        return 1.0 / (1.0 + self.a * s**self.q / (1.0 + s ** (self.q - self.p)))


class SoftTransform(nn.Module):
    """y = p0 + (r - p0) (1 + tanh(alpha (r - m) / (p1 - p0))) / 2, m = (p0 + p1) / 2.

    p0 = 3/4 r0, p1 = 4/3 r0, r0 the sum of covalent radii: below p0 distances are told apart no more.
    """

    radii: torch.Tensor  # (n_elements,) A
    alpha: torch.Tensor

    def __init__(self, elements: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("radii", covalent_radii(elements))
        self.register_buffer("alpha", torch.tensor(4.0, dtype=torch.float64))

    def forward(self, r: torch.Tensor, receiving: torch.Tensor, sending: torch.Tensor) -> torch.Tensor:
        """Transformed distances (n_pairs, 1) in A."""
        r0 = (self.radii[sending] + self.radii[receiving])[:, None]
        p0, p1 = 0.75 * r0, r0 * (4.0 / 3.0)
        step = 0.5 * (1.0 + torch.tanh(self.alpha / (p1 - p0) * (r - 0.5 * (p0 + p1))))
        return p0 + (r - p0) * step
