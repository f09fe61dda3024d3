"""The package format. `format1.mlip` was written by mlipbench 0.1.0 and has to stay readable."""

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import answer, crystal, ethanol, network
from pydantic import ValidationError

from mlipbench.core.errors import DataError
from mlipbench.model.package import Domain, Metadata, Package, Range, load, package, save

OLD = Path(__file__).parent / "format1.mlip"
E0 = {1: -13.6, 6: -1029.3, 8: -2041.8}
DOMAIN = Domain(
    fingerprint="0" * 64,
    level_of_theory="none",
    n_frames=2,
    n_atoms={"C": 4, "O": 2, "H": 12},
    shortest_distance_A={"C-C": 1.4},
    energy_eV_per_atom=Range(least=-3.0, largest=1.0),
    largest_force_eV_per_A=12.5,
    volume_A3_per_atom=None,
    config_types={"": 2},
)


@pytest.fixture
def made():
    return package("test", [network(1), network(2)], E0, {"from": "tests"}, DOMAIN)


@pytest.fixture
def path(made, tmp_path):
    save(made, tmp_path / "folder" / "test.mlip")
    return tmp_path / "folder" / "test.mlip"


def test_what_is_read_is_what_was_written(made, path):
    read = load(path)
    assert read.metadata == made.metadata
    assert read.key == made.key
    for a, b in zip(answer(read.committee, crystal()), answer(made.committee, crystal()), strict=True):
        assert np.array_equal(a, b)
    assert [p.name for p in path.parent.iterdir()] == ["test.mlip"]


def test_key_depends_on_what_decides_the_answers(made):
    same = Package(made.metadata.model_copy(update={"name": "other", "domain": None}), made.committee)
    assert same.key == made.key
    shifted = made.metadata.model_copy(update={"atomic_energies_eV": E0 | {1: -13.5}})
    assert Package(shifted, made.committee).key != made.key
    assert package("test", [network(1), network(3)], E0, {}).key != made.key


def test_reading_runs_no_code(path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a pickle was read")

    for module, names in ((pickle, ("load", "loads", "Unpickler")), (torch, ("load",))):
        for name in names:
            monkeypatch.setattr(module, name, refuse)
    load(path)


def test_an_old_file_stays_readable():
    # Energies as they were computed when the file was made, float64.
    read = load(OLD)
    assert read.metadata.format == 1
    assert read.metadata.domain == DOMAIN
    energies, forces, _ = answer(read.committee, ethanol(), stress=False)
    assert energies.sum() == pytest.approx(OLD_ENERGY, rel=1e-12)
    assert np.linalg.norm(forces) == pytest.approx(OLD_FORCES, rel=1e-12)


OLD_ENERGY = 1.2446364883324095  # eV, sum over the atoms of ethanol, without E0
OLD_FORCES = 0.6801828233203563  # eV/A, root of the sum of squares


def header(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def rewrite(path, change):
    """Change the JSON of a package and write the file again."""
    found, weights = header(path)
    inner = json.loads(found["__metadata__"]["mlipbench"])
    change(inner)
    found["__metadata__"]["mlipbench"] = json.dumps(inner)
    text = json.dumps(found).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + weights)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[-50] ^= 1
    path.write_bytes(bytes(data))


def of_another_program(path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, path)


DAMAGE = {
    "not there": (lambda p: p.unlink(), "no such file"),
    "empty": (lambda p: p.write_bytes(b""), "damaged"),
    "text": (lambda p: p.write_text("energy = 0\n"), "damaged"),
    "a pickle": (lambda p: p.write_bytes(pickle.dumps({"weights": 1})), "damaged"),
    "cut short": (truncated, "damaged"),
    "one bit changed": (flipped, "sha256 differs"),
    "of another program": (of_another_program, "no 'mlipbench' metadata"),
    "of a later version": (
        lambda p: rewrite(p, lambda m: m["metadata"].update(format=2)),
        "format 2 of potentials, this mlipbench .* reads format 1",
    ),
    "unknown field": (lambda p: rewrite(p, lambda m: m["metadata"].update(colour="red")), "colour"),
    "element without E0": (
        lambda p: rewrite(p, lambda m: m["metadata"]["atomic_energies_eV"].pop("8")),
        "names the elements",
    ),
    "other architecture": (
        lambda p: rewrite(p, lambda m: m["metadata"]["architecture"].update(readout_mlp=7)),
        "do not belong together",
    ),
    "missing part": (lambda p: rewrite(p, lambda m: m.pop("weights")), "metadata are damaged"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_named(path, damage):
    spoil, message = DAMAGE[damage]
    spoil(path)
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_written(made, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="name a file that can be written"):
        save(made, tmp_path / "file" / "x.mlip")


def test_elements_and_units_have_to_fit():
    with pytest.raises(ValidationError, match="names the elements"):
        package("x", [network()], {1: 0.0}, {})
    with pytest.raises(ValidationError, match="units are A and eV"):
        Metadata(
            name="x",
            architecture=network().architecture,
            n_members=1,
            atomic_energies_eV=E0,
            origin={},
            units={"length": "Bohr", "energy": "Ha"},
        )
