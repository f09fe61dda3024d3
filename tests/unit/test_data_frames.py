"""Labelled frames: malformed files get one message with file, line and frame; sound ones their values.

Oracles: messages and numbers written out by hand, and ASE's writer as an independent source of files.
"""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlipbench.core.errors import DataError
from mlipbench.data.frames import parse_index, read_frames

COMMENT = (
    'Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 '
    'stress="1 6 5 6 2 4 5 4 3" pbc="T T T"'
)
ATOMS = "Si 0 0 0 0.1 0 0\nSi 1 1 1 -0.1 0 0\n"
FRAME = f"2\n{COMMENT}\n{ATOMS}"


def write_text(folder, text, name="f.extxyz"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def replaced(old, new):
    assert FRAME.count(old) == 1
    return FRAME.replace(old, new)


# text, arguments, message (FILE stands for the path)
CASES = {
    "empty file": ("", {}, "FILE: no frames in the file"),
    "blank lines": ("\n\n", {}, "FILE: no frames in the file"),
    "no atoms": ("0\n\n", {}, "FILE:1: frame 0: no atoms"),
    "not extxyz": ("hello\n", {}, "FILE:1: frame 0: expected the number of atoms, got 'hello'"),
    "negative number of atoms": ("-2\n", {}, "FILE:1: frame 0: expected the number of atoms, got '-2'"),
    "number of atoms too small": (
        "1" + FRAME[1:], {}, "FILE:4: frame 1: expected the number of atoms, got 'Si 1 1 1 -0.1 0 0'",
    ),
    "number of atoms too large": (
        FRAME + "3" + FRAME[1:], {}, "FILE:5: frame 1: the file ends after 2 of 3 atoms: was it cut off?",
    ),
    "cut in the atoms": (
        FRAME + f"2\n{COMMENT}\nSi 0 0 0 0 0 0\n", {},
        "FILE:5: frame 1: the file ends after 1 of 2 atoms: was it cut off?",
    ),
    "cut in a line": (
        FRAME[: FRAME.rindex(" 0 0")], {},
        "FILE:4: frame 0: 5 columns (expected 7: Properties=species:S:1:pos:R:3:forces:R:3)",
    ),
    "cut after the header": (
        "2\n", {}, "FILE:1: frame 0: the file ends after 0 of 2 atoms: was it cut off?",
    ),
    "surplus column": (
        replaced("Si 0 0 0 0.1 0 0", "Si 0 0 0 0.1 0 0 9"), {},
        "FILE:3: frame 0: 8 columns (expected 7: Properties=species:S:1:pos:R:3:forces:R:3)",
    ),
    "malformed Properties": (
        replaced("pos:R:3:forces", "pos:R:x:forces"), {},
        "FILE:2: frame 0: Properties=species:S:1:pos:R:x:forces:R:3 is malformed "
        "(expected name:type:columns, ...)",
    ),
    "two force components": (
        f"2\n{COMMENT.replace('forces:R:3', 'forces:R:2')}\nSi 0 0 0 1 0\nSi 1 1 1 1 0\n", {},
        "FILE:1: frame 0: forces of shape (2, 2) (expected (2, 3))",
    ),
    "NaN force": (
        replaced("0.1 0 0\nSi", "0.1 nan 0\nSi"), {},
        "FILE:1: frame 0: forces that are not numbers (NaN or infinite)",
    ),
    "infinite energy": (
        replaced("energy=-1.5", "energy=inf"), {},
        "FILE:1: frame 0: energy that are not numbers (NaN or infinite)",
    ),
    "energy in words": (
        replaced("energy=-1.5", "energy=low"), {}, "FILE:1: frame 0: energy that are not numbers: 'low'",
    ),
    "two energies": (
        replaced("energy=-1.5", 'energy="1 2"'), {}, "FILE:1: frame 0: energy of shape (2,) (expected ())",
    ),
    "NaN position": (
        replaced("Si 1 1 1", "Si nan 1 1"), {},
        "FILE:1: frame 0: positions that are not numbers (NaN or infinite)",
    ),
    "no cell": (
        replaced('Lattice="5 0 0 0 5 0 0 0 5" ', ""), {},
        'FILE:1: frame 0: periodic, but the cell is missing (expected Lattice="...", or pbc="F F F")',
    ),
    "flat cell": (
        replaced("0 0 0 5\" P", "0 5 0 0\" P"), {},
        "FILE:1: frame 0: the cell has no volume: its vectors lie in a plane",
    ),
    "NaN cell": (
        replaced("0 0 0 5\" P", "0 0 0 nan\" P"), {},
        "FILE:1: frame 0: a cell that is not made of numbers (NaN or infinite)",
    ),
    "stress without a cell": (
        replaced('Lattice="5 0 0 0 5 0 0 0 5" ', "").replace('pbc="T T T"', 'pbc="F F F"'), {},
        "FILE:1: frame 0: stress given, but no cell",
    ),
    "five stress components": (
        replaced('stress="1 6 5 6 2 4 5 4 3"', 'REF_stress="1 2 3 4 5"'), {},
        "FILE:1: frame 0: stress of shape (5,) (expected (3, 3), or 6 numbers xx yy zz yz xz xy)",
    ),
    "asymmetric virial": (
        replaced('stress="1 6 5 6 2 4 5 4 3"', 'virial="1 6 5 2 2 4 5 4 3"'), {},
        "FILE:1: frame 0: virial is not symmetric: are its components in the expected order?",
    ),
    "forces in some frames": (
        FRAME + f"2\n{COMMENT.replace(':forces:R:3', '')}\nSi 0 0 0\nSi 1 1 1\n", {},
        "FILE:5: frame 1: forces missing, in 1 of 2 frames (expected forces or REF_forces; "
        "where it has another name, say keys: {forces: ...})",
    ),
    "required stress": (
        replaced('stress="1 6 5 6 2 4 5 4 3" ', ""), {"require": ["stress"]},
        "FILE:1: frame 0: stress missing, in 1 of 1 frames (expected stress or REF_stress; "
        "where it has another name, say keys: {stress: ...})",
    ),
    "no labels": ("1\nnothing here\nSi 0 0 0\n", {},
        "FILE: no labels in any frame (expected energy, forces, stress)"),
    "two energies that disagree": (
        replaced("energy=-1.5", "energy=-1.5 REF_energy=-1.6"), {},
        "FILE:1: frame 0: 'REF_energy' and 'energy' disagree: which one is the label? "
        "(say keys: {energy: energy})",
    ),
    "temperature in words": (
        replaced("energy=-1.5", "energy=-1.5 temperature=warm"), {},
        "FILE:1: frame 0: temperature that are not numbers: 'warm'",
    ),
    "temperature below zero": (
        replaced("energy=-1.5", "energy=-1.5 temperature_K=-20"), {},
        "FILE:1: frame 0: temperature of -20 (expected K, at least 0)",
    ),
    "two temperatures that disagree": (
        replaced("energy=-1.5", "energy=-1.5 temperature=300 temperature_K=600"), {},
        "FILE:1: frame 0: 'temperature' and 'temperature_K' disagree: which one is the label? "
        "(say keys: {temperature: temperature_K})",
    ),
    "key that is not there": (
        FRAME, {"keys": {"energy": "E_dft"}},
        "FILE:1: frame 0: no 'E_dft' for energy (the frame has: energy, forces, stress)",
    ),
    "label that is not ours": (
        FRAME, {"keys": {"enery": "E"}},
        "FILE: unknown label 'enery' in keys "
        "(expected one of energy, forces, stress, virial, config_type, trajectory, temperature)",
    ),
    "index beyond the end": (FRAME, {"index": "7"}, "FILE: index '7' selects none of its 1 frames"),
    "slice beyond the end": (FRAME, {"index": "7:"}, "FILE: index '7:' selects none of its 1 frames"),
    "not a slice": (
        FRAME, {"index": "all"},
        "FILE: index 'all' is not a slice (expected \":\", \"::10\", \"5:20\" or a number)",
    ),
    "slice with step 0": (
        FRAME, {"index": "::0"},
        "FILE: index '::0' is not a slice (expected \":\", \"::10\", \"5:20\" or a number)",
    ),
    "not text": (b"2\n\xff\xfe", {}, "FILE: not a text file (byte 2 is not UTF-8)"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_message(case, tmp_path):
    text, arguments, message = CASES[case]
    path = write_text(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_frames(path, **arguments)
    assert str(caught.value) == message.replace("FILE", str(path))


@pytest.mark.parametrize(
    ("old", "new"), [("Si 0 0 0", "Qq 0 0 0"), ("Si 1 1 1", "Si x 1 1"), ("5 0 0 0 5 0 0 0 5", "5 5")]
)
def test_what_ase_cannot_parse_is_located(old, new, tmp_path):
    with pytest.raises(DataError, match=r"f\.extxyz:1: frame 0: not readable as extended XYZ: \w+: "):
        read_frames(write_text(tmp_path, replaced(old, new)))


def test_missing_file_folder_format(tmp_path):
    with pytest.raises(DataError, match=r"none\.extxyz: no such file$"):
        read_frames(tmp_path / "none.extxyz")
    with pytest.raises(DataError, match="this is a folder, a file is expected"):
        read_frames(tmp_path)
    with pytest.raises(DataError, match=r"unknown format '\.csv'"):
        read_frames(write_text(tmp_path, "a,b", "f.csv"))
    with pytest.raises(DataError, match=r"f\.db: not readable as an ASE database: DatabaseError: "):
        read_frames(write_text(tmp_path, "no database" * 100, "f.db"))


def test_values(tmp_path):
    (frame,) = read_frames(write_text(tmp_path, FRAME))
    assert frame.energy == -1.5
    assert np.array_equal(frame.forces, [[0.1, 0, 0], [-0.1, 0, 0]])
    assert np.array_equal(frame.stress, [[1, 6, 5], [6, 2, 4], [5, 4, 3]])
    assert np.array_equal(frame.structure.cell, 5 * np.eye(3))
    assert frame.structure.pbc.all()
    assert (frame.config_type, frame.trajectory, frame.label) == ("", "", "f.extxyz#0")


@pytest.mark.parametrize(
    ("given", "sign"),
    [
        ('stress="1 2 3 4 5 6"', 1.0),
        ('REF_stress="1 2 3 4 5 6"', 1.0),
        ('dft_stress="1 6 5 6 2 4 5 4 3"', 1.0),
        ('virial="1 2 3 4 5 6"', -1.0 / 125.0),
        ('virial="1 6 5 6 2 4 5 4 3"', -1.0 / 125.0),
        ('REF_virials="1 2 3 4 5 6"', -1.0 / 125.0),
    ],
)
def test_orders_and_sign_of_stress(given, sign, tmp_path):
    """ASE's Voigt order xx yy zz yz xz xy; stress = -virial/V. A swapped yz and xy, or sign, fails."""
    (frame,) = read_frames(write_text(tmp_path, replaced('stress="1 6 5 6 2 4 5 4 3"', given)))
    np.testing.assert_allclose(frame.stress, sign * np.array([[1, 6, 5], [6, 2, 4], [5, 4, 3]]), rtol=1e-14)


@pytest.mark.parametrize(
    "name", ["REF_energy", "dft_energy", "Energy", "energy_dft", "TOTAL_ENERGY", "free_energy"]
)
@pytest.mark.parametrize("forces", ["REF_forces", "force", "DFT_forces"])
def test_names_of_labels(name, forces, tmp_path):
    text = replaced("energy=-1.5", f"{name}=-1.5").replace("forces:R", f"{forces}:R")
    (frame,) = read_frames(write_text(tmp_path, text), require=["energy", "forces", "stress"])
    assert frame.energy == -1.5
    assert frame.forces[0, 0] == 0.1


def test_free_energy_is_the_last_choice(tmp_path):
    (frame,) = read_frames(write_text(tmp_path, replaced("energy=-1.5", "free_energy=-9 energy=-1.5")))
    assert frame.energy == -1.5


def test_named_keys_decide(tmp_path):
    text = replaced("energy=-1.5", "energy=-1.5 REF_energy=-1.6 config_type=bulk traj=run3")
    (frame,) = read_frames(write_text(tmp_path, text), keys={"energy": "REF_energy"})
    assert frame.energy == -1.6
    assert (frame.config_type, frame.trajectory) == ("bulk", "run3")


@pytest.mark.parametrize(
    ("written", "keys", "expected"),
    [
        ("temperature_K=330", {}, 330.0),
        ("Temperature=330.5", {}, 330.5),
        ("temperature=1 T_bath=330", {"temperature": "T_bath"}, 330.0),
        ("config_type=bulk", {}, None),
        ("config_type=bulk", {"temperature": "T_bath"}, None),
    ],
)
def test_temperature(written, keys, expected, tmp_path):
    text = replaced("energy=-1.5", f"energy=-1.5 {written}")
    (frame,) = read_frames(write_text(tmp_path, text), keys=keys)
    assert frame.temperature_K == expected


@pytest.mark.parametrize(
    ("index", "expected"),
    [(":", [0, 1, 2, 3]), ("::2", [0, 2]), ("1:3", [1, 2]), ("-1", [3]), ("2", [2]), ("::-1", [3, 2, 1, 0])],
)
def test_index(index, expected, tmp_path):
    path = write_text(tmp_path, "".join(replaced("-1.5", str(i)) for i in range(4)))
    frames = read_frames(path, index)
    assert [frame.energy for frame in frames] == expected
    assert [frame.label for frame in frames] == [f"f.extxyz#{i}" for i in expected]


def test_only_selected_frames_must_be_sound(tmp_path):
    path = write_text(tmp_path, FRAME + replaced("0.1 0 0\nSi", "nan 0 0\nSi"))
    assert len(read_frames(path, "0")) == 1
    with pytest.raises(DataError, match=r"f\.extxyz:5: frame 1: forces"):
        read_frames(path, "1")


def labelled(seed):
    rng = np.random.default_rng(seed)
    atoms = bulk("NaCl", "rocksalt", a=5.6) * (2, 1, 1)
    atoms.rattle(0.1, seed=seed)
    results = {
        "energy": rng.normal(),
        "forces": rng.normal(size=(len(atoms), 3)),
        "stress": rng.normal(size=6),
    }
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms, results


@pytest.mark.parametrize("name", ["f.extxyz", "f.db"])
def test_what_ase_wrote(name, tmp_path):
    """Both formats give what was written, and the same frames as each other."""
    made = [labelled(seed) for seed in range(3)]
    path = tmp_path / name
    if name.endswith(".db"):
        with connect(path) as database:
            for atoms, _ in made:
                database.write(atoms, config_type="salt")
    else:
        for atoms, _ in made:
            atoms.info["config_type"] = "salt"
        write(path, [atoms for atoms, _ in made])
    frames = read_frames(path, require=["energy", "forces", "stress"])
    for frame, (atoms, results) in zip(frames, made, strict=True):
        np.testing.assert_allclose(frame.structure.positions, atoms.positions, atol=1e-8)
        assert frame.energy == pytest.approx(results["energy"], rel=1e-12)
        np.testing.assert_allclose(frame.forces, results["forces"], atol=1e-8)
        np.testing.assert_allclose(
            frame.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], results["stress"], rtol=1e-9
        )
        assert frame.config_type == "salt"


def test_arrays_in_the_data_of_a_database(tmp_path):
    path = tmp_path / "f.db"
    with connect(path) as database:
        database.write(
            Atoms("H2", [[0, 0, 0], [0.7, 0, 0]]), REF_energy=-1.0, data={"REF_forces": np.ones((2, 3))}
        )
    (frame,) = read_frames(path)
    assert frame.energy == -1.0
    assert np.array_equal(frame.forces, np.ones((2, 3)))


def test_parse_index():
    assert parse_index("3") == 3
    assert parse_index(" 1:-2:3 ") == slice(1, -2, 3)
    with pytest.raises(DataError):
        parse_index("")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    st.integers(0, 2 * len(FRAME)),
    st.integers(0, 20),
    st.text(alphabet="0123456789.eE-+naif:=\"' \n\tSRTFL[]{},\\é", max_size=8),
)
def test_damaged_files_raise_data_errors_only(tmp_path_factory, at, removed, inserted):
    """A frame that is read has finite labels of the right shapes; anything else is a DataError."""
    text = 2 * FRAME
    path = write_text(tmp_path_factory.mktemp("fuzz"), text[:at] + inserted + text[at + removed :])
    try:
        frames = read_frames(path)
    except DataError:
        return
    for frame in frames:
        n = len(frame.structure)
        assert frame.forces is None or (frame.forces.shape == (n, 3) and np.isfinite(frame.forces).all())
        assert frame.stress is None or np.isfinite(frame.stress).all()
