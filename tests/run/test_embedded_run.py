"""The embedded potential through the command line: a suite file names it by a path of its own."""

import json

from networks import architecture
from support import PARITY, mlipbench, suite_file

from mlipbench.model.network import Network
from mlipbench.model.package import package, save


def test_a_suite_judges_an_embedded_potential(tmp_path):
    shape = architecture(elements=(18,), hidden_irreps="2x0e", max_ell=1, correlation=2, num_layers=1)
    save(package("argon", [Network(shape, 0)], {18: -1.0}, {}), tmp_path / "files" / "ar.mlip")
    path = suite_file(tmp_path / "files", "embedded", "{path: ar.mlip}", PARITY, stall_s=300)
    done = mlipbench("run", path, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr  # random weights are no argon
    results = json.loads(next(tmp_path.rglob("results.json")).read_text())
    assert results["suites"]["parity"]["status"] == "complete"
    assert results["potential"]["name"] == "argon"
