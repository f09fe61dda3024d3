"""Exit codes 0, 1, 2, 3, 4 through the command line, and the files each run leaves."""

import json
import xml.etree.ElementTree as ElementTree

import jsonschema
import pytest
from support import NVE, PARITY, checklist, in_a_process, mlipbench, results, suite_file, verdicts


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    """The shipped control, run by name in an empty folder."""
    folder = tmp_path_factory.mktemp("control")
    return folder, in_a_process("run", "control", cwd=folder)


def test_0_the_shipped_control_passes(control):
    folder, done = control
    assert done.returncode == 0, done.stdout + done.stderr
    run = folder / "reports" / "control"
    found = results(run)
    assert found["verdict"] == "PASS"
    assert found["exit_code"] == 0
    assert {n: s for n, s in checklist(run).items() if n <= 5} == dict.fromkeys(range(1, 6), "PASS")
    # The bench does not call deployable what it has not measured.
    assert "Partial: 6 of 9" in found["sentence"]
    assert checklist(run)[6] == "NOT_MEASURED"


def test_a_run_leaves_every_file_that_readers_and_machines_expect(control):
    run = control[0] / "reports" / "control"
    for name in (
        "report.html",
        "results.json",
        "checklist.md",
        "junit.xml",
        "plan.lock.yaml",
        "provenance.json",
    ):
        assert (run / name).stat().st_size > 100, name
    assert list(run.glob("suites/parity/arrays/*.npy"))
    assert list(run.glob("trajectories/*/chunk-*.npz"))


def test_junit_xml_is_read_by_a_standard_parser(control):
    root = ElementTree.parse(control[0] / "reports/control/junit.xml").getroot()
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert any("force_mae" in name for name in cases)
    assert not list(root.iter("failure"))
    assert not list(root.iter("error"))


def test_results_follow_the_published_schema(control, pytestconfig):
    schema = json.loads((pytestconfig.rootpath / "docs/results.schema.json").read_text())
    jsonschema.validate(results(control[0] / "reports/control"), schema)


def test_1_a_broken_potential_fails(tmp_path):
    suite = suite_file(
        tmp_path, "mlipbench.potentials.faulty:force_noise", "{base: lj-ar, sigma_eV_per_A: 0.2}", PARITY
    )
    done = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    # Gaussian noise of 200 meV/A with the net force removed: 200 sqrt(31/32 2/pi) = 157 meV/A on average;
    # 48 x 96 components know it to 2 meV/A. An RMSE in its place would be 197.
    found = results(tmp_path / "out")["suites"]["parity"]["measurements"]
    force = next(m for m in found if m["id"] == "parity/force_mae")
    assert force["verdict"] == "FAIL"
    assert force["value"] == pytest.approx(157.0, abs=8.0)
    assert mlipbench("gate", "out", cwd=tmp_path).returncode == 1


def test_2_a_wrong_suite_file_runs_nothing(tmp_path):
    suite = suite_file(tmp_path, suites=PARITY.replace("argon_lj", "argon_jl") + "  nev: {}\n")
    done = in_a_process("run", suite, "--output", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "small.yaml:" in done.stderr
    assert "argon_lj" in done.stderr  # did you mean
    assert "did you mean nve?" in done.stderr
    assert not (tmp_path / "out").exists()


def test_2_elements_outside_the_potential(tmp_path):
    nve = NVE.format(ps=1).replace("symbol: Ar", "symbol: Ne")
    suite = suite_file(tmp_path, suites=nve)
    done = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "small.yaml:" in done.stderr
    assert "Ne" in done.stderr
    assert not (tmp_path / "out" / "results.json").exists()


def test_2_an_unimportable_potential(tmp_path):
    (tmp_path / "mine.py").write_text("import no_such_package\n")
    suite = suite_file(tmp_path, use="mine.py:calculator", suites=PARITY)
    done = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "no_such_package" in done.stderr


def test_3_a_screen_is_inconclusive_and_says_what_it_needs(tmp_path):
    done = mlipbench("run", "control", "--tier", "screen", "--output", "out", cwd=tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    drift = next(
        m
        for m in results(tmp_path / "out")["suites"]["nve"]["measurements"]
        if m["id"].startswith("nve/drift@") and m["required"]
    )
    assert drift["verdict"] == "INCONCLUSIVE"
    assert "50 ps of length needed, 5 there" in drift["reason"]


def test_4_a_calculator_that_raises(tmp_path):
    suite = suite_file(
        tmp_path,
        "mlipbench.potentials.faulty_process:raises",
        "{base: lj-ar, after_calls: 400}",
        PARITY + NVE.format(ps=6),
    )
    done = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert done.returncode == 4, done.stdout + done.stderr
    # The cheap suite had finished, and its results stand.
    assert verdicts(tmp_path / "out")["parity/force_mae"] == "PASS"
    assert checklist(tmp_path / "out")[4] == "ERROR"
    traceback = (tmp_path / "out/suites/nve/traceback.txt").read_text()
    assert "Traceback" in traceback


def test_a_waiver_in_force_and_one_that_has_expired(tmp_path):
    waiver = (
        "limits: {parity/force_mae: {limit: 0.05, reason: tightened to show a failure}}\n"
        "waivers:\n  - {criterion: parity/force_mae, reason: known to the authors, expires: %s}\n"
    )
    suite = suite_file(tmp_path, suites=PARITY, tail=waiver % "2999-01-01")
    assert mlipbench("run", suite, "--output", "in", cwd=tmp_path).returncode == 0
    assert checklist(tmp_path / "in")[2] == "WAIVED"
    suite = suite_file(tmp_path, suites=PARITY, tail=waiver % "2020-01-01")
    assert mlipbench("run", suite, "--output", "out", cwd=tmp_path).returncode == 1
    assert checklist(tmp_path / "out")[2] == "FAIL"
