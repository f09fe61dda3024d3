"""The state of several replicas, and what is read off it.

Everything that decides the future of a replica is in the state, so a state written to disk and read
back goes on bit for bit. Sums over atoms are taken replica by replica in an order that does not depend
on how many replicas there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mlipbench.core.structure import FloatArray
from mlipbench.core.units import MASS_VELOCITY_SQUARED

Arrays = dict[str, np.ndarray[Any, Any]]
"""Name -> array: one replica's state, or a chunk of its trajectory."""


@dataclass
class State:
    """Replicas of one system at one step. Arrays are changed in place by the integrators."""

    positions: FloatArray  # (n_replicas, n_atoms, 3) A, unwrapped
    velocities: FloatArray  # (n_replicas, n_atoms, 3) A/fs
    forces: FloatArray  # (n_replicas, n_atoms, 3) eV/A
    potential_energy: FloatArray  # (n_replicas,) eV
    cells: FloatArray  # (n_replicas, 3, 3) A
    heat: FloatArray  # (n_replicas,) eV that thermostat and barostat have given since step 0
    energy_at_start: FloatArray  # (n_replicas,) eV, potential energy at step 0
    generators: list[np.random.Generator]  # one a replica
    # Known for the moment, and not stored:
    stresses: FloatArray | None = None  # (n_replicas, 3, 3) eV/A^3, where the last evaluation was asked
    step: int = 0  # the step under way

    def replica(self, index: int) -> Arrays:
        """A copy of one replica, as arrays to be stored."""
        arrays: Arrays = {name: np.array(getattr(self, name)[index], dtype=np.float64) for name in _FIELDS}
        arrays["generator"] = _generator_words(self.generators[index])
        return arrays

    @classmethod
    def of(cls, replicas: Sequence[Arrays]) -> State:
        """The inverse of `replica`, for several."""
        fields: dict[str, Any] = {name: np.stack([r[name] for r in replicas]) for name in _FIELDS}
        return cls(**fields, generators=[_generator_from_words(r["generator"]) for r in replicas])

    def keep(self, indices: Sequence[int]) -> State:
        """The state of some of the replicas (copies)."""
        fields = {name: np.array(getattr(self, name)[list(indices)]) for name in _FIELDS}
        stresses = None if self.stresses is None else self.stresses[list(indices)]
        return State(
            **fields,
            generators=[self.generators[i] for i in indices],
            stresses=stresses,
            step=self.step,
        )


_FIELDS = (
    "positions",
    "velocities",
    "forces",
    "potential_energy",
    "cells",
    "heat",
    "energy_at_start",
)


class Evaluate(Protocol):
    """The force function."""

    def __call__(self, state: State, stress: bool = False) -> None:
        """Set `forces`, `potential_energy` and (None unless asked) `stresses` to those at `positions` and
        `cells`."""


Step = Callable[[State, Evaluate], None]
"""Advances a state by one time step; the last call of the force function is for where it ends."""


def per_component(values: FloatArray, n_replicas: int) -> FloatArray:
    """(n_atoms,) -> (n_replicas, n_atoms, 3), in full: numpy is slow to broadcast small arrays."""
    return np.tile(np.repeat(values, 3).reshape(1, -1, 3), (n_replicas, 1, 1))


def volumes(cells: FloatArray) -> list[float]:
    """Volumes in A^3 of cells (n_replicas, 3, 3) A."""
    return [abs(float(np.linalg.det(cell))) for cell in cells]


def initial(
    positions: FloatArray, velocities: FloatArray, cell: FloatArray, generator: np.random.Generator
) -> Arrays:
    """One replica before its first force evaluation."""
    return {
        "positions": np.array(positions, dtype=np.float64),
        "velocities": np.array(velocities, dtype=np.float64),
        "forces": np.zeros_like(positions, dtype=np.float64),
        "potential_energy": np.array(0.0),
        "cells": np.array(cell, dtype=np.float64),
        "heat": np.array(0.0),
        "energy_at_start": np.array(0.0),
        "generator": _generator_words(generator),
    }


def generator(seed: int, key: str) -> np.random.Generator:
    """The random stream of a replica, from its seed and the name of its trajectory (hexadecimal)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, int(key, 16)])))


class KineticEnergy:
    """K = sum_i m_i v_i^2 / 2 of every replica, without temporaries.

    masses: (n_atoms,) u. Called with velocities (n_replicas, n_atoms, 3) A/fs, answers (n_replicas,) eV.
    """

    def __init__(self, masses: FloatArray, n_replicas: int) -> None:
        self._weights = per_component(0.5 * MASS_VELOCITY_SQUARED * masses, n_replicas)
        self._scratch = np.empty((n_replicas, len(masses), 3))
        self._rows = self._scratch.reshape(n_replicas, -1)

    def __call__(self, velocities: FloatArray) -> FloatArray:
        """Kinetic energies, a new array."""
        np.multiply(velocities, velocities, out=self._scratch)
        np.multiply(self._scratch, self._weights, out=self._scratch)
        energies: FloatArray = np.add.reduce(self._rows, axis=1)
        return energies


class RestFrame:
    """Takes the motion of the centre of mass out of velocities, in place.

    v_i <- v_i - sum_j m_j v_j / sum_j m_j for every replica; masses (n_atoms,) u.
    """

    def __init__(self, masses: FloatArray, n_replicas: int) -> None:
        self._weights = per_component(masses / masses.sum(), n_replicas)
        self._scratch = np.empty((n_replicas, len(masses), 3))

    def __call__(self, velocities: FloatArray) -> None:
        """velocities: (n_replicas, n_atoms, 3) A/fs."""
        np.multiply(velocities, self._weights, out=self._scratch)
        velocities -= np.add.reduce(self._scratch, axis=1, keepdims=True)


def _generator_words(generator: np.random.Generator) -> np.ndarray[Any, Any]:
    """The state of a PCG64 stream as six 64-bit words."""
    state = generator.bit_generator.state
    low = (1 << 64) - 1
    words = []
    for number in (state["state"]["state"], state["state"]["inc"]):
        words += [number >> 64, number & low]
    return np.array([*words, state["has_uint32"], state["uinteger"]], dtype=np.uint64)


def _generator_from_words(words: np.ndarray[Any, Any]) -> np.random.Generator:
    high, low, inc_high, inc_low, has_uint32, uinteger = (int(word) for word in words)
    bit_generator = np.random.PCG64(0)
    bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": (high << 64) | low, "inc": (inc_high << 64) | inc_low},
        "has_uint32": has_uint32,
        "uinteger": uinteger,
    }
    return np.random.Generator(bit_generator)
