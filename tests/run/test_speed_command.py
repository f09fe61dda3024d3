"""`mlipbench speed` and the suite `speed`: real processes; times are looked at for sense, never for size."""

import json

import numpy as np
import pytest
from ase.build import bulk
from support import mlipbench

from mlipbench.core.errors import PotentialError
from mlipbench.core.speed import SizeSpeed, SpeedRequest
from mlipbench.core.structure import Structure
from mlipbench.run import speed

MODULE = """
import os, time
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

class Slow(Calculator):
    implemented_properties = ["energy", "forces"]
    def __init__(self, ms=0.0, megabytes=0, most=10**9):
        super().__init__()
        self.ms, self.megabytes, self.most = ms, megabytes, most
        print("a calculator that talks")
    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        if len(atoms) > self.most:
            os._exit(9)
        held = np.ones(self.megabytes * 125_000)  # in the first call: filling takes time
        self.megabytes = 0
        time.sleep(1e-3 * self.ms)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}

def slow(ms=0.0, megabytes=0, most=10**9):
    return Slow(ms, megabytes, most)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "slow.py").write_text(MODULE)
    bulk("Si", cubic=True, a=5.43).write(tmp_path / "si.xyz", format="extxyz")
    return tmp_path


def test_two_potentials_in_turn(folder):
    """Oracle: calls that sleep 12 and 3 ms and hold 80 and 10 MB. Busy machines sleep longer, so bounds are
    wide; a ratio upside down, calls that are not counted or memory of the wrong process would be noticed."""
    done = mlipbench(
        "speed", "slow.py:slow", "--kwargs", "{ms: 3, megabytes: 10}",
        "--temperature-K", "1",
        "--against", "slow.py:slow", "--against-kwargs", '{"ms": 12, "megabytes": 80}',
        "--structure", "si.xyz", "--sizes", "8,16", "--rounds", "3", "--json", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["date"]
    assert found["processor"]
    ours, theirs = found["potentials"]["potential"], found["potentials"]["against"]
    assert [s["atoms"] for s in ours["sizes"]] == [8, 16]
    assert all(min(s["rounds_ms"]) >= 3 for s in ours["sizes"])
    assert all(min(s["rounds_ms"]) >= 12 for s in theirs["sizes"])
    assert all(1.5 < r["median"] < 6 for r in found["against/potential"].values())
    assert ours["sizes"][0]["peak_memory_MB"] < 60
    assert theirs["sizes"][0]["peak_memory_MB"] > 79
    assert ours["step_ms"]["median"] >= 3
    assert ours["ns_per_day"]["median"] < 86400e-6 * 0.5 / 3e-3 * 1.001
    assert 0 < ours["overhead_percent"]["median"] < 100
    assert 0.5 < ours["batch_gain"]["median"] < 2  # an ASE calculator gains nothing


def test_a_size_that_kills_is_left_out(folder):
    source = speed.Source("slow.py:slow", {"most": 8}, folder)
    structure = Structure.from_ase(bulk("Si", cubic=True, a=5.43))
    request = SpeedRequest(structure, sizes=(8, 64), rounds=3, replicas=1, temperature_K=1.0)
    found = speed.measure({"slow": source}, request)["slow"]
    assert len(found.sizes[0].call_ms) == 3
    assert len(found.sizes[1].call_ms) == 0
    assert "ended with status 9" in found.sizes[1].note
    assert len(found.step_ms) == 3
    assert len(found.batch_ms) == 0


def test_a_size_that_needs_too_much_is_not_tried():
    small = SizeSpeed(1000, (5, 5, 5), np.array([100.0]), 50.0)
    assert speed._too_large(small, (10, 10, 10)) == ""
    assert "would take about 800 s" in speed._too_large(small, (100, 100, 100))
    hungry = SizeSpeed(1000, (5, 5, 5), np.array([1.0]), 1e6)
    assert "of memory" in speed._too_large(hungry, (10, 10, 10))


def test_a_potential_that_fails_says_why(folder):
    source = speed.Source("slow.py:slow", {"most": 1}, folder)
    structure = Structure.from_ase(bulk("Si", cubic=True, a=5.43))
    with pytest.raises(PotentialError, match="ended with status 9"):
        speed.measure({"slow": source}, SpeedRequest(structure, sizes=(8,), rounds=3))
    with pytest.raises(PotentialError, match="InputError: no potential is registered as 'sw-so'"):
        speed.measure({"x": speed.Source("sw-so", {}, folder)}, SpeedRequest(structure, sizes=(8,), rounds=3))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--kwargs", "{a: ["), "neither YAML nor JSON"),
        (("--kwargs", "3"), "expected names with values"),
        (("--sizes", "many"), "expected numbers of atoms"),
        (("--against-kwargs", "{a: 1}"), "it names none"),
    ],
)
def test_wrong_arguments_are_named(folder, arguments, words):
    done = mlipbench("speed", "sw-si", "--structure", "si.xyz", *arguments, cwd=folder)
    assert done.returncode == 2
    assert words in done.stderr


def test_tables_for_people(folder):
    done = mlipbench(
        "speed",
        "sw-si",
        "--structure",
        "si.xyz",
        "--sizes",
        "8",
        "--rounds",
        "3",
        "--replicas",
        "1",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "ns/day at 0.5 fs" in done.stdout
    assert "Stillinger-Weber" in done.stdout
