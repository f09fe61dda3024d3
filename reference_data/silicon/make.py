"""Compute the silicon reference set with Quantum ESPRESSO (PBE).

    python make.py structures             # 69 frames of 64 atoms, driven by Tersoff silicon; 60 labelled
    python make.py convergence            # cutoff and k-point table, convergence.json
    python make.py label                  # one SCF + forces + stress a frame; resumable
    python make.py collect                # silicon_pbe.extxyz and provenance.json

Every stage skips what is already on disk in --work, so the script may be killed and started again
at any moment. Needs ase, and of Debian `quantum-espresso`, `quantum-espresso-data` and
`libopenblas0-pthread` (with the reference BLAS a frame takes several times as long).

One energy surface for all frames: one cutoff, one k-point mesh (all cells hold 64 atoms in
nearly cubic boxes of the same size), one smearing. The stored energy is the free energy that
pw.x marks with "!", because that is the quantity of which the forces are the derivative.
Units of the output: eV, eV/A, eV/A^3; stress in ASE's order and sign.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.calculators.tersoff import Tersoff, TersoffParameters
from ase.io import read, write
from ase.io.espresso import read_espresso_out, write_espresso_in
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary

HERE = Path(__file__).parent
PSEUDOPOTENTIAL = "Si.pbe-rrkj.UPF"
PSEUDO_DIR = Path(os.environ.get("ESPRESSO_PSEUDO", "/usr/share/espresso/pseudo"))
LATTICE_A = 5.469  # PBE lattice constant of silicon, used to place the cells; not a result
SETTINGS = {
    "ecutwfc_Ry": 20.0,
    "kpts": [2, 2, 2],
    "koffset": [1, 1, 1],
    "smearing": "gaussian",
    "degauss_Ry": 0.01,
    "bands": 136,  # 128 are filled; eight more take the tail of the smearing
    "conv_thr_Ry": 1e-7,
}
# J. Tersoff, Phys. Rev. B 38, 9902 (1988), Si(C): drives the sampling only, labels come from DFT.
TERSOFF = {
    ("Si", "Si", "Si"): TersoffParameters(
        A=1830.8, B=471.18, lambda1=2.4799, lambda2=1.7322, lambda3=0.0, beta=1.1e-6, n=0.78734,
        c=1.0039e5, d=16.217, h=-0.59825, R=2.85, D=0.15, m=3.0, gamma=1.0,
    )
}  # fmt: skip


# ---------------------------------------------------------------- structures
def trajectories():
    """(name, config_type, cell matrix scale (3, 3), temperature K, frames, fs between frames)."""
    eye = np.eye(3)
    for temperature in (300, 600, 1200, 1500):
        yield f"nvt{temperature}", f"md_{temperature}K", eye, temperature, 10, 300.0
    for scale in (0.93, 0.96):
        yield f"compressed{scale:.2f}", "compressed", scale * eye, 600, 6, 300.0
    rng = np.random.default_rng(20261120)
    for index in range(12):
        strain = rng.uniform(-0.05, 0.05, size=(3, 3))
        strain = 0.5 * (strain + strain.T)
        yield f"strained{index:02d}", "strained", eye + strain, 450, 1, 300.0


def sample(job):
    """Frames of one Langevin trajectory, 1 ps of equilibration dropped."""
    name, config_type, deformation, temperature, n_frames, gap_fs = job
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    rng = np.random.default_rng(seed)
    atoms = bulk("Si", cubic=True, a=LATTICE_A) * (2, 2, 2)
    atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    atoms.calc = Tersoff(TERSOFF)
    MaxwellBoltzmannDistribution(atoms, temperature_K=2 * temperature, rng=rng)
    Stationary(atoms)
    dynamics = Langevin(atoms, 2.0 * units.fs, temperature_K=temperature, friction=0.01 / units.fs, rng=rng)
    dynamics.run(500)
    frames = []
    for index in range(n_frames):
        dynamics.run(round(gap_fs / 2.0))
        frame = Atoms(atoms.symbols, atoms.get_positions(wrap=True), cell=atoms.cell, pbc=True)
        frame.info.update(
            config_type=config_type, trajectory=name, time_fs=gap_fs * (index + 1),
            temperature_K=float(temperature), frame=f"{name}-{index:02d}",
        )  # fmt: skip
        frames.append(frame)
    print(name, len(frames), "frames", flush=True)
    return frames


def make_structures(work: Path):
    """All structures to be labelled; computed once."""
    target = work / "structures.extxyz"
    if target.exists():
        return read(target, ":")
    frames = []
    for index, scale in enumerate((0.95, 0.98, 1.0, 1.02, 1.05)):
        atoms = bulk("Si", cubic=True, a=LATTICE_A * scale) * (2, 2, 2)
        name = f"perfect{index}"
        atoms.info.update(config_type="volume", trajectory=name, time_fs=0.0, temperature_K=0.0, frame=name)
        frames.append(atoms)
    with ProcessPoolExecutor(2) as pool:
        for part in pool.map(sample, list(trajectories())):
            frames.extend(part)
    write(work / "structures.tmp", frames, format="extxyz")
    os.replace(work / "structures.tmp", target)
    return frames


# ---------------------------------------------------------------- labels
def run_pw(atoms: Atoms, folder: Path, ranks: int, settings: dict) -> Atoms:
    """One pw.x run: the frame with energy, forces, stress, and the seconds it took."""
    folder.mkdir(parents=True, exist_ok=True)
    input_data = {
        "control": {
            "calculation": "scf", "tprnfor": True, "tstress": True, "outdir": "./tmp",
            "pseudo_dir": str(PSEUDO_DIR), "disk_io": "none",
        },
        "system": {
            "ecutwfc": settings["ecutwfc_Ry"], "occupations": "smearing",
            "smearing": settings["smearing"], "degauss": settings["degauss_Ry"],
            "nbnd": settings["bands"], "nosym": True,
        },
        "electrons": {"conv_thr": settings["conv_thr_Ry"], "mixing_beta": 0.4},
    }  # fmt: skip
    with open(folder / "pw.in", "w") as handle:
        write_espresso_in(
            handle, atoms, input_data=input_data, pseudopotentials={"Si": PSEUDOPOTENTIAL},
            kpts=tuple(settings["kpts"]), koffset=tuple(settings["koffset"]),
        )  # fmt: skip
    environment = dict(
        os.environ,
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
        OMPI_ALLOW_RUN_AS_ROOT="1",
        OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
    )
    command = ["mpirun", "--bind-to", "none", "-np", str(ranks), "pw.x", "-nk", str(ranks), "-in", "pw.in"]
    start = time.time()
    with open(folder / "pw.out", "w") as out:
        subprocess.run(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT, check=True)
    seconds = time.time() - start
    with open(folder / "pw.out") as handle:
        result = list(read_espresso_out(handle, index=slice(None)))[-1]
    if "convergence has been achieved" not in (folder / "pw.out").read_text():
        raise RuntimeError(f"{folder}: the SCF cycle did not converge")
    labelled = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True, info=dict(atoms.info))
    labelled.info["seconds"] = round(seconds, 1)
    labelled.calc = SinglePointCalculator(
        labelled,
        energy=result.calc.results["energy"],  # of "!", the free energy
        forces=result.get_forces(),
        stress=result.get_stress(),
    )
    return labelled


def label(work: Path, ranks: int, part: tuple[int, int]):
    """Label what is not labelled yet of the frames of one part."""
    frames = make_structures(work)
    # In a fixed random order, so that an unfinished set is balanced too.
    order = np.random.default_rng(0).permutation(len(frames))[part[0] :: part[1]]
    for number, index in enumerate(order):
        atoms = frames[index]
        target = work / "labels" / f"{atoms.info['frame']}.extxyz"
        if target.exists():
            continue
        target.parent.mkdir(exist_ok=True)
        labelled = run_pw(atoms, work / f"scratch{part[0]}", ranks, SETTINGS)
        write(target.with_suffix(".tmp"), labelled, format="extxyz")
        os.replace(target.with_suffix(".tmp"), target)
        print(f"{number + 1}/{len(order)} {atoms.info['frame']} {labelled.info['seconds']} s", flush=True)


def convergence(work: Path, ranks: int):
    """Forces, stress and energy differences on one hot, strained frame against the tightest run."""
    rng = np.random.default_rng(1)
    atoms = bulk("Si", cubic=True, a=LATTICE_A * 0.98) * (2, 2, 2)
    atoms.positions += rng.normal(0, 0.12, atoms.positions.shape)
    variants = {
        f"{cutoff:.0f} Ry, {k}x{k}x{k} shifted, {SETTINGS['degauss_Ry']} Ry": SETTINGS
        | {"ecutwfc_Ry": cutoff, "kpts": [k, k, k]}
        for cutoff, k in ((20.0, 2), (25.0, 2), (30.0, 2), (20.0, 1), (20.0, 3))
    }
    results = {}
    for index, (name, settings) in enumerate(variants.items()):
        target = work / f"convergence{index}.extxyz"
        if not target.exists():
            write(target, run_pw(atoms, work / "scratch-convergence", ranks, settings), format="extxyz")
        results[name] = read(target)
    names = list(results)

    def compare(name, best):
        one, two = results[name], results[best]
        return {
            "against": best,
            "force_max_meV_per_A": 1e3 * float(np.abs(one.get_forces() - two.get_forces()).max()),
            "stress_max_GPa": float(np.abs(one.get_stress() - two.get_stress()).max() / units.GPa),
            "energy_meV_per_atom": 1e3 * float(one.get_potential_energy() - two.get_potential_energy()) / 64,
            "seconds": one.info["seconds"],
        }

    table = {name: compare(name, names[2]) for name in names[:2]}
    table |= {name + " (k-points)": compare(name, names[4]) for name in (names[0], names[3])}
    (HERE / "convergence.json").write_text(json.dumps(table, indent=1) + "\n")
    print(json.dumps(table, indent=1))


def collect(work: Path):
    """Gather the labels, subtract nothing, and write the data file with its provenance."""
    frames = []
    for atoms in make_structures(work):
        path = work / "labels" / f"{atoms.info['frame']}.extxyz"
        if path.exists():
            frames.append(read(path))
    data = HERE / "silicon_pbe.extxyz"
    write(data, frames, format="extxyz")
    out = subprocess.run(["pw.x", "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    version = next((line.strip() for line in out.stdout.splitlines() if "Program PWSCF" in line), "unknown")
    pseudo = PSEUDO_DIR / PSEUDOPOTENTIAL
    provenance = {
        "code": version.split(" starts")[0],
        "functional": "PBE",
        "pseudopotential": PSEUDOPOTENTIAL,
        "pseudopotential_sha256": hashlib.sha256(pseudo.read_bytes()).hexdigest(),
        "settings": SETTINGS,
        "energy": "free energy of the smeared system, whose derivative the forces are",
        "frames": len(frames),
        "date": time.strftime("%Y-%m-%d"),
        "machine_seconds": round(sum(f.info["seconds"] for f in frames)),
        "script": "reference_data/silicon/make.py",
    }
    (HERE / "provenance.json").write_text(json.dumps(provenance, indent=1) + "\n")
    print(json.dumps(provenance, indent=1))


def main():
    """Run one stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["structures", "convergence", "label", "collect"])
    parser.add_argument(
        "--work", type=Path, default=Path("build/silicon"), help="scratch folder, not committed"
    )
    parser.add_argument("--ranks", type=int, default=2, help="MPI processes")
    parser.add_argument("--part", default="0/1", help="0/2 and 1/2: two calls share the frames")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.stage == "structures":
        make_structures(args.work)
    elif args.stage == "convergence":
        convergence(args.work, args.ranks)
    elif args.stage == "label":
        label(args.work, args.ranks, tuple(int(n) for n in args.part.split("/")))
    else:
        collect(args.work)


if __name__ == "__main__":
    sys.exit(main())
