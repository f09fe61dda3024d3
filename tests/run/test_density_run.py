"""Runs of the suite `density`: item 8 filled, and a potential without stress where the use has a pressure."""

import pytest
from support import checklist, mlipbench, results, suite_file, verdicts

REFERENCE = """\
density:
  value: 1.7614
  error: 0.0008
  unit: g/cm^3
  level_of_theory: Lennard-Jones
  temperature_K: 40
  source: four runs of 200 ps
"""
DENSITY = """  density:
    structure: {crystal: fcc, symbol: Ar, lattice_A: 5.34, repeat: [2, 2, 2]}
    density: {file: density.yaml}
    temperature_K: 30
    timestep_fs: 10
    cell_stride: 5
    duration_ps: 5
    prepare_ps: 1
    stiffness_GPa: 2
"""
CONTROL = "{switch_from_A: 6.0, cutoff_A: 7.0}"
NO_STRESS = """
from mlipbench.potentials.analytic import lennard_jones_argon
from mlipbench.api import Capabilities


def mute():
    potential = lennard_jones_argon()
    potential._capabilities = Capabilities(frozenset({"energy", "forces"}), frozenset({18}), batched=True)
    return potential
"""


def write(folder, pressure, **more):
    (folder / "density.yaml").write_text(REFERENCE)
    (folder / "mute.py").write_text(NO_STRESS)
    path = suite_file(folder, suites=DENSITY, **more)
    path.write_text(path.read_text().replace("temperature_K: 30}", f"temperature_K: 30{pressure}}}"))
    return path


def test_a_short_run_is_inconclusive_and_its_report_shows_the_density(tmp_path):
    done = mlipbench(
        "run", write(tmp_path, ", pressure_bar: 1", kwargs=CONTROL), "--output", "out", cwd=tmp_path
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert checklist(tmp_path / "out")[8] == "INCONCLUSIVE"
    found = verdicts(tmp_path / "out")
    assert found["density/density_error@30K,pressure_bar=1"] == "INCONCLUSIVE"
    assert found["density/stress_error"] == "PASS"
    assert "stochastic cell rescaling" in (tmp_path / "out" / "report.html").read_text()
    before = (tmp_path / "out" / "results.json").read_bytes()
    again = mlipbench("run", tmp_path / "small.yaml", "--output", "out", cwd=tmp_path)
    assert again.returncode == 3
    assert (tmp_path / "out" / "results.json").read_bytes() == before


@pytest.mark.parametrize(
    ("pressure", "item", "code"), [(", pressure_bar: 1", "FAIL", 1), ("", "NOT_APPLICABLE", None)]
)
def test_a_potential_without_stress(tmp_path, pressure, item, code):
    """Not applicable settles nothing where the intended use names a pressure."""
    path = write(tmp_path, pressure, use="mute.py:mute")
    done = mlipbench("run", path, "--output", "out", cwd=tmp_path)
    assert checklist(tmp_path / "out")[8] == item
    assert results(tmp_path / "out")["suites"]["density"]["status"] == "not_applicable"
    if code is not None:
        assert done.returncode == code
        why = [m["reason"] for m in results(tmp_path / "out")["suites"]["density"]["measurements"]]
        assert "the intended use at 1 bar cannot do without" in why[0]
