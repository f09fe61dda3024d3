"""The command line. Commands are in files of their own; this one joins them and sets exit codes."""

from __future__ import annotations

import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

import typer
from rich.console import Console

from mlipbench.cli.analyze import analyze
from mlipbench.cli.export import export
from mlipbench.cli.gate import gate
from mlipbench.cli.init import init
from mlipbench.cli.listing import listing
from mlipbench.cli.plan import plan
from mlipbench.cli.report import report
from mlipbench.cli.run import run
from mlipbench.core.errors import InputError, PlanError, StoreError

EXIT_INPUT = 2
EXIT_INTERNAL = 70
EXIT_STORE = 74
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

app = typer.Typer(
    name="mlipbench",
    help="Says whether a machine-learning interatomic potential may be published or used, and shows why.\n\n"
    "Exit codes: 0 every required criterion passes; 1 one fails; 2 the suite file or its inputs are wrong "
    "(nothing was run); 3 one is inconclusive; 4 a suite ended in an error; 70 a fault of mlipbench; "
    "74 the run folder cannot be used (in use, full, damaged).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(plan)
app.command()(analyze)
app.command()(report)
app.command()(gate)
app.command()(export)
app.command("list")(listing)
app.command()(init)


class _Terminated(Exception):
    """SIGTERM arrived."""


def _on_sigterm(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated


def main() -> NoReturn:
    """Entry point of the `mlipbench` script."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    resume = "what was computed is kept; the same command goes on from there"
    try:
        app()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except PlanError as error:
        count = len(error.problems)
        errors.print(f"{error}\n{count} problem{'s' if count > 1 else ''}; nothing was run")
        code = EXIT_INPUT
    except InputError as error:
        errors.print(f"{error}\nnothing was run")
        code = EXIT_INPUT
    except StoreError as error:
        errors.print(str(error))
        code = EXIT_STORE
    except KeyboardInterrupt:
        errors.print(f"interrupted: {resume}")
        code = EXIT_INTERRUPTED
    except _Terminated:
        errors.print(f"terminated: {resume}")
        code = EXIT_TERMINATED
    except Exception:
        errors.print(traceback.format_exc())
        errors.print(
            "this is a fault of mlipbench, not of your potential: please report it with the lines above"
        )
        code = EXIT_INTERNAL
    sys.exit(code)
