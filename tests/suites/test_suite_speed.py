"""The suite `speed`: planted times, and that nothing gates unless the suite file sets a limit."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from fakes import Fake, run

from mlipbench.core.criterion import Verdict
from mlipbench.core.speed import SizeSpeed, Speed
from mlipbench.core.structure import Structure
from mlipbench.core.suite import IntendedUse
from mlipbench.run.verdicts import Terms, judge_suite
from mlipbench_suites.speed import SpeedSuite

ROUNDS = np.array([1.0, 1.02, 0.98, 1.01, 0.99])
SPEED = Speed(
    name="x",
    dtype="float64",
    device="cpu",
    threads="2",
    loaded_MB=300.0,
    sizes=[
        SizeSpeed(192, (1, 1, 1), 8.0 * ROUNDS, 20.0),
        SizeSpeed(1536, (2, 2, 2), 64.0 * ROUNDS, 160.0),
        SizeSpeed(12288, (4, 4, 4), np.zeros(0), None, "a call would take about 90 s"),
    ],
    step_ms=8.2 * ROUNDS,
    inside_ms=8.0 * ROUNDS,
    single_ms=8.0 * ROUNDS,
    batch_ms=4.0 * ROUNDS,
    replicas=4,
)


class Timed(Fake):
    def speed(self, request):
        self.asked = request
        return self.found


def measured(found=SPEED, **params):
    fake = Timed(start=Structure.from_ase(bulk("Si", cubic=True, a=5.43)), use=IntendedUse(250.0))
    fake.found = found
    outcome, m = run(SpeedSuite, fake, structure={"crystal": "diamond", "symbol": "Si"}, **params)
    return fake, outcome, m


def test_planted_times_are_found():
    """Oracle: 8 ms for 192 atoms, growing linearly, 2.5 % of overhead, a batch twice as fast."""
    fake, outcome, m = measured(timestep_fs=1.0, replicas=4)
    assert fake.asked.temperature_K == 250.0
    assert fake.asked.sizes == (192, 1000, 10_000)
    assert m["evaluation_time@atoms=192"].value == pytest.approx(8.0)
    assert m["evaluation_time@atoms=192"].stderr == pytest.approx(0.083 * 8 / 8, rel=0.2)
    assert m["time_per_atom@atoms=1536"].value == pytest.approx(64e3 / 1536)
    assert m["time_exponent"].value == pytest.approx(1.0)
    assert m["ns_per_day"].value == pytest.approx(86.4 / 8.2)
    assert m["md_overhead"].value == pytest.approx(2.5)
    assert m["batch_gain"].value == pytest.approx(2.0)
    assert m["peak_memory@atoms=1536"].value == 160.0
    assert "Left out: 12288 atoms: a call would take about 90 s." in outcome.notes


def test_dynamics_that_broke_off_has_no_speed():
    empty = np.zeros(0)
    _, _, m = measured(replace(SPEED, step_ms=empty, inside_ms=empty, batch_ms=empty, single_ms=empty))
    assert m["ns_per_day"].value is None
    assert "md_overhead" not in m
    assert "batch_gain" not in m


def judged(limits):
    _, outcome, _ = measured(timestep_fs=1.0)
    terms = Terms(IntendedUse(250.0), frozenset({"energy", "forces"}), limits)
    return {j.id: j for j in judge_suite("speed", outcome.measurements, SpeedSuite.criteria, terms)}


def test_nothing_gates_by_itself():
    found = judged({})
    assert not any(j.required for j in found.values())
    assert found["speed/ns_per_day"].verdict is None
    assert found["speed/md_overhead"].verdict == Verdict.PASS


@pytest.mark.parametrize(("limit", "verdict"), [(10.0, Verdict.PASS), (11.0, Verdict.FAIL)])
def test_a_limit_of_the_suite_file_gates(limit, verdict):
    found = judged({"ns_per_day": limit})["speed/ns_per_day"]
    assert found.required
    assert found.verdict == verdict
    assert found.default_limit is None
