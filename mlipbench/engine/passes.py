"""The two passes through a layer, a group of atoms at a time.

What an atom does with its messages concerns no other atom, so a layer is one parallel loop each way: on the
way there an atom gathers from its neighbours' features and goes on to its own features in the next layer, on
the way back it gathers its neighbours' gradients and goes on to those of its messages in the layer below. The
last layer turns round at once. Threads meet once a layer and direction, and what lies between stays in the
cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import prange

from mlipbench.engine.jit import Kernel, inner
from mlipbench.engine.linear import LinearMap, add_linear
from mlipbench.engine.messages import Paths, receive, send_back
from mlipbench.engine.pairs import slope_of_sum, sum_of_pairs
from mlipbench.engine.polynomial import Polynomials, multiply, multiply_back
from mlipbench.engine.readout import Readout, read
from mlipbench.engine.splines import Splines


class Layer(NamedTuple):
    """One layer for the kernels. Maps without terms are none."""

    paths: Paths
    splines: Splines
    direct: bool  # A is m: `down` is in the splines
    down: LinearMap  # A -> m
    down_back: LinearMap
    dense: bool  # messages are divided by 1 + the density
    density: Splines
    product: Polynomials
    onward: LinearMap  # B -> next state
    onward_back: LinearMap
    passing: LinearMap  # state -> next state
    passing_back: LinearMap
    constant: Any  # (n_elements, rows channels) of the next state
    readout: Readout


class Fields(NamedTuple):
    """What a layer leaves for the way back, and scratch; flat, (n_atoms, rows, channels)."""

    state: Any  # features that enter
    stride: int  # length of an atom's features, 0 where all atoms have the same
    received: Any  # A, and dE/dA
    messages: Any  # m
    products: Any  # B, and dE/dB
    divisors: Any  # (n_atoms,) 1 + density
    back: Any  # dE/dm
    scalars: Any  # (n_atoms, channels) gradient of the readout
    gradient: Any  # dE/d(state)


@inner
def _clear(groups, group, array, size):  # type: ignore[no-untyped-def]
    for n in range(groups.size[group]):
        begin = groups.atoms[group, n] * size
        for k in range(begin, begin + size):
            array[k] = 0.0


@inner
def _forward(groups, group, geometry, harmonics, layer, fields, following, energies):  # type: ignore[no-untyped-def]
    channels, species = layer.splines.channels, groups.species[group]
    rows, width = layer.onward.rows_out * channels, layer.product.width * channels
    into = fields.messages if layer.direct else fields.received
    for n in range(groups.size[group]):
        atom = groups.atoms[group, n]
        receive(atom, geometry, harmonics, layer.paths, layer.splines, fields.state, fields.stride, into)
    if not layer.direct:
        _clear(groups, group, fields.messages, width)
        add_linear(groups, group, layer.down, fields.received, fields.messages)
    for n in range(groups.size[group]):
        atom = groups.atoms[group, n]
        if layer.dense:
            fields.divisors[atom] = 1.0 + sum_of_pairs(atom, geometry, layer.density, False)
            for k in range(atom * width, (atom + 1) * width):
                fields.messages[k] /= fields.divisors[atom]
        multiply(atom, geometry.species, layer.product, fields.messages, fields.products)
        for k in range(rows):
            following[atom * rows + k] = layer.constant[species, k]
    if fields.stride:
        add_linear(groups, group, layer.passing, fields.state, following)
    add_linear(groups, group, layer.onward, fields.products, following)
    _clear(groups, group, fields.scalars, channels)
    for n in range(groups.size[group]):
        atom = groups.atoms[group, n]
        energies[atom] += read(layer.readout, following, atom * rows, fields.scalars, atom * channels)


@inner
def _backward(groups, group, geometry, harmonics, fields, following, paths, splines, passing_back, slopes):  # type: ignore[no-untyped-def]
    """From the gradients of A, and of the state after the layer, to those of its features."""
    for n in range(groups.size[group]):
        send_back(
            groups.atoms[group, n], geometry, harmonics, paths, splines, fields.state, fields.stride,
            fields.received, fields.gradient, slopes,
        )  # fmt: skip
    if fields.stride:
        add_linear(groups, group, passing_back, following, fields.gradient)


@inner
def _add_scalars(groups, group, layer, fields, gradient):  # type: ignore[no-untyped-def]
    """To the gradients of the state after a layer those of its readout."""
    channels = layer.splines.channels
    for n in range(groups.size[group]):
        begin, scalars = groups.atoms[group, n] * layer.onward.rows_out, groups.atoms[group, n]
        for k in range(channels):
            gradient[begin * channels + k] += fields.scalars[scalars * channels + k]


@inner
def _to_messages(groups, group, geometry, layer, fields, following, slopes):  # type: ignore[no-untyped-def]
    """From the gradients of the next state to dE/dA."""
    channels = layer.splines.channels
    width = layer.product.width * channels
    _clear(groups, group, fields.products, layer.onward.rows_in * channels)
    add_linear(groups, group, layer.onward_back, following, fields.products)
    back = fields.received if layer.direct else fields.back
    for n in range(groups.size[group]):
        atom = groups.atoms[group, n]
        multiply_back(atom, geometry.species, layer.product, fields.messages, fields.products, back)
        if layer.dense:
            total = 0.0
            for k in range(atom * width, (atom + 1) * width):
                total -= fields.messages[k] * back[k]
                back[k] /= fields.divisors[atom]
            slope_of_sum(atom, geometry, layer.density, False, total / fields.divisors[atom], slopes)
    if not layer.direct:
        _clear(groups, group, fields.received, layer.down.rows_in * channels)
        add_linear(groups, group, layer.down_back, fields.back, fields.received)


# numba hands no tuple of tuples to the threads: kernels take a layer apart, each group puts it together.


@Kernel
def forward(  # type: ignore[no-untyped-def]
    groups, geometry, harmonics, fields, following, energies, turn, slopes,
    paths, splines, direct, down, down_back, dense, density, product, onward, onward_back, passing,
    passing_back, constant, readout,
):  # fmt: skip
    """From a layer's features to the next state, `following`; energies of atoms are added. `turn`: the
    layer is the last one, and the gradients of its A are wanted. The rest is `Layer`."""
    for group in prange(len(groups.species)):
        layer = Layer(
            paths, splines, direct, down, down_back, dense, density, product, onward, onward_back, passing,
            passing_back, constant, readout,
        )  # fmt: skip
        _forward(groups, group, geometry, harmonics, layer, fields, following, energies)
        if turn:
            _to_messages(groups, group, geometry, layer, fields, fields.scalars, slopes)


@Kernel
def backward(  # type: ignore[no-untyped-def]
    groups, geometry, harmonics, fields, following, paths_above, splines_above, passing_above, fields_below,
    slopes,
    paths, splines, direct, down, down_back, dense, density, product, onward, onward_back, passing,
    passing_back, constant, readout,
):  # fmt: skip
    """From the gradients of a layer's A, and of the state after it, to those of its features, and on to
    those of A in the layer below, unless this is the first. To `slopes` (n_pairs, 3) those of the pairs'
    vectors are added. The rest is the `Layer` below."""
    for group in prange(len(groups.species)):
        _backward(
            groups, group, geometry, harmonics, fields, following, paths_above, splines_above, passing_above,
            slopes,
        )  # fmt: skip
        if fields.stride:
            layer = Layer(
                paths, splines, direct, down, down_back, dense, density, product, onward, onward_back,
                passing, passing_back, constant, readout,
            )  # fmt: skip
            _add_scalars(groups, group, layer, fields_below, fields.gradient)
            _to_messages(groups, group, geometry, layer, fields_below, fields.gradient, slopes)
