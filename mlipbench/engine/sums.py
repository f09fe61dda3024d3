"""The sum over neighbours as one operation of a traced graph, with its first derivative.

The network itself goes through its pairs a few atoms at a time, as suits a processor's cache
(`mlipbench.model.messages`). On a GPU a graph has kernels of its own for that, see `kernels`; where there is
no Triton to compile them, and on a CPU, operations on all pairs at once, which keep pairs times channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch.utils._triton import has_triton_package

from mlipbench.model.messages import Path, Pattern

COMPILE_ERRORS: tuple[type[Exception], ...] = (RuntimeError,)
"""What compiling a graph or its kernels raises."""
if has_triton_package():
    from triton import TritonError

    from mlipbench.engine import kernels

    COMPILE_ERRORS = (RuntimeError, TritonError)


@dataclass(frozen=True, eq=False)
class Rows:
    """The pairs of every row of a sum. Pairs that fill up are in no list, but may be in `row_of`."""

    row_of: torch.Tensor  # (n_pairs,) row of a pair
    begins: torch.Tensor  # (n_rows + 1,) where each row begins in `items`
    items: torch.Tensor  # (n_pairs,) pairs row by row
    sent_begins: torch.Tensor  # (n_atoms + 1,) where each sender begins in `sent_items`
    sent_items: torch.Tensor  # (n_pairs,) pairs sender by sender

    def to(self, device: torch.device | str) -> Rows:
        """The same elsewhere."""
        return Rows(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    def sum_neighbours(
        self, x: torch.Tensor | None, radial: torch.Tensor, harmonics: torch.Tensor, pattern: Pattern
    ) -> torch.Tensor:
        """See `mlipbench.model.messages.sum_neighbours`; differentiable once."""
        lists = (self.row_of, self.begins, self.items, self.sent_begins, self.sent_items)
        matrices = harmonics @ pattern.coupling
        paths = numbers_of(pattern.paths)
        found: torch.Tensor = sum_rows(x, radial, matrices, *lists, pattern.senders, pattern.radial, paths)
        return found


def numbers_of(paths: Sequence[Path]) -> tuple[int, ...]:
    """Five numbers for each path, see `sum_rows`."""
    numbers: list[int] = []
    for path in paths:
        components, rows = path.components, path.rows
        numbers += [components.start, components.stop - components.start]
        numbers += [rows.start, rows.stop - rows.start, path.columns.start]
    return tuple(numbers)


@torch.library.custom_op("mlipbench::sum_rows", mutates_args=())
def sum_rows(
    x: torch.Tensor | None,
    radial: torch.Tensor,
    matrices: torch.Tensor,
    row_of: torch.Tensor,
    begins: torch.Tensor,
    items: torch.Tensor,
    sent_begins: torch.Tensor,
    sent_items: torch.Tensor,
    senders: torch.Tensor,
    radial_of: torch.Tensor,
    paths: Sequence[int],
) -> torch.Tensor:
    """A (n_rows, rows, channels) of features x (n_atoms, components, channels) or None, radial weights
    (any, paths, channels), coupling matrices M (n_pairs, columns), the lists of `Rows`, senders and row of
    the radial weights (n_pairs,), and five numbers for each path: begin and number of its components, begin
    and number of its rows, begin of its columns."""
    if _by_kernels(radial):
        return kernels.sums(x, radial, matrices, begins, items, senders, radial_of, tuple(paths))
    sums = [m @ z for m, z in _factors(x, radial, matrices, senders, radial_of, paths)]
    found = torch.cat(sums, dim=1)
    return found.new_zeros(len(begins) - 1, *found.shape[1:]).index_add_(0, row_of, found)


@torch.library.custom_op("mlipbench::sum_rows_gradients", mutates_args=())
def sum_rows_gradients(
    g: torch.Tensor,
    x: torch.Tensor | None,
    radial: torch.Tensor,
    matrices: torch.Tensor,
    row_of: torch.Tensor,
    begins: torch.Tensor,
    items: torch.Tensor,
    sent_begins: torch.Tensor,
    sent_items: torch.Tensor,
    senders: torch.Tensor,
    radial_of: torch.Tensor,
    paths: Sequence[int],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Derivatives of sum(g A) with respect to x (empty without x), radial weights and matrices."""
    if _by_kernels(radial):
        lists = (row_of, begins, items, sent_begins, sent_items)
        return kernels.gradients(g, x, radial, matrices, *lists, senders, radial_of, tuple(paths))
    d_x = radial.new_zeros(0) if x is None else torch.zeros_like(x)
    d_radial, d_matrices = torch.zeros_like(radial), torch.zeros_like(matrices)
    received = g[row_of]
    factors = _factors(x, radial, matrices, senders, radial_of, paths)
    for number, (m, z) in enumerate(factors):
        first, n1, into, n3, column = paths[5 * number : 5 * number + 5]
        part = received[:, into : into + n3]
        d_z = m.mT @ part
        d_matrices[:, column : column + n1 * n3] = (part @ z.mT).flatten(1)
        if x is None:
            d_radial[:, number].index_add_(0, radial_of, d_z[:, 0])
            continue
        components = slice(first, first + n1)
        d_radial[:, number].index_add_(0, radial_of, (d_z * x[senders, components]).sum(dim=1))
        d_x[:, components].index_add_(0, senders, d_z * radial[radial_of, number][:, None])
    return d_x, d_radial, d_matrices


def _factors(
    x: torch.Tensor | None,
    radial: torch.Tensor,
    matrices: torch.Tensor,
    senders: torch.Tensor,
    radial_of: torch.Tensor,
    paths: Sequence[int],
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """M (n_pairs, 2 l3 + 1, 2 l1 + 1) and Z (n_pairs, 2 l1 + 1, channels) of each path."""
    found = []
    for number in range(len(paths) // 5):
        first, n1, _, n3, column = paths[5 * number : 5 * number + 5]
        m = matrices[:, column : column + n1 * n3].reshape(-1, n3, n1)
        z = radial[radial_of, number][:, None]
        found.append((m, z if x is None else z * x[senders, first : first + n1]))
    return found


def _by_kernels(radial: torch.Tensor) -> bool:
    return radial.is_cuda and has_triton_package()


@sum_rows.register_fake
def _(x: torch.Tensor | None, radial: torch.Tensor, matrices: torch.Tensor, *lists: Any) -> torch.Tensor:
    begins, paths = lists[1], lists[-1]
    n_rows = max(begin + count for begin, count in zip(paths[2::5], paths[3::5], strict=True))
    return radial.new_empty(len(begins) - 1, n_rows, radial.shape[2])


@sum_rows_gradients.register_fake
def _(
    g: torch.Tensor, x: torch.Tensor | None, radial: torch.Tensor, matrices: torch.Tensor, *lists: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    d_x = radial.new_empty(0) if x is None else torch.empty_like(x)
    return d_x, torch.empty_like(radial), torch.empty_like(matrices)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    *tensors, ctx.paths = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    x, radial, matrices, *lists = ctx.saved_tensors
    d_x, d_radial, d_matrices = sum_rows_gradients(g, x, radial, matrices, *lists, ctx.paths)
    return None if x is None else d_x, d_radial, d_matrices, *[None] * len(lists), None


sum_rows.register_autograd(_backward, setup_context=_remember)
