"""Analysis of 100 ps of 192 atoms: g(r) of three pairs, spectra, mean squared displacements, density.

One stored trajectory with positions and velocities every 2 fs (50 000 frames, 440 MiB) serves all three
suites. `python tests/bench/test_bench_analysis.py` prints CPU seconds and the memory that measuring takes.
"""

from __future__ import annotations

import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

sys.path.insert(0, str(Path(__file__).parents[1] / "suites"))
from fakes import Fake
from test_suite_density import measure as density_of
from test_suite_density import planted

from mlipbench.core.potential import Identity
from mlipbench.core.structure import Structure
from mlipbench.core.suite import IntendedUse
from mlipbench.core.units import ACCELERATION, BOLTZMANN
from mlipbench.store.trajectories import TrajectoryStore
from mlipbench_suites.dynamics import Dynamics
from mlipbench_suites.rdf import RadialDistributions
from mlipbench_suites.vdos import Spectra

SECONDS, MEBIBYTES = 60.0, 400.0
TIMESTEP_FS, CHUNK, STRIDE = 0.5, 1000, 4
SIDE = 12.42
SUITES = (RadialDistributions, Spectra, Dynamics)
ASKED = {
    "structure": {"crystal": "fcc", "symbol": "O"},
    "ensemble": "velocity_rescaling",  # which all three can share
    "duration_ps": 100.0,
    "timestep_fs": TIMESTEP_FS,
}


class Named:
    """All that a store asks of a potential."""

    identity = Identity("planted", "0", True)


def liquid() -> Structure:
    """64 oxygen and 128 hydrogen atoms anywhere in a cube."""
    positions = np.random.default_rng(0).random((192, 3)) * SIDE
    return Structure.from_ase(Atoms("OH2" * 64, positions=positions, cell=SIDE * np.eye(3), pbc=True))


def stored(folder: Path, ps: float) -> Fake:
    """A planted walk of `ps` in a store, as a run would have left it."""
    fake = Fake(start=liquid(), potential=Named(), folder=folder, use=IntendedUse(300.0))
    fake.store = TrajectoryStore(folder)
    specs = [s().trajectories(s.Params(**{**ASKED, "duration_ps": ps}), fake)["run"] for s in SUITES]
    key = specs[0].key("0")
    assert {spec.key("0") for spec in specs} == {key}
    sink = fake.store.sink(key, specs[0])
    sink.prepare(specs[0].n_steps, STRIDE, frozenset(), CHUNK)
    rng = np.random.default_rng(1)
    s = fake.start
    width = np.sqrt(BOLTZMANN * 300 * ACCELERATION / s.masses)[:, None]
    x = s.positions.copy()
    for k in range(specs[0].n_steps // CHUNK):
        steps = k * CHUNK + np.arange(1 if k else 0, CHUNK + 1)
        frames, samples = steps[steps % STRIDE == 0], steps[steps % 10 == 0]
        v = width * rng.standard_normal((len(frames), len(s), 3))
        walk = x + np.cumsum(0.02 * rng.standard_normal((len(frames), len(s), 3)), axis=0)
        x = walk[-1]
        kinetic = 1.5 * BOLTZMANN * 300 * 191 * (1 + 0.06 * rng.standard_normal(len(samples)))
        zeros = np.zeros((len(samples), 3))
        chunk = {
            "steps": samples, "potential_energy": 6.0 - kinetic, "kinetic_energy": kinetic,
            "conserved": np.zeros(len(samples)), "temperature": kinetic / (1.5 * BOLTZMANN * 191),
            "closest_contact": np.ones(len(samples)), "momentum": zeros, "angular_momentum": zeros,
            "frame_steps": frames, "positions": walk, "velocities": v,
            "cells": np.repeat(s.cell[None], len(frames), axis=0),
        }  # fmt: skip
        sink.commit(int(steps[-1]), chunk, {}, {}, None)
    return fake


def measured(fake: Fake, ps: float) -> dict[str, float]:
    """CPU seconds that each suite takes to measure, which a busy machine does not change much."""
    taken = {}
    for suite in SUITES:
        params = suite.Params(**{**ASKED, "duration_ps": ps})
        fake.specs = suite().trajectories(params, fake)
        fake.arrays["curves"] = np.zeros((3, 0), dtype=str)
        begin = time.process_time()
        outcome = suite().measure(params, fake)
        taken[suite.name] = time.process_time() - begin
        assert outcome.figures, outcome.notes
    volumes = planted(ps=ps)  # of another system: the monitors' volume is all that is read
    begin = time.process_time()
    assert density_of(volumes)[0].figures
    return taken | {"density": time.process_time() - begin}


def memory(fake: Fake, ps: float) -> float:
    """Largest memory in use while measuring, MiB."""
    tracemalloc.start()
    measured(fake, ps)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return peak


@pytest.mark.bench
def test_analysis_of_100_ps_takes_less_than_a_minute(benchmark, tmp_path):
    fake = stored(tmp_path, 100.0)
    taken = benchmark.pedantic(measured, args=(fake, 100.0), rounds=1)
    benchmark.extra_info.update(taken)
    assert sum(taken.values()) < SECONDS


@pytest.mark.bench
def test_memory_does_not_grow_with_the_length(tmp_path):
    """Loaded whole, the frames alone take 440 MiB at 100 ps, and twice as much at 200 ps."""
    peaks = [memory(stored(tmp_path / f"{ps:g}", ps), ps) for ps in (25.0, 50.0)]
    assert max(peaks) < MEBIBYTES
    assert peaks[1] < 1.2 * peaks[0]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        run = stored(Path(scratch), 100.0)
        seconds = measured(run, 100.0)
        words = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
        print(f"{words}; together {sum(seconds.values()):.1f} s; peak {memory(run, 100.0):.0f} MiB")
