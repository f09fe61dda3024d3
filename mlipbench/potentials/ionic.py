"""Born-Mayer repulsion with point charges: the long-ranged benchmark.

    E = sum_{i<j} A_ij exp(-r/rho) + k_e sum_{i<j} q_i q_j / r      (periodic images included)

The Coulomb sum is Ewald's (Ann. Phys. 369, 253 (1921)) under conducting boundaries: with
a = `splitting`, V the cell volume and S(k) = sum_j q_j exp(i k.x_j),

    E_C / k_e = 1/2 sum' q_i q_j erfc(a r)/r + (2 pi/V) sum_{k != 0} exp(-k^2/4a^2)/k^2 |S(k)|^2
                - a/sqrt(pi) sum_i q_i^2.

Both sums are cut where their terms are below exp(-`ACCURACY`^2), about 3e-11; the splitting is fixed and
not tuned to the cell, so that equal positions have equal answers in any context.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from scipy.special import erfc

from mlipbench.core.errors import PotentialError
from mlipbench.core.structure import FloatArray, IntArray, Structure
from mlipbench.core.units import COULOMB
from mlipbench.potentials.neighbours import Pairs
from mlipbench.potentials.short_range import Bound, ShortRangePotential, shared, volumes

ACCURACY = 4.9


class BornMayerCoulomb(ShortRangePotential):
    """Ions with fixed charges and exponential repulsion, periodic in three directions."""

    def __init__(
        self,
        name: str,
        charges: Mapping[int, float],  # atomic number -> charge, e
        repulsion: Mapping[tuple[int, int], float],  # atomic numbers -> A, eV; missing pairs: none
        rho: float,  # A
        cutoff: float = 9.0,  # A, of the real-space sum
    ) -> None:
        self.rho, self.splitting = rho, ACCURACY / cutoff
        self._charge = np.zeros(120)  # by atomic number
        self._charge[list(charges)] = list(charges.values())
        self._repulsion = np.zeros((120, 120))
        for (a, b), strength in repulsion.items():
            self._repulsion[a, b] = self._repulsion[b, a] = strength
        parameters = {
            "charges_e": {str(z): q for z, q in charges.items()},
            "repulsion_eV": {json.dumps(pair): a for pair, a in repulsion.items()},
            "rho_A": rho,
            "cutoff_A": cutoff,
            "accuracy": ACCURACY,
        }
        super().__init__(name, parameters, cutoff, frozenset(charges), half=True)

    def charges(self, numbers: IntArray) -> FloatArray:
        """Charges (n_atoms,) e."""
        return self._charge[numbers]

    def bind(self, structure: Structure, n_replicas: int) -> Bound:
        """A function of positions and cells; PotentialError where not periodic or not neutral."""
        self.refuse_foreign_elements(structure)
        total = float(self.charges(structure.numbers).sum())
        if not structure.pbc.all() or abs(total) > 1e-9:
            raise PotentialError(
                f"{self.identity.name} sums charges over a neutral crystal periodic in x, y and z, got "
                f"a net charge of {total:g} e and pbc {structure.pbc.tolist()}"
            )
        return _BoundIonic(self, structure, n_replicas)

    def local(self, pairs: Pairs, numbers: IntArray) -> tuple[FloatArray, FloatArray]:
        """Repulsion and the real-space part of the Coulomb sum."""
        r, a = pairs.distances, self.splitting
        zi, zj = numbers[pairs.i], numbers[pairs.j]
        charge = COULOMB * self._charge[zi] * self._charge[zj]
        screened = charge * erfc(a * r) / r
        wall = self._repulsion[zi, zj] * np.exp(-r / self.rho)
        gauss = charge * 2.0 * a / np.sqrt(np.pi) * np.exp(-(a * a) * (r * r))
        energies = shared(pairs, 0.5 * (wall + screened), len(numbers))
        slope = -wall / self.rho - (screened + gauss) / r
        return energies, slope / r * pairs.vectors


class _BoundIonic(Bound):
    """Adds the reciprocal-space sum, replica by replica."""

    potential: BornMayerCoulomb

    def compute(
        self, positions: FloatArray, cells: FloatArray, stress: bool
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """As `Bound.compute`."""
        energies, forces, stresses = super().compute(positions, cells, stress)
        charges = self.potential.charges(self.numbers[: self.n_atoms])
        for replica in np.flatnonzero(~self._neighbours.unusable):
            energy, force, tension = reciprocal_sum(
                positions[replica], cells[replica], charges, self.potential.splitting
            )
            energies[replica] += energy
            forces[replica] += force
            if stresses is not None:
                stresses[replica] += tension
        return energies, forces, stresses


def reciprocal_sum(
    positions: FloatArray, cell: FloatArray, charges: FloatArray, splitting: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Reciprocal-space and self energies (n_atoms,) eV, forces eV/A, stress (3, 3) eV/A^3."""
    volume = volumes(cell[None])[0]
    k = _half_of_reciprocal_space(cell, 2.0 * splitting * ACCURACY)  # (n_k, 3)
    squares = (k * k).sum(axis=1)
    # Twice 2 pi / V, for k and -k.
    weights = 4.0 * np.pi / volume * COULOMB * np.exp(-squares / (4.0 * splitting**2)) / squares
    phases = k @ positions.T  # (n_k, n_atoms)
    cosines, sines = np.cos(phases), np.sin(phases)
    real, imaginary = cosines @ charges, sines @ charges
    potentials = (weights * real) @ cosines + (weights * imaginary) @ sines  # (n_atoms,)
    self_energy = COULOMB * splitting / np.sqrt(np.pi) * charges * charges
    difference = (weights * real)[:, None] * sines - (weights * imaginary)[:, None] * cosines
    forces = 2.0 * charges[:, None] * (difference.T @ k)
    of_k = weights * (real * real + imaginary * imaginary)
    along = 2.0 * of_k * (1.0 / squares + 1.0 / (4.0 * splitting**2))
    stress = ((k * along[:, None]).T @ k - of_k.sum() * np.eye(3)) / volume
    return charges * potentials - self_energy, forces, stress


def _half_of_reciprocal_space(cell: FloatArray, longest: float) -> FloatArray:
    """Reciprocal vectors 0 < |k| < longest, 1/A, one of each pair k, -k."""
    reciprocal = 2.0 * np.pi * np.linalg.inv(cell).T
    # |n_a| <= |k| |a| / 2 pi for k = n @ reciprocal.
    n = np.floor(longest * np.linalg.norm(cell, axis=1) / (2.0 * np.pi)).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in n), indexing="ij"), axis=-1).reshape(-1, 3)
    k = grid[len(grid) // 2 + 1 :] @ reciprocal  # the grid is symmetric about its middle, k = 0
    inside: FloatArray = k[(k * k).sum(axis=1) < longest**2]
    return inside
