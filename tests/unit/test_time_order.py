"""Shuffled frames put back in order, stretches of them held out, parts of a reference set.

Oracle of the order: the one in which the runs were made. It is found up to its direction.
"""

import hashlib

import numpy as np
import pytest

from mlipbench.analysis.time_order import time_order
from mlipbench.core.errors import DataError
from mlipbench.core.suite import FramesRef
from mlipbench.data.parts import read_parts
from mlipbench.data.references import Manifest, update_manifest
from mlipbench.data.splits import contiguous
from mlipbench.data.structures import resolve_frames

TRICLINIC = np.array([[9.0, 0.0, 0.0], [3.0, 8.0, 0.0], [-2.0, 1.5, 10.0]])


def brownian(rng, n_frames=150, n_atoms=64):
    """Independent steps of 0.12 A."""
    start = rng.random((n_atoms, 3)) @ TRICLINIC
    return start + np.cumsum(0.12 * rng.standard_normal((n_frames, n_atoms, 3)), axis=0)


def inertial(rng, n_frames=150, n_atoms=64):
    """Particles that remember their velocity for 30 fs, looked at after uneven times of 5 to 25 fs."""
    positions, x = [], rng.random((n_atoms, 3)) @ TRICLINIC
    v = 0.005 * rng.standard_normal((n_atoms, 3))
    kept = np.exp(-1 / 30)
    for steps in rng.integers(5, 26, n_frames):
        for _ in range(steps):
            v = kept * v + 0.005 * np.sqrt(1 - kept**2) * rng.standard_normal(v.shape)
            x = x + v
        positions.append(x)
    return np.array(positions)


@pytest.mark.parametrize("run", [brownian, inertial])
def test_a_shuffled_run_is_put_back_in_order(run):
    """Atoms are wrapped into a skewed cell: wrong images, or a transposed cell, break the chain."""
    rng = np.random.default_rng(4)
    made = run(rng)
    fractional = made @ np.linalg.inv(TRICLINIC)
    shuffled = rng.permutation(len(made))
    order = time_order(((fractional - np.floor(fractional)) @ TRICLINIC)[shuffled], TRICLINIC)
    in_time = shuffled[order]
    assert in_time.tolist() in (list(range(len(made))), list(range(len(made)))[::-1])


def test_held_out_blocks_are_contiguous_and_keep_their_distance():
    order = np.random.default_rng(0).permutation(40)
    place = {int(n): k for k, n in enumerate(order)}
    train, valid, test = contiguous(order, 8, valid=[7], test=[2, 3], gap=2)
    places = [[place[n] for n in part] for part in (train, valid, test)]
    assert places[1:] == [list(range(35, 40)), list(range(10, 20))]
    assert places[0] == [*range(8), *range(22, 33)]


ENTRY = """\
references:
  run:
    title: three frames
    kind: frames
    file: run.extxyz
    sha256: null
    units: {energy: eV}
    level_of_theory: LJ
    licence: MIT
    source: a test
    verified: true
    parts:
      file: parts.csv
      sha256: null
"""
PARTS = "# made here\nframe,part,trajectory\n2,train,a\n0,train,a\n1,test,b\n"


@pytest.fixture
def folder(tmp_path):
    frame = '1\nProperties=species:S:1:pos:R:3 config_type=liquid energy={} pbc="F F F"\nAr 0 0 0\n'
    (tmp_path / "run.extxyz").write_text("".join(frame.format(-float(n)) for n in range(3)))
    (tmp_path / "parts.csv").write_text(PARTS)
    (tmp_path / "manifest.yaml").write_text(ENTRY)
    update_manifest(tmp_path)
    return tmp_path


def test_parts_are_the_config_types_of_their_frames(folder):
    manifest = Manifest.load(folder)
    assert [(f.energy, f.config_type, f.trajectory) for f in manifest.frames("run")] == [
        (0.0, "train", "a"),
        (-1.0, "test", "b"),
        (-2.0, "train", "a"),
    ]
    assert [f.trajectory for f in manifest.frames("run", "1")] == ["b"]  # numbers are those of the whole set
    chosen = resolve_frames(FramesRef(reference="run", config_types=("test",)), folder, manifest)
    assert [f.energy for f in chosen] == [-1.0]
    assert [m.frame for m in read_parts(folder / "parts.csv")] == [2, 0, 1]


def test_parts_are_hashed(folder):
    text = (folder / "manifest.yaml").read_text()
    assert hashlib.sha256(PARTS.encode()).hexdigest() in text
    (folder / "parts.csv").write_text(PARTS.replace("1,test", "1,train"))
    with pytest.raises(DataError, match=r"not the parts of reference 'run' \(sha256 expected"):
        Manifest.load(folder).frames("run")
    assert [change.split(":")[0] for change in update_manifest(folder)] == ["run"]
    assert {f.config_type for f in Manifest.load(folder).frames("run")} == {"train"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("frame,part\n", "expected the columns frame,part,trajectory"),
        ("frame,part,trajectory\n0,train\n", "parts.csv:2: expected frame,part,trajectory"),
        ("frame,part,trajectory\n0,train,a\n0,test,a\n", "parts.csv:3: frame 0 is named twice"),
        (
            "frame,part,trajectory\n0,train,a\n1,test,a\n",
            "names 2 frames up to number 1; expected each of the 3",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(folder, text, said):
    (folder / "parts.csv").write_text(text)
    update_manifest(folder)
    with pytest.raises(DataError, match=said):
        Manifest.load(folder).frames("run")
