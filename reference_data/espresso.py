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
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.calculators.socketio import SocketIOCalculator
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


def write_input(
    path: Path, atoms: Atoms, job: Job, control: Mapping[str, object] | None = None,
    ions: Mapping[str, object] | None = None,
) -> None:  # fmt: skip
    """The input of pw.x; `control` and `ions` are added to the namelists of these names."""
    gamma = job.mesh == GAMMA  # real wave functions: half of the work
    input_data = {
        "control": {
            "calculation": "scf", "tprnfor": True, "tstress": True, "outdir": "./tmp",
            "pseudo_dir": str(PSEUDO_DIR), "disk_io": "none", "verbosity": "high", **(control or {}),
        },
        "system": dict(job.system),
        "electrons": {"conv_thr": job.conv_thr_Ry, "mixing_beta": 0.5, "electron_maxstep": 150},
        "ions": dict(ions or {}),
    }  # fmt: skip
    with open(path, "w") as handle:
        write_espresso_in(
            handle, atoms, input_data=input_data, pseudopotentials=dict(job.pseudopotentials),
            kpts=None if gamma else job.mesh.points, koffset=job.mesh.offset,
        )  # fmt: skip


def run(program: str, source: str, folder: Path) -> str:
    """Run `pw.x`, `ph.x` on an input in its folder; its output, which stays beside it. Returns the text."""
    out = folder / Path(source).with_suffix(".out")
    with open(out, "w") as handle:
        subprocess.run(
            [program, "-in", source], cwd=folder, env=environment(), stdout=handle,
            stderr=subprocess.STDOUT, check=True,
        )  # fmt: skip
    return out.read_text()


def scf(atoms: Atoms, folder: Path, job: Job, control: Mapping[str, object] | None = None):
    """The frame with energy, forces and stress and the seconds they took; and all of the answer (ASE's).

    Raises RuntimeError where the SCF cycle did not converge.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_input(folder / "pw.in", atoms, job, control)
    start = time.monotonic()
    text = run("pw.x", "pw.in", folder)
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


# ---------------------------------------------------------------- many steps of one system
@dataclass(frozen=True)
class Answer:
    """Of one SCF cycle among several."""

    energy: float  # eV, "!"
    forces: np.ndarray  # (n_atoms, 3) eV/A
    stress: np.ndarray  # (6,) eV/A^3, ASE's order and sign
    iterations: int
    accuracy: float  # eV, what the SCF cycle estimates to be left
    smearing: float  # eV, -TS: 0 where the smearing touches no state
    seconds: float


class Server:
    """pw.x kept running, position after position in one cell, over a Unix socket (the protocol of i-PI).

    Density and wave functions are extrapolated from the positions before (`ions`), which saves
    about half of the iterations. Use as a context manager; pw.x ends when the socket closes, and with it.
    """

    def __init__(self, atoms: Atoms, folder: Path, job: Job, ions: Mapping[str, object]):
        folder.mkdir(parents=True, exist_ok=True)
        # pw.x reads &IONS only where atoms move
        write_input(folder / "pw.in", atoms, job, {"calculation": "md", "disk_io": "low"}, ions)
        self.out = folder / "pw.out"
        self._read = 0
        self._atoms = atoms.copy()
        self._process: subprocess.Popen | None = None
        self._socket = SocketIOCalculator(unixsocket=f"pw_{uuid4().hex[:12]}", launch_client=self._launch)

    def _launch(self, atoms, properties=None, port=None, unixsocket=None) -> subprocess.Popen:
        with open(self.out, "w") as handle:
            self._process = subprocess.Popen(
                ["pw.x", "--ipi", f"{unixsocket}:UNIX", "-in", "pw.in"], cwd=self.out.parent,
                env=environment(), stdout=handle, stderr=subprocess.STDOUT,
            )  # fmt: skip

        return self._process

    def __call__(self, positions: np.ndarray) -> Answer:
        """Labels at positions (n_atoms, 3) A. Raises RuntimeError where the SCF cycle did not converge."""
        start = time.monotonic()
        self._atoms.positions[:] = positions
        self._socket.calculate(self._atoms, ["energy", "forces", "stress"], ["positions"])
        found = self._socket.results
        seconds = time.monotonic() - start
        with open(self.out) as handle:
            handle.seek(self._read)
            text, self._read = handle.read(), handle.tell()
        cycles = re.findall(rf"{CONVERGED} in\s+(\d+) iterations", text)
        if len(cycles) != 1:
            raise RuntimeError(f"{self.out}: expected one converged SCF cycle a step, got {len(cycles)}")
        accuracy = re.findall(r"estimated scf accuracy\s+<\s+(\S+) Ry", text)[-1]
        smearing = re.findall(r"smearing contrib\. \(-TS\)\s+=\s+(\S+) Ry", text) or ["0"]
        return Answer(
            found["energy"], found["forces"].copy(), found["stress"].copy(), int(cycles[0]),
            float(accuracy) * units.Ry, float(smearing[-1]) * units.Ry, seconds,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *exception) -> None:
        if self._process is not None:
            self._process.terminate()  # it would end its SCF cycle before it sees that nobody listens
        with warnings.catch_warnings():  # of its exit status
            warnings.simplefilter("ignore")
            self._socket.close()
