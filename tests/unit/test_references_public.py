"""Public sets: converters, facts, fetching from a server of our own.

Oracles: numbers written into small originals here; four numbers of the published mlearn file and the stress
that ASE's reader of VASP would make of them; the converted sets themselves (in $MLIPBENCH_DATA or
../shared/data beside the project), which must come back byte for byte from originals written in the
published formats.
"""

import functools
import gzip
import http.server
import io
import json
import lzma
import os
import threading
from pathlib import Path

import ase.io
import ase.units
import numpy as np
import pytest
import yaml
from ase.calculators.singlepoint import SinglePointCalculator

from mlipbench.core.errors import DataError
from mlipbench.core.shipped import reference_data
from mlipbench.data.fetch import fetch
from mlipbench.data.frames import read_frames
from mlipbench.data.originals import convert
from mlipbench.data.public import Public, cache_folder, differences, facts_of, folders, read_note
from mlipbench.data.reference_check import check
from mlipbench.data.references import Manifest, sha256

FACTS = {"n_frames": 1, "n_atoms": 1, "energy_mean_eV": 0.0, "energy_sd_eV": 0.0}
SHARED = Path(os.environ.get("MLIPBENCH_DATA") or Path(__file__).parents[3] / "shared" / "data")
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the converted sets in {SHARED}")
MANIFEST = Manifest.load(reference_data())


def spec(form, originals, **more):
    return Public(url="http://x/", originals=dict.fromkeys(originals), format=form, facts=FACTS, **more)


# ---------------------------------------------------------------- converters
def test_deepmd(tmp_path):
    """Two systems, two sets; float32 energies; stress = -virial / volume, the virial 3x3 in eV."""
    for system, sets in (("b", 1), ("a", 2)):
        folder = tmp_path / system
        folder.mkdir()
        (folder / "type_map.raw").write_text("O\nH\n")
        (folder / "type.raw").write_text("1\n0\n")
        for number in range(sets):
            part = folder / f"set.{number:03d}"
            part.mkdir()
            np.save(part / "box.npy", np.tile(np.diag([2.0, 3.0, 4.0]).ravel(), (2, 1)).astype(np.float32))
            np.save(part / "coord.npy", np.arange(12, dtype=np.float32).reshape(2, 6))
            np.save(part / "energy.npy", np.array([-1.5, -2.5], dtype=np.float32))
            np.save(part / "force.npy", -np.arange(12, dtype=np.float32).reshape(2, 6))
            if system == "b":
                np.save(part / "virial.npy", np.tile(24.0 * np.array([1, 2, 3, 2, 4, 5, 3, 5, 6]), (2, 1)))
    frames = convert(tmp_path, spec("deepmd", ["a/type.raw"], config_type="liquid"))
    assert [f.info["source"] for f in frames] == [
        *("a/set.000/0", "a/set.000/1", "a/set.001/0", "a/set.001/1"),
        *("b/set.000/0", "b/set.000/1"),
    ]
    last = frames[-1]
    assert last.get_chemical_symbols() == ["H", "O"]
    np.testing.assert_array_equal(last.positions, [[6, 7, 8], [9, 10, 11]])
    np.testing.assert_array_equal(last.get_forces(), [[-6, -7, -8], [-9, -10, -11]])
    np.testing.assert_array_equal(last.cell.lengths(), [2, 3, 4])
    assert last.get_potential_energy() == -2.5
    np.testing.assert_allclose(last.get_stress(), [-1, -4, -6, -5, -3, -2])  # xx yy zz yz xz xy
    assert last.info["config_type"] == "liquid"
    assert "stress" not in frames[0].calc.results


def mlearn_entry(atoms, group, energy, forces, virial):
    sites = [
        {"species": [{"element": s, "occu": 1}], "xyz": list(map(float, r)), "label": s}
        for s, r in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
    ]
    structure = {"lattice": {"matrix": atoms.cell.tolist()}, "sites": sites}
    outputs = {"energy": energy, "forces": np.asarray(forces).tolist(), "virial_stress": list(virial)}
    return {"structure": structure, "outputs": outputs, "group": group, "num_atoms": len(atoms)}


def test_mlearn_stress_is_that_of_vasp(tmp_path):
    """virial_stress of two published frames: a crystal under 6 % compression, and a vacancy frame.

    The compressed crystal pushes outwards: its stress is negative. Off-diagonal components are xy, yz, zx
    in VASP and yz, xz, xy here; the expected numbers are those in order, by -0.1 GPa a kbar.
    """
    atoms = ase.Atoms("Si", positions=[[0.5, 0, 0]], cell=np.diag([5, 6, 7]), pbc=True)
    compressed = [99.43217523, 45.75675106, 45.75675106, 0.0, 0.0, 0.0]
    vacancy = [-18.04719591, -15.83812116, -17.34933118, 11.42428267, 4.33204194, -10.52615055]
    entries = [mlearn_entry(atoms, "Elastic", -344.7, [[1, 2, 3]], v) for v in (compressed, vacancy)]
    (tmp_path / "test.json").write_text(json.dumps(entries))
    first, second = convert(tmp_path, spec("mlearn", ["test.json"]))
    kbar = 0.1 * ase.units.GPa
    assert first.get_stress()[:3] == pytest.approx(-kbar * np.array(compressed[:3]), rel=1e-9)
    xx, yy, zz, xy, yz, zx = vacancy
    assert second.get_stress() == pytest.approx(-kbar * np.array([xx, yy, zz, yz, zx, xy]), rel=1e-9)
    assert first.get_stress()[0] == pytest.approx(-0.062060682910, abs=1e-11)
    np.testing.assert_array_equal(first.get_forces(), [[1, 2, 3]])
    assert (first.get_potential_energy(), first.info["config_type"]) == (-344.7, "Elastic")


def phono3py_document(old):
    lattice = [[2.0, 0, 0], [0, 4.0, 0], [0, 0, 8.0]]
    points = [{"symbol": "Na", "coordinates": [0, 0, 0]}, {"symbol": "Cl", "coordinates": [0.5, 0.5, 0.25]}]
    big = [[4.0, 0, 0], *lattice[1:]]
    moves = [[[0.1, 0, 0], [0, 0.2, 0]], [[0, 0, 0.3], [0.4, 0, 0]]]
    forces = [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]
    document = {
        "physical_unit": {"length": "angstrom"},
        "supercell": {"lattice": lattice, "points": points},
        "phonon_supercell": {"lattice": big, "points": points},
    }
    for prefix, count in (("", 2), ("phonon_", 1)):
        energies = [-1.0, -2.0][:count]
        if old:
            document[f"{prefix}displacements"] = [
                [{"displacement": d, "force": f} for d, f in zip(ds, fs, strict=True)]
                for ds, fs in zip(moves[:count], forces[:count], strict=True)
            ]
            document[f"{prefix}supercell_energies"] = energies
        else:
            dataset = {
                "displacements": moves[:count],
                "forces": forces[:count],
                "supercell_energies": energies,
            }
            document[f"{prefix}dataset"] = dataset
    return document


@pytest.mark.parametrize("old", [True, False])
def test_phono3py(tmp_path, old):
    """Both generations of the format; the set for third order, and that for second in its larger cell."""
    content = yaml.safe_dump(phono3py_document(old)).encode()
    (tmp_path / "p.yaml.xz").write_bytes(lzma.compress(content))
    third = convert(tmp_path, spec("phono3py", ["p.yaml.xz"], part="fc3", config_type="rd"))
    second = convert(tmp_path, spec("phono3py", ["p.yaml.xz"], part="fc2"))
    assert (len(third), len(second)) == (2, 1)
    np.testing.assert_allclose(third[1].positions, [[0, 0, 0.3], [1.4, 2, 2]])
    np.testing.assert_array_equal(third[1].get_forces(), [[7, 8, 9], [10, 11, 12]])
    assert third[1].get_potential_energy() == -2.0
    assert third[0].info == {"config_type": "rd"}
    np.testing.assert_allclose(second[0].positions, [[0.1, 0, 0], [2, 2.2, 2]])
    assert second[0].cell.lengths()[0] == 4.0


BROKEN = {
    "no such file": ("mlearn", {}, "not readable as mlearn data: FileNotFoundError"),
    "no JSON": ("mlearn", {"f": b"x"}, "not readable as mlearn data: JSONDecodeError"),
    "other JSON": ("mlearn", {"f": b'[{"a": 1}]'}, "not readable as mlearn data: KeyError: 'structure'"),
    "no frames": ("mlearn", {"f": b"[]"}, "no frames in the mlearn data"),
    "no systems": ("deepmd", {"f": b""}, "no frames in the deepmd data"),
    "a system without names": (
        "deepmd",
        {"s/type.raw": b"0"},
        "not readable as deepmd data: FileNotFoundError",
    ),
    "a pickle": (
        "deepmd",
        {"s/type.raw": b"0", "s/type_map.raw": b"Si", "s/set.0/coord.npy": b"\x80\x04N."},
        "not readable as deepmd data: ValueError",
    ),
    "no YAML": ("phono3py", {"f": b"a: [1"}, "YAML syntax: "),
    "another YAML": ("phono3py", {"f": b"a: 1"}, "not readable as phono3py data: KeyError"),
    "other lengths": (
        "phono3py",
        {"f": b"physical_unit: {length: au}"},
        r"lengths in au \(expected angstrom\)",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_originals_have_a_message(case, tmp_path):
    form, files, message = BROKEN[case]
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        convert(tmp_path, spec(form, ["f"]))


# ---------------------------------------------------------------- where files are looked for
def test_folders_in_their_order(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MLIPBENCH_DATA", str(tmp_path / "mine"))
    assert folders() == [tmp_path / "mine", tmp_path / "cache" / "mlipbench"]
    monkeypatch.delenv("MLIPBENCH_DATA")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert folders() == [cache_folder()] == [Path("~/.cache/mlipbench").expanduser()]


@pytest.fixture
def empty(monkeypatch, tmp_path):
    """A cache without anything in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MLIPBENCH_DATA", raising=False)
    return tmp_path / "cache" / "mlipbench"


def test_an_absent_set_says_how_to_get_it(empty):
    with pytest.raises(
        DataError,
        match=r"'water_pbe0ts' is not there \(water_pbe0ts\.xyz\.gz in .*cache/mlipbench\): run "
        r"`mlipbench references fetch water_pbe0ts`, or set MLIPBENCH_DATA",
    ):
        MANIFEST.frames("water_pbe0ts")


def test_a_file_of_another_content_is_refused(empty):
    (empty / "acac").mkdir(parents=True)
    (empty / "acac" / "isolated_atoms.xyz").write_text("1\nenergy=1\nH 0 0 0\n")
    with pytest.raises(
        DataError, match=r"not the file of the public reference .*run `mlipbench references fetch"
    ):
        MANIFEST.verify("acac_isolated_atoms")


@needs_data
@pytest.mark.parametrize("name", [n for n, e in MANIFEST.entries.items() if e.public is not None])
def test_converted_sets_are_what_the_manifest_says(name, monkeypatch):
    """Hash, counts, units, and every recorded fact."""
    monkeypatch.setenv("MLIPBENCH_DATA", str(SHARED))
    assert check(MANIFEST, name)[1] == []
    entry = MANIFEST.entry(name)
    assert differences(facts_of(MANIFEST.frames(name)), entry.public.facts) == []
    assert MANIFEST.verify(name).verified == ("not stated" not in entry.level_of_theory)


# ---------------------------------------------------------------- facts
@needs_data
def test_facts_tell_what_can_go_wrong(tmp_path):
    """Each fault of a conversion shows in the facts; rounding and the order of frames do not."""
    atoms = ase.io.read(SHARED / "si_pbe_test.xyz", ":")
    expected = MANIFEST.entry("si_pbe_test").public.facts

    def facts(frames):
        ase.io.write(tmp_path / "facts.extxyz", frames, format="extxyz")
        return facts_of(read_frames(tmp_path / "facts.extxyz"))

    def names(change):
        """The facts that a change of the labels of all frames changes."""
        changed = []
        for frame in atoms:
            results = {k: np.array(v) for k, v in frame.calc.results.items()}
            change(results)
            new = frame.copy()
            new.calc = SinglePointCalculator(new, **results)
            changed.append(new)
        return {text.split(":")[0] for text in differences(facts(changed), expected)}

    stress, forces = {"stress_mean_eV_per_A3"}, {"first_atom_force_eV_per_A"}
    rms, energy = {"force_rms_eV_per_A"}, {"energy_mean_eV", "energy_sd_eV"}
    assert names(lambda r: r.update(stress=-r["stress"])) == stress
    assert names(lambda r: r.update(stress=r["stress"][[0, 1, 2, 4, 3, 5]])) == stress  # yz and xz exchanged
    assert names(lambda r: r.update(stress=10 * r["stress"])) == stress  # kbar taken for GPa
    assert names(lambda r: r.update(forces=-r["forces"])) == forces
    assert names(lambda r: r.update(forces=r["forces"][::-1])) == forces  # atoms in another order
    assert names(lambda r: r.update(forces=1.0001 * r["forces"])) == forces | rms
    assert names(lambda r: r.update(energy=r["energy"] / 64)) == energy
    assert names(lambda r: r.pop("stress")) == stress
    assert names(lambda r: r.update(forces=r["forces"] + 4e-9, stress=r["stress"] * (1 + 2e-8))) == set()
    assert differences(facts(atoms[::-1]), expected) == []
    assert {t.split(":")[0] for t in differences(facts(atoms[1:]), expected)} >= {"n_frames", "n_atoms"}


# ---------------------------------------------------------------- fetching
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder, and the URL under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def served_entry(name, url, **more):
    entry = MANIFEST.entry(name)
    return entry.model_copy(update={"public": entry.public.model_copy(update={"url": url})} | more)


def write_original(name, folder):
    """The original of a converted set, in its published format."""
    entry = MANIFEST.entry(name)
    path = SHARED / entry.file
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if entry.public.format == "extxyz":
        (folder / next(iter(entry.public.originals))).write_bytes(content)
        return
    frames = ase.io.read(io.StringIO(content.decode()), ":", format="extxyz")
    {"deepmd": _write_deepmd, "mlearn": _write_mlearn, "phono3py": _write_phono3py}[entry.public.format](
        frames, folder, entry.public
    )


def _write_mlearn(frames, folder, public):
    entries = []
    for f in frames:
        xx, yy, zz, yz, zx, xy = np.round(-1602.1766208 * f.get_stress(), 8)  # as many digits as VASP prints
        args = f.info["config_type"], f.get_potential_energy(), f.get_forces(), [xx, yy, zz, xy, yz, zx]
        entries.append(mlearn_entry(f, *args))
    (folder / next(iter(public.originals))).write_text(json.dumps(entries))


def _write_deepmd(frames, folder, public):
    parts = {}
    for frame in frames:
        parts.setdefault(frame.info["source"].rpartition("/")[0], []).append(frame)
    for part, own in parts.items():
        (folder / part).mkdir(parents=True)
        kinds = ["01"[s == "H"] for s in own[0].get_chemical_symbols()]
        (folder / part).parent.joinpath("type.raw").write_text("\n".join(kinds))
        (folder / part).parent.joinpath("type_map.raw").write_text("O\nH\n")
        for name, rows in {
            "box": [f.cell.array.ravel() for f in own],
            "coord": [f.positions.ravel() for f in own],
            "energy": [f.get_potential_energy() for f in own],
            "force": [f.get_forces().ravel() for f in own],
        }.items():
            np.save(folder / part / f"{name}.npy", np.array(rows))


def _write_phono3py(frames, folder, public):
    lattice = frames[0].cell.array
    mean = np.mean([f.positions for f in frames], axis=0)  # any fixed positions do
    points = [
        {"symbol": s, "coordinates": x.tolist()}
        for s, x in zip(frames[0].get_chemical_symbols(), mean @ np.linalg.inv(lattice), strict=True)
    ]
    prefix = "phonon_" if public.part == "fc2" else ""
    document = {
        "physical_unit": {"length": "angstrom"},
        f"{prefix}supercell": {"lattice": lattice.tolist(), "points": points},
        f"{prefix}dataset": {
            "displacements": [(f.positions - mean).tolist() for f in frames],
            "forces": [f.get_forces().tolist() for f in frames],
            "supercell_energies": [float(f.get_potential_energy()) for f in frames],
        },
    }
    content = yaml.dump(document, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
    (folder / next(iter(public.originals))).write_bytes(lzma.compress(content.encode(), preset=0))


@needs_data
@pytest.mark.parametrize(
    "name", ["water_pbe0ts", "si_pbe_test", "acac_isolated_atoms", "acac_train_300K", "nacl_222", "nacl_444"]
)
def test_fetched_sets_are_the_converted_ones(name, served, empty):
    """Download, conversion, comparison: byte for byte (water, whose gzip differs: fact for fact)."""
    folder, url = served
    write_original(name, folder)
    entry = served_entry(name, url)
    seen = []
    fetched = fetch(name, entry, empty, lambda file, done, total: seen.append(file))
    assert fetched.differences == []
    assert fetched.verified
    assert set(seen) == set(fetched.originals) == set(entry.public.originals)
    if not entry.file.endswith(".gz"):
        assert fetched.sha256 == entry.sha256
    else:
        content = (gzip.decompress((f / entry.file).read_bytes()) for f in (empty, SHARED))
        assert next(content) == next(content)
    manifest = Manifest({name: entry}, {name: reference_data()})  # where the parts of a set lie
    assert manifest.verify(name).verified == entry.verified
    assert len(manifest.frames(name)) == entry.n_frames


@needs_data
def test_what_differs_is_kept_but_not_verified(served, empty):
    """An original whose stresses have the other sign: the file is there, is read, and does not gate."""
    folder, url = served
    write_original("si_pbe_test", folder)
    path = folder / "test.json"
    entries = json.loads(path.read_text())
    for e in entries:
        e["outputs"]["virial_stress"] = [-v for v in e["outputs"]["virial_stress"]]
    path.write_text(json.dumps(entries))
    entry = served_entry("si_pbe_test", url)
    fetched = fetch("si_pbe_test", entry, empty, lambda *_: None)
    assert not fetched.verified
    (text,) = fetched.differences
    assert text.startswith("stress_mean_eV_per_A3: expected (-0.00164")
    manifest = Manifest({"si_pbe_test": entry}, {"si_pbe_test": empty})
    assert manifest.verify("si_pbe_test").verified is False
    assert check(manifest, "si_pbe_test")[1] == [f"si_pbe_test: {text}"]
    # the original mended: fetched again, and verified
    write_original("si_pbe_test", folder)
    assert fetch("si_pbe_test", entry, empty, lambda *_: None).verified
    assert manifest.verify("si_pbe_test").verified


@needs_data
def test_a_verified_file_is_left_alone(served, empty):
    folder, url = served
    write_original("acac_isolated_atoms", folder)
    entry = served_entry("acac_isolated_atoms", url)
    fetch("acac_isolated_atoms", entry, empty, lambda *_: None)
    target = empty / entry.file
    before = target.stat().st_mtime_ns, sha256(target)
    (folder / "isolated_atoms.xyz").write_text("rubbish")
    assert fetch("acac_isolated_atoms", entry, empty, lambda *_: None).verified
    assert (target.stat().st_mtime_ns, sha256(target)) == before


@needs_data
def test_a_changed_original_of_known_hash_is_refused(served, empty):
    folder, url = served
    (folder / "isolated_atoms.xyz").write_text("another file")
    with pytest.raises(DataError, match="not the file that is meant"):
        fetch("acac_isolated_atoms", served_entry("acac_isolated_atoms", url), empty, lambda *_: None)
    assert not [path for path in empty.rglob("*") if path.is_file()]


@needs_data
def test_a_file_changed_after_fetching_is_refused(served, empty):
    folder, url = served
    write_original("si_pbe_test", folder)
    entry = served_entry("si_pbe_test", url, sha256="0" * 64)  # verified by its facts
    assert fetch("si_pbe_test", entry, empty, lambda *_: None).verified
    manifest = Manifest({"si_pbe_test": entry}, {"si_pbe_test": empty})
    assert manifest.verify("si_pbe_test").verified
    path = empty / entry.file
    path.write_text(path.read_text().replace("Elastic", "elastic"))
    assert read_note(path).verified
    with pytest.raises(DataError, match="not the file of the public reference"):
        manifest.verify("si_pbe_test")


def test_what_comes_with_mlipbench_is_not_fetched(empty):
    with pytest.raises(DataError, match="'argon_lj' comes with its manifest: there is nothing to fetch"):
        fetch("argon_lj", MANIFEST.entry("argon_lj"), empty, lambda *_: None)
