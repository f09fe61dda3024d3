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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mlipbench.store.layout import refused

Message = dict[str, Any]

STARTUP_S = 120.0
"""Silence allowed before the first message, on top of the stall limit: imports may be slow."""
LOOK_S = 0.5
"""Between two looks at the child's memory and silence."""


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
    keep_open: Sequence[int] = (),
) -> Ending:
    """Run `python -m mlipbench.run.execute ARGUMENTS`; its output goes to `log`.

    The descriptors of `keep_open` (the lock of the run folder) stay open in the child: a folder is free
    when the last process that works in it has ended. Raises StoreError where the log cannot be written.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        output = open(log, "ab")  # noqa: SIM115
    except OSError as error:
        raise refused("write", log, error) from error
    reading, writing = os.pipe()
    with output:
        child = subprocess.Popen(
            [sys.executable, "-m", "mlipbench.run.execute", str(writing), *arguments],
            stdin=subprocess.PIPE,  # closed when this process dies: the child's sign to end
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[writing, *keep_open],
            start_new_session=True,
        )
    try:
        os.close(writing)
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
    """Pass messages on until the child ends; "" or why it was given up."""
    limit_bytes = (memory_GB * 1e9) if memory_GB else 0.9 * psutil.virtual_memory().total
    last, allowance, looked = time.monotonic(), stall_s + STARTUP_S, 0.0
    for line in _lines(child, reading):
        message = _message(line)
        if message:
            on_message(message)
            last, allowance = time.monotonic(), stall_s
        now = time.monotonic()
        if now - last > allowance:
            return f"no progress for {stall_s:g} s: given up (watchdog.stall_s)"
        if now - looked >= LOOK_S:
            looked = now
            if _resident_bytes(child.pid) > limit_bytes:
                return f"used more than {limit_bytes / 1e9:.3g} GB of memory: given up (watchdog.memory_GB)"
    return ""


def _lines(child: subprocess.Popen[bytes], reading: int) -> Iterator[bytes]:
    """Lines from the pipe, and b"" at least twice a second, until the child has ended.

    The pipe's own end says nothing: what the child has started may hold it open, and the user's code
    may have closed it.
    """
    os.set_blocking(reading, False)
    selector = selectors.DefaultSelector()
    selector.register(reading, selectors.EVENT_READ)
    buffer = b""
    while True:
        ended = child.poll() is not None  # asked before reading: what it wrote last is still read
        if selector.get_map() and selector.select(timeout=0 if ended else LOOK_S):
            block = os.read(reading, 65536)
            if not block:
                selector.unregister(reading)
            *lines, buffer = (buffer + block).split(b"\n")
            yield from lines
        elif ended:
            return
        elif not selector.get_map():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=LOOK_S)
        yield b""


def _message(line: bytes) -> Message | None:
    """A message of ours; None for whatever else was written into the pipe."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


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
    """End the child and all that it started, sessions of their own included while they are its own."""
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(child.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdin is not None:
        child.stdin.close()
