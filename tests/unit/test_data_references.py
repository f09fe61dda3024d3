"""Manifest, structures, and the reference sets that are shipped.

Oracles: hashlib on bytes written here; crystallography (atoms per cell, neighbour distances); the
analytic Lennard-Jones pair sum for the argon set.
"""

import hashlib
from math import sqrt

import numpy as np
import pytest
from ase.io import write
from ase.lattice.cubic import FaceCenteredCubic

from mlipbench.core.errors import DataError
from mlipbench.core.shipped import reference_data
from mlipbench.core.suite import FramesRef, StructureRef
from mlipbench.data.references import Manifest, update_manifest
from mlipbench.data.structures import resolve_frames, resolve_structure

DATA = '1\nProperties=species:S:1:pos:R:3 energy=-1.0 pbc="F F F"\nAr 0 0 0\n'
ENTRY = """\
# our references
references:
  argon:  # a comment that stays
    title: argon
    kind: frames
    file: a.extxyz
    sha256: null
    units: {energy: eV}
    level_of_theory: LJ
    licence: MIT
    source: a test
    verified: true
"""
EMPTY = Manifest({}, {})


def folder_with(tmp_path, manifest=ENTRY, data=DATA):
    (tmp_path / "manifest.yaml").write_text(manifest)
    (tmp_path / "a.extxyz").write_text(data)
    return tmp_path


def test_update_notes_hash_and_frames_and_keeps_comments(tmp_path):
    folder = folder_with(tmp_path)
    with pytest.raises(DataError, match=r"has no sha256 yet: run `mlipbench references update"):
        Manifest.load(folder).verify("argon")
    digest = hashlib.sha256(DATA.encode()).hexdigest()
    assert update_manifest(folder) == [f"argon: sha256 None -> {digest}", "argon: n_frames None -> 1"]
    text = (folder / "manifest.yaml").read_text()
    assert text == ENTRY.replace("null", digest) + "    n_frames: 1\n"
    assert update_manifest(folder) == []
    assert Manifest.load(folder).frames("argon")[0].energy == -1.0


def test_changed_file_is_found_before_it_is_read(tmp_path):
    folder = folder_with(tmp_path)
    update_manifest(folder)
    manifest = Manifest.load(folder)
    expected = manifest.entry("argon").sha256
    (folder / "a.extxyz").write_text("rubbish")
    got = hashlib.sha256(b"rubbish").hexdigest()
    with pytest.raises(DataError, match=rf"sha256 expected {expected}, got {got}\); restore the file"):
        manifest.frames("argon")
    (folder / "a.extxyz").unlink()
    with pytest.raises(DataError, match=r"a\.extxyz: no such file"):
        manifest.verify("argon")


MALFORMED = {
    "syntax": ("references: [1\n", r":2:1: YAML syntax: "),
    "tab": ("references:\n\ta: 1\n", r":2:1: YAML syntax: "),
    "empty": ("", r":1:1: not a manifest"),
    "list": ("- a\n", r":1:1: not a manifest"),
    "no entries": ("refs: {}\n", r":1:1: not a manifest"),
    "more than entries": (ENTRY + "other: 1\n", r":1:1: not a manifest"),
    "duplicated name": (ENTRY + "  argon: {}\n", r":13:3: YAML syntax: .*duplicate key"),
    "entry is a word": ("references:\n  argon: x\n", r":2:3: argon: "),
    "missing field": (ENTRY.replace("    licence: MIT\n", ""), r":3:3: argon\.licence: Field required$"),
    "unknown field": (ENTRY.replace("licence:", "license:"), r":10:5: argon\.license: Extra inputs"),
    "wrong kind": (
        ENTRY.replace("kind: frames", "kind: movie"),
        r":5:5: argon\.kind: Input should be 'frames'",
    ),
    "wrong hash": (ENTRY.replace("null", "abc"), r":7:5: argon\.sha256: String should match"),
    "verified in words": (
        ENTRY.replace("true", "yes"),
        r":12:5: argon\.verified: Input should be a valid bool",
    ),
    "unit nobody knows": (
        ENTRY.replace("eV}", "eVolt}"),
        r":8:13: argon\.units\.energy: .*unknown unit 'eVolt'",
    ),
    "unit of frames": (
        ENTRY.replace("eV}", "meV}"),
        r":3:3: argon: units: energy of frames is read in eV, got meV",
    ),
    "label nobody reads": (
        ENTRY.replace("energy: eV", "dipole: eV"),
        r":3:3: argon: units: frames have no 'dipole'",
    ),
    "file elsewhere": (
        ENTRY.replace("a.extxyz", "../a.extxyz"),
        r":6:5: argon\.file: .*expected a path below the folder of the manifest; got '\.\./a",
    ),
    "count of none": (
        ENTRY + "    n_frames: 0\n",
        r":13:5: argon\.n_frames: .*greater than or equal to 1; got 0",
    ),
    "no DOI": (ENTRY + "    doi: Rahman 1964\n", r":13:5: argon\.doi: String should match"),
    "public, of no use": (
        ENTRY + "    public: {url: ftp://x/, originals: {}, format: extxyz, facts: {}}\n",
        r":13:14: argon\.public\.url: String should match pattern .*; got 'ftp://x/'\n"
        r".*:13:29: argon\.public\.originals: .*\n.*:13:60: argon\.public\.facts\.n_frames: Field required",
    ),
    "public curve": (
        ENTRY.replace("kind: frames", "kind: curve")
        + "    public:\n      url: http://x/\n      originals: {a: null}\n      format: extxyz\n"
        + "      facts: {n_frames: 1, n_atoms: 1, energy_mean_eV: 1, energy_sd_eV: 0}\n",
        r":3:3: argon: public: only frames can be fetched, this is of kind curve",
    ),
    "odd key": ("references:\n  argon: {[1]: 2}\n", r":2:3: argon: not a mapping of names and values"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_manifest_is_located(case, tmp_path):
    text, message = MALFORMED[case]
    folder = folder_with(tmp_path, text)
    with pytest.raises(DataError, match=rf"manifest\.yaml{message}"):
        Manifest.load(folder)
    with pytest.raises(DataError, match=rf"manifest\.yaml{message}"):
        update_manifest(folder)
    assert (folder / "manifest.yaml").read_text() == text


def test_two_manifests(tmp_path):
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir(), other.mkdir()
    first = Manifest.load(folder_with(mine))
    second = Manifest.load(folder_with(other, ENTRY.replace("  argon:", "  krypton:")) / "manifest.yaml")
    both = first.joined(second)
    assert both.kinds() == {"argon": "frames", "krypton": "frames"}
    assert both.path("krypton") == other / "a.extxyz"
    with pytest.raises(DataError, match="the name 'argon' is taken"):
        both.joined(first)
    with pytest.raises(DataError, match=r"unknown reference 'xenon' \(known: argon, krypton\)"):
        both.verify("xenon")


def test_other_kinds_hold_no_frames(tmp_path):
    manifest = Manifest.load(folder_with(tmp_path, ENTRY.replace("kind: frames", "kind: curve")))
    with pytest.raises(DataError, match=r"holds curve \(expected frames\)"):
        manifest.frames("argon")


# crystal, symbol, lattice constant, atoms in the conventional cell, nearest-neighbour distance / a
CRYSTALS = [
    ("sc", "Po", 1, 1.0),
    ("fcc", "Ar", 4, sqrt(1 / 2)),
    ("bcc", "Fe", 2, sqrt(3) / 2),
    ("diamond", "Si", 8, sqrt(3) / 4),
    ("hcp", "Mg", 2, 1.0),
    ("rocksalt", "NaCl", 8, 0.5),
    ("zincblende", "ZnS", 8, sqrt(3) / 4),
    ("cesiumchloride", "CsCl", 2, sqrt(3) / 2),
    ("fluorite", "CaF2", 12, sqrt(3) / 4),
    ("wurtzite", "ZnO", 4, sqrt(3 / 8)),
]


@pytest.mark.parametrize(("crystal", "symbol", "n_atoms", "distance"), CRYSTALS)
def test_crystals(crystal, symbol, n_atoms, distance, tmp_path):
    ref = StructureRef(crystal=crystal, symbol=symbol, lattice_A=5.0, repeat=(2, 1, 2))
    structure = resolve_structure(ref, tmp_path, EMPTY)
    assert len(structure) == 4 * n_atoms
    assert structure.pbc.all()
    distances = structure.to_ase().get_all_distances(mic=True)
    assert distances[distances > 0].min() == pytest.approx(5.0 * distance, rel=1e-9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crystal": "diamnd", "symbol": "Si", "lattice_A": 5.4}, "unknown crystal 'diamnd'"),
        ({"crystal": "fcc", "symbol": "Ar"}, "crystal fcc needs symbol and lattice_A"),
        ({"crystal": "fcc", "symbol": "Xx", "lattice_A": 5.0}, "cannot be built of 'Xx'"),
        ({"crystal": "fcc", "symbol": "NaCl", "lattice_A": 5.0}, r"expected 1 element, such as Si"),
        ({"crystal": "rocksalt", "symbol": "Na", "lattice_A": 5.0}, r"expected 2 elements, such as NaCl"),
        ({"crystal": "fcc", "symbol": "((", "lattice_A": 5.0}, "is not a formula"),
        ({"file": "none.cif"}, r"none\.cif: no such file"),
        ({"file": "bad.cif"}, r"bad\.cif: frame 0: not readable as a structure: "),
        ({"file": "bad.nothing"}, r"bad\.nothing: frame 0: not readable as a structure: UnknownFileType"),
        ({"file": "one.xyz", "index": 3}, r"one\.xyz: frame 3: not readable as a structure: "),
        ({"file": "one.xyz", "repeat": (2, 1, 1)}, "cannot be repeated where it is not periodic"),
        ({"reference": "argon"}, "unknown reference 'argon'"),
        ({}, "one of file, reference, crystal"),
    ],
)
def test_structures_that_cannot_be(fields, message, tmp_path):
    (tmp_path / "bad.cif").write_text("nothing\n")
    (tmp_path / "bad.nothing").write_text("nothing\n")
    (tmp_path / "one.xyz").write_text("1\n\nAr 0 0 0\n")
    with pytest.raises(DataError, match=message):
        resolve_structure(StructureRef(**fields), tmp_path, EMPTY)


def test_structure_and_frames_from_file_and_reference(tmp_path):
    folder = folder_with(tmp_path, data=DATA + DATA.replace("Ar 0", "Ar 1"))
    update_manifest(folder)
    manifest = Manifest.load(folder)
    from_file = resolve_structure(StructureRef(file="a.extxyz", index=1), folder, EMPTY)
    from_set = resolve_structure(StructureRef(reference="argon", index=1), tmp_path / "elsewhere", manifest)
    assert from_file.hash == from_set.hash
    assert from_file.positions[0, 0] == 1.0
    assert [f.label for f in resolve_frames(FramesRef(file="a.extxyz", index="1:"), folder, EMPTY)] == [
        "a.extxyz#1"
    ]
    assert len(resolve_frames(FramesRef(reference="argon"), folder, manifest)) == 2
    with pytest.raises(DataError, match="frames need one of file, reference"):
        resolve_frames(FramesRef(), folder, manifest)


def test_a_structure_of_any_format_of_ase(tmp_path):
    atoms = FaceCenteredCubic("Cu", latticeconstant=3.6)
    write(tmp_path / "POSCAR", atoms, format="vasp")
    structure = resolve_structure(StructureRef(file="POSCAR", repeat=(2, 2, 2)), tmp_path, EMPTY)
    assert len(structure) == 32
    assert structure.volume == pytest.approx((2 * 3.6) ** 3, rel=1e-12)


def test_shipped_references_are_what_the_manifest_says():
    manifest = Manifest.load(reference_data())
    for name, entry in manifest.entries.items():
        if entry.public is None:
            assert entry.script is None or (reference_data() / entry.script).is_file()
            if entry.kind == "frames":
                assert len(manifest.frames(name)) == entry.n_frames
            elif entry.kind == "scalar":
                assert len(manifest.scalars(name)) == entry.n_points
            elif entry.kind == "curve":
                assert len(manifest.curve(name)) == entry.n_points
            else:
                assert manifest.phonons(name).force_constants.shape == (2, 64, 3, 3)


def test_argon_labels_are_those_of_the_pair_sum():
    """Frame by frame against sums over all images within the cutoff, for pairs where no switch acts.

    ASE's switch begins at 7 A: the plain pair sum cut at 7 A differs by the shell from 7 to 8.5 A, below
    0.02 eV an atom and nearly the same in all frames. Units confused (K for eV, nm for A) or labels of
    another frame differ by eV.
    """
    frames = Manifest.load(reference_data()).frames("argon_lj")
    assert len(frames) >= 40
    epsilon, sigma = 120.0 * 8.617333262e-5, 3.4
    shifts = np.array(np.meshgrid(*[range(-1, 2)] * 3, indexing="ij")).reshape(3, -1).T
    difference = []
    for frame in frames:
        s = frame.structure
        vectors = s.positions[None, :, None] + (shifts @ s.cell)[None, None] - s.positions[:, None, None]
        r = np.linalg.norm(vectors, axis=-1)
        x6 = np.where((r > 0) & (r < 7.0), sigma / np.where(r > 0, r, 1.0), 0.0) ** 6
        energy = 0.5 * np.sum(4.0 * epsilon * (x6**2 - x6))
        difference.append((energy - frame.energy) / len(s))
    assert np.abs(difference).max() < 0.02
    assert np.std(difference) < 2e-3
    assert np.std([frame.energy / 32 for frame in frames]) > 0.01
