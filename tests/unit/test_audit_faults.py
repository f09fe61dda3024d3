"""Each fault planted in a sound set is found, with its cause, and nothing else is.

Oracle: the sets are made by calculators whose forces and stresses are exact derivatives (audit_sets.py),
so that every alarm in a sound twin is false, and every alarm beside the planted one is a cascade.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from audit_sets import SETS, alarms, alloy, audited, cause, labelled, written

from mlipbench.data.audit.audit import audit
from mlipbench.data.audit.reading import read

HA, BOHR = units.Hartree, units.Bohr
KCAL, KJ = units.kcal / units.mol, units.kJ / units.mol


def scaled(energy=1.0, forces=1.0, stress=1.0, length=1.0):
    """Divide labels by units."""

    def plant(frames):
        for a in frames:
            a.info["REF_energy"] /= energy
            a.arrays["REF_forces"] /= forces
            if "REF_stress" in a.info:
                a.info["REF_stress"] = a.info["REF_stress"] / stress
            a.set_cell(a.cell.array / length, scale_atoms=False)
            a.positions /= length
        return frames

    return plant


def ordered(*order, flip=False):
    """The stress as six numbers in another order (of xx yy zz yz xz xy)."""

    def plant(frames):
        for a in frames:
            if "REF_stress" in a.info:
                s = a.info["REF_stress"]
                voigt = np.array([s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]])
                a.info["REF_stress"] = voigt[list(order)] * (-1 if flip else 1)
        return frames

    return plant


def virial(sign):
    """Stress times volume in place of the stress."""

    def plant(frames):
        for a in frames:
            if "REF_stress" in a.info:
                a.info["REF_stress"] = sign * a.info["REF_stress"] * a.get_volume()
        return frames

    return plant


def each(change, chosen=slice(None)):
    """Change some frames in place."""

    def plant(frames):
        for a in frames[chosen]:
            change(a)
        return frames

    return plant


def without(*names):
    def change(a):
        for name in names:
            a.info.pop(name, None)
            a.arrays.pop(name, None)

    return change


def set_info(**values):
    return lambda a: a.info.update(values)


def zero(name):
    def change(a):
        for store in (a.info, a.arrays):
            if name in store:
                store[name] = np.zeros_like(store[name])

    return change


def not_numbers(a):
    a.arrays["REF_forces"][3, 1] = np.nan


def loose_atom(a):
    a.arrays["REF_forces"][5] = [3.0, -2.0, 4.0]


def frozen_atoms(a):
    a.arrays["REF_forces"][:4] = 0.0


def overlapping(a):
    a.positions[1] = a.positions[0] + [0.3, 0.1, 0.0]


def small_cell(a):
    a.set_cell([3.0, 3.0, 3.0])
    a.pbc = True


def no_cell(a):
    a.set_cell(np.zeros((3, 3)))


def open_boundaries(a):
    a.pbc = False


def open_and_no_cell(a):
    open_boundaries(a)
    no_cell(a)
    without("REF_stress")(a)


def flat_cell(a):
    cell = a.cell.array.copy()
    cell[2] = cell[0] + cell[1]
    a.set_cell(cell)
    without("REF_stress")(a)


def cell_in_bohr(a):
    a.wrap()
    a.set_cell(a.cell.array / BOHR, scale_atoms=False)


def shifted(name):
    """The labels of the next frame."""

    def plant(frames):
        several = [a for a in frames if len(a) > 1]
        values = [(a.info if name in a.info else a.arrays)[name] for a in several]
        for a, value in zip(several, values[1:] + values[:1], strict=True):
            (a.info if name in a.info else a.arrays)[name] = value
        return frames

    return plant


def rounded(name, step):
    def change(a):
        if name == "positions":
            a.positions = step * np.round(a.positions / step)
        elif name in a.info:
            a.info[name] = float(step * np.round(a.info[name] / step))
        elif name in a.arrays:
            a.arrays[name] = step * np.round(a.arrays[name] / step)

    return change


def energy_off(by):
    def change(a):
        a.info["REF_energy"] += by

    return change


def repeated(frames):
    return [*frames, frames[3].copy()]


def contradicting(frames):
    other = frames[3].copy()
    other.info["REF_energy"] += 0.3
    return [*frames, other]


def turned_forces(a):
    if len(a) > 1:
        a.arrays["REF_forces"] = a.arrays["REF_forces"][:, [1, 2, 0]]


def second_energy(a):
    a.info["DFT_energy"] = a.info["REF_energy"] + 0.01


def fractional(a):
    a.positions = a.get_scaled_positions(wrap=False)


def with_unit_cells(frames):
    rng = np.random.default_rng(9)
    small = []
    for _ in range(12):
        a = bulk("Cu", "fcc", a=3.62) * (1, 1, 2)
        a.positions += rng.normal(0, 0.05, a.positions.shape)
        small.append(labelled(a, EMT()))
    return frames + small


@dataclass(frozen=True)
class Fault:
    base: str
    plant: object
    found: dict[str, str]  # id -> words in the cause


STRAINED, THERMAL = slice(30, 60), slice(0, 30)
FAULTS = {
    "energies in Hartree": Fault(
        "alloy", scaled(energy=HA), {"units.energy": "energies in Hartree, forces in eV/A"}
    ),
    "energies in Rydberg": Fault("alloy", scaled(energy=HA / 2), {"units.energy": "energies in Rydberg"}),
    "energies in kcal/mol": Fault("alloy", scaled(energy=KCAL), {"units.energy": "energies in kcal/mol"}),
    "energies in kJ/mol": Fault("alloy", scaled(energy=KJ), {"units.energy": "energies in kJ/mol"}),
    "forces in Hartree/Bohr": Fault(
        "alloy", scaled(forces=HA / BOHR), {"units.forces": "forces in Hartree/Bohr"}
    ),
    "forces in Rydberg/Bohr": Fault(
        "alloy", scaled(forces=HA / 2 / BOHR), {"units.forces": "forces in Rydberg/Bohr"}
    ),
    "forces in kcal/mol/A": Fault("alloy", scaled(forces=KCAL), {"units.forces": "forces in kcal/mol/A"}),
    "forces in eV/Bohr": Fault("alloy", scaled(forces=1 / BOHR), {"units.forces": "forces in eV/Bohr"}),
    "energies and forces in Hartree and Bohr": Fault(
        "alloy",
        scaled(energy=HA, forces=HA / BOHR),
        {"units.energy_and_forces": "Hartree, forces in Hartree/Bohr"},
    ),
    "the same of a molecule": Fault(
        "ethanol",
        scaled(energy=HA, forces=HA / BOHR),
        {"units.energy_and_forces": "Hartree, forces in Hartree/Bohr"},
    ),
    "the same of a time series": Fault("run", scaled(energy=HA), {"units.energy": "energies in Hartree"}),
    "energies and forces in kJ/mol and nm": Fault(
        "alloy", scaled(energy=KJ, forces=KJ / 10), {"units.energy_and_forces": "kJ/mol, forces in kJ/mol/nm"}
    ),
    "positions and cell in Bohr": Fault("alloy", scaled(length=BOHR), {"units.length": "Bohr"}),
    "argon's positions in Bohr": Fault("argon", scaled(length=BOHR), {"units.length": "Bohr"}),
    "a molecule in Bohr": Fault("ethanol", scaled(length=BOHR), {"units.length": "Bohr"}),
    "positions in nm": Fault("alloy", scaled(length=10), {"units.length": "nm"}),
    "all in atomic units": Fault(
        "alloy",
        scaled(HA, HA / BOHR, HA / BOHR**3, BOHR),
        {"units.length": "Bohr", "units.energy_and_forces": "Hartree/Bohr", "stress.unit": "Hartree/Bohr^3"},
    ),
    "fractional coordinates": Fault("alloy", each(fractional, slice(0, 60)), {"units.length": "fractional"}),
    "cell in Bohr": Fault("alloy", each(cell_in_bohr, slice(0, 60)), {"cell.unit": "Bohr"}),
    "gradients for forces": Fault("alloy", scaled(forces=-1), {"forces.sign": "gradients"}),
    "gradients for forces, molecule": Fault("ethanol", scaled(forces=-1), {"forces.sign": "gradients"}),
    "gradients in Hartree/Bohr": Fault(
        "alloy", scaled(forces=-HA / BOHR), {"forces.sign": "gradients", "units.forces": "Hartree/Bohr"}
    ),
    "stress with the wrong sign": Fault(
        "alloy", scaled(stress=-1), {"stress.sign": "positive under compression"}
    ),
    "stress in GPa": Fault("alloy", scaled(stress=units.GPa), {"stress.unit": "GPa"}),
    "stress in kbar, VASP's sign": Fault(
        "alloy", scaled(stress=-0.1 * units.GPa), {"stress.unit": "kbar", "stress.sign": "compression"}
    ),
    "stress in bar": Fault("alloy", scaled(stress=1e-4 * units.GPa), {"stress.unit": "bar"}),
    "stress times volume": Fault("alloy", virial(1), {"stress.unit": "virial"}),
    "virial for stress": Fault("alloy", virial(-1), {"stress.unit": "virial", "stress.sign": "virial"}),
    "VASP's order": Fault("alloy", ordered(0, 1, 2, 5, 3, 4), {"stress.order": "VASP"}),
    "LAMMPS' order": Fault("alloy", ordered(0, 1, 2, 5, 4, 3), {"stress.order": "LAMMPS"}),
    "upper triangle": Fault("alloy", ordered(0, 5, 4, 1, 3, 2), {"stress.order": "upper triangle"}),
    "VASP's order and sign": Fault(
        "alloy", ordered(0, 1, 2, 5, 3, 4, flip=True), {"stress.order": "VASP", "stress.sign": "compression"}
    ),
    "a wrong force": Fault("alloy", each(loose_atom, slice(7, 8)), {"forces.net": "wrong or missing"}),
    "constrained atoms": Fault(
        "alloy", each(frozen_atoms, slice(0, 60)), {"forces.net": "4 constrained atoms"}
    ),
    "forces in another orientation": Fault("ethanol", each(turned_forces), {"forces.torque": "orientations"}),
    "forces of another frame": Fault("alloy", shifted("REF_forces"), {"forces.unrelated": "other frames"}),
    "energies of another frame": Fault(
        "alloy", shifted("REF_energy"), {"energies.unrelated": "other frames"}
    ),
    "overlapping atoms": Fault("alloy", each(overlapping, slice(4, 6)), {"contacts.short": "overlapping"}),
    "a molecule in a small cell": Fault(
        "ethanol", each(small_cell, slice(0, 60)), {"contacts.short": "too small"}
    ),
    "no cell": Fault("alloy", each(no_cell, slice(0, 3)), {"cell.missing": "conversion"}),
    "no cell anywhere": Fault("argon", each(open_and_no_cell), {"cell.missing": "conversion"}),
    "flat cell": Fault("alloy", each(flat_cell, slice(0, 3)), {"cell.flat": "conversion"}),
    "no periodicity": Fault("alloy", each(open_boundaries), {"cell.pbc_missing": "conversion"}),
    "no periodicity in some": Fault(
        "alloy", each(open_boundaries, slice(0, 9)), {"cell.pbc_missing": "conversion"}
    ),
    "an energy missing": Fault(
        "alloy", each(without("REF_energy"), slice(3, 5)), {"labels.missing_energy": "joined"}
    ),
    "forces missing": Fault(
        "alloy", each(without("REF_forces"), slice(3, 5)), {"labels.missing_forces": "joined"}
    ),
    "stress missing": Fault(
        "alloy", each(without("REF_stress"), slice(3, 5)), {"labels.missing_stress": "joined"}
    ),
    "no energies": Fault("run", each(without("REF_energy")), {"labels.no_energy": "another name"}),
    "no labels": Fault(
        "run",
        each(without("REF_energy", "REF_forces", "REF_stress")),
        {"labels.none": "another name"},
    ),
    "forces that are not numbers": Fault(
        "alloy", each(not_numbers, slice(3, 4)), {"labels.unreadable": "failed"}
    ),
    "zeros for forces": Fault(
        "alloy", each(zero("REF_forces"), slice(3, 9)), {"labels.zero_forces": "zeros"}
    ),
    "zeros for stress": Fault(
        "alloy", each(zero("REF_stress"), slice(3, 9)), {"labels.zero_stress": "zeros"}
    ),
    "one energy for all": Fault(
        "run", each(set_info(REF_energy=-3.0)), {"labels.constant_energy": "placeholder"}
    ),
    "two energies": Fault("alloy", each(second_energy, slice(3, 4)), {"labels.ambiguous": "model"}),
    "levels of theory": Fault(
        "run", each(set_info(functional="PBE"), slice(0, 20)), {"theory.mixed": "joined"}
    ),
    "an unconverged energy": Fault(
        "alloy", each(energy_off(1.0), slice(12, 13)), {"energies.outlier": "converge"}
    ),
    "two zeros of energy": Fault(
        "alloy", each(energy_off(4.0), slice(0, 60, 2)), {"energies.offset": "levels of theory"}
    ),
    "two zeros in a run": Fault(
        "run", each(energy_off(4.0), slice(0, 50)), {"energies.offset": "levels of theory"}
    ),
    "wrong isolated atom": Fault(
        "alloy", each(energy_off(90.0), slice(60, 61)), {"e0.inconsistent": "pseudopotential"}
    ),
    "missing isolated atom": Fault("alloy", lambda frames: frames[:-1], {"e0.missing": ""}),
    "a frame twice": Fault("alloy", repeated, {"repeats.duplicates": "restart"}),
    "a frame twice with two energies": Fault(
        "alloy", contradicting, {"repeats.contradict": "levels of theory"}
    ),
    "coarse energies": Fault("alloy", each(rounded("REF_energy", 0.01)), {"precision.energies": "rounded"}),
    "coarse forces": Fault("alloy", each(rounded("REF_forces", 0.01)), {"precision.forces": "rounded"}),
    "coarse positions": Fault("alloy", each(rounded("positions", 0.01)), {"precision.positions": "rounded"}),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Alarms of each sound set, computed once."""
    return {name: alarms(audited(tmp_path_factory.mktemp(name), make())) for name, make in SETS.items()}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_nothing_else(name, tmp_path, sound):
    fault = FAULTS[name]
    assert sound[fault.base] == set()
    report = audited(tmp_path, fault.plant(SETS[fault.base]()))
    assert alarms(report) == set(fault.found)
    for found, words in fault.found.items():
        assert words in cause(report, found)


def test_units_that_agree_with_each_other_are_found_by_the_stated_temperature(tmp_path):
    """kcal/mol and kcal/mol/A: forces do follow the energies, the thermal motion is 23 times too large.

    Oracle: equipartition in a harmonic crystal, <F K^-1 F> = 3 N k T.
    """
    rng = np.random.default_rng(5)
    spring, temperature = 4.0, 300.0  # eV/A^2, K
    sites = bulk("Cu", "fcc", a=3.6, cubic=True) * (2, 2, 2)
    for factor, found in ((1.0, set()), (KCAL, {"units.energy_and_forces"})):
        frames = []
        for _ in range(30):
            u = rng.normal(0, np.sqrt(units.kB * temperature / spring), sites.positions.shape)
            u -= u.mean(axis=0)
            a = sites.copy()
            a.positions += u
            a.info = {
                "REF_energy": (0.5 * spring * (u**2).sum() - 120.0) / factor,
                "temperature_K": temperature,
            }
            a.arrays["REF_forces"] = -spring * u / factor
            frames.append(a)
        report = audited(tmp_path, frames)
        assert alarms(report) == found
        if found:
            assert "kcal/mol" in cause(report, "units.energy_and_forces")


def test_float32_energies_are_noted_with_their_step(tmp_path):
    frames = alloy()[:60]
    for a in frames:
        a.info["REF_energy"] = float(np.float32(a.info["REF_energy"] - 30000.0))
    report = audited(tmp_path, frames)
    assert alarms(report) == set()
    note = next(f for f in report.findings if f.id == "precision.energies")
    assert note.cause == "stored as float32"
    assert note.amount.value == 2.0**-9


def test_cells_of_2_and_32_atoms_are_noted(tmp_path):
    """A note: one batch of them needs care, the data are sound."""
    report = audited(tmp_path, with_unit_cells(alloy()[:60]))
    note = next(f for f in report.findings if f.id == "sizes.spread")
    assert (note.level, note.amount.value) == ("note", 16.0)
    assert "one batch" in note.remedy
    assert "sizes.spread" not in {f.id for f in audited(tmp_path, alloy()).findings}


def test_places_name_the_file_and_the_frames(tmp_path):
    frames = alloy()
    loose_atom(frames[7])
    report = audited(tmp_path, alloy(), frames)
    found = next(f for f in report.findings if f.id == "forces.net")
    assert [(p.file, p.frames, p.count) for p in found.where] == [("test.extxyz", [7], 1)]


def test_isolated_atoms_may_be_given(tmp_path):
    frames = read(written(tmp_path, alloy()[:60]))
    assert alarms(audit(frames, isolated_atoms={29: 3.51, 79: 3.80})) == set()
    assert alarms(audit(frames, isolated_atoms={29: -1000.0, 79: 3.80})) == {"e0.inconsistent"}


def test_one_frame_and_one_atom_are_enough_for_a_report(tmp_path):
    atom = Atoms("H")
    atom.info["REF_energy"] = -13.6
    report = audited(tmp_path, [atom])
    assert alarms(report) == set()
    assert report.train.formulas == {"H": 1}
