"""Constant pressure: stochastic cell rescaling, of the volume alone or of lengths and angles too.

Both kinds are one scheme. A move by dq of the coordinates q of a cell, with h the time between two moves,

    dq = f(q) + sigma R,   f = sigma^2/2 d ln rho/dq,   R normal,

stretches cell and positions (about the centre of mass) by a matrix and velocities by its inverse. The
forces are evaluated again at the new positions, so that the move and its reverse have known odds; what
detailed balance allows goes to `heat`, and what the finite h violates shows as a drift of the conserved
quantity:

    heat += kT ln(rho0(q')/rho0(q)) - P0 (V' - V) - kT/(2 sigma^2) [(dq + f(q'))^2 - (dq - f(q))^2]

rho = rho0 exp(-(U + K + P0 V)/kT) is the density over q at fixed scaled positions and momenta; rho0 holds
the volume's own weight and a factor V where the centre of mass is at rest, which stands for its momentum.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mlipbench.core.structure import FloatArray
from mlipbench.core.trajectory import StochasticCellRescaling
from mlipbench.core.units import BOLTZMANN, EV_PER_A3_IN_GPA, MASS_VELOCITY_SQUARED, conversion_factor
from mlipbench.simulate.state import Evaluate, State, Step, per_component, volumes

LONGEST_MOVE = 0.25
"""Share of sqrt(V) that a move changes at most, or strain. Thermal moves are far shorter; a cell that runs
away is held back until its limits end the run."""

BAR = conversion_factor("bar", "eV/A^3")

_X, _Y, _Z = np.eye(3)
STRAINS = np.array(
    [np.outer(a, a) for a in (_X, _Y, _Z)]
    + [(np.outer(a, b) + np.outer(b, a)) / np.sqrt(2.0) for a, b in ((_Y, _Z), (_X, _Z), (_X, _Y))]
)
"""Orthonormal symmetric matrices (6, 3, 3): lengths along the axes, shears."""


@dataclass(frozen=True)
class Coupling(ABC):
    """What moves the cell of one replica: coordinates q, which a move changes all at once."""

    pressure: float  # P0, eV/A^3
    thermal: float  # kT, eV
    mobility: float  # beta h / tau, A^3/eV: compressibility, time between two moves, relaxation time
    n_centres: int  # c, 1: the centre of mass is at rest, and its share of the pressure is put back; else 0

    n_moves: ClassVar[int]  # how many coordinates
    exponent: ClassVar[float]  # rho0 = V^(exponent + c)

    @abstractmethod
    def width(self) -> float:
        """sigma: standard deviation of a coordinate's change in one move."""

    @abstractmethod
    def drift(self, volume: float, pressure: FloatArray) -> FloatArray:
        """f (n_moves,): the mean change, at a volume in A^3 and an internal pressure (3, 3) eV/A^3."""

    @abstractmethod
    def longest(self, volume: float) -> float:
        """The longest change of a coordinate."""

    @abstractmethod
    def stretch(self, volume: float, change: FloatArray) -> FloatArray:
        """By what the rows of the cell are multiplied: symmetric, (3, 3)."""

    def heat(
        self, volume: float, after: float, change: FloatArray, drift: FloatArray, back: FloatArray
    ) -> float:
        """What the bath gives in a move, in eV; volumes before and after, drifts at its start and end."""
        entropy = (self.exponent + self.n_centres) * self.thermal * math.log(after / volume)
        odds = float(np.sum((change + back) ** 2 - (change - drift) ** 2)) / (2.0 * self.width() ** 2)
        return entropy - self.pressure * (after - volume) - self.thermal * odds


@dataclass(frozen=True)
class VolumeCoupling(Coupling):
    """The cell keeps its shape. Bernetti, Bussi, J. Chem. Phys. 153, 114107 (2020), in its reversible form.

    q = sqrt(V), so that the noise does not depend on the volume:

        f = (beta q h / (2 tau)) [tr P_int/3 - P0 + kT/(2 V)],   sigma^2 = beta kT h/(2 tau),
        rho0 = q^(1 + 2 c).

    The volume has the distribution V^n_atoms exp(-(U + P0 V)/kT) dV, integrated over positions in the cell.
    """

    n_moves = 1
    exponent = 0.5

    def width(self) -> float:
        """A^1.5."""
        return math.sqrt(0.5 * self.mobility * self.thermal)

    def drift(self, volume: float, pressure: FloatArray) -> FloatArray:
        """(1,) A^1.5."""
        excess = float(np.trace(pressure)) / 3.0 - self.pressure + 0.5 * self.thermal / volume
        return np.array([0.5 * self.mobility * math.sqrt(volume) * excess])

    def longest(self, volume: float) -> float:
        """A^1.5."""
        return LONGEST_MOVE * math.sqrt(volume)

    def stretch(self, volume: float, change: FloatArray) -> FloatArray:
        """The cube root of the volumes' ratio, in all directions."""
        return np.asarray((1.0 + float(change[0]) / math.sqrt(volume)) ** (2.0 / 3.0) * np.eye(3))


@dataclass(frozen=True)
class LengthsCoupling(Coupling):
    """The cell's lengths along the axes x, y, z move, each for itself.

    The anisotropic scheme of Del Tatto, Raiteri, Bernetti, Bussi, Appl. Sci. 12, 1139 (2022), in strains: q_k
    is a strain along E_k, orthonormal symmetric matrices, applied to the cell as it is, with stretch =
    exp(sum_k q_k E_k). A move and its reverse are then each other's inverse, and the measure that strains
    leave as it is gives rho0 = V^(1 + c):

        f_k = (beta h/(3 tau V0)) [V (P_int - P0) + kT] : E_k,   sigma^2 = 2 beta kT h/(3 tau V0),

    V0 the volume at the start, so that the volume is as quick as where the shape is kept. It has the same
    distribution as there, in the mean over shapes.
    """

    start_volume: float  # V0, A^3

    n_moves = 3
    exponent = 1.0
    strains: ClassVar[FloatArray] = STRAINS[:3]

    def width(self) -> float:
        """No unit."""
        return math.sqrt(2.0 * self.mobility * self.thermal / (3.0 * self.start_volume))

    def drift(self, volume: float, pressure: FloatArray) -> FloatArray:
        """(n_moves,)."""
        slopes = volume * (pressure - self.pressure * np.eye(3)) + self.thermal * np.eye(3)
        along = np.einsum("kab,ab->k", self.strains, slopes)
        return np.asarray(self.mobility / (3.0 * self.start_volume) * along)

    def longest(self, volume: float) -> float:
        """The same at all volumes."""
        return LONGEST_MOVE

    def stretch(self, volume: float, change: FloatArray) -> FloatArray:
        """The exponential of the strain."""
        values, axes = np.linalg.eigh(np.einsum("k,kab->ab", change, self.strains))
        return np.asarray((axes * np.exp(values)) @ axes.T)


@dataclass(frozen=True)
class FullCoupling(LengthsCoupling):
    """All lengths and angles move, in the same way: cells are distributed as in Martyna, Tobias, Klein,
    J. Chem. Phys. 101, 4177 (1994), their orientation aside."""

    n_moves = 6
    strains = STRAINS


def coupling_of(
    ensemble: StochasticCellRescaling, interval_fs: float, fix_com: bool, volume: float
) -> Coupling:
    """From the specification, with `interval_fs` between two moves and the volume of the start in A^3."""
    pace = interval_fs / ensemble.relaxation_fs
    bath = (
        ensemble.pressure_bar * BAR,
        BOLTZMANN * ensemble.temperature_K,
        ensemble.compressibility_per_GPa * EV_PER_A3_IN_GPA * pace,
        int(fix_com),
    )
    if ensemble.cell == "isotropic":
        return VolumeCoupling(*bath)
    return (LengthsCoupling if ensemble.cell == "lengths" else FullCoupling)(*bath, volume)


def internal_pressure(
    masses: FloatArray, velocities: FloatArray, stress: FloatArray, volume: float, centre: float
) -> FloatArray:
    """P_int = (sum_i m_i v_i v_i + centre)/V - stress, (3, 3) eV/A^3.

    masses (n_atoms,) u, velocities (n_atoms, 3) A/fs, stress (3, 3) eV/A^3. `centre`, in eV, is kT where the
    centre of mass is at rest: it lacks kT/2 along each axis, which belongs to the pressure all the same.
    """
    kinetic = MASS_VELOCITY_SQUARED * np.einsum("n,na,nb->ab", masses, velocities, velocities)
    return np.asarray((kinetic + centre * np.eye(3)) / volume - stress)


def stochastic_cell_rescaling(
    dynamics: Step, masses: FloatArray, couplings: Sequence[Coupling], stride: int
) -> Step:
    """A step at constant volume, and after every `stride` of them a move of the cell: see the module."""
    rows, n_moves = range(len(couplings)), couplings[0].n_moves
    centres = [c.n_centres * c.thermal for c in couplings]
    weights = per_component(masses / masses.sum(), len(couplings))
    scratch = np.empty((len(couplings), len(masses), 3))
    stretches = np.empty((len(couplings), 3, 3))

    def drifts(state: State, at: Sequence[float]) -> list[FloatArray]:
        v, stresses = state.velocities, state.stresses
        if stresses is None:
            raise RuntimeError("the force function has answered no stresses though it was asked")
        pressures = [internal_pressure(masses, v[k], stresses[k], at[k], centres[k]) for k in rows]
        return [couplings[k].drift(at[k], pressures[k]) for k in rows]

    def scale(state: State) -> None:
        np.multiply(state.positions, weights, out=scratch)
        centres = np.add.reduce(scratch, axis=1, keepdims=True)
        state.positions[:] = np.einsum("rna,rab->rnb", state.positions - centres, stretches) + centres
        state.velocities[:] = np.einsum("rna,rab->rnb", state.velocities, np.linalg.inv(stretches))
        state.cells[:] = np.einsum("rna,rab->rnb", state.cells, stretches)

    def step(state: State, evaluate: Evaluate) -> None:
        if state.step % stride:
            dynamics(state, evaluate)
            return
        dynamics(state, functools.partial(evaluate, stress=True))
        before = volumes(state.cells)
        there = drifts(state, before)
        changes = []
        for row, coupling in enumerate(couplings):
            wanted = there[row] + coupling.width() * state.generators[row].standard_normal(n_moves)
            longest = coupling.longest(before[row])
            changes.append(np.clip(wanted, -longest, longest))
            stretches[row] = coupling.stretch(before[row], changes[row])
        scale(state)
        evaluate(state, stress=True)
        after = volumes(state.cells)
        back = drifts(state, after)
        for row, coupling in enumerate(couplings):
            state.heat[row] += coupling.heat(before[row], after[row], changes[row], there[row], back[row])

    return step
