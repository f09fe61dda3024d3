"""Processes killed by SIGKILL at random moments leave a store that goes on bit for bit."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.physics

SCRIPT = """
import sys
from pathlib import Path
from ase.build import bulk
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import NVE, Langevin, MaxwellBoltzmann, StochasticCellRescaling, TrajectorySpec
from mlipbench.core.trajectory import VelocityRescaling
from mlipbench.potentials.analytic import lennard_jones_argon
from mlipbench.simulate.driver import simulate
from mlipbench.simulate.requests import merge
from mlipbench.store.trajectories import TrajectoryStore

argon = Structure.from_ase(bulk("Ar", "fcc", 5.4, cubic=True) * (2, 2, 2))
specs = []
for seed in (1, 2):
    before = TrajectorySpec(argon, Langevin(80.0), 4.0, 333, MaxwellBoltzmann(80.0), seed, frame_stride=5)
    bussi = TrajectorySpec(argon, VelocityRescaling(80.0), 4.0, 411, before, seed, frame_stride=3)
    barostat = StochasticCellRescaling(Langevin(80.0), 100.0, 1.0, relaxation_fs=400.0, cell="full")
    specs.append(TrajectorySpec(argon, barostat, 4.0, 333, before, seed, frame_stride=7))
    specs += [before, bussi, TrajectorySpec(argon, NVE(), 4.0, 500, before, seed, frame_stride=10)]
store = TrajectoryStore(Path(sys.argv[1]))
print("ready", flush=True)
simulate(lennard_jones_argon(), "p", merge(specs, [], "p"), store, chunk_steps=40)
"""


def start(folder):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process):
    assert process.wait(timeout=300) == 0
    process.stdout.close()


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_sigkill_at_random_moments(tmp_path):
    begin = time.monotonic()
    finish(start(tmp_path / "whole"))
    length = time.monotonic() - begin
    moments, kills = random.Random(5), 0
    while kills < 12:
        process = start(tmp_path / "broken")
        time.sleep(moments.uniform(0.0, 0.12 * length))
        if process.poll() is not None:  # it was done before the kill came
            process.stdout.close()
            break
        process.kill()
        process.wait()
        process.stdout.close()
        kills += 1
    finish(start(tmp_path / "broken"))
    assert kills >= 5
    assert files(tmp_path / "broken") == files(tmp_path / "whole")
