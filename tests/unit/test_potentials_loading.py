from pathlib import Path

import pytest
from ase.build import bulk

from mlipbench.core.errors import InputError
from mlipbench.core.structure import Structure
from mlipbench.potentials.loading import available, load, resolve

COPPER = Structure.from_ase(bulk("Cu", "fcc", a=3.6, cubic=True))
SOURCE = """
from ase.calculators.emt import EMT
def build(asap_cutoff=False, weights=None):
    return EMT(asap_cutoff=asap_cutoff)
def nothing():
    return 3
number = 7
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "weights.bin").write_bytes(b"1")
    return tmp_path


def test_registered_name_with_kwargs():
    assert load("sw-si", {"lambda_": 25.0}, Path()).parameters.lambda_ == 25.0


def test_every_registered_name_loads_and_is_described():
    names = available()
    assert {"sw-si", "lj-ar", "morse-cu", "born-mayer-nacl", "harmonic-ar", "emt", "tersoff-si"} <= set(names)
    for name in ("sw-si", "harmonic-ar", "emt", "tersoff-si"):
        assert "cannot be imported" not in names[name]
        assert len(names[name]) > 20
        assert load(name, {}, Path()).identity.verified


def test_calculator_of_a_file(folder):
    # Oracle: the registered EMT.
    mine = load("mine.py:build", {}, folder)
    assert mine.evaluate([COPPER])[0].energy == load("emt", {}, folder).evaluate([COPPER])[0].energy
    assert mine.identity.name == "mine.py:build"
    assert mine.identity.verified


def test_class_of_a_module(folder):
    assert load("ase.calculators.emt:EMT", {}, folder).identity.details["ase"]


def identity(folder, kwargs=(), files=()):
    return load("mine.py:build", dict(kwargs), folder, [Path(f) for f in files]).identity.key


def test_identity_follows_source_kwargs_and_files(folder):
    plain = identity(folder)
    assert plain == identity(folder)
    with_file = identity(folder, files=["weights.bin"])
    keys = {plain, with_file, identity(folder, {"asap_cutoff": True})}
    named = identity(folder, {"weights": "weights.bin"})
    (folder / "weights.bin").write_bytes(b"2")
    keys |= {identity(folder, files=["weights.bin"]), named}
    keys.add(identity(folder, {"weights": "weights.bin"}))
    (folder / "mine.py").write_text(SOURCE + "# changed\n")
    keys.add(identity(folder))
    assert len(keys) == 7


def test_kwargs_that_are_not_data_leave_it_unverified(folder):
    found = load("mine.py:build", {"weights": object()}, folder).identity
    assert not found.verified
    assert found.details["not hashed"] == "kwargs"


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("sw-is", "did you mean 'sw-si'"),
        ("nothing-like-it", "born-mayer-nacl"),
        ("mine.py:biuld", "did you mean 'build'"),
        ("mien.py:build", "no file .*did you mean 'mine.py'"),
        ("mine.py:number", "expected a function or class"),
        ("no_such_package.x:f", "No module named 'no_such_package'.*install"),
        ("ase.calculators.emt:Emt", "did you mean 'EMT'"),
        ("broken.py:build", "syntax error in line 2"),
        ("needy.py:build", "No module named 'not_there'"),
    ],
)
def test_what_cannot_be_resolved_is_explained(folder, use, message):
    (folder / "broken.py").write_text("x = 1\ndef build(:\n")
    (folder / "needy.py").write_text("import not_there\n")
    with pytest.raises(InputError, match=message):
        resolve(use, folder)


def test_a_failed_import_is_tried_again(folder):
    (folder / "needy.py").write_text("import not_there\n")
    for _ in range(2):
        with pytest.raises(InputError, match="not_there"):
            resolve("needy.py:build", folder)


@pytest.mark.parametrize(
    ("use", "kwargs", "message"),
    [
        ("mine.py:build", {"asap_cutof": True}, "did you mean 'asap_cutoff'"),
        ("sw-si", {"epsilon": 2.0}, "epsilon_eV"),
        ("mine.py:nothing", {}, "ASE calculator to be returned, got int"),
    ],
)
def test_what_cannot_be_built_is_explained(folder, use, kwargs, message):
    with pytest.raises(InputError, match=message):
        load(use, kwargs, folder)


def test_missing_declared_file_is_explained(folder):
    with pytest.raises(InputError, match=r"no file .*absent\.pt"):
        load("mine.py:build", {}, folder, [Path("absent.pt")])
