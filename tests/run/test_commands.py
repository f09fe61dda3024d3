"""plan, init, list, export; references that do not gate; potentials that change behind our back."""

import hashlib
import shutil

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
from support import NVE, PARITY, mlipbench, results, suite_file, verdicts

from mlipbench.core.shipped import reference_data


def test_plan_counts_what_the_suites_declare_and_runs_nothing(tmp_path):
    done = mlipbench("plan", suite_file(tmp_path, suites=PARITY + NVE.format(ps=6)), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # 6 ps and 2 ps at 5 fs, and 2 ps at 2.5 fs: 1200 + 400 + 800 steps; 48 labelled frames.
    assert "2400" in done.stdout
    assert "48" in done.stdout
    assert list(tmp_path.iterdir()) == [tmp_path / "small.yaml"]


def test_plan_tells_a_potential_that_cannot_be_loaded(tmp_path):
    (tmp_path / "mine.py").write_text("def calculator():\n    raise RuntimeError('no weights here')\n")
    done = mlipbench("plan", suite_file(tmp_path, "mine.py:calculator", suites=PARITY), cwd=tmp_path)
    assert done.returncode == 2
    assert "no weights here" in done.stderr


def test_init_writes_a_file_that_runs_as_it_is(tmp_path):
    frames = read(reference_data() / "argon" / "argon_lj.extxyz", ":")
    write(tmp_path / "held_out.extxyz", frames)
    write(tmp_path / "crystal.xyz", bulk("Ar", "fcc", a=5.3, cubic=True) * (2, 2, 2), format="extxyz")
    arguments = ("--structure", "crystal.xyz", "--data", "held_out.extxyz", "--calculator", "lj-ar")
    done = mlipbench("init", *arguments, "--temperature", "30", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "suite.yaml").read_text().count("#") > 10  # commented
    assert mlipbench("plan", "suite.yaml", cwd=tmp_path).returncode == 0
    again = mlipbench("init", *arguments, cwd=tmp_path)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_list_names_what_a_suite_file_can_use(tmp_path):
    assert "stability" in mlipbench("list", "suites", cwd=tmp_path).stdout
    potentials = mlipbench("list", "potentials", cwd=tmp_path).stdout
    for name in ("sw-si", "lj-ar", "emt", "tersoff-si"):
        assert name in potentials
    assert "silicon_pbe" in mlipbench("references", "list", cwd=tmp_path).stdout


def test_export_is_read_by_ase_at_the_stored_times(tmp_path):
    stability = (
        "  stability:\n    structure: {crystal: fcc, symbol: Ar, lattice_A: 5.30, repeat: [2, 2, 2]}\n"
        "    timestep_fs: 5\n    duration_ps: 1\n    factors: [1]\n"
    )
    mlipbench("run", suite_file(tmp_path, suites=stability), "--output", "out", cwd=tmp_path)
    # The checklist asks for 1.5 times the target too: leaving that run out is seen, and no pass.
    assert verdicts(tmp_path / "out")["stability/failures@45K"] == "INCONCLUSIVE"
    done = mlipbench("export", "out", "--format", "extxyz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    frames = read(tmp_path / "trajectories" / "stability-nvt-30K-0.extxyz", ":")
    assert len(frames) == 11  # 0, 100, ..., 1000 fs
    crystal = bulk("Ar", "fcc", a=5.3, cubic=True) * (2, 2, 2)
    assert np.allclose(frames[0].positions, crystal.positions)
    assert not np.allclose(frames[-1].positions, crystal.positions, atol=0.05)


OWN = """
references:
  mine:
    title: argon of unknown origin
    kind: frames
    file: argon_lj.extxyz
    sha256: {sha256}
    units: {{energy: eV, forces: eV/A, stress: eV/A^3}}
    level_of_theory: not known
    licence: none
    source: found on a disk
    verified: {verified}
"""


def own_reference(folder, verified):
    """A manifest with our argon under another name."""
    source = reference_data() / "argon" / "argon_lj.extxyz"
    shutil.copy(source, folder)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    (folder / "manifest.yaml").write_text(OWN.format(sha256=digest, verified=verified))


TOO_DEEP = "{epsilon_eV: 0.02}"  # by a factor of two, and still consistent in itself


@pytest.mark.parametrize(("verified", "code"), [("true", 1), ("false", 0)])
def test_an_unverified_reference_is_drawn_but_never_gates(tmp_path, verified, code):
    """The same failing potential: exit 1 by a verified reference; only the contract gates by the other."""
    own_reference(tmp_path, verified)
    mine = PARITY.replace("argon_lj", "mine")
    suite = suite_file(tmp_path, "lj-ar", TOO_DEEP, mine, tail="references: manifest.yaml\n")
    done = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    found = results(tmp_path / "out")["suites"]["parity"]["measurements"]
    force = next(m for m in found if m["id"] == "parity/force_mae")
    assert force["verdict"] == "FAIL"
    assert force["required"] == (verified == "true")
    assert done.returncode == code, done.stdout


def test_an_unverified_reference_of_one_suite_leaves_the_others_alone(tmp_path):
    own_reference(tmp_path, "false")
    mine = PARITY.replace("argon_lj", "mine")
    known = "  known: {use: parity, frames: {reference: argon_lj}}\n"
    suite = suite_file(tmp_path, "lj-ar", TOO_DEEP, mine + known, tail="references: manifest.yaml\n")
    assert mlipbench("run", suite, "--output", "out", cwd=tmp_path).returncode == 1
    found = results(tmp_path / "out")["suites"]
    required = {
        key: next(m["required"] for m in found[key]["measurements"] if m["id"] == f"{key}/force_mae")
        for key in ("parity", "known")
    }
    assert required == {"parity": False, "known": True}


def test_a_potential_that_changes_behind_our_back_is_noticed(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n"
        "from ase.calculators.lj import LennardJones\n"
        "def calculator():\n"
        "    depth = float((Path(__file__).parent / 'weights.txt').read_text())\n"
        "    return LennardJones(epsilon=depth, sigma=3.4, ro=7.0, rc=8.5, smooth=True)\n"
    )
    (tmp_path / "weights.txt").write_text("0.01034")
    suite = suite_file(tmp_path, "mine.py:calculator", suites=PARITY)
    assert mlipbench("run", suite, "--output", "out", cwd=tmp_path).returncode == 0
    first = verdicts(tmp_path / "out")
    (tmp_path / "weights.txt").write_text("0.01100")
    again = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert again.returncode == 74
    assert "answers differently" in again.stderr
    assert verdicts(tmp_path / "out") == first  # what was stored still stands
