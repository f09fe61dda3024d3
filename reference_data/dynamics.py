"""Molecular dynamics on forces that take minutes each, with a cheap potential between them.

An expensive force F is asked every `every` steps; between two of them moves a cheap force f near it
(M. Tuckerman, B. J. Berne, G. J. Martyna, J. Chem. Phys. 97, 1990 (1992), eq. 2.21):

    v += n dt/2 (F - f)/m;   n velocity Verlet steps of dt with f;   v += n dt/2 (F - f)/m

The expensive surface is sampled and its energy conserved, whatever f is: f decides only how large the error
in dt is, which is that of a step n dt for F - f and of dt for f. n = 1 is velocity Verlet with F alone.
After each F follows an Ornstein-Uhlenbeck step of the velocities, with the momentum held at zero: a crystal
at constant energy would keep the energies that its modes were given at the start. The heat that it brings in
is kept, so that E + K - heat is conserved.

A run is one small file (positions and velocities of every step in single precision, what is needed to go on
in double), written after each expensive force.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms, units

from mlipbench.core.potential import Potential
from mlipbench.core.structure import Structure
from mlipbench.core.units import ACCELERATION, BOLTZMANN, MASS_VELOCITY_SQUARED
from reference_data.espresso import Answer

COLUMNS = ("energy", "kinetic", "heat", "iterations", "accuracy", "smearing", "seconds")  # eV, s
Slow = Callable[[np.ndarray], Answer]  # positions (n_atoms, 3) A
Fast = Callable[[np.ndarray], np.ndarray]  # positions (n_atoms, 3) A -> forces eV/A


@dataclass(frozen=True)
class Protocol:
    """How the run moves; another one is another run."""

    timestep_fs: float
    every: int  # steps of the cheap force to one of the expensive one
    temperature_K: float
    relaxation_fs: float  # of the thermostat
    seed: int


@dataclass
class Run:
    """A run so far."""

    protocol: Protocol
    sites: np.ndarray  # (n_atoms, 3) A, from which displacements are counted
    cell: np.ndarray  # (3, 3) A
    numbers: np.ndarray  # (n_atoms,)
    masses: np.ndarray  # (n_atoms,) u
    positions: np.ndarray  # (n_atoms, 3) A, where it goes on
    velocities: np.ndarray  # (n_atoms, 3) A/fs
    forces: np.ndarray | None = None  # (n_atoms, 3) eV/A, expensive; None: not asked yet
    heat: float = 0.0  # eV, brought in by the thermostat
    displacements: list[np.ndarray] = field(default_factory=list)  # each (n_atoms, 3) float32, of each step
    motions: list[np.ndarray] = field(default_factory=list)  # velocities of each step, float32
    calls: list[list[float]] = field(default_factory=list)  # COLUMNS of each expensive force
    stresses: list[np.ndarray] = field(default_factory=list)  # (6,) eV/A^3 of each, without kinetic part
    notes: dict[str, object] = field(default_factory=dict)  # settings, what f was: JSON

    @property
    def n_steps(self) -> int:
        """Steps made."""
        return max(len(self.calls) - 1, 0) * self.protocol.every

    @property
    def kinetic(self) -> float:
        """eV."""
        return kinetic_energy(self.masses, self.velocities)

    def column(self, name: str) -> np.ndarray:
        """One of COLUMNS, (n_calls,)."""
        return np.array(self.calls)[:, COLUMNS.index(name)]

    def temperatures(self) -> np.ndarray:
        """K, at each expensive force (n_calls,)."""
        return 2 * self.column("kinetic") / ((3 * len(self.sites) - 3) * BOLTZMANN)

    def conserved(self) -> np.ndarray:
        """eV, at each expensive force (n_calls,)."""
        return self.column("energy") + self.column("kinetic") - self.column("heat")


def kinetic_energy(masses: np.ndarray, velocities: np.ndarray) -> float:
    """Of (n_atoms, 3) A/fs, eV."""
    return 0.5 * MASS_VELOCITY_SQUARED * float((masses[:, None] * velocities**2).sum())


def thermal(atoms: Atoms, temperature_K: float, rng: np.random.Generator) -> None:
    """Velocities of Maxwell and Boltzmann, with no momentum."""
    masses = atoms.get_masses()[:, None]
    momenta = rng.standard_normal((len(atoms), 3)) * np.sqrt(masses * units.kB * temperature_K)
    atoms.set_momenta(momenta - masses / masses.sum() * momenta.sum(axis=0))


def start(atoms: Atoms, sites: np.ndarray, protocol: Protocol) -> Run:
    """From atoms with velocities; their momentum is taken away."""
    structure = Structure.from_ase(atoms)
    masses, velocities = structure.masses, atoms.get_velocities() * units.fs
    velocities = velocities - (masses @ velocities) / masses.sum()
    return Run(
        protocol, sites, structure.cell, structure.numbers, masses, structure.positions.copy(), velocities
    )


def fast_forces(potential: Potential, run: Run) -> Fast:
    """Of one of our potentials, bound to the atoms of the run."""
    structure = Structure(
        numbers=run.numbers, positions=run.positions, cell=run.cell, pbc=np.ones(3, bool), masses=run.masses
    )
    bound = potential.bind(structure, 1)
    return lambda positions: bound(positions[None], run.cell[None], False).forces[0]


def advance(run: Run, slow: Slow, fast: Fast) -> None:
    """To the next expensive force; the first call asks for that at the start."""
    p = run.protocol
    if run.forces is None:
        _record(run, slow(run.positions))
        return
    inverse = ACCELERATION / run.masses[:, None]
    f = fast(run.positions)
    x, v = run.positions.copy(), run.velocities + 0.5 * p.every * p.timestep_fs * inverse * (run.forces - f)
    between = []
    for _ in range(p.every):
        v = v + 0.5 * p.timestep_fs * inverse * f
        x = x + p.timestep_fs * v
        f = fast(x)
        v = v + 0.5 * p.timestep_fs * inverse * f
        between.append((x, v))
    answer = slow(x)
    v = v + 0.5 * p.every * p.timestep_fs * inverse * (answer.forces - f)
    between[-1] = (x, v)
    warmed = _thermostat(run, v)
    run.heat += kinetic_energy(run.masses, warmed) - kinetic_energy(run.masses, v)
    run.positions, run.velocities = x, warmed
    for position, velocity in between:
        run.displacements.append((position - run.sites).astype(np.float32))
        run.motions.append(velocity.astype(np.float32))
    _record(run, answer)


def _thermostat(run: Run, velocities: np.ndarray) -> np.ndarray:
    """Ornstein-Uhlenbeck over `every` steps; random numbers of the step, so that a resumed run goes on."""
    p = run.protocol
    kept = np.exp(-p.every * p.timestep_fs / p.relaxation_fs)
    rng = np.random.default_rng([p.seed, len(run.calls)])
    width = np.sqrt(BOLTZMANN * p.temperature_K * ACCELERATION / run.masses[:, None])
    kick = width * rng.standard_normal(velocities.shape)
    v = kept * velocities + np.sqrt(1 - kept**2) * kick
    return v - (run.masses @ v) / run.masses.sum()


def _record(run: Run, answer: Answer) -> None:
    run.forces = answer.forces
    run.calls.append(
        [answer.energy, run.kinetic, run.heat, answer.iterations, answer.accuracy, answer.smearing,
         answer.seconds]
    )  # fmt: skip
    run.stresses.append(answer.stress)


# ---------------------------------------------------------------- the file
_EXACT = ("sites", "cell", "numbers", "masses", "positions", "velocities")
_SERIES = ("displacements", "motions", "calls", "stresses")


def save(path: Path, run: Run) -> None:
    """Replace the file by the run as it is now, whole or not at all."""
    header = {"protocol": run.protocol.__dict__, "heat": run.heat, "notes": run.notes, "columns": COLUMNS}
    arrays = {name: getattr(run, name) for name in _EXACT}
    arrays |= {name: np.array(getattr(run, name)) for name in _SERIES}
    if run.forces is not None:
        arrays["forces"] = run.forces
    temporary = path.with_suffix(".tmp")
    with open(temporary, "wb") as handle:
        np.savez_compressed(handle, header=np.array(json.dumps(header)), **arrays)
    os.replace(temporary, path)


def load(path: Path) -> Run:
    """The run of a file."""
    with np.load(path) as found:
        header = json.loads(str(found["header"]))
        exact = {name: found[name] for name in _EXACT}
        series = {name: list(found[name]) for name in ("displacements", "motions", "stresses")}
        calls = found["calls"].tolist()
        forces = found.get("forces")
    return Run(
        Protocol(**header["protocol"]), **exact, forces=forces, heat=header["heat"], calls=calls,
        notes=header["notes"], **series,
    )  # fmt: skip


def longest(paths: Sequence[Path], protocol: Protocol) -> Run | None:
    """The farthest of several files of one run; None where there is none.

    Raises SystemExit where a file is of another protocol: two runs are not joined.
    """
    runs = []
    for path in paths:
        if path.exists():
            run = load(path)
            if run.protocol != protocol:
                raise SystemExit(f"{path}: expected a run of {protocol}, got {run.protocol}: move it away")
            runs.append(run)
    return max(runs, key=lambda run: len(run.calls), default=None)
