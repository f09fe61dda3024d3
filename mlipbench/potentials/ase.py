"""Any ASE calculator as a potential.

Every call starts from a calculator without memory (`reset`): an answer depends on the structure
alone, not on cached results or on a neighbour list that an earlier structure left behind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from ase.calculators.calculator import PropertyNotImplementedError, all_changes

from mlipbench.core import literature
from mlipbench.core.errors import PotentialError
from mlipbench.core.potential import (
    PROPERTIES,
    BatchEvaluation,
    BoundPotential,
    Capabilities,
    Evaluation,
    Identity,
    Potential,
)
from mlipbench.core.structure import FloatArray, Structure
from mlipbench.potentials.identity import digest, version


class AsePotential(Potential):
    """Wraps an ASE calculator. NaN passes through, for the monitors to see; wrong shapes raise."""

    def __init__(
        self,
        calculator: Any,
        identity: Identity,
        elements: Iterable[int] | None = None,  # atomic numbers; None: unknown
        dtype: str = "float64",  # of the calculator's inner arithmetic
    ) -> None:
        self.calculator = calculator
        self._identity = identity
        offered = frozenset(calculator.implemented_properties) & frozenset(PROPERTIES)
        self._capabilities = Capabilities(
            offered, None if elements is None else frozenset(elements), dtype=dtype
        )

    @property
    def capabilities(self) -> Capabilities:
        """What the calculator says it implements."""
        return self._capabilities

    @property
    def identity(self) -> Identity:
        """As given by whoever built the calculator."""
        return self._identity

    def evaluate(
        self, structures: Sequence[Structure], properties: Collection[str] = ("energy", "forces")
    ) -> list[Evaluation]:
        """One structure after the other."""
        return [self._ask(structure.to_ase(), properties) for structure in structures]

    def bind(self, structure: Structure, n_replicas: int) -> BoundPotential:
        """One replica after the other, on the same `ase.Atoms`."""
        atoms = structure.to_ase()

        def evaluate(positions: FloatArray, cells: FloatArray, stress: bool) -> BatchEvaluation:
            n_atoms = len(atoms)
            forces = np.empty((len(positions), n_atoms, 3))
            energies = np.empty(len(positions))
            stresses = np.empty((len(positions), 3, 3)) if stress else None
            for replica in range(len(positions)):
                atoms.positions[:] = positions[replica]
                atoms.cell[:] = cells[replica]
                results = self._calculate(atoms, ("energy", "forces", "stress")[: 2 + stress])
                energies[replica] = self._number(results)
                forces[replica] = self._array(results, "forces", (n_atoms, 3))
                if stresses is not None:
                    stresses[replica] = self._stress(results)
            return BatchEvaluation(energies, forces, stresses)

        return evaluate

    def _ask(self, atoms: Any, properties: Collection[str]) -> Evaluation:
        results = self._calculate(atoms, tuple({"energy", *properties}))
        n_atoms = len(atoms)
        return Evaluation(
            energy=self._number(results),
            forces=self._array(results, "forces", (n_atoms, 3)) if "forces" in properties else None,
            stress=self._stress(results) if "stress" in properties else None,
            energies=self._array(results, "energies", (n_atoms,)) if "energies" in properties else None,
        )

    def _calculate(self, atoms: Any, properties: tuple[str, ...]) -> dict[str, Any]:
        """The calculator's results, computed afresh."""
        calculator = self.calculator
        if hasattr(calculator, "reset"):
            calculator.reset()
        try:
            calculator.calculate(atoms, sorted(properties), all_changes)
        except PropertyNotImplementedError as error:
            raise PotentialError(
                f"{self._identity.name} has no {error} for {len(atoms)} atoms with pbc {atoms.pbc.tolist()}; "
                f"its calculator declares {sorted(calculator.implemented_properties)}"
            ) from error
        results: dict[str, Any] = calculator.results
        missing = [p for p in properties if results.get(p) is None]
        if missing:
            raise PotentialError(
                f"{self._identity.name} was asked for {', '.join(sorted(missing))} of {len(atoms)} atoms "
                f"with pbc {atoms.pbc.tolist()}, its calculator answered {sorted(results)} only"
            )
        return results

    def _number(self, results: dict[str, Any]) -> float:
        energy = np.asarray(results["energy"], dtype=np.float64)
        if energy.size != 1:
            raise PotentialError(
                f"{self._identity.name}: the energy is one number in eV, got shape {energy.shape}"
            )
        return float(energy.reshape(()))

    def _array(self, results: dict[str, Any], name: str, shape: tuple[int, ...]) -> FloatArray:
        array = np.array(results[name], dtype=np.float64)
        if array.shape != shape:
            raise PotentialError(f"{self._identity.name}: {name} have the shape {shape}, got {array.shape}")
        return array

    def _stress(self, results: dict[str, Any]) -> FloatArray:
        stress = np.array(results["stress"], dtype=np.float64)
        if stress.shape == (6,):
            xx, yy, zz, yz, xz, xy = stress
            return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        if stress.shape != (3, 3):
            raise PotentialError(
                f"{self._identity.name}: the stress is six numbers (xx, yy, zz, yz, xz, xy) or (3, 3), "
                f"got {stress.shape}"
            )
        return stress


def emt(**kwargs: Any) -> AsePotential:
    """Effective medium theory of ASE: Al, Cu, Ag, Au, Ni, Pd, Pt and their alloys."""
    from ase.calculators.emt import EMT
    from ase.data import atomic_numbers

    build: Any = EMT
    metals = ("Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt")
    potential = AsePotential(
        build(**kwargs), _of_ase("EMT", EMT, kwargs), [atomic_numbers[symbol] for symbol in metals]
    )
    potential.citations = (literature.EMT,)
    return potential


def tersoff_silicon() -> AsePotential:
    """Silicon of Tersoff, Phys. Rev. B 38, 9902 (1988), called Si(C), computed by ASE."""
    from ase.calculators.tersoff import Tersoff, TersoffParameters

    silicon = TersoffParameters(
        m=3.0, gamma=1.0, lambda3=1.7322, c=1.0039e5, d=16.218, h=-0.59826, n=0.78734, beta=1.0999e-6,
        lambda2=1.7322, B=471.18, R=2.85, D=0.15, lambda1=2.4799, A=1830.8,
    )  # fmt: skip
    parameters = {("Si", "Si", "Si"): silicon}
    potential = AsePotential(
        Tersoff(parameters), _of_ase("Tersoff silicon", Tersoff, vars(silicon)), elements=[14]
    )
    potential.citations = (literature.TERSOFF_SILICON,)
    return potential


def _of_ase(name: str, cls: type, parameters: dict[str, Any]) -> Identity:
    details = {
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "parameters": repr(sorted(parameters.items())),
        "ase": version("ase"),
        "numpy": np.__version__,
        "mlipbench": version("mlipbench"),
    }
    return Identity(name, digest(details), True, details)
