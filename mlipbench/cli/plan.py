"""mlipbench plan."""

from __future__ import annotations

from rich.table import Table

from mlipbench.cli.arguments import SuiteFile, TierOption, console
from mlipbench.cli.display import RunDisplay, duration
from mlipbench.run.planning import find_suite_file, read_plan
from mlipbench.run.session import estimate_costs


def plan(suite: SuiteFile, tier: TierOption = None) -> None:
    """Check a suite file and estimate its cost; nothing is run but a few timed evaluations."""
    checked = read_plan(find_suite_file(suite), tier.value if tier else None)
    out = console()
    for warning in checked.warnings:
        out.print(f"warning: {warning}")
    with RunDisplay(out) as display:
        costs = estimate_costs(checked, display)
    table = Table(title=f"{checked.title} (tier {checked.tier})")
    for column in ("suite", "MD steps", "structures", "time on this machine"):
        table.add_column(column, justify="left" if column == "suite" else "right")
    for key, cost in sorted(costs.items(), key=lambda item: item[1]["seconds"]):
        table.add_row(key, f"{cost['steps']:.0f}", f"{cost['structures']:.0f}", duration(cost["seconds"]))
    table.add_row("all", "", "", duration(sum(cost["seconds"] for cost in costs.values())))
    out.print(table)
