"""The weights of a training: those that are stepped, those that compute, and their moving average.

float64, float32   one set, of that precision
mixed              steps, moments and the average in float64, forward and backward in float32: small
                   steps are not lost in rounding, and an evaluation costs as much as in float32
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from mlipbench.model.network import Network
from mlipbench.training.group import Group
from mlipbench.training.optim import MovingAverage, clip_gradients, make_optimizer
from mlipbench.training.schema import TrainingConfig


class Weights:
    """One network in training."""

    def __init__(self, network: Network, config: TrainingConfig) -> None:
        stepped = torch.float32 if config.dtype == "float32" else torch.float64
        self.device = torch.device(config.device)
        self.dtype = torch.float64 if config.dtype == "float64" else torch.float32  # of evaluations
        self.stepped = network.to(self.device, stepped)
        self.mixed = config.dtype == "mixed"
        self.computing = copy.deepcopy(self.stepped).to(self.dtype) if self.mixed else self.stepped
        self.average = MovingAverage(self.stepped, config.ema_decay) if config.ema_decay else None
        self.optimizer = make_optimizer(self.stepped, config.lr, config.weight_decay, config.amsgrad)
        self._clip = config.clip_grad

    def step(self, loss: torch.Tensor | None, group: Group) -> float:
        """Gradients of the loss (None: this process has no part of the batch), one step; the gradients'
        norm. A norm that is no number leaves the weights as they are."""
        self.computing.zero_grad(set_to_none=True)
        if loss is not None:
            loss.backward()  # type: ignore[no-untyped-call]
        if group.size > 1:
            for parameter in self.computing.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            group.sum([p.grad for p in self.computing.parameters() if p.grad is not None])
        if self.mixed:
            for kept, used in zip(self.stepped.parameters(), self.computing.parameters(), strict=True):
                kept.grad = None if used.grad is None else used.grad.to(kept.dtype)
        norm = clip_gradients(self.stepped.parameters(), self._clip)
        if norm < float("inf"):
            self.optimizer.step()
            if self.average is not None:
                self.average.update(self.stepped)
            if self.mixed:
                self._copy(self.stepped, self.computing)
        return norm

    def validated(self) -> Network:
        """The weights that are validated and kept: the average, in the precision of evaluations."""
        network = self.average.network if self.average is not None else self.stepped
        return copy.deepcopy(network).to(self.dtype) if self.mixed else network

    def kept(self) -> dict[str, torch.Tensor]:
        """A copy of the weights that are kept, on the CPU."""
        network = self.average.network if self.average is not None else self.stepped
        return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        average = self.average
        return {
            "stepped": self.stepped.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if average is None else average.network.state_dict(),
            "updates": 0 if average is None else average.updates,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.stepped.load_state_dict(state["stepped"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.network.load_state_dict(state["average"])
            self.average.updates = int(state["updates"])
        if self.mixed:
            self._copy(self.stepped, self.computing)

    @staticmethod
    def _copy(source: Network, target: Network) -> None:
        with torch.no_grad():
            for there, here in zip(target.parameters(), source.parameters(), strict=True):
                there.copy_(here)
