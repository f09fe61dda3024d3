"""Stillinger-Weber silicon (Phys. Rev. B 31, 5262 (1985), eqs. 2.1-2.8 and the parameters behind them).

    E = sum_{i<j} A eps [B (sigma/r)^p - (sigma/r)^q] exp(sigma / (r - a sigma))
      + sum_i sum_{j<k} lambda eps g_ij g_ik (cos theta_jik + 1/3)^2,
    g = exp(gamma sigma / (r - a sigma)),   p = 4, q = 0.

The three-body sum needs no triplets. With u the unit vectors from atom i to its neighbours and the
moments s = sum_j g_j, v = sum_j g_j u_j, M = sum_j g_j u_j (x) u_j of atom i,

    sum_{j<k} g_j g_k (u_j.u_k + 1/3)^2 = 1/2 [tr(M M) + 2/3 v.v + s^2/9 - 16/9 sum_j g_j^2],

which costs one pass over pairs, however many neighbours an atom has.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.potentials.neighbours import Pairs
from mlipbench.potentials.short_range import ShortRangePotential, sum_by


@dataclass(frozen=True)
class StillingerWeberParameters:
    """Parameters of the paper in eV and A; the defaults are silicon's, scaled as the paper says."""

    epsilon: float = 2.1683  # eV: 50 kcal/mol
    sigma: float = 2.0951  # A
    a: float = 1.80  # cutoff / sigma
    lambda_: float = 21.0
    gamma: float = 1.20
    A: float = 7.049556277
    B: float = 0.6022245584


class StillingerWeber(ShortRangePotential):
    """Two- and three-body potential of a tetrahedral semiconductor."""

    def __init__(self, name: str, parameters: StillingerWeberParameters, element: int) -> None:
        self.parameters = parameters
        super().__init__(
            name,
            asdict(parameters) | {"element": element},
            # A hair inside: at the cutoff itself the exponentials divide by zero.
            cutoff=parameters.a * parameters.sigma * (1 - 1e-9),
            elements=frozenset({element}),
        )

    def local(self, pairs: Pairs, numbers: IntArray) -> tuple[FloatArray, FloatArray]:
        """Energies of the atoms and gradients of the pairs, see the module's equations."""
        p = self.parameters
        n = len(numbers)
        i, r = pairs.i, pairs.distances
        u = pairs.vectors / r  # (3, n_pairs)
        inverse_gap = 1.0 / (r - p.a * p.sigma)

        pair_energy, pair_slope = self._pair(r, inverse_gap)
        g = np.exp(p.gamma * p.sigma * inverse_gap)
        g_slope = -p.gamma * p.sigma * inverse_gap * inverse_gap * g

        strength = p.lambda_ * p.epsilon
        moments = np.empty((11, len(r)))
        moments[0] = g
        moments[1:4] = gu = g * u
        moments[4:7] = gu[0] * u  # xx xy xz
        moments[7:9] = gu[1] * u[1:]  # yy yz
        moments[9] = gu[2] * u[2]
        moments[10] = 0.5 * pair_energy - (8.0 / 9.0) * strength * g * g
        of_atom = sum_by(i, moments, n)  # (11, n)
        s, v, m = of_atom[0], of_atom[1:4], of_atom[4:10]
        squares = m * m
        three_body = (
            squares[0] + squares[3] + squares[5] + 2.0 * (squares[1] + squares[2] + squares[4])
            + (2.0 / 3.0) * (v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
            + s * s / 9.0
        )  # fmt: skip
        energies = of_atom[10] + 0.5 * strength * three_body

        around = of_atom[:10].take(i, axis=1)  # moments of the central atom, (10, n_pairs)
        s, v, m = around[0], around[1:4], around[4:10]
        mu = m[0:3] * u[0]
        mu[0] += m[1] * u[1] + m[2] * u[2]
        mu[1] += m[3] * u[1] + m[4] * u[2]
        mu[2] += m[4] * u[1] + m[5] * u[2]
        umu = u[0] * mu[0] + u[1] * mu[1] + u[2] * mu[2]
        uv = (2.0 / 3.0) * (u[0] * v[0] + u[1] * v[1] + u[2] * v[2])
        by_g = strength * (umu + uv + s / 9.0 - (16.0 / 9.0) * g)  # dE_i/dg
        turning = strength * g / r
        radial = 0.5 * pair_slope + by_g * g_slope - turning * (2.0 * umu + uv)
        gradients = radial * u + turning * (2.0 * mu + (2.0 / 3.0) * v)
        return energies, gradients

    def _pair(self, r: FloatArray, inverse_gap: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Two-body energy (p = 4, q = 0) and its derivative."""
        p = self.parameters
        x = p.sigma / r
        repulsion = p.B * (x * x) * (x * x)
        decay = p.A * p.epsilon * np.exp(p.sigma * inverse_gap)
        energy = (repulsion - 1.0) * decay
        slope = -4.0 * repulsion / r * decay - p.sigma * inverse_gap * inverse_gap * energy
        return energy, slope
