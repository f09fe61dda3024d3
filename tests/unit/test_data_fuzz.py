"""Whatever a data file holds: frames with numbers in them, or one DataError that names file (and line).

Oracle: the exception tree, and what every accepted frame must satisfy. Catches the exceptions of ASE, numpy,
sqlite, gzip and ruamel that would reach a user as a traceback, and NaN that slips through.
"""

from __future__ import annotations

import gzip
import re
import tempfile
import tracemalloc
from pathlib import Path

import ase.db
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlipbench.core.errors import DataError
from mlipbench.data.frames import read_frames
from mlipbench.data.references import Manifest

QUICK = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
FRAME = """2
Lattice="9.0 0.0 0.0 0.0 9.0 0.0 0.0 0.0 9.0" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 \
stress="0.1 0.0 0.0 0.0 0.2 0.0 0.0 0.0 0.3" config_type=bulk pbc="T T T" temperature_K=300.0
Ar 0.0 0.0 0.0 0.1 0.2 0.3
Ar 3.8 0.0 0.0 -0.1 -0.2 -0.3
"""
TWO = FRAME + FRAME.replace("-1.5", "-1.6").replace("3.8", "3.9")


def check(content: bytes, name: str = "f.extxyz") -> int:
    """Number of frames; 0: refused as it should be."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            frames = read_frames(path)
        except DataError as error:
            frames, said = [], str(error)
        else:
            said = str(path)
        assert said.startswith(str(path)), said[:300]
        assert "\n" not in said
    for frame in frames:
        n = len(frame.structure)
        assert n > 0
        assert frame.structure.positions.shape == (n, 3)
        assert np.isfinite(frame.structure.positions).all()
        assert np.isfinite(frame.structure.cell).all()
        assert np.isfinite(frame.structure.masses).all()
        assert (frame.structure.masses > 0).all()
        assert ((frame.structure.numbers > 0) & (frame.structure.numbers < 119)).all()
        assert frame.energy is None or np.isfinite(frame.energy)
        assert frame.forces is None or (frame.forces.shape == (n, 3) and np.isfinite(frame.forces).all())
        assert frame.stress is None or (frame.stress.shape == (3, 3) and np.isfinite(frame.stress).all())
        assert np.isfinite(frame.structure.volume)
    return len(frames)


def test_the_undamaged_file_is_read():
    assert check(TWO.encode()) == 2
    assert check(gzip.compress(TWO.encode()), "f.extxyz.gz") == 2
    assert check(TWO.replace("\n", "\r\n").encode()) == 2
    assert check(TWO.replace(" 0.0 ", "\t0.0   ").encode()) == 2
    assert check(("\ufeff" + TWO).encode()) in (0, 2)


@QUICK
@given(st.binary(max_size=300))
@example(b"")
@example(b"\x00")
@example(b"2")
@example(b"2\n")
@example(b"-1\n\n")
@example(b"1e3\n\n")
@example(b"99999999999999999999\n\n")
@example(b"\xd9\xa1\n\nAr 0 0 0")
@example(b"1\n\nAr 0 0 0")
@example(b"1\nProperties=\nAr 0 0 0")
@example(b'1\nenergy="\nAr 0 0 0')
def test_bytes(content):
    check(content)


TOKENS = re.compile(r"\S+|\s+")
WORDS = st.sampled_from(
    [
        "nan",
        "NaN",
        "inf",
        "-inf",
        "1e999",
        "-1e308",
        "1e308",
        "1e-999",
        "0",
        "-0.0",
        "",
        "Ar",
        "Zz",
        "X",
        "H2O",
        "١٢",
        "½",
        "1_000",
        "0x1f",
        "1,5",
        "1d3",
        "None",
        "True",
        "T",
        "[1,2]",
        "{}",
        '"',
        "'",
        "=",
        ":",
        "\\",
        "\x00",
        "\x0b",
        "\u2028",
        "\x85",
        "\ufeff",
        "\t",
        "\n",
        "\r",
        "\n\n",
        " ",
        "2",
        "3",
        "-2",
        "99999999999999",
        "Lattice=",
        'Lattice="0 0 0 0 0 0 0 0 0"',
        'Lattice="1 0 0 2 0 0 0 0 1"',
        'Lattice="9 9 9"',
        'Lattice="nan 0 0 0 9 0 0 0 9"',
        'Lattice="1e200 0 0 0 1e200 0 0 0 1e200"',
        'Lattice="a b c d e f g h i"',
        "Properties=",
        "Properties=pos:R:3",
        "Properties=species:S:1:pos:R:3",
        "Properties=species:S:1:pos:R:-3",
        "Properties=species:S:1:pos:R:99999999999",
        "Properties=Z:I:1:pos:R:3:forces:R:3",
        "Properties=species:S:1:pos:S:3:forces:R:3",
        "Properties=species:S:1:pos:R:3:forces:L:3",
        "Properties=species:S:1:pos:I:3:forces:R:3",
        "Properties=species:S:1:pos:R:3:pos:R:3",
        "Properties=species:S:1:pos:R:3:forces:Q:3",
        "Properties=species:R:1:pos:R:3:forces:R:3",
        "Properties=species:S:1:pos:R:3:masses:R:3",
        "Properties=species:S:1:pos:R:3:force:R:1:x:R:2",
        'pbc="T F"',
        'pbc="maybe"',
        'pbc="F F F"',
        "energy=[1,2,3]",
        "energy=abc",
        "energy={}",
        "energy=",
        "energy=nan",
        "energy=T",
        "free_energy=1.0",
        "REF_energy=1",
        'stress="1 2 3"',
        'stress="1 2 3 4 5 6"',
        "stress=3",
        'virial="1 0 0 0 1 0 0 0 1"',
        'stress="a b c d e f g h i"',
        "temperature_K=-1",
        "temperature_K=hot",
        "config_type=",
        "momenta=1",
        "dipole=2",
        "charges=[1]",
        "=1",
        "a=b=c",
        'x="{"',
        "_JSON [[1",
        'y="_JSON {"',
    ]
)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), WORDS), min_size=1, max_size=3))
@example([(29, 1, "Properties=Z:I:1:pos:R:3:forces:R:3"), (36, 1, "500"), (50, 1, "-1")])
@example([(29, 1, "Properties=Z:I:1:pos:R:3:forces:R:3"), (36, 1, "0"), (50, 1, "18")])
def test_words_replaced_inserted_removed(changes):
    tokens = TOKENS.findall(TWO)
    for at, removed, word in changes:
        at %= len(tokens)
        tokens[at : at + removed] = [word]
    check("".join(tokens).encode("utf-8", "surrogatepass"))


@QUICK
@given(st.integers(0, len(TWO)), st.integers(0, 40), st.text(max_size=6))
def test_text_damaged_anywhere(at, removed, inserted):
    check((TWO[:at] + inserted + TWO[at + removed :]).encode("utf-8", "surrogatepass"))


@QUICK
@given(st.integers(0, 400), st.integers(0, 255), st.integers(0, 400))
def test_gzip_cut_off_or_flipped(at, mask, length):
    content = bytearray(gzip.compress(TWO.encode(), mtime=0))
    content[at % len(content)] ^= mask
    got = check(bytes(content[: max(length, 1)]), "f.xyz.gz")
    assert got in (0, 2)


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("db") / "f.db"
    atoms = Atoms("Ar2", [[0, 0, 0], [3.8, 0, 0]], cell=[9, 9, 9], pbc=True)
    with ase.db.connect(path) as connection:
        for energy in (-1.5, -1.6):
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.ones((2, 3)))
            connection.write(atoms, key_value_pairs={"temperature": 300.0}, data={"x": [1, 2]})
    content = path.read_bytes()
    assert check(content, "f.db") == 2
    return content


@settings(QUICK, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=4), st.floats(0, 1.3))
def test_a_damaged_database(database, patches, length):
    content = bytearray(database)
    for part, patch in patches:
        at = int(part * (len(content) - 8))
        content[at : at + len(patch)] = patch
    check(bytes(content[: int(length * len(content))]), "f.db")


def test_a_count_beyond_all_memory_costs_none():
    tracemalloc.start()
    assert check(b"999999999999\n\n" + b"Ar 0 0 0\n" * 100) == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


MANIFEST = """references:
  mine:
    title: argon
    kind: frames
    file: a.extxyz
    sha256: null
    units: {energy: eV, forces: eV/A}
    level_of_theory: PBE
    licence: none
    source: a disk
    verified: true
"""
YAML_BITS = st.sampled_from(
    [
        *"{}[]:,-?!&*#|>%@\"'\n \t~",
        "<<: *a",
        "&a ",
        "*a",
        "---",
        "...",
        "%YAML 1.1",
        "!!python/object:os.system ",
        "null",
        ".nan",
        ".inf",
        "1e999",
        "9" * 400,
        "2027-01-01",
        "true",
        "\x00",
        "\u2028",
        "\ufeff",
        "  ",
        "? ",
        "!!set ",
        "!!binary x",
        "!!timestamp x",
        "!!float x",
        "!!omap ",
        "\\ud800",
    ]
)


def check_manifest(content: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.yaml"
        path.write_bytes(content)
        try:
            Manifest.load(path)
        except DataError as error:
            said = str(error).splitlines()
        else:
            said = []
        assert all(line.startswith(str(path)) for line in said), said
    return not said


def test_the_undamaged_manifest_is_read():
    assert check_manifest(MANIFEST.encode())


@QUICK
@given(st.integers(0, len(MANIFEST)), st.integers(0, 15), st.lists(YAML_BITS, max_size=4).map("".join))
@example(0, len(MANIFEST), "")
@example(0, len(MANIFEST), "[" * 1000)
@example(0, len(MANIFEST), "references: &a {x: *a}")
@example(0, len(MANIFEST), "references: {&a x: *a}")
@example(0, len(MANIFEST), "? ? ? a")
@example(0, len(MANIFEST), "%TAG ! a\n---\n!b c")
@example(0, len(MANIFEST), "references: {[a]: 1, {b: c}: 2, null: 3, 1: 4}")
def test_a_damaged_manifest(at, removed, inserted):
    check_manifest((MANIFEST[:at] + inserted + MANIFEST[at + removed :]).encode("utf-8", "surrogatepass"))


@QUICK
@given(st.binary(max_size=120))
def test_a_manifest_of_bytes(content):
    assert not check_manifest(content)


def test_a_manifest_whose_aliases_multiply_costs_no_memory():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    text = "references:\n  mine:\n" + "".join(f"    {line}\n" for line in lines)
    tracemalloc.start()
    assert not check_manifest(text.encode())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
