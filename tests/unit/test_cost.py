"""Counting what is left, the order of suites, and timing against a clock that only the potential moves."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from mlipbench.core.potential import Capabilities, Evaluation, Identity, Potential
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import (
    NVE,
    Langevin,
    MaxwellBoltzmann,
    StochasticCellRescaling,
    TrajectorySpec,
)
from mlipbench.potentials import contract
from mlipbench.potentials.analytic import lennard_jones_argon
from mlipbench.run import timed_store, timing
from mlipbench.run.cost import Estimate, Ledger, RunEstimate, Startup, Work, around, in_order
from mlipbench.run.timing import NOTHING, Spread, StepTime, Stopwatch
from mlipbench.simulate.driver import simulate
from mlipbench.simulate.requests import merge
from mlipbench.store.trajectories import TrajectoryStore

ARGON = Structure.from_ase(bulk("Ar", "fcc", 5.3, cubic=True))
STARTUP = Startup(process=0.0, potential=0.0)


def nvt(n_steps, temperature_K=30.0, frame_stride=0, structure=ARGON):
    start = MaxwellBoltzmann(temperature_K)
    return TrajectorySpec(
        structure, Langevin(temperature_K), 5.0, n_steps, start, seed=1, frame_stride=frame_stride
    )


def nve_after(prepared, n_steps):
    return TrajectorySpec(prepared.structure, NVE(), 5.0, n_steps, prepared, seed=1)


class FixedTimes:
    """A stopwatch that has made up its mind: a millisecond a step, a second a structure."""

    def step(self, members):
        return StepTime(Spread(1e-3, 0.9e-3, 1.2e-3), commit=0.01)

    def answers(self, structures, properties):
        return Spread(1.0, 1.0, 1.0).times(len(structures)) if structures else NOTHING


def ordered(works, folder):
    return in_order(works, TrajectoryStore(folder), FixedTimes(), STARTUP, "p")


def work(*specs, structures=(), **more):
    return Work(specs, structures, ("energy", "forces"), **more)


# ---------------------------------------------------------------- what is left
def test_preparation_and_what_goes_on_from_it_are_counted_once(tmp_path):
    prepared = nvt(400)
    cost = ordered({"nve": work(prepared, nve_after(prepared, 1000), nve_after(prepared, 600))}, tmp_path)
    # both runs have one key: they are one trajectory, as long as the longer
    assert cost["nve"].steps == 400 + 1000


def test_a_shared_trajectory_is_counted_for_the_first_suite_alone(tmp_path):
    cost = ordered({"long": work(nvt(5500)), "short": work(nvt(2500))}, tmp_path)
    assert list(cost) == ["short", "long"]
    assert cost["short"].steps == 2500
    # the last chunk of 1000 steps is not full, and is computed again: 2000 are there
    assert cost["long"].steps == 3500
    assert cost["long"].seconds == pytest.approx(3500 * 1e-3 + 4 * 0.01)


def test_the_order_is_by_cost_and_as_in_the_file_on_ties(tmp_path):
    works = {
        "b": work(nvt(900, 20.0)),
        "a": work(nvt(900, 25.0)),
        "dear": work(nvt(9000)),
        "cheap": work(structures=[ARGON] * 2, produced=True),
    }
    assert list(ordered(works, tmp_path)) == ["cheap", "b", "a", "dear"]


def test_a_suite_becomes_cheap_when_another_computes_its_trajectory(tmp_path):
    works = {
        "dear": work(nvt(9000), structures=[ARGON]),
        "other": work(nvt(8000, 20.0)),
        "twin": work(nvt(9000)),
    }
    cost = ordered(works, tmp_path)
    assert list(cost) == ["other", "twin", "dear"]
    assert cost["dear"].steps == 0
    assert cost["dear"].structures == 1


def test_what_is_stored_is_not_counted(tmp_path):
    potential = lennard_jones_argon()
    key = potential.identity.key
    simulate(potential, key, merge([nvt(1300, frame_stride=100)], (), key), TrajectoryStore(tmp_path))

    def left(*wanted):
        return [n for _, n in Ledger(TrajectoryStore(tmp_path), wanted, key).missing(wanted)]

    assert left(nvt(1300, frame_stride=100)) == []
    assert left(nvt(800, frame_stride=200)) == []
    assert left(nvt(3000, frame_stride=100)) == [2000]  # from the end of the last full chunk
    assert left(nvt(1300, frame_stride=50)) == [1300]  # finer frames: computed again
    next(tmp_path.glob("*/chunk-00000.npz")).unlink()
    assert left(nvt(1300, frame_stride=100)) == [1300]


def test_stored_answers_and_produced_suites_are_not_counted(tmp_path):
    works = {
        "half": work(structures=[ARGON] * 40, evaluated=32),
        "done": work(nvt(500), structures=[ARGON] * 40, produced=True),
    }
    cost = ordered(works, tmp_path)
    assert cost["half"].structures == 8
    assert cost["half"].seconds == pytest.approx(8.0)
    assert (cost["done"].steps, cost["done"].structures, cost["done"].seconds) == (0, 0, 0.0)


# ---------------------------------------------------------------- the sum
def test_totals_and_ranges_add_and_survive_json(tmp_path):
    before, after = around(2, Startup(1.0, 2.0), Spread(0.5, 0.4, 0.8), timing_s=3.0)
    cost = RunEstimate(before, ordered({"a": work(nvt(900)), "b": work(nvt(2000, 20.0))}, tmp_path), after)
    assert cost.total.steps == 2900
    parts = [before, *cost.suites.values(), after]
    assert cost.total.seconds == pytest.approx(sum(part.seconds for part in parts))
    assert cost.total.low < cost.total.seconds < cost.total.high
    again = RunEstimate.of_plain(json.loads(json.dumps(cost.plain())))
    assert again == cost
    assert list(again.suites) == list(cost.suites)
    assert Estimate(**cost.plain()["total"]) == cost.total


# ---------------------------------------------------------------- timing
class Clock:
    """Stands in for the module `time`: only potentials move it."""

    now = 0.0

    def perf_counter(self):
        return self.now


class Costly(Potential):
    """No forces, `cost` seconds an atom and replica on the clock."""

    capabilities = Capabilities(frozenset({"energy", "forces"}))
    identity = Identity("costly", "0", True)

    def __init__(self, clock, cost, broken_after=None):
        self.clock, self.cost, self.calls, self.broken_after = clock, cost, 0, broken_after

    def evaluate(self, structures, properties=("energy", "forces")):
        self.calls += len(structures)
        self.clock.now += self.cost * sum(len(s) for s in structures)
        value = np.nan if self.broken_after is not None and self.calls > self.broken_after else 0.0
        return [Evaluation(value, np.zeros((len(s), 3))) for s in structures]


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (timing, timed_store):
        monkeypatch.setattr(module, "time", clock)
    return clock


def requests(*specs):
    return merge(specs, (), "0")


def test_a_step_costs_what_the_potential_takes_for_a_replica(clock):
    watch = Stopwatch(Costly(clock, 1e-3))
    timed = watch.step(requests(nvt(5000, 20.0), nvt(5000, 30.0)))
    # 4 atoms, and the clock never varies: an evaluation counted once too often would show in the extremes
    assert timed.step.seconds == pytest.approx(4e-3)
    assert timed.step.low == pytest.approx(timed.step.high)
    assert timed.commit == 0.0  # the clock stands still while files are written


class CostlyToBind(Costly):
    """Half a second on the clock whenever it is bound."""

    def bind(self, structure, n_replicas):
        self.clock.now += 0.5
        return super().bind(structure, n_replicas)


def test_binding_is_paid_once_a_chunk_not_in_every_step(clock):
    """The short runs that are timed bind as often as a thousand steps do: left in, a step of 4 ms would seem
    to take 30. Two replicas share what binding costs."""
    timed = Stopwatch(CostlyToBind(clock, 1e-3)).step(requests(nvt(5000, 20.0), nvt(5000, 30.0)))
    assert timed.step.seconds == pytest.approx(4e-3)
    assert timed.commit == pytest.approx(0.25)


def test_a_slow_potential_is_asked_twice_and_no_dynamics_is_run(clock):
    potential = Costly(clock, 1.0)
    watch = Stopwatch(potential)
    three = requests(nvt(5000, 20.0), nvt(5000, 30.0), nvt(5000, 40.0))
    assert watch.step(three).step.seconds == pytest.approx(4.0)
    assert watch.step(requests(nve_after(nvt(10), 700))).step.seconds == pytest.approx(4.0)
    assert potential.calls == 2


def test_moves_of_the_cell_are_counted(clock):
    """A move every 10 steps is one evaluation more, with stress; also of a potential too slow to be run."""
    barostat = StochasticCellRescaling(Langevin(30.0), 1.0, 1.0, stride=10)
    npt = replace(nvt(5000), ensemble=barostat)
    fast, slow = Pressing(clock, 1e-3), Pressing(clock, 1.0)
    assert Stopwatch(fast).step(requests(npt)).step.seconds == pytest.approx(4.4e-3, rel=0.03)
    assert Stopwatch(slow).step(requests(npt)).step.seconds == pytest.approx(4.4)
    assert (slow.calls, slow.stresses) == (2, 2)


class Pressing(Costly):
    """The same with a stress."""

    capabilities = Capabilities(frozenset({"energy", "forces", "stress"}))
    stresses = 0

    def evaluate(self, structures, properties=("energy", "forces")):
        asked = "stress" in properties
        self.stresses += len(structures) * asked
        answers = super().evaluate(structures, properties)
        return [replace(a, stress=np.zeros((3, 3)) if asked else None) for a in answers]


def test_a_potential_that_breaks_off_has_an_estimate_all_the_same(clock):
    timed = Stopwatch(Costly(clock, 1e-3, broken_after=4)).step(requests(nvt(5000)))
    assert timed.step.seconds == pytest.approx(4e-3, rel=0.5)


def test_structures_between_the_timed_sizes_are_interpolated(clock):
    potential = Costly(clock, 1e-2)
    frames = [ARGON.from_ase(bulk("Ar", "fcc", 5.3) * (n, 1, 1)) for n in range(1, 31)]
    total = Stopwatch(potential).answers(frames, ("energy",))
    assert total.seconds == pytest.approx(1e-2 * sum(range(1, 31)))  # linear in the size
    assert potential.calls <= timing.MOST_SIZES * (timing.ROUNDS + 1)


class Counted(Potential):
    """Argon; replicas are asked about one by one, and counted as such."""

    argon = lennard_jones_argon()
    capabilities, identity = argon.capabilities, argon.identity
    calls = 0

    def evaluate(self, structures, properties=("energy", "forces")):
        self.calls += len(structures)
        return self.argon.evaluate(structures, properties)


@pytest.mark.parametrize("periodic", [True, False])
def test_the_contract_asks_as_often_as_is_counted(periodic):
    potential = Counted()
    atoms = bulk("Ar", "fcc", 5.3)
    if not periodic:
        atoms = atoms * (2, 2, 2)
        atoms.pbc = False
    structures = [Structure.from_ase(atoms)]
    contract.check(potential, structures, seed=0)
    (probe,) = contract.probes(structures)
    assert potential.calls == contract.n_evaluations(probe, potential.capabilities.properties)
