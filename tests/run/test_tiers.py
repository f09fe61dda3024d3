"""Tiers, the order of suites, --fail-fast and the estimate, through the command line."""

import hashlib
import json
from pathlib import Path

import pytest
from support import NVE, PARITY, checklist, mlipbench, results, suite_file, verdicts

from mlipbench.run import session
from mlipbench.run.cost import Estimate, RunEstimate
from mlipbench.run.process import Ending

STABILITY = """  stability:
    structure: {crystal: fcc, symbol: Ar, lattice_A: 5.30, repeat: [2, 2, 2]}
    timestep_fs: 5
    duration_ps: 20
"""
COUNTING = """
import os, sys
from mlipbench.api import Potential
from mlipbench.potentials.analytic import lennard_jones_argon

class Counting(Potential):
    argon = lennard_jones_argon()
    capabilities, identity = argon.capabilities, argon.identity

    def evaluate(self, structures, properties=("energy", "forces")):
        return self.argon.evaluate(structures, properties)

    def bind(self, structure, n_replicas):
        bound = self.argon.bind(structure, n_replicas)

        def counted(positions, cells, stress):
            if "suite" in sys.argv:  # neither the contract check nor the timing
                with open(os.environ["COUNTS"], "a") as file:
                    file.write(f"{sys.argv[-1]} {n_replicas}\\n")
            return bound(positions, cells, stress)

        return counted
"""
TIERS = ("screen", "standard", "full")
FAILING = "limits: {parity/force_mae: {limit: 0.05, reason: tightened to show a failure}}\n"
BOTH_FAILING = FAILING.replace("}}", "}, again/force_mae: {limit: 0.05, reason: tightened as well}}")
WAIVER = """waivers:
  - {criterion: parity/force_mae, reason: known and accepted for this test, expires: 2999-01-01}
"""


def stored(run: Path) -> dict[str, str]:
    """sha256 of results.json and of every file of trajectories and arrays that a reader goes by."""
    files = [run / "results.json", *run.glob("trajectories/*/*"), *run.glob("suites/*/arrays/*")]
    return {str(f.relative_to(run)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    """A run taken from screen over standard to full, and one that is full at once.

    Folder; replica steps by tier (None: at once) and suite; verdicts by tier; results.json by tier.
    """
    folder = tmp_path_factory.mktemp("climbed")
    (folder / "mine.py").write_text(COUNTING)
    suite = suite_file(folder, "mine.py:Counting", suites=NVE.format(ps=20) + STABILITY + PARITY)
    steps, judged, found = {}, {}, {}
    for tier in (*TIERS, None):
        output, counts = "out" if tier else "direct", folder / f"counts-{tier}.txt"
        done = mlipbench(
            "run", suite, "--tier", tier or "full", "--output", output, cwd=folder, COUNTS=str(counts)
        )
        assert done.returncode == 3, done.stdout + done.stderr
        lines = [line.split() for line in counts.read_text().splitlines()]
        steps[tier] = {key: sum(int(n) for k, n in lines if k == key) for key in ("nve", "stability")}
        judged[tier], found[tier] = verdicts(folder / output), results(folder / output)
        if tier == "screen":
            page = (folder / output / "report.html").read_text() + (
                folder / output / "checklist.md"
            ).read_text()
            assert page.count("screen") >= 2
    return folder, steps, judged, found


def test_a_higher_tier_extends_what_a_lower_one_has_computed(climbed):
    """Force evaluations counted: one a step, and one more where a trajectory begins."""
    _, steps, _, _ = climbed
    # screen: two runs of 2 ps at 5 fs. standard: of 10 ps, from the start, since 400 steps fill no chunk of
    # 1000. full: of 20 ps, from 10 ps on.
    assert steps["screen"]["stability"] == 2 * (400 + 1)
    assert steps["standard"]["stability"] == 2 * (2000 + 1)
    assert steps["full"]["stability"] == 2 * 2000
    assert steps[None]["stability"] == 2 * (4000 + 1)
    # The preparation (2 ps) and the run at half the step (2 ps at 2.5 fs) are the same at every tier.
    assert steps["screen"]["nve"] == (400 + 1) + (400 + 1) + (800 + 1)
    assert steps["standard"]["nve"] == 2000 + 1
    assert steps["full"]["nve"] == 2000


def test_a_tier_is_the_same_bit_for_bit_however_it_was_reached(climbed):
    folder, _, _, found = climbed
    assert found["full"] == found[None]
    assert stored(folder / "out") == stored(folder / "direct")


def test_the_tier_is_in_the_results(climbed):
    assert [climbed[3][tier]["tier"] for tier in TIERS] == list(TIERS)


def test_no_tier_passes_what_demands_more(climbed):
    """50 and 100 ps are demanded, 20 there at most; parity demands frames, which no tier takes away."""
    _, _, judged, _ = climbed
    for tier in TIERS:
        assert judged[tier]["nve/drift@30K"] == "INCONCLUSIVE"
        assert judged[tier]["nve/failures@30K"] == "INCONCLUSIVE"
        assert judged[tier]["stability/failures@30K"] == "INCONCLUSIVE"
        assert judged[tier]["stability/failures@45K"] == "INCONCLUSIVE"
        assert judged[tier]["parity/force_mae"] == "PASS"


@pytest.mark.parametrize("order", [("b", "a", "c"), ("c", "b", "a")])
def test_suites_run_in_the_order_of_the_estimate_and_are_reported_as_in_the_file(
    tmp_path, monkeypatch, order
):
    """What is the cheapest is tested with a clock that stands (tests/unit/test_cost.py)."""
    estimate = RunEstimate(Estimate(), {key: Estimate(seconds=n) for n, key in enumerate(order)}, Estimate())

    def tell_the_estimate(arguments, log, stall_s, memory_GB, on_message, held):
        on_message({"estimate": estimate.plain()})
        return Ending("no worker in this test")

    monkeypatch.setattr(session, "run_child", tell_the_estimate)
    suites = "".join(
        PARITY.replace("parity:", f"{key}:").replace("{frames", "{use: parity, frames") for key in "abc"
    )
    done = mlipbench("run", suite_file(tmp_path, suites=suites), "--output", "out", cwd=tmp_path)
    ended = [line.split(":")[0] for line in done.stdout.splitlines() if ": ERROR: " in line]
    assert ended[:4] == ["contract", *order]
    assert list(results(tmp_path / "out")["suites"]) == ["contract", "a", "b", "c"]


def test_a_plan_counts_only_what_is_left(climbed):
    folder = climbed[0]

    def planned(output):
        done = mlipbench(
            "plan", folder / "small.yaml", "--output", output, "--json", cwd=folder, COUNTS="/dev/null"
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    fresh, rest = planned("nothing-there"), planned("out")
    # nve 400 + 4000 + 800, stability 2 x 4000; the 48 frames of parity
    assert {key: cost["steps"] for key, cost in fresh["suites"].items()} == {
        "parity": 0,
        "nve": 5200,
        "stability": 8000,
    }
    assert fresh["total"]["structures"] == 48
    assert fresh["total"]["low"] < fresh["total"]["seconds"] < fresh["total"]["high"]
    assert rest["total"]["steps"] == rest["total"]["structures"] == 0
    assert not (folder / "nothing-there").exists()


def test_estimate_and_time_taken_are_kept_apart_from_the_results(climbed):
    folder, _, _, found = climbed
    timings = json.loads((folder / "direct" / "timings.json").read_text())
    whole = timings["whole run"]
    assert whole["at least"] < whole["estimated"] < whole["at most"]
    assert whole["taken"] > sum(timings[key] for key in ("contract", "nve", "stability", "parity"))
    assert set(timings["estimates"]) == {"nve", "stability", "parity"}
    assert "estimated" not in json.dumps(found["full"])
    assert "whole run" in (folder / "direct" / "report.html").read_text()


# ---------------------------------------------------------------- a screen can fail
def test_a_screen_can_fail(tmp_path):
    """A potential that leaves the numbers after some steps: no length is needed to see that."""
    suite = suite_file(
        tmp_path,
        "mlipbench.potentials.faulty_process:not_a_number",
        "{base: lj-ar, after_calls: 300}",
        NVE.format(ps=50) + STABILITY,
    )
    done = mlipbench("run", suite, "--tier", "screen", "--output", "out", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert verdicts(tmp_path / "out")["nve/failures@30K"] == "FAIL"
    assert verdicts(tmp_path / "out")["stability/failures@30K"] == "FAIL"
    assert checklist(tmp_path / "out")[4] == checklist(tmp_path / "out")[5] == "FAIL"


# ---------------------------------------------------------------- --fail-fast
SHORT = NVE.format(ps=1) + STABILITY.replace("20\n", "1\n") + PARITY
# Which of two equals is called the cheapest is a matter of a noisy timing.
TWICE = PARITY + "  again: {use: parity, frames: {reference: argon_lj}}\n"


def test_fail_fast_ends_after_the_first_suite_that_fails_and_can_be_resumed(tmp_path):
    suite = suite_file(tmp_path, suites=TWICE, tail=BOTH_FAILING)
    done = mlipbench("run", suite, "--output", "out", "--fail-fast", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    found = results(tmp_path / "out")["suites"]
    (reached,) = (key for key in ("parity", "again") if found[key]["status"] == "complete")
    (other,) = {"parity", "again"} - {reached}
    assert found[other]["status"] == "not_run"
    assert found[other]["reason"] == f"not reached: --fail-fast ended the run after {reached}"
    assert mlipbench("gate", "out", cwd=tmp_path).returncode == 1
    assert mlipbench("run", suite, "--output", "out", cwd=tmp_path).returncode == 1
    assert {entry["status"] for entry in results(tmp_path / "out")["suites"].values()} == {"complete"}


def test_fail_fast_hears_waivers(tmp_path):
    suite = suite_file(tmp_path, suites=SHORT, tail=FAILING + WAIVER)
    done = mlipbench("run", suite, "--output", "out", "--fail-fast", cwd=tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    assert {entry["status"] for entry in results(tmp_path / "out")["suites"].values()} == {"complete"}


def test_fail_fast_ends_after_an_error(tmp_path):
    suite = suite_file(
        tmp_path,
        "mlipbench.potentials.faulty_process:raises",
        "{base: lj-ar, after_calls: 120}",
        suites=SHORT,
    )
    done = mlipbench("run", suite, "--output", "out", "--fail-fast", cwd=tmp_path)
    assert done.returncode == 4, done.stdout + done.stderr
    found = results(tmp_path / "out")["suites"]
    assert {found[key]["status"] for key in ("nve", "stability")} == {"error", "not_run"}
