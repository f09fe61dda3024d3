"""From the layers of the network in torch to the data of the kernels: linear maps fused, functions of the
distance tabulated.

A layer takes features h to messages m, and by the product B on to the next layer's features:

    A = sum over neighbours,   m = A down,   B = polynomials of m,   x' = B linear + x residual,   h' = x' up

down contains the divisor and the element's mixing, h' is had from B and x at once, and of x' only those
orders are kept that something else than `up` needs. In the first layer x depends on the element alone:
up, down and mixing go into the splines, which yield m, and the residual becomes a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mlipbench.core.structure import FloatArray
from mlipbench.engine.lanes import LANES
from mlipbench.engine.linear import LinearMap, Term, linear_map, transposed
from mlipbench.engine.messages import Paths, paths_of
from mlipbench.engine.passes import Layer
from mlipbench.engine.polynomial import Polynomials, polynomials_of
from mlipbench.engine.readout import Readout
from mlipbench.engine.splines import RadialFunction, Splines, Table, joined, no_splines, tabulate
from mlipbench.model.interaction import Interaction, paths
from mlipbench.model.irreps import components
from mlipbench.model.linear import ElementLinear, Linear
from mlipbench.model.mlp import MLP
from mlipbench.model.network import Network
from mlipbench.model.product import Contraction, Product, monomials


@dataclass(frozen=True)
class Settings:
    """How a network is compiled."""

    elements: tuple[int, ...]  # which of the network's elements, as their numbers in it
    dtype: str
    radial_error: float  # of radial weights' slopes, relative
    pair_error: float  # of other slopes: of densities in 1/A, of r times the repulsion in eV


@dataclass(frozen=True, eq=False)
class State:
    """Where the rows of the features that one layer hands to the next are."""

    kept: dict[int, int]  # order -> first row of x
    sent: dict[int, int]  # order -> first row of h
    rows: int


def compiled_layers(network: Network, settings: Settings) -> list[Layer]:
    """All layers; they know `settings.elements` alone."""
    n_layers = network.architecture.num_layers
    states = [_state(network, n) for n in range(n_layers + 1)]
    return [_layer(network, n, states[n], states[n + 1], settings) for n in range(n_layers)]


def compiled_repulsion(network: Network, settings: Settings) -> Splines | None:
    """r times half the repulsion of a pair, if there is one."""
    if network.repulsion is None:
        return None
    repulsion = network.repulsion

    def make(receiving: int, sending: int) -> Table:
        species = torch.tensor([receiving, sending])

        def function(r: torch.Tensor) -> torch.Tensor:
            return r * repulsion.of_pairs(r[:, 0], species[:1], species[1:])[:, None]

        reach = float(repulsion.radii[receiving] + repulsion.radii[sending])
        end = min(reach, network.architecture.r_max)
        return tabulate(function, end, settings.pair_error, False, "repulsion")

    return _tables(settings, make, True, True, True, 1, 1, "float64")


def padded(channels: int) -> int:
    """Channels in whole LANES."""
    return -(-channels // LANES) * LANES


def _state(network: Network, layer: int) -> State:
    """What enters a layer: scalars for a readout, what the residual maps, and h."""
    architecture = network.architecture
    if layer == 0:
        return State({}, {0: 0}, 1)
    if layer == architecture.num_layers:
        return State({0: 0}, {}, 1)
    interaction = _interaction(network, layer)
    passed = architecture.orders_after(layer) if interaction.residual is not None else ()
    kept = (0, *(order for order in architecture.hidden_orders if order and order in passed))
    sent = tuple(sorted({path[0] for path in paths(architecture.hidden_orders, architecture.max_ell)}))
    rows = components((*kept, *sent))
    return State(
        {order: part.start for order, part in zip(kept, rows, strict=False)},
        {order: part.start for order, part in zip(sent, rows[len(kept) :], strict=True)},
        rows[-1].stop,
    )


def _layer(network: Network, number: int, before: State, after: State, settings: Settings) -> Layer:
    architecture, interaction = network.architecture, _interaction(network, number)
    all_paths = paths(architecture.hidden_orders if number else (0,), architecture.max_ell)
    connected = paths_of(all_paths, before.sent, before.rows)
    product: Product = network.products[number]  # type: ignore[assignment]
    readout: MLP = network.readouts[number]  # type: ignore[assignment]
    constant, passing = _residual(network, number, before, after, settings)
    down = _down(network, number, connected, all_paths, settings) if number else []
    orders = architecture.orders_after(number)
    n_products, width = sum(2 * order + 1 for order in orders), (architecture.max_ell + 1) ** 2
    onward = _onward(network, number, after, orders)
    channels = padded(architecture.channels)
    there, back = _both(down, connected.n_rows, width, channels, settings)
    ahead, behind = _both(onward, n_products, after.rows, channels, settings)
    past, returning = _both(passing, before.rows, after.rows, channels, settings)
    dense = interaction.density
    return Layer(
        paths=connected,
        splines=_radial_splines(network, number, len(all_paths), settings),
        direct=not number,
        down=there,
        down_back=back,
        dense=dense is not None,
        density=no_splines() if dense is None else _density(network, dense, settings),
        product=_product(product, architecture.max_ell, orders, settings),
        onward=ahead,
        onward_back=behind,
        passing=past,
        passing_back=returning,
        constant=constant,
        readout=_readout(readout, settings.dtype),
    )


def _onward(
    network: Network, number: int, after: State, orders: Sequence[int]
) -> list[tuple[range, range, torch.Tensor]]:
    """B -> next state."""
    product: Product = network.products[number]  # type: ignore[assignment]
    where = dict(zip(orders, components(tuple(orders)), strict=True))
    straight, up = _by_order(product.linear, orders), _next_up(network, number)
    kept = [(_rows(row, o), _rows(where[o].start, o), straight[o]) for o, row in after.kept.items()]
    sent = [(_rows(row, o), _rows(where[o].start, o), straight[o] @ up[o]) for o, row in after.sent.items()]
    return kept + sent


def _interaction(network: Network, layer: int) -> Interaction:
    return network.interactions[layer]  # type: ignore[return-value]


# --- linear maps: tensors (n_elements or 1, channels, channels) by order ---------------------------------


def _by_order(linear: Linear | ElementLinear, orders: Sequence[int]) -> dict[int, torch.Tensor]:
    """Weights with their normalisation."""
    weights = [linear.scale * weight for weight in linear.weights]
    return {o: w if w.dim() == 3 else w[None] for o, w in zip(orders, weights, strict=False)}


def _next_up(network: Network, number: int) -> dict[int, torch.Tensor]:
    """Those that the next layer's features take before they are sent."""
    if number + 1 == network.architecture.num_layers:
        return {}
    return _by_order(_interaction(network, number + 1).up, network.architecture.hidden_orders)


def _mixed_down(network: Network, number: int, order: int) -> torch.Tensor:
    """(n_paths, n_elements or 1, channels, channels) of the paths that lead to an order."""
    interaction = _interaction(network, number)
    weight = interaction.down[order]
    divisor = 1.0 if interaction.density is not None else interaction.neighbours
    mixed: torch.Tensor = (weight * ((weight.shape[0] * weight.shape[1]) ** -0.5 / divisor))[:, None]
    if interaction.mixing is not None:
        mixed = mixed @ _by_order(interaction.mixing, interaction.messages)[order]
    return mixed


def _down(
    network: Network, number: int, connected: Paths, all_paths: list[tuple[int, int, int]], settings: Settings
) -> list[tuple[range, range, torch.Tensor]]:
    """A -> m."""
    terms = []
    for order in _interaction(network, number).messages:
        leading = [n for n, path in enumerate(all_paths) if path[2] == order]
        for n, weight in zip(leading, _mixed_down(network, number, order), strict=True):
            terms.append((_rows(order * order, order), _rows(int(connected.row[n]), order), weight))
    return terms


def _residual(
    network: Network, number: int, before: State, after: State, settings: Settings
) -> tuple[FloatArray, list[tuple[range, range, torch.Tensor]]]:
    """What passes the interaction by: of the first layer a constant (n_elements, rows channels), of others
    a map of the state."""
    residual, up = _interaction(network, number).residual, _next_up(network, number)
    channels = network.architecture.channels
    constant = np.zeros((len(settings.elements), after.rows, padded(channels)))
    flat = constant.reshape(len(constant), -1)
    if residual is None:
        return flat, []
    orders = network.architecture.hidden_orders if number else (0,)
    shared = [order for order in orders if order in network.architecture.orders_after(number)]
    weights = _by_order(residual, shared)
    out = [(after.kept[o], o, weights[o]) for o in shared if o in after.kept]
    out += [(after.sent[o], o, weights[o] @ up[o]) for o in shared if o in after.sent]
    if number:
        return flat, [(_rows(row, o), _rows(before.kept[o], o), weight) for row, o, weight in out]
    x = network.embedding * len(network.embedding) ** -0.5
    for row, _, weight in out:
        values = (x[:, None] @ weight)[list(settings.elements), 0]
        constant[:, row, :channels] = values.numpy()
    return flat, []


def _rows(first: int, order: int) -> range:
    return range(first, first + 2 * order + 1)


def _both(
    terms: Sequence[tuple[range, range, torch.Tensor]],
    rows_in: int,
    rows_out: int,
    channels: int,
    settings: Settings,
) -> tuple[LinearMap, LinearMap]:
    """The map and the way back, for the elements at hand, with channels padded."""
    there: list[Term] = []
    for out, into, weight in terms:
        used = weight[list(settings.elements)] if len(weight) > 1 else weight
        more = channels - weight.shape[-1]
        there.append((out, into, np.pad(used.numpy(), ((0, 0), (0, more), (0, more)))))
    return (
        linear_map(there, rows_in, rows_out, channels, settings.dtype),
        linear_map(transposed(there), rows_out, rows_in, channels, settings.dtype),
    )


# --- products and readouts --------------------------------------------------------------------------------


def _product(product: Product, max_ell: int, orders: Sequence[int], settings: Settings) -> Polynomials:
    contributions = []
    contractions: list[Contraction] = list(product.contractions)  # type: ignore[arg-type]
    for order, part, contraction in zip(orders, components(tuple(orders)), contractions, strict=True):
        found = []
        for power, weight in zip(contraction.powers, contraction.weights, strict=True):
            indices, coefficients = monomials(max_ell, power, order)
            used = weight[list(settings.elements)].numpy()
            values = np.einsum("epc,pmn->emnc", used, coefficients)
            more = padded(used.shape[2]) - used.shape[2]
            found.append((indices, np.pad(values, ((0, 0), (0, 0), (0, 0), (0, more)))))
        contributions.append((part.start, found))
    rows = sum(2 * order + 1 for order in orders)
    return polynomials_of(contributions, (max_ell + 1) ** 2, rows, settings.dtype)


def _readout(mlp: MLP, dtype: str) -> Readout:
    weights = [(w * len(w) ** -0.5).numpy() for w in mlp.weights]
    more = padded(len(weights[0])) - len(weights[0])
    first = np.pad(weights[0], ((0, more), (0, 0))).astype(dtype)
    if len(weights) == 1:
        return Readout(np.zeros((len(first), 0), dtype), first[:, 0].copy(), mlp.gain)
    return Readout(first, weights[1][:, 0].astype(dtype), mlp.gain)


# --- functions of the distance ----------------------------------------------------------------------------


def _radial_splines(network: Network, number: int, n_paths: int, settings: Settings) -> Splines:
    """R of all paths and channels; in the first layer of what arrives in m."""
    interaction, channels = _interaction(network, number), network.architecture.channels
    transformed, more = network.basis.transform is not None, padded(channels) - channels
    name = f"radial weights of layer {number + 1}"

    def make(receiving: int, sending: int) -> Table:
        weights = _on_basis(network, receiving, sending, lambda basis: _perceptron(interaction.radial, basis))
        embedding = network.embedding[sending] * len(network.embedding) ** -0.5
        (up,) = _by_order(interaction.up, (0,))[0] if number == 0 else (None,)
        downs = [_mixed_down(network, 0, order)[0] for order in interaction.messages] if number == 0 else []

        def function(r: torch.Tensor) -> torch.Tensor:
            radial = weights(r).reshape(len(r), n_paths, channels)
            if number == 0:
                sent = radial * (embedding @ up)
                maps = torch.stack([down[receiving if len(down) > 1 else 0] for down in downs])
                radial = torch.einsum("npc,pcd->npd", sent, maps)
            return torch.nn.functional.pad(radial, (0, more)).flatten(1)

        return tabulate(function, network.architecture.r_max, settings.radial_error, True, name)

    by_receiver = transformed or (number == 0 and interaction.mixing is not None)
    by_sender, symmetric = transformed or number == 0, number > 0
    return _tables(
        settings, make, by_receiver, by_sender, symmetric, n_paths, channels + more, settings.dtype
    )


def _density(network: Network, density: MLP, settings: Settings) -> Splines:
    transformed = network.basis.transform is not None

    def make(receiving: int, sending: int) -> Table:
        def near(basis: torch.Tensor) -> torch.Tensor:
            return torch.tanh(_perceptron(density, basis) ** 2)

        function = _on_basis(network, receiving, sending, near)
        return tabulate(function, network.architecture.r_max, settings.pair_error, False, "density")

    return _tables(settings, make, transformed, transformed, True, 1, 1, "float64")


def _tables(
    settings: Settings,
    make: Callable[[int, int], Table],
    by_receiver: bool,
    by_sender: bool,
    symmetric: bool,
    n_paths: int,
    channels: int,
    dtype: str,
) -> Splines:
    """A table for each pair of elements that needs one of its own."""
    numbers: dict[tuple[int, int], int] = {}
    tables: list[Table] = []
    of_pair = np.zeros((len(settings.elements), len(settings.elements)), np.int64)
    for i, receiving in enumerate(settings.elements):
        for j, sending in enumerate(settings.elements):
            key = (receiving if by_receiver else -1, sending if by_sender else -1)
            key = (min(key), max(key)) if symmetric else key
            if key not in numbers:
                numbers[key] = len(tables)
                tables.append(make(receiving, sending))
            of_pair[i, j] = numbers[key]
    return joined(tables, of_pair, n_paths, channels, dtype)


def _on_basis(
    network: Network, receiving: int, sending: int, function: Callable[[torch.Tensor], torch.Tensor]
) -> RadialFunction:
    """A function of the Bessel functions as one of the distance, for a pair of elements."""
    inside = network.architecture.cutoff_acts_on == "basis"

    def of_distance(r: torch.Tensor) -> torch.Tensor:
        basis, cutoff = network.basis(r, torch.tensor([receiving]), torch.tensor([sending]))
        return function(basis * cutoff) if inside else function(basis) * cutoff

    return of_distance


def _perceptron(mlp: MLP, x: torch.Tensor) -> torch.Tensor:
    """The MLP of plain operations, which have derivatives of all orders; its own has those of training."""
    for number, weight in enumerate(mlp.weights):
        if number:
            x = mlp.gain * x * torch.sigmoid(x)
        x = x @ (weight * len(weight) ** -0.5)
    return x
