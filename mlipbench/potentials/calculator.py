"""Our network as an ASE calculator, for plain ASE scripts."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from mlipbench.core.structure import FloatArray, Structure
from mlipbench.model.derivatives import predict
from mlipbench.model.graph import graph_of
from mlipbench.potentials.embedded import EmbeddedPotential


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
        if len(potential.committee) > 1:
            spreads = ["energy_spread", "energies_spread", "forces_spread"]
            self.implemented_properties = [*type(self).implemented_properties, *spreads]

    def calculate(
        self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Compute all that is implemented; stress where the cell is periodic in all directions."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        structure = Structure.from_ase(self.atoms)
        architecture = self.potential.architecture
        graph = graph_of([structure], architecture.elements, architecture.r_max)
        moved = graph.to(self.potential.device, self.potential.dtype)
        periodic = bool(structure.pbc.all())
        members = [predict(m, moved, True, periodic) for m in self.potential.committee.networks]

        def of_members(name: str) -> FloatArray:
            return np.stack([getattr(m, name).cpu().double().numpy() for m in members])

        atomic = of_members("energies") + self.potential.atomic_energies(graph)
        forces = of_members("forces")
        energies = atomic.mean(axis=0)
        self.results = {
            "energy": float(energies.sum()),
            "free_energy": float(energies.sum()),
            "energies": energies,
            "forces": forces.mean(axis=0),
        }
        if periodic:
            stress = of_members("stress").mean(axis=0)[0]
            self.results["stress"] = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]  # xx, yy, zz, yz, xz, xy
        if len(members) > 1:
            self.results["energy_spread"] = float(atomic.sum(axis=1).std(ddof=1))
            self.results["energies_spread"] = atomic.std(axis=0, ddof=1)
            self.results["forces_spread"] = np.sqrt(forces.var(axis=0, ddof=1).sum(axis=1))
