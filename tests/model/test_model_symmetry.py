"""What physics demands of any energy of atoms, exact but for rounding: 1e-12 of the largest value.

A wrong 3j symbol, order of components or parity changes energies by parts of a per cent and more.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import (
    KINDS,
    answer,
    crystal,
    energy,
    ethanol,
    graph,
    moved,
    network,
    relative,
    rotation,
)

from mlipbench.core.structure import Structure

SHAPES = [
    {"max_ell": 0, "hidden_irreps": "5x0e"},
    {"max_ell": 1, "hidden_irreps": "4x0e+4x1o"},
    {"max_ell": 3, "hidden_irreps": "3x0e+3x1o+3x2e"},
    {"max_ell": 3, "hidden_irreps": "3x0e+3x2e", "correlation": 2},
    {"correlation": 1},
    {"correlation": (2, 3, 1), "num_layers": 3},
    {"num_layers": 1, "max_ell": 3},
    *({"interaction_first": kind, "interaction": kind} for kind in KINDS),
    {"zbl": True, "distance_transform": "agnesi"},
    {"distance_transform": "soft", "cutoff_acts_on": "weights", "interaction": "density_residual"},
]  # fmt: skip
TOLERANCE = 1e-12


@pytest.fixture(params=SHAPES, ids=lambda s: " ".join(f"{k}={v}" for k, v in s.items()))
def net(request):
    return network(**request.param)


@pytest.mark.parametrize("mirrored", [False, True])
def test_rotation_and_reflection(net, mirrored):
    structure, turn = crystal(), rotation(3, mirrored)
    turned = structure.with_positions(structure.positions @ turn.T, structure.cell @ turn.T)
    (e1, f1, s1), (e2, f2, s2) = answer(net, structure), answer(net, turned)
    assert relative(e2, e1) < TOLERANCE
    assert relative(f2, f1 @ turn.T) < TOLERANCE
    assert relative(s2, turn @ s1 @ turn.T) < TOLERANCE


def test_vector_features_turn_as_vectors():
    # Components x, y, z in this order, odd under reflection.
    net, structure, turn = network(), crystal(), rotation(4, True)
    turned = structure.with_positions(structure.positions @ turn.T, structure.cell @ turn.T)
    before, after = (net(graph([s], net.architecture)).features[0] for s in (structure, turned))
    expected = torch.einsum("ab,nbc->nac", torch.from_numpy(turn), before[:, 1:])
    assert relative(after[:, 1:].detach(), expected.detach()) < TOLERANCE
    assert before[:, 1:].abs().max() > 1e-3


def test_translation_and_wrapping(net):
    structure = crystal()
    shifts = np.random.default_rng(1).integers(-2, 3, size=(len(structure), 3)) @ structure.cell
    elsewhere = structure.with_positions(structure.positions + shifts + [0.3, -0.7, 1.1])
    for a, b in zip(answer(net, structure), answer(net, elsewhere), strict=True):
        assert relative(b, a) < TOLERANCE


def test_permutation(net):
    structure = ethanol()
    order = np.random.default_rng(2).permutation(len(structure))
    shuffled = replace(
        structure,
        numbers=structure.numbers[order],
        positions=structure.positions[order],
        masses=structure.masses[order],
    )
    (e1, f1, _), (e2, f2, _) = (answer(net, s, stress=False) for s in (structure, shuffled))
    assert relative(e2, e1[order]) < TOLERANCE
    assert relative(f2, f1[order]) < TOLERANCE


def test_extensive(net):
    structure = crystal()
    double = moved(structure.to_ase() * (2, 1, 1), 0, 0.0)
    (e1, f1, s1), (e2, f2, s2) = answer(net, structure), answer(net, double)
    assert relative(e2, np.tile(e1, 2)) < TOLERANCE
    assert relative(f2, np.tile(f1, (2, 1))) < TOLERANCE
    assert relative(s2, s1) < TOLERANCE


def test_batch_is_single(net):
    structures = [ethanol(), crystal(), crystal(1), lone(8), ethanol(2)]
    energies, forces, _ = answer(net, *structures, stress=False)
    alone = [answer(net, s, stress=False) for s in structures]
    assert relative(energies, np.concatenate([e for e, _, _ in alone])) < TOLERANCE
    assert relative(forces, np.concatenate([f for _, f, _ in alone])) < TOLERANCE


def lone(number):
    return Structure(np.array([number]), np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, bool), np.ones(1))


def test_atoms_out_of_reach_do_not_see_each_other(net):
    far = Structure(
        np.array([1, 8]),
        np.array([[0.0, 0.0, 0.0], [0.0, 0.0, net.architecture.r_max + 1e-9]]),
        np.zeros((3, 3)),
        np.zeros(3, bool),
        np.ones(2),
    )
    energies, forces, _ = answer(net, far, stress=False)  # an empty neighbour list
    # Two rows of a matrix may be multiplied in another order than one: rounding, where a contact is meV.
    assert energies.tolist() == pytest.approx([energy(net, lone(1)), energy(net, lone(8))], abs=1e-12)
    assert not forces.any()


def test_elements_and_surroundings_matter(net):
    # A network that forgot the neighbours or the elements would pass all of the above.
    structure = crystal()
    other = replace(structure, numbers=np.where(structure.numbers == 6, 8, structure.numbers))
    e = energy(net, structure)
    assert abs(energy(net, other) - e) > 1e-4
    assert abs(energy(net, crystal(5)) - e) > 1e-6
