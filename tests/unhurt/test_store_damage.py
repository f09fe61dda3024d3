"""Every file of a finished run, damaged in every way: a command says so, or gives what it gave before.

Oracle: the undamaged run. Catches a number that changes with a flipped bit and nobody says a word, a
traceback, a message that does not name the file, and advice that does not lead back to the same bits.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import harness
import numpy as np
import pytest

from mlipbench.core.errors import StoreError
from mlipbench.store import layout
from mlipbench.store.arrays import read_arrays, write_arrays

NOT_READ = (".html", ".md", ".xml", ".txt", ".bib", ".csv")
"""Suffixes of files that no command reads, apart from key.txt: written anew each time, or for people."""
FOR_READERS = ("provenance.json", "timings.json", "result.json", "data.json")
"""Files that the report shows where they are there; no number is judged by them."""


def flip(content: bytes, part: float) -> bytes:
    content = content or b"\n"
    at = min(int(part * len(content)), len(content) - 1)
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARMS = {
    "emptied": lambda path: path.write_bytes(b""),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "first bit flipped": lambda path: path.write_bytes(flip(path.read_bytes(), 0.0)),
    "a bit flipped": lambda path: path.write_bytes(flip(path.read_bytes(), 0.4)),
    "last bit flipped": lambda path: path.write_bytes(flip(path.read_bytes(), 1.0)),
    "deleted": lambda path: path.unlink(),
    "a folder": folder_in_its_place,
    "unreadable": lambda path: path.chmod(0),
}


@pytest.fixture(scope="module")
def command():
    with harness.in_process() as call, harness.permissions_count():
        yield call


@pytest.fixture(scope="module")
def sound(tmp_path_factory, command):
    """A finished run: its folder's parent, what it left, what the other commands say of it."""
    folder = tmp_path_factory.mktemp("sound")
    suite = harness.suite_file(folder)
    done = command("run", suite, "--output", folder / "out")
    assert done.code == 0, done.err
    fingerprint = harness.fingerprints(folder / "out")
    assert command("run", suite, "--output", folder / "out").code == 0
    assert harness.fingerprints(folder / "out") == fingerprint
    assert command("report", folder / "out").code == 0  # a run notes the seconds of its report after it
    command("export", folder / "out", "--into", folder / "exported")
    return folder, fingerprint


def roles(run: Path) -> list[str]:
    """One file of each kind: of `pair`, its trajectories, and the run itself."""
    own = layout.read_json(run / "suites/pair/data.json")["trajectories"].values()
    keys = {f"trajectories/{link[0]}" for link in own}
    names = sorted(str(p.relative_to(run)) for p in run.rglob("*") if p.is_file())
    names = [n for n in names if not n.endswith(NOT_READ) or n.endswith("key.txt")]
    return [n for n in names if not n.startswith(("trajectories", "suites/warm")) or n[:37] in keys]


def test_every_kind_of_file_is_there(sound):
    kinds = {re.sub(r"[0-9a-f]{24,}|\d{3,}", "#", Path(name).name) for name in roles(sound[0] / "out")}
    assert kinds == {
        "data.json", "key.txt", "result.json", "energies.npy", "forces.npy", "#-#.npz",
        "chunk-#.npz", "tail-#-#.npz", "state-#.npz", "spec.json", "checkpoint.json", "probe.json",
        "provenance.json", "timings.json", "results.json", "plan.lock.yaml", ".lock",
    }  # fmt: skip


def harmed(sound, tmp_path: Path, name: str, harm) -> Path:
    shutil.copytree(sound[0] / "out", tmp_path / "out", symlinks=True)
    harm(tmp_path / "out" / name)
    return tmp_path / "out"


def said_so(done: harness.Said, path: Path) -> bool:
    """Whether a command ended with one clear message about a file."""
    assert done.code in (0, 74), done.err
    if done.code == 0:
        assert done.err == ""
        return False
    assert "Traceback" not in done.err
    assert done.err.count("\n") == 1, done.err
    named = str(path) in done.err or (path.name == "plan.lock.yaml" and str(path.parent) in done.err)
    assert named, done.err
    assert re.search(r"run the suite file again|run the same command again|mlipbench run", done.err), done.err
    return True


def check_readers(command, sound, run: Path, name: str) -> None:
    """gate, report, export, analyze: a message, or the same as ever."""
    folder = sound[0]
    whole, path = folder / "out", run / name
    gate = command("gate", run)
    assert said_so(gate, path) or gate.out == command("gate", whole).out
    if not said_so(command("report", run), path) and path.name not in FOR_READERS:
        for page in ("report.html", "checklist.md", "junit.xml"):
            assert (run / page).read_bytes() == (whole / page).read_bytes(), page
    exported = command("export", run, "--into", run.parent / "exported")
    if not said_so(exported, path):
        for file in (folder / "exported").iterdir():
            assert (run.parent / "exported" / file.name).stat().st_size == file.stat().st_size
    analyzed = command("analyze", run)
    if analyzed.code == 3:  # what is not there any more counts as not run, and the gate does not pass
        assert name.endswith(("result.json", "data.json"))
        assert "result" in analyzed.out or "INCONCLUSIVE" in analyzed.out
        shutil.rmtree(run)
        shutil.copytree(whole, run)
        (run / name).unlink()
    elif not said_so(analyzed, path):
        assert (run / "results.json").read_bytes() == (whole / "results.json").read_bytes()


def check_run(command, sound, run: Path, name: str) -> None:
    """The same command mends it by itself, or after what it advises: the same bits as ever."""
    folder, fingerprint = sound
    path = run / name
    if path.parent.name == "evaluations":  # read where a production begins again
        (path.parents[1] / "data.json").unlink()
    if path.name.startswith("state-"):  # read where the trajectory that goes on from it begins again
        for follower in run.glob("trajectories/*/tail-00000-*.npz"):
            shutil.rmtree(follower.parent)
    for _ in range(3):
        done = command("run", folder / "s.yaml", "--output", run)
        if not said_so(done, path):
            break
        assert re.search(r"[Dd]elete it|remove it|make that possible", done.err), done.err
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    assert done.code == 0
    assert harness.fingerprints(run) == fingerprint


ORDINARY = ("a bit flipped",)


@pytest.mark.parametrize(
    "harm", [pytest.param(h, marks=[] if h in ORDINARY else pytest.mark.physics) for h in HARMS]
)
def test_damage(command, sound, tmp_path, harm):
    """All kinds of files; the messages say which one."""
    for number, name in enumerate(roles(sound[0] / "out")):
        place = tmp_path / str(number)
        if harm == "a folder" and name == ".lock":
            run = harmed(sound, place, name, HARMS[harm])
            assert said_so(command("run", sound[0] / "s.yaml", "--output", run), run / name)
            continue
        print(harm, name)
        run = harmed(sound, place, name, HARMS[harm])
        check_readers(command, sound, run, name)
        check_run(command, sound, run, name)


@pytest.mark.parametrize("harm", ["emptied", "deleted", "unreadable"])
def test_damage_to_what_is_never_read_does_no_harm(command, sound, tmp_path, harm):
    shutil.copytree(sound[0] / "out", tmp_path / "out")
    names = [p for p in (tmp_path / "out").rglob("*") if p.name.endswith(NOT_READ) and p.name != "key.txt"]
    assert len(names) >= 8
    for path in names:
        HARMS[harm](path)
    assert command("report", tmp_path / "out").code == 0
    assert (tmp_path / "out/report.html").read_bytes() == (sound[0] / "out/report.html").read_bytes()
    done = command("run", sound[0] / "s.yaml", "--output", tmp_path / "out")
    if harm == "unreadable":  # a log that cannot be written to is told, and may be removed
        assert said_so(done, tmp_path / "out/suites/contract/log.txt")
        for path in (tmp_path / "out").glob("suites/*/log.txt"):
            path.unlink()
        done = command("run", sound[0] / "s.yaml", "--output", tmp_path / "out")
    assert done.code == 0
    assert harness.fingerprints(tmp_path / "out") == sound[1]


def test_files_exchanged_with_those_of_another_suite_or_trajectory(command, sound, tmp_path):
    run = sound[0] / "out"
    pairs = [(f"suites/pair/{n}", f"suites/warm/{n}") for n in ("data.json", "key.txt", "result.json")]
    pairs += [("suites/pair/arrays/energies.npy", "suites/pair/arrays/forces.npy")]
    names = {p.name for p in run.glob("trajectories/*/*")}
    for name in sorted(names):
        first, second, *_ = sorted(str(p.relative_to(run)) for p in run.glob(f"trajectories/*/{name}"))
        pairs.append((first, second))
    own = sorted(str(p.relative_to(run)) for p in run.glob("suites/pair/evaluations/*"))
    pairs += [(own[0], own[1]), ("results.json", "probe.json"), ("timings.json", "provenance.json")]
    assert len(pairs) >= 13
    for number, (one, other) in enumerate(pairs):
        print(one, other)
        place = harmed(sound, tmp_path / str(number), one, lambda path: None)
        shutil.copy(run / other, place / one)
        check_readers(command, sound, place, one)
        check_run(command, sound, place, one)


@pytest.mark.parametrize("folder", ["suites", "trajectories", "suites/pair", "suites/pair/arrays"])
def test_whole_folders_lost_or_replaced_by_a_file(command, sound, tmp_path, folder):
    run = harmed(sound, tmp_path, folder, shutil.rmtree)
    done = command("run", sound[0] / "s.yaml", "--output", run)
    assert done.code == 0, done.err
    assert harness.fingerprints(run) == sound[1]
    shutil.rmtree(run / folder)
    (run / folder).write_text("in the way")
    done = command("run", sound[0] / "s.yaml", "--output", run)
    assert done.code == 74
    assert "remove it" in done.err
    assert "Traceback" not in done.err
    (run / folder).unlink()
    assert command("run", sound[0] / "s.yaml", "--output", run).code == 0
    assert harness.fingerprints(run) == sound[1]


def test_every_bit_of_a_sealed_file_counts(tmp_path):
    path = tmp_path / "x.json"
    layout.write_json(path, {"a": 1.5, "b": ["x", None]})
    assert layout.read_json(path) == {"a": 1.5, "b": ["x", None]}
    check_every_bit(path, lambda: layout.read_json(path))


def test_every_bit_of_the_plan_counts(tmp_path):
    path = tmp_path / "plan.lock.yaml"
    layout.write_plan(path, "title: a\nseed: 1\n", "0a" * 32)
    assert layout.read_plan(path) == ("title: a\nseed: 1\n", "0a" * 32)
    check_every_bit(path, lambda: layout.read_plan(path))


def test_every_bit_of_an_array_counts(tmp_path):
    path = tmp_path / "x.npz"
    digest = write_arrays(path, {"x": np.arange(3.0)})
    check_every_bit(path, lambda: read_arrays(path, digest))


def check_every_bit(path: Path, read) -> None:
    content = path.read_bytes()
    for at in range(len(content)):
        for bit in range(8):
            path.write_bytes(content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :])
            with pytest.raises(StoreError, match=path.name):
                read()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(StoreError, match=path.name):
            read()
    path.write_bytes(content)
    read()


@pytest.mark.parametrize(
    "text",
    ["", "null", "{}", "[]", "1", "{", '{"sha256": "0"}', '{\n "a": 1\n}\n', "\x00" * 300, "é" * 50],
)
def test_json_that_nobody_sealed_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(StoreError, match=r"x\.json: damaged or edited"):
        layout.read_json(tmp_path / "x.json")


def test_an_edited_plan_is_refused_by_analyze(command, sound, tmp_path):
    run = harmed(sound, tmp_path, layout.PLAN, lambda path: path.write_text(path.read_text() + "# mine\n"))
    done = command("analyze", run)
    assert said_so(done, run / layout.PLAN)
