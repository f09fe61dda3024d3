"""Compute the silicon reference set with Quantum ESPRESSO (PBE).

    python make.py structures             # what is labelled: structures.py; minutes
    python make.py convergence            # cutoff and k-point table, convergence.json
    python make.py label --part 0/2       # one SCF + forces + stress a frame; a second call takes 1/2
    python make.py collect                # silicon_pbe_{train,val,test}.extxyz and provenance.json

Every stage skips what is already on disk in --work, and `label` also what the committed files hold, so the
script may be killed and started again at any moment, on another machine too; `collect` adds to the committed
files what is new. Frames come in an order in which an unfinished set is balanced. Needs mlipbench, and of
Debian `quantum-espresso`, `quantum-espresso-data` and `libopenblas0-pthread` (with the reference BLAS a frame
takes several times as long).

One energy surface for all frames: one cutoff, one smearing, one density of k-points. The stored energy is the
free energy that pw.x marks with "!", because that is the quantity of which the forces are the derivative.
Units of the output: eV, eV/A, eV/A^3; stress in ASE's order and sign.
"""

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import structures
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.io.espresso import read_espresso_out, write_espresso_in

HERE = Path(__file__).parent
PARTS = ("train", "val", "test")
PSEUDOPOTENTIAL = "Si.pbe-rrkj.UPF"
PSEUDO_DIR = Path(os.environ.get("ESPRESSO_PSEUDO", "/usr/share/espresso/pseudo"))
SETTINGS = {
    "ecutwfc_Ry": 24.0,
    "ecutrho_Ry": 60.0,
    "kpts_of_64_atoms": [2, 2, 2],
    "koffset": "half a step along each axis with more than one point",
    "smearing": "gaussian",
    "degauss_Ry": 0.01,
    "conv_thr_Ry_per_64_atoms": 1e-6,
}
ATOM = "isolated_atom"
EMPTY = 3.5  # the highest band lies this many smearing widths above the Fermi level, at the least


# ---------------------------------------------------------------- one calculation
def run_pw(
    atoms: Atoms, folder: Path, mesh=None, cutoffs=None, bands: int | None = None, accuracy: float = 1.0
) -> Atoms:
    """Label one frame; again with more bands where the smearing would reach the highest one. `accuracy`
    is the factor by which the SCF cycle is converged further than SETTINGS say."""
    kpts, offset = mesh or structures.k_points(atoms)
    wave, density = cutoffs or (SETTINGS["ecutwfc_Ry"], SETTINGS["ecutrho_Ry"])
    bands = bands or 2 * len(atoms) + max(6, len(atoms) // 4)
    system = {
        "ecutwfc": wave, "ecutrho": density, "occupations": "smearing",
        "smearing": SETTINGS["smearing"], "degauss": SETTINGS["degauss_Ry"], "nbnd": bands, "nosym": True,
    }  # fmt: skip
    labelled, result = _pw(atoms, folder, system, kpts, offset, accuracy)
    if (
        min(max(k.eps_n) for k in result.kpts)
        < result.get_fermi_level() + EMPTY * system["degauss"] * units.Ry
    ):
        return run_pw(atoms, folder, mesh, cutoffs, bands + max(4, len(atoms) // 4), accuracy)
    return labelled


def run_atom(folder: Path) -> Atoms:
    """The free atom, spin polarised, s2 p2 with two unpaired electrons shared by three p orbitals."""
    info = {"config_type": ATOM, "trajectory": ATOM, "temperature_K": 0.0}
    atoms = Atoms("Si", positions=[(6.0, 6.25, 6.5)], cell=(12.0, 12.5, 13.0), pbc=True, info=info)
    atoms.set_initial_magnetic_moments([2.0])
    system = {
        "ecutwfc": SETTINGS["ecutwfc_Ry"], "ecutrho": SETTINGS["ecutrho_Ry"], "occupations": "smearing",
        "smearing": SETTINGS["smearing"], "degauss": 0.001, "nspin": 2, "tot_magnetization": 2,
        "nbnd": 8, "nosym": True,
    }  # fmt: skip
    labelled, _ = _pw(atoms, folder, system, (1, 1, 1), (0, 0, 0))
    del labelled.calc.results["stress"]  # of the box, not of an atom
    return labelled


def _pw(atoms: Atoms, folder: Path, system: dict, kpts, offset, accuracy: float = 1.0):
    """One run of pw.x: the frame with its labels and the seconds they took, and all of the answer."""
    folder.mkdir(parents=True, exist_ok=True)
    input_data = {
        "control": {
            "calculation": "scf", "tprnfor": True, "tstress": True, "outdir": "./tmp",
            "pseudo_dir": str(PSEUDO_DIR), "disk_io": "none", "verbosity": "high",
        },
        "system": system,
        "electrons": {
            "conv_thr": SETTINGS["conv_thr_Ry_per_64_atoms"] * len(atoms) / 64 / accuracy,
            "mixing_beta": 0.5, "electron_maxstep": 150,
        },
    }  # fmt: skip
    with open(folder / "pw.in", "w") as handle:
        write_espresso_in(
            handle, atoms, input_data=input_data, pseudopotentials={"Si": PSEUDOPOTENTIAL},
            kpts=kpts, koffset=offset,
        )  # fmt: skip
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    command = ["pw.x", "-in", "pw.in"]
    start = time.monotonic()
    with open(folder / "pw.out", "w") as out:
        subprocess.run(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT, check=True)
    seconds = time.monotonic() - start
    if "convergence has been achieved" not in (folder / "pw.out").read_text():
        raise RuntimeError(f"{folder}: the SCF cycle did not converge")
    with open(folder / "pw.out") as handle:
        result = list(read_espresso_out(handle, index=slice(None)))[-1].calc
    labelled = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True, info=dict(atoms.info))
    labelled.info |= {
        "seconds": round(seconds, 1), "kpts": " ".join(map(str, kpts)), "bands": system["nbnd"],
        "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    # the energy is that of "!", the free energy
    labels = {key: result.results[key] for key in ("energy", "forces", "stress")}
    labelled.calc = SinglePointCalculator(labelled, **labels)
    return labelled, result


# ---------------------------------------------------------------- stages
def committed() -> dict[str, Atoms]:
    """Frames that the committed files hold, by name; none where their settings are other ones."""
    record = HERE / "provenance.json"
    if not record.exists() or json.loads(record.read_text()).get("settings") != SETTINGS:
        return {}
    files = [HERE / f"silicon_pbe_{part}.extxyz" for part in PARTS]
    frames = [frame for file in files if file.exists() for frame in read(file, ":")]
    return {frame.info["trajectory"]: frame for frame in frames}


def make_structure(work: Path, name: str, kind: structures.Kind, index: int) -> None:
    """Write one structure, unless it is there."""
    target = work / "structures" / f"{name}.extxyz"
    if not target.exists():
        write(target.with_suffix(".tmp"), structures.structure(name, kind, index), format="extxyz")
        os.replace(target.with_suffix(".tmp"), target)
        print(name, flush=True)


def make_structures(work: Path) -> None:
    """All structures that are not labelled yet."""
    (work / "structures").mkdir(exist_ok=True)
    done = committed()
    with ProcessPoolExecutor(2) as pool:
        jobs = [
            pool.submit(make_structure, work, *item) for item in structures.names() if item[0] not in done
        ]
        for job in jobs:
            job.result()


def order() -> list[str]:
    """Names in the order of labelling: random, but every kind advances at its own even pace."""
    rng = np.random.default_rng(0)
    ranked = []
    for kind in structures.KINDS:
        mine = rng.permutation([name for name, k, _ in structures.names() if k is kind])
        ranked += [((i + rng.uniform()) / len(mine), str(name)) for i, name in enumerate(mine)]
    return [ATOM, *(name for _, name in sorted(ranked))]


def label(work: Path, part: tuple[int, int], only: str) -> None:
    """Label what is not labelled yet of the frames of one part whose names match `only`."""
    done = committed()
    (work / "labels").mkdir(exist_ok=True)
    mine = [name for name in order() if fnmatch(name, only)][part[0] :: part[1]]
    for number, name in enumerate(mine):
        target = work / "labels" / f"{name}.extxyz"
        if target.exists() or name in done:
            continue
        scratch = work / f"scratch{part[0]}"
        if name == ATOM:
            labelled = run_atom(scratch)
        else:
            labelled = run_pw(read(work / "structures" / f"{name}.extxyz"), scratch)
        write(target.with_suffix(".tmp"), labelled, format="extxyz")
        os.replace(target.with_suffix(".tmp"), target)
        print(f"{number + 1}/{len(mine)} {name} {labelled.info['seconds']} s", flush=True)


def convergence(work: Path) -> None:
    """Cutoff on a hot, compressed 64-atom frame; k-points on 64 and on 8 atoms; each against the best."""
    rng = np.random.default_rng(1)
    large = bulk("Si", cubic=True, a=structures.LATTICE_A * 0.98) * (2, 2, 2)
    large.positions += rng.normal(0, 0.12, large.positions.shape)
    small = bulk("Si", cubic=True, a=structures.LATTICE_A * 0.98)
    small.positions += rng.normal(0, 0.12, small.positions.shape)
    one, normal = ((1, 1, 1), (1, 1, 1)), (SETTINGS["ecutwfc_Ry"], SETTINGS["ecutrho_Ry"])
    studies = {
        "cutoff, 64 atoms, 1 k-point": (
            large, [(one, (20.0, 80.0)), (one, normal), (one, (24.0, 96.0)), (one, (36.0, 144.0))]
        ),
        "k-points, 64 atoms": (large, [(((n,) * 3, (1, 1, 1)), normal) for n in (1, 2, 3)]),
        "k-points, 8 atoms": (small, [(((n,) * 3, (1, 1, 1)), normal) for n in (2, 4, 6, 8)]),
    }  # fmt: skip
    table = {}
    for title, (atoms, variants) in studies.items():
        atoms.info["config_type"] = "convergence"
        answers = []
        for mesh, cutoffs in variants:
            key = f"{title}-{mesh}-{cutoffs}".replace(" ", "")
            target = work / f"convergence-{hashlib.sha256(key.encode()).hexdigest()[:12]}.extxyz"
            if not target.exists():
                write(target, run_pw(atoms, work / "scratch-convergence", mesh, cutoffs), format="extxyz")
            answers.append((f"{mesh[0][0]}^3 shifted, {cutoffs[0]:g}/{cutoffs[1]:g} Ry", read(target)))
        table[title] = [compare(name, frame, *answers[-1]) for name, frame in answers[:-1]]
        (HERE / "convergence.json").write_text(json.dumps(table, indent=1) + "\n")
    print(json.dumps(table, indent=1))


def compare(name: str, frame: Atoms, best_name: str, best: Atoms) -> dict:
    """Differences of one calculation from the best of its study."""
    force = frame.get_forces() - best.get_forces()
    return {
        "setting": name,
        "against": best_name,
        "force_max_meV_per_A": round(1e3 * float(np.abs(force).max()), 2),
        "force_rms_meV_per_A": round(1e3 * math.sqrt(float((force**2).mean())), 2),
        "stress_max_GPa": round(float(np.abs(frame.get_stress() - best.get_stress()).max() / units.GPa), 3),
        "energy_meV_per_atom": round(
            1e3 * (frame.get_potential_energy() - best.get_potential_energy()) / len(frame), 2
        ),
        "seconds": [frame.info["seconds"], best.info["seconds"]],
    }


def collect(work: Path) -> None:
    """Add the new labels to the committed files, subtract nothing, and write the provenance."""
    frames = committed()
    for path in sorted((work / "labels").glob("*.extxyz")):
        frames.setdefault(path.stem, read(path))
    split = structures.split_of() | {ATOM: "train"}
    files = {}
    for part in PARTS:
        mine = [frames[name] for name in sorted(frames) if split[name] == part]
        target = HERE / f"silicon_pbe_{part}.extxyz"
        write(target, mine, format="extxyz")
        names = sorted(name for name in split if split[name] == part)
        files[target.name] = {
            "frames": len(mine),
            "planned": len(names),
            "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
            "split_sha256": hashlib.sha256("\n".join(names).encode()).hexdigest(),
            "machine_seconds": round(sum(frame.info["seconds"] for frame in mine)),
            "dates": sorted({frame.info["date"] for frame in mine}),
        }
    # pw.x has no way to ask for its version: it starts, finds no input, and leaves files behind
    out = subprocess.run(["pw.x"], cwd=work, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    version = next((line.strip() for line in out.stdout.splitlines() if "Program PWSCF" in line), "unknown")
    provenance = {
        "code": version.split(" starts")[0],
        "functional": "PBE",
        "pseudopotential": PSEUDOPOTENTIAL,
        "pseudopotential_sha256": hashlib.sha256((PSEUDO_DIR / PSEUDOPOTENTIAL).read_bytes()).hexdigest(),
        "settings": SETTINGS,
        "isolated_atom": "spin polarised triplet, 12 x 12.5 x 13 A, Gamma, degauss 0.001 Ry",
        "energy": "free energy of the smeared system, whose derivative the forces are",
        "left_out": "contacts below 1.9 A (dimers too): the cores of the pseudopotential overlap",
        "script": "reference_data/silicon/make.py, structures.py",
        "files": files,
    }
    (HERE / "provenance.json").write_text(json.dumps(provenance, indent=1) + "\n")
    print(json.dumps(provenance, indent=1))


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["structures", "convergence", "label", "collect"])
    parser.add_argument(
        "--work", type=Path, default=Path("build/silicon"), help="scratch folder, not committed"
    )
    parser.add_argument("--only", default="*", help="label the frames of these names: 'md_300K-*'")
    parser.add_argument("--part", default="0/1", help="0/2 and 1/2: two calls share the frames")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.stage == "structures":
        make_structures(args.work)
    elif args.stage == "convergence":
        convergence(args.work)
    elif args.stage == "label":
        label(args.work, tuple(int(n) for n in args.part.split("/")), args.only)
    else:
        collect(args.work)


if __name__ == "__main__":
    sys.exit(main())
