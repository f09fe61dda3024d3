"""The same training as mace-torch 0.3.16: 50 steps computed by make_training_reference.py in float64.

From the same weights, with the same batches in the same order: losses, gradients, their norms before
clipping, weights and their moving average. 1e-8 of the largest value of each tensor; wrong groups of
weights that decay, another average, or a loss with another divisor show at 3e-7 and above in these steps.
"""

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import relative

from mlipbench.core.structure import LabelledFrame, Structure
from mlipbench.model import mace_torch
from mlipbench.model.derivatives import predict
from mlipbench.training.batches import FrameSet
from mlipbench.training.losses import TERMS, LossFunction
from mlipbench.training.optim import MovingAverage, clip_gradients, make_optimizer

FILE = np.load(Path(__file__).parent / "mace_training.npz")
DESCRIBED = json.loads(str(FILE["described"]))
KEPT = (0, 9, 24, 49)
TOLERANCE = 1e-8


def group(prefix):
    return {name.removeprefix(prefix): FILE[name] for name in FILE.files if name.startswith(prefix)}


def model():
    """mace-torch's model before the first step."""
    couplings = group("couplings/")
    # Else our weights were mixtures of theirs, for which Adam takes other steps.
    assert all(np.array_equal(np.abs(change), np.eye(len(change))) for change in couplings.values())
    return mace_torch.MaceModel(DESCRIBED["settings"], DESCRIBED["heads"], group("start/"), couplings)


def in_our_layout(prefix):
    """Tensors of mace-torch's parameters under our names; reshaping and signs hold for gradients, too."""
    theirs = model()
    moved = replace(theirs, tensors=theirs.tensors | group(prefix))
    network = mace_torch.convert(moved, "reference", None, {}).committee.networks[0]
    return {name: parameter.detach() for name, parameter in network.named_parameters()}


def frames():
    found = []
    for n in range(8):
        a = group(f"frame/{n}/")
        fields = {name: a[name] for name in ("numbers", "positions", "cell", "pbc")}
        structure = Structure(**fields, masses=np.ones(len(a["numbers"])))
        found.append(
            LabelledFrame(structure, float(a["energy"]), a["forces"], a["stress"], "", "", f"frame {n}")
        )
    return found


@functools.cache
def training():
    """Our 50 steps: losses, norms, gradients of the kept steps, weights, average."""
    package, settings = mace_torch.convert(model(), "reference", None, {}), DESCRIBED["training"]
    network = package.committee.networks[0]
    energies = package.metadata.atomic_energies_eV
    data = FrameSet(frames(), energies, network.architecture.r_max)
    loss_function = LossFunction(dict(zip(TERMS, settings["weights"], strict=True)))
    optimizer = make_optimizer(network, settings["lr"], settings["weight_decay"], amsgrad=True)
    average = MovingAverage(network, settings["ema"])
    losses, norms, gradients = [], [], {}
    size = DESCRIBED["batch"]
    for step in range(len(FILE["losses"])):
        first = size * step % len(data)
        numbers = list(range(first, first + size))
        batch = data.batch(numbers)
        network.zero_grad(set_to_none=True)
        found = predict(network, batch.graph, True, True, differentiable=True)
        terms = loss_function.terms(found, batch.targets, batch.graph, data.size(numbers))
        loss = sum(terms.values())
        loss.backward()
        if step in KEPT:
            gradients[step] = {name: p.grad.clone() for name, p in network.named_parameters()}
        norms.append(clip_gradients(network.parameters(), settings["clip"]))
        losses.append(float(loss.detach()))
        optimizer.step()
        average.update(network)
    return losses, norms, gradients, dict(network.named_parameters()), average.network


def test_the_same_losses_and_norms():
    losses, norms, *_ = training()
    assert losses == pytest.approx(FILE["losses"], rel=TOLERANCE)
    assert norms == pytest.approx(FILE["norms"], rel=TOLERANCE)
    clip = DESCRIBED["training"]["clip"]
    assert min(norms) < clip < max(norms)  # some steps are clipped, some are not


@pytest.mark.parametrize("step", KEPT)
def test_the_same_gradients(step):
    expected = in_our_layout(f"gradient/{step}/")
    for name, gradient in training()[2][step].items():
        assert relative(gradient, expected[name]) < TOLERANCE, name


def test_the_same_weights_at_the_end():
    *_, weights, average = training()
    for found, prefix in ((weights, "end/"), (dict(average.named_parameters()), "average/")):
        expected = in_our_layout(prefix)
        for name, weight in found.items():
            assert relative(weight.detach(), expected[name]) < TOLERANCE, name
