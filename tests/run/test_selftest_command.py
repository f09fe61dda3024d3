"""`mlipbench selftest`: what it says of a defect that is found, one that is not, and a sound potential."""

import inspect
import json

import pytest
from support import mlipbench

from mlipbench.potentials import faulty, faulty_process, faulty_symmetry
from mlipbench.run import selftest


def test_every_broken_potential_has_a_case():
    """Whoever adds a broken potential adds it here too."""
    there = {
        name
        for module in (faulty, faulty_process, faulty_symmetry)
        for name, thing in vars(module).items()
        if (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module.__name__
        and not name.startswith("_")
    } - {"Faulty", "Sum"}
    assert there == {case.use.rpartition(":")[2] for case in selftest.CASES} - {selftest.BASE}


def test_a_defect_is_found_and_a_sound_potential_passes(tmp_path):
    done = mlipbench(
        "selftest", "--case", "sound", "--case", "energy_offset", "--case", "trained_on_the_test_set",
        "--suite", "parity", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    matrix = json.loads(done.stdout)["matrix"]
    assert {f["mark"] for f in matrix["sound"].values()} == {"passed"}
    assert matrix["energy_offset"]["parity"]["mark"] == "found"
    assert "energy_mae" in matrix["energy_offset"]["parity"]["criteria"]
    assert "leaked_frames" in matrix["trained_on_the_test_set"]["parity"]["criteria"]


def test_a_defect_that_nothing_finds_is_a_fault_of_the_bench(tmp_path):
    done = mlipbench("selftest", "--case", "not_extensive", "--suite", "nve", "--keep", "kept", cwd=tmp_path)
    assert done.returncode == 1
    assert "wrong: not_extensive is found by nothing" in done.stdout
    assert (tmp_path / "kept" / "not_extensive" / "run" / "results.json").is_file()


def test_a_process_that_dies_is_found(tmp_path):
    done = mlipbench("selftest", "--case", "kills_the_interpreter", "--suite", "parity", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "ERROR" in done.stdout


def test_a_sound_potential_that_fails_is_a_fault_of_the_bench():
    matrix = {"sound": {"parity": selftest.Found("advised", ("force_r2",))}}
    assert selftest.verdict(matrix) == ["sound fails parity: force_r2"]


@pytest.mark.parametrize(("option", "words"), [("--case", "no case is called"), ("--suite", "no suite")])
def test_unknown_names_are_refused(tmp_path, option, words):
    done = mlipbench("selftest", option, "nonsense", cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
