"""The trajectory store, fed by hand."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest

from mlipbench.core.errors import StoreError
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import NVE, Event, MaxwellBoltzmann, TrajectorySpec, steps_lasting
from mlipbench.store.arrays import write_arrays
from mlipbench.store.layout import write_json
from mlipbench.store.trajectories import TrajectoryStore

ARGON = Structure(
    np.array([18, 18]), np.array([[0.0, 0, 0], [4, 0, 0]]), 20 * np.eye(3), np.ones(3, bool), np.full(2, 40.0)
)
SPEC = TrajectorySpec(ARGON, NVE(), 2.0, 25, MaxwellBoltzmann(50.0), 1, frame_stride=2, monitor_stride=5)
KEY = SPEC.key("p")
CHUNK = 10


def piece(first, last, stride=2, event=None):
    """Samples and frames of the steps first < step <= last, numbers that tell their step."""

    def of(every):
        steps = [s for s in range(first + 1, last + 1) if s % every == 0]
        return np.array([0, *steps] if first == 0 else steps, dtype=np.int64)

    steps, frame_steps = of(5), of(stride)
    if event is not None and first < event.step <= last and event.step not in frame_steps:
        frame_steps = np.append(frame_steps, event.step)
    names = ("potential_energy", "kinetic_energy", "conserved", "temperature", "closest_contact")
    return {
        "steps": steps,
        "frame_steps": frame_steps,
        **dict.fromkeys(names, steps * 1.0),
        "momentum": steps[:, None] * np.ones(3),
        "angular_momentum": steps[:, None] * np.ones(3),
        "positions": frame_steps[:, None, None] * np.ones((2, 3)),
        "velocities": frame_steps[:, None, None] * np.ones((2, 3)),
        "cells": frame_steps[:, None, None] * np.ones((3, 3)),
    }


def state(step):
    return {"positions": np.full((2, 3), float(step))}


def read(store, n_steps=25, frame_stride=2):
    return store.read(KEY, n_steps, frame_stride)


def filled(folder, n_steps=25, event=None, marks=()):
    """A store with one trajectory, committed chunk by chunk."""
    store = TrajectoryStore(folder)
    sink = store.sink(KEY, SPEC)
    assert not sink.prepare(n_steps, 2, frozenset(marks), CHUNK)
    last = n_steps if event is None else event.step
    while True:
        first = sink.step
        end = min(first + CHUNK, last)
        marked = {m: state(m) for m in marks if first < m <= end}
        sink.commit(end, piece(first, end, event=event), state(end), marked, event if end == last else None)
        if end == last:
            return store


def test_equal_arrays_give_equal_bytes(tmp_path):
    """Catches an archive whose entries carry the time at which they were written."""
    first = write_arrays(tmp_path / "a.npz", {"x": np.arange(5), "y": np.ones(3)})
    assert write_arrays(tmp_path / "b.npz", {"y": np.ones(3), "x": np.arange(5)}) == first
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_read_cuts_to_what_is_asked(tmp_path):
    store = filled(tmp_path)
    whole = read(store)
    assert list(whole.steps) == [0, 5, 10, 15, 20, 25]
    assert list(whole.frame_steps) == list(range(0, 25, 2))
    assert (whole.n_steps, whole.event) == (25, None)
    cut = read(store, n_steps=12, frame_stride=6)
    assert list(cut.steps) == [0, 5, 10]
    assert list(cut.frame_steps) == [0, 6, 12]
    assert list(cut.positions[:, 0, 0]) == [0, 6, 12]
    assert list(cut.momentum[:, 2]) == [0, 5, 10]
    none = read(store, frame_stride=0)
    assert none.positions.shape == (0, 2, 3)


def test_pieces_are_the_chunks_of_what_is_read(tmp_path):
    """Oracle: `read`. A chunk is in memory at a time, whatever the length."""
    store = filled(tmp_path)
    pieces = list(store.pieces(KEY, 25, 4))
    assert [list(p.frame_steps) for p in pieces] == [[0, 4, 8], [12, 16, 20], [24]]
    assert [list(p.steps) for p in pieces] == [[0, 5, 10], [15, 20], [25]]
    assert {p.n_steps for p in pieces} == {25}
    whole = read(store, frame_stride=4)
    for name in ("positions", "velocities", "cells", "momentum", "temperature"):
        assert np.array_equal(np.concatenate([getattr(p, name) for p in pieces]), getattr(whole, name))
    event = Event(13, 26.0, "temperature", 3e4, 2e4)
    broken = list(filled(tmp_path / "broken", event=event).pieces(KEY, 25, 4))
    assert [list(p.frame_steps) for p in broken] == [[0, 4, 8], [12, 13]]
    assert {p.event for p in broken} == {event}


def test_what_is_complete(tmp_path):
    store = filled(tmp_path)
    assert store.is_complete(KEY, 25, 2)
    assert store.is_complete(KEY, 7, 0)
    assert not store.is_complete(KEY, 26, 2)
    assert not store.is_complete(KEY, 25, 3)
    assert not store.is_complete("another", 1, 0)
    with pytest.raises(StoreError, match="expected 26 steps"):
        read(store, n_steps=26)


def test_events(tmp_path):
    event = Event(13, 26.0, "not_finite", 1.0, 0.0)
    store = filled(tmp_path, event=event)
    assert store.is_complete(KEY, 10**6, 2)
    ended = read(store, n_steps=10**6, frame_stride=4)
    assert (ended.event, ended.n_steps) == (event, 13)
    assert list(ended.frame_steps) == [0, 4, 8, 12, 13]
    assert list(read(store, frame_stride=0).frame_steps) == [13]
    before = read(store, n_steps=12)
    assert (before.event, before.n_steps, before.frame_steps[-1]) == (None, 12, 12)


def test_states_at_marks_chunk_ends_and_the_end(tmp_path):
    sink = filled(tmp_path, marks=(7,)).sink(KEY, SPEC)
    assert [sink.state(s)["positions"][0, 0] for s in (7, 10, 20, 25)] == [7, 10, 20, 25]
    with pytest.raises(StoreError, match="no state was kept at step 8"):
        sink.state(8)


def test_a_mark_that_was_not_kept_is_passed_again(tmp_path):
    sink = filled(tmp_path).sink(KEY, SPEC)
    assert sink.prepare(25, 2, frozenset({10, 25, 99}), CHUNK)
    assert not sink.prepare(25, 2, frozenset({14}), CHUNK)
    assert sink.step == 10


@pytest.mark.parametrize("name", ["chunk-00001.npz", "tail-00002-0005.npz"])
@pytest.mark.parametrize("harm", ["truncated", "flipped", "missing"])
def test_damage_is_named(tmp_path, name, harm):
    store = filled(tmp_path)
    path = tmp_path / KEY / name
    content = bytearray(path.read_bytes())
    if harm == "missing":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content[:-9] if harm == "truncated" else content)
    with pytest.raises(StoreError, match=f"{KEY}/{name}.*run the suite file again.* computed anew"):
        read(store)


@pytest.mark.parametrize("name", ["chunk-00000.npz", "chunk-00001.npz", "tail-00002-0005.npz"])
def test_a_missing_chunk_is_computed_anew_from_the_one_before_it(tmp_path, name):
    filled(tmp_path / "whole")
    store = filled(tmp_path / "harmed")
    (tmp_path / "harmed" / KEY / name).unlink()
    assert not store.is_complete(KEY, 25, 2)
    filled(tmp_path / "harmed")
    for path in (tmp_path / "whole" / KEY).iterdir():
        assert (tmp_path / "harmed" / KEY / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_damaged_spec_is_named(tmp_path):
    store = filled(tmp_path)
    path = tmp_path / KEY / "spec.json"
    path.write_text(path.read_text().replace("4.0", "4.5"))
    with pytest.raises(StoreError, match=r"spec\.json: damaged or edited.*run the suite file again"):
        read(store)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema": 99}', '{"schema": 1, "event": {"a": 1}}'])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    store = filled(tmp_path)
    (tmp_path / KEY / "checkpoint.json").write_text(content)
    with pytest.raises(StoreError, match=r"checkpoint\.json: damaged or edited"):
        read(store)
    with pytest.raises(StoreError, match="run the suite file again"):
        store.sink(KEY, SPEC)


@pytest.mark.parametrize(
    "content",
    [{}, {"schema": 99}, {"schema": 2, "key": "another"}, {"schema": 2, "key": KEY, "event": {"a": 1}}],
)
def test_a_checkpoint_of_another_version_or_trajectory_is_refused(tmp_path, content):
    store = filled(tmp_path)
    write_json(tmp_path / KEY / "checkpoint.json", content)
    with pytest.raises(StoreError, match=r"checkpoint\.json: not the checkpoint of this trajectory"):
        read(store)


def test_files_of_another_trajectory_are_refused(tmp_path):
    store = filled(tmp_path)
    shutil.copytree(tmp_path / KEY, tmp_path / "another")
    with pytest.raises(StoreError, match="not the checkpoint of this trajectory"):
        store.read("another", 25, 2)


def test_debris_is_removed(tmp_path):
    store = filled(tmp_path)
    kept = {path.name for path in (tmp_path / KEY).iterdir()}
    (tmp_path / KEY / ".chunk-00002.npz.part").write_bytes(b"half")
    (tmp_path / KEY / "chunk-00002.npz").write_bytes(b"never committed")
    assert store.sink(KEY, SPEC).prepare(25, 2, frozenset(), CHUNK)
    assert {path.name for path in (tmp_path / KEY).iterdir()} == kept


def test_the_spec_is_on_record(tmp_path):
    filled(tmp_path)
    content = json.loads((tmp_path / KEY / "spec.json").read_text())
    assert content["spec"] == json.loads(json.dumps(SPEC.describe()))
    assert content["structure"]["positions"] == ARGON.positions.tolist()


def test_a_chunk_of_another_length_starts_anew(tmp_path):
    sink = filled(tmp_path).sink(KEY, SPEC)
    assert not sink.prepare(40, 2, frozenset(), 2 * CHUNK)
    assert sink.step == 0
    assert [path.suffix for path in (tmp_path / KEY).glob("c*.json")] == [".json"]


@pytest.mark.parametrize(
    ("duration_ps", "timestep_fs", "steps"),
    [(100.0, 2.0, 50_000), (100.0, 3.0, 33_334), (0.3, 0.1, 3000), (1e-4, 2.0, 1), (50.0, 0.7, 71_429)],
)
def test_steps_last_as_long_as_was_asked(duration_ps, timestep_fs, steps):
    """100 ps in steps of 3 fs were 99.999 once: too short for a criterion that demands 100 ps."""
    assert steps_lasting(duration_ps, timestep_fs) == steps
    assert steps * timestep_fs >= 1000 * duration_ps * (1 - 1e-12)
