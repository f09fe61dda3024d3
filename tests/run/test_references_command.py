"""References from the command line: list, check, fetch, update; a third party's suite that uses every kind.

Oracles: numbers written into the reference files here, in other units than the suite asks for.
"""

import json
import shutil

import pytest
from support import mlipbench, results

from mlipbench.data.references import update_manifest

CURVE = """\
# abscissa_unit: nm
# value_unit: %
# level_of_theory: by hand
# temperature_K: 30
# source: this test
r,g,error
0.2,0,1
0.3,150,2
"""
SCALAR = """\
density: {value: 1.4, unit: g/cm^3, error: 0.1, level_of_theory: by hand, source: this test}
gap: {value: 8, unit: kJ/mol, level_of_theory: by hand, source: this test}
"""
PHONONS = """\
physical_unit: {atomic_mass: AMU, length: angstrom, force_constants: eV/angstrom^2}
primitive_matrix: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
supercell_matrix: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
unit_cell:
  lattice: [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
  points:
  - {symbol: Ar, coordinates: [0, 0, 0], mass: 39.95}
force_constants: {format: full, shape: [1, 1], elements: [[[3, 0, 0], [0, 2, 0], [0, 0, 1]]]}
"""
FRAMES = '1\nProperties=species:S:1:pos:R:3 energy=-1.0 pbc="F F F"\nAr 0 0 0\n'
ENTRY = """\
  {name}:
    title: of the user
    kind: {kind}
    file: {file}
    sha256: null
    units: {units}
    level_of_theory: by hand
    licence: MIT
    source: this test
    verified: {verified}
"""
ENTRIES = [
    ("my_curve", "curve", "c.csv", '{r: nm, g: "%"}'),
    ("my_scalars", "scalar", "s.yaml", "{density: g/cm^3, gap: kJ/mol}"),
    ("my_phonons", "phonons", "p.yaml", "{force_constants: eV/A^2}"),
    ("my_frames", "frames", "f.extxyz", "{energy: eV}"),
]
FILES = {"c.csv": CURVE, "s.yaml": SCALAR, "p.yaml": PHONONS, "f.extxyz": FRAMES}

PLUGIN = '''
import numpy as np
from mlipbench.api import (Criterion, CurveRef, FramesRef, Measurement, Outcome, PhononsRef, ScalarRef,
                           StructureRef, Suite, SuiteParams)


class Rdf(CurveRef):
    abscissa_unit, value_unit = "A", "1"


class Gap(ScalarRef):
    unit = "meV"


class Drawn(CurveRef):
    decides = False


class Against(Suite):
    """Gives back what the references say."""

    name, version, title, method = "against", 1, "References given back", "None."
    needs = frozenset()
    criteria = tuple(
        Criterion(name=name, compare="abs<", limit=100, unit=unit, source="none")
        for name, unit in (("g", "1"), ("r", "A"), ("gap", "meV"), ("stiffest", "eV/A^2"), ("energy", "eV"))
    )

    class Params(SuiteParams):
        rdf: Rdf
        gap: Gap
        phonons: PhononsRef
        frames: FramesRef
        drawn: Drawn | None = None

    def structures(self, params, inputs):
        return [inputs.structure(StructureRef(crystal="fcc", symbol="Ar", lattice_A=5.3))]

    def produce(self, params, context):
        curve, gap = context.curve(params.rdf), context.scalar(params.gap)
        if params.drawn is not None:
            context.curve(params.drawn)
        context.save("r", curve.abscissa)
        context.save("g", curve.value)
        context.save("gap", np.array([gap.value]))
        context.save("stiffest", context.phonons(params.phonons).force_constants)
        context.save("energy", np.array([f.energy for f in context.frames(params.frames)]))
        context.save("level", np.frombuffer(context.level_of_theory(params.phonons).encode(), dtype=np.uint8))

    def measure(self, params, data):
        units = {"r": "A", "g": "1", "gap": "meV", "stiffest": "eV/A^2", "energy": "eV"}
        return Outcome(
            [
                Measurement(name=name, value=float(data.array(name).max()), unit=unit, stderr=0, exact=True)
                for name, unit in units.items()
            ],
            notes=[bytes(data.array("level")).decode()],
        )
'''
SUITE = """
title: references
potential: {use: lj-ar}
intended_use: {elements: [Ar], phases: [fcc], temperature_K: 30}
references: mine/manifest.yaml
suites:
  against:
    rdf: {reference: my_curve}
    gap: {reference: my_scalars, quantity: gap}
    phonons: {reference: my_phonons}
    frames: {reference: my_frames}
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """A folder with a third party's package, as an installer leaves it."""
    site = tmp_path_factory.mktemp("site")
    (site / "against_bench.py").write_text(PLUGIN)
    info = site / "against_bench-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: against-bench\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mlipbench.suites]\nagainst = against_bench:Against\n")
    return str(site)


@pytest.fixture
def folder(tmp_path):
    """A suite file, and a manifest of the user's own with a reference of each kind."""
    own = tmp_path / "mine"
    own.mkdir()
    for name, text in FILES.items():
        (own / name).write_text(text)
    write_manifest(own)
    (tmp_path / "suite.yaml").write_text(SUITE)
    return tmp_path


def write_manifest(own, unverified=""):
    lines = [
        ENTRY.format(name=n, kind=k, file=f, units=u, verified=str(n != unverified).lower())
        for n, k, f, u in ENTRIES
    ]
    (own / "manifest.yaml").write_text("references:\n" + "".join(lines))
    return update_manifest(own)


def test_every_kind_reaches_a_third_partys_suite(folder, plugin):
    """0.3 nm = 3 A, 150 % = 1.5, 8 kJ/mol = 82.9 meV, the stiffest force constant, one energy."""
    done = mlipbench("run", "suite.yaml", cwd=folder, PYTHONPATH=plugin)
    assert done.returncode == 0, done.stdout + done.stderr
    found = results(folder / "reports" / "suite")
    against = found["suites"]["against"]
    values = {m["id"].split("/")[1]: m["value"] for m in against["measurements"]}
    expected = {"r": 3.0, "g": 1.5, "gap": 82.9141, "stiffest": 3.0, "energy": -1.0}
    assert values == pytest.approx(expected, rel=1e-5)
    assert all(m["required"] and m["verdict"] == "PASS" for m in against["measurements"])
    assert {r["name"]: (r["verified"], r["level_of_theory"]) for r in found["references"]} == {
        name: (True, "by hand") for name, *_ in ENTRIES
    }


@pytest.mark.parametrize("unverified", ["my_curve", "my_phonons"])
def test_one_unverified_reference_makes_all_criteria_advise(folder, plugin, unverified):
    write_manifest(folder / "mine", unverified)
    done = mlipbench("run", "suite.yaml", cwd=folder, PYTHONPATH=plugin)
    found = results(folder / "reports" / "suite")
    assert not any(m["required"] for m in found["suites"]["against"]["measurements"]), done.stdout
    assert [r["name"] for r in found["references"] if not r["verified"]] == [unverified]


def test_an_unverified_reference_that_is_only_drawn_leaves_the_criteria_alone(folder, plugin):
    own = folder / "mine"
    (own / "d.csv").write_text(CURVE)
    _, kind, _, units = ENTRIES[0]
    drawn = ENTRY.format(name="drawn", kind=kind, file="d.csv", units=units, verified="false")
    (own / "manifest.yaml").write_text((own / "manifest.yaml").read_text() + drawn)
    update_manifest(own)
    with (folder / "suite.yaml").open("a") as file:
        file.write("    drawn: {reference: drawn}\n")
    done = mlipbench("run", "suite.yaml", cwd=folder, PYTHONPATH=plugin)
    assert done.returncode == 0, done.stdout + done.stderr
    found = results(folder / "reports" / "suite")
    assert all(m["required"] for m in found["suites"]["against"]["measurements"])
    assert [r["name"] for r in found["references"] if not r["verified"]] == ["drawn"]


def test_files_of_the_user_without_a_manifest(folder, plugin):
    text = SUITE.replace("references: mine/manifest.yaml\n", "")
    for name, _, file, _ in ENTRIES:
        text = text.replace(f"reference: {name}", f"file: mine/{file}")
    (folder / "suite.yaml").write_text(text)
    done = mlipbench("run", "suite.yaml", cwd=folder, PYTHONPATH=plugin)
    assert done.returncode == 0, done.stdout + done.stderr
    levels = {r["name"]: r["level_of_theory"] for r in results(folder / "reports" / "suite")["references"]}
    assert levels == {
        "mine/c.csv": "by hand",
        "mine/s.yaml": "by hand",
        "mine/p.yaml": "",
        "mine/f.extxyz": "",
    }


def test_all_problems_of_references_are_said_together_before_anything_runs(folder, plugin):
    (folder / "mine" / "c.csv").write_text(CURVE + "0.25,1,1\n")  # changed after its hash was noted
    (folder / "mine" / "f.extxyz").unlink()
    text = SUITE.replace("quantity: gap", "quantity: gsp").replace("my_phonons", "my_scalars")
    (folder / "suite.yaml").write_text(text)
    for command in ("plan", "run"):
        done = mlipbench(command, "suite.yaml", cwd=folder, PYTHONPATH=plugin)
        assert done.returncode == 2
        lines = done.stderr.splitlines()
        assert len(lines) == 5
        assert "suite.yaml:8:10: suites.against.rdf: " in lines[0]
        assert "c.csv: the file of reference 'my_curve' is not the one of the manifest" in lines[0]
        assert "suites.against.gap: " in lines[1]
        assert "no quantity 'gsp' (the file has density, gap)" in lines[1]
        assert (
            "suites.against.phonons.reference: a reference of another kind (expected phonons, got scalar)"
            in lines[2]
        )
        assert "suites.against.frames: " in lines[3]
        assert "f.extxyz: no such file" in lines[3]
        assert lines[4] == "4 problems; nothing was run"
    assert not (folder / "reports").exists()


def test_units_of_another_kind_are_refused(folder, plugin):
    (folder / "suite.yaml").write_text(SUITE.replace("quantity: gap", "quantity: density"))
    done = mlipbench("plan", "suite.yaml", cwd=folder, PYTHONPATH=plugin)
    assert done.returncode == 2
    assert "suites.against.gap: density: g/cm^3 cannot be converted to meV" in done.stderr


def test_an_absent_public_reference_is_named_with_its_remedy(folder):
    (folder / "suite.yaml").write_text(
        SUITE[: SUITE.index("  against")] + "  parity: {frames: {reference: si_pbe_test}}\n"
    )
    cache = {"XDG_CACHE_HOME": str(folder / "cache"), "MLIPBENCH_DATA": ""}
    for command in ("plan", "run"):
        done = mlipbench(command, "suite.yaml", cwd=folder, **cache)
        assert done.returncode == 2
        assert "the public reference 'si_pbe_test' is not there" in done.stderr
        assert "run `mlipbench references fetch si_pbe_test`, or set MLIPBENCH_DATA" in done.stderr


# ---------------------------------------------------------------- mlipbench references
def test_list(folder):
    cache = {"XDG_CACHE_HOME": str(folder / "cache"), "MLIPBENCH_DATA": ""}
    done = mlipbench("references", "list", "--manifest", "mine", "--json", cwd=folder, **cache)
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert (rows["argon_lj"]["where"], rows["argon_lj"]["count"], rows["argon_lj"]["verified"]) == (
        "shipped",
        48,
        True,
    )
    assert (rows["my_curve"]["where"], rows["my_curve"]["count"]) == ("own", 2)
    assert rows["water_pbe0ts"]["where"] == "public: absent"
    assert rows["water_pbe0ts"]["verified"] is False
    assert rows["si_pbe_test"]["doi"] == "10.1021/acs.jpca.9b08723"
    text = mlipbench("references", "list", cwd=folder, **cache).stdout.splitlines()
    assert text[0].split()[:3] == ["name", "kind", "holds"]
    assert len(text) == 1 + len(rows) - len(ENTRIES)
    assert all("my_" not in line for line in text)


def test_check(folder):
    arguments = ("references", "check", "--manifest", "mine")
    done = mlipbench(*arguments, cwd=folder, XDG_CACHE_HOME=str(folder / "cache"), MLIPBENCH_DATA="")
    assert done.returncode == 0, done.stderr
    assert "my_curve: sound: 2 points, r 0.2 to 0.3 nm, g in %, with errors" in done.stdout
    assert (
        "my_phonons: sound: 1 atoms in the primitive cell, 1 in the supercell, no Born charges" in done.stdout
    )
    assert "water_pbe0ts: absent, not checked" in done.stdout
    (folder / "mine" / "c.csv").write_text(CURVE.replace("0.3", "0.1"))
    shutil.copy(folder / "mine" / "f.extxyz", folder / "mine" / "p.yaml")
    done = mlipbench(*arguments, "my_*", cwd=folder)
    assert done.returncode == 2
    assert "my_scalars: sound: density 1.4 g/cm^3, gap 8 kJ/mol" in done.stdout
    assert [line.partition(": ")[0].rpartition("/")[2] for line in done.stderr.splitlines()] == [
        "c.csv",
        "p.yaml",
    ]


def test_update(folder):
    path = folder / "mine" / "manifest.yaml"
    path.write_text(path.read_text().replace("n_points: 2", "n_points: 3"))
    done = mlipbench("references", "update", "mine", cwd=folder)
    assert done.stdout.splitlines() == ["my_curve: n_points 3 -> 2", "my_scalars: n_points 3 -> 2"]
    assert mlipbench("references", "update", "mine", cwd=folder).stdout == "nothing to change\n"


@pytest.mark.parametrize("command", ["check", "fetch"])
def test_unknown_names(folder, command):
    done = mlipbench("references", command, "watre", cwd=folder)
    assert done.returncode == 2
    assert "unknown reference 'watre' (known: " in done.stderr


def test_fetch_without_a_network(folder):
    """Each set that cannot be fetched is named; what comes with a manifest is not fetched."""
    cache = {"XDG_CACHE_HOME": str(folder / "cache"), "MLIPBENCH_DATA": ""}
    text = (folder / "mine" / "manifest.yaml").read_text()
    public = """
    public:
      url: http://no-such-host.invalid/
      originals: {a.xyz: null}
      format: extxyz
      facts: {n_frames: 1, n_atoms: 1, energy_mean_eV: -1, energy_sd_eV: 0}
"""
    (folder / "mine" / "manifest.yaml").write_text(text.rstrip("\n") + public)
    arguments = ("references", "fetch", "my_frames", "my_curve", "--manifest", "mine", "--to", "data")
    done = mlipbench(*arguments, cwd=folder, **cache)
    assert done.returncode == 2
    assert "my_frames: http://no-such-host.invalid/a.xyz: cannot be reached" in done.stderr
    assert "my_curve: reference 'my_curve' comes with its manifest: there is nothing to fetch" in done.stderr
    assert "Traceback" not in done.stderr
