"""The repulsion of nuclei at short distances: Ziegler, Biersack and Littmark (1985)."""

from __future__ import annotations

import torch
from torch import nn

from mlipbench.model.architecture import Architecture
from mlipbench.model.radial import covalent_radii, polynomial_cutoff

# mace-torch rounds these, and weights were fitted beside the rounded ones: 0.06 % and 3e-5 off.
BOHR = 0.529  # A
COULOMB = 14.3996  # e^2 / (4 pi eps0), eV A
DECAY = (3.2, 0.9423, 0.4028, 0.2016)  # of the four exponentials of the universal screening function


class PairRepulsion(nn.Module):
    """V(r) = COULOMB Z1 Z2 / r phi(r/a) f(r / (R1 + R2)), half of it for either atom.

    a = 0.4543 BOHR / (Z1^0.3 + Z2^0.3), phi(x) = sum_k c_k exp(-DECAY_k x), R covalent radii, f the
    polynomial cutoff.
    """

    charges: torch.Tensor  # (n_elements,) e
    radii: torch.Tensor  # (n_elements,) A
    screening: torch.Tensor  # (4,) c
    length: torch.Tensor  # 0.4543
    exponent: torch.Tensor  # 0.3

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.p = architecture.num_polynomial_cutoff
        self.register_buffer("charges", torch.tensor(architecture.elements, dtype=torch.float64))
        self.register_buffer("radii", covalent_radii(architecture.elements))
        values = {"screening": (0.1818, 0.5099, 0.2802, 0.02817), "length": 0.4543, "exponent": 0.3}
        for name, value in values.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    def forward(
        self,
        distances: torch.Tensor,  # (n_pairs, 1) A
        species: torch.Tensor,  # (n_atoms,)
        receivers: torch.Tensor,  # (n_pairs,)
        senders: torch.Tensor,  # (n_pairs,)
    ) -> torch.Tensor:
        """Energies of the atoms (n_atoms,) eV."""
        half = self.of_pairs(distances[:, 0], species[receivers], species[senders])
        energies: torch.Tensor = half.new_zeros(len(species)).index_add(0, receivers, half)
        return energies

    def of_pairs(self, r: torch.Tensor, receiving: torch.Tensor, sending: torch.Tensor) -> torch.Tensor:
        """V / 2 in eV of distances (n_pairs,) in A; species of the two atoms (n_pairs,)."""
        z1, z2 = self.charges[receiving], self.charges[sending]
        x = r * (z1**self.exponent + z2**self.exponent) / (self.length * BOHR)
        phi = sum(c * torch.exp(-decay * x) for c, decay in zip(self.screening, DECAY, strict=True))
        reach = self.radii[receiving] + self.radii[sending]
        half: torch.Tensor = 0.5 * COULOMB * z1 * z2 / r * phi * polynomial_cutoff(r / reach, self.p)
        return half
