"""References for liquid water at 330 K: what the public set water_pbe0ts says, and a box to start from.

    python make.py parts     # the set's time order and its split: water_pbe0ts_parts.csv
    python make.py curves    # g(r) of O-O, O-H, H-H from all its frames: water_pbe0ts_g*.csv, provenance.json
    python make.py start     # our own equilibrated box, by a classical model: water_start.xyz

The first two need the set (`mlipbench references fetch water_pbe0ts`), whose frames are not part of
mlipbench; after any of them, `mlipbench references update reference_data`.

The set states neither the time between its frames nor their order. The order is rebuilt
(analysis/time_order.py); the frames then turn out to be unevenly spaced, so no velocities, spectrum or
diffusion can be had from them. Its temperature is checked through its own forces: in a canonical ensemble of
classical nuclei, with r the length of an O-H bond, u its direction and F the force on its hydrogen,

    k T <1 + 2 (r - r0)/r> = <-(r - r0) u.F>        for any r0 (the hypervirial theorem with A = (r - r0) u)
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from scipy.spatial.transform import Rotation

from mlipbench.analysis import blocks, rdf
from mlipbench.analysis.time_order import time_order
from mlipbench.core.shipped import reference_data
from mlipbench.core.units import ACCELERATION, BOLTZMANN
from mlipbench.data.frames import read_frames
from mlipbench.data.references import Manifest
from mlipbench.data.splits import contiguous
from reference_data import labelling

HERE = Path(__file__).parent
SET = "water_pbe0ts"
TEMPERATURE_K = 330.0
PARTS = HERE / f"{SET}_parts.csv"

# The split: of 20 blocks of 20 frames, two to test on and one for validation; the two frames beside them are
# in no part. Errors are averaged over segments of 10.
N_BLOCKS, VALID, TEST, GAP, SEGMENT = 20, (17,), (3, 10), 2, 10

BINS_A = {"O-O": 0.02, "O-H": 0.01, "H-H": 0.02}  # the O-H bond's peak is 0.06 A wide
FIRST_A = 0.5  # nothing is nearer

SIDE_A = 12.4447  # of the set's cell: 0.994 g/cm^3
BOND_A, ANGLE_DEG = 1.012, 113.24  # of SPC/Fw
KCAL = 0.0433641  # eV, per mol
SEED, TIMESTEP_FS, STEPS, FRICTION_PER_FS, CUTOFF_A = 20261126, 0.5, 20000, 0.01, 6.0


def ordered_frames():
    """The frames of the set in the order of time, and their numbers."""
    frames = read_frames(Manifest.load(reference_data()).verify(SET).path)
    positions = np.stack([f.structure.positions for f in frames])
    order = time_order(positions, frames[0].structure.cell)
    return [frames[n] for n in order], order


# ---------------------------------------------------------------- parts
def make_parts():
    """Part and segment of every frame, in the order of time."""
    _, order = ordered_frames()
    train, valid, test = contiguous(order, N_BLOCKS, VALID, TEST, GAP)
    part = dict.fromkeys(order.tolist(), "gap")
    for name, members in (("train", train), ("valid", valid), ("test", test)):
        part |= dict.fromkeys(members, name)
    lines = [
        f"# {SET} in its rebuilt time order (make.py); frames are numbered as in the set",
        "frame,part,trajectory",
        *(f"{n},{part[n]},segment-{place // SEGMENT:02d}" for place, n in enumerate(order.tolist())),
    ]
    PARTS.write_text("\n".join(lines) + "\n")


# ---------------------------------------------------------------- curves
def make_curves():
    """g(r) with errors from contiguous blocks; what else the frames say."""
    frames, _ = ordered_frames()
    start = frames[0].structure
    reach = rdf.half_height(start.cell)
    grids = {}
    for name, width in BINS_A.items():
        edges = rdf.even_edges(width, reach)
        grids[rdf.pair_of(name)] = edges[edges > FIRST_A - width / 2]
    histogram = rdf.Histogram(start.numbers, grids)
    for frame in frames:
        histogram.add(frame.structure.positions[None], frame.structure.cell[None])
    for pair, found in histogram.distributions().items():
        parts = np.array_split(found.series, N_BLOCKS)
        error = blocks.column_errors(np.array([part.mean(axis=0) for part in parts]))
        write_curve(rdf.pair_name(pair), found, error)
    note_provenance(frames)


def write_curve(name, found, error):
    """g(r) of a pair."""
    entry = Manifest.load(reference_data()).entry(SET)
    header = {
        "abscissa_unit": "A",
        "value_unit": "1",
        "level_of_theory": entry.level_of_theory,
        "temperature_K": f"{TEMPERATURE_K:g}",
        "source": f"derived by mlipbench from all 400 frames of {SET}: {entry.source}",
        "note": f"classical nuclei, fixed cell of 64 molecules; errors from {N_BLOCKS} contiguous blocks of "
        "the rebuilt time order",
    }
    pair = name.replace("-", "")
    rows = (f"{r:.3f},{g:.5g},{e:.3g}" for r, g, e in zip(found.r, found.g, error, strict=True))
    labelling.write_curve(HERE / f"{SET}_g{pair}.csv", header, f"r,g_{pair},error", rows)


def note_provenance(frames):
    """What was computed from what."""
    manifest = Manifest.load(reference_data())
    entry = manifest.entry(SET)
    moved = np.diff(np.stack([f.structure.positions[f.structure.numbers == 8] for f in frames]), axis=0)
    temperature, error, width = of_the_bonds(frames)
    found = {
        "set": SET,
        "sha256": manifest.verify(SET).sha256,
        "licence": entry.licence,
        "source": entry.source,
        "frames": len(frames),
        "blocks": N_BLOCKS,
        "bins_A": BINS_A,
        "temperature_from_forces_K": [round(temperature, 1), round(error, 1)],
        "oh_bond_sd_A": round(width, 4),
        "oxygen_rms_step_A": [
            round(float(q), 3) for q in np.quantile(np.sqrt((moved**2).sum(axis=2).mean(axis=1)), [0, 0.5, 1])
        ],
        "remarks": "bonds as narrow as classical nuclei have them (with zero-point motion 0.07 A). Steps "
        "from frame to frame are uneven: smallest, median, largest",
        "script": "reference_data/water/make.py",
    }
    (HERE / "provenance.json").write_text(json.dumps(found, indent=1) + "\n")


def of_the_bonds(frames):
    """Temperature in K from the forces along O-H bonds, its error over blocks; spread of the bonds in A."""
    numbers, box = frames[0].structure.numbers, np.diag(frames[0].structure.cell)
    positions = np.stack([f.structure.positions for f in frames])
    forces = np.stack([f.forces for f in frames])[:, numbers == 1]
    bonds = positions[:, numbers == 1, None] - positions[:, None, numbers == 8]
    bonds -= box * np.round(bonds / box)
    lengths = np.linalg.norm(bonds, axis=-1)
    own = lengths[0].argmin(axis=1)
    each = np.arange(len(own))
    bonds, lengths = bonds[:, each, own], lengths[:, each, own]
    away = lengths - lengths.mean()
    virial = (-away * (bonds * forces).sum(axis=-1) / lengths).mean(axis=1)
    weight = (1 + 2 * away / lengths).mean(axis=1)
    parts = [
        v.mean() / w.mean() / BOLTZMANN
        for v, w in zip(np.array_split(virial, N_BLOCKS), np.array_split(weight, N_BLOCKS), strict=True)
    ]
    error = np.std(parts, ddof=1) / np.sqrt(N_BLOCKS)
    return float(virial.mean() / weight.mean() / BOLTZMANN), float(error), float(lengths.std())


# ---------------------------------------------------------------- start
def make_start():
    """64 molecules from a lattice, turned at random, after Langevin dynamics (BAOAB) of SPC/Fw water."""
    rng = np.random.default_rng(SEED)
    half = np.deg2rad(ANGLE_DEG) / 2
    molecule = BOND_A * np.array(
        [[0, 0, 0], [np.sin(half), 0, np.cos(half)], [-np.sin(half), 0, np.cos(half)]]
    )
    places = np.stack(np.meshgrid(*3 * [np.arange(4)], indexing="ij"), axis=-1).reshape(-1, 3) + 0.5
    turns = Rotation.random(len(places), random_state=rng).as_matrix()
    positions = places[:, None] * SIDE_A / 4 + np.einsum("nij,aj->nai", turns, molecule)
    atoms = Atoms("OH2" * 64, positions=positions.reshape(-1, 3), cell=3 * [SIDE_A], pbc=True)
    masses = atoms.get_masses()[:, None]
    thermal = np.sqrt(BOLTZMANN * TEMPERATURE_K * ACCELERATION / masses)  # A/fs
    x, v = atoms.positions.copy(), thermal * rng.standard_normal((192, 3))
    _, f = spc_fw(x)
    keep = np.exp(-FRICTION_PER_FS * TIMESTEP_FS)
    for _ in range(STEPS):
        v += 0.5 * TIMESTEP_FS * ACCELERATION * f / masses
        x += 0.5 * TIMESTEP_FS * v
        v = keep * v + np.sqrt(1 - keep**2) * thermal * rng.standard_normal((192, 3))
        x += 0.5 * TIMESTEP_FS * v
        _, f = spc_fw(x)
        v += 0.5 * TIMESTEP_FS * ACCELERATION * f / masses
    atoms.positions = np.round(x, 6)
    atoms.info["config_type"] = "liquid"
    energy, forces = spc_fw(atoms.positions)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    write(HERE / "water_start.xyz", atoms, format="extxyz")


def spc_fw(positions):
    """Energy in eV and forces (192, 3) in eV/A of 64 molecules, O H H each, by the flexible model SPC/Fw.

    Y. Wu, H. L. Tepper, G. A. Voth, J. Chem. Phys. 124, 024503 (2006); what acts between molecules is cut off
    with shifted forces (C. J. Fennell, J. D. Gezelter, J. Chem. Phys. 124, 234104 (2006)), which serves for a
    start.
    """
    x = torch.tensor(positions, requires_grad=True)
    bonds = x.view(64, 3, 3)[:, 1:] - x.view(64, 3, 3)[:, :1]
    lengths = bonds.norm(dim=2)
    angle = torch.arccos((bonds[:, 0] * bonds[:, 1]).sum(1) / lengths.prod(1))
    energy = 0.5 * 1059.162 * KCAL * ((lengths - BOND_A) ** 2).sum()
    energy = energy + 0.5 * 75.90 * KCAL * ((angle - np.deg2rad(ANGLE_DEG)) ** 2).sum()
    i, j = torch.triu_indices(192, 192, 1)
    i, j = i[i // 3 != j // 3], j[i // 3 != j // 3]
    d = x[i] - x[j]
    r = (d - SIDE_A * torch.round(d / SIDE_A)).norm(dim=1)
    near = r < CUTOFF_A
    i, j, r = i[near], j[near], r[near]
    charge = torch.tensor([-0.82, 0.41, 0.41], dtype=torch.float64).repeat(64)
    energy = (
        energy + 14.399645 * (charge[i] * charge[j] * shifted(lambda s: torch.erfc(0.2 * s) / s, r)).sum()
    )
    oxygen = r[(i % 3 == 0) & (j % 3 == 0)]
    lj = shifted(lambda s: (3.165492 / s) ** 12 - (3.165492 / s) ** 6, oxygen)
    energy = energy + 4 * 0.1554253 * KCAL * lj.sum()
    energy.backward()
    return energy.item(), -x.grad.numpy()


def shifted(pair, r):
    """pair(r), less the straight line that makes value and slope zero at the cutoff."""
    end = torch.tensor(CUTOFF_A, dtype=torch.float64, requires_grad=True)
    value = pair(end)
    (slope,) = torch.autograd.grad(value, end)
    return pair(r) - value.detach() - slope * (r - CUTOFF_A)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["parts", "curves", "start"])
    {"parts": make_parts, "curves": make_curves, "start": make_start}[parser.parse_args().stage]()
