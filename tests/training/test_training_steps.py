"""Losses, gradients, learning rates, the moving average: each against its formula or torch's own."""

import itertools
from dataclasses import replace

import networks
import numpy as np
import pytest
import torch
from sets import E0, frames

from mlipbench.model.derivatives import predict
from mlipbench.model.network import Network
from mlipbench.training.batches import FrameSet, order
from mlipbench.training.losses import LossFunction, Size
from mlipbench.training.optim import (
    LearningRate,
    MovingAverage,
    clip_gradients,
    make_optimizer,
    parameter_groups,
)

SHAPE = {"elements": (14,), "max_ell": 1, "correlation": 2, "hidden_irreps": "3x0e+3x1o"}


@pytest.fixture(scope="module")
def batch():
    labelled = frames(3)
    return FrameSet(labelled, {14: E0}, 4.0).batch([0, 1, 2]), labelled


def loss_of(network, batch, function, size=None):
    prediction = predict(network, batch.graph, True, True, differentiable=True)
    terms = function.terms(prediction, batch.targets, batch.graph, size or Size(3, 24))
    return terms, sum(terms.values())


def number(tensor):
    return float(tensor.detach())


ALL = {"energy_per_atom": 2.0, "forces": 30.0, "stress": 500.0}


def test_the_loss_is_the_formula_of_its_docstring(batch):
    """Evaluated frame by frame in numpy; a sum over the wrong axis or a wrong divisor shows at 1e-12."""
    joined, labelled = batch
    network = networks.network(**SHAPE)
    terms, _ = loss_of(network, joined, LossFunction(ALL))
    energy, force, stress = [], [], []
    for frame in labelled:
        answer = predict(network, FrameSet([frame], {14: E0}, 4.0).graph(0), True, True)
        energy.append((float(answer.energies.sum()) - frame.energy + 8 * E0) / 8)
        force.append(answer.forces.numpy() - frame.forces)
        stress.append(answer.stress.numpy()[0] - frame.stress)
    assert number(terms["energy_per_atom"]) == pytest.approx(2.0 * np.mean(np.square(energy)), rel=1e-12)
    assert number(terms["forces"]) == pytest.approx(30.0 * np.mean(np.square(force)), rel=1e-12)
    assert number(terms["stress"]) == pytest.approx(500.0 * np.mean(np.square(stress)), rel=1e-12)


def test_huber_is_quadratic_below_and_linear_above(batch):
    joined, _ = batch
    network = networks.network(**SHAPE)
    squares = loss_of(network, joined, LossFunction(ALL))[0]
    wide = loss_of(network, joined, LossFunction(ALL, "huber", 1e6))[0]
    for term in ALL:
        assert number(wide[term]) == pytest.approx(0.5 * number(squares[term]), rel=1e-12)
    delta = 1e-9
    narrow = loss_of(network, joined, LossFunction(ALL, "huber", delta))[0]["forces"]
    answer = predict(network, joined.graph, True, False)
    absolute = float((answer.forces - joined.targets.forces).abs().mean())
    assert number(narrow) == pytest.approx(30.0 * delta * absolute, rel=1e-6)


def test_gradients_of_the_loss_are_its_finite_differences(batch):
    """Central differences in random directions of the weights, step 1e-5: their error is of the order of
    1e-9; a loss that forgets the dependence of the forces on the weights is off by tens of per cent."""
    joined, _ = batch
    network = networks.network(**SHAPE)
    _, total = loss_of(network, joined, LossFunction(ALL))
    total.backward()
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in network.parameters()]
        slope = sum(float((p.grad * d).sum()) for p, d in zip(network.parameters(), directions, strict=True))
        values = []
        for sign in (1, -1):
            moved = Network(network.architecture, 1)
            with torch.no_grad():
                for p, q, d in zip(moved.parameters(), network.parameters(), directions, strict=True):
                    p.copy_(q + sign * 1e-5 * d)
            values.append(number(loss_of(moved, joined, LossFunction(ALL))[1]))
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(slope, rel=1e-6)


def test_parts_of_a_batch_add_up_to_the_whole(batch):
    """What several processes do: each takes some of the structures, divided by the size of the whole."""
    joined, labelled = batch
    network = networks.network(**SHAPE)
    _, whole = loss_of(network, joined, LossFunction(ALL))
    frame_set = FrameSet(labelled, {14: E0}, 4.0)
    parts = [loss_of(network, frame_set.batch(n), LossFunction(ALL), Size(3, 24))[1] for n in ([0], [2, 1])]
    assert number(sum(parts)) == pytest.approx(number(whole), rel=1e-12)


def test_a_missing_label_weighs_nothing(batch):
    _, labelled = batch
    network = networks.network(**SHAPE)
    bare = frames(3, stress=False)
    joined = FrameSet([labelled[0], bare[1], bare[2]], {14: E0}, 4.0).batch([0, 1, 2])
    terms, _ = loss_of(network, joined, LossFunction(ALL))
    alone, _ = loss_of(network, FrameSet(labelled, {14: E0}, 4.0).batch([0]), LossFunction(ALL), Size(1, 8))
    assert number(terms["stress"]) == pytest.approx(number(alone["stress"]) / 3, rel=1e-12)


def test_config_types_weigh_as_said(batch):
    _, labelled = batch
    weighted = FrameSet(labelled, {14: E0}, 4.0, {"co*": 4.0, "*": 0.5}).batch([0, 1, 2])
    assert weighted.targets.weights["forces"].tolist() == [4.0, 0.5, 4.0]


def test_at_the_teacher_loss_and_gradient_vanish(batch):
    """Labels that the network gives itself: nothing is left to learn. A wrong sign of forces or stress,
    or E0s counted twice, leaves a loss."""
    _, labelled = batch
    network = networks.network(**SHAPE)
    taught = []
    for frame in labelled:
        answer = predict(network, FrameSet([frame], {14: E0}, 4.0).graph(0), True, True)
        energy = float(answer.energies.sum()) + 8 * E0
        taught.append(
            replace(frame, energy=energy, forces=answer.forces.numpy(), stress=answer.stress.numpy()[0])
        )
    _, total = loss_of(network, FrameSet(taught, {14: E0}, 4.0).batch([0, 1, 2]), LossFunction(ALL))
    total.backward()
    assert number(total) < 1e-20
    assert max(float(p.grad.abs().max()) for p in network.parameters()) < 1e-8


# ---------------------------------------------------------------- steps
def test_every_weight_is_in_one_group():
    network = networks.network()
    groups = parameter_groups(network, 1e-3)
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in network.parameters())
    names = {id(p): name for name, p in network.named_parameters()}
    decaying = {names[id(p)].split(".")[0] for p in groups[0]["params"]}
    assert decaying == {"products", "interactions"}
    assert all("radial" not in names[id(p)] for p in groups[0]["params"])


def test_the_average_is_the_sum_of_its_definition():
    network = networks.network(**SHAPE)
    average = MovingAverage(network, 0.9)
    expected = [p.detach().clone() for p in network.parameters()]
    for n in range(1, 30):
        with torch.no_grad():
            for p in network.parameters():
                p.add_(torch.sin(torch.arange(p.numel(), dtype=p.dtype) + n).reshape(p.shape))
        average.update(network)
        d = min(0.9, (1 + n) / (10 + n))
        expected = [d * e + (1 - d) * p.detach() for e, p in zip(expected, network.parameters(), strict=True)]
    for mean, e in zip(average.network.parameters(), expected, strict=True):
        torch.testing.assert_close(mean, e, rtol=1e-12, atol=1e-12)


def test_the_plateau_schedule_is_that_of_torch():
    losses = np.abs(np.random.default_rng(2).normal(size=60)) * np.exp(-np.arange(60) / 20)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.7, patience=3, min_lr=1e-4, eps=0)
    ours = LearningRate("plateau", 0.01, 1e-4, 60, 0.7, 3)
    for loss in losses:
        theirs.step(loss)
        ours.advance(loss)
        assert ours.now == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
    assert ours.now < 0.01


def test_the_cosine_schedule_is_that_of_torch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20, eta_min=1e-4)
    ours = LearningRate("cosine", 0.01, 1e-4, 20, 0.5, 0)
    for _ in range(20):
        optimizer.step()
        theirs.step()
        ours.advance(1.0)
        assert ours.now == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
    assert ours.now == pytest.approx(1e-4)


def test_a_schedule_goes_on_where_it_was():
    first = LearningRate("plateau", 0.01, 1e-4, 60, 0.7, 1)
    second = LearningRate("plateau", 0.01, 1e-4, 60, 0.7, 1)
    for loss in (1.0, 1.1, 1.2, 0.9):
        first.advance(loss)
    second.restore(first.state())
    for loss in (0.95, 0.96, 0.97):
        first.advance(loss)
        second.advance(loss)
    assert first.state() == second.state()


def test_gradients_are_clipped_to_the_norm():
    p = torch.nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor([3.0, 4.0])
    assert clip_gradients([p], 1.0) == pytest.approx(5.0)
    assert float(p.grad.norm()) == pytest.approx(1.0, rel=1e-5)
    p.grad = torch.tensor([3.0, 4.0])
    assert clip_gradients([p], None) == pytest.approx(5.0)
    assert float(p.grad.norm()) == pytest.approx(5.0)


def test_weight_decay_shrinks_what_decays_alone():
    """With gradients of zero, AdamW multiplies decaying weights by 1 - lr decay, and leaves the others."""
    network = networks.network(**SHAPE)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = make_optimizer(network, 0.1, 0.5, True)
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, p in network.named_parameters():
        factor = 0.95 if name.startswith("products.") or ".down." in name else 1.0
        torch.testing.assert_close(p.detach(), factor * before[name])


def test_an_epoch_takes_every_frame_once_in_an_order_of_its_own():
    one, two = order(11, 4, 7, 0), order(11, 4, 7, 1)
    assert sorted(itertools.chain(*one)) == list(range(11))
    assert [len(b) for b in one] == [4, 4, 3]
    assert one != two
    assert one == order(11, 4, 7, 0)
