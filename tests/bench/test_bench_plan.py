"""The estimate of `mlipbench plan` beside the time that `mlipbench run` then takes, back to back.

`python tests/bench/test_bench_plan.py [REPEATS] [NAME ...]` runs the matrix (or the cases whose names contain
one of the words), writes docs/records/plan.json and puts the table into docs/cost.md. A run counts from the
start of the command to its end: imports, contract, preparation, commits, measuring and report are in it.
"""

from __future__ import annotations

import datetime
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from mlipbench.store.provenance import provenance

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "docs" / "records" / "plan.json"
PAGE = ROOT / "docs" / "cost.md"
FACTOR = 1.5  # what the estimate has to keep to

SILICON = "{{crystal: diamond, symbol: Si, lattice_A: 5.431, repeat: {repeat}}}"
COPPER = "{{crystal: fcc, symbol: Cu, lattice_A: 3.615, repeat: {repeat}}}"
ARGON = "{{crystal: fcc, symbol: Ar, lattice_A: 5.30, repeat: {repeat}}}"
HEAD = """
title: cost
potential: {{use: "{use}", kwargs: {kwargs}}}
intended_use: {{elements: [{element}], temperature_K: {temperature}}}
suites:
"""
STABILITY = """  stability:
    structure: {structure}
    timestep_fs: {dt}
    duration_ps: {ps}
    replicas: {replicas}
"""
NVE = """  nve:
    structure: {structure}
    temperatures_K: [{temperature}]
    timestep_fs: {dt}
    duration_ps: {ps}
    prepare_ps: {prepare}
    half_step_ps: {prepare}
"""


@dataclass(frozen=True)
class Case:
    """A plan on a machine: threads, and `slow` for one core at a lower priority (taskset, nice 5)."""

    name: str
    suite: str  # text of a suite file, or the name of one that comes with mlipbench
    tier: str = "full"
    threads: int = 1
    slow: bool = False
    before: str = ""  # a tier that is run first, in the same folder: the estimate is for what is left


def dynamics(
    use: str, crystal: str, repeat: int, ps: float, dt: float = 2, kwargs: str = "{}", replicas: int = 1,
    nve: bool = True,
) -> str:  # fmt: skip
    """A suite file of molecular dynamics alone."""
    element, temperature = {SILICON: ("Si", 300), COPPER: ("Cu", 300), ARGON: ("Ar", 30)}[crystal]
    structure = crystal.format(repeat=[repeat] * 3)
    asked = {"structure": structure, "dt": dt, "ps": ps, "replicas": replicas, "temperature": temperature}
    text = HEAD.format(use=use, kwargs=kwargs, element=element, temperature=temperature)
    return text + STABILITY.format(**asked) + (NVE.format(prepare=ps / 5, **asked) if nve else "")


def sleeping(repeat: int, delay_s: float, ps: float, replicas: int = 1) -> str:
    """Argon whose answers come late."""
    kwargs = f"{{delay_s: {delay_s}}}"
    return dynamics("calculators.py:sleeping", ARGON, repeat, ps, 5, kwargs, replicas, nve=replicas == 1)


def multiplying(repeat: int, size: int, ps: float) -> str:
    """Argon with a product of matrices before every answer."""
    return dynamics("calculators.py:multiplying", ARGON, repeat, ps, 5, f"{{size: {size}}}")


CASES = [
    Case("quickstart", "quickstart", "screen"),
    Case("quickstart", "quickstart", "full"),
    Case("quickstart", "quickstart", "standard", threads=2),
    Case("quickstart", "quickstart", "screen", slow=True),
    Case("control", "control", "screen", threads=2),
    Case("silicon", "silicon", "screen"),
    Case("sleep 20 ms, 108 atoms", sleeping(3, 0.02, ps=3), "standard"),
    Case("sleep 20 ms, 108 atoms, 4 replicas", sleeping(3, 0.02, ps=3, replicas=4), "screen", threads=2),
    Case("sleep 300 ms, 32 atoms", sleeping(2, 0.3, ps=0.5), "standard", slow=True),
    Case("tersoff-si, 64 atoms", dynamics("tersoff-si", SILICON, 2, 0.2), "full"),
    Case("tersoff-si, 64 atoms", dynamics("tersoff-si", SILICON, 2, 0.2), "standard", threads=2),
    Case("emt, 108 atoms, 2 replicas", dynamics("emt", COPPER, 3, 1, replicas=2)),
    Case("lj-ar, 256 atoms, 8 replicas", dynamics("lj-ar", ARGON, 4, 2, 5, replicas=8, nve=False)),
    Case("sw-si, 512 atoms", dynamics("sw-si", SILICON, 4, 4, nve=False)),
    Case("BLAS 600 x 600, 32 atoms", multiplying(2, 600, ps=2), "standard"),
    Case("BLAS 600 x 600, 32 atoms", multiplying(2, 600, ps=2), "standard", threads=2),
    Case("control", "control", "standard", before="screen"),
    Case("control", "control", "full", before="standard"),
    Case("silicon", "silicon", "full", threads=2),
]


def command(
    case: Case, folder: Path, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], float, float]:
    """Run mlipbench; how it ended, its wall seconds, its CPU seconds."""
    wrapped = ["taskset", "-c", "0", "nice", "-n", "5"] if case.slow else []
    threads = {"OMP_NUM_THREADS": str(case.threads), "OPENBLAS_NUM_THREADS": str(case.threads)}
    before, start = _cpu(), time.perf_counter()
    done = subprocess.run(
        [*wrapped, sys.executable, "-m", "mlipbench", *arguments],
        cwd=folder, env=os.environ | threads, capture_output=True, text=True,
    )  # fmt: skip
    return done, time.perf_counter() - start, _cpu() - before


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(case: Case, folder: Path) -> dict[str, float]:
    """Estimate, then run."""
    shutil.copy(Path(__file__).with_name("calculators.py"), folder)
    suite = case.suite
    if "\n" in suite:
        (folder / "suite.yaml").write_text(case.suite)
        suite = "suite.yaml"
    if case.before:
        command(case, folder, "run", suite, "--output", "out", "--tier", case.before)
    asked = (suite, "--output", "out", "--tier", case.tier)
    planned, plan_s, plan_cpu = command(case, folder, "plan", "--json", *asked)
    assert planned.returncode == 0, planned.stderr
    total = json.loads(planned.stdout)["total"]
    ran, run_s, run_cpu = command(case, folder, "run", *asked)
    assert ran.returncode in (0, 1, 3), ran.stdout + ran.stderr
    return {
        "steps": total["steps"],
        **{name: round(total[name], 2) for name in ("seconds", "low", "high")},
        "taken": round(run_s, 2),
        "taken_cpu": round(run_cpu, 2),
        "planning": round(plan_s, 2),
        "planning_cpu": round(plan_cpu, 2),
        "ratio": round(run_s / total["seconds"], 3),
        # the same had the machine given both the share of a core that it gave to the plan
        "cpu_ratio": round(run_cpu / (total["seconds"] * plan_cpu / plan_s), 3),
        "load": round(psutil.getloadavg()[0], 1),
    }


def setting(case: Case) -> str:
    """In words, for the table."""
    words = f"{case.tier}, {case.threads} thread{'s' if case.threads > 1 else ''}"
    return words + (", slow" if case.slow else "") + (f", after {case.before}" if case.before else "")


def main(repeats: int, words: list[str]) -> None:
    """Measure, keep the record, write the table. Cases that are not asked for keep their old record."""
    old = json.loads(RECORD.read_text())["cases"] if RECORD.exists() else {}
    cases = {}
    for case in CASES:
        name = f"{case.name} | {setting(case)}"
        runs = old.get(name, [])
        if not words or any(word in name for word in words):
            runs = []
            for _ in range(repeats):
                with tempfile.TemporaryDirectory() as folder:
                    runs.append(measure(case, Path(folder)))
                print(name, json.dumps(runs[-1]), flush=True)
        cases[name] = runs
        facts = provenance({})
        machine = {key: facts[key] for key in ("processor", "cores", "memory_GiB", "python")}
        record = {"date": datetime.date.today().isoformat(), "machine": machine, "cases": cases}
        RECORD.write_text(json.dumps(record | {"cases": old | cases}, indent=1) + "\n")
    write_table(json.loads(RECORD.read_text()))


def write_table(record: dict) -> None:
    """Replace the table of docs/cost.md."""
    columns = ("plan", "settings", "MD steps", "estimate (s)", "run (s)", "ratio", "CPU ratio", "in range")
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for name, runs in record["cases"].items():
        if runs:
            lines.append(_row(name, runs))
    head, _, rest = PAGE.read_text().partition("<!-- table -->\n")
    tail = rest.partition("<!-- end -->\n")[2]
    PAGE.write_text(head + "<!-- table -->\n" + "\n".join(lines) + "\n<!-- end -->\n" + tail)


def _row(name: str, runs: list[dict[str, float]]) -> str:
    """Medians of a case."""
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    inside = sum(run["low"] <= run["taken"] <= run["high"] for run in runs)
    cells = [
        *name.split(" | "),
        f"{middle['steps']:.0f}",
        f"{middle['seconds']:.0f} ({middle['low']:.0f} to {middle['high']:.0f})",
        f"{middle['taken']:.0f}",
        f"{middle['ratio']:.2f}",
        "" if "sleep" in name else f"{middle['cpu_ratio']:.2f}",  # a sleeper uses hardly any
        f"{inside} of {len(runs)}",
    ]
    return f"| {' | '.join(cells)} |"


@pytest.mark.bench
@pytest.mark.parametrize(
    "case", [c for c in CASES if c.tier != "full"], ids=lambda c: f"{c.name}-{setting(c)}"
)
def test_estimate_is_within_a_factor(benchmark, tmp_path, case):
    found = benchmark.pedantic(measure, args=(case, tmp_path), rounds=1)
    benchmark.extra_info.update(found)
    assert 1 / FACTOR < found["ratio"] < FACTOR


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1, sys.argv[2:])
