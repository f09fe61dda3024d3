"""The perceptron between Bessel functions and radial weights, and between scalars and energies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

ROWS_AT_ONCE = {"cpu": 1024, "cuda": 2**20}
"""On a CPU, so few that the numbers between two layers stay in the cache of a core."""


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
        return self.hidden(x) @ self.last()

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        """(n, widths[0]) -> (n, widths[-2]), what the last linear map is applied to."""
        matrices = self._matrices()[:-1]
        if not matrices:
            return x
        found: torch.Tensor = _Hidden.apply(x, *matrices)  # type: ignore[no-untyped-call]
        return found

    def last(self) -> torch.Tensor:
        """The last linear map (widths[-2], widths[-1])."""
        return self._matrices()[-1]

    def _matrices(self) -> list[torch.Tensor]:
        """Linear maps between what silu gives and what it is applied to."""
        gains = [1.0] + [self.gain] * (len(self.weights) - 1)
        return [w * (gain * len(w) ** -0.5) for w, gain in zip(self.weights, gains, strict=True)]


class _Hidden(torch.autograd.Function):
    """h_k = silu(z_k), z_k = h_{k-1} W_k, from h_0 = x to the last.

    The derivatives are written by hand, first and second, and run over a few rows at a time. The z are kept,
    all else between the layers is computed again.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        zs = [x.new_empty(len(x), weight.shape[1]) for weight in weights]
        out = torch.empty_like(zs[-1])
        for h, target, *z_parts in zip(*map(_split, (x, out, *zs)), strict=True):
            for weight, z in zip(weights, z_parts, strict=True):
                h = nn.functional.silu(torch.mm(h, weight, out=z))
            target.copy_(h)
        ctx.save_for_backward(x, *weights, *zs)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, ...]:
        n_layers = len(ctx.saved_tensors) // 2
        found: tuple[torch.Tensor, ...] = _HiddenGradient.apply(  # type: ignore[no-untyped-call]
            n_layers, gradients[0], *ctx.saved_tensors
        )
        return found


class _HiddenGradient(torch.autograd.Function):
    """Of T = sum(g h_n). With c_k = dT/dh_k and d_k = dT/dz_k,

    c_n = g,   d_k = c_k silu'(z_k),   c_{k-1} = d_k W_k^T,   dT/dW_k = h_{k-1}^T d_k.
    """

    @staticmethod
    def forward(
        ctx: Any, n_layers: int, g: torch.Tensor, x: torch.Tensor, *weights_and_z: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        ctx.save_for_backward(g, x, *weights_and_z)
        ctx.set_materialize_grads(False)
        weights, zs = weights_and_z[:n_layers], weights_and_z[n_layers:]
        dx, dw = torch.empty_like(x), [torch.zeros_like(weight) for weight in weights]
        for c, h, target, *z_parts in zip(*map(_split, (g, x, dx, *zs)), strict=True):
            layers = _Layers(h, z_parts)
            for k in reversed(range(len(weights))):
                d = c * layers.slopes[k]
                if weights[k].requires_grad:
                    dw[k].addmm_(layers.inputs[k].T, d)
                c = d @ weights[k].T
            target.copy_(c)
        return dx, *dw

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, v: torch.Tensor | None, *v_weights: torch.Tensor | None
    ) -> tuple[torch.Tensor | None, ...]:
        """Of sum(v dT/dx) + sum_k sum(v_k dT/dW_k): first of all c and d, then of all h and z."""
        g, x, *weights_and_z = ctx.saved_tensors
        n_layers = len(v_weights)
        weights, zs = weights_and_z[:n_layers], weights_and_z[n_layers:]
        v = torch.zeros_like(x) if v is None else v
        dg, dx, dw = torch.empty_like(g), torch.empty_like(x), [torch.zeros_like(w) for w in weights]
        for c, h, u, g_target, x_target, *z_parts in zip(*map(_split, (g, x, v, dg, dx, *zs)), strict=True):
            layers = _Layers(h, z_parts)
            cs, ds = layers.reverse(c, weights)
            dz = []
            for k, weight in enumerate(weights):
                dd = u @ weight
                dw[k].addmm_(u.T, ds[k])
                if (vk := v_weights[k]) is not None:
                    dd = dd.addmm_(layers.inputs[k], vk)
                dz.append(dd * cs[k] * layers.curvatures(k))
                u = dd * layers.slopes[k]
            g_target.copy_(u)
            dh = torch.zeros_like(u)
            for k in reversed(range(len(weights))):
                total = dz[k].addcmul_(dh, layers.slopes[k])
                dw[k].addmm_(layers.inputs[k].T, total)
                dh = total @ weights[k].T
                if (vk := v_weights[k]) is not None:
                    dh = dh.addmm_(ds[k], vk.T)
            x_target.copy_(dh)
        return None, dg, dx, *dw, *[None] * n_layers  # the z are functions of x and the weights


class _Layers:
    """Of some rows: h_{k-1}, z_k, silu'(z_k) and silu''(z_k)."""

    def __init__(self, h: torch.Tensor, zs: Sequence[torch.Tensor]) -> None:
        self.inputs, self.slopes, self._between = [], [], []
        for z in zs:
            self.inputs.append(h)
            s = torch.sigmoid(z)
            h = z * s
            self.slopes.append(torch.addcmul(s, h, 1.0 - s))  # silu' = s + z s (1 - s)
            self._between.append((z, s, h))

    def curvatures(self, k: int) -> torch.Tensor:
        """silu'' = s (1 - s) (2 + z (1 - 2 s))."""
        z, s, h = self._between[k]
        return (s - s * s).mul_((z + 2.0).sub_(h, alpha=2.0))

    def reverse(
        self, c: torch.Tensor, weights: Sequence[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """All c_k and d_k, from the last layer's c."""
        cs, ds = [], []
        for slope, weight in zip(reversed(self.slopes), reversed(weights), strict=True):
            cs.append(c)
            ds.append(c * slope)
            c = ds[-1] @ weight.T
        return cs[::-1], ds[::-1]


def _split(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    rows = ROWS_AT_ONCE["cpu" if x.device.type == "cpu" else "cuda"]
    parts: tuple[torch.Tensor, ...] = torch.split(x, rows)
    return parts
