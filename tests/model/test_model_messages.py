"""The sum over neighbours and the perceptron, whose derivatives are written by hand.

Oracles: the formulas as one einsum over pairs, differentiated by torch; finite differences (gradcheck,
gradgradcheck: 1e-6 or so, a wrong factor or a forgotten term is of order 1).
"""

import functools

import numpy as np
import pytest
import torch
from networks import architecture, crystal, ethanol, graph, network, relative

from mlipbench.model import messages, mlp
from mlipbench.model.derivatives import predict
from mlipbench.model.graph import _ragged, graph_of_pairs
from mlipbench.model.interaction import Edges, _coupling, paths
from mlipbench.model.irreps import spherical_harmonics, wigner_3j
from mlipbench.model.messages import Path, Pattern, sum_neighbours

SHAPES = [
    {"max_ell": 1},
    {"hidden_irreps": "3x0e+3x1o+3x2e", "max_ell": 3},
    {"cutoff_acts_on": "weights", "interaction": "density_residual"},
    {"radial_mlp": ()},
]


@pytest.fixture
def few_at_once(monkeypatch):
    """Several parts also where arrays are small."""
    monkeypatch.setitem(messages.NUMBERS_AT_ONCE, "cpu", 24)
    monkeypatch.setitem(mlp.ROWS_AT_ONCE, "cpu", 3)


def pattern(orders, max_ell):
    """Five receivers, one of them without pairs; four senders; pairs that share radial weights."""
    placed, coupling = _coupling(paths(orders, max_ell), orders, max_ell)
    receivers = np.array([3, 0, 0, 1, 4, 0, 3, 1, 0])
    senders = torch.tensor([0, 1, 2, 3, 0, 1, 1, 2, 0])
    return Pattern(
        placed, coupling, _ragged(receivers, 5), senders, torch.tensor([0, 1, 2, 2, 3, 4, 1, 0, 3])
    )


def draws(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes
    ]


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize(("orders", "max_ell"), [((0,), 1), ((0, 1), 1), ((0, 1), 2), ((1, 2), 2)])
def test_derivatives_of_the_sum(orders, max_ell):
    p = pattern(orders, max_ell)
    n_components = sum(2 * order + 1 for order in orders)
    arguments = draws((4, n_components, 2), (5, len(p.paths), 2), (9, (max_ell + 1) ** 2))
    function = functools.partial(sum_neighbours, pattern=p)
    assert torch.autograd.gradcheck(function, arguments)
    assert torch.autograd.gradgradcheck(function, arguments, fast_mode=True)


@pytest.mark.usefixtures("few_at_once")
def test_derivatives_of_the_sum_without_features():
    whole = Path(0, slice(0, 1), slice(0, 4), slice(0, 4))
    p = pattern((0,), 1)
    p = Pattern([whole], torch.eye(4, dtype=torch.float64), p.receivers, p.senders, p.radial)
    radial, harmonics, x = draws((5, 1, 3), (9, 4), (4, 1, 3))
    function = functools.partial(sum_neighbours, None, pattern=p)
    assert torch.autograd.gradcheck(function, (radial, harmonics))
    assert torch.autograd.gradgradcheck(function, (radial, harmonics))
    with_ones = sum_neighbours(torch.ones_like(x), radial, harmonics, p)
    assert torch.equal(function(radial, harmonics), with_ones)


@pytest.mark.usefixtures("few_at_once")
def test_derivatives_of_the_perceptron():
    net = mlp.MLP((3, 4, 5, 2), 1.7, torch.Generator().manual_seed(1))
    (x,) = draws((7, 3))

    def function(x, *weights):
        return torch.func.functional_call(net, dict(zip(names, weights, strict=True)), x)

    names, weights = zip(*net.named_parameters(), strict=True)
    assert torch.autograd.gradcheck(function, (x, *weights))
    assert torch.autograd.gradgradcheck(function, (x, *weights))
    y = x
    for n, weight in enumerate(weights):
        y = (1.7 * torch.nn.functional.silu(y) if n else y) @ weight / len(weight) ** 0.5
    assert relative(net(x).detach(), y.detach()) < 1e-14


def edges_of(net, g):
    """What `Network.forward` makes of the pairs."""
    distances = torch.linalg.vector_norm(g.vectors, dim=1, keepdim=True)[g.distance_pairs]
    receiving, sending = (g.species[atoms[g.distance_pairs]] for atoms in (g.receivers, g.senders))
    basis, cutoff = net.basis(distances, receiving, sending)
    on_basis = net.architecture.cutoff_acts_on == "basis"
    harmonics = spherical_harmonics(g.vectors / distances[g.distance_of], net.architecture.max_ell)
    return Edges(harmonics, basis * cutoff if on_basis else basis, None if on_basis else cutoff)


def by_einsum(interaction, x, edges, g, orders):
    """A as it is defined, path by path, with everything on pairs."""
    radial = interaction.radial(edges.basis)
    radial = (radial if edges.cutoff is None else radial * edges.cutoff)[g.distance_of]
    h = interaction.up(x)[g.senders]
    max_ell = round(edges.harmonics.shape[1] ** 0.5) - 1
    radial = radial.unflatten(1, (-1, h.shape[2]))
    begins = dict(zip(orders, np.cumsum([0] + [2 * order + 1 for order in orders]).tolist(), strict=False))
    rows = []
    for number, (l1, l2, l3) in enumerate(paths(orders, max_ell)):
        symbol = (2 * l3 + 1) ** 0.5 * wigner_3j(l1, l2, l3)
        mine = h[:, begins[l1] : begins[l1] + 2 * l1 + 1]
        y = edges.harmonics[:, l2 * l2 : (l2 + 1) ** 2]
        rows.append(torch.einsum("ijk,eic,ej,ec->ekc", symbol, mine, y, radial[:, number]))
    pairs = torch.cat(rows, dim=1)
    return pairs.new_zeros(len(x), *pairs.shape[1:]).index_add(0, g.receivers, pairs)


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_are_those_of_the_formula(shape, layer):
    # The same numbers in another order: rounding. First derivatives by weights, second by vectors too.
    net = network(**shape)
    g = graph([crystal(), ethanol()], net.architecture)
    orders = net.architecture.hidden_orders if layer else (0,)
    interaction = net.interactions[layer]
    found = []
    for sum_up in (None, by_einsum):
        vectors = g.vectors.clone().requires_grad_()
        moving = type(g)(**vars(g) | {"vectors": vectors})
        edges = edges_of(net, moving)
        (x,) = draws((len(net.embedding) if layer == 0 else g.n_atoms, sum(2 * o + 1 for o in orders), 4))
        x = x[:, :, : net.architecture.channels]
        x = x[moving.species] if layer == 0 else x  # the first layer sees elements alone
        if sum_up is not None:
            a = sum_up(interaction, x, edges, moving, orders)
        elif layer == 0:
            a = interaction._gather_first(x, edges, moving)
        else:
            a = interaction._gather(x, edges, moving)
        (slope,) = torch.autograd.grad(a.sin().sum(), vectors, create_graph=True)
        forces = torch.zeros(g.n_atoms, 3, dtype=torch.float64).index_add(0, g.senders, slope)
        forces = forces.index_add(0, g.receivers, -slope)
        weights = [interaction.up.weights[0], *interaction.radial.weights]
        second = torch.autograd.grad(forces.sin().sum(), weights)
        found.append([a.detach(), forces.detach(), *second])
    for ours, expected in zip(*found, strict=True):
        assert relative(ours, expected) < 1e-12


def test_both_directions_share_a_distance():
    g = graph([crystal(), ethanol()], architecture())
    assert len(g.distance_pairs) == len(g.vectors) / 2
    one = g.distance_pairs[g.distance_of]
    same = (g.receivers[one] == g.receivers) & (g.senders[one] == g.senders)
    sign = torch.where(torch.arange(len(one)) == one, 1.0, -1.0).double()
    assert torch.equal(g.vectors[one] * sign[:, None], g.vectors)
    assert torch.equal(g.receivers[one] + g.senders[one], g.receivers + g.senders)
    assert same.sum() > len(one) / 2  # some atoms see images of themselves


def test_a_pair_that_is_listed_in_one_direction_has_its_own_distance():
    receivers, senders = np.array([0, 0, 1]), np.array([1, 1, 0])
    vectors = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, -2.0, 0.0]])
    g = graph_of_pairs(np.array([0, 0]), receivers, senders, vectors, np.array([0, 0]), np.zeros(1))
    lengths = torch.linalg.vector_norm(g.vectors[g.distance_pairs], dim=1)[g.distance_of]
    assert torch.equal(lengths, torch.linalg.vector_norm(g.vectors, dim=1))


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_parts_hold_every_item_once(at_once):
    row_of = np.array([2, 2, 0, 5, 2, 0, 5, 5, 5, 1])
    found = {}
    for rows, items in _ragged(row_of, 7).parts(at_once):
        for row, mine in zip(rows.tolist(), items.tolist(), strict=True):
            assert row not in found
            found[row] = sorted(item for item in mine if item >= 0)
    assert found == {row: np.flatnonzero(row_of == row).tolist() for row in np.unique(row_of).tolist()}


@pytest.mark.usefixtures("few_at_once")
def test_parts_do_not_change_the_answer(monkeypatch):
    def gradients():
        net = network()
        found = predict(net, graph([crystal(), ethanol()], net.architecture), differentiable=True)
        (found.energies.square().sum() + found.forces.square().sum()).backward()
        return [p.grad for p in net.parameters()]

    few = gradients()
    monkeypatch.setitem(messages.NUMBERS_AT_ONCE, "cpu", 2**20)
    monkeypatch.setitem(mlp.ROWS_AT_ONCE, "cpu", 2**20)
    for a, b in zip(few, gradients(), strict=True):
        assert relative(a, b) < 1e-12
