"""The commands, each in a file of its own, joined into one application.

A command imports what it works with when it is called: nobody waits for what another command needs.
"""

from __future__ import annotations

import typer

from mlipbench.cli.analyze import analyze
from mlipbench.cli.audit import audit
from mlipbench.cli.convert import convert
from mlipbench.cli.export import export
from mlipbench.cli.gate import gate
from mlipbench.cli.init import init
from mlipbench.cli.listing import listing
from mlipbench.cli.losses import losses
from mlipbench.cli.pack import pack
from mlipbench.cli.plan import plan
from mlipbench.cli.references import app as references
from mlipbench.cli.report import report
from mlipbench.cli.run import run
from mlipbench.cli.selftest import selftest
from mlipbench.cli.speed import speed
from mlipbench.cli.train import train

app = typer.Typer(
    name="mlipbench",
    help="Says whether a machine-learning interatomic potential may be published or used, and shows why.\n\n"
    "Exit codes: 0 every required criterion passes; 1 one fails; 2 the suite file or its inputs are wrong "
    "(nothing was run); 3 one is inconclusive; 4 a suite ended in an error; 70 a fault of mlipbench; "
    "74 the run folder cannot be used (in use, full, damaged); 129, 130, 143 hung up, interrupted, "
    "terminated.",
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
app.command()(audit)
app.command("list")(listing)
app.command()(init)
app.command()(train)
app.command()(losses)
app.command()(convert)
app.command()(pack)
app.command()(speed)
app.command()(selftest)
app.add_typer(references, name="references")
