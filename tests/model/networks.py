"""Small networks and structures for tests."""

import numpy as np
import torch
from ase.build import bulk, molecule
from scipy.spatial.transform import Rotation

from mlipbench.core.structure import Structure
from mlipbench.model.architecture import Architecture
from mlipbench.model.derivatives import predict
from mlipbench.model.graph import graph_of
from mlipbench.model.network import Network

KINDS = ("agnostic", "residual", "density", "density_residual")


def architecture(**changes):
    settings = {
        "elements": (1, 6, 8),
        "r_max": 4.0,
        "hidden_irreps": "4x0e + 4x1o",
        "max_ell": 2,
        "correlation": 3,
        "num_radial_basis": 5,
        "radial_mlp": (8, 8),
        "readout_mlp": 6,
        "avg_num_neighbors": 10.0,
    }
    return Architecture(**settings | changes)


def network(seed=1, **changes):
    return Network(architecture(**changes), seed)


def ethanol(seed=0, amplitude=0.1):
    return moved(molecule("CH3CH2OH"), seed, amplitude)


def crystal(seed=0, amplitude=0.1):
    """Eight atoms C, O and H in a sheared cell; pairs of atoms meet through several images."""
    atoms = bulk("C", "diamond", a=3.6, cubic=True)
    atoms.numbers[[1, 4]] = 8
    atoms.numbers[6] = 1
    shear = np.array([[0.02, 0.05, 0.0], [0.0, -0.03, 0.04], [0.06, 0.0, 0.01]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + shear), scale_atoms=True)
    return moved(atoms, seed, amplitude)


def moved(atoms, seed, amplitude):
    structure = Structure.from_ase(atoms)
    noise = np.random.default_rng(seed).normal(size=structure.positions.shape)
    return structure.with_positions(structure.positions + amplitude * noise)


def graph(structures, shape):
    return graph_of(structures, shape.elements, shape.r_max)


def answer(net, *structures, stress=True):
    """Prediction for structures, as numpy arrays."""
    found = predict(net, graph(structures, net.architecture), True, stress)
    return tuple(None if x is None else x.numpy() for x in (found.energies, found.forces, found.stress))


def energy(net, structure):
    with torch.no_grad():
        return float(net(graph([structure], net.architecture)).energies.sum())


def rotation(seed, mirrored):
    matrix = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    return -matrix if mirrored else matrix


def relative(found, expected):
    """Largest difference over the largest expected value."""
    found, expected = np.asarray(found), np.asarray(expected)
    return np.abs(found - expected).max() / np.abs(expected).max()
