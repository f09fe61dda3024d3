"""Quantum ESPRESSO as the reference sets run it: one core, one frame, forces and stress beside the energy.

Of Debian: `quantum-espresso`, `quantum-espresso-data`, and `libopenblas0-pthread` (with the reference BLAS a
frame takes several times as long). OpenBLAS 0.3.21 takes processors newer than itself for the oldest one that
it knows; told what this one can do, 64 atoms of silicon take 55 s instead of 118 (one k-point, the same
energy to the last digit). The energy is the one that pw.x marks with "!": with smearing that is the
free energy, of which the forces are the derivative. Units: eV, eV/A, eV/A^3; stress in ASE's order and sign.
"""

import hashlib
import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.espresso import read_espresso_out, write_espresso_in

PSEUDO_DIR = Path(os.environ.get("ESPRESSO_PSEUDO", "/usr/share/espresso/pseudo"))
ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
KERNELS = {"avx512vl": "SkylakeX", "avx2": "Haswell"}  # flag of the processor -> OpenBLAS' name; best first
CONVERGED = "convergence has been achieved"


@dataclass(frozen=True)
class Mesh:
    """k-points: so many along each axis, shifted by half a step along those where `offset` is 1."""

    points: tuple[int, int, int]
    offset: tuple[int, int, int] = (0, 0, 0)

    def __str__(self) -> str:
        shifted = "" if not any(self.offset) else " shifted"
        return "x".join(map(str, self.points)) + shifted


GAMMA = Mesh((1, 1, 1))


def environment(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Of a program on one core, with the kernels of OpenBLAS that the processor can run; a choice made
    outside (OPENBLAS_CORETYPE) stays."""
    flags = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    kernels = [{"OPENBLAS_CORETYPE": name} for flag, name in KERNELS.items() if flag in flags]
    return (kernels[0] if kernels else {}) | os.environ | ONE_CORE


@dataclass(frozen=True)
class Job:
    """What pw.x is told beside the atoms: &SYSTEM, k-points, and how far the SCF cycle is converged."""

    system: Mapping[str, object]
    mesh: Mesh
    conv_thr_Ry: float
    pseudopotentials: Mapping[str, str]  # element -> file in PSEUDO_DIR
    mixing: Mapping[str, object] = field(default_factory=lambda: {"mixing_beta": 0.5})  # how it converges


def write_input(
    path: Path, atoms: Atoms, job: Job, control: Mapping[str, object] | None = None
) -> None:  # fmt: skip
    """The input of pw.x; `control` is added to the namelist of this name."""
    gamma = job.mesh == GAMMA  # real wave functions: half of the work
    input_data = {
        "control": {
            "calculation": "scf", "tprnfor": True, "tstress": True, "outdir": "./tmp",
            "pseudo_dir": str(PSEUDO_DIR), "disk_io": "none", "verbosity": "high", **(control or {}),
        },
        "system": dict(job.system),
        "electrons": {"conv_thr": job.conv_thr_Ry, "electron_maxstep": 150, **job.mixing},
    }  # fmt: skip
    with open(path, "w") as handle:
        write_espresso_in(
            handle, atoms, input_data=input_data, pseudopotentials=dict(job.pseudopotentials),
            kpts=None if gamma else job.mesh.points, koffset=job.mesh.offset,
        )  # fmt: skip


def run(program: str, source: str, folder: Path, pools: int = 1) -> str:
    """Run `pw.x`, `ph.x` on an input in its folder; its output, which stays beside it. Returns the text.

    `pools` shares the k-points among so many processes. Raises RuntimeError where the program fails.
    """
    out = folder / Path(source).with_suffix(".out")
    shared = ["mpirun", "-np", str(pools)] if pools > 1 else []
    with open(out, "w") as handle:
        ended = subprocess.run(
            [*shared, program, "-nk", str(pools), "-in", source],
            cwd=folder, env=environment(), stdout=handle, stderr=subprocess.STDOUT,
        )  # fmt: skip
    if ended.returncode:
        raise RuntimeError(f"{out} says why {' '.join([*shared, program])} ended with {ended.returncode}")
    return out.read_text()


def scf(
    atoms: Atoms, folder: Path, job: Job, control: Mapping[str, object] | None = None, pools: int = 1
):  # fmt: skip
    """The frame with energy, forces and stress and the seconds they took; and all of the answer (ASE's).

    Raises RuntimeError where the SCF cycle did not converge.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_input(folder / "pw.in", atoms, job, control)
    start = time.monotonic()
    text = run("pw.x", "pw.in", folder, pools)
    seconds = time.monotonic() - start
    if CONVERGED not in text:
        raise RuntimeError(f"{folder}: the SCF cycle did not converge")
    with open(folder / "pw.out") as handle:
        result = list(read_espresso_out(handle, index=slice(None)))[-1].calc
    labelled = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True, info=dict(atoms.info))
    labelled.info |= {
        "seconds": round(seconds, 1), "kpts": " ".join(map(str, job.mesh.points)),
        "bands": job.system.get("nbnd", len(result.get_eigenvalues())), "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    labels = {key: result.results[key] for key in ("energy", "forces", "stress")}
    labelled.calc = SinglePointCalculator(labelled, **labels)
    return labelled, result


def version(work: Path) -> str:
    """What pw.x calls itself. It has no way to be asked: it starts, finds no input, and leaves files."""
    out = subprocess.run(["pw.x"], cwd=work, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    line = next((line.strip() for line in out.stdout.splitlines() if "Program PWSCF" in line), "unknown")
    return line.split(" starts")[0]


def digest(pseudopotential: str) -> str:
    """sha256 of a pseudopotential."""
    return hashlib.sha256((PSEUDO_DIR / pseudopotential).read_bytes()).hexdigest()


# ---------------------------------------------------------------- and how the cycle went
@dataclass(frozen=True)
class Answer:
    """Of one SCF cycle."""

    energy: float  # eV, "!"
    forces: np.ndarray  # (n_atoms, 3) eV/A
    stress: np.ndarray  # (6,) eV/A^3, ASE's order and sign
    iterations: int
    accuracy: float  # eV, what the SCF cycle estimates to be left
    smearing: float  # eV, -TS: 0 where the smearing touches no state
    seconds: float


def answer(atoms: Atoms, folder: Path, job: Job, pools: int = 1) -> Answer:
    """One frame, from the atoms' densities: pw.x goes on from another frame with its last threshold, which
    costs more than the start saves. Raises RuntimeError where the SCF cycle did not converge."""
    labelled, _ = scf(atoms, folder, job, pools=pools)
    text = (folder / "pw.out").read_text()
    iterations = re.findall(rf"{CONVERGED} in\s+(\d+) iterations", text)[-1]
    accuracy = re.findall(r"estimated scf accuracy\s+<\s+(\S+) Ry", text)[-1]
    smearing = re.findall(r"smearing contrib\. \(-TS\)\s+=\s+(\S+) Ry", text) or ["0"]
    return Answer(
        labelled.get_potential_energy(), labelled.get_forces(), labelled.get_stress(), int(iterations),
        float(accuracy) * units.Ry, float(smearing[-1]) * units.Ry, labelled.info["seconds"],
    )  # fmt: skip
