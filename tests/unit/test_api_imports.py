"""Who waits for what: every start of Python here would show a heavy import that crept in."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "e3nn", "matplotlib", "phonopy", "MDAnalysis", "pandas"}


def imported(code):
    """Names of the top-level modules that a fresh interpreter has after this code."""
    told = f"import sys; {code}; print(*sorted(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_and_refusals_wait_for_no_science():
    # Every command's module is imported here; what a command works with it imports when it is called.
    found = imported("import mlipbench.cli.app")
    assert not found & (HEAVY | {"ase", "scipy", "vesin", "h5py", "jinja2", "ruamel"})


@pytest.mark.parametrize("module", ["mlipbench.run.execute", "mlipbench.run.session"])
def test_a_run_of_a_potential_without_torch_does_not_import_it(module):
    # The suites, the analytic potentials, a search for neighbours: all of them in a child of a run.
    plan = "plan = planning.read_plan(planning.find_suite_file('control'), None)"
    code = f"import {module}; from mlipbench.run import planning; {plan}; from mlipbench.potentials import "
    code += "analytic; from mlipbench.run.probe import load_potential; load_potential(plan)"
    assert not imported(code) & HEAVY


def test_a_users_vesin_takes_tensors():
    # Ours is imported without torch; that copy must not be what another one gets.
    code = "import mlipbench.core.neighbours, vesin, torch; box = 9 * torch.eye(3, dtype=torch.float64)"
    code += "; search = vesin.NeighborList(cutoff=2.0, full_list=True)"
    code += "; (i,) = search.compute(points=box[:2], box=box, periodic=False, quantities='i')"
    assert "torch" in imported(f"{code}; assert isinstance(i, torch.Tensor)")


def test_the_api_imports_no_torch():
    # A suite that needs no network must not wait for torch.
    assert not imported("import mlipbench.api") & HEAVY
