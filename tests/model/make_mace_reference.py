"""Make mace_reference.npz: small random models of mace-torch 0.3.16 and what they answer in float64.

    python -m venv mace && mace/bin/pip install mace-torch==0.3.16 e3nn==0.4.4 torch==2.13.0
    mace/bin/pip install -e . && mace/bin/python tests/model/make_mace_reference.py

in an environment of its own: mace-torch needs e3nn 0.4.4. The tests compare with the file under any e3nn.
"""

import json
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule

from mlipbench.core.structure import Structure
from mlipbench.model import mace_torch  # lets e3nn 0.4.4 be imported under this torch

from e3nn import o3  # isort: skip
from mace import data, modules  # isort: skip
from mace.tools import AtomicNumberTable, torch_geometric  # isort: skip

TARGET = Path(__file__).parent / "mace_reference.npz"
ELEMENTS = [1, 6, 8]
AGNOSTIC, RESIDUAL, DENSITY, DENSITY_RESIDUAL = mace_torch.BLOCKS  # names of classes
SMALL = {
    "hidden": "4x0e+4x1o",
    "max_ell": 2,
    "correlation": 3,
    "layers": 2,
    "first": RESIDUAL,
    "then": RESIDUAL,
}
CASES = {
    **{f"ell{e}": {"max_ell": e} for e in (1, 2, 3)},  # mace-torch 0.3.16 cannot build max_ell = 0
    **{f"correlation{nu}": {"correlation": nu} for nu in (1, 2)},
    "correlation_per_layer": {"correlation": [3, 1]},
    "scalars": {"hidden": "6x0e", "max_ell": 3},
    "order2": {"hidden": "3x0e+3x1o+3x2e", "max_ell": 3},
    "order2_correlation2": {"hidden": "3x0e+3x1o+3x2e", "max_ell": 2, "correlation": 2},
    "scalars_and_order2": {"hidden": "3x0e+3x2e", "max_ell": 3, "correlation": 2},
    "layers1": {"layers": 1, "max_ell": 3},
    "layers3": {"layers": 3},
    "agnostic": {"first": AGNOSTIC, "then": AGNOSTIC},
    "agnostic_residual": {"first": AGNOSTIC, "then": RESIDUAL, "max_ell": 3},
    "density": {"first": DENSITY, "then": DENSITY},
    "density_residual": {"first": DENSITY, "then": DENSITY_RESIDUAL, "max_ell": 3},
    "all_density_residual": {"first": DENSITY_RESIDUAL, "then": DENSITY_RESIDUAL},
    "zbl": {"pair_repulsion": True},
    "agnesi_zbl": {"pair_repulsion": True, "distance_transform": "Agnesi"},
    "soft": {"distance_transform": "Soft"},
    "cutoff_on_weights": {"apply_cutoff": False, "first": DENSITY, "then": DENSITY_RESIDUAL},
    "two_heads": {"heads": ["a", "b"]},
    "no_scale_shift": {"scale_shift": False, "pair_repulsion": True},
    "large_p": {"p": 8, "num_bessel": 6},
}  # fmt: skip


def build(case, seed):
    """A random model in float64."""
    torch.manual_seed(seed)
    c = SMALL | case
    heads = c.get("heads", ["Default"])
    energies = np.array([[-13.6, -1029.3, -2041.8], [-13.1, -1028.0, -2040.5]])[: len(heads)]
    settings = {
        "r_max": 4.0, "num_bessel": c.get("num_bessel", 5), "num_polynomial_cutoff": c.get("p", 5),
        "max_ell": c["max_ell"], "interaction_cls": blocks(c["then"]),
        "interaction_cls_first": blocks(c["first"]), "num_interactions": c["layers"], "num_elements": 3,
        "hidden_irreps": o3.Irreps(c["hidden"]), "MLP_irreps": o3.Irreps("5x0e"),
        "atomic_energies": energies if len(heads) > 1 else energies[0], "avg_num_neighbors": 7.5,
        "atomic_numbers": ELEMENTS, "correlation": c["correlation"], "gate": torch.nn.functional.silu,
        "pair_repulsion": c.get("pair_repulsion", False), "apply_cutoff": c.get("apply_cutoff", True),
        "distance_transform": c.get("distance_transform", "None"), "radial_MLP": [7, 6], "heads": heads,
        "use_reduced_cg": False,
    }  # fmt: skip
    if not c.get("scale_shift", True):
        return modules.MACE(**settings)
    many = len(heads) > 1
    return modules.ScaleShiftMACE(
        **settings,
        atomic_inter_scale=[0.9, 1.3] if many else 0.8,
        atomic_inter_shift=[0.1, -0.2] if many else 0.15,
    )


def blocks(name):
    from mace.modules import blocks

    return getattr(blocks, name)


def structures():
    """A molecule, a sheared crystal with its atoms moved, a dimer, a lone atom."""
    rng = np.random.default_rng(7)
    ethanol = molecule("CH3CH2OH")
    crystal = bulk("C", "diamond", a=3.6, cubic=True)
    crystal.numbers[[1, 4]] = 8
    crystal.numbers[6] = 1
    crystal.set_cell(crystal.cell.array @ (np.eye(3) + 0.05 * rng.normal(size=(3, 3))), scale_atoms=True)
    for atoms in (ethanol, crystal):
        atoms.positions += 0.08 * rng.normal(size=atoms.positions.shape)
    dimer = Atoms("CO", [[0.1, 0.2, 0.3], [0.9, 0.7, 0.4]])
    return {"molecule": ethanol, "crystal": crystal, "dimer": dimer, "atom": Atoms("O", [[0.5, 0.0, 0.0]])}


def answers(model, atoms, head):
    """What mace-torch says, as arrays."""
    config = data.config_from_atoms(atoms)
    config.head = model.heads[head]
    graph = data.AtomicData.from_config(
        config, z_table=AtomicNumberTable(ELEMENTS), cutoff=float(model.r_max), heads=model.heads
    )
    batch = next(iter(torch_geometric.dataloader.DataLoader([graph], batch_size=1))).to_dict()
    periodic = bool(atoms.pbc.all())
    out = model(batch, compute_stress=periodic)
    names = ["energy", "node_energy", "forces", "node_feats"] + ["stress"] * periodic
    return {name: out[name].detach().numpy().astype(np.float64) for name in names}


def main():
    torch.set_default_dtype(torch.float64)
    arrays, described = {}, {}
    for name, atoms in structures().items():
        s = Structure.from_ase(atoms)
        for field in ("numbers", "positions", "cell", "pbc"):
            arrays[f"structure/{name}/{field}"] = getattr(s, field)
    for seed, (name, case) in enumerate(CASES.items()):
        model = build(case, seed)
        head = len(model.heads) - 1
        found = mace_torch.read(model)
        described[name] = {"settings": found.settings, "heads": found.heads, "head": found.heads[head]}
        for group in ("tensors", "couplings"):
            arrays |= {f"{name}/{group}/{key}": value for key, value in getattr(found, group).items()
                       if not key.endswith("zeroed")}  # fmt: skip
        for structure, atoms in structures().items():
            out = answers(model, atoms, head)
            arrays |= {f"{name}/answers/{structure}/{key}": value for key, value in out.items()}
        print(name, sum(p.numel() for p in model.parameters()))
    np.savez_compressed(TARGET, described=np.array(json.dumps(described)), **arrays)
    print(TARGET.stat().st_size / 1e6, "MB")


if __name__ == "__main__":
    main()
