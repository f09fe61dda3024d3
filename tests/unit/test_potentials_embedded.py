from dataclasses import replace

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.optimize import BFGS
from networks import answer, architecture, crystal, ethanol, moved
from potential_contract import PotentialContract

from mlipbench import api
from mlipbench.core.errors import DataError, InputError, PotentialError
from mlipbench.core.structure import Structure
from mlipbench.model.network import Network
from mlipbench.model.package import package, save
from mlipbench.potentials import loading
from mlipbench.potentials.backends import TorchBackend
from mlipbench.potentials.embedded import EmbeddedPotential

SILICON = moved(bulk("Si", "diamond", a=5.43, cubic=True), 0, 0.0)
E0 = {1: -13.6, 6: -1029.3, 8: -2041.8}


def silicon_network(seed):
    """Random weights, large enough for restoring forces of the size of matter's."""
    shape = architecture(elements=(14,), r_max=4.5, correlation=2)
    network = Network(shape, seed)
    network.scale.fill_(30.0)
    return network


def silicon(dtype="float64", n_members=2, **options):
    members = [silicon_network(seed) for seed in range(n_members)]
    return EmbeddedPotential(package("silicon", members, {14: -158.5}, {}), dtype, **options)


def organic(n_members=3):
    members = [Network(architecture(), seed) for seed in range(n_members)]
    return package("organic", members, E0, {})


class TestEmbedded(PotentialContract):
    @pytest.fixture
    def potential(self):
        return silicon()

    @pytest.fixture
    def structure(self):
        return SILICON


class TestTorch(PotentialContract):
    @pytest.fixture
    def potential(self):
        return silicon(engine="torch")

    @pytest.fixture
    def structure(self):
        return SILICON


class TestSinglePrecision(PotentialContract):
    @pytest.fixture
    def potential(self):
        return silicon("float32", n_members=1)

    @pytest.fixture
    def structure(self):
        return SILICON


@pytest.mark.parametrize(("engine", "digits"), [("torch", 1e-14), ("compiled", 1e-8)])
def test_energies_contain_those_of_free_atoms(engine, digits):
    potential, structures = EmbeddedPotential(organic(), engine=engine), [ethanol(), crystal()]
    answers = potential.evaluate(structures, ("energy", "forces", "energies"))
    for found, structure in zip(answers, structures, strict=True):
        energies, forces, _ = answer(potential.package.committee, structure, stress=False)
        e0 = np.array([E0[z] for z in structure.numbers.tolist()])
        np.testing.assert_allclose(found.energies, e0 + energies, rtol=1e-14, atol=digits)
        assert found.energy == pytest.approx(float((e0 + energies).sum()), rel=1e-14, abs=digits)
        np.testing.assert_allclose(found.forces, forces, rtol=0, atol=digits)
        assert found.stress is None


def test_single_precision_keeps_the_digits_of_the_free_atoms():
    # E0 of 3000 eV, rounded to float32, would be off by 1e-4 eV.
    single = EmbeddedPotential(organic(), "float32").evaluate([ethanol()])[0].energy
    double = EmbeddedPotential(organic()).evaluate([ethanol()])[0].energy
    assert 0 < abs(single - double) < 1e-5


def test_the_package_is_left_as_it_was():
    made = organic()
    key = made.key
    EmbeddedPotential(made, "float32")
    assert made.key == key
    assert all(p.requires_grad and p.dtype == torch.float64 for p in made.committee.parameters())


def test_identity_tells_apart():
    keys = {
        EmbeddedPotential(organic()).identity.key,
        EmbeddedPotential(organic(), "float32").identity.key,
        EmbeddedPotential(organic(2)).identity.key,
        EmbeddedPotential(organic(), engine="torch").identity.key,
        EmbeddedPotential(organic(), tolerance=1e-5).identity.key,
    }
    assert len(keys) == 5
    assert EmbeddedPotential(organic()).identity.key in keys


def test_bound_answers_nan_for_positions_that_are_no_numbers():
    potential = silicon()
    positions = np.stack([SILICON.positions] * 2)
    positions[0, 0] = np.nan
    cells = np.stack([SILICON.cell] * 2)
    found = potential.bind(SILICON, 2)(positions, cells, True)
    alone = potential.bind(SILICON, 1)(positions[1:], cells[1:], True)
    assert np.isnan(found.energies[0])
    assert np.isnan(found.forces[0]).all()
    assert np.array_equal(found.forces[1], alone.forces[0])


def test_an_engine_that_differs_from_torch_is_refused(monkeypatch):
    # Tables that are 1000 times too coarse for what was asked.
    monkeypatch.setattr("mlipbench.engine.engine._RADIAL", 3e5)
    with pytest.raises(PotentialError, match=r"differ by .* eV/A in forces.*smaller `tolerance`"):
        silicon(n_members=1, tolerance=1e-8)


def test_atoms_are_compared_with_torch_once(monkeypatch):
    # A run is bound anew every thousand steps; a comparison takes as long as six steps of 192 atoms of water.
    potential = silicon()
    asked = []
    answers = TorchBackend.answers
    monkeypatch.setattr(
        TorchBackend, "answers", lambda self, *a, **k: asked.append(a[0]) or answers(self, *a, **k)
    )
    for _ in range(3):
        potential.bind(SILICON, 1)
    assert len(asked) == 1
    potential.bind(SILICON.with_positions(SILICON.positions + 0.01), 1)
    assert len(asked) == 2


def test_calculator_refuses_positions_that_are_no_numbers(calculator):
    atoms = ethanol().to_ase()
    atoms.calc = calculator
    atoms.get_forces()
    atoms.positions[0, 0] = np.nan
    with pytest.raises(PotentialError, match="not numbers"):
        atoms.get_forces()


def test_bound_refuses_other_shapes():
    with pytest.raises(PotentialError, match=r"shape \(1, 8, 3\)"):
        silicon().bind(SILICON, 1)(np.zeros((1, 7, 3)), SILICON.cell[None], False)


def test_foreign_elements_are_refused():
    foreign = replace(SILICON, numbers=np.full(8, 32))
    with pytest.raises(PotentialError, match="32"):
        silicon().evaluate([foreign])
    with pytest.raises(PotentialError, match="32"):
        silicon().bind(foreign, 1)


def test_large_and_many_structures_are_computed_in_parts(monkeypatch):
    potential = silicon(n_members=1)
    structures = [moved(SILICON.to_ase(), seed, 0.1) for seed in range(5)]
    whole = potential.evaluate(structures, ("forces", "stress"))
    monkeypatch.setattr("mlipbench.potentials.embedded.ATOMS_AT_ONCE", 17)
    for a, b in zip(whole, potential.evaluate(structures, ("forces", "stress")), strict=True):
        np.testing.assert_allclose(a.forces, b.forces, rtol=0, atol=1e-13)
        np.testing.assert_allclose(a.stress, b.stress, rtol=0, atol=1e-14)


def test_suite_files_name_it_by_a_path_relative_to_them(tmp_path):
    save(organic(), tmp_path / "potentials" / "organic.mlip")
    potential = loading.load("embedded", {"path": "potentials/organic.mlip", "dtype": "float32"}, tmp_path)
    assert potential.identity.name == "organic"
    assert potential.capabilities.dtype == "float32"
    assert potential.capabilities.elements == {1, 6, 8}
    with pytest.raises(DataError, match="no such file"):
        loading.load("embedded", {"path": "organic.mlip"}, tmp_path)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"dtype": "float16"}, "float64 or float32"),
        ({"device": "abacus"}, "no device"),
        ({"engine": "steam"}, "compiled, inductor, traced or torch"),
        ({"device": "meta", "engine": "compiled"}, "compiled runs on cpu"),
        ({"tolerance": 0.0}, "between 1e-10 and 0.01"),
    ],
)
def test_options_that_are_not_there(kwargs, message):
    with pytest.raises(InputError, match=message):
        EmbeddedPotential(organic(), **kwargs)


@pytest.fixture
def calculator(tmp_path):
    save(organic(), tmp_path / "organic.mlip")
    return api.calculator(tmp_path / "organic.mlip")


def test_calculator_answers_as_the_potential(calculator):
    atoms = crystal().to_ase()
    atoms.calc = calculator
    expected = EmbeddedPotential(organic()).evaluate(
        [Structure.from_ase(atoms)], ("energy", "forces", "stress", "energies")
    )[0]
    assert atoms.get_potential_energy() == pytest.approx(expected.energy, rel=1e-14)
    np.testing.assert_allclose(atoms.get_forces(), expected.forces, rtol=0, atol=1e-13)
    np.testing.assert_allclose(atoms.get_stress(voigt=False), expected.stress, rtol=0, atol=1e-14)
    np.testing.assert_allclose(atoms.get_potential_energies(), expected.energies, rtol=1e-14)


def test_calculator_has_the_spread_of_the_committee(calculator):
    # Oracle: the members one by one.
    atoms = ethanol().to_ase()
    atoms.calc = calculator
    atoms.get_potential_energy()
    members = [answer(n, ethanol(), stress=False) for n in calculator.potential.package.committee.networks]
    energies, forces = (np.stack([m[k] for m in members]) for k in (0, 1))
    spread = np.sqrt(((forces - forces.mean(axis=0)) ** 2).sum(axis=(0, 2)) / 2)
    np.testing.assert_allclose(calculator.results["forces_spread"], spread, rtol=0, atol=1e-7)
    np.testing.assert_allclose(calculator.results["energies_spread"], energies.std(axis=0, ddof=1), rtol=1e-6)
    total = float(energies.sum(axis=1).std(ddof=1))
    assert calculator.get_property("energy_spread", atoms) == pytest.approx(total, rel=1e-6)
    assert "stress" not in calculator.results


def test_calculator_in_a_plain_ase_script(calculator, tmp_path):
    atoms = ethanol().to_ase()
    atoms.calc = calculator
    before = atoms.get_potential_energy()
    BFGS(atoms, logfile=None).run(fmax=0.05, steps=3)
    assert atoms.get_potential_energy() < before
    ase.io.write(tmp_path / "relaxed.extxyz", atoms)


def test_a_single_network_has_no_spread(tmp_path):
    save(organic(1), tmp_path / "one.mlip")
    atoms = ethanol().to_ase()
    atoms.calc = api.calculator(str(tmp_path / "one.mlip"))
    atoms.get_forces()
    assert "forces_spread" not in atoms.calc.results
