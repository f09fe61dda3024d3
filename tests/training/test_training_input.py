"""What bad input gets: one clear message with its place, before the first epoch, and nothing written."""

import itertools
from dataclasses import replace

import ase.db
import ase.io
import numpy as np
import pytest
import sets
from ase import Atoms
from sets import E0, frames, train, write

from mlipbench.core.errors import InputError, PlanError
from mlipbench.core.structure import Structure
from mlipbench.data.frames import as_atoms, read_frames
from mlipbench.data.hdf5 import HDF5Frames, write_hdf5
from mlipbench.data.splits import split
from mlipbench.training.config import load_config
from mlipbench.training.group import Group
from mlipbench.training.session import Training
from mlipbench.training.start import average_energies


def config_of(tmp_path, text):
    (tmp_path / "train.extxyz").write_text("")
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return load_config(path).config


CONFIGS = {
    "unknown key": ("hidden_irrep: 8x0e", "1:1: hidden_irrep: unknown key", "did you mean hidden_irreps?"),
    "wrong type": ("num_layers: two", "num_layers: wrong type", "expected an integer"),
    "out of range": ("max_ell: 4", "max_ell: wrong value", "at most 3"),
    "no such file": ("train_file: none.xyz", "train_file: no such file", "none.xyz"),
    "irreps that are none": ("hidden_irreps: 8x0", "hidden_irreps", "are no irreps"),
    "irreps of the wrong parity": ("hidden_irreps: 8x0e + 8x1e", "hidden_irreps", "parity"),
    "irreps that cannot couple": (
        "{hidden_irreps: 8x0e + 8x1o + 8x2e, max_ell: 1, correlation: 1, train_file: train.extxyz}",
        "hidden_irreps", "products of messages reach order 1 only",
    ),
    "a correlation for other layers": ("correlation: [3, 2, 1]", "correlation", "one for each of the 2"),
    "an element that is none": ("E0s: {Sy: 1.0}", "E0s.Sy: not an element", "expected Si, or 14"),
    "an element twice": ("E0s: {Si: 1.0, 14: 2.0}", "E0s.14: the same element as Si", ""),
    "E0s of another kind": ("E0s: averaged", "E0s", "'isolated' or 'average'"),
    "no weights": ("{energy_weight: 0, forces_weight: 0, stress_weight: 0}", "no term has a weight", ""),
    "validation twice": (
        "{valid_file: train.extxyz, valid_fraction: 0.1}", "valid_fraction: valid_file is there too", ""
    ),
    "no validation": ("valid_fraction: 0", "no frames to validate on", "valid_file"),
    "nothing to train on": (
        "{valid_fraction: 0.6, test_fraction: 0.5}", "nothing is left to train on", "1.1"
    ),
    "a schedule with a gap": (
        "train_schedule: {a: {start: 0, end: 4, loss: {forces: 1}, lr: 0.1}, "
        "b: {start: 6, end: 9, loss: {forces: 1}, lr: 0.1}}", "train_schedule.b.start", "expected 5, got 6",
    ),
    "a stage that ends before it begins": (
        "train_schedule: {a: {start: 0, end: -1, loss: {forces: 1}, lr: 0.1}}",
        "train_schedule.a.end", "at least 0",
    ),
    "a loss of another model": (
        "train_schedule: {a: {start: 0, end: 1, loss: {dipole: 1}, lr: 0.1}}", "dipole", "'energy_per_atom'"
    ),
    "schedule and rate": (
        "{lr: 0.1, train_schedule: {a: {start: 0, end: 1, loss: {forces: 1}, lr: 0.1}}}",
        "lr: train_schedule says", "",
    ),
    "a label of another model": ("keys: {dipole: d}", "keys.dipole: unknown label", "other models"),
    "an alias beside its name": (
        "{num_layers: 2, num_interactions: 2}", "num_interactions: says the same", "keep one"
    ),
    "channels without orders": ("num_channels: 8", "num_channels and max_L go together", "hidden_irreps"),
    "a floor above the rate": ("{lr: 0.001, lr_min: 0.01}", "lr_min: above lr", "at most 0.001"),
    "neither file nor reference": ("train_file: {index: ':'}", "which frames?", "one of file, reference"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_wrong_configuration_is_refused_at_its_place(tmp_path, name):
    text, place, advice = CONFIGS[name]
    if not text.startswith("{"):
        text = "{" + text + "}"
    if "train_file" not in text:
        text = "{train_file: train.extxyz, " + text[1:]
    with pytest.raises(PlanError) as raised:
        config_of(tmp_path, text)
    message = str(raised.value)
    assert message.startswith(str(tmp_path / "c.yaml:1:"))
    assert place.removeprefix("1:1: ") in message
    assert advice in message
    assert len(raised.value.problems) == 1


def test_names_of_mace_torch_mean_the_same(tmp_path):
    theirs = config_of(
        tmp_path,
        """
train_file: train.extxyz
num_channels: 16
max_L: 1
num_interactions: 3
radial_MLP: "[32, 16]"
MLP_irreps: 8x0e
num_cutoff_basis: 6
interaction: RealAgnosticDensityResidualInteractionBlock
interaction_first: RealAgnosticDensityInteractionBlock
pair_repulsion: true
distance_transform: Agnesi
apply_cutoff: false
default_dtype: float32
scaling: rms_forces_scaling
scheduler: ReduceLROnPlateau
ema: false
energy_key: REF_energy
heads: {default: {info_keys: {stress: REF_stress}, arrays_keys: {forces: REF_forces}}}
""",
    )
    ours = config_of(
        tmp_path,
        """
train_file: train.extxyz
hidden_irreps: 16x0e + 16x1o
num_layers: 3
radial_mlp: [32, 16]
readout_mlp: 8
num_polynomial_cutoff: 6
interaction: density_residual
interaction_first: density
zbl: true
distance_transform: agnesi
cutoff_acts_on: weights
dtype: float32
scaling: rms_forces
scheduler: plateau
ema_decay: null
keys: {energy: REF_energy, stress: REF_stress, forces: REF_forces}
""",
    )
    assert theirs == ours


def test_every_field_of_the_documented_configuration_has_its_name(tmp_path):
    config = config_of(
        tmp_path,
        """
{train_file: train.extxyz, valid_file: train.extxyz, test_file: train.extxyz, E0s: {1: -13.6, O: -432.5},
r_max: 5.0, num_layers: 2, hidden_irreps: 128x0e + 128x1o, max_ell: 1, correlation: 3, num_radial_basis: 8,
radial_mlp: [64, 64, 64], batch_size: 5, max_num_epochs: 100, lr: 0.01, energy_weight: 1.0,
forces_weight: 100.0, stress_weight: 1.0, weight_decay: 5.0e-7, name: water_mace, seed: 1}
""",
    )
    assert config.e0s() == {1: -13.6, 8: -432.5}


# ---------------------------------------------------------------- data
def refused(tmp_path, match, labelled=None, **changes):
    """Training is refused with a message, and its folder is not made."""
    path = write(tmp_path, labelled=labelled, **changes)
    with pytest.raises(InputError, match=match):
        Training(load_config(path), tmp_path / "out", Group()).run(sets.Quiet())
    assert not (tmp_path / "out").exists()


def without(*labels):
    return [replace(f, **dict.fromkeys(labels)) for f in frames()]


def test_missing_labels_are_refused(tmp_path):
    refused(tmp_path, "no training frame has forces .*say keys", without("forces"))


def test_missing_energies_are_refused(tmp_path):
    refused(tmp_path, "no training frame has energy", without("energy"))


def test_a_stress_that_is_asked_for_but_absent_is_refused(tmp_path):
    refused(tmp_path, "stress_weight: no training frame has stress", without("stress"), stress_weight=10)


def test_a_stress_that_nobody_asked_for_is_left_out_with_a_word(tmp_path):
    path = write(tmp_path, labelled=without("stress"))
    training = Training(load_config(path), tmp_path / "out", Group())
    assert set(training.stages[0].loss.weights) == {"energy_per_atom", "forces"}
    assert any("stress" in warning for warning in training.sets.warnings)


def test_a_wrong_key_is_refused(tmp_path):
    refused(tmp_path, "no 'E_dft' for energy .*the frame has", keys={"energy": "E_dft"})


def test_elements_without_a_free_atom_are_refused(tmp_path):
    refused(tmp_path, "no energy of the free atom for Si .*average", E0s={"C": 1.0})
    refused(tmp_path, "no energy of the free atom for Si", E0s="isolated")


def test_one_frame_is_refused(tmp_path):
    refused(tmp_path, "cannot be split", frames(1))
    (tmp_path / "valid.extxyz").write_text((tmp_path / "train.extxyz").read_text())
    config = {k: v for k, v in sets.CONFIG.items() if k != "valid_fraction"}
    refused(tmp_path, "1 training frame .*at least 2", frames(1), config=config, valid_file="valid.extxyz")


def test_one_trajectory_cannot_be_split_by_trajectory(tmp_path):
    refused(tmp_path, "split at random", [replace(f, trajectory="one") for f in frames()])


def test_a_cutoff_far_beyond_the_cell_is_refused(tmp_path):
    refused(tmp_path, "r_max: larger than sensible for the cell", r_max=17.0)


def test_a_cutoff_short_of_any_neighbour_is_refused(tmp_path):
    refused(tmp_path, "no atom has a neighbour within the cutoff", r_max=1.0)


def test_mixed_periodicity_is_refused_unless_it_is_meant(tmp_path):
    cluster = as_atoms(frames(1)[0])
    cluster.pbc = False
    cluster.info.pop("stress")
    mixed = frames()
    mixed[5] = replace(mixed[5], structure=Structure.from_ase(cluster), stress=None)
    refused(tmp_path, "frames of different periodicity .*allow_mixed_periodicity", mixed)
    path = write(tmp_path, labelled=mixed, allow_mixed_periodicity=True, max_num_epochs=1)
    assert train(path, tmp_path / "out").finished


def test_an_unknown_element_in_the_test_set_is_refused(tmp_path):
    atoms = as_atoms(frames(1)[0])
    atoms.numbers[0] = 6
    ase.io.write(tmp_path / "test.extxyz", atoms, format="extxyz")
    refused(tmp_path, "a test frame holds the elements", test_file="test.extxyz")


def test_a_package_for_other_elements_or_of_another_network_is_refused(tmp_path):
    train(write(tmp_path, max_num_epochs=1), tmp_path / "first")
    other = [
        replace(f, structure=replace(f.structure, numbers=np.full_like(f.structure.numbers, 6)))
        for f in frames()
    ]
    start = {
        "start_from": str(tmp_path / "first" / "small.mlip"),
        "train_file": "train.extxyz",
        "audit": "off",
    }
    refused(tmp_path, "start_from: a network for other elements", other, config=start)
    refused(
        tmp_path, "num_layers: not the network of start_from .*expected 1, got 2", config=start, num_layers=2
    )


def test_what_the_audit_finds_stops_a_training_unless_told_otherwise(tmp_path):
    wrong = [replace(f, forces=-f.forces) for f in frames(30, amplitude=0.2)]
    refused(tmp_path, "the audit of the training data found errors", wrong, audit="stop")
    training = Training(load_config(write(tmp_path, labelled=wrong, audit="note")), tmp_path / "o", Group())
    assert any(line.startswith("error") for line in training.sets.audit)


# ---------------------------------------------------------------- energies of free atoms
def test_frames_of_free_atoms_give_e0s_and_are_not_trained_on(tmp_path):
    atom = Atoms("Si", [[5, 5, 5]], cell=[10, 10, 10], pbc=True, info={"energy": E0, "config_type": "atom"})
    atom.arrays["forces"] = np.zeros((1, 3))
    path = write(tmp_path, E0s="isolated")
    ase.io.write(path.with_name("train.extxyz"), atom, format="extxyz", append=True)
    training = Training(load_config(path), tmp_path / "out", Group())
    assert training.start.atomic_energies == {14: E0}
    assert len(training.sets.train) + len(training.sets.valid) == 12


def test_average_energies_are_those_that_made_the_labels():
    """Energies made of E0s alone come back; sums in place of means, or elements exchanged, would not."""
    rng = np.random.default_rng(4)
    made = []
    for frame in frames(6):
        numbers = rng.choice([14, 8, 1], size=8)
        energy = float(np.select([numbers == 14, numbers == 8], [-7.0, -3.0], 0.5).sum())
        made.append(replace(frame, energy=energy, structure=replace(frame.structure, numbers=numbers)))
    assert average_energies(made) == pytest.approx({1: 0.5, 8: -3.0, 14: -7.0}, abs=1e-10)


# ---------------------------------------------------------------- splits and files
def test_a_split_keeps_trajectories_together_and_is_that_of_the_seed():
    names = [f"run-{n // 5}" for n in range(100)]
    parts = split(names, 0.2, 0.1, "trajectory", seed=3)
    assert [len(p) for p in parts] == [70, 20, 10]
    assert sorted(itertools.chain(*parts)) == list(range(100))
    owners = [{names[n] for n in part} for part in parts]
    assert not owners[0] & owners[1]
    assert not owners[0] & owners[2]
    assert not owners[1] & owners[2]
    assert split(names, 0.2, 0.1, "trajectory", seed=3) == parts
    assert split(names, 0.2, 0.1, "trajectory", seed=4) != parts


def test_a_random_split_takes_frames_apart():
    parts = split(["one"] * 50, 0.1, 0.0, "random", seed=1)
    assert [len(p) for p in parts] == [45, 5, 0]


def test_hdf5_gives_back_what_was_packed(tmp_path):
    packed = [replace(f, temperature_K=300.0) for f in frames(5)] + without("stress", "forces")[:2]
    assert write_hdf5(tmp_path / "set.h5", packed) == 7
    found = HDF5Frames(tmp_path / "set.h5")
    assert len(found) == 7
    for one, two in zip(packed, found, strict=True):
        assert one.structure.hash == two.structure.hash
        assert (one.energy, one.config_type, one.trajectory) == (two.energy, two.config_type, two.trajectory)
        assert (one.label, one.temperature_K) == (two.label, two.temperature_K)
        for name in ("forces", "stress"):
            a, b = getattr(one, name), getattr(two, name)
            assert (a is None and b is None) or np.array_equal(a, b)
    assert found.trajectories() == [f.trajectory for f in packed]
    assert [f.label for f in read_frames(tmp_path / "set.h5", "1:3")] == ["made#1", "made#2"]


@pytest.mark.parametrize("kind", ["h5", "db"])
def test_other_formats_train_to_the_same_weights(tmp_path, kind):
    """Frames from HDF5 or an ASE database instead of extxyz: the same losses, to the digits of the text."""
    text = train(write(tmp_path, max_num_epochs=1), tmp_path / "text")
    labelled = read_frames(tmp_path / "train.extxyz")
    if kind == "h5":
        write_hdf5(tmp_path / "train.h5", labelled)
    else:
        with ase.db.connect(tmp_path / "train.db") as database:
            for frame in labelled:
                atoms = as_atoms(frame)
                data = {"forces": atoms.arrays.pop("forces"), "stress": frame.stress}
                pairs = {"trajectory": frame.trajectory, "config_type": frame.config_type}
                database.write(atoms, data=data | {"energy": frame.energy}, **pairs)
    other = train(write(tmp_path, max_num_epochs=1, train_file=f"train.{kind}"), tmp_path / "other")
    one, two = text.members[0].epochs[0], other.members[0].epochs[0]
    assert two.train_loss == pytest.approx(one.train_loss, rel=1e-9)
    assert two.valid_loss == pytest.approx(one.valid_loss, rel=1e-9)


@pytest.mark.parametrize("content", [b"", b"not hdf5", None])
def test_a_file_that_holds_no_frames_is_refused(tmp_path, content):
    path = tmp_path / "train.h5"
    if content is None:
        import h5py

        with h5py.File(path, "w") as file:
            file["positions"] = np.zeros((3, 3))
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match="mlipbench pack"):
        HDF5Frames(path)
    refused(tmp_path, "train_file.*mlipbench pack", train_file="train.h5")
