"""Losses: weighted averages of squared (or Huber) errors of energy per atom, forces and stress.

    L = sum_t w_t / N_t sum_k v_k rho(x_k)

with terms t: x = (E_pred - E_ref) / n_atoms over structures, force components, stress components; v the
weight of the structure that the component belongs to, 0 where it has no label; N_t the number of
components of the whole batch, those without label included, so that a batch with few labels counts less.
rho(x) = x^2 for `weighted`, as in mace-torch. For `huber` it is x^2 / 2 up to |x| = delta and
delta (|x| - delta / 2) beyond: single outliers pull with a constant force.

Errors are taken in float64, whatever the network computes in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from mlipbench.model.derivatives import Prediction
from mlipbench.model.graph import Graph

LossKind = Literal["weighted", "huber"]
Term = Literal["energy_per_atom", "forces", "stress"]
TERMS: tuple[Term, ...] = ("energy_per_atom", "forces", "stress")


@dataclass(frozen=True, eq=False)
class Targets:
    """Labels of a batch, float64; a weight of 0 stands for a missing label."""

    energies: torch.Tensor  # (n_structures,) eV, without the energies of the free atoms
    forces: torch.Tensor  # (n_atoms, 3) eV/A
    stress: torch.Tensor  # (n_structures, 3, 3) eV/A^3
    n_atoms: torch.Tensor  # (n_structures,)
    weights: Mapping[Term, torch.Tensor]  # of each term (n_structures,)

    def to(self, device: torch.device | str) -> Targets:
        """The same labels elsewhere."""
        return Targets(
            self.energies.to(device),
            self.forces.to(device),
            self.stress.to(device),
            self.n_atoms.to(device),
            {term: weight.to(device) for term, weight in self.weights.items()},
        )


@dataclass(frozen=True)
class Size:
    """Of a whole batch, of which this process may hold a part: what averages are divided by."""

    n_structures: int
    n_atoms: int

    def components(self, term: Term) -> int:
        """Numbers that a term averages over."""
        return {
            "energy_per_atom": self.n_structures,
            "forces": 3 * self.n_atoms,
            "stress": 9 * self.n_structures,
        }[term]


@dataclass(frozen=True)
class LossFunction:
    """What is minimised in a stage."""

    weights: Mapping[Term, float]  # of the terms that count
    kind: LossKind = "weighted"
    huber_delta: float = 0.01  # eV, eV/A, eV/A^3

    @property
    def forces(self) -> bool:
        """Whether forces are needed."""
        return "forces" in self.weights

    @property
    def stress(self) -> bool:
        """Whether stresses are needed."""
        return "stress" in self.weights

    def terms(
        self, prediction: Prediction, targets: Targets, graph: Graph, size: Size
    ) -> dict[Term, torch.Tensor]:
        """The weighted terms; their sum is the loss. Parts of a batch add up to the whole."""
        found = errors(prediction, targets, graph)
        shares = {}
        for term, weight in self.weights.items():
            error, of_structure = found[term]
            share = (self._rho(error) * of_structure).sum()
            shares[term] = share * (weight / size.components(term))
        return shares

    def _rho(self, error: torch.Tensor) -> torch.Tensor:
        if self.kind == "weighted":
            return error * error
        return torch.nn.functional.huber_loss(
            error, torch.zeros_like(error), reduction="none", delta=self.huber_delta
        )


def errors(
    prediction: Prediction, targets: Targets, graph: Graph
) -> dict[Term, tuple[torch.Tensor, torch.Tensor]]:
    """Predicted less reference of each term that was predicted, and the weights of its components.

    Energies (n_structures,) eV per atom, forces (n_atoms, 3) eV/A, stress (n_structures, 3, 3) eV/A^3.
    """
    energies = targets.energies.new_zeros(graph.n_structures).index_add(
        0, graph.structure, prediction.energies.double()
    )
    found: dict[Term, tuple[torch.Tensor, torch.Tensor]] = {
        "energy_per_atom": (
            (energies - targets.energies) / targets.n_atoms,
            targets.weights["energy_per_atom"],
        )
    }
    if prediction.forces is not None:
        weight = targets.weights["forces"][graph.structure][:, None]
        found["forces"] = (prediction.forces.double() - targets.forces, weight)
    if prediction.stress is not None:
        found["stress"] = (
            prediction.stress.double() - targets.stress,
            targets.weights["stress"][:, None, None],
        )
    return found
