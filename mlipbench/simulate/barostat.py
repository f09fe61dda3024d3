"""Constant pressure: isotropic stochastic cell rescaling."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlipbench.core.structure import FloatArray
from mlipbench.core.trajectory import StochasticCellRescaling
from mlipbench.core.units import BOLTZMANN, EV_PER_A3_IN_GPA, conversion_factor
from mlipbench.simulate.state import Evaluate, KineticEnergy, State, Step, per_component, volumes

LONGEST_MOVE = 0.25
"""Share of sqrt(V) that a move changes at most. Thermal moves are far shorter; a cell that runs away is
held back until its limits end the run."""

BAR = conversion_factor("bar", "eV/A^3")


@dataclass(frozen=True)
class CellCoupling:
    """What moves the cell of one replica."""

    pressure: float  # P0, eV/A^3
    thermal: float  # kT, eV
    mobility: float  # beta h / tau, A^3/eV: h the time between two moves
    n_centres: int  # 1: the centre of mass is at rest, and its share of the pressure is put back; else 0

    @classmethod
    def of(cls, ensemble: StochasticCellRescaling, interval_fs: float, fix_com: bool) -> CellCoupling:
        """From the specification, with `interval_fs` between two moves."""
        return cls(
            pressure=ensemble.pressure_bar * BAR,
            thermal=BOLTZMANN * ensemble.temperature_K,
            mobility=ensemble.compressibility_per_GPa
            * EV_PER_A3_IN_GPA
            * (interval_fs / ensemble.relaxation_fs),
            n_centres=int(fix_com),
        )

    def internal_pressure(self, kinetic: float, stress: FloatArray, volume: float) -> float:
        """P_int = (2 K/3 + kT n_centres)/V - tr(stress)/3 in eV/A^3; kinetic: K eV, stress (3, 3) eV/A^3.

        A centre of mass at rest lacks 3 kT/2 of kinetic energy, which belongs to the pressure all the same.
        """
        ideal = 2.0 * kinetic / 3.0 + self.n_centres * self.thermal
        return ideal / volume - float(stress[0, 0] + stress[1, 1] + stress[2, 2]) / 3.0

    def drift(self, root: float, internal_pressure: float) -> float:
        """f: the mean change of lambda = sqrt(V) (`root`, A^1.5) in one move."""
        excess = internal_pressure - self.pressure + 0.5 * self.thermal / root**2
        return 0.5 * self.mobility * root * excess

    def width(self) -> float:
        """Standard deviation of the change of lambda in one move."""
        return math.sqrt(0.5 * self.mobility * self.thermal)

    def heat(self, root: float, change: float, drift: float, drift_back: float) -> float:
        """What the bath gives in a move by `change` from `root`, in eV; drifts at its start and end."""
        after = root + change
        work = self.pressure * (after**2 - root**2)
        entropy = (1.0 + 2.0 * self.n_centres) * self.thermal * math.log(after / root)
        odds = ((change + drift_back) ** 2 - (change - drift) ** 2) / self.mobility
        return entropy - work - odds


def stochastic_cell_rescaling(
    dynamics: Step, masses: FloatArray, couplings: Sequence[CellCoupling], stride: int
) -> Step:
    """A step at constant volume, and after every `stride` of them a move of the cell.

    With lambda = sqrt(V), so that the noise does not depend on the volume,

        lambda' = lambda + f(lambda) + sigma R,       sigma^2 = beta kT h / (2 tau),  R normal,
        f(lambda) = (beta lambda h / (2 tau)) [P_int - P0 + kT / (2 V)],

    then cell and positions (about the centre of mass) are multiplied by mu = (lambda'/lambda)^(2/3) and
    velocities by 1/mu. Symbols: beta, tau = compressibility and relaxation time, h = time between two moves,
    P0 = pressure; Bernetti, Bussi, J. Chem. Phys. 153, 114107 (2020), in its
    reversible form. The forces are evaluated
    again at the new positions, so that the move and its reverse have known odds; what detailed balance
    allows goes to `heat`, and what the finite h violates shows as a drift of the conserved quantity:

        heat += (1 + 2 c) kT ln(lambda'/lambda) - P0 (V' - V)
                - (tau / (beta h)) [(dl + f(lambda'))^2 - (dl - f(lambda))^2],     dl = lambda' - lambda

    The volume has the distribution V^n_atoms exp(-(U + P0 V)/kT) dV, integrated over positions in the cell.
    With the centre of mass at rest (c = 1, `CellCoupling.n_centres`) a factor V stands for its momentum;
    else c = 0.
    """
    n_replicas = len(couplings)
    kinetic_energy = KineticEnergy(masses, n_replicas)
    weights = per_component(masses / masses.sum(), n_replicas)
    scratch = np.empty((n_replicas, len(masses), 3))
    stretches = np.empty((n_replicas, 1, 1))

    def drifts(state: State, roots: Sequence[float]) -> list[float]:
        kinetic, stresses = kinetic_energy(state.velocities), state.stresses
        if stresses is None:
            raise RuntimeError("the force function has answered no stresses though it was asked")
        return [
            coupling.drift(root, coupling.internal_pressure(float(kinetic[row]), stresses[row], root**2))
            for row, (coupling, root) in enumerate(zip(couplings, roots, strict=True))
        ]

    def scale(state: State) -> None:
        np.multiply(state.positions, weights, out=scratch)
        centres = np.add.reduce(scratch, axis=1, keepdims=True)
        state.positions *= stretches
        state.positions += (1.0 - stretches) * centres
        state.velocities /= stretches
        state.cells *= stretches

    def step(state: State, evaluate: Evaluate) -> None:
        if state.step % stride:
            dynamics(state, evaluate)
            return
        dynamics(state, functools.partial(evaluate, stress=True))
        roots = [math.sqrt(volume) for volume in volumes(state.cells)]
        there = drifts(state, roots)
        changes = []
        for row, (coupling, root) in enumerate(zip(couplings, roots, strict=True)):
            wanted = there[row] + coupling.width() * float(state.generators[row].standard_normal())
            longest = LONGEST_MOVE * root
            changes.append(min(max(wanted, -longest), longest))
            stretches[row, 0, 0] = (1.0 + changes[row] / root) ** (2.0 / 3.0)
        scale(state)
        evaluate(state, stress=True)
        back = drifts(state, [root + change for root, change in zip(roots, changes, strict=True)])
        for row, coupling in enumerate(couplings):
            state.heat[row] += coupling.heat(roots[row], changes[row], there[row], back[row])

    return step
