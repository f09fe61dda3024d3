"""Tests that every potential must pass: inherit `PotentialContract` and give the two fixtures.

class TestMine(PotentialContract):
    @pytest.fixture
    def potential(self): ...
    @pytest.fixture
    def structure(self): ...
"""

import numpy as np
import pytest

from mlipbench.core.criterion import Verdict
from mlipbench.core.errors import PotentialError
from mlipbench.core.judge import judge
from mlipbench.potentials import contract


def verdicts(potential, structures, seed=0):
    """Criterion -> verdict of the contract check."""
    criteria = {c.name: c for c in contract.CRITERIA}
    return {
        m.name: judge([m], criteria[m.name])[0].verdict for m in contract.check(potential, structures, seed)
    }


def rattled(structure, seed, amplitude=0.1):
    rng = np.random.default_rng(seed)
    return structure.with_positions(structure.positions + rng.normal(0, amplitude, structure.positions.shape))


class PotentialContract:
    @pytest.fixture
    def potential(self):
        raise NotImplementedError

    @pytest.fixture
    def structure(self):
        raise NotImplementedError

    def test_contract_check_passes(self, potential, structure):
        # Oracle: finite differences of the energy. Limits would catch a wrong sign, unit or order.
        found = verdicts(potential, [structure])
        assert set(found.values()) == {Verdict.PASS}, found

    def test_replica_does_not_depend_on_its_company(self, potential, structure):
        # Bitwise: one ulp of difference is an error.
        positions = np.stack([rattled(structure, seed).positions for seed in range(4)])
        cells = np.stack([structure.cell * s for s in (1.0, 1.01, 0.99, 1.0)])
        stress = "stress" in potential.capabilities.properties
        together = potential.bind(structure, 4)(positions, cells, stress)
        for r in (0, 2, 3):
            alone = potential.bind(structure, 1)(positions[r : r + 1], cells[r : r + 1], stress)
            assert alone.energies[0] == together.energies[r]
            assert np.array_equal(alone.forces[0], together.forces[r])
            if stress:
                assert np.array_equal(alone.stresses[0], together.stresses[r])

    def test_answer_does_not_depend_on_history(self, potential, structure):
        # A neighbour list built elsewhere along the way must not change a bit: resume relies on it.
        walk = [rattled(structure, seed, 0.02 * seed).positions[None] for seed in range(6)]
        bound = potential.bind(structure, 1)
        for positions in walk:
            late = bound(positions, structure.cell[None], False)
        fresh = potential.bind(structure, 1)(walk[-1], structure.cell[None], False)
        assert late.energies[0] == fresh.energies[0]
        assert np.array_equal(late.forces, fresh.forces)

    def test_energies_of_atoms_add_up(self, potential, structure):
        if "energies" in potential.capabilities.properties:
            answer = potential.evaluate([rattled(structure, 1)], ("energy", "energies"))[0]
            assert answer.energies.sum() == pytest.approx(answer.energy, rel=1e-12)

    def test_unknown_property_is_named(self, potential, structure):
        with pytest.raises(PotentialError, match="dipole"):
            potential.evaluate([structure], ("dipole",))

    def test_identity_is_reproducible(self, potential):
        assert potential.identity.key == potential.identity.key
        assert potential.identity.verified
        assert len(potential.identity.key) == 64
