"""Malformed references: one clear message each, with its place. Manifests are in test_data_references."""

import pytest

from mlipbench.core.errors import DataError
from mlipbench.data.curves import read_curve
from mlipbench.data.phonon_reference import read_phonons
from mlipbench.data.scalars import choose, read_scalars

CURVE = """\
# abscissa_unit: A
# value_unit: 1
# level_of_theory: PBE0+TS
# temperature_K: 330
# source: a test
r,g,error
2.0,0.0,0.01
2.5,1.2,0.02
3.0,1.0,0.02
"""
CURVES = {
    "empty": ("", r":1:1: no `# abscissa_unit: \.\.\.` in the header\n(.*\n){3}.*:1:1: no columns"),
    "no unit": (CURVE.replace("# value_unit: 1\n", ""), r":1:1: no `# value_unit: \.\.\.` in the header$"),
    "no source": (CURVE.replace("# source: a test\n", ""), r":1:1: no `# source: \.\.\.` in the header$"),
    "unknown unit": (
        CURVE.replace("unit: A", "unit: Angstroem"),
        r":1:18: abscissa_unit: unknown unit 'Angstro",
    ),
    "unknown key": (
        CURVE.replace("temperature_K", "temperature"),
        r":4:1: unknown key 'temperature' \(expected one of abscissa_unit, .*temperature_K",
    ),
    "key twice": (
        CURVE.replace("# source", "# value_unit: A\n# source"),
        r":5:1: value_unit is given twice$",
    ),
    "key without value": (CURVE.replace("a test", ""), r":5:1: source has no value$"),
    "free comment": (
        CURVE.replace("# source", "# by hand\n# source"),
        r":5:1: expected `# key: value`, got '# by",
    ),
    "temperature in words": (
        CURVE.replace("330", "330 K"),
        r":4:18: temperature_K: expected a temp.*got '330 K'$",
    ),
    "below absolute zero": (
        CURVE.replace("330", "-1"),
        r":4:18: temperature_K: expected .*at least 0, got '-1'$",
    ),
    "header below the data": (
        CURVE + "# note: late\n",
        r":10:1: note below the columns: the header comes first$",
    ),
    "no column names": (
        CURVE.replace("r,g,error\n", ""),
        r":6:1: expected the names of the columns \(r,g,error\) before the numbers, got '2\.0,0\.0,0\.01'$",
    ),
    "one column": (
        "".join(CURVE.splitlines(True)[:5]) + "r\n2\n3\n",
        r":6:1: expected abscissa,value or .*got 'r'$",
    ),
    "columns of one name": (
        CURVE.replace("r,g,error", "r,r,error"),
        r":6:1: two columns of one name: 'r,r,error'$",
    ),
    "third column": (
        CURVE.replace("error\n", "sigma\n"),
        r":6:1: the third column is called error, got 'sigma'$",
    ),
    "blanks for commas": (
        CURVE.replace("2.5,1.2,0.02", "2.5 1.2 0.02"),
        r":8:1: expected 3 numbers, got 1: .*commas$",
    ),
    "a cell too many": (
        CURVE.replace("2.5,", "2.5,9,"),
        r":8:1: expected 3 numbers, got 4: '2\.5,9,1\.2,0\.02'$",
    ),
    "text for a number": (CURVE.replace("1.2", "high"), r":8:5: g: expected a finite number, got 'high'$"),
    "not finite": (CURVE.replace("1.2", "nan"), r":8:5: g: expected a finite number, got 'nan'$"),
    "decimal comma": (CURVE.replace("1.2", "1,2"), r":8:1: expected 3 numbers, got 4"),
    "underscore": (CURVE.replace("1.2", "1_2"), r":8:5: g: expected a finite number, got '1_2'$"),
    "negative error": (
        CURVE.replace("1.2,0.02", "1.2,-0.02"),
        r":8:9: error: expected at least 0, got -0\.02$",
    ),
    "abscissa repeats": (
        CURVE.replace("2.5", "2.0"),
        r":8:1: r is not strictly monotonic: expected another than 2, g",
    ),
    "abscissa turns": (
        CURVE.replace("3.0,", "2.2,"),
        r":9:1: r is not strictly monotonic: expected above 2\.5, got 2\.2$",
    ),
    "one point": (CURVE[: CURVE.index("2.5")], r":7:1: expected at least 2 points, got 1$"),
    "not text": (b"\xff\xfe\x00", r": not a text file \(byte 0 is not UTF-8\)$"),
    "many problems": (
        CURVE + "".join("x,y,z\n" for _ in range(30)),
        r":10:1: r: expected a finite number, got 'x'\n(.*\n){8}.*:19:1: .*\n.*: and 20 more problems$",
    ),
}


@pytest.mark.parametrize("case", CURVES)
def test_malformed_curve_is_located(case, tmp_path):
    content, message = CURVES[case]
    path = tmp_path / "curve.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=rf"curve\.csv{message}"):
        read_curve(path)


SCALAR = """\
density:
  value: 0.997
  error: 0.001
  unit: g/cm^3
  level_of_theory: experiment
  temperature_K: 298.15
  source: a test
"""
SCALARS = {
    "empty": ("", r":1:1: not a file of scalars \(expected names, each with value, unit, source\)$"),
    "a list": ("- 1\n", r":1:1: not a file of scalars"),
    "a number alone": ("density: 0.997\n", r":1:1: density: Input should be an object; got 0\.997$"),
    "syntax": ("density: [1\n", r":2:1: YAML syntax: "),
    "a name twice": (SCALAR + "density: {}\n", r":8:1: YAML syntax: .*duplicate key"),
    "no value": (SCALAR.replace("  value: 0.997\n", ""), r":1:1: density\.value: Field required$"),
    "no unit": (SCALAR.replace("  unit: g/cm^3\n", ""), r":1:1: density\.unit: Field required$"),
    "no source": (SCALAR.replace("  source: a test\n", ""), r":1:1: density\.source: Field required$"),
    "value in words": (
        SCALAR.replace("0.997", "about 1"),
        r":2:3: density\.value: .*valid number; got 'about 1'$",
    ),
    "value in quotes": (
        SCALAR.replace("0.997", '"0.997"'),
        r":2:3: density\.value: .*valid number; got '0\.997'$",
    ),
    "not finite": (SCALAR.replace("0.997", ".nan"), r":2:3: density\.value: .*finite number; got nan$"),
    "negative error": (
        SCALAR.replace("0.001", "-0.001"),
        r":3:3: density\.error: .*equal to 0; got -0\.001$",
    ),
    "unknown unit": (SCALAR.replace("cm^3", "cc"), r":4:3: density\.unit: unknown unit 'g/cc'"),
    "unit is a number": (SCALAR.replace("g/cm^3", "1"), r":4:3: density\.unit: .*valid string; got 1$"),
    "unknown key": (
        SCALAR.replace("temperature_K", "temperature"),
        r":6:3: density\.temperature: Extra inputs",
    ),
    "below absolute zero": (
        SCALAR.replace("298.15", "-25"),
        r":6:3: density\.temperature_K: .*equal to 0; got -25$",
    ),
}


@pytest.mark.parametrize("case", SCALARS)
def test_malformed_scalars_are_located(case, tmp_path):
    text, message = SCALARS[case]
    path = tmp_path / "scalars.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"scalars\.yaml{message}"):
        read_scalars(path)


def test_which_scalar_is_meant(tmp_path):
    path = tmp_path / "scalars.yaml"
    path.write_text(SCALAR + SCALAR.replace("density:", "other:"))
    found = read_scalars(path)
    assert choose(path, found, "other").name == "other"
    with pytest.raises(
        DataError, match=r"holds 2 numbers: say which with quantity \(one of density, other\)"
    ):
        choose(path, found, None)
    with pytest.raises(DataError, match=r"no quantity 'mass' \(the file has density, other\)"):
        choose(path, found, "mass")


PHONONS = """\
phonopy: {version: "3.0"}
physical_unit: {atomic_mass: AMU, length: angstrom, force_constants: eV/angstrom^2}
primitive_matrix: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
supercell_matrix: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
unit_cell:
  lattice: [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
  points:
  - {symbol: Po, coordinates: [0, 0, 0], mass: 209}
force_constants: {format: full, shape: [1, 1], elements: [[[0, 0, 0], [0, 0, 0], [0, 0, 0]]]}
"""
BORN = """\
nac:
  born_effective_charge: [[[1, 0, 0], [0, 1, 0], [0, 0, 1]]]
  dielectric_constant: [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
"""
FIT = PHONONS[: PHONONS.index("force_constants: {format")]
PHONON_FILES = {
    "empty": ("", r":1:1: not phonopy YAML \(expected unit_cell"),
    "another file": ("references: {}\n", r":1:1: not phonopy YAML"),
    "syntax": (PHONONS + "nac: [1\n", r":11:1: YAML syntax: "),
    "no units": (PHONONS.replace("physical_unit", "units"), r":1:1: no physical_unit in the file"),
    "no supercell": (
        PHONONS.replace("supercell_matrix", "supercell"),
        r":1:1: no supercell_matrix in the file",
    ),
    "no primitive cell": (PHONONS.replace("primitive_matrix", "p"), r":1:1: no primitive_matrix in the file"),
    "units of another code": (
        PHONONS.replace("length: angstrom", "length: au"),
        r": not readable as phonopy YAML: ValueError: physical_unit in YAML conflicts",
    ),
    "nothing but a cell": (FIT, r": neither force_constants nor displacements with forces in the file$"),
    "displacements alone": (
        FIT + "natom: 1\ndisplacements:\n- {atom: 1, displacement: [0.01, 0, 0]}\n",
        r": displacements without forces, and no force_constants in the file$",
    ),
    "forces of other atoms": (
        FIT + "displacements:\n- {atom: 1, displacement: [0.01, 0, 0], forces: [[0, 0, 0], [0, 0, 0]]}\n",
        r": forces of shape \(2, 3\) \(expected \(\.\.\., 1, 3\)\)$",
    ),
    "forces that are no numbers": (
        FIT + "displacements:\n- {atom: 1, displacement: [0.01, 0, 0], forces: [[.nan, 0, 0]]}\n",
        r": forces that are not numbers \(NaN or infinite\)$",
    ),
    "force constants of another size": (
        PHONONS.replace(
            "shape: [1, 1], elements: [", "shape: [1, 2], elements: [[[0, 0, 0], [0, 0, 0], [0, 0, 0]], "
        ),
        r": force constants of shape \(1, 2, 3, 3\) \(expected \(1, 1, 3, 3\)\)$",
    ),
    "force constants of a wrong shape": (
        PHONONS.replace("shape: [1, 1]", "shape: [2, 2]"),
        r": not readable as phonopy YAML: ValueError: ",
    ),
    "force constants that are no numbers": (
        PHONONS.replace("elements: [[[0", "elements: [[[.inf"),
        r": force constants that are not numbers \(NaN or infinite\)$",
    ),
    "an element nobody knows": (
        PHONONS.replace("symbol: Po", "symbol: Qq"),
        r": not readable as phonopy YAML: ",
    ),
    "Born charges of other atoms": (
        PHONONS + BORN.replace("[[[1,", "[[[0, 0, 0], [0, 0, 0], [0, 0, 0]], [[1,"),
        r": Born charges of shape \(2, 3, 3\) and dielectric .*\(expected \(1, 3, 3\) and \(3, 3\)\)$",
    ),
    "dielectric tensor that is no number": (
        PHONONS + BORN.replace("[[2,", "[[.nan,"),
        r": Born charges or dielectric tensor that are not numbers",
    ),
}


@pytest.mark.parametrize("case", PHONON_FILES)
def test_malformed_phonons_have_one_message(case, tmp_path):
    text, message = PHONON_FILES[case]
    path = tmp_path / "phonopy.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"phonopy\.yaml{message}") as found:
        read_phonons(path)
    assert len(str(found.value).splitlines()) == 1


def test_what_the_malformed_cases_were_made_from_is_sound(tmp_path):
    for name, text in (("c.csv", CURVE), ("s.yaml", SCALAR), ("p.yaml", PHONONS), ("b.yaml", PHONONS + BORN)):
        (tmp_path / name).write_text(text)
    assert len(read_curve(tmp_path / "c.csv")) == 3
    assert read_scalars(tmp_path / "s.yaml")["density"].value == 0.997
    assert read_phonons(tmp_path / "p.yaml").born_charges is None
    assert read_phonons(tmp_path / "b.yaml").dielectric[0, 0] == 2
