"""Our network as an ASE calculator, for plain ASE scripts."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from mlipbench.core.errors import PotentialError
from mlipbench.core.structure import Structure
from mlipbench.potentials.embedded import Bound, EmbeddedPotential


class EmbeddedCalculator(Calculator):
    """Energy, forces, stress, energies of the atoms; of a committee the mean, and how far its members
    are apart, atom by atom, as sample standard deviations (ddof = 1):

    `energies_spread` (n_atoms,) eV, `forces_spread` (n_atoms,) eV/A, the root of the summed variances of
    the three components, and `energy_spread` eV, of the total energy. They are in `results` after any
    calculation, and `get_property` finds them.
    """

    implemented_properties: list[str] = [  # noqa: RUF012  ASE's own declaration
        "energy",
        "free_energy",
        "forces",
        "stress",
        "energies",
    ]

    def __init__(self, potential: EmbeddedPotential, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.potential = potential
        self._bound: tuple[bytes, Bound] | None = None
        if len(potential.package.committee) > 1:
            spreads = ["energy_spread", "energies_spread", "forces_spread"]
            self.implemented_properties = [*type(self).implemented_properties, *spreads]

    def calculate(
        self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Compute all that is implemented; stress where the cell is periodic in all directions."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        structure = Structure.from_ase(self.atoms)
        periodic = bool(structure.pbc.all())
        bound = self._bound_to(structure)
        members = bound.members(structure.positions[None], structure.cell[None], periodic)
        atomic, forces = members.energies[:, 0], members.forces[:, 0]
        energies = atomic.mean(axis=0)
        if not np.isfinite(energies).all():
            raise PotentialError(
                f"{self.potential.identity.name}: energies are not numbers; look for NaN, infinite or "
                "absurdly far positions, and for atoms on top of each other"
            )
        self.results = {
            "energy": float(energies.sum()),
            "free_energy": float(energies.sum()),
            "energies": energies,
            "forces": forces.mean(axis=0),
        }
        if members.stress is not None:
            stress = members.stress[:, 0].mean(axis=0)
            self.results["stress"] = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]  # xx, yy, zz, yz, xz, xy
        if len(atomic) > 1:
            self.results["energy_spread"] = float(atomic.sum(axis=1).std(ddof=1))
            self.results["energies_spread"] = atomic.std(axis=0, ddof=1)
            self.results["forces_spread"] = np.sqrt(forces.var(axis=0, ddof=1).sum(axis=1))

    def _bound_to(self, structure: Structure) -> Bound:
        """The potential bound to these atoms; their neighbour list serves as long as they are the same."""
        of = structure.numbers.tobytes() + structure.pbc.tobytes()
        if self._bound is None or self._bound[0] != of:
            self._bound = (of, self.potential.bind(structure, 1))
        return self._bound[1]
