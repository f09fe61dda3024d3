"""The same answers as mace-torch 0.3.16, computed in float64 by make_mace_reference.py.

1e-10 of the largest value; a rounded constant or a wrong normalisation would show at 1e-8 and above.
"""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import answer, graph, relative

from mlipbench.core.structure import Structure
from mlipbench.model import mace_torch
from mlipbench.model.irreps import components

FILE = np.load(Path(__file__).parent / "mace_reference.npz")
CASES = json.loads(str(FILE["described"]))
STRUCTURES = ("molecule", "crystal", "dimer", "atom")
TOLERANCE = 1e-10


def group(prefix):
    return {name.removeprefix(prefix): FILE[name] for name in FILE.files if name.startswith(prefix)}


@functools.cache
def converted(case):
    c = CASES[case]
    model = mace_torch.MaceModel(
        c["settings"], c["heads"], group(f"{case}/tensors/"), group(f"{case}/couplings/")
    )
    return mace_torch.convert(model, case, c["head"], {})


def structure(name):
    fields = group(f"structure/{name}/")
    return Structure(**fields, masses=np.ones(len(fields["numbers"])))


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("case", CASES)
def test_same_answers(case, name):
    package, atoms = converted(case), structure(name)
    expected = group(f"{case}/answers/{name}/")
    net = package.committee.networks[0]
    energies, forces, stress = answer(net, atoms, stress="stress" in expected)
    e0 = np.array([package.metadata.atomic_energies_eV[z] for z in atoms.numbers.tolist()])
    assert energies.sum() + e0.sum() == pytest.approx(float(expected["energy"][0]), rel=TOLERANCE)
    # The stored energies contain E0, which costs three digits.
    assert relative(energies, expected["node_energy"] - e0) < TOLERANCE
    if name == "atom":
        assert not forces.any()
        assert not expected["forces"].any()
    else:
        assert relative(forces, expected["forces"]) < TOLERANCE
    if stress is not None:
        assert relative(stress, expected["stress"]) < TOLERANCE


@pytest.mark.parametrize("case", CASES)
def test_same_descriptors(case):
    # mace-torch lists, layer after layer and order after order, channels before components.
    net, atoms = converted(case).committee.networks[0], structure("crystal")
    with torch.no_grad():
        out = net(graph([atoms], net.architecture))
    rows = []
    for layer, features in enumerate(out.features):
        parts = components(net.architecture.orders_after(layer))
        rows += [features[:, part].transpose(1, 2).flatten(1) for part in parts]
    assert relative(torch.cat(rows, dim=1), FILE[f"{case}/answers/crystal/node_feats"]) < TOLERANCE
    scalars = torch.cat([features[:, 0] for features in out.features], dim=1)
    assert torch.equal(out.descriptors, scalars)


def test_the_grid_is_the_one_that_was_promised():
    settings = [c["settings"] for c in CASES.values()]
    assert {s["max_ell"] for s in settings} == {1, 2, 3}
    assert {s["hidden_irreps"] for s in settings} >= {"6x0e", "4x0e+4x1o", "3x0e+3x1o+3x2e"}
    assert {tuple(s["correlation"]) for s in settings} >= {(1, 1), (2, 2), (3, 3), (3, 1)}
    assert {s["num_layers"] for s in settings} == {1, 2, 3}
    assert {s["interaction_first"] for s in settings} == set(mace_torch.BLOCKS.values())
    assert {s["interaction"] for s in settings} == set(mace_torch.BLOCKS.values())
    assert {s["zbl"] for s in settings} == {False, True}
    assert {s["distance_transform"] for s in settings} == {"none", "agnesi", "soft"}
