"""Whole trainings of seconds: exact resume, precision, committees, fine-tuning, what is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import sets
import torch
from sets import Quiet, train, write

from mlipbench.core.errors import StoreError
from mlipbench.core.training import TrainingRecord
from mlipbench.model.package import load
from mlipbench.potentials.embedded import embedded
from mlipbench.store.layout import read_json


def weights(path):
    return {name: t.numpy().copy() for name, t in load(path).committee.state_dict().items()}


def same(one, two):
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training in one go: folder, record."""
    folder = tmp_path_factory.mktemp("trained")
    path = write(folder)
    return folder, train(path, folder / "out")


def test_training_lowers_errors_on_frames_that_it_has_not_seen(trained):
    """A step in the wrong direction, or labels of other frames, would raise them."""
    _, record = trained
    epochs = record.members[0].epochs
    assert len(epochs) == 4
    assert epochs[-1].valid_loss < 0.9 * epochs[0].valid_loss
    assert record.members[0].ended == "schedule"


def test_the_record_is_stored_whole(trained):
    folder, record = trained
    assert TrainingRecord.model_validate(read_json(folder / "out" / "training.json")) == record
    assert [p.part for p in record.parts] == ["train", "valid"]
    assert record.parts[0].n_frames == 9
    assert record.parts[0].n_trajectories == 3
    assert record.parts[0].labels == {"energy": 9, "forces": 9, "stress": 9}
    assert {row.config_type for row in record.rows if row.part == "valid"} == {"", "cold", "warm"}


def test_rows_of_errors_are_those_of_the_finished_potential(trained):
    """Computed anew through the potential's own interface, on the validation frames."""
    folder, record = trained
    potential = embedded(folder / "out" / "small.mlip")
    labelled = {f"{f.config_type} {f.energy!r}": f for f in sets.frames()}
    valid = [f for f in record.frames if f.part == "valid"]
    assert len(valid) == 3
    (row,) = [r for r in record.rows if r.part == "valid" and r.config_type == ""]
    errors, forces = [], []
    for entry in valid:
        frame = sets.frames()[int(entry.label.split("#")[1])]
        (answer,) = potential.evaluate([frame.structure])
        errors.append(1e3 * (answer.energy - frame.energy) / 8)
        forces.append(1e3 * (answer.forces - frame.forces))
        assert entry.energy == pytest.approx(errors[-1], abs=1e-5)  # text files hold eight digits
    assert len(labelled) == 12
    assert row.errors.energy_mae == pytest.approx(np.mean(np.abs(errors)), rel=1e-5)
    assert row.errors.forces_rmse == pytest.approx(np.sqrt(np.mean(np.square(forces))), rel=1e-5)


def test_the_package_says_what_the_training_covered(trained):
    folder, _ = trained
    metadata = load(folder / "out" / "small.mlip").metadata
    assert metadata.domain.n_frames == 9
    assert metadata.domain.n_atoms == {"Si": 72}
    assert 1.8 < metadata.domain.shortest_distance_A["Si-Si"] < 2.3
    assert metadata.atomic_energies_eV == {14: sets.E0}
    assert metadata.origin["configuration"]["lr"] == 0.03


@pytest.mark.parametrize("step", [1, 3, 4, 7, 11])
def test_a_training_that_was_cut_off_ends_with_the_same_weights(trained, tmp_path, step):
    """Bit for bit, wherever it was cut off: between batches, after an epoch, in the last one. Three steps are
    an epoch; with a checkpoint after every step nothing is computed twice, with rare ones an epoch is."""
    folder, record = trained
    path = write(tmp_path, checkpoint_minutes=1e-9 if step % 2 else 60)
    with pytest.raises(KeyboardInterrupt):
        train(path, tmp_path / "out", Quiet(stop_at=step))
    resumed = train(path, tmp_path / "out")
    assert same(weights(folder / "out" / "small.mlip"), weights(tmp_path / "out" / "small.mlip"))
    for one, two in zip(record.members[0].epochs, resumed.members[0].epochs, strict=True):
        assert one.model_copy(update={"seconds": 0.0}) == two.model_copy(update={"seconds": 0.0})
    logs = [(f / "out" / "member-0" / "debug.log").read_text() for f in (folder, tmp_path)]
    assert logs[0] == logs[1]
    assert len(logs[0].splitlines()) == 12


def test_a_finished_training_is_not_trained_again(trained):
    folder, record = trained
    display = Quiet()
    again = train(folder / "small.yaml", folder / "out", display)
    assert display.epochs == []
    assert again.members == record.members


def test_a_killed_process_is_resumed_by_the_same_command(trained, tmp_path):
    """kill -9 in the middle, through the command line; the weights of the undisturbed training."""
    folder, _ = trained
    path = write(tmp_path, checkpoint_minutes=1e-9)
    command = [sys.executable, "-W", "ignore", "-m", "mlipbench", "train", str(path), "--output", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = tmp_path / "out" / "member-0" / "debug.log"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not (log.exists() and len(log.read_text().splitlines()) >= 2):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert same(weights(folder / "out" / "small.mlip"), weights(tmp_path / "out" / "small.mlip"))
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_two_processes_of_torchrun_train_the_weights_of_one(trained, tmp_path):
    """Sums in another order: equal to 1e-9 after twelve steps. A gradient that is averaged where it should
    be summed, or a share that is counted twice, shows in the first digit."""
    folder, _ = trained
    path = write(tmp_path)
    command = [
        sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--nproc-per-node", "2",
        "--standalone",  # on a port that is free
        "-m", "mlipbench", "train", str(path), "--output", "out",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = weights(folder / "out" / "small.mlip"), weights(tmp_path / "out" / "small.mlip")
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-7, atol=1e-9)


# ---------------------------------------------------------------- other courses
def test_stages_follow_their_schedule(tmp_path):
    schedule = {
        "0": {"name": "forces first", "start": 0, "end": 1, "loss": {"forces": 100}, "lr": 0.01},
        "1": {
            "name": "energies",
            "start": 2,
            "end": 3,
            "loss": {"energy_per_atom": 10, "forces": 1},
            "lr": 0.001,
        },
    }
    config = {k: v for k, v in sets.CONFIG.items() if k not in ("max_num_epochs", "lr")}
    record = train(write(tmp_path, config, train_schedule=schedule), tmp_path / "out")
    epochs = record.members[0].epochs
    assert [e.stage for e in epochs] == ["forces first"] * 2 + ["energies"] * 2
    assert [e.lr for e in epochs] == [0.01, 0.01, 0.001, 0.001]
    assert set(epochs[0].train_terms) == {"forces"}
    assert set(epochs[2].valid_terms) == {"energy_per_atom", "forces"}
    assert record.members[0].best_epoch in (2, 3)


def test_the_cosine_counts_epochs_not_validations(tmp_path):
    """Validated every second epoch, the rate still follows 1 + cos(pi k / 4): counting validations, it would
    stay in the first half."""
    path = write(tmp_path, scheduler="cosine", eval_interval=2, lr=0.01, lr_min=1e-6)
    epochs = train(path, tmp_path / "out").members[0].epochs
    expected = [1e-6 + 0.5 * (0.01 - 1e-6) * (1 + np.cos(np.pi * k / 4)) for k in range(4)]
    assert [e.lr for e in epochs] == pytest.approx(expected, rel=1e-12)
    assert [e.valid_loss is None for e in epochs] == [True, False, True, False]


def test_energies_of_free_atoms_are_part_of_a_training(tmp_path):
    """E0s from frames of free atoms that were exchanged: another training, not one to go on with."""
    path = write(tmp_path, E0s="isolated", max_num_epochs=1)
    frame_set = (tmp_path / "train.extxyz").read_text()
    atom = (
        '1\nLattice="20 0 0 0 20 0 0 0 20" Properties=species:S:1:pos:R:3:forces:R:3 energy={} pbc="T T T"\n'
    )
    for energy, refused in ((-5.0, False), (-6.0, True)):
        (tmp_path / "train.extxyz").write_text(frame_set + atom.format(energy) + "Si 0 0 0 0 0 0\n")
        if refused:
            with pytest.raises(StoreError, match="of other data"):
                train(path, tmp_path / "out")
        else:
            train(path, tmp_path / "out")


def test_patience_ends_a_training(tmp_path):
    """With a learning rate of nothing the validation loss never falls after the first epoch."""
    path = write(tmp_path, lr=1e-300, lr_min=1e-300, ema_decay=None, patience=2, max_num_epochs=50)
    record = train(path, tmp_path / "out")
    assert record.members[0].ended == "patience"
    assert len(record.members[0].epochs) == 3
    assert record.members[0].best_epoch == 0


def test_a_committee_has_members_of_their_own(tmp_path):
    """Trained one by one, in any order, the potential is the same as trained in one go."""
    path = write(tmp_path, committee=2, max_num_epochs=1)
    record = train(path, tmp_path / "whole")
    assert [m.seed for m in record.members] == [1, 2]
    assert not train(path, tmp_path / "parts", only=1).finished
    assert not (tmp_path / "parts" / "small.mlip").exists()
    assert train(path, tmp_path / "parts", only=0).finished
    assert same(weights(tmp_path / "whole" / "small.mlip"), weights(tmp_path / "parts" / "small.mlip"))
    members = load(tmp_path / "whole" / "small.mlip").committee.networks
    assert not torch.equal(members[0].embedding, members[1].embedding)


@pytest.mark.parametrize("dtype", ["float32", "mixed"])
def test_lower_precision_trains_to_nearly_the_same(trained, tmp_path, dtype):
    """One float64 training of four epochs against float32 arithmetic: losses agree to rounding that a dozen
    steps amplify, 1e-3; a forgotten copy between the two sets of weights leaves the loss where it began."""
    _, record = trained
    found = train(write(tmp_path, dtype=dtype), tmp_path / "out").members[0].epochs
    for one, two in zip(record.members[0].epochs, found, strict=True):
        assert two.train_loss == pytest.approx(one.train_loss, rel=1e-3)
        assert two.valid_loss == pytest.approx(one.valid_loss, rel=1e-3)
    assert load(tmp_path / "out" / "small.mlip").committee.networks[0].embedding.dtype == torch.float64


def test_fine_tuning_starts_where_the_package_ended(trained, tmp_path):
    """With no step taken, the first validation is that of the package."""
    folder, record = trained
    config = {"train_file": "train.extxyz", "start_from": str(folder / "out" / "small.mlip"), "audit": "off"}
    path = write(tmp_path, config, valid_fraction=0.25, lr=1e-300, lr_min=1e-300, max_num_epochs=1)
    tuned = train(path, tmp_path / "out")
    best = record.members[0].epochs[record.members[0].best_epoch]
    assert tuned.members[0].epochs[0].valid.forces_rmse == pytest.approx(best.valid.forces_rmse, rel=1e-9)
    assert load(tmp_path / "out" / "small.mlip").metadata.origin["started from"]["name"] == "small"
    assert tuned.atomic_energies_from == "those of small"


def test_a_diverged_training_says_why_and_leaves_no_potential(tmp_path):
    labelled = sets.frames()
    positions = labelled[0].structure.positions.copy()
    positions[1] = positions[0] + [1e-160, 0, 0]
    labelled[0] = replace(labelled[0], structure=labelled[0].structure.with_positions(positions))
    path = write(tmp_path, labelled=labelled, split="random")
    record = train(path, tmp_path / "out")
    (member,) = record.members
    assert member.ended == "diverged"
    assert member.message.startswith("epoch 0, batch 0: the loss is nan")
    assert "closer than" in member.causes[0].what
    assert not record.finished
    assert not (tmp_path / "out" / "small.mlip").exists()


def test_a_folder_of_another_training_is_refused(trained, tmp_path):
    folder, _ = trained
    before = (folder / "out" / "small.mlip").read_bytes()
    with pytest.raises(StoreError, match="another configuration"):
        train(write(tmp_path, lr=0.02), folder / "out")
    with pytest.raises(StoreError, match="of other data"):
        train(write(tmp_path, labelled=sets.frames(seed=5)), folder / "out")
    assert (folder / "out" / "small.mlip").read_bytes() == before


def test_a_damaged_checkpoint_is_refused(trained, tmp_path):
    path = write(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(path, tmp_path / "out", Quiet(stop_at=5))
    checkpoint = tmp_path / "out" / "member-0" / "checkpoint.pt"
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        train(path, tmp_path / "out")


def test_the_configuration_is_kept_with_its_defaults(trained):
    folder, _ = trained
    text = (folder / "out" / "config.lock.yaml").read_text()
    kept = json.loads(text.partition("\n")[2].partition("\n")[2])
    assert kept["amsgrad"] is True
    assert kept["name"] == "small"
