"""The network compiled: energies of atoms and their gradients by the vectors between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mlipbench.core.structure import FloatArray
from mlipbench.engine.angular import Harmonics, harmonics_lists
from mlipbench.engine.lanes import aligned
from mlipbench.engine.layers import Layer, Settings, compiled_layers, compiled_repulsion, padded
from mlipbench.engine.linear import Groups, add_linear
from mlipbench.engine.messages import Geometry, receive, send_back
from mlipbench.engine.pairs import divide, divide_back, sum_pairs, sum_pairs_back
from mlipbench.engine.polynomial import multiply, multiply_back
from mlipbench.engine.readout import read
from mlipbench.engine.splines import Splines
from mlipbench.model.network import Network


class Workspace:
    """Arrays that stay between calls, so that the system need not find and clear their memory anew."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._arrays: dict[str, Any] = {}

    def array(self, name: str, size: int) -> Any:
        """An array of that name (size,), its content left over from the last use."""
        found = self._arrays.get(name)
        if found is None or len(found) < size:
            found = self._arrays[name] = aligned(size, self._dtype)
        return found[:size]

    def cleared(self, name: str, size: int) -> Any:
        """The same, filled with zeros."""
        array = self.array(name, size)
        array[:] = 0.0
        return array


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
            sum_pairs(geometry, self.repulsion, True, energies)
            if gradients:
                sum_pairs_back(geometry, self.repulsion, True, np.ones_like(energies), slopes)
        densities = self._forward(geometry, groups, workspace, energies)
        if gradients:
            self._backward(geometry, groups, workspace, densities, slopes)
        return self.shift + self.scale * energies, self.scale * slopes

    def _forward(
        self, geometry: Geometry, groups: Groups, workspace: Workspace, energies: FloatArray
    ) -> list[FloatArray | None]:
        """Adds to the energies; leaves messages, states and gradients of the readouts behind."""
        atoms, species = len(energies), geometry.species
        state, stride = workspace.array("state 0", self.channels), 0
        state[:] = 1.0  # features of the first layer are in the splines
        densities = []
        for number, layer in enumerate(self.layers):
            size = atoms * self.channels
            n_products, width = len(layer.product.first) - 1, layer.product.width
            messages = workspace.cleared(f"messages {number}", size * width)
            if layer.down is None:
                receive(geometry, self.harmonics, layer.paths, layer.splines, state, stride, messages)
            else:
                received = workspace.array("received", size * layer.paths.n_rows)
                receive(geometry, self.harmonics, layer.paths, layer.splines, state, stride, received)
                add_linear(groups, layer.down[0], received, messages)
            densities.append(_divide(layer, geometry, messages))
            products = workspace.array("products", size * n_products)
            multiply(species, layer.product, messages, products)
            following = workspace.cleared(f"state {number + 1}", size * layer.rows)
            if layer.constant is not None:
                following.reshape(atoms, -1)[:] = layer.constant[species].reshape(atoms, -1)
            if layer.passing is not None:
                add_linear(groups, layer.passing[0], state, following)
            add_linear(groups, layer.onward[0], products, following)
            state, stride = following, layer.rows * self.channels
            read(layer.readout, state, stride, energies, workspace.cleared(f"readout {number}", size))
        return densities

    def _backward(
        self,
        geometry: Geometry,
        groups: Groups,
        workspace: Workspace,
        densities: list[FloatArray | None],
        slopes: FloatArray,
    ) -> None:
        """Adds to the slopes."""
        atoms, species = len(geometry.species), geometry.species
        size = atoms * self.channels
        following = workspace.array(f"readout {len(self.layers) - 1}", size)
        for number in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[number]
            n_products, width = len(layer.product.first) - 1, layer.product.width
            products = workspace.cleared("products", size * n_products)
            add_linear(groups, layer.onward[1], following, products)
            messages = workspace.array(f"messages {number}", size * width)
            back = workspace.array("messages back", size * width)
            multiply_back(species, layer.product, messages, products, back)
            _divide_back(layer, geometry, densities[number], messages, back, slopes)
            arrived = back
            if layer.down is not None:
                arrived = workspace.cleared("received", size * layer.paths.n_rows)
                add_linear(groups, layer.down[1], back, arrived)
            rows = layer.paths.n_components
            stride = rows * self.channels if number else 0
            state = workspace.array(f"state {number}", size * rows if number else self.channels)
            gradient = workspace.array(f"gradient {number % 2}", size * rows)
            send_back(
                geometry, self.harmonics, layer.paths, layer.splines, state, stride, arrived, gradient, slopes
            )
            if layer.passing is not None:
                add_linear(groups, layer.passing[1], following, gradient)
            if number:
                scalars = workspace.array(f"readout {number - 1}", size).reshape(atoms, -1)
                gradient.reshape(atoms, rows, -1)[:, 0] += scalars
            following = gradient


def _divide(layer: Layer, geometry: Geometry, messages: Any) -> FloatArray | None:
    """In blocks with density: messages divided by 1 + the density, which is the answer."""
    if layer.density is None:
        return None
    divisor = np.ones(len(geometry.species))
    sum_pairs(geometry, layer.density, False, divisor)
    divide(messages, divisor)
    return divisor


def _divide_back(
    layer: Layer,
    geometry: Geometry,
    divisor: FloatArray | None,
    messages: Any,
    back: Any,
    slopes: FloatArray,
) -> None:
    """Gradients of the messages become those before the division; the slopes take the density's."""
    if layer.density is not None and divisor is not None:
        by_divisor = np.empty_like(divisor)
        divide_back(messages, divisor, back, by_divisor)
        sum_pairs_back(geometry, layer.density, False, by_divisor, slopes)
