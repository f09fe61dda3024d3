"""Curves, scalars and phonons as values, through a manifest and as files of their own.

Oracles: the numbers written here; conversions by `ase.units`; for force constants an Einstein crystal and
a chain of springs whose constants are put in, and EMT copper whose forces are written in the units of two
other codes.
"""

import hashlib
import re
import sys

import ase.units
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms
from test_references_malformed import BORN, CURVE, PHONONS, SCALAR

from mlipbench.core.errors import DataError
from mlipbench.core.shipped import reference_data
from mlipbench.core.suite import CurveRef, PhononsRef, ScalarRef
from mlipbench.data.curves import read_curve
from mlipbench.data.phonon_reference import read_phonons
from mlipbench.data.reference_check import check
from mlipbench.data.references import Manifest, update_manifest
from mlipbench.data.resolve import resolve
from mlipbench.data.scalars import read_scalars

EMPTY = Manifest({}, {})
MANIFEST = """\
references:
  rdf:
    title: a curve
    kind: curve
    file: c.csv
    sha256: null
    units: {r: A, g: "1"}
    level_of_theory: PBE0+TS
    licence: MIT
    source: a test
    verified: true
  numbers:
    title: scalars
    kind: scalar
    file: s.yaml
    sha256: null
    units: {density: g/cm^3}
    level_of_theory: experiment
    licence: MIT
    source: a test
    verified: false
  einstein:
    title: force constants
    kind: phonons
    file: p.yaml
    sha256: null
    units: {force_constants: eV/A^2}
    level_of_theory: a spring
    licence: MIT
    source: a test
    verified: true
"""


class InNanometres(CurveRef):
    abscissa_unit, value_unit = "nm", "%"


class InGigapascal(CurveRef):
    abscissa_unit, value_unit = "GPa", "1"


class InAtomicMasses(ScalarRef):
    unit = "u/A^3"


class InKelvin(ScalarRef):
    unit = "K"


@pytest.fixture
def folder(tmp_path):
    for name, text in (
        ("c.csv", CURVE),
        ("s.yaml", SCALAR),
        ("p.yaml", PHONONS + BORN),
        ("manifest.yaml", MANIFEST),
    ):
        (tmp_path / name).write_text(text)
    update_manifest(tmp_path)
    return tmp_path


def test_curve_as_written(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text(
        "\ufeff" + CURVE.replace("# source", "\n# note: one\n# note: two\n# source").replace("\n", "\r\n")
    )
    curve = read_curve(path)
    np.testing.assert_array_equal(curve.abscissa, [2.0, 2.5, 3.0])
    np.testing.assert_array_equal(curve.value, [0.0, 1.2, 1.0])
    np.testing.assert_array_equal(curve.error, [0.01, 0.02, 0.02])
    assert (curve.abscissa_name, curve.value_name, curve.temperature_K) == ("r", "g", 330.0)
    assert (curve.level_of_theory, curve.source, curve.pressure_bar) == ("PBE0+TS", "a test", None)


def test_falling_abscissa_and_no_errors(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text(
        "\n".join(",".join(row.split(",")[:2]) for row in CURVE.splitlines()[:6] + CURVE.splitlines()[:5:-1])
    )
    curve = read_curve(path)
    assert list(curve.abscissa) == [3.0, 2.5, 2.0]
    assert curve.error is None


def test_units_that_a_suite_asks_for(folder):
    """1 A = 0.1 nm, 1 = 100 %; errors go with the values. Unconvertible units are refused."""
    manifest = Manifest.load(folder)
    for ref in (InNanometres(reference="rdf"), InNanometres(file="c.csv")):
        curve = resolve(ref, folder, manifest)
        np.testing.assert_allclose(curve.abscissa, [0.2, 0.25, 0.3], rtol=1e-15)
        np.testing.assert_allclose(curve.value, [0, 120, 100], rtol=1e-15)
        np.testing.assert_allclose(curve.error, [1, 2, 2], rtol=1e-15)
        assert (curve.abscissa_unit, curve.value_unit) == ("nm", "%")
    density = resolve(InAtomicMasses(reference="numbers"), folder, manifest)
    assert density.value == pytest.approx(0.997e-27 / ase.units._amu, rel=1e-6)
    assert density.error == pytest.approx(density.value * 0.001 / 0.997, rel=1e-12)
    with pytest.raises(DataError, match=r"^r: A cannot be converted to GPa$"):
        resolve(InGigapascal(reference="rdf"), folder, manifest)
    with pytest.raises(DataError, match=r"^density: g/cm\^3 cannot be converted to K$"):
        resolve(InKelvin(file="s.yaml"), folder, EMPTY)


def test_without_a_wish_units_stay_as_they_are(folder):
    manifest = Manifest.load(folder)
    assert resolve(CurveRef(reference="rdf"), folder, manifest).abscissa_unit == "A"
    assert resolve(ScalarRef(reference="numbers", quantity="density"), folder, manifest).unit == "g/cm^3"
    assert resolve(PhononsRef(file="p.yaml"), folder, EMPTY).force_constants.shape == (1, 1, 3, 3)
    with pytest.raises(DataError, match="a curve reference needs one of file, reference"):
        resolve(CurveRef(), folder, manifest)
    with pytest.raises(DataError, match=r"reference 'rdf' holds curve \(expected phonons\)"):
        resolve(PhononsRef(reference="rdf"), folder, manifest)


def test_counts_are_noted_and_all_is_sound(folder):
    manifest = Manifest.load(folder)
    assert manifest.entry("rdf").n_points == 3
    assert manifest.entry("numbers").n_points == 1
    assert manifest.entry("rdf").sha256 == hashlib.sha256(CURVE.encode()).hexdigest()
    assert check(manifest, "rdf") == ("3 points, r 2 to 3 A, g in 1, with errors", [])
    assert check(manifest, "numbers") == ("density 0.997 g/cm^3", [])
    assert check(manifest, "einstein")[1] == []


DISAGREE = {
    "units": ("r: A", "r: nm", r"c\.csv: the units differ from the manifest's .*'r': 'nm'.*got .*'r': 'A'"),
    "names": ("{r: A,", "{x: A,", r"c\.csv: the units differ from the manifest's"),
    "level": (
        "level_of_theory: PBE0+TS",
        "level_of_theory: PBE",
        r"level of theory differs .*'PBE', got 'PBE0\+TS'",
    ),
    "points": ("n_points: 3", "n_points: 4", r"^rdf: n_points: expected 4 as in the manifest, got 3$"),
    "scalar": ("density: g/cm^3", "density: kg/m^3", r"s\.yaml: the units differ"),
    "force constants": ("eV/A^2", "Ry/bohr^2", r"^einstein: units: force_constants in Ry/bohr\^2 \(expected"),
    "script": (
        "title: a curve",
        "title: a curve\n    script: make.py",
        r"make\.py: the script of rdf is not there$",
    ),
    "licence": ("licence: MIT", 'licence: ""', r"^rdf: licence is empty$"),
}


@pytest.mark.parametrize("case", DISAGREE)
def test_check_finds_where_manifest_and_file_disagree(case, folder):
    old, new, message = DISAGREE[case]
    path = folder / "manifest.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    manifest = Manifest.load(folder)
    problems = [text for name in manifest.entries for text in check(manifest, name)[1]]
    with pytest.raises(DataError, match=message):
        raise DataError("\n".join(problems))
    assert len(problems) == 1


def test_a_changed_curve_is_refused(folder):
    (folder / "c.csv").write_text(CURVE.replace("1.2", "1.3"))
    with pytest.raises(DataError, match="is not the one of the manifest"):
        Manifest.load(folder).curve("rdf")


# ---------------------------------------------------------------- phonons
SPRING = 7.5  # eV/A^2


def phonopy_of(atoms, supercell, length=1.0, calculator=None, primitive="P"):
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell.array / length,
        scaled_positions=atoms.get_scaled_positions(),
    )
    return Phonopy(
        cell, supercell_matrix=supercell, primitive_matrix=primitive, calculator=calculator, log_level=0
    )


def chain_forces(displacements):
    """Springs between neighbours along x, and to the ground along y and z; (n_atoms, 3)."""
    forces = -SPRING * displacements
    along = displacements[:, 0]
    forces[:, 0] = SPRING * (np.roll(along, 1) + np.roll(along, -1) - 2 * along)
    return forces


@pytest.mark.parametrize("random", [False, True])
def test_springs_are_found_again(random, tmp_path):
    """Phi of a chain: 2k, -k, -k along x; from one displaced atom and from random displacements."""
    limit = sys.getrecursionlimit()
    atoms = Atoms("Si", cell=[3.0, 9.0, 9.0], pbc=True)
    phonon = phonopy_of(atoms, [5, 1, 1])
    if random:
        displacements = np.random.default_rng(1).normal(0, 0.01, (12, 5, 3))
        forces = np.array([chain_forces(d) for d in displacements])
        phonon.dataset = {"displacements": displacements, "forces": forces}
    else:
        phonon.generate_displacements(distance=0.01)
        moved = [s.positions - phonon.supercell.positions for s in phonon.supercells_with_displacements]
        phonon.forces = [chain_forces(d) for d in moved]
    phonon.save(
        tmp_path / "p.yaml", settings={"displacements": True, "force_sets": True, "force_constants": False}
    )
    found = read_phonons(tmp_path / "p.yaml")
    along = [2 * SPRING, -SPRING, 0, 0, -SPRING]
    np.testing.assert_allclose(found.force_constants[0, :, 0, 0], along, atol=1e-6)
    assert sys.getrecursionlimit() == limit  # symfc raises it a hundredfold
    assert found.supercell.cell[0, 0] == pytest.approx(15.0)
    assert found.born_charges is None


@pytest.mark.parametrize(
    ("calculator", "length", "force"),
    [
        ("qe", ase.units.Bohr, ase.units.Rydberg / ase.units.Bohr),
        ("siesta", ase.units.Bohr, 1.0),
        ("cp2k", 1.0, ase.units.Hartree / ase.units.Bohr),
    ],
)
def test_units_of_other_codes(calculator, length, force, tmp_path):
    """EMT copper in Ry and bohr, in eV/A over bohr, in Hartree/bohr over A: one set of force constants.

    To 1e-6 (CODATA 2014 against 2018); a unit left out is a factor of 1.9 or more.
    """

    def force_constants(name, calculator, length, force):
        phonon = phonopy_of(bulk("Cu", cubic=True), [2, 2, 2], length, calculator, "F")
        phonon.generate_displacements(distance=0.01 / length)
        forces = []
        for cell in phonon.supercells_with_displacements:
            atoms = Atoms(cell.symbols, cell=cell.cell * length, positions=cell.positions * length, pbc=True)
            atoms.calc = EMT()
            forces.append(atoms.get_forces() / force)
        phonon.forces = forces
        phonon.save(tmp_path / name)
        return read_phonons(tmp_path / name)

    ours = force_constants("ours.yaml", None, 1.0, 1.0)
    other = force_constants("other.yaml", calculator, length, force)
    scale = np.abs(ours.force_constants).max()
    assert scale > 5  # eV/A^2
    np.testing.assert_allclose(other.force_constants, ours.force_constants, atol=1e-5 * scale)
    np.testing.assert_allclose(other.supercell.positions, ours.supercell.positions, atol=1e-6)
    assert ours.force_constants.shape == (1, 32, 3, 3)
    assert ours.drift < 1e-10


def test_full_force_constants_are_cut_to_the_primitive_cell_and_nothing_beside_the_file_is_read(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FORCE_SETS").write_text("rubbish")
    (tmp_path / "FORCE_CONSTANTS").write_text("rubbish")
    (tmp_path / "BORN").write_text("rubbish")
    phonon = phonopy_of(bulk("Cu", cubic=True), [1, 1, 1], primitive="F")
    full = np.arange(4 * 4 * 9, dtype=float).reshape(4, 4, 3, 3)
    phonon.force_constants = full
    phonon.save(tmp_path / "p.yaml", settings={"force_constants": True})
    found = read_phonons(tmp_path / "p.yaml")
    np.testing.assert_array_equal(found.force_constants, full[:1])
    assert found.drift == full[0].sum(axis=0).max()
    assert found.born_charges is None


def test_the_examples_of_the_documentation(tmp_path):
    """docs/references.md: manifest, curve and scalars agree with each other and are sound."""
    page = (reference_data().parent / "docs" / "references.md").read_text()
    blocks = {kind: re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("yaml", "csv")}
    (manifest,) = [b for b in blocks["yaml"] if b.startswith("references:\n")]
    (scalars,) = [b for b in blocks["yaml"] if b.startswith("density:")]
    (curve,) = blocks["csv"]
    (tmp_path / "manifest.yaml").write_text(manifest)
    (tmp_path / "water_rdf.csv").write_text(curve)
    (tmp_path / "make_rdf.py").touch()
    (tmp_path / "scalars.yaml").write_text(scalars)
    update_manifest(tmp_path)
    assert check(Manifest.load(tmp_path), "water_rdf")[1] == []
    assert read_scalars(tmp_path / "scalars.yaml")["density"].value == 0.997
