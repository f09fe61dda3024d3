"""Steps: which weights decay, how gradients are clipped, learning rates, the moving average of weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn

from mlipbench.model.network import Network

Scheduler = Literal["plateau", "cosine", "constant"]


def parameter_groups(network: Network, weight_decay: float) -> list[dict[str, Any]]:
    """Weights that decay, and weights that do not: the choice of mace-torch.

    The products and the map from messages to channels decay; embedding, radial perceptrons, the other maps
    between channels, and readouts do not.
    """
    decaying: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        mine = name.startswith("products.") or ".down." in name
        (decaying if mine else others).append(parameter)
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def make_optimizer(network: Network, lr: float, weight_decay: float, amsgrad: bool) -> torch.optim.Optimizer:
    """AdamW (Loshchilov, Hutter, arXiv:1711.05101)."""
    groups = parameter_groups(network, weight_decay)
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.999), eps=1e-8, amsgrad=amsgrad)


def clip_gradients(parameters: Iterable[nn.Parameter], largest: float | None) -> float:
    """Scale the gradients so that their common norm is at most `largest`; the norm before."""
    most = math.inf if largest is None else largest
    return float(torch.nn.utils.clip_grad_norm_(list(parameters), most))


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The same for all weights."""
    for group in optimizer.param_groups:
        group["lr"] = lr


class LearningRate:
    """The learning rate of a stage, epoch by epoch.

    plateau: multiplied by `factor` where the validation loss has not fallen by 0.01 % for more than
    `patience` validations; cosine: from `lr` down to `lr_min` at the end of the stage; constant.
    """

    def __init__(
        self, kind: Scheduler, lr: float, lr_min: float, n_epochs: int, factor: float, patience: int
    ) -> None:
        self.kind, self.first, self.lr_min = kind, lr, lr_min
        self.n_epochs, self.factor, self.patience = n_epochs, factor, patience
        self.now = lr
        self.best = math.inf
        self.waited = 0
        self.done = 0  # epochs

    def advance(self, loss: float | None) -> None:
        """After an epoch whose validation loss was `loss`; None where there was no validation."""
        self.done += 1
        if self.kind == "cosine":
            turned = 0.5 * (1.0 + math.cos(math.pi * min(self.done / self.n_epochs, 1.0)))
            self.now = self.lr_min + (self.first - self.lr_min) * turned
        elif self.kind == "plateau" and loss is not None:
            if loss < self.best * (1.0 - 1e-4):
                self.best, self.waited = loss, 0
            else:
                self.waited += 1
            if self.waited > self.patience:
                self.now, self.waited = max(self.now * self.factor, self.lr_min), 0

    def state(self) -> dict[str, float | int]:
        """What a checkpoint keeps."""
        return {"now": self.now, "best": self.best, "waited": self.waited, "done": self.done}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.now, self.best = float(state["now"]), float(state["best"])
        self.waited, self.done = int(state["waited"]), int(state["done"])


class MovingAverage:
    """Exponential moving average of the weights, a network of its own.

    a <- a - (1 - d) (a - w) after every step, d = min(decay, (1 + n) / (10 + n)) at the n-th: the first
    steps, whose weights are of no use, are soon forgotten.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network)
        self.network.requires_grad_(False)
        self.decay = decay
        self.updates = 0

    def update(self, network: Network) -> None:
        """After a step of `network`."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        with torch.no_grad():
            for mean, now in zip(self.network.parameters(), network.parameters(), strict=True):
                mean.sub_((1.0 - decay) * (mean - now))
