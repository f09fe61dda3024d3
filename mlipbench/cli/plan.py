"""mlipbench plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mlipbench.cli.arguments import OutputOption, SuiteFile, TierOption, console, run_folder
from mlipbench.cli.display import RunDisplay, duration

if TYPE_CHECKING:
    from mlipbench.config.plan import Plan
    from mlipbench.run.cost import Estimate, RunEstimate


def plan(
    suite: SuiteFile,
    output: OutputOption = None,
    tier: TierOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the estimate as JSON, seconds and numbers of steps.")
    ] = False,
) -> None:
    """Check a suite file and estimate its cost; nothing is run but a few timed steps.

    What the folder of --output holds already is not counted.
    """
    from mlipbench.run.planning import find_suite_file, read_plan
    from mlipbench.run.session import estimate_costs

    path = find_suite_file(suite)
    checked = read_plan(path, tier.value if tier else None)
    out = Console(stderr=True, highlight=False, soft_wrap=True, markup=False) if as_json else console()
    for warning in checked.warnings:
        out.print(f"warning: {warning}")
    with RunDisplay(out) as display:
        cost = estimate_costs(checked, run_folder(path, output), display)
    if as_json:
        print(json.dumps({"title": checked.title, "tier": checked.tier, **cost.plain()}, indent=1))
    else:
        out.print(_table(checked, cost))


def _table(plan: Plan, cost: RunEstimate) -> Table:
    table = Table(title=f"{plan.title} (tier {plan.tier}): what is left, in the order of running")
    for column in ("", "MD steps", "structures", "time on this machine", "range"):
        table.add_column(column, justify="right" if column else "left")
    parts = {"start and checks": cost.before, **cost.suites, "report": cost.after, "all": cost.total}
    for name, part in parts.items():
        counts = [f"{n}" if n else "" for n in (part.steps, part.structures)]
        table.add_row(name, *counts, duration(part.seconds), _range(part))
    return table


def _range(part: Estimate) -> str:
    return f"{duration(part.low)} to {duration(part.high)}"
