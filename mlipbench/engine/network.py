"""The network compiled: energies of atoms and their gradients by the vectors between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mlipbench.core.structure import FloatArray
from mlipbench.engine.angular import Harmonics, harmonics_lists
from mlipbench.engine.lanes import aligned
from mlipbench.engine.layers import Settings, compiled_layers, compiled_repulsion, padded
from mlipbench.engine.linear import Groups
from mlipbench.engine.messages import Geometry
from mlipbench.engine.pairs import repel
from mlipbench.engine.passes import Fields, Layer, backward, forward
from mlipbench.engine.splines import Splines
from mlipbench.model.network import Network


class Workspace:
    """Arrays that stay between calls, so that the system need not find and clear their memory anew."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._arrays: dict[str, Any] = {}

    def array(self, name: str, size: int, dtype: str = "") -> Any:
        """An array of that name (size,), its content left over from the last use."""
        found = self._arrays.get(name)
        if found is None or len(found) < size:
            found = self._arrays[name] = aligned(size, dtype or self._dtype)
        return found[:size]


@dataclass(frozen=True, eq=False)
class CompiledNetwork:
    """One member, for some of its elements."""

    layers: list[Layer]
    repulsion: Splines | None
    harmonics: Harmonics
    channels: int  # in whole LANES
    scale: float
    shift: float

    @classmethod
    def of(cls, network: Network, settings: Settings) -> CompiledNetwork:
        """Compile `network`, float64 on the CPU; the weights are read once.

        Raises PotentialError where the errors asked for cannot be had.
        """
        with torch.no_grad():
            return cls(
                layers=compiled_layers(network, settings),
                repulsion=compiled_repulsion(network, settings),
                harmonics=harmonics_lists(network.architecture.max_ell),
                channels=padded(network.architecture.channels),
                scale=float(network.scale),
                shift=float(network.shift),
            )

    def evaluate(
        self, geometry: Geometry, groups: Groups, workspace: Workspace, gradients: bool
    ) -> tuple[FloatArray, FloatArray]:
        """Energies (n_atoms,) eV and, if wanted, their sum's gradients by the vectors of the pairs
        (n_pairs, 3) eV/A."""
        energies = np.zeros(len(geometry.species))
        slopes = np.zeros(geometry.vectors.shape)
        if self.repulsion is not None:
            repel(geometry, self.repulsion, gradients, energies, slopes)
        fields = [self._fields(number, len(energies), workspace) for number in range(len(self.layers))]
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            following = self._state(number + 1, len(energies), workspace)
            turn = gradients and number == last
            forward(
                groups, geometry, self.harmonics, fields[number], following, energies, turn, slopes, *layer
            )
        following = fields[last].scalars
        for number in range(last if gradients else -1, -1, -1):
            layer, under = self.layers[number], max(number - 1, 0)
            backward(
                groups, geometry, self.harmonics, fields[number], following,
                layer.paths, layer.splines, layer.passing_back, fields[under], slopes, *self.layers[under],
            )  # fmt: skip
            following = fields[number].gradient
        return self.shift + self.scale * energies, self.scale * slopes

    def _state(self, number: int, atoms: int, workspace: Workspace) -> Any:
        """The features that enter layer `number`. Those of the first are in its splines: ones for all."""
        if not number:
            state = workspace.array("state 0", self.channels)
            state[:] = 1.0
            return state
        return workspace.array(
            f"state {number}", atoms * self.layers[number - 1].onward.rows_out * self.channels
        )

    def _fields(self, number: int, atoms: int, workspace: Workspace) -> Fields:
        layer, size = self.layers[number], atoms * self.channels
        width, rows = layer.product.width, layer.paths.n_components
        return Fields(
            state=self._state(number, atoms, workspace),
            stride=rows * self.channels if number else 0,
            received=workspace.array(
                f"received {number}", size * (width if layer.direct else layer.paths.n_rows)
            ),
            messages=workspace.array(f"messages {number}", size * width),
            products=workspace.array("products", size * layer.onward.rows_in),
            divisors=workspace.array(f"divisors {number}", atoms, "float64"),
            back=workspace.array("messages back", size * width),
            scalars=workspace.array(f"readout {number}", size),
            gradient=workspace.array(f"gradient {number}", size * rows),
        )
