"""A child process under a watchdog: what hangs, crashes or eats the memory does no harm.

The child reports its progress through a pipe, one JSON object a line; that is its heartbeat. It is
killed with all its descendants when it has been silent too long or has grown too large, and it
ends by itself when this process is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

Message = dict[str, Any]

STARTUP_S = 120.0
"""Silence allowed before the first message, on top of the stall limit: imports may be slow."""


@dataclass(frozen=True)
class Ending:
    """How a child ended: "" is well, otherwise what happened in words for the report."""

    failure: str


def run_child(
    arguments: list[str],
    log: Path,
    stall_s: float,
    memory_GB: float | None,
    on_message: Callable[[Message], None],
) -> Ending:
    """Run `python -m mlipbench.run.execute ARGUMENTS`; its output goes to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    with open(log, "ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "mlipbench.run.execute", str(writing), *arguments],
            stdin=subprocess.PIPE,  # closed when this process dies: the child's sign to end
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
            start_new_session=True,
        )
    os.close(writing)
    try:
        failure = _watch(child, reading, stall_s, memory_GB, on_message)
        return Ending(failure or _status_in_words(child.wait()))
    finally:
        _kill(child)
        os.close(reading)


def _watch(
    child: subprocess.Popen[bytes],
    reading: int,
    stall_s: float,
    memory_GB: float | None,
    on_message: Callable[[Message], None],
) -> str:
    """Pass messages on until the pipe closes; "" or why the child was given up."""
    limit_bytes = (memory_GB * 1e9) if memory_GB else 0.9 * psutil.virtual_memory().total
    last, allowance = time.monotonic(), stall_s + STARTUP_S
    for line in _lines(reading):
        if line:
            on_message(json.loads(line))
            last, allowance = time.monotonic(), stall_s
        if time.monotonic() - last > allowance:
            return f"no progress for {stall_s:g} s: given up (watchdog.stall_s)"
        if _resident_bytes(child.pid) > limit_bytes:
            return f"used more than {limit_bytes / 1e9:.3g} GB of memory: given up (watchdog.memory_GB)"
    return ""


def _lines(reading: int) -> Iterator[str]:
    """Lines from the pipe, and "" at least twice a second, until it is closed."""
    selector = selectors.DefaultSelector()
    selector.register(reading, selectors.EVENT_READ)
    buffer = b""
    while True:
        if selector.select(timeout=0.5):
            block = os.read(reading, 65536)
            if not block:
                return
            *lines, buffer = (buffer + block).split(b"\n")
            yield from (line.decode() for line in lines)
        yield ""


def _resident_bytes(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        return sum(p.memory_info().rss for p in [process, *process.children(recursive=True)])
    except psutil.Error:
        return 0


def _status_in_words(code: int) -> str:
    if code == 0:
        return ""
    if code < 0:
        return f"the process was ended by signal {-code} ({signal.strsignal(-code)})"
    return f"the process ended with status {code} before it was done"


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdin is not None:
        child.stdin.close()
