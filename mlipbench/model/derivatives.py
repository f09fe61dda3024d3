"""Forces and stress: derivatives of the energy with respect to the vectors between atoms.

With r_p the vector of pair p from sender to receiver and D_p = dE/dr_p,

    F_k = sum_{p: sender = k} D_p - sum_{p: receiver = k} D_p,     stress = sym(sum_p D_p (x) r_p) / V.

A strain moves positions and cell, and thereby every r_p to (1 + strain) r_p, so that this is the
derivative with respect to the strain, divided by the volume.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from mlipbench.core.errors import PotentialError
from mlipbench.model.graph import Graph
from mlipbench.model.network import Committee, Network


@dataclass(frozen=True, eq=False)
class Prediction:
    """Answers for a graph, without E0; of a committee, those of its mean."""

    energies: torch.Tensor  # (n_atoms,) eV
    forces: torch.Tensor | None  # (n_atoms, 3) eV/A
    stress: torch.Tensor | None  # (n_structures, 3, 3) eV/A^3


def predict(
    network: Network | Committee,
    graph: Graph,
    forces: bool = True,
    stress: bool = False,
    differentiable: bool = False,
) -> Prediction:
    """Energies, forces and stress; `differentiable` with respect to the weights, for training.

    Raises PotentialError where the stress of a structure without a volume is asked for.
    """
    if stress:
        require_volumes(bool((graph.volumes > 0).all()))
    wanted = forces or stress
    with torch.set_grad_enabled(wanted or differentiable):
        vectors = graph.vectors.detach().requires_grad_(wanted)
        moving = replace(graph, vectors=vectors)
        energies = network(moving).mean(dim=0) if isinstance(network, Committee) else network(moving).energies
        if not wanted:
            return Prediction(energies, None, None)
        (gradient,) = torch.autograd.grad(energies.sum(), vectors, create_graph=differentiable)
        return Prediction(
            energies if differentiable else energies.detach(),
            _forces(gradient, graph) if forces else None,
            _stress(gradient, graph) if stress else None,
        )


def require_volumes(all_have_one: bool) -> None:
    """Raise PotentialError unless all structures have a volume, and so a stress."""
    if not all_have_one:
        raise PotentialError(
            "stress needs a cell with a volume, got a cell that does not span space; "
            "ask for energy and forces only, or give the structure a cell"
        )


def _forces(gradient: torch.Tensor, graph: Graph) -> torch.Tensor:
    total = gradient.new_zeros(graph.n_atoms, 3).index_add(0, graph.senders, gradient)
    return total.index_add(0, graph.receivers, -gradient)


def _stress(gradient: torch.Tensor, graph: Graph) -> torch.Tensor:
    products = gradient[:, :, None] * graph.vectors[:, None, :]
    virial = products.new_zeros(graph.n_structures, 3, 3)
    virial = virial.index_add(0, graph.structure[graph.receivers], products)
    return 0.5 * (virial + virial.transpose(1, 2)) / graph.volumes[:, None, None]
