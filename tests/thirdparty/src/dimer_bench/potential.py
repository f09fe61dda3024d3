"""A pair potential E = -D u^2, u = 1 - ((r - r0) / w)^2, inside r0 + w, and 0 beyond; argon only."""

import hashlib
from collections.abc import Collection, Sequence

import numpy as np

from mlipbench.api import Capabilities, Evaluation, Identity, Potential, Structure

DEPTH, R0, WIDTH = 0.5, 3.0, 1.0  # eV, A, A


class SoftPair(Potential):
    """A well of depth DEPTH at R0, for clusters of argon."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(properties=frozenset({"energy", "forces"}), elements=frozenset({18}))

    @property
    def identity(self) -> Identity:
        key = hashlib.sha256(repr((DEPTH, R0, WIDTH)).encode()).hexdigest()
        return Identity("soft pair", key, verified=True)

    def evaluate(
        self, structures: Sequence[Structure], properties: Collection[str] = ("energy", "forces")
    ) -> list[Evaluation]:
        return [self._one(structure) for structure in structures]

    def _one(self, structure: Structure) -> Evaluation:
        d = structure.positions[:, None] - structure.positions[None]
        r = np.linalg.norm(d, axis=-1) + 1e9 * np.eye(len(structure))
        inside = r < R0 + WIDTH
        u = np.where(inside, 1.0 - (r - R0) ** 2 / WIDTH**2, 0.0)
        energy = -0.5 * DEPTH * float(np.sum(u**2))
        slope = np.where(inside, 4.0 * DEPTH * u * (r - R0) / WIDTH**2, 0.0)
        return Evaluation(energy, -np.sum((slope / r)[..., None] * d, axis=1))


def soft_pair() -> SoftPair:
    """A soft pair potential for argon clusters."""
    return SoftPair()
