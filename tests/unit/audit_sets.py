"""Sound labelled sets for the tests of the audit, made by calculators whose forces are exact derivatives.

Every set is a list of `ase.Atoms` with info REF_energy, REF_stress (3x3) and array REF_forces, so that a
test can plant a fault in one of them and write the file.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.io import write
from ase.md.verlet import VelocityVerlet

from mlipbench.data.audit.audit import audit
from mlipbench.data.audit.findings import AuditReport
from mlipbench.data.audit.reading import read


def labelled(atoms: Atoms, calculator, stress: bool = True) -> Atoms:
    """The atoms with labels, and without a calculator."""
    atoms = atoms.copy()
    atoms.calc = calculator
    atoms.info["REF_energy"] = float(atoms.get_potential_energy())
    atoms.arrays["REF_forces"] = atoms.get_forces()
    if stress:
        atoms.info["REF_stress"] = atoms.get_stress(voigt=False)
    atoms.calc = None
    return atoms


def _rattled(atoms: Atoms, size: float, strain: float, rng: np.random.Generator) -> Atoms:
    atoms = atoms.copy()
    change = rng.uniform(-strain, strain, (3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + (change + change.T) / 2), scale_atoms=True)
    atoms.positions += rng.normal(0, size, atoms.positions.shape)
    return atoms


def _alloy() -> Atoms:
    atoms = bulk("Cu", "fcc", a=3.85, cubic=True) * (2, 2, 2)
    atoms.symbols[::3] = "Au"
    return atoms


@cache
def _alloy_frames() -> tuple[Atoms, ...]:
    rng = np.random.default_rng(1)
    frames = [labelled(_rattled(_alloy(), 0.08, 0.0, rng), EMT()) for _ in range(30)]
    frames += [labelled(_rattled(_alloy(), 0.03, 0.03, rng), EMT()) for _ in range(30)]
    for symbol in ("Cu", "Au"):
        atom = Atoms(symbol, cell=[12, 12, 12], pbc=False)
        frames.append(labelled(atom, EMT(), stress=False))
    return tuple(frames)


def alloy() -> list[Atoms]:
    """CuAu, 32 atoms, EMT: 30 rattled, 30 rattled and strained frames, two isolated atoms."""
    return [a.copy() for a in _alloy_frames()]


@cache
def _run_frames() -> tuple[Atoms, ...]:
    atoms = _alloy()
    masses = atoms.get_masses()[:, None]
    momenta = np.random.default_rng(2).normal(0, np.sqrt(masses * units.kB * 1200.0), (len(atoms), 3))
    atoms.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())
    atoms.calc = EMT()
    dynamics = VelocityVerlet(atoms, 5 * units.fs)
    dynamics.run(100)
    frames = []
    for step in range(120):
        dynamics.run(4)
        frame = atoms.copy()
        frame.set_momenta(np.zeros((len(atoms), 3)))
        frame.info["time_fs"] = 20.0 * step
        frames.append(labelled(frame, EMT()))
    return tuple(frames)


def run() -> list[Atoms]:
    """120 frames of one NVE run of the alloy at about 600 K, 20 fs apart."""
    return [a.copy() for a in _run_frames()]


@cache
def _argon_frames() -> tuple[Atoms, ...]:
    rng = np.random.default_rng(3)
    crystal = bulk("Ar", "fcc", a=5.3, cubic=True) * (2, 2, 2)
    calculator = LennardJones(sigma=3.405, epsilon=0.01032, rc=8.0, smooth=True, ro=6.0)
    return tuple(labelled(_rattled(crystal, 0.1, s, rng), calculator) for s in [0.0] * 25 + [0.03] * 25)


def argon() -> list[Atoms]:
    """Lennard-Jones argon, 32 atoms: 25 rattled, 25 rattled and strained frames."""
    return [a.copy() for a in _argon_frames()]


@cache
def _ethanol_frames() -> tuple[Atoms, ...]:
    rng = np.random.default_rng(4)
    frames = []
    for _ in range(60):
        atoms = molecule("CH3CH2OH")
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
        atoms.rotate(float(rng.uniform(0, 360)), rng.normal(size=3))
        frames.append(labelled(atoms, EMT(), stress=False))
    return (*frames, *(labelled(Atoms(s), EMT(), stress=False) for s in "CHO"))


def ethanol() -> list[Atoms]:
    """60 rattled and turned molecules, and the isolated atoms, EMT."""
    return [a.copy() for a in _ethanol_frames()]


SETS = {"alloy": alloy, "run": run, "argon": argon, "ethanol": ethanol}


def written(folder: Path, frames: list[Atoms], name: str = "set.extxyz") -> Path:
    """The frames as a file."""
    path = folder / name
    write(path, frames, format="extxyz")
    return path


def audited(folder: Path, train: list[Atoms], test: list[Atoms] | None = None) -> AuditReport:
    """The audit of frames that went through files."""
    held_out = read(written(folder, test, "test.extxyz")) if test else []
    return audit(read(written(folder, train, "train.extxyz")), held_out)


def alarms(report: AuditReport) -> set[str]:
    """Ids of errors and warnings."""
    return {f.id for f in report.findings if f.level != "note"}


def cause(report: AuditReport, name: str) -> str:
    """The likely cause that a finding names."""
    return next(f.cause for f in report.findings if f.id == name)
