"""A third party's plug-in, and mlipbench itself from a wheel: installed, found, run in an empty folder."""

import os
import subprocess
import sys
import zipfile

import pytest
from support import checklist, environment, in_a_process, mlipbench, results, verdicts


def pip(*arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PIP_NO_INPUT": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, pytestconfig):
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, pytestconfig.rootpath)
    return next(folder.glob("mlipbench-*.whl"))


def test_the_wheel_carries_suites_suite_files_and_reference_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "mlipbench_suites/parity.py",
        "mlipbench/shipped/suites/quickstart.yaml",
        "mlipbench/shipped/reference_data/manifest.yaml",
        "mlipbench/shipped/reference_data/argon/argon_lj.extxyz",
        "mlipbench/shipped/reference_data/silicon/silicon_pbe_test.extxyz",
        "mlipbench/report/templates/report.html",
    ):
        assert name in names


def test_a_wheel_in_an_empty_folder_runs_by_name(wheel, tmp_path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip("install", "--no-deps", "--target", site, wheel)
    where = "import mlipbench, mlipbench_suites; print(mlipbench.__file__, mlipbench_suites.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=empty,
        env=environment(PYTHONPATH=str(site)),
        capture_output=True,
        text=True,
    ).stdout.split()
    assert [f.startswith(str(site)) for f in found] == [True, True]
    done = in_a_process("run", "control", "--tier", "screen", cwd=empty, PYTHONPATH=str(site))
    assert done.returncode == 3, done.stdout + done.stderr
    assert checklist(empty / "reports" / "control")[2] == "PASS"


SUITE = """
title: a third party's dimer
potential: {use: soft-pair}
intended_use: {elements: [Ar], phases: [gas], temperature_K: 100}
suites: {dimer: {expected_A: %s}}
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory, pytestconfig):
    """The folder that the third party's package is installed in."""
    site = tmp_path_factory.mktemp("site")
    pip(
        "install",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        site,
        pytestconfig.rootpath / "tests" / "thirdparty",
    )
    return str(site)


@pytest.mark.parametrize(("expected", "code", "verdict"), [(3.0, 0, "PASS"), (3.1, 1, "FAIL")])
def test_a_third_party_suite_and_potential(plugin, tmp_path, expected, code, verdict):
    (tmp_path / "dimer.yaml").write_text(SUITE % expected)
    done = in_a_process("run", "dimer.yaml", cwd=tmp_path, PYTHONPATH=plugin)
    assert done.returncode == code, done.stdout + done.stderr
    run = tmp_path / "reports" / "dimer"
    assert verdicts(run)["dimer/distance_error"] == verdict
    # The minimum lies at 3 A exactly; a parabola through the wrong points would miss it by 0.01 A.
    value = results(run)["suites"]["dimer"]["measurements"][0]["value"]
    assert value == pytest.approx(3.0 - expected, abs=1e-3)
    assert "Dimer curve" in (run / "report.html").read_text()


def test_plug_ins_are_listed(plugin, tmp_path):
    assert "Dimer curve" in mlipbench("list", "suites", cwd=tmp_path, PYTHONPATH=plugin).stdout
    assert "soft-pair" in mlipbench("list", "potentials", cwd=tmp_path, PYTHONPATH=plugin).stdout
    assert "soft-pair" not in mlipbench("list", "potentials", cwd=tmp_path).stdout
