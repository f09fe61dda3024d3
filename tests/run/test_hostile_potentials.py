"""Calculators that hang, crash, eat the memory or answer NaN: an ERROR or FAIL each, the rest goes on."""

import pytest
from support import NVE, PARITY, checklist, mlipbench, results, suite_file, verdicts

CASES = {
    # the last calls of the contract check and of parity are done before the fault strikes in nve
    "hangs": ("{base: lj-ar, after_calls: 400}", "no progress"),
    "kills_the_interpreter": ("{base: lj-ar, after_calls: 400}", "signal"),
    # 0.8 GB after 1400 of nve's 13 000 calls: a look at the memory that comes late still comes in time
    "leaks_memory": ("{base: lj-ar, megabytes_per_call: 0.5}", "memory"),
}


@pytest.mark.parametrize("fault", CASES)
def test_one_suite_ends_in_error_and_the_others_stand(tmp_path, fault):
    kwargs, words = CASES[fault]
    suite = suite_file(
        tmp_path,
        f"mlipbench.potentials.faulty_process:{fault}",
        kwargs,
        PARITY + NVE.format(ps=60),
        stall_s=15 if fault == "hangs" else 120,
        memory_GB="0.8" if fault == "leaks_memory" else "null",
    )
    done = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert done.returncode == 4, done.stdout + done.stderr
    found = results(tmp_path / "out")
    assert found["suites"]["nve"]["status"] == "error"
    assert words in found["suites"]["nve"]["reason"]
    assert verdicts(tmp_path / "out")["parity/force_mae"] == "PASS"
    assert checklist(tmp_path / "out")[4] == "ERROR"
    assert words.split()[-1] in (tmp_path / "out" / "report.html").read_text()


def test_nan_on_the_way_is_a_failure_with_its_time(tmp_path):
    suite = suite_file(
        tmp_path,
        "mlipbench.potentials.faulty_process:not_a_number",
        "{base: lj-ar, after_calls: 1000}",
        NVE.format(ps=50),
    )
    done = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert verdicts(tmp_path / "out")["nve/failures@30K"] == "FAIL"


def test_a_calculator_that_cannot_be_constructed_is_an_error_with_its_traceback(tmp_path):
    (tmp_path / "mine.py").write_text("def calculator():\n    raise RuntimeError('no weights here')\n")
    done = mlipbench(
        "run", suite_file(tmp_path, "mine.py:calculator", suites=PARITY), "--output", "out", cwd=tmp_path
    )
    assert done.returncode == 4, done.stdout + done.stderr
    assert "no weights here" in results(tmp_path / "out")["suites"]["parity"]["reason"]


def test_an_ase_calculator_in_a_file_of_the_users(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from ase.calculators.lj import LennardJones\n"
        "def calculator(rc):\n"
        "    print('printing disturbs nothing')\n"
        "    return LennardJones(epsilon=0.0103408, sigma=3.4, ro=7.0, rc=rc, smooth=True)\n"
    )
    suite = suite_file(tmp_path, "mine.py:calculator", "{rc: 8.5}", PARITY)
    done = mlipbench("run", suite, "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    # The labels are of the same code and the same parameters: nothing but rounding is left.
    force = next(
        m
        for m in results(tmp_path / "out")["suites"]["parity"]["measurements"]
        if m["id"] == "parity/force_mae"
    )
    assert force["value"] < 1e-2
