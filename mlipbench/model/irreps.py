"""Irreducible representations of O(3): what the network takes from e3nn, in one place.

Features are tensors (n, components, channels). The components are those of the orders l in
`orders`, one after the other, each with its 2l+1 real components in e3nn's order (for l = 1: x, y,
z), so that order l of a full set 0, 1, ..., l_max begins at component l^2. All parities are natural,
(-1)^l, as those of spherical harmonics.
"""

from __future__ import annotations

import functools
import importlib.metadata
import math
import warnings

import torch

with warnings.catch_warnings():
    # e3nn 0.4.4 compiles with torch.jit when it is imported, which torch calls deprecated since 2.10.
    warnings.simplefilter("ignore", DeprecationWarning)
    if importlib.metadata.version("e3nn").startswith("0.4."):
        torch.serialization.add_safe_globals([slice])  # its table of 3j symbols holds slices
    from e3nn import o3


@functools.cache
def wigner_3j(l1: int, l2: int, l3: int) -> torch.Tensor:
    """The 3j symbol of real spherical harmonics, (2 l1+1, 2 l2+1, 2 l3+1), float64; its squares sum to 1.

    The sign is the one with which it couples three harmonics of one direction to a positive number;
    where they couple to nothing (l1 + l2 + l3 odd), its first component is positive. Releases of
    e3nn differ in the sign of the latter.
    """
    symbol: torch.Tensor = o3.wigner_3j(l1, l2, l3, dtype=torch.float64)
    if (l1 + l2 + l3) % 2 == 0:
        middle = symbol[l1, l2, l3]  # along the polar axis all other components vanish
        return symbol if middle > 0 else -symbol
    first = symbol.flatten()[symbol.flatten().abs() > 1e-9][0]
    return symbol if first > 0 else -symbol


def spherical_harmonics(directions: torch.Tensor, l_max: int) -> torch.Tensor:
    """Real spherical harmonics up to l_max of unit vectors (n, 3): (n, (l_max + 1)^2), |Y_l|^2 = 2l + 1.

    By the recursion Y_{l+1} = c_l C(Y_l, Y_1) with the 3j symbol C. e3nn's own function is the oracle
    of the tests; it is compiled by torch.jit, which recompiles during the first calls.
    """
    orders = [torch.ones_like(directions[:, :1]), math.sqrt(3.0) * directions]
    for order in range(1, l_max):
        symbol = _raising(order, directions.dtype, directions.device)
        orders.append(torch.einsum("ni,nj,ijk->nk", orders[order], orders[1], symbol))
    return torch.cat(orders[: l_max + 1], dim=1)


@functools.cache
def _raising(order: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """c_l times the 3j symbol (l, 1, l+1) for l = order: what makes Y_{l+1} of Y_l and Y_1."""
    symbol = wigner_3j(order, 1, order + 1)
    # C(Y_l, Y_1) along the polar axis, where Y_l is sqrt(2l+1) in its middle component.
    polar = float(symbol[order, 1, order + 1]) * math.sqrt(3.0 * (2 * order + 1))
    return (symbol * (math.sqrt(2 * order + 3) / polar)).to(device, dtype)


def parse(irreps: str) -> tuple[int, tuple[int, ...]]:
    """Channels and orders of irreps such as `32x0e + 32x1o`; ValueError says what cannot be had."""
    try:
        parts: list[tuple[int, int, int]] = [(part.mul, part.ir.l, part.ir.p) for part in o3.Irreps(irreps)]
    except (ValueError, AssertionError, KeyError, IndexError) as error:
        raise ValueError(
            f"'{irreps}' are no irreps; write for instance 32x0e + 32x1o: channels x order and parity"
        ) from error
    orders = tuple(order for _, order, _ in parts)
    if not parts or orders[0] != 0 or list(orders) != sorted(set(orders)):
        raise ValueError(f"'{irreps}': begin with scalars (0e) and name each order once, in rising order")
    wrong = [f"{l1}{'e' if p > 0 else 'o'}" for _, l1, p in parts if p != (-1) ** l1]
    if wrong:
        raise ValueError(
            f"'{irreps}': {', '.join(wrong)} cannot be made of products of spherical harmonics of one "
            "channel; orders have the parity (-1)^l: 0e, 1o, 2e, 3o"
        )
    channels = {mul for mul, _, _ in parts}
    if len(channels) > 1 or channels == {0}:
        raise ValueError(f"'{irreps}': all orders need the same number of channels, got {sorted(channels)}")
    return channels.pop(), orders


def components(orders: tuple[int, ...]) -> list[slice]:
    """Where each of the orders has its components."""
    slices, begin = [], 0
    for order in orders:
        slices.append(slice(begin, begin + 2 * order + 1))
        begin += 2 * order + 1
    return slices
