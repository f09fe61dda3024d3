"""Functions of rows, evaluated on some rows after the other: what lies between stays in the cache.

Nothing but arguments and results is kept for the derivatives, first and second; the rest is computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import once_differentiable

NUMBERS_AT_ONCE = {"cpu": 2**16, "cuda": 2**26}
"""Of the argument, with as much again in every step of the function: what the cache of a core holds."""

RowFunction = Callable[..., torch.Tensor]


def in_parts(function: RowFunction, x: torch.Tensor, *weights: torch.Tensor, width: int) -> torch.Tensor:
    """`function(x, *weights)`, twice differentiable; `width` numbers belong to a row at the widest place.

    A row of the result may depend on the same row of x alone, and on the weights.
    """
    rows = max(1, NUMBERS_AT_ONCE["cpu" if x.device.type == "cpu" else "cuda"] // width)
    found: torch.Tensor = _InParts.apply(function, rows, x, *weights)
    return found


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, function: RowFunction, rows: int, x: torch.Tensor, *weights: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(x, *weights)
        ctx.function, ctx.rows = function, rows
        return torch.cat([function(part, *weights) for part in x.split(rows)])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return None, None, *_Gradient.apply(ctx.function, ctx.rows, gradients[0], *ctx.saved_tensors)


class _Gradient(torch.autograd.Function):
    """Of the sum of g times the result, with respect to x and the weights."""

    @staticmethod
    def forward(
        ctx: Any,
        function: RowFunction,
        rows: int,
        g: torch.Tensor,
        x: torch.Tensor,
        *weights: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        ctx.save_for_backward(g, x, *weights)
        ctx.set_materialize_grads(False)
        ctx.function, ctx.rows = function, rows
        dx, totals = [], [torch.zeros_like(w) for w in weights]
        for g_part, x_part in zip(g.split(rows), x.split(rows), strict=True):
            with torch.enable_grad():
                arguments = [t.detach().requires_grad_() for t in (x_part, *weights)]
                found = torch.autograd.grad(function(*arguments), arguments, g_part)
            dx.append(found[0])
            for total, share in zip(totals, found[1:], strict=True):
                total.add_(share)
        return torch.cat(dx), *totals

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *v: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        g, x, *weights = ctx.saved_tensors
        dg, dx, totals = [], [], [torch.zeros_like(w) for w in weights]
        v_parts = [v[0]] * len(x) if v[0] is None else v[0].split(ctx.rows)
        for g_part, x_part, v_part in zip(g.split(ctx.rows), x.split(ctx.rows), v_parts, strict=False):
            with torch.enable_grad():
                arguments = [t.detach().requires_grad_() for t in (g_part, x_part, *weights)]
                value = ctx.function(*arguments[1:])
                slopes = torch.autograd.grad(value, arguments[1:], arguments[0], create_graph=True)
            given = [(s, t) for s, t in zip(slopes, (v_part, *v[1:]), strict=True) if t is not None]
            slopes, along = zip(*given, strict=True)
            found = torch.autograd.grad(slopes, arguments, along, materialize_grads=True)
            dg.append(found[0])
            dx.append(found[1])
            for total, share in zip(totals, found[2:], strict=True):
                total.add_(share)
        return None, None, torch.cat(dg), torch.cat(dx), *totals
