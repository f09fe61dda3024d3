"""What a trajectory is, before and after it has been computed.

A `TrajectorySpec` describes one replica: everything that decides its course is in it, so its hash
(with the identity of the potential) is the trajectory's name in the store. Length and frame
stride are left out of the name: a longer request extends the stored trajectory, a finer stride
asked by another suite serves both.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Union

import numpy as np

from mlipbench.core.structure import FloatArray, Structure
from mlipbench.core.units import conversion_factor


@dataclass(frozen=True)
class NVE:
    """Constant energy: velocity Verlet."""

    kind: Literal["nve"] = "nve"


@dataclass(frozen=True)
class Langevin:
    """Langevin dynamics, BAOAB splitting (Leimkuhler, Matthews, AMRX 2013, 34)."""

    temperature_K: float
    friction_per_fs: float = 0.002
    kind: Literal["langevin"] = "langevin"


@dataclass(frozen=True)
class VelocityRescaling:
    """Canonical velocity rescaling (Bussi, Donadio, Parrinello, J. Chem. Phys. 126, 014101)."""

    temperature_K: float
    relaxation_fs: float = 500.0
    kind: Literal["velocity_rescaling"] = "velocity_rescaling"


@dataclass(frozen=True)
class StochasticCellRescaling:
    """Constant temperature and pressure: a thermostat, and every `stride` steps a move of the cell (Bernetti,
    Bussi, J. Chem. Phys. 153, 114107), which keeps its shape, or changes its lengths along the axes x, y, z,
    or all lengths and angles. A liquid resists no change of shape: keep it there.

    Only the ratio of compressibility and relaxation time counts. Where the compressibility is that of the
    system, the volume forgets within the relaxation time; a value that is far too large makes the moves too
    long, which the conserved quantity tells. Needs a potential with stress, periodic in all directions.
    """

    thermostat: Union[Langevin, VelocityRescaling]
    pressure_bar: float
    compressibility_per_GPa: float
    relaxation_fs: float = 500.0
    stride: int = 10  # steps between two moves; the pressure is known at these steps
    least_volume: float = 0.5  # times that of the specification's structure: below it, a collapse
    most_volume: float = 2.0  # above it, the system evaporates
    cell: Literal["isotropic", "lengths", "full"] = "isotropic"
    most_stretch: float = 1.5  # along any direction, against the specification's structure; or squeeze
    kind: Literal["stochastic_cell_rescaling"] = "stochastic_cell_rescaling"

    @property
    def temperature_K(self) -> float:
        """That of the thermostat."""
        return self.thermostat.temperature_K


Ensemble = Union[NVE, Langevin, VelocityRescaling, StochasticCellRescaling]


@dataclass(frozen=True)
class MaxwellBoltzmann:
    """Initial velocities at T; centre-of-mass momentum removed (and angular, where not periodic)
    when the trajectory has `fix_com`, then scaled so that the kinetic temperature is T exactly when
    `exact`."""

    temperature_K: float
    exact: bool = False


@dataclass(frozen=True)
class Limits:
    """What ends a trajectory. Checked every `monitor_stride` steps; NaN always ends it."""

    closest_contact_A: float = 0.5  # any pair closer than this
    temperature_K: float = 20000.0  # kinetic temperature above this
    energy_drop_eV_per_atom: float = 5.0  # potential energy this far below the start: a hole


def steps_lasting(duration_ps: float, timestep_fs: float) -> int:
    """The fewest steps that last so long, one at least: what was asked for is evidence of that length."""
    return max(math.ceil(1000 * duration_ps / timestep_fs - 1e-6), 1)


@dataclass(frozen=True, eq=False)
class TrajectorySpec:
    """One replica, asked for."""

    structure: Structure
    ensemble: Ensemble
    timestep_fs: float
    n_steps: int
    # Velocities at the start, or the trajectory from whose last state (step n_steps) it goes on.
    start: Union[MaxwellBoltzmann, TrajectorySpec]
    seed: int
    frame_stride: int = 0  # a frame every so many steps (positions, velocities); 0: none
    monitor_stride: int = 10  # energies, temperature, contacts every so many steps
    fix_com: bool = True  # the centre of mass stays at rest: 3N - 3 degrees of freedom
    limits: Limits = field(default_factory=Limits)

    def key(self, potential_key: str) -> str:
        """The trajectory's name in the store: sha256 of what decides its course."""
        return hashlib.sha256(
            json.dumps([potential_key, self.describe()], sort_keys=True).encode()
        ).hexdigest()[:24]

    def describe(self) -> dict[str, Any]:
        """What decides the course, as JSON-able values (length and frame stride left out)."""
        if isinstance(self.start, TrajectorySpec):
            start: Any = {"after": self.start.describe(), "n_steps": self.start.n_steps}
        else:
            start = {"maxwell_boltzmann": vars(self.start)}
        return {
            "structure": self.structure.hash,
            "ensemble": asdict(self.ensemble),
            "timestep_fs": self.timestep_fs,
            "start": start,
            "seed": self.seed,
            "monitor_stride": self.monitor_stride,
            "fix_com": self.fix_com,
            "limits": vars(self.limits),
        }

    @property
    def temperature_K(self) -> float | None:
        """The temperature it was prepared or held at."""
        if not isinstance(self.ensemble, NVE):
            return self.ensemble.temperature_K
        return self.start.temperature_K

    @property
    def integrator(self) -> tuple[str, ...]:
        """What tells the integrators apart: replicas that run side by side have one."""
        if isinstance(self.ensemble, StochasticCellRescaling):
            moves = (str(self.ensemble.stride), self.ensemble.cell)
            return (self.ensemble.kind, self.ensemble.thermostat.kind, *moves)
        return (self.ensemble.kind,)

    @property
    def cell_moves(self) -> bool:
        """Whether the volume changes on the way: the potential is asked for stresses."""
        return isinstance(self.ensemble, StochasticCellRescaling)


@dataclass(frozen=True)
class Event:
    """Why a trajectory ended before its time."""

    step: int
    time_fs: float
    what: Literal["closest_contact", "temperature", "energy_drop", "volume", "stretch", "not_finite"]
    value: float
    limit: float

    def __str__(self) -> str:
        words = {
            "closest_contact": f"a pair {self.value:.3f} A apart (limit {self.limit:g} A)",
            "temperature": f"a temperature of {self.value:.4g} K (limit {self.limit:g} K)",
            "energy_drop": f"a potential energy {self.value:.3g} eV/atom below the start "
            f"(limit {self.limit:g})",
            "volume": f"a cell that has {'collapsed' if self.value < self.limit else 'evaporated'} to "
            f"{self.value:.3g} times its volume at the start (limit {self.limit:g})",
            "stretch": f"a cell of {self.value:.3g} times its length at the start along some direction "
            f"(limit {self.limit:.3g})",
            "not_finite": "energies or forces that are not numbers",
        }
        return f"{words[self.what]} at {self.time_fs / 1000:.3f} ps"


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One replica, computed. Monitor samples and frames start at step 0 (the initial state)."""

    structure: Structure
    timestep_fs: float
    n_steps: int  # steps done; fewer than asked when `event` is not None
    event: Event | None
    # one row a monitor sample
    steps: np.ndarray[Any, np.dtype[np.int64]]  # (n_samples,)
    potential_energy: FloatArray  # (n_samples,) eV
    kinetic_energy: FloatArray  # (n_samples,) eV
    conserved: FloatArray  # (n_samples,) eV: total energy less the work of thermostat and barostat
    temperature: FloatArray  # (n_samples,) K
    closest_contact: FloatArray  # (n_samples,) A
    momentum: FloatArray  # (n_samples, 3) u A/fs
    angular_momentum: FloatArray  # (n_samples, 3) u A^2/fs about the centre of mass
    # one row a frame; the last frame before an event is kept whatever the stride
    frame_steps: np.ndarray[Any, np.dtype[np.int64]]  # (n_frames,)
    positions: FloatArray  # (n_frames, n_atoms, 3) A, unwrapped
    velocities: FloatArray  # (n_frames, n_atoms, 3) A/fs
    cells: FloatArray  # (n_frames, 3, 3) A
    # one row a monitor sample, where the cell moves; None where it does not
    volume: FloatArray | None = None  # (n_samples,) A^3
    pressure: FloatArray | None = None  # (n_samples,) bar, instantaneous; NaN where a run ended between moves

    @property
    def density(self) -> FloatArray | None:
        """Mass density of the monitor samples, (n_samples,) g/cm^3, where the cell moves."""
        if self.volume is None:
            return None
        mass = float(self.structure.masses.sum()) * conversion_factor("u/A^3", "g/cm^3")
        return np.asarray(mass / self.volume, dtype=np.float64)

    @property
    def time_fs(self) -> FloatArray:
        """Time of the monitor samples, (n_samples,) fs."""
        return np.asarray(self.steps * self.timestep_fs, dtype=np.float64)

    @property
    def length_ps(self) -> float:
        """Time simulated."""
        return self.n_steps * self.timestep_fs / 1000.0
