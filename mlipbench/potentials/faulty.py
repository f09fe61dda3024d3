"""Deliberately broken potentials: what the bench must catch.

Each is a sound potential with one fault: `use: mlipbench.potentials.faulty:wrong_sign_stress` with
`kwargs: {base: sw-si}`. The fault and the base's key make the identity.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlipbench.core.potential import (
    BatchEvaluation,
    BoundPotential,
    Capabilities,
    Evaluation,
    Identity,
    Potential,
)
from mlipbench.core.structure import FloatArray, Structure
from mlipbench.core.units import EV_PER_A3_IN_GPA
from mlipbench.potentials.faulty_pairs import AttractiveWall, Compass, Gaussian, Kink, Swirl
from mlipbench.potentials.identity import identity_of
from mlipbench.potentials.loading import load

Base = str | Potential
"""A potential, or what `use` would say."""


class Faulty(Potential):
    """A sound potential with a fault; subclasses change answers or what happens on the way."""

    def __init__(self, base: Base, **parameters: object) -> None:
        self.base = load(base, {}, Path()) if isinstance(base, str) else base
        fault = type(self).__name__
        self._identity = identity_of(
            f"{self.base.identity.name}, {fault}",
            type(self),
            {"base": self.base.identity.key, **parameters},
        )

    @property
    def capabilities(self) -> Capabilities:
        """Those of the base."""
        return self.base.capabilities

    @property
    def identity(self) -> Identity:
        """The base's, and the fault's."""
        return self._identity

    @abstractmethod
    def spoil(self, structure: Structure, positions: FloatArray, answer: BatchEvaluation) -> BatchEvaluation:
        """The answer for replicas at positions (n_replicas, n_atoms, 3), with the fault."""

    def evaluate(
        self, structures: Sequence[Structure], properties: Collection[str] = ("energy", "forces")
    ) -> list[Evaluation]:
        """The base's answers, each spoilt as a replica of its own."""
        answers = self.base.evaluate(structures, properties)
        return [self._spoil_one(s, a) for s, a in zip(structures, answers, strict=True)]

    def _spoil_one(self, structure: Structure, answer: Evaluation) -> Evaluation:
        forces = np.zeros((len(structure), 3)) if answer.forces is None else answer.forces
        spoilt = self.spoil(
            structure,
            structure.positions[None],
            BatchEvaluation(
                np.array([answer.energy]),
                forces[None],
                None if answer.stress is None else answer.stress[None],
            ),
        )
        change = float(spoilt.energies[0]) - answer.energy  # every atom has its share
        return replace(
            answer,
            energy=float(spoilt.energies[0]),
            forces=None if answer.forces is None else spoilt.forces[0],
            stress=None if spoilt.stresses is None else spoilt.stresses[0],
            energies=None if answer.energies is None else answer.energies + change / len(structure),
        )

    def bind(self, structure: Structure, n_replicas: int) -> BoundPotential:
        """The base's bound function, spoilt."""
        inner = self.base.bind(structure, n_replicas)

        def evaluate(positions: FloatArray, cells: FloatArray, stress: bool) -> BatchEvaluation:
            return self.spoil(structure, positions, inner(positions, cells, stress))

        return evaluate


class Sum(Potential):
    """A sound potential plus a term that spoils it."""

    def __init__(self, base: Base, extra: Potential) -> None:
        self.base = load(base, {}, Path()) if isinstance(base, str) else base
        self.extra = extra
        self._identity = identity_of(
            f"{self.base.identity.name}, {extra.identity.name}",
            type(self),
            {"base": self.base.identity.key, "extra": extra.identity.key},
        )

    @property
    def capabilities(self) -> Capabilities:
        """Those of the base."""
        return self.base.capabilities

    @property
    def identity(self) -> Identity:
        """Of both terms."""
        return self._identity

    def evaluate(
        self, structures: Sequence[Structure], properties: Collection[str] = ("energy", "forces")
    ) -> list[Evaluation]:
        """Sums of what both terms answer."""
        both = zip(
            self.base.evaluate(structures, properties),
            self.extra.evaluate(structures, properties),
            strict=True,
        )
        return [
            Evaluation(
                a.energy + b.energy,
                _add(a.forces, b.forces),
                _add(a.stress, b.stress),
                _add(a.energies, b.energies),
            )
            for a, b in both
        ]

    def bind(self, structure: Structure, n_replicas: int) -> BoundPotential:
        """Sum of both bound functions."""
        first, second = self.base.bind(structure, n_replicas), self.extra.bind(structure, n_replicas)

        def evaluate(positions: FloatArray, cells: FloatArray, stress: bool) -> BatchEvaluation:
            a, b = first(positions, cells, stress), second(positions, cells, stress)
            return BatchEvaluation(a.energies + b.energies, a.forces + b.forces, _add(a.stresses, b.stresses))

        return evaluate


def _add(a: FloatArray | None, b: FloatArray | None) -> FloatArray | None:
    return None if a is None or b is None else a + b


def hole(base: Base, depth_eV: float = 60.0, centre_A: float = 1.7, width_A: float = 0.15) -> Sum:
    """Atoms that come close enough fall into a trap at short range."""
    return Sum(base, Gaussian("hole", -depth_eV, centre_A, width_A))


def structured_error(
    base: Base, height_eV: float = 0.115, centre_A: float = 2.0, width_A: float = 0.5
) -> Sum:
    """Bonds that push a little too much. In rattled silicon the mean error of the forces is that of
    `force_noise`, 36 meV/A, but all bonds err alike: the crystal is under 2.5 GPa."""
    return Sum(base, Gaussian("pushed bonds", height_eV, centre_A, width_A))


def attractive_wall(base: Base, strength_eV: float = 5.0, reach_A: float = 2.0) -> Sum:
    """The repulsion of close atoms turns into attraction."""
    return Sum(base, AttractiveWall(strength_eV, reach_A))


def kink_at_cutoff(
    base: Base, step_eV: float = 0.02, slope_eV_per_A: float = 0.0, cutoff_A: float = 3.9
) -> Sum:
    """Energy (and force, with a slope) jump as a neighbour crosses the cutoff."""
    return Sum(base, Kink(step_eV, slope_eV_per_A, cutoff_A))


def non_conservative(base: Base, strength_eV_per_A: float = 0.2, cutoff_A: float = 4.0) -> Sum:
    """Forces that are not the gradient of any energy; the net force vanishes."""
    return Sum(base, Swirl(strength_eV_per_A, cutoff_A))


def not_rotation_invariant(base: Base, strength_eV: float = 0.05, cutoff_A: float = 4.0) -> Sum:
    """The energy depends on the crystal's orientation."""
    return Sum(base, Compass(strength_eV, cutoff_A))


class float32_noise(Faulty):
    """Energies and forces rounded to single precision, as a float32 model answers."""

    def spoil(self, structure: Structure, positions: FloatArray, answer: BatchEvaluation) -> BatchEvaluation:
        """Rounds."""
        return BatchEvaluation(
            _single(answer.energies),
            _single(answer.forces),
            None if answer.stresses is None else _single(answer.stresses),
        )

    def at_precision(self, dtype: str) -> Potential | None:
        """Unspoilt where float64 is asked for: it is what it answers in float32 that this one says it is."""
        return self.base if dtype == "float64" else self


def _single(array: FloatArray) -> FloatArray:
    return array.astype(np.float32).astype(np.float64)


class _StressFault(Faulty):
    def spoil(self, structure: Structure, positions: FloatArray, answer: BatchEvaluation) -> BatchEvaluation:
        """Changes the stress only."""
        if answer.stresses is None:
            return answer
        return replace(answer, stresses=self.wrong(answer.stresses))

    @abstractmethod
    def wrong(self, stresses: FloatArray) -> FloatArray:
        """What is answered for stresses (n_replicas, 3, 3)."""


class wrong_sign_stress(_StressFault):
    """Stress positive under compression."""

    def wrong(self, stresses: FloatArray) -> FloatArray:
        """Reverses the sign."""
        return -stresses


class wrong_unit_stress(_StressFault):
    """Stress in GPa."""

    def wrong(self, stresses: FloatArray) -> FloatArray:
        """Converts."""
        return stresses * EV_PER_A3_IN_GPA


class wrong_order_stress(_StressFault):
    """Shear components in the order xy, xz, yz, taken for ASE's yz, xz, xy."""

    def wrong(self, stresses: FloatArray) -> FloatArray:
        """Exchanges yz and xy."""
        swapped = stresses.copy()
        swapped[:, 1, 2] = swapped[:, 2, 1] = stresses[:, 0, 1]
        swapped[:, 0, 1] = swapped[:, 1, 0] = stresses[:, 1, 2]
        return swapped


class energy_offset(Faulty):
    """A constant energy for every atom of an element."""

    def __init__(self, base: Base, offsets_eV: Mapping[str, float]) -> None:
        from ase.data import atomic_numbers

        super().__init__(base, offsets_eV=dict(offsets_eV))
        self._offsets = np.zeros(120)
        for symbol, offset in offsets_eV.items():
            self._offsets[atomic_numbers[symbol]] = offset

    def spoil(self, structure: Structure, positions: FloatArray, answer: BatchEvaluation) -> BatchEvaluation:
        """Adds the offsets."""
        offset = float(self._offsets[structure.numbers].sum())
        return replace(answer, energies=answer.energies + offset)


class force_noise(Faulty):
    """Random errors of the forces, always the same at equal positions; the net force vanishes."""

    def __init__(self, base: Base, sigma_eV_per_A: float = 0.05) -> None:
        super().__init__(base, sigma_eV_per_A=sigma_eV_per_A)
        self.sigma = sigma_eV_per_A

    def spoil(self, structure: Structure, positions: FloatArray, answer: BatchEvaluation) -> BatchEvaluation:
        """Adds noise drawn from the positions' hash."""
        noise = np.empty_like(answer.forces)
        for replica, x in enumerate(positions):
            digest = hashlib.sha256(np.ascontiguousarray(x).tobytes()).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
            noise[replica] = rng.normal(scale=self.sigma, size=x.shape)
        noise -= noise.mean(axis=1, keepdims=True)
        return replace(answer, forces=answer.forces + noise)


class softened(Faulty):
    """Energies, forces and stresses too small by one factor: consistent, and too soft."""

    def __init__(self, base: Base, factor: float = 0.8) -> None:
        super().__init__(base, factor=factor)
        self.factor = factor

    def spoil(self, structure: Structure, positions: FloatArray, answer: BatchEvaluation) -> BatchEvaluation:
        """Scales."""
        return BatchEvaluation(
            self.factor * answer.energies,
            self.factor * answer.forces,
            None if answer.stresses is None else self.factor * answer.stresses,
        )


def hardened(base: Base, factor: float = 1.25) -> softened:
    """Energies, forces and stresses too large by one factor: consistent, and too stiff."""
    return softened(base, factor)


class drifted_density(Potential):
    """A consistent potential in a length unit that is off: energies, forces and stress of the base for the
    system stretched by `factor`^(1/3), so that it is in equilibrium at `factor` times the base's density."""

    def __init__(self, base: Base, factor: float = 0.95) -> None:
        self.base = load(base, {}, Path()) if isinstance(base, str) else base
        self.stretch = float(np.cbrt(factor))
        self._identity = identity_of(
            f"{self.base.identity.name}, drifted_density",
            type(self),
            {"base": self.base.identity.key, "factor": factor},
        )

    @property
    def capabilities(self) -> Capabilities:
        """Those of the base."""
        return self.base.capabilities

    @property
    def identity(self) -> Identity:
        """The base's, and the fault's."""
        return self._identity

    def evaluate(
        self, structures: Sequence[Structure], properties: Collection[str] = ("energy", "forces")
    ) -> list[Evaluation]:
        """The base's answers for the stretched structures, derivatives by the chain rule."""
        s = self.stretch
        stretched = [x.with_positions(s * x.positions, s * x.cell) for x in structures]
        return [
            replace(
                answer,
                forces=None if answer.forces is None else s * answer.forces,
                stress=None if answer.stress is None else s**3 * answer.stress,
            )
            for answer in self.base.evaluate(stretched, properties)
        ]

    def bind(self, structure: Structure, n_replicas: int) -> BoundPotential:
        """The same of the base's bound function."""
        inner, s = self.base.bind(structure, n_replicas), self.stretch

        def evaluate(positions: FloatArray, cells: FloatArray, stress: bool) -> BatchEvaluation:
            answer = inner(s * positions, s * cells, stress)
            return BatchEvaluation(
                answer.energies,
                s * answer.forces,
                None if answer.stresses is None else s**3 * answer.stresses,
            )

        return evaluate


class wrong_for_batches(Faulty):
    """The last of several replicas gets the forces of the first."""

    def spoil(self, structure: Structure, positions: FloatArray, answer: BatchEvaluation) -> BatchEvaluation:
        """Copies forces."""
        forces = answer.forces.copy()
        forces[-1] = forces[0]
        return replace(answer, forces=forces)
