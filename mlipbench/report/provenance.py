"""What a record rests on, for the reader who does not want to believe: hashes, versions, machine, keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlipbench.core.result import SCHEMA_VERSION, Results
from mlipbench.report import numbers
from mlipbench.report.facts import Row, rows_of, timing_rows
from mlipbench.store import layout
from mlipbench.store.runs import RunFolder


@dataclass(frozen=True)
class Group:
    """Rows under a heading."""

    title: str
    rows: list[Row]


@dataclass(frozen=True)
class Production:
    """A suite's stored work: under which key, from which trajectories."""

    suite: str
    key: str
    arrays: int
    trajectories: list[str]
    seconds: str


@dataclass(frozen=True)
class Provenance:
    """All of the section."""

    groups: list[Group]
    unverified: list[str]  # in words; empty where everything is vouched for
    productions: list[Production]
    record_sha256: str
    suite_file: str


MACHINE = ("date", "platform", "processor", "cores", "memory_GiB", "threads")
SOFTWARE = ("python", "packages", "git")


def provenance(
    folder: Path, results: Results, stored: Mapping[str, Any], timings: dict[str, Any]
) -> Provenance:
    """Gather it. `stored` is provenance.json, `timings` timings.json."""
    potential = results.potential
    numerics = {
        "seed": results.seed,
        "tier": results.tier,
        "dtype": potential.dtype or None,
        "device": potential.device or None,
        "properties": ", ".join(potential.properties) or None,
    }
    rest = {k: v for k, v in stored.items() if k not in (*MACHINE, *SOFTWARE, "seed", "suite_file")}
    groups = [
        Group("Plan and numerics", rows_of({"title": results.title} | numerics | _plan(results, stored))),
        Group("Machine", rows_of({k: stored[k] for k in MACHINE if k in stored})),
        Group("Software", rows_of({k: stored[k] for k in SOFTWARE if k in stored})),
        Group("Further", rows_of(rest)),
        Group("Wall time", timing_rows(timings)),
    ]
    return Provenance(
        groups=[group for group in groups if group.rows],
        unverified=_unverified(results, stored),
        productions=_productions(folder, results, timings),
        record_sha256=layout.sha256((folder / layout.RESULTS).read_bytes()),
        suite_file=str(stored.get("suite_file", "suite.yaml")),
    )


def _plan(results: Results, stored: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "suite_file": stored.get("suite_file"),
        "plan_sha256": results.plan_sha256 or None,
        "results_schema": SCHEMA_VERSION,
    }


def _unverified(results: Results, stored: Mapping[str, Any]) -> list[str]:
    """What the record cannot vouch for."""
    found = []
    if not results.potential.verified:
        found.append("the potential: part of what decides its answers could not be hashed")
    found += [f"the reference {r.name}: nobody vouches for it" for r in results.references if not r.verified]
    git = stored.get("git") or {}
    if git.get("modified"):
        found.append(
            f"the code: commit {git.get('commit', '')[:12]} with local changes that are kept nowhere"
        )
    if not stored:
        found.append("versions, machine and date: provenance.json is not in the folder")
    return found


def _productions(folder: Path, results: Results, timings: Mapping[str, Any]) -> list[Production]:
    found = []
    for key in results.suites:
        suite = RunFolder(folder).suite(key)
        if not suite.produced():
            continue
        data = suite.production()
        links = data.get("trajectories", {})
        seconds = timings.get(key)
        found.append(
            Production(
                suite=key,
                key=str(data.get("key", "")),
                arrays=len(data.get("arrays", {})),
                trajectories=sorted({str(link[0]) for link in links.values()}),
                seconds=numbers.duration(seconds) if isinstance(seconds, (int, float)) else "",
            )
        )
    return found
