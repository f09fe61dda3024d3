"""Leaks between training and test frames, whose times may be lost.

Oracle: frames of one NVE run shuffled before the split leak; frames drawn independently from one crystal
(or one molecule) do not, whatever their temperatures; a contiguous split leaks at its end alone.
"""

import numpy as np
import pytest
from ase.build import add_adsorbate, bulk, fcc111
from audit_sets import alarms, alloy, audited, ethanol, run


def finding(report, name):
    return next(f for f in report.findings if f.id == name)


def bare(frames):
    """Without times."""
    for a in frames:
        a.info.pop("time_fs", None)
    return frames


def test_a_shuffled_run_leaks_and_a_contiguous_split_hardly_does(tmp_path):
    frames = bare(run())
    test = [frames[i] for i in range(0, 120, 5)]
    train = [frames[i] for i in range(120) if i % 5]
    report = audited(tmp_path, train, test)
    assert alarms(report) == {"leaks.correlated"}
    leak = finding(report, "leaks.correlated")
    assert leak.level == "error"
    assert leak.where[0].count == len(test)
    assert leak.amount.value < 0.12  # A: 20 fs of thermal motion; independent frames are 0.35 A apart
    later = audited(tmp_path, frames[:90], frames[96:])
    assert all(f.level != "error" for f in later.findings)


@pytest.mark.parametrize(("named", "level"), [("", "warning"), ("apart", "note"), ("alike", "warning")])
def test_a_lone_close_frame_is_what_the_names_of_trajectories_say(tmp_path, named, level):
    """One of 30 test frames is 20 fs from a training frame: a warning, unless both say that they are of
    different trajectories; of a shuffled run no names make a note."""
    frames = bare(run())
    test, train = [*frames[90:119], frames[40]], [*frames[:40], *frames[41:80]]
    for part, some in (("test", test), ("train", train)):
        for i, a in enumerate(some):
            if named == "apart":
                a.info["trajectory"] = f"{part}-{i}"
            elif named == "alike":
                a.info["trajectory"] = "one" if a is frames[40] or part == "train" else f"{part}-{i}"
    leak = finding(audited(tmp_path, train, test), "leaks.correlated")
    assert (leak.level, leak.where[0].count) == (level, 1)
    if named == "apart":
        assert "one basin" in leak.cause
        shuffled = [frames[i] for i in range(0, 120, 5)]
        rest = [frames[i] for i in range(120) if i % 5]
        assert finding(audited(tmp_path, rest, shuffled), "leaks.correlated").level == "error"


def test_frames_with_their_atoms_in_another_order_leak_as_well(tmp_path):
    frames = bare(run())
    rng = np.random.default_rng(6)
    test = [frames[i][rng.permutation(32)] for i in range(0, 120, 5)]
    train = [frames[i] for i in range(120) if i % 5]
    assert alarms(audited(tmp_path, train, test)) == {"leaks.correlated"}


def test_independent_frames_do_not_leak(tmp_path):
    for frames in (alloy(), ethanol()):
        isolated = [a for a in frames if len(a) == 1]
        several = [a for a in frames if len(a) > 1]
        assert alarms(audited(tmp_path, several[::2] + isolated, several[1::2])) == set()


@pytest.mark.parametrize("kind", ["cold and hot", "two basins", "a moving adsorbate"])
def test_close_but_independent_frames_do_not_leak(kind, tmp_path):
    """What makes independent frames close: low temperature, a shared minimum, few moving atoms."""
    rng = np.random.default_rng(7)
    crystal = bulk("Cu", "fcc", a=3.62, cubic=True) * (2, 2, 2)
    frames = []
    for i in range(120):
        if kind == "a moving adsorbate":
            a = fcc111("Cu", (3, 3, 3), a=3.62, vacuum=8.0)
            add_adsorbate(a, "O", 1.5 + 0.2 * rng.random(), position=tuple(rng.uniform(0, 7, 2)))
            a.positions += rng.normal(0, 0.01, a.positions.shape)
            a.pbc, a.info = True, {}
        else:
            a = crystal.copy()
            if kind == "two basins" and i % 3 == 0:
                a.positions[0] += [0.0, 0.0, 1.2]
            size = (0.03, 0.15)[i % 4 == 0] if kind == "cold and hot" else 0.06
            a.positions += rng.normal(0, size, a.positions.shape)
        a.info["REF_energy"] = -100.0 + rng.normal()
        frames.append(a)
    report = audited(tmp_path, frames[:90], frames[90:])
    assert not {f.id for f in report.findings} & {
        "leaks.correlated",
        "leaks.duplicates",
        "repeats.correlated",
    }


def test_a_training_frame_in_the_test_set_is_named(tmp_path):
    frames = alloy()
    report = audited(tmp_path, frames, [frames[11].copy()])
    assert alarms(report) == {"leaks.duplicates"}
    assert "test.extxyz#0 = train.extxyz#11" in finding(report, "leaks.duplicates").what


def test_one_trajectory_on_both_sides_is_named_with_its_times(tmp_path):
    frames = alloy()
    for i, a in enumerate(frames[:30]):
        a.info["trajectory"] = "md"
        a.info["time_fs"] = 500.0 * i
    report = audited(tmp_path, frames[:20] + frames[30:], frames[20:30])
    assert alarms(report) == {"leaks.trajectory"}
    assert "500 fs apart" in finding(report, "leaks.trajectory").what
