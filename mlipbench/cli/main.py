"""Entry point: signals, exit codes, one message an error. The commands are joined in cli/app.py.

Nothing heavy is imported before the signals have their handlers, so that an interrupt during the
imports of the commands ends as cleanly as a later one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

from mlipbench.core.errors import InputError, PlanError, StoreError

EXIT_INPUT = 2
EXIT_INTERNAL = 70
EXIT_STORE = 74
SIGNALS = {
    signal.SIGHUP: "hung up",
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
}
"""Signals that end a command cleanly, with exit code 128 + their number."""


class _Stopped(BaseException):
    """A signal arrived. No `except Exception` on the way swallows it."""

    def __init__(self, number: int) -> None:
        self.number = signal.Signals(number)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)  # a second one must not interrupt the cleaning up
    raise _Stopped(number)


def main() -> NoReturn:
    """Entry point of the `mlipbench` script."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup has said otherwise
            signal.signal(number, _stop)
    try:
        code = _run()
    except _Stopped as stopped:
        _say(f"{SIGNALS[stopped.number]}: what was computed is kept; the same command goes on from there")
        code = 128 + stopped.number
    _leave(code)


def _run() -> int:
    """Do what the command line says; the exit code."""
    try:
        from mlipbench.cli.app import app

        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except PlanError as error:
        count = len(error.problems)
        _say(f"{error}\n{count} problem{'s' if count > 1 else ''}; nothing was run")
        return EXIT_INPUT
    except InputError as error:
        _say(f"{error}\nnothing was run")
        return EXIT_INPUT
    except StoreError as error:
        _say(str(error))
        return EXIT_STORE
    except OSError as error:
        # Files of a run are read and written with StoreError; what is left are the terminal and /tmp.
        _say(f"{error.filename or 'output'}: {error.strerror or error}; mend that and repeat the command")
        return EXIT_STORE
    except Exception:
        _say(traceback.format_exc())
        _say("this is a fault of mlipbench, not of your potential: please report it with the lines above")
        return EXIT_INTERNAL
    return 0


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody listens
        print(text, file=sys.stderr, flush=True)


def _leave(code: int) -> NoReturn:
    """Exit; a standard output that cannot be written any more is an error only where all else went well."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains when it flushes again
        _say(f"standard output: {error.strerror}")
        code = code or EXIT_STORE
    sys.exit(code)
