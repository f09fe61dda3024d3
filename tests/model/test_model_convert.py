"""`mlipbench convert`; what needs mace-torch runs where it is installed (tox -e e3nn-oldest)."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from mlipbench.cli.app import app
from mlipbench.core.errors import InputError
from mlipbench.model import mace_torch
from mlipbench.model.package import load

needs_mace = pytest.mark.skipif(importlib.util.find_spec("mace") is None, reason="needs mace-torch")
needs_no_mace = pytest.mark.skipif(importlib.util.find_spec("mace") is not None, reason="mace-torch is there")


@pytest.fixture
def pickled(tmp_path):
    path = tmp_path / "random.model"
    path.write_bytes(b"a pickle")
    return path


def test_a_pickle_is_read_on_request_only(pickled):
    with pytest.raises(InputError, match=r"runs whatever code it contains.*--trust-pickle"):
        mace_torch.load_model(pickled, trust=False)


@needs_no_mace
def test_mace_torch_is_asked_for(pickled):
    with pytest.raises(InputError, match="pip install mace-torch"):
        mace_torch.load_model(pickled, trust=True)


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        mace_torch.load_model(tmp_path / "absent.model", trust=True)


def mlipbench(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "mlipbench", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_command_without_the_word(pickled, tmp_path):
    done = CliRunner().invoke(app, ["convert", str(pickled), str(tmp_path / "out.mlip")])
    assert isinstance(done.exception, InputError)
    assert "--trust-pickle" in str(done.exception)
    assert not (tmp_path / "out.mlip").exists()


@needs_mace
@pytest.mark.parametrize("case", ["ell3", "zbl", "density_residual", "two_heads"])
def test_command(case, tmp_path):
    # Oracle: mace-torch, alive. Runs in the file's own environment, whatever numbers are stored.
    import make_mace_reference as reference
    import torch
    from networks import answer

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        model = reference.build(reference.CASES[case], seed=99)
        atoms = reference.structures()["crystal"]
        expected = reference.answers(model, atoms, head=0)
        torch.save(model, tmp_path / "in.model")
    finally:
        torch.set_default_dtype(before)
    head = ["--head", "a"] if case == "two_heads" else []
    done = mlipbench("convert", tmp_path / "in.model", tmp_path / "out.mlip", "--trust-pickle", *head)
    assert done.returncode == 0, done.stderr
    read = load(tmp_path / "out.mlip")
    from mlipbench.core.structure import Structure

    _, forces, stress = answer(read.committee, Structure.from_ase(atoms))
    assert np.abs(forces - expected["forces"]).max() < 1e-10 * np.abs(expected["forces"]).max()
    assert np.abs(stress - expected["stress"]).max() < 1e-10 * np.abs(expected["stress"]).max()


@needs_mace
def test_a_damaged_pickle(pickled):
    with pytest.raises(InputError, match="torch cannot read it"):
        mace_torch.load_model(pickled, trust=True)


@needs_mace
def test_several_heads_need_a_choice():
    import make_mace_reference as reference

    model = mace_torch.read(reference.build(reference.CASES["two_heads"], seed=1))
    for head, message in ((None, "heads a, b; choose one"), ("c", "got 'c'")):
        with pytest.raises(InputError, match=message):
            mace_torch.convert(model, "x", head, {})


@needs_mace
@pytest.mark.parametrize("block", ["RealAgnosticAttResidualInteractionBlock"])
def test_blocks_that_we_have_not(block):
    import make_mace_reference as reference

    model = reference.build({"then": block}, seed=1)
    with pytest.raises(InputError, match=block):
        mace_torch.read(model)
