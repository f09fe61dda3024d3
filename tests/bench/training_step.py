"""One training step of ours and of mace-torch: the same structures, labels, shape, loss and optimiser.

A step is what a trainer repeats: energy, forces and stress of a batch, the loss, its gradient (a second
derivative), clipping, AdamW. Building the batch is not in it. `python training_step.py CODE CASE DTYPE`
answers a line on its standard input with the time of one step; see `Worker` for the other end.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from scipy.spatial.transform import Rotation

from mlipbench.core.structure import Structure
from mlipbench.model.architecture import Architecture
from mlipbench.model.derivatives import predict
from mlipbench.model.graph import graph_of
from mlipbench.model.network import Network

WEIGHTS = (1.0, 100.0, 10.0)  # of energy per atom, forces, stress
BATCH = 2
NEIGHBOURS = 50.0
TUNED = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592",
         "MALLOC_TOP_PAD_": "1073741824"}  # fmt: skip
"""Keeps glibc from returning memory to the system, which makes mace-torch up to 2.7 times faster."""

Step = Callable[[], float]


@dataclass(frozen=True)
class Case:
    """What is trained on what."""

    system: str
    channels: int
    max_ell: int

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.system}, {self.channels}x(0e + 1o), max_ell {self.max_ell}"


CASES = [
    Case("water, 192 atoms", 128, 1),
    Case("water, 192 atoms", 32, 1),
    Case("water, 192 atoms", 32, 3),
    Case("silicon, 64 atoms", 128, 1),
    Case("silicon, 64 atoms", 32, 3),
]


def water() -> Atoms:
    """64 molecules on a grid, turned at random, at the density of the liquid."""
    rng, one, spacing = np.random.default_rng(0), molecule("H2O"), 12.4447 / 4
    box = Atoms(cell=[4 * spacing] * 3, pbc=True)
    for place in np.ndindex(4, 4, 4):
        turned = one.copy()
        turned.positions = turned.positions @ Rotation.random(rng=rng).as_matrix().T
        turned.positions += (np.array(place) + 0.1 * rng.normal(size=3)) * spacing
        box += turned
    return box


def silicon() -> Atoms:
    """Two by two by two cubic cells."""
    return bulk("Si", "diamond", a=5.43, cubic=True) * (2, 2, 2)


def batch(case: Case) -> list[Atoms]:
    """Structures with their atoms moved and random labels."""
    rng, first = np.random.default_rng(1), water() if "water" in case.system else silicon()
    frames = []
    for _ in range(BATCH):
        atoms = first.copy()
        atoms.positions += 0.05 * rng.normal(size=atoms.positions.shape)
        atoms.info = {"REF_energy": rng.normal(), "REF_stress": 0.01 * rng.normal(size=6)}
        atoms.arrays["REF_forces"] = rng.normal(size=atoms.positions.shape)
        frames.append(atoms)
    return frames


def our_step(case: Case, dtype: torch.dtype) -> Step:
    """A step of the embedded network, which returns the loss."""
    frames = batch(case)
    architecture = Architecture(
        elements=tuple(sorted(set(frames[0].numbers.tolist()))),
        r_max=5.0,
        hidden_irreps=f"{case.channels}x0e + {case.channels}x1o",
        max_ell=case.max_ell,
        avg_num_neighbors=NEIGHBOURS,
    )
    network = Network(architecture, seed=0).to(dtype)
    structures = [Structure.from_ase(atoms) for atoms in frames]
    graph = graph_of(structures, architecture.elements, architecture.r_max).to("cpu", dtype)
    n_atoms = torch.tensor([len(atoms) for atoms in frames])
    energies = torch.tensor([atoms.info["REF_energy"] for atoms in frames], dtype=dtype)
    forces = torch.from_numpy(np.concatenate([a.arrays["REF_forces"] for a in frames])).to(dtype)
    voigt = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
    stress = torch.from_numpy(np.stack([a.info["REF_stress"][voigt] for a in frames])).to(dtype)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, amsgrad=True)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        found = predict(network, graph, True, True, differentiable=True)
        total = found.energies.new_zeros(BATCH).index_add(0, graph.structure, found.energies)
        loss = (
            WEIGHTS[0] * ((total - energies) / n_atoms).square().mean()
            + WEIGHTS[1] * (found.forces - forces).square().mean()
            + WEIGHTS[2] * (found.stress - stress).square().mean()
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        return loss.item()

    return step


def mace_step(case: Case, dtype: torch.dtype) -> Step:
    """A step of mace-torch as its own trainer makes it."""
    torch.serialization.add_safe_globals([slice])  # e3nn 0.4.4 under torch 2.6 and newer
    from e3nn import o3
    from mace import data, modules
    from mace.tools import AtomicNumberTable, torch_geometric

    torch.set_default_dtype(dtype)
    frames = batch(case)
    elements = sorted(set(frames[0].numbers.tolist()))
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    torch.manual_seed(0)
    model = modules.ScaleShiftMACE(
        r_max=5.0, num_bessel=8, num_polynomial_cutoff=5, max_ell=case.max_ell, interaction_cls=block,
        interaction_cls_first=block, num_interactions=2, num_elements=len(elements),
        hidden_irreps=o3.Irreps(f"{case.channels}x0e + {case.channels}x1o"), MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(len(elements)), avg_num_neighbors=NEIGHBOURS, atomic_numbers=elements,
        correlation=3, gate=torch.nn.functional.silu, atomic_inter_scale=1.0, atomic_inter_shift=0.0,
    )  # fmt: skip
    keys = data.KeySpecification({name: f"REF_{name}" for name in ("energy", "stress")},
                                 {"forces": "REF_forces"})  # fmt: skip
    graphs = [
        data.AtomicData.from_config(
            data.config_from_atoms(atoms, key_specification=keys), AtomicNumberTable(elements), cutoff=5.0
        )
        for atoms in frames
    ]
    reference = next(iter(torch_geometric.dataloader.DataLoader(graphs, batch_size=BATCH)))
    loss_function = modules.WeightedEnergyForcesStressLoss(*WEIGHTS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, amsgrad=True)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        found = model(reference.to_dict(), training=True, compute_force=True, compute_stress=True)
        loss = loss_function(pred=found, ref=reference)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=10.0)
        optimizer.step()
        return loss.item()

    return step


STEPS = {"mlipbench": our_step, "mace-torch": mace_step}


class Worker:
    """A process of its own that makes steps when asked; its memory is its own, too."""

    def __init__(self, code: str, case: Case, dtype: str, environment: dict[str, str]) -> None:
        asked = [sys.executable, "-W", "ignore", __file__, code, str(CASES.index(case)), dtype]
        self.process = subprocess.Popen(
            asked, env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def step(self) -> dict[str, float]:
        """Seconds of one step on the wall and of the processor."""
        return self._ask("step")

    def close(self) -> float:
        """End it; its largest memory in MB above that of the process before the first step."""
        peak = float(self._ask("peak")["MB"])
        self.process.communicate()
        return peak

    def _ask(self, question: str) -> dict[str, float]:
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"{self.process.args} died"
        return json.loads(line)


def peak_bytes() -> int:
    """The most memory that this process held. getrusage may begin with what its parent held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def serve(code: str, case: Case, dtype: str) -> None:
    """The other end of `Worker`."""
    with contextlib.redirect_stdout(sys.stderr):  # mace-torch has things to say
        step = STEPS[code](case, getattr(torch, dtype))
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    for line in sys.stdin:
        if line.strip() == "step":
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(json.dumps({"wall": wall, "cpu": cpu}), flush=True)
        else:
            print(json.dumps({"MB": (peak_bytes() - before) / 1e6}), flush=True)
            return


if __name__ == "__main__":
    serve(sys.argv[1], CASES[int(sys.argv[2])], sys.argv[3])
