"""The command line of the audit: exit codes, table, JSON, and files that cannot be read."""

import json

import numpy as np
import pytest
from audit_sets import alloy, written
from support import mlipbench


def test_a_sound_set_exits_with_0_and_says_what_it_covers(tmp_path):
    path = written(tmp_path, alloy())
    done = mlipbench("audit", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0 errors, 0 warnings" in done.stdout
    assert "Au-Au" in done.stdout  # closest contacts


def test_an_error_exits_with_1_and_names_cause_and_remedy(tmp_path):
    frames = alloy()
    for a in frames:
        a.arrays["REF_forces"] /= -1
    done = mlipbench("audit", written(tmp_path, frames), cwd=tmp_path)
    assert done.returncode == 1
    assert "ERROR forces.sign" in done.stdout
    assert "change the sign of the forces" in done.stdout


def test_a_warning_exits_with_1_only_if_strict(tmp_path):
    path = written(tmp_path, alloy()[:-1])  # without the isolated atom of gold
    assert mlipbench("audit", path, cwd=tmp_path).returncode == 0
    assert mlipbench("audit", path, "--strict", cwd=tmp_path).returncode == 1
    assert mlipbench("audit", path, "--strict", "--e0s", "Au=3.8", cwd=tmp_path).returncode == 0


def test_json_is_the_report(tmp_path):
    path = written(tmp_path, alloy())
    test = written(tmp_path, alloy()[3:4], "held_out.extxyz")
    done = mlipbench("audit", path, "--test", test, "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["findings"][0]["id"] == "leaks.duplicates"
    assert report["findings"][0]["where"] == [{"file": "held_out.extxyz", "frames": [0], "count": 1}]
    assert report["test"]["files"] == {"held_out.extxyz": 1}


def test_labels_under_other_names_are_named(tmp_path):
    frames = alloy()
    for a in frames:
        a.info["e_total_pbe"] = a.info.pop("REF_energy")
    path = written(tmp_path, frames)
    done = mlipbench("audit", path, "--keys", "energy=e_total_pbe", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["train"]["labels"]["energy"] == 62


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("hello\n", (), "expected the number of atoms"),
        (None, (), "no such file"),
        ("1\nenergy=1\nAr 0 0 0\n", ("--e0s", "Ar=two"), "not a number"),
        ("1\nenergy=1\nAr 0 0 0\n", ("--e0s", "Xx=2"), "not an element"),
        ("1\nenergy=1\nAr 0 0 0\n", ("--keys", "energy=e"), "no frame has 'e' for energy"),
        ("1\nenergy=1\nAr 0 0 0\n", ("--keys", "charge=q"), "unknown label 'charge'"),
    ],
)
def test_what_cannot_be_read_exits_with_2_and_one_message(text, arguments, message, tmp_path):
    path = tmp_path / "bad.xyz"
    if text is not None:
        path.write_text(text)
    done = mlipbench("audit", path, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_every_bad_frame_is_listed_not_the_first_alone(tmp_path):
    frames = alloy()
    for i in (4, 9):
        frames[i].arrays["REF_forces"][0, 0] = np.nan
    done = mlipbench("audit", written(tmp_path, frames), cwd=tmp_path)
    assert done.returncode == 1
    assert "2 frames: 4, 9" in done.stdout
