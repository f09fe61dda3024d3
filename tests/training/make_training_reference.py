"""Make mace_training.npz: 50 steps of training by mace-torch 0.3.16 in float64.

    mace/bin/python tests/training/make_training_reference.py

in the environment of tests/model/make_mace_reference.py. Loss, optimiser with its groups of weights,
clipping and moving average are those of mace-torch's own trainer; structures and labels are random.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk

from mlipbench.core.structure import Structure
from mlipbench.model import mace_torch  # lets e3nn 0.4.4 be imported under this torch

from e3nn import o3  # isort: skip
from mace import data, modules  # isort: skip
from mace.tools import AtomicNumberTable, scripts_utils, torch_geometric  # isort: skip
from torch_ema import ExponentialMovingAverage  # isort: skip

TARGET = Path(__file__).parent / "mace_training.npz"
ELEMENTS = [1, 6, 8]
ENERGIES = [-13.6, -1029.3, -2041.8]  # of the free atoms, eV
N_STEPS, BATCH = 50, 4
KEPT = (0, 9, 24, 49)  # steps whose gradients are stored whole
SETTINGS = {
    "weights": [1.0, 100.0, 10.0], "lr": 0.01, "weight_decay": 5e-7, "clip": 10.0, "ema": 0.99
}  # fmt: skip


def frames():
    """Crystals of two to eight atoms in sheared cells, and labels without any sense."""
    rng, found = np.random.default_rng(3), []
    for n in range(8):
        atoms = bulk("C", "diamond", a=3.6, cubic=n % 2 == 0)
        atoms.numbers = rng.choice(ELEMENTS, size=len(atoms))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.05 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.positions += 0.1 * rng.normal(size=atoms.positions.shape)
        free = sum(ENERGIES[ELEMENTS.index(z)] for z in atoms.numbers)
        atoms.info = {"REF_energy": free + rng.normal() * len(atoms),
                      "REF_stress": 0.05 * rng.normal(size=6)}  # fmt: skip
        atoms.arrays["REF_forces"] = rng.normal(size=atoms.positions.shape)
        found.append(atoms)
    return found


def build():
    torch.manual_seed(11)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    return modules.ScaleShiftMACE(
        r_max=3.5, num_bessel=4, num_polynomial_cutoff=5, max_ell=2, interaction_cls=block,
        interaction_cls_first=block, num_interactions=2, num_elements=3, radial_MLP=[8, 8],
        hidden_irreps=o3.Irreps("4x0e+4x1o"), MLP_irreps=o3.Irreps("5x0e"),
        atomic_energies=np.array(ENERGIES), avg_num_neighbors=12.0, atomic_numbers=ELEMENTS, correlation=3,
        gate=torch.nn.functional.silu, atomic_inter_scale=0.8, atomic_inter_shift=0.15,
        use_reduced_cg=False,
    )  # fmt: skip


def batches(structures):
    keys = data.KeySpecification({name: f"REF_{name}" for name in ("energy", "stress")},
                                 {"forces": "REF_forces"})  # fmt: skip
    graphs = [
        data.AtomicData.from_config(
            data.config_from_atoms(atoms, key_specification=keys), AtomicNumberTable(ELEMENTS), cutoff=3.5
        )
        for atoms in structures
    ]
    loader = torch_geometric.dataloader.DataLoader(graphs, batch_size=BATCH, shuffle=False)
    return list(loader)


def optimizer(model):
    asked = argparse.Namespace(
        weight_decay=SETTINGS["weight_decay"], lr=SETTINGS["lr"], amsgrad=True, beta=0.9, freeze=None,
        lr_params_factors="{}",
    )  # fmt: skip
    return torch.optim.AdamW(**scripts_utils.get_params_options(asked, model))


def main():
    torch.set_default_dtype(torch.float64)
    structures, model, arrays = frames(), build(), {}
    for n, atoms in enumerate(structures):
        s = Structure.from_ase(atoms)
        for field in ("numbers", "positions", "cell", "pbc"):
            arrays[f"frame/{n}/{field}"] = getattr(s, field)
        arrays[f"frame/{n}/energy"] = np.array(atoms.info["REF_energy"])
        arrays[f"frame/{n}/forces"] = atoms.arrays["REF_forces"]
        arrays[f"frame/{n}/stress"] = atoms.info["REF_stress"][[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    start = mace_torch.read(model)
    # Copies: what was read shares its memory with the model.
    arrays |= {f"start/{k}": v.copy() for k, v in start.tensors.items() if not k.endswith("zeroed")}
    arrays |= {f"couplings/{k}": v for k, v in start.couplings.items()}

    loss_function = modules.WeightedEnergyForcesStressLoss(*SETTINGS["weights"])
    steps, average = optimizer(model), ExponentialMovingAverage(model.parameters(), decay=SETTINGS["ema"])
    parts, losses, norms = batches(structures), [], []
    for step in range(N_STEPS):
        batch = parts[step % len(parts)]
        steps.zero_grad(set_to_none=True)
        out = model(batch.to_dict(), training=True, compute_force=True, compute_stress=True)
        loss = loss_function(pred=out, ref=batch)
        loss.backward()
        if step in KEPT:
            arrays |= {f"gradient/{step}/{k}": p.grad.numpy().copy() for k, p in model.named_parameters()}
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=SETTINGS["clip"])))
        losses.append(loss.item())
        steps.step()
        average.update()
    for name, tensors in (("end", model.parameters()), ("average", average.shadow_params)):
        names = [k for k, _ in model.named_parameters()]
        arrays |= {f"{name}/{k}": p.detach().numpy() for k, p in zip(names, tensors, strict=True)}
    described = {"settings": start.settings, "heads": start.heads, "training": SETTINGS, "batch": BATCH}
    np.savez_compressed(
        TARGET, described=np.array(json.dumps(described)), losses=losses, norms=norms, **arrays
    )
    print(losses[0], losses[-1], norms[0], norms[-1], TARGET.stat().st_size / 1e3, "kB")


if __name__ == "__main__":
    main()
