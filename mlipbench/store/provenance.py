"""Where a result comes from: versions, hardware, code state. Kept apart from results.json."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = ("mlipbench", "numpy", "scipy", "ase", "vesin", "matplotlib", "torch", "e3nn", "phonopy")


def provenance(extra: dict[str, Any]) -> dict[str, Any]:
    """Everything about the machine and the code that a reader may ask for."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_GiB": round(psutil.virtual_memory().total / 2**30, 1),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "packages": {name: v for name in _PACKAGES if (v := _version(name))},
        "git": _git_state(Path(__file__).parent),
    } | extra


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _git_state(folder: Path) -> dict[str, Any]:
    """Commit and cleanness of the checkout that mlipbench runs from; empty for an installed wheel."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        commit = git("rev-parse", "HEAD")
        tracked = git("ls-files", "--error-unmatch", "provenance.py")
    except FileNotFoundError:
        return {}
    return {"commit": commit, "modified": bool(git("status", "--porcelain", "-uno"))} if tracked else {}
