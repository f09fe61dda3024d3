"""The silicon reference set against itself: derivatives of its own energies, its split, published figures."""

import json
import math

import numpy as np
import phonopy
import pytest
from ase import units
from ase.eos import birchmurnaghan
from ase.geometry import find_mic
from labelled_sets import ColdCurve, assert_frozen, parts_of
from phonopy.harmonic.force_constants import compact_fc_to_full_fc

from mlipbench.core.shipped import reference_data
from mlipbench.core.units import EV_PER_A3_IN_GPA
from mlipbench.data.references import Manifest
from mlipbench.data.scalars import read_scalars
from reference_data import cubic_crystal, labelling
from reference_data.espresso import Mesh
from reference_data.silicon import structures

FOLDER = reference_data() / "silicon"


@pytest.fixture(scope="module")
def parts():
    return parts_of("silicon_pbe")


@pytest.fixture(scope="module")
def bulk(parts):
    """All frames but the isolated atom."""
    return [f for frames in parts.values() for f in frames if f.config_type != "isolated_atom"]


def test_the_split_is_the_frozen_one(parts):
    """Each frame comes from a run of its own and lies where the hash of its name puts it."""
    assert_frozen("silicon_pbe", parts, structures.split_of() | {"isolated_atom": "train"})


def test_every_kind_is_in_training_and_test(parts):
    kinds = {kind.name for kind in structures.KINDS}
    assert kinds == {f.config_type for f in parts["test"]}
    assert kinds | {"isolated_atom"} == {f.config_type for f in parts["train"]}


def test_labels_are_complete(bulk):
    assert all(f.energy is not None and f.forces is not None and f.stress is not None for f in bulk)


def test_net_forces_vanish(bulk):
    """pw.x removes the net force; atoms reordered or a column lost would show here."""
    assert max(np.abs(f.forces.sum(axis=0)).max() for f in bulk) < 5e-3


def test_no_contact_below_the_pseudopotential_cores(bulk):
    assert min(labelling.closest(f.structure.to_ase()) for f in bulk) >= structures.CLOSEST_A


def test_k_point_density_is_that_of_the_large_cell():
    """8 atoms: 4 x 4 x 4; 64 atoms: 2 x 2 x 2; a slab: one point along its vacuum."""
    from ase.build import bulk, diamond100

    cell = bulk("Si", cubic=True, a=structures.LATTICE_A)
    cell.info["config_type"] = "strained"
    assert structures.k_points(cell) == Mesh((4, 4, 4), (1, 1, 1))
    assert structures.k_points(cell * (2, 2, 2)) == Mesh((2, 2, 2), (1, 1, 1))
    slab = diamond100("Si", (2, 1, 8), a=structures.LATTICE_A, vacuum=4.5)
    slab.info["config_type"] = "surface"
    assert structures.k_points(slab).points[2] == 1


def test_pressure_is_the_derivative_of_the_energy(bulk):
    """Perfect crystals at thirteen volumes: p = -dE/dV of a fit to the energies.

    A wrong sign or a stress in kbar instead of eV/A^3 fails at once; 0.6 GPa would be Pulay stress.
    """
    cold = ColdCurve(bulk)
    assert np.abs(cold.derived() - cold.pressures)[1:-1].max() * EV_PER_A3_IN_GPA < 0.6


def test_the_equation_of_state_is_that_of_pbe_silicon(bulk):
    """PBE silicon: a = 5.47 A, B = 89 GPa (published plane-wave and all-electron values lie within
    0.01 A and 2 GPa); the norm-conserving pseudopotential is allowed twice and three times that."""
    volume, modulus = ColdCurve(bulk).rest()
    assert math.cbrt(8 * volume) == pytest.approx(5.47, abs=0.02)
    assert modulus * EV_PER_A3_IN_GPA == pytest.approx(89.0, abs=6.0)


@pytest.mark.parametrize("pressure_GPa", [-3.0, 0.0, 8.0])
def test_a_crystal_under_pressure_has_the_volume_where_the_energy_falls_so(pressure_GPa):
    """Oracle: ASE's Birch-Murnaghan energy, by differences. A sign, or B' - 4 left out, is off by
    0.01 GPa or more."""
    eos = json.loads((FOLDER / "properties.json").read_text())["equation_of_state"]
    v, v0 = cubic_crystal.volume_under(eos, pressure_GPa), eos["lattice_constant"] ** 3 / 8
    curve = (0.0, eos["bulk_modulus"] / EV_PER_A3_IN_GPA, eos["bulk_modulus_derivative"], v0)
    slope = (birchmurnaghan(v + 1e-3, *curve) - birchmurnaghan(v - 1e-3, *curve)) / 2e-3
    assert -EV_PER_A3_IN_GPA * slope == pytest.approx(pressure_GPa, abs=1e-3)


def test_cohesive_energy(parts, bulk):
    """PBE: 4.55 eV/atom (published, all-electron, spin-polarised atom); 0.15 eV is the pseudopotential's due,
    an atom without spin would be off by 0.7 eV."""
    (atom,) = [f for f in parts["train"] if f.config_type == "isolated_atom"]
    lowest = min(f.energy / len(f.structure) for f in bulk if f.config_type == "volume")
    assert atom.energy - lowest == pytest.approx(4.55, abs=0.15)


def test_stress_and_energy_give_one_bulk_modulus():
    """(C11 + 2 C12) / 3 from slopes of the stress is B of the equation of state, from energies alone. A
    strain misread by its half, kbar for GPa, or Voigt's order confused differs by far more than 2 %.
    """
    numbers = Manifest.load(reference_data()).scalars("silicon_pbe_properties")
    value = {name: scalar.value for name, scalar in numbers.items()}
    from_stress = (value["C11"] + 2 * value["C12"]) / 3
    assert from_stress == pytest.approx(value["bulk_modulus"], rel=0.02)
    assert 8 * value["volume_per_atom"] == pytest.approx(value["lattice_constant"] ** 3, rel=1e-5)


def test_both_supercells_have_the_modes_that_both_hold():
    """Gamma and X lie in the 8-atom cell too: one atom moved among 8 or among 64 must give their frequencies
    alike, 15 THz at Gamma. Forces not converged, or k meshes that do not match, differ by more than 0.05.
    """
    record = json.loads((FOLDER / "properties.json").read_text())
    large, small = record["frequencies_THz"], record["frequencies_8_atoms_THz"]
    for q in ("Gamma", "X"):
        assert small[q] == pytest.approx(large[q], abs=0.05)
    assert large["Gamma"][-1] == pytest.approx(15.0, abs=0.3)  # 15.5 THz by neutrons; PBE is softer


# ---------------------------------------------------------------- molecular dynamics against force constants
@pytest.fixture(scope="module")
def harmonic():
    """The crystal of the force constants of 64 atoms and its Hessian, (192, 192) eV/A^2."""
    phonon = phonopy.load(FOLDER / "silicon_pbe_phonons.yaml", symmetrize_fc=True, log_level=0)
    constants = compact_fc_to_full_fc(phonon.primitive, phonon.force_constants)
    return phonon.supercell, constants.transpose(0, 2, 1, 3).reshape(192, 192)


def test_bonds_of_the_dynamics_scatter_as_its_force_constants_say(harmonic):
    """<u u> = kT / Hessian, classical nuclei, one calculation against another that is independent. 60 K more
    or less, or a peak that is blurred by 0.02 A, is off by 5 % or more.
    """
    crystal, hessian = harmonic
    ways, lengths = find_mic(crystal.positions - crystal.positions[0], crystal.cell)
    k = int(np.flatnonzero((lengths > 0.1) & (lengths < 2.5))[0])
    stretch = np.zeros((64, 3))
    stretch[k], stretch[0] = ways[k] / lengths[k], -ways[k] / lengths[k]
    covariance = units.kB * 300.0 * np.linalg.pinv(hessian, rcond=1e-6)
    expected = math.sqrt(stretch.ravel() @ covariance @ stretch.ravel())
    g = Manifest.load(reference_data()).curve("silicon_pbe_md_rdf")
    first = g.abscissa < 3.0
    counts = (g.abscissa**2 * g.value)[first]
    mean = np.average(g.abscissa[first], weights=counts)
    assert mean == pytest.approx(lengths[k], abs=0.008)
    assert math.sqrt(np.average((g.abscissa[first] - mean) ** 2, weights=counts)) == pytest.approx(
        expected, rel=0.05
    )


def test_the_spectrum_of_the_dynamics_lies_where_the_phonons_are(harmonic):
    """Mean wavenumber, and 189 degrees of freedom: a time step misread by 2 %, or modes that the thermostat
    of the run or the impulses every 18 fs move, would show."""
    _, hessian = harmonic
    squared = np.linalg.eigvalsh(hessian / 28.0855)[3:]
    modes = np.sqrt(squared) * units._hbar * units.J * units.s / units.invcm
    spectrum = Manifest.load(reference_data()).curve("silicon_pbe_md_vdos")
    assert np.average(spectrum.abscissa, weights=spectrum.value) == pytest.approx(modes.mean(), rel=0.015)
    assert np.trapezoid(spectrum.value, spectrum.abscissa) == pytest.approx(189.0, rel=0.03)


def test_the_volume_at_300_K_is_larger_as_heat_makes_it():
    """Classical heat, 3 kT an atom, presses with Grueneisen's parameter times its density: 0.6 GPa for a
    parameter of one. Silicon's lies between 0 and 1 (its transverse acoustic modes have negative ones).
    """
    scalars = read_scalars(FOLDER / "silicon_pbe_md.yaml")
    assert 0.0 < scalars["volume_per_atom"].value / 20.5192 - 1 < 0.0070
