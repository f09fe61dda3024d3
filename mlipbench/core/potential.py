"""What a potential is: the contract that every suite relies on.

A potential answers two calls. `evaluate` takes any list of structures. `bind` fixes the atoms
(elements, masses, periodicity) and the number of replicas, and returns a fast function of positions
and cells alone for the inner loop of molecular dynamics. A subclass implements `evaluate`; it
implements `bind` too where it can be faster than one structure after the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlipbench.core.citation import Citation
from mlipbench.core.structure import FloatArray, Structure

PROPERTIES = ("energy", "forces", "stress", "energies")


@dataclass(frozen=True)
class Capabilities:
    """What a potential can be asked."""

    properties: frozenset[str]  # subset of PROPERTIES
    elements: frozenset[int] | None = None  # None: unknown, anything may be asked
    dtype: str = "float64"
    device: str = "cpu"
    batched: bool = False  # several replicas in one call are faster than one by one


@dataclass(frozen=True)
class Identity:
    """Who a potential is. Equal keys mean equal answers."""

    name: str  # what the report calls it
    key: str  # sha256 over everything that decides the answers
    verified: bool  # False: part of what decides the answers could not be hashed
    details: dict[str, str] = field(default_factory=dict)  # versions, files, kwargs, source


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The answer for one structure; None for what was not asked."""

    energy: float  # eV
    forces: FloatArray | None = None  # (n_atoms, 3) eV/A
    stress: FloatArray | None = None  # (3, 3) eV/A^3, dE/d(strain)/V: positive under tension
    energies: FloatArray | None = None  # (n_atoms,) eV


@dataclass(frozen=True, eq=False)
class BatchEvaluation:
    """The answer for the replicas of one system."""

    energies: FloatArray  # (n_replicas,) eV
    forces: FloatArray  # (n_replicas, n_atoms, 3) eV/A
    stresses: FloatArray | None = None  # (n_replicas, 3, 3) eV/A^3


# (positions (n_replicas, n_atoms, 3) A, cells (n_replicas, 3, 3) A, stress wanted) -> answer
BoundPotential = Callable[[FloatArray, FloatArray, bool], BatchEvaluation]


class Potential(ABC):
    """Base of all potentials."""

    citations: tuple[Citation, ...] = ()
    """What a paper that uses it should cite; no part of its identity."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """Elements, properties, dtype, device."""

    @property
    @abstractmethod
    def identity(self) -> Identity:
        """Content hash of weights, settings, dtype, device and engine."""

    @abstractmethod
    def evaluate(
        self, structures: Sequence[Structure], properties: Collection[str] = ("energy", "forces")
    ) -> list[Evaluation]:
        """Answer for each structure. Raises PotentialError for a property it does not have."""

    def at_precision(self, dtype: str) -> Potential | None:
        """The same potential in another arithmetic (float32, float64); None where there is none."""
        return self if dtype == self.capabilities.dtype else None

    def bind(self, structure: Structure, n_replicas: int) -> BoundPotential:
        """A function of positions and cells for `n_replicas` copies of the atoms of `structure`.

        A replica's answer must not depend, bit for bit, on the replicas beside it.
        """

        def evaluate(positions: FloatArray, cells: FloatArray, stress: bool) -> BatchEvaluation:
            wanted = ("energy", "forces", "stress") if stress else ("energy", "forces")
            answers = self.evaluate(
                [structure.with_positions(p, c) for p, c in zip(positions, cells, strict=True)],
                wanted,
            )
            return BatchEvaluation(
                energies=np.array([a.energy for a in answers]),
                forces=np.stack([a.forces for a in answers if a.forces is not None]),
                stresses=np.stack([a.stress for a in answers if a.stress is not None]) if stress else None,
            )

        return evaluate
