"""Runs of the command line for tests: small suite files on Lennard-Jones argon, seconds each."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from mlipbench.cli import main
from mlipbench.run import registry

HEAD = """
title: a small run
potential: {{use: "{use}", kwargs: {kwargs}}}
intended_use: {{elements: [Ar], phases: [fcc], temperature_K: 30}}
seed: 3
watchdog: {{stall_s: {stall_s}, memory_GB: {memory_GB}}}
suites:
"""
PARITY = "  parity: {frames: {reference: argon_lj}}\n"
NVE = """  nve:
    structure: {{crystal: fcc, symbol: Ar, lattice_A: 5.30, repeat: [2, 2, 2]}}
    temperatures_K: [30]
    timestep_fs: 5
    duration_ps: {ps}
    prepare_ps: 2
    half_step_ps: 2
"""


def suite_file(
    folder: Path,
    use: str = "lj-ar",
    kwargs: str = "{}",
    suites: str = PARITY + NVE.format(ps=6),
    stall_s: float = 60,
    memory_GB: str = "null",
    tail: str = "",
) -> Path:
    """Write a suite file."""
    path = folder / "small.yaml"
    head = HEAD.format(use=use, kwargs=kwargs, stall_s=stall_s, memory_GB=memory_GB)
    path.write_text(head + suites + tail)
    return path


def command(*arguments: object) -> list[str]:
    """The command line of this environment."""
    return [sys.executable, "-W", "ignore", "-m", "mlipbench", *map(str, arguments)]


def environment(**extra: str) -> dict[str, str]:
    """One thread, so that runs can be compared bit for bit; a PYTHONPATH comes before that of the tests."""
    if "PYTHONPATH" in extra:
        extra["PYTHONPATH"] = os.pathsep.join([extra["PYTHONPATH"], os.environ.get("PYTHONPATH", "")])
    return os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | extra


def in_a_process(*arguments: object, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(**extra), capture_output=True, text=True, timeout=300
    )


def mlipbench(*arguments: object, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """The same within this process, which has imported everything; worker processes are real ones."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(cwd)
        for name, value in environment(**extra).items():
            patch.setenv(name, value)
        if "PYTHONPATH" in extra:
            patch.syspath_prepend(extra["PYTHONPATH"])
            registry.suite_entry_points.cache_clear()
        patch.setattr(sys, "argv", ["mlipbench", *map(str, arguments)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main._run()
    if "PYTHONPATH" in extra:
        registry.suite_entry_points.cache_clear()
    return subprocess.CompletedProcess(list(map(str, arguments)), code, out.getvalue(), err.getvalue())


def results(folder: Path) -> dict:
    """results.json of a run folder."""
    return json.loads((folder / "results.json").read_text())


def verdicts(folder: Path) -> dict[str, str | None]:
    """Measurement id -> verdict, of all suites."""
    found = results(folder)
    return {m["id"]: m["verdict"] for suite in found["suites"].values() for m in suite["measurements"]}


def checklist(folder: Path) -> dict[int, str]:
    """Checklist item -> status."""
    return {entry["number"]: entry["status"] for entry in results(folder)["checklist"]}
