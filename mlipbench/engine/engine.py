"""The engine: a network or a committee compiled for inference on CPUs.

No autograd, no torch and no e3nn once it is compiled; memory goes as atoms times channels. A structure's
answer depends, bit for bit, neither on the number of threads nor on the structures beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.engine.layers import Settings
from mlipbench.engine.linear import Groups, groups_of
from mlipbench.engine.messages import Geometry
from mlipbench.engine.network import CompiledNetwork, Workspace
from mlipbench.engine.pairs import sum_slopes
from mlipbench.model.network import Network

TOLERANCE = 1e-6
"""eV/A: how far forces may be from those of the network in torch."""

# Measured: errors of the slopes of many radial weights, relative to their size, show in forces of 10 eV/A
# two orders smaller; those of lone functions show as they are. A third of what that allows.
_RADIAL = 1.0
_PAIR = 0.03

_running = threading.Lock()
"""numba's own threads run one kernel at a time."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Of each member, without E0."""

    energies: FloatArray  # (n_members, n_atoms) eV
    forces: FloatArray | None  # (n_members, n_atoms, 3) eV/A
    virials: FloatArray | None  # (n_members, n_structures, 3, 3) eV, stress times volume


class Engine:
    """Networks of one architecture; float64 ones, on the CPU."""

    def __init__(
        self, networks: Sequence[Network], dtype: str = "float64", tolerance: float = TOLERANCE
    ) -> None:
        self.tolerance, self.dtype = tolerance, dtype
        self._finer = 1.0
        self._networks = list(networks)
        self._elements: tuple[int, ...] = ()
        self._members: list[CompiledNetwork] = []
        self._workspace = Workspace(dtype)
        self._arranged: tuple[bytes, IntArray, Groups] | None = None  # of the species of the last call

    def prepare(self, species: IntArray) -> None:
        """Compile for these species, indices into the elements of the network, and those before.

        Raises PotentialError where the tolerance cannot be met.
        """
        needed = tuple(sorted({*self._elements, *np.unique(species).tolist()}))
        if needed != self._elements:
            error = self._finer * self.tolerance
            settings = Settings(needed, self.dtype, _RADIAL * error, _PAIR * error)
            self._members = [CompiledNetwork.of(network, settings) for network in self._networks]
            self._elements = needed
            self._arranged = None

    def refine(self) -> None:
        """Make tables from here on of a tenth of the error: 1.6 times as many knots."""
        self._finer *= 0.1
        self._elements = ()
        self._arranged = None

    def evaluate(
        self,
        species: IntArray,  # (n_atoms,) indices into the elements of the network
        first: IntArray,  # (n_atoms + 1,) where an atom's pairs begin
        neighbours: IntArray,  # (n_pairs,) second atoms, pairs in both directions
        vectors: FloatArray,  # (n_pairs, 3) A, from the first atom to the second
        structure: IntArray,  # (n_atoms,) number of the structure
        n_structures: int,
        gradients: bool = True,
    ) -> Answer:
        """Energies, and if wanted forces and virials, of structures listed one after the other."""
        with _running:
            local, groups = self._arrange(species)
            geometry = Geometry(local, first, neighbours, vectors)
            energies, forces, virials = [], [], []
            for member in self._members:
                energy, slopes = member.evaluate(geometry, groups, self._workspace, gradients)
                energies.append(energy)
                force, virial = np.zeros((len(species), 3)), np.zeros((n_structures, 3, 3))
                if gradients:
                    sum_slopes(geometry, slopes, structure, force, virial)
                forces.append(force)
                virials.append(0.5 * (virial + virial.transpose(0, 2, 1)))
        if not gradients:
            return Answer(np.stack(energies), None, None)
        return Answer(np.stack(energies), np.stack(forces), np.stack(virials))

    def _arrange(self, species: IntArray) -> tuple[IntArray, Groups]:
        """The species among those compiled, and the atoms in groups; those of the last call are kept."""
        key = species.tobytes()
        if self._arranged is None or self._arranged[0] != key:
            self.prepare(species)
            local = np.searchsorted(self._elements, species)
            self._arranged = key, local, groups_of(local)
        return self._arranged[1:]
