"""What a trajectory is, before and after it has been computed.

A `TrajectorySpec` describes one replica: everything that decides its course is in it, so its hash
(with the identity of the potential) is the trajectory's name in the store. Length and frame
stride are left out of the name: a longer request extends the stored trajectory, a finer stride
asked by another suite serves both.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal, Union

import numpy as np

from mlipbench.core.structure import FloatArray, Structure


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


Ensemble = Union[NVE, Langevin, VelocityRescaling]


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
            "ensemble": vars(self.ensemble),
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


@dataclass(frozen=True)
class Event:
    """Why a trajectory ended before its time."""

    step: int
    time_fs: float
    what: Literal["closest_contact", "temperature", "energy_drop", "not_finite"]
    value: float
    limit: float

    def __str__(self) -> str:
        words = {
            "closest_contact": f"a pair {self.value:.3f} A apart (limit {self.limit:g} A)",
            "temperature": f"a temperature of {self.value:.4g} K (limit {self.limit:g} K)",
            "energy_drop": f"a potential energy {self.value:.3g} eV/atom below the start "
            f"(limit {self.limit:g})",
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
    conserved: FloatArray  # (n_samples,) eV: total energy less the work of the thermostat
    temperature: FloatArray  # (n_samples,) K
    closest_contact: FloatArray  # (n_samples,) A
    momentum: FloatArray  # (n_samples, 3) u A/fs
    angular_momentum: FloatArray  # (n_samples, 3) u A^2/fs about the centre of mass
    # one row a frame; the last frame before an event is kept whatever the stride
    frame_steps: np.ndarray[Any, np.dtype[np.int64]]  # (n_frames,)
    positions: FloatArray  # (n_frames, n_atoms, 3) A, unwrapped
    velocities: FloatArray  # (n_frames, n_atoms, 3) A/fs
    cells: FloatArray  # (n_frames, 3, 3) A

    @property
    def time_fs(self) -> FloatArray:
        """Time of the monitor samples, (n_samples,) fs."""
        return np.asarray(self.steps * self.timestep_fs, dtype=np.float64)

    @property
    def length_ps(self) -> float:
        """Time simulated."""
        return self.n_steps * self.timestep_fs / 1000.0
