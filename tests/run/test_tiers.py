"""Tiers, the order of suites, --fail-fast and the estimate, through the command line."""

import hashlib
import json
from pathlib import Path

import pytest
from support import NVE, PARITY, checklist, mlipbench, results, suite_file, verdicts

STABILITY = """  stability:
    structure: {crystal: fcc, symbol: Ar, lattice_A: 5.30, repeat: [2, 2, 2]}
    timestep_fs: 5
    duration_ps: 30
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
    suite = suite_file(folder, "mine.py:Counting", suites=NVE.format(ps=30) + STABILITY + PARITY)
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
    # screen: two runs of 3 ps at 5 fs. standard: of 15 ps, from the start, since 600 steps fill no chunk of
    # 1000. full: of 30 ps, from 15 ps on.
    assert steps["screen"]["stability"] == 2 * (600 + 1)
    assert steps["standard"]["stability"] == 2 * (3000 + 1)
    assert steps["full"]["stability"] == 2 * 3000
    assert steps[None]["stability"] == 2 * (6000 + 1)
    # The preparation (2 ps) and the run at half the step (2 ps at 2.5 fs) are the same at every tier.
    assert steps["screen"]["nve"] == (400 + 1) + (600 + 1) + (800 + 1)
    assert steps["standard"]["nve"] == 3000 + 1
    assert steps["full"]["nve"] == 3000


def test_a_tier_is_the_same_bit_for_bit_however_it_was_reached(climbed):
    folder, _, _, found = climbed
    assert found["full"] == found[None]
    assert stored(folder / "out") == stored(folder / "direct")


def test_the_tier_is_in_the_results(climbed):
    assert [climbed[3][tier]["tier"] for tier in TIERS] == list(TIERS)


def test_no_tier_passes_what_demands_more(climbed):
    """50 and 100 ps are demanded, 30 there at most; parity demands frames, which no tier takes away."""
    _, _, judged, _ = climbed
    for tier in TIERS:
        assert judged[tier]["nve/drift@30K"] == "INCONCLUSIVE"
        assert judged[tier]["nve/failures@30K"] == "INCONCLUSIVE"
        assert judged[tier]["stability/failures@30K"] == "INCONCLUSIVE"
        assert judged[tier]["stability/failures@45K"] == "INCONCLUSIVE"
        assert judged[tier]["parity/force_mae"] == "PASS"


def test_suites_run_cheapest_first_and_are_reported_as_in_the_file(climbed):
    folder, _, _, found = climbed
    assert list(found["full"]["suites"]) == ["contract", "nve", "stability", "parity"]
    done = mlipbench("run", folder / "small.yaml", "--output", "out", cwd=folder, COUNTS="/dev/null")
    started = [line.split(":")[0] for line in done.stdout.splitlines() if ": started" in line]
    assert sorted(started) == ["contract", "nve", "parity", "stability"]
    assert started[0] == "contract"


def test_a_plan_counts_only_what_is_left(climbed):
    folder = climbed[0]

    def planned(output):
        done = mlipbench(
            "plan", folder / "small.yaml", "--output", output, "--json", cwd=folder, COUNTS="/dev/null"
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    fresh, rest = planned("nothing-there"), planned("out")
    # nve 400 + 6000 + 800, stability 2 x 6000; the 48 frames of parity
    assert {key: cost["steps"] for key, cost in fresh["suites"].items()} == {
        "parity": 0,
        "nve": 7200,
        "stability": 12000,
    }
    assert next(iter(fresh["suites"])) == "parity"  # nothing but 48 answers
    assert fresh["total"]["structures"] == 48
    assert fresh["total"]["low"] < fresh["total"]["seconds"] < fresh["total"]["high"]
    assert rest["total"]["steps"] == rest["total"]["structures"] == 0
    assert rest["total"]["seconds"] < fresh["total"]["seconds"]
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
        "mlipbench.potentials.faulty:not_a_number",
        "{base: lj-ar, after_calls: 500}",
        NVE.format(ps=50) + STABILITY,
    )
    done = mlipbench("run", suite, "--tier", "screen", "--output", "out", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert verdicts(tmp_path / "out")["nve/failures@30K"] == "FAIL"
    assert verdicts(tmp_path / "out")["stability/failures@30K"] == "FAIL"
    assert checklist(tmp_path / "out")[4] == checklist(tmp_path / "out")[5] == "FAIL"


# ---------------------------------------------------------------- --fail-fast
SHORT = NVE.format(ps=1) + STABILITY.replace("30\n", "1\n") + PARITY
# 19 000 steps beside the 48 frames of parity: which suite is the cheapest is no matter of a noisy timing
LONG = NVE.format(ps=30) + STABILITY + PARITY


def test_fail_fast_ends_after_the_first_suite_that_fails_and_can_be_resumed(tmp_path):
    suite = suite_file(tmp_path, suites=LONG, tail=FAILING)
    done = mlipbench("run", suite, "--output", "out", "--fail-fast", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    found = results(tmp_path / "out")["suites"]
    assert found["parity"]["status"] == "complete"
    for key in ("nve", "stability"):
        assert found[key]["status"] == "not_run"
        assert found[key]["reason"] == "not reached: --fail-fast ended the run after parity"
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
        tmp_path, "mlipbench.potentials.faulty:raises", "{base: lj-ar, after_calls: 120}", suites=SHORT
    )
    done = mlipbench("run", suite, "--output", "out", "--fail-fast", cwd=tmp_path)
    assert done.returncode == 4, done.stdout + done.stderr
    found = results(tmp_path / "out")["suites"]
    assert {found[key]["status"] for key in ("nve", "stability")} == {"error", "not_run"}
