"""The network: MACE of Batatia et al., NeurIPS 35, 11423 (2022), arXiv:2206.07697.

    E_i = E0(element) + shift + scale (V_i + sum_layers readout_t(h_i^t[l = 0]))

V is the pair repulsion, if there is one. The network computes all but E0, which lies in the package:
isolated-atom energies are large, and added in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from mlipbench.model.architecture import Architecture
from mlipbench.model.graph import Graph
from mlipbench.model.interaction import Edges, Interaction
from mlipbench.model.irreps import spherical_harmonics
from mlipbench.model.mlp import MLP
from mlipbench.model.product import Product
from mlipbench.model.radial import RadialBasis
from mlipbench.model.repulsion import PairRepulsion


@dataclass(frozen=True, eq=False)
class AtomicOutput:
    """What the network says about atoms."""

    energies: torch.Tensor  # (n_atoms,) eV, interaction energies: without E0
    features: tuple[torch.Tensor, ...]  # of each layer (n_atoms, components, channels)

    @property
    def descriptors(self) -> torch.Tensor:
        """The scalars of all layers, (n_atoms, layers * channels): equal for equal surroundings."""
        return torch.cat([features[:, 0] for features in self.features], dim=1)


class Network(nn.Module):
    """One member. Weights are drawn in float64 by `seed`; `.to(torch.float32)` rounds them."""

    scale: torch.Tensor  # without unit
    shift: torch.Tensor  # eV

    def __init__(self, architecture: Architecture, seed: int) -> None:
        super().__init__()
        self.architecture = architecture
        generator = torch.Generator().manual_seed(seed)
        channels, n_elements = architecture.channels, len(architecture.elements)
        layers = range(architecture.num_layers)
        embedding = torch.randn(n_elements, channels, generator=generator, dtype=torch.float64)
        self.embedding = nn.Parameter(embedding)
        self.basis = RadialBasis(architecture)
        self.interactions = nn.ModuleList(Interaction(architecture, n, generator) for n in layers)
        self.products = nn.ModuleList(Product(architecture, n, generator) for n in layers)
        self.readouts = nn.ModuleList(
            MLP(readout_widths(architecture, n), architecture.activation_gain, generator) for n in layers
        )
        self.repulsion = PairRepulsion(architecture) if architecture.zbl else None
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("shift", torch.zeros((), dtype=torch.float64))

    def forward(self, graph: Graph) -> AtomicOutput:
        """Energies and features of the atoms; `graph` has the dtype and the device of the weights."""
        distances = torch.linalg.vector_norm(graph.vectors[graph.distance_pairs], dim=1, keepdim=True)
        receiving, sending = (
            graph.species[atoms[graph.distance_pairs]] for atoms in (graph.receivers, graph.senders)
        )
        basis, cutoff = self.basis(distances, receiving, sending)
        on_basis = self.architecture.cutoff_acts_on == "basis"
        distances = distances[graph.distance_of]
        edges = Edges(
            harmonics=spherical_harmonics(graph.vectors / distances, self.architecture.max_ell),
            basis=basis * cutoff if on_basis else basis,
            cutoff=None if on_basis else cutoff,
        )
        x = (self.embedding * len(self.embedding) ** -0.5)[graph.species][:, None]
        energies = x.new_zeros(graph.n_atoms)
        if self.repulsion is not None:
            energies = energies + self.repulsion(distances, graph.species, graph.receivers, graph.senders)
        features = []
        for interaction, product, readout in zip(
            self.interactions, self.products, self.readouts, strict=True
        ):
            messages, passing = interaction(x, edges, graph)
            x = product(messages, passing, graph)
            energies = energies + readout(x[:, 0])[:, 0]
            features.append(x)
        return AtomicOutput(self.shift + self.scale * energies, tuple(features))


def readout_widths(architecture: Architecture, layer: int) -> tuple[int, ...]:
    """Readouts are linear, but for the last of several layers, which has one hidden layer."""
    last = layer == architecture.num_layers - 1 > 0
    return (architecture.channels, *([architecture.readout_mlp] if last else []), 1)


class Committee(nn.Module):
    """Members of one architecture, trained apart: their mean is the answer, their spread its doubt."""

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def architecture(self) -> Architecture:
        """That of every member."""
        return self.networks[0].architecture

    @property
    def networks(self) -> list[Network]:
        """The members."""
        return list(self.members)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.members)

    def forward(self, graph: Graph) -> torch.Tensor:
        """Interaction energies (members, n_atoms) eV."""
        return torch.stack([network(graph).energies for network in self.networks])
