"""Small labelled sets for tests of training: silicon of Stillinger and Weber, cells of eight atoms."""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import numpy as np
from ase.build import bulk

from mlipbench.core.structure import LabelledFrame, Structure
from mlipbench.data.frames import as_atoms
from mlipbench.potentials.analytic import stillinger_weber_silicon
from mlipbench.training.config import load_config
from mlipbench.training.group import Group
from mlipbench.training.session import Training

E0 = -5.0  # eV, of the free atom; added to the labels
CONFIG = {
    "train_file": "train.extxyz",
    "E0s": {"Si": E0},
    "hidden_irreps": "4x0e + 4x1o",
    "max_ell": 2,
    "correlation": 2,
    "num_layers": 1,
    "r_max": 4.0,
    "num_radial_basis": 4,
    "radial_mlp": [8],
    "batch_size": 4,
    "lr": 0.03,
    "max_num_epochs": 4,
    "valid_fraction": 0.25,
    "audit": "off",
}


def frames(n=12, seed=0, amplitude=0.12, stress=True, size=(1, 1, 1)):
    """Displaced and strained crystals; three frames share a trajectory."""
    rng = np.random.default_rng(seed)
    potential = stillinger_weber_silicon()
    found = []
    for number in range(n):
        atoms = bulk("Si", cubic=True, a=5.431) * size
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.01 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.positions += amplitude * rng.normal(size=atoms.positions.shape)
        structure = Structure.from_ase(atoms)
        (answer,) = potential.evaluate([structure], ("energy", "forces", "stress"))
        found.append(
            LabelledFrame(
                structure=structure,
                energy=answer.energy + E0 * len(structure),
                forces=answer.forces,
                stress=answer.stress if stress else None,
                config_type="warm" if number % 2 else "cold",
                trajectory=f"run-{number // 3}",
                label=f"made#{number}",
            )
        )
    return found


def write(folder: Path, config=None, labelled=None, name="train.extxyz", **changes) -> Path:
    """Frames and a configuration in a folder."""
    ase.io.write(folder / name, [as_atoms(f) for f in labelled or frames()], format="extxyz")
    path = folder / "small.yaml"
    path.write_text(json.dumps((config or CONFIG) | changes))  # JSON is YAML
    return path


class Quiet:
    """A display that says nothing, and may pull the plug at the n-th step."""

    def __init__(self, stop_at=None):
        self.left = stop_at
        self.epochs = []

    def step(self, member, epoch, fraction, loss):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    def epoch(self, member, epoch):
        self.epochs.append(epoch)


def train(path: Path, folder: Path, display=None, only=None):
    """Train in this process; the record."""
    return Training(load_config(path), folder, Group()).run(display or Quiet(), only)
