import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from potential_contract import PotentialContract, rattled

from mlipbench.core.errors import PotentialError
from mlipbench.core.potential import Identity
from mlipbench.core.structure import Structure
from mlipbench.potentials.ase import AsePotential, emt, tersoff_silicon

COPPER = Structure.from_ase(bulk("Cu", "fcc", a=3.6, cubic=True))
SILICON = Structure.from_ase(bulk("Si", "diamond", a=5.432, cubic=True))
IDENTITY = Identity("test", "0" * 64, True)


class TestEmt(PotentialContract):
    @pytest.fixture
    def potential(self):
        return emt()

    @pytest.fixture
    def structure(self):
        return COPPER


class TestTersoff(PotentialContract):
    @pytest.fixture
    def potential(self):
        return tersoff_silicon()

    @pytest.fixture
    def structure(self):
        return SILICON

    def test_lattice_and_cohesion(self, potential):
        # Published: 5.432 A and -4.63 eV/atom; a wrong parameter moves one of them.
        a = np.linspace(0.99, 1.01, 9)
        energies = [
            potential.evaluate([SILICON.with_positions(SILICON.positions * f, SILICON.cell * f)])[0].energy
            / 8
            for f in a
        ]
        fit = np.polynomial.Polynomial.fit(a, energies, 4)
        best = min(fit.deriv().roots(), key=lambda x: abs(x - 1)).real
        assert 5.432 * best == pytest.approx(5.432, abs=1e-3)
        assert fit(best) == pytest.approx(-4.63, abs=3e-3)


class Scripted(Calculator):
    """Answers what it is told to."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, **answers):
        super().__init__()
        self.answers, self.calls = answers, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        self.results = dict(self.answers)


def scripted(**answers):
    return AsePotential(Scripted(**{"energy": 1.0, "forces": np.zeros((4, 3)), **answers}), IDENTITY)


def test_voigt_order():
    # ASE's order is xx, yy, zz, yz, xz, xy.
    answer = scripted(stress=np.arange(1.0, 7.0)).evaluate([COPPER], ("stress",))[0]
    assert answer.stress.tolist() == [[1, 6, 5], [6, 2, 4], [5, 4, 3]]


def test_nothing_is_cached():
    potential = scripted()
    potential.evaluate([COPPER, COPPER])
    assert potential.calculator.calls == 2


def test_bound_positions_and_cells_reach_the_calculator():
    # Independent path: ASE's own Atoms with the same positions.
    potential, moved = emt(), rattled(COPPER, 3)
    answer = potential.bind(COPPER, 1)(moved.positions[None], 1.02 * moved.cell[None], True)
    atoms = moved.with_positions(moved.positions, 1.02 * moved.cell).to_ase()
    atoms.calc = emt().calculator
    assert answer.energies[0] == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    np.testing.assert_allclose(answer.stresses[0], atoms.get_stress(voigt=False), atol=1e-12)


@pytest.mark.parametrize(
    ("answers", "properties", "message"),
    [
        ({"forces": np.zeros((3, 3))}, ("forces",), r"forces have the shape \(4, 3\), got \(3, 3\)"),
        ({"energy": np.zeros(2)}, ("energy",), "one number"),
        ({"stress": np.zeros(9)}, ("stress",), r"six numbers.*got \(9,\)"),
        ({"stress": None}, ("stress",), "asked for stress of 4 atoms"),
        ({}, ("energies",), "asked for energies"),
    ],
)
def test_broken_answers_are_named(answers, properties, message):
    with pytest.raises(PotentialError, match=message):
        scripted(**answers).evaluate([COPPER], properties)


def test_stress_of_a_molecule_is_named():
    # EMT declares stress and leaves it out without a cell.
    dimer = Structure.from_ase(Atoms("Cu2", [[0, 0, 0], [0, 0, 2.4]]))
    with pytest.raises(PotentialError, match="stress"):
        emt().evaluate([dimer], ("stress",))


def test_nan_passes_through():
    answer = scripted(energy=np.nan, forces=np.full((4, 3), np.nan)).evaluate([COPPER])[0]
    assert np.isnan(answer.energy)
    assert np.isnan(answer.forces).all()


def test_capabilities_are_the_calculators():
    assert scripted().capabilities.properties == {"energy", "forces", "stress"}
    assert emt().capabilities.elements == {13, 28, 29, 46, 47, 78, 79}
