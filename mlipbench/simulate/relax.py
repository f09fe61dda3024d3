"""Downhill to a nearby minimum of the energy, the cell held fixed.

L-BFGS (Liu, Nocedal, Math. Program. 45, 503 (1989)) in its bounded form (Byrd, Lu, Nocedal, Zhu, SIAM J.
Sci. Comput. 16, 1190 (1995)): the energy falls from step to step, and no coordinate leaves a box around
where the round began, so that atoms close to each other are not thrown into another valley by their
first large force. Rounds follow each other until the forces are small.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import Bounds, minimize

from mlipbench.core.errors import PotentialError
from mlipbench.core.potential import BoundPotential, Potential
from mlipbench.core.structure import FloatArray, Structure

REACH_A = 0.25  # how far a coordinate may go in one round
CORRECTIONS = 20  # pairs of steps and gradients that L-BFGS remembers


def relax(
    potential: Potential,
    structure: Structure,
    force_tolerance_eV_per_A: float,
    max_steps: int,
    tick: Callable[[], None] | None = None,
) -> tuple[Structure, float]:
    """The structure of lowest energy met on the way down, and that energy in eV.

    It ends where no force component exceeds the tolerance, after `max_steps` evaluations, where forces no
    longer lead downhill (they are no gradient), or before an answer that is no number. Nothing random:
    equal input, equal bits. `tick` is called after every evaluation.

    Raises PotentialError where the answer for the structure itself is no number.
    """
    descent = _Descent(potential.bind(structure, 1), structure, max_steps, tick)
    start = structure.positions.reshape(-1)
    try:
        descent(start)
        while descent.largest_force > force_tolerance_eV_per_A:
            before = descent.energy
            minimize(
                descent,
                descent.coordinates,
                jac=True,
                method="L-BFGS-B",
                bounds=Bounds(descent.coordinates - REACH_A, descent.coordinates + REACH_A),
                options={
                    "maxcor": CORRECTIONS,
                    "gtol": force_tolerance_eV_per_A,
                    "ftol": 0.0,
                    "maxiter": max_steps,
                    "maxfun": max_steps,
                },
            )
            if not descent.energy < before:
                break
    except _End:
        pass
    if not np.isfinite(descent.energy):
        raise PotentialError(
            f"{potential.identity.name}: energy or forces of a structure of {len(structure)} atoms are not "
            "numbers, so it cannot be relaxed; check the structure for atoms on top of each other"
        )
    return structure.with_positions(descent.coordinates.reshape(-1, 3)), descent.energy


class _End(Exception):
    """No more evaluations: the budget is spent, or an answer was no number."""


class _Descent:
    """Energy and gradient for the minimiser, and the lowest point met."""

    def __init__(
        self, bound: BoundPotential, structure: Structure, max_steps: int, tick: Callable[[], None] | None
    ) -> None:
        self._bound, self._cells, self._tick = bound, structure.cell[None], tick
        self._left = max(max_steps, 1)
        self.coordinates: FloatArray = structure.positions.reshape(-1)  # (3 n_atoms,) A
        self.energy = np.inf  # eV
        self.largest_force = np.inf  # eV/A, largest component

    def __call__(self, coordinates: FloatArray) -> tuple[float, FloatArray]:
        """Energy eV and gradient (3 n_atoms,) eV/A."""
        if not self._left:
            raise _End
        self._left -= 1
        answer = self._bound(coordinates.reshape(1, -1, 3), self._cells, False)
        if self._tick is not None:
            self._tick()
        energy, gradient = float(answer.energies[0]), -answer.forces[0].reshape(-1)
        if not (np.isfinite(energy) and np.isfinite(gradient).all()):
            raise _End
        if energy < self.energy:
            self.energy, self.coordinates = energy, coordinates.copy()
            self.largest_force = float(np.abs(gradient).max())
        return energy, gradient
