"""Kernels for GPUs of the sum over neighbours and its derivatives, see `mlipbench.model.messages`.

A program has one row of the result, or one atom that sends, and some channels; it goes through the pairs of
that row and keeps its sum in registers. So nothing is stored for pairs and channels together, no sum depends
on the order in which programs run (a distance has two pairs, and a sum of two has no order), and rows may
have any number of pairs. A table says of each path where its components, rows and columns begin, and how
many they are.
"""

from __future__ import annotations

import functools

import torch
import triton
import triton.language as tl

_CHANNELS_AT_ONCE = 64  # of a program that has no sum over channels
_UNROLLED = 4  # pairs whose numbers are on their way at once


@triton.jit  # type: ignore[untyped-decorator]
def _sum(  # type: ignore[no-untyped-def]
    a_ptr, x_ptr, r_ptr, m_ptr, begins, items, senders, radial_of, table,
    n_components, n_paths, n_rows, n_columns, n_channels,
    HAS_X: tl.constexpr, N1: tl.constexpr, N3: tl.constexpr, C: tl.constexpr, UNROLLED: tl.constexpr,
):  # fmt: skip
    row, p = tl.program_id(0).to(tl.int64), tl.program_id(1)
    first, n1 = tl.load(table + 5 * p), tl.load(table + 5 * p + 1)
    into, n3, column = tl.load(table + 5 * p + 2), tl.load(table + 5 * p + 3), tl.load(table + 5 * p + 4)
    c, k = tl.program_id(2) * C + tl.arange(0, C), tl.arange(0, N3)
    inside, lower = c < n_channels, k < n3
    total = tl.zeros((N3, C), dtype=a_ptr.dtype.element_ty)
    begin, end = tl.load(begins + row), tl.load(begins + row + 1)
    for start in range(begin, end, UNROLLED):
        for u in tl.static_range(UNROLLED):
            there = start + u < end
            e = tl.load(items + start + u, mask=there, other=0)
            d = tl.load(radial_of + e)
            r = tl.load(r_ptr + (d * n_paths + p) * n_channels + c, mask=inside & there, other=0.0)
            for m in tl.static_range(N1):
                z = r
                if HAS_X:
                    s = tl.load(senders + e)
                    at = (s * n_components + first + m) * n_channels
                    z = r * tl.load(x_ptr + at + c, mask=inside & there & (m < n1), other=0.0)
                w = tl.load(m_ptr + e * n_columns + column + k * n1 + m, mask=lower & (m < n1), other=0.0)
                total += w[:, None] * z[None, :]
    where = (row * n_rows + into + k[:, None]) * n_channels + c[None, :]
    tl.store(a_ptr + where, total, mask=lower[:, None] & inside[None, :])


@triton.jit  # type: ignore[untyped-decorator]
def _to_pairs(  # type: ignore[no-untyped-def]
    dr_ptr, dm_ptr, g_ptr, x_ptr, r_ptr, m_ptr, begins, items, senders, radial_of, table,
    n_components, n_paths, n_rows, n_columns, n_channels,
    HAS_X: tl.constexpr, N1: tl.constexpr, N3: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    row, p = tl.program_id(0).to(tl.int64), tl.program_id(1)
    first, n1 = tl.load(table + 5 * p), tl.load(table + 5 * p + 1)
    into, n3, column = tl.load(table + 5 * p + 2), tl.load(table + 5 * p + 3), tl.load(table + 5 * p + 4)
    c, k = tl.arange(0, C), tl.arange(0, N3)
    inside, lower = c < n_channels, k < n3
    where = (row * n_rows + into + k[:, None]) * n_channels + c[None, :]
    g = tl.load(g_ptr + where, mask=lower[:, None] & inside[None, :], other=0.0)
    begin, end = tl.load(begins + row), tl.load(begins + row + 1)
    for n in range(begin, end):
        e = tl.load(items + n)
        d = tl.load(radial_of + e)
        r = tl.load(r_ptr + (d * n_paths + p) * n_channels + c, mask=inside, other=0.0)
        dr = tl.zeros((C,), dtype=g_ptr.dtype.element_ty)
        for m in tl.static_range(N1):
            w = tl.load(m_ptr + e * n_columns + column + k * n1 + m, mask=lower & (m < n1), other=0.0)
            dz = tl.sum(w[:, None] * g, axis=0)
            z = r
            if HAS_X:
                s = tl.load(senders + e)
                at = (s * n_components + first + m) * n_channels
                x = tl.load(x_ptr + at + c, mask=inside & (m < n1), other=0.0)
                z = r * x
                dz = dz * x
            dr += dz
            dm = tl.sum(g * z[None, :], axis=1)
            tl.store(dm_ptr + e * n_columns + column + k * n1 + m, dm, mask=lower & (m < n1))
        tl.atomic_add(dr_ptr + (d * n_paths + p) * n_channels + c, dr, mask=inside, sem="relaxed")


@triton.jit  # type: ignore[untyped-decorator]
def _to_senders(  # type: ignore[no-untyped-def]
    dx_ptr, g_ptr, r_ptr, m_ptr, begins, items, receivers, radial_of, table, orders, of_order,
    n_components, n_paths, n_rows, n_columns, n_channels,
    N1: tl.constexpr, N3: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    atom, order = tl.program_id(0).to(tl.int64), tl.program_id(1)
    first, n1 = tl.load(orders + 4 * order), tl.load(orders + 4 * order + 1)
    paths_begin, paths_end = tl.load(orders + 4 * order + 2), tl.load(orders + 4 * order + 3)
    c, k = tl.program_id(2) * C + tl.arange(0, C), tl.arange(0, N1)
    inside, lower = c < n_channels, k < n1
    total = tl.zeros((N1, C), dtype=dx_ptr.dtype.element_ty)
    begin, end = tl.load(begins + atom), tl.load(begins + atom + 1)
    for n in range(begin, end):
        e = tl.load(items + n)
        d, i = tl.load(radial_of + e), tl.load(receivers + e)
        for q in range(paths_begin, paths_end):
            p = tl.load(of_order + q)
            into, n3 = tl.load(table + 5 * p + 2), tl.load(table + 5 * p + 3)
            column = tl.load(table + 5 * p + 4)
            r = tl.load(r_ptr + (d * n_paths + p) * n_channels + c, mask=inside, other=0.0)
            for m in tl.static_range(N3):
                at = (i * n_rows + into + m) * n_channels
                z = r * tl.load(g_ptr + at + c, mask=inside & (m < n3), other=0.0)
                w = tl.load(m_ptr + e * n_columns + column + m * n1 + k, mask=lower & (m < n3), other=0.0)
                total += w[:, None] * z[None, :]
    where = (atom * n_components + first + k[:, None]) * n_channels + c[None, :]
    tl.store(dx_ptr + where, total, mask=lower[:, None] & inside[None, :])


def sums(
    x: torch.Tensor | None,
    radial: torch.Tensor,
    matrices: torch.Tensor,
    begins: torch.Tensor,
    items: torch.Tensor,
    senders: torch.Tensor,
    radial_of: torch.Tensor,
    paths: tuple[int, ...],
) -> torch.Tensor:
    """A (n_rows, rows, channels); arguments as of `mlipbench.engine.sums.sum_rows`."""
    x, radial, matrices = _contiguous(x), radial.contiguous(), matrices.contiguous()
    table = _tables(paths, radial.device)
    n_paths, n_channels = radial.shape[1:]
    found = radial.new_empty(len(begins) - 1, table.rows, n_channels)
    block = min(triton.next_power_of_2(n_channels), _CHANNELS_AT_ONCE)
    grid = (len(found), n_paths, triton.cdiv(n_channels, block))
    _sum[grid](
        found, radial if x is None else x, radial, matrices, begins, items, senders, radial_of, table.paths,
        1 if x is None else x.shape[1], n_paths, table.rows, matrices.shape[1], n_channels,
        HAS_X=x is not None, N1=table.n1, N3=triton.next_power_of_2(table.n3), C=block,
        UNROLLED=_UNROLLED, num_warps=1,
    )  # fmt: skip
    return found


def gradients(
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
    paths: tuple[int, ...],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Derivatives of sum(g A) with respect to x (empty without x), radial weights and matrices."""
    g, x, radial, matrices = g.contiguous(), _contiguous(x), radial.contiguous(), matrices.contiguous()
    table = _tables(paths, radial.device)
    n_paths, n_channels = radial.shape[1:]
    sizes = (1 if x is None else x.shape[1], n_paths, table.rows, matrices.shape[1], n_channels)
    d_radial, d_matrices = torch.zeros_like(radial), torch.zeros_like(matrices)
    whole = triton.next_power_of_2(n_channels)
    _to_pairs[(len(g), n_paths)](
        d_radial, d_matrices, g, radial if x is None else x, radial, matrices, begins, items, senders,
        radial_of, table.paths, *sizes,
        HAS_X=x is not None, N1=table.n1, N3=triton.next_power_of_2(table.n3), C=whole,
        num_warps=max(1, whole // 128),
    )  # fmt: skip
    if x is None:
        return radial.new_empty(0), d_radial, d_matrices
    d_x = torch.zeros_like(x)
    block = min(whole, _CHANNELS_AT_ONCE)
    _to_senders[(len(x), table.n_orders, triton.cdiv(n_channels, block))](
        d_x, g, radial, matrices, sent_begins, sent_items, row_of, radial_of,
        table.paths, table.orders, table.of_order, *sizes,
        N1=triton.next_power_of_2(table.n1), N3=table.n3, C=block, num_warps=1,
    )  # fmt: skip
    return d_x, d_radial, d_matrices


class _Tables:
    """Of paths (begin and number of components, begin and number of rows, begin of columns for each)."""

    def __init__(self, paths: tuple[int, ...], device: torch.device) -> None:
        each = [paths[n : n + 5] for n in range(0, len(paths), 5)]
        self.n1, self.n3 = max(path[1] for path in each), max(path[3] for path in each)
        self.rows = max(path[2] + path[3] for path in each)
        of_order: list[int] = []
        orders: list[int] = []
        for first, n1 in sorted({path[:2] for path in each}):
            begin = len(of_order)
            of_order += [n for n, path in enumerate(each) if path[0] == first]
            orders += [first, n1, begin, len(of_order)]
        self.n_orders = len(orders) // 4
        self.paths, self.orders, self.of_order = (
            torch.tensor(numbers, device=device) for numbers in (paths, orders, of_order)
        )


_tables = functools.cache(_Tables)  # on the device once, before anything is captured


def _contiguous(x: torch.Tensor | None) -> torch.Tensor | None:
    return None if x is None else x.contiguous()
