"""A planted hole through the command line: found, quenched, said in the result, and analysed again."""

from support import mlipbench, results, suite_file

STABILITY = """  stability:
    structure: {crystal: fcc, symbol: Ar, lattice_A: 5.40, repeat: [2, 2, 2]}
    temperature_K: 120
    factors: [1.0]
    timestep_fs: 5
    friction_per_fs: 0.02
    duration_ps: 5
"""
KWARGS = "{base: lj-ar, depth_eV: 10, centre_A: 2.4, width_A: 0.4}"


def survival(folder):
    measurements = results(folder)["suites"]["stability"]["measurements"]
    return next(m for m in measurements if m["id"] == "stability/failures@120K")


def test_the_quench_is_done_by_the_run_and_read_by_analyze(tmp_path):
    """`analyze` has no potential, so it can say the same only from what the run stored."""
    suite = suite_file(tmp_path, "mlipbench.potentials.faulty:hole", KWARGS, STABILITY)
    done = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    found = survival(tmp_path / "out")
    assert found["verdict"] == "FAIL"
    assert "a hole in the energy surface, confirmed: quenched" in found["note"]
    assert mlipbench("analyze", "out", cwd=tmp_path).returncode == 1
    assert survival(tmp_path / "out") == found
