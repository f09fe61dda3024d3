"""checklist.md: the nine items in Markdown, to be pasted into a pull request or a paper's supplement."""

from __future__ import annotations

from mlipbench.report.models import ItemView, RunView


def render_checklist(run: RunView) -> str:
    """The checklist as Markdown."""
    results = run.results
    identity = "verified" if results.potential.verified else "**unverified**"
    lines = [
        f"# {_escape(results.title)}",
        "",
        f"**{run.verdict.mark} {run.headline}.** {_escape(results.sentence)} "
        f"(exit code {results.exit_code}: {run.exit_meaning})",
        "",
        f"- Potential: {_escape(results.potential.name)}, key `{results.potential.key[:16]}`, {identity}",
        "- Intended use: " + "; ".join(f"{r.term.lower()} {_escape(r.text)}" for r in run.use),
        f"- Tier {results.tier}, seed {results.seed}",
    ]
    lines += [f"- **{n.term}**: {_escape(n.text)}" for n in run.notices]
    lines += [
        f"- **Waiver** of `{w.criterion}` until {w.expires}: {_escape(w.reason)} ({_escape(w.effect)})"
        for w in run.waivers
    ]
    lines += ["", "| # | Item | Status | Measured | Limit | Reason |", "|--:|---|---|---|---|---|"]
    lines += [_row(item) for item in run.checklist]
    return "\n".join(lines) + "\n"


def _row(item: ItemView) -> str:
    numbers = "<br>".join(
        _escape(": ".join(part for part in (item.name_of(m), m.value) if part)) for m in item.measurements
    )
    cells = [
        str(item.number),
        _escape(item.item),
        f"{item.status.mark} {item.status.word}",
        numbers or "–",
        _escape(item.limit) or "–",
        _escape(item.reason) or "–",
    ]
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """Text that Markdown tables leave alone: no bars, no line breaks, no HTML."""
    flat = " ".join(text.split())
    for character in "\\|*_`[]":
        flat = flat.replace(character, f"\\{character}")
    return flat.replace("<", "&lt;").replace(">", "&gt;")
