"""The command line inside this process, children included: a run of the plug-in's pairs takes a second.

What is skipped: the child process (its task is called in this one), the timing of the potential, and the
drawing of the report (all that it would be drawn of is written in its place).
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from mlipbench.cli import main
from mlipbench.report import write
from mlipbench.run import execute, probe, process, registry, session
from mlipbench.store import layout

PLUGIN = Path(__file__).parent / "plugin"

SUITES = "suites: {pair: {}, warm: {use: pair, temperature_K: 45}}\n"
HEAD = """
title: two pairs
potential: {use: lj-ar}
intended_use: {elements: [Ar], phases: [gas], temperature_K: 30}
seed: 3
"""


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


def suite_file(folder: Path, suites: str = SUITES, head: str = HEAD, name: str = "s.yaml") -> Path:
    path = folder / name
    path.write_text(head + suites)
    return path


@contextlib.contextmanager
def in_process() -> Iterator[Command]:
    """The command line as a function of its arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PLUGIN))
        registry.suite_entry_points.cache_clear()
        patch.setattr(execute, "_end_with_parent", lambda: None)
        patch.setattr(probe, "estimate", _untimed)  # a run goes on without its estimate
        patch.setattr(session, "run_child", _inline)
        patch.setattr(write, "render", repr)

        def call(*arguments: object) -> Said:
            out, err = io.StringIO(), io.StringIO()
            patch.setattr(sys, "argv", ["mlipbench", *map(str, arguments)])
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main._run()
            return Said(code, out.getvalue(), err.getvalue())

        yield call
    registry.suite_entry_points.cache_clear()


def _untimed(*_: object) -> None:
    raise RuntimeError("nothing is timed in this test")


def _inline(
    arguments: list[str],
    log: Path,
    stall_s: float,
    memory_GB: float | None,
    on_message: Callable[[process.Message], None],
    keep_open: object = (),
) -> process.Ending:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.open("ab").close()
    except OSError as error:
        raise layout.refused("write", log, error) from error
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    status = execute.main([str(writing), *arguments])
    with open(reading, "rb") as pipe:
        for line in pipe:
            message = process._message(line)
            if message:
                on_message(message)
    return process.Ending(process._status_in_words(status))


def fingerprints(run: Path) -> dict[str, str]:
    """sha256 of what must come out the same: results, trajectories, arrays."""
    files = [run / "results.json", *run.glob("trajectories/*/*"), *run.glob("suites/*/arrays/*")]
    files += [*run.glob("suites/*/result.json"), *run.glob("suites/*/evaluations/*"), run / "plan.lock.yaml"]
    return {str(f.relative_to(run)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def without(fingerprint: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: digest for name, digest in fingerprint.items() if name not in names}


_OVERRIDE = (1 << 1) | (1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: root reads and writes anything


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inherited", ctypes.c_uint32),
    )


@contextlib.contextmanager
def permissions_count() -> Iterator[None]:
    """Root obeys the permissions of files as everybody does (capabilities(7)); others do anyway."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(0x20080522, 0), (_Sets * 2)()
    if libc.capget(ctypes.byref(header), sets) != 0:
        pytest.skip("root's capabilities cannot be read here")
    before = sets[0].effective
    sets[0].effective = before & ~_OVERRIDE
    if libc.capset(ctypes.byref(header), sets) != 0:
        pytest.skip("root's capabilities cannot be dropped here")
    try:
        yield
    finally:
        sets[0].effective = before
        libc.capset(ctypes.byref(header), sets)
