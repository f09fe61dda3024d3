"""The sum over neighbours, with its first and second derivatives written by hand.

    A[i, row, c] = sum_{e to i} sum_{m1} M[e, row, m1] R[e, path(row), c] x[sender(e), m1, c]
    M[e, row, m1] = sum_{lm} Y[e, lm] coupling[lm, (row, m1)]

T = sum(g A) is linear in each of g, x, R and Y. Its derivative with respect to one of them is a sum of the
same kind over the others, and so are the second derivatives, which training on forces needs. For one atom
and one path, with Z[(m1, e), c] = R x, all are products of matrices:

    A = M Z,    dT/dM = g Z^T,    dT/dZ = M^T g,    and from the last dT/dR and dT/dx.

They run over a few atoms at a time: what has neighbours as well as channels stays in the cache of a core,
and is computed again rather than kept. Memory goes with x, R, Y and A.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from mlipbench.model.graph import Ragged, Summing

NUMBERS_AT_ONCE = {"cpu": 2**18, "cuda": 2**26}
"""Of one temporary array: on a CPU, what the cache of a core holds."""

Tensors = list[torch.Tensor]  # one for each path


@dataclass(frozen=True)
class Path:
    """Features of order l1 and harmonics of order l2 that couple to order l3."""

    number: int  # of its radial weights
    components: slice  # 2 l1 + 1 of the features
    rows: slice  # 2 l3 + 1 of A
    columns: slice  # (2 l3 + 1) (2 l1 + 1) of the coupling


@dataclass(frozen=True, eq=False)
class Pattern:
    """What couples to what, and who the neighbours are: nothing to differentiate."""

    paths: Sequence[Path]  # by rising rows, together all of A
    coupling: torch.Tensor  # (lm, columns)
    receivers: Ragged | Summing  # the pairs of each receiver
    senders: torch.Tensor  # (n_pairs,) row of x
    radial: torch.Tensor  # (n_pairs,) row of R
    parts: list[_Part] = field(default_factory=list, init=False)  # see `_parts`

    @property
    def rows(self) -> Ragged:
        """The receivers, where they do not sum in their own way."""
        if not isinstance(self.receivers, Ragged):
            raise TypeError(f"expected Ragged receivers, got {type(self.receivers).__name__}")
        return self.receivers


def sum_neighbours(
    x: torch.Tensor | None, radial: torch.Tensor, harmonics: torch.Tensor, pattern: Pattern
) -> torch.Tensor:
    """A (n_receivers, rows, channels), twice differentiable.

    Features x (any, components, channels), radial weights R (any, paths, channels), harmonics Y
    (n_pairs, lm). Without x, 1 stands in its place, and a path has one component.
    """
    if not isinstance(pattern.receivers, Ragged):
        return pattern.receivers.sum_neighbours(x, radial, harmonics, pattern)
    found: torch.Tensor = _Sum.apply(x, radial, harmonics, pattern)  # type: ignore[no-untyped-call]
    return found


class _Sum(torch.autograd.Function):
    """A."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor | None, radial: torch.Tensor, harmonics: torch.Tensor, pattern: Pattern
    ) -> torch.Tensor:
        ctx.save_for_backward(x, radial, harmonics)
        ctx.pattern = pattern
        a = radial.new_zeros(pattern.rows.n_rows, pattern.paths[-1].rows.stop, radial.shape[2])
        for part in _parts(pattern, radial):
            xs, rs, ms = part.features(x), part.weights(radial), part.matrices(harmonics)
            sums = [(m @ _times(r, x)).sum(0) for x, r, m in zip(xs, rs, ms, strict=True)]
            a.index_copy_(0, part.rows, torch.cat(sums, dim=1))
        return a

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        g = gradients[0]
        return *_Gradient.apply(g, *ctx.saved_tensors, ctx.pattern), None  # type: ignore[no-untyped-call]


class _Gradient(torch.autograd.Function):
    """dT/dx, dT/dR and dT/dY."""

    @staticmethod
    def forward(
        ctx: Any,
        g: torch.Tensor,
        x: torch.Tensor | None,
        radial: torch.Tensor,
        harmonics: torch.Tensor,
        pattern: Pattern,
    ) -> tuple[torch.Tensor | None, ...]:
        ctx.save_for_backward(g, x, radial, harmonics)
        ctx.pattern = pattern
        dx = None if x is None else torch.zeros_like(x, memory_format=torch.contiguous_format)
        totals = (
            dx,
            torch.zeros_like(radial, memory_format=torch.contiguous_format),
            torch.zeros_like(harmonics),
        )
        for part in _parts(pattern, radial):
            xs, rs, ms = part.features(x), part.weights(radial), part.matrices(harmonics)
            gs, out = part.received(g), _Share(part, x, radial)
            for n in range(len(pattern.paths)):
                dz = ms[n].mT @ gs[n]
                out.add_x(n, (dz, rs[n]))
                _dot(out.radial[n], (dz, xs[n]))
                out.matrices[n].copy_(part.by_pair(gs[n] @ _times(rs[n], xs[n]).mT))
            out.add_to(*totals)
        return totals

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *v: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Derivatives of sum(v_x dT/dx + v_R dT/dR + v_Y dT/dY) with respect to g, x, R and Y."""
        g, x, radial, harmonics = ctx.saved_tensors
        dg = torch.zeros_like(g)
        dx = None if x is None else torch.zeros_like(x, memory_format=torch.contiguous_format)
        totals = (
            dx,
            torch.zeros_like(radial, memory_format=torch.contiguous_format),
            torch.zeros_like(harmonics),
        )
        for part in _parts(ctx.pattern, radial):
            xs, rs, ms = part.features(x), part.weights(radial), part.matrices(harmonics)
            vxs, vrs, vms = part.features(v[0]), part.weights(v[1]), part.matrices(v[2])
            gs, out, dgs = part.received(g), _Share(part, x, radial), []
            for n in range(len(ctx.pattern.paths)):
                dz, vdz = ms[n].mT @ gs[n], vms[n].mT @ gs[n]
                vz, from_vx = _times(vrs[n], xs[n]), []
                if (vx := vxs[n]) is not None:
                    vz.addcmul_(rs[n], vx)
                    from_vx = [(dz, vx)]
                dgs.append((vms[n] @ _times(rs[n], xs[n])).add_(ms[n] @ vz).sum(0))
                out.add_x(n, (dz, vrs[n]), (vdz, rs[n]))
                _dot(out.radial[n], (vdz, xs[n]), *from_vx)
                out.matrices[n].copy_(part.by_pair(gs[n] @ vz.mT))
            dg.index_copy_(0, part.rows, torch.cat(dgs, dim=1))
            out.add_to(*totals)
        return dg, *totals, None


class _Part:
    """Some receivers, a, and their pairs, n for each; a receiver with fewer is filled up with zeros.

    Components come first, so that a product of two arrays is one loop over all pairs and channels.
    """

    def __init__(self, pattern: Pattern, rows: torch.Tensor, pairs: torch.Tensor, dtype: torch.dtype) -> None:
        self.paths, self.coupling = pattern.paths, pattern.coupling
        self.rows, self.shape = rows, pairs.shape
        there = pairs >= 0
        self.there = there.to(dtype).reshape(-1, 1)
        self.pairs = (pairs * there).flatten()
        self._senders, self._radial = pattern.senders[self.pairs], pattern.radial[self.pairs]

    def features(self, x: torch.Tensor | None) -> Sequence[torch.Tensor | None]:
        """Of the senders, (2 l1 + 1, a, n, channels)."""
        if x is None:
            return [None] * len(self.paths)
        sent = x.flatten(0, 1).index_select(0, self.places(self._senders, x))
        sent = sent.reshape(x.shape[1], *self.shape, x.shape[2])
        return [sent[path.components] for path in self.paths]

    def weights(self, radial: torch.Tensor) -> Tensors:
        """Of the pairs, (1, a, n, channels)."""
        found = radial.flatten(0, 1).index_select(0, self.places(self._radial, radial))
        found = found.reshape(radial.shape[1], *self.shape, radial.shape[2])
        return [found[path.number, None] for path in self.paths]

    def matrices(self, harmonics: torch.Tensor) -> Tensors:
        """M (2 l1 + 1, a, 2 l3 + 1, n)."""
        found = (harmonics[self.pairs] * self.there) @ self.coupling
        matrices = []
        for path in self.paths:
            split = found[:, path.columns].reshape(*self.shape, path.rows.stop - path.rows.start, -1)
            matrices.append(split.permute(3, 0, 2, 1).contiguous())
        return matrices

    def received(self, g: torch.Tensor) -> Tensors:
        """Rows of the receivers, (a, 2 l3 + 1, channels)."""
        found = g[self.rows]
        return [found[:, path.rows] for path in self.paths]

    def by_pair(self, matrix: torch.Tensor) -> torch.Tensor:
        """M of a path -> its columns of the coupling, (a n, columns)."""
        return matrix.permute(1, 3, 2, 0).flatten(2).flatten(0, 1)

    def add_to(self, total: torch.Tensor, share: torch.Tensor, of_senders: bool) -> None:
        """Add (components, a, n, channels) where it was taken from."""
        places = self.places(self._senders if of_senders else self._radial, total)
        total.view(-1, total.shape[2]).index_add_(0, places, share.flatten(0, 2))

    @staticmethod
    def places(index: torch.Tensor, array: torch.Tensor) -> torch.Tensor:
        """Rows `index` of (rows, components, channels) as rows of channels, component after component."""
        component = torch.arange(array.shape[1], device=index.device)
        return (index * array.shape[1] + component[:, None]).flatten()


class _Share:
    """What a part adds to the derivatives with respect to x, R and Y."""

    def __init__(self, part: _Part, x: torch.Tensor | None, radial: torch.Tensor) -> None:
        self._part = part
        self._x = None if x is None else x.new_zeros(x.shape[1], *part.shape, x.shape[2])
        self._radial = radial.new_empty(radial.shape[1], *part.shape, radial.shape[2])
        self._matrices = radial.new_empty(len(part.pairs), part.paths[-1].columns.stop)
        # views for each path: (a, n, channels) and (a n, columns)
        self.radial = [self._radial[path.number] for path in part.paths]
        self.matrices = [self._matrices[:, path.columns] for path in part.paths]

    def add_x(self, n: int, *factors: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Add products (2 l1 + 1, a, n, channels) for the features that path n begins with."""
        if self._x is not None:
            for a, b in factors:
                self._x[self._part.paths[n].components].addcmul_(a, b)

    def add_to(self, x: torch.Tensor | None, radial: torch.Tensor, harmonics: torch.Tensor) -> None:
        """Once all paths are done."""
        part = self._part
        if x is not None and self._x is not None:
            part.add_to(x, self._x, of_senders=True)
        part.add_to(radial, self._radial, of_senders=False)
        harmonics.index_add_(0, part.pairs, (self._matrices @ part.coupling.T) * part.there)


def _parts(pattern: Pattern, x: torch.Tensor) -> list[_Part]:
    """All receivers that have pairs; made once for all derivatives."""
    if not pattern.parts:
        widest = max(path.components.stop - path.components.start for path in pattern.paths) * x.shape[2]
        at_once = NUMBERS_AT_ONCE["cpu" if x.device.type == "cpu" else "cuda"] // widest
        pattern.parts.extend(_Part(pattern, *part, x.dtype) for part in pattern.rows.parts(at_once))
    return pattern.parts


def _dot(out: torch.Tensor, *factors: tuple[torch.Tensor, torch.Tensor | None]) -> None:
    """Products of the factors, (2 l1 + 1, a, n, channels), summed over components and pairs of factors."""
    filled = False
    for a, b in factors:
        for component in range(len(a)):
            if b is None:
                out.copy_(a[component])
            elif filled:
                out.addcmul_(a[component], b[component])
            else:
                torch.mul(a[component], b[component], out=out)
            filled = True


def _times(r: torch.Tensor, x: torch.Tensor | None) -> torch.Tensor:
    return r if x is None else r * x
