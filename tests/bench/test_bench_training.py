"""Time and memory of a training step beside mace-torch, where that can be imported.

`python tests/bench/test_bench_training.py [ROUNDS] [WORD ...]` measures the cases whose names contain one of
the words (all, without words), prints the table and keeps docs/records/training_speed.json. Every code has a
process of its own; they take turns, step by step, so that all see the same machine. mace-torch runs twice, as
it comes and with a malloc that keeps its memory. The number of threads is that of OMP_NUM_THREADS.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import statistics
import sys
from pathlib import Path

import psutil
import pytest
import torch
from training_step import CASES, TUNED, Case, Worker, our_step

from mlipbench.store.provenance import provenance

RECORD = Path(__file__).parents[2] / "docs" / "records" / "training_speed.json"
DTYPES = ("float64", "float32")
OURS, TUNED_MACE = "mlipbench", "mace-torch, malloc tuned"
CODES: dict[str, tuple[str, dict[str, str]]] = {OURS: ("mlipbench", {})}
if importlib.util.find_spec("mace"):
    CODES |= {"mace-torch": ("mace-torch", {}), TUNED_MACE: ("mace-torch", TUNED)}


def measure(case: Case, dtype: str, rounds: int) -> dict[str, dict[str, float]]:
    """Of each code the median of wall seconds, the least of the processor's seconds, the largest memory."""
    workers = {name: Worker(code, case, dtype, env) for name, (code, env) in CODES.items()}
    for worker in workers.values():
        for _ in range(2):  # mace-torch compiles during its first two steps
            worker.step()
    steps: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            steps[name].append(worker.step())
    return {
        name: {
            "wall_s": round(statistics.median(step["wall"] for step in steps[name]), 3),
            "cpu_s": round(min(step["cpu"] for step in steps[name]), 3),
            "memory_MB": round(worker.close()),
        }
        for name, worker in workers.items()
    }


def main(rounds: int, words: list[str]) -> None:
    """Measure, print, keep. Cases, and numbers of threads, that are not asked for keep their old record."""
    facts = provenance({})
    machine = {key: facts[key] for key in ("processor", "cores", "memory_GiB", "python")}
    versions = {name: facts["packages"][name] for name in ("torch", "e3nn")}
    cases = json.loads(RECORD.read_text())["cases"] if RECORD.exists() else {}
    print("wall ratio | CPU ratio | memory ratio: mace-torch over ours, at its default / with tuned malloc")
    for case in CASES:
        for dtype in DTYPES:
            name = f"{case.name}, {dtype}, threads: {facts['threads']}"
            if words and not any(word in name for word in words):
                continue
            found = measure(case, dtype, rounds)
            load = round(psutil.getloadavg()[0], 1)
            cases[name] = {**found, "load": load}
            print(f"{name:67s} {_ratios(found)}   load {load}", flush=True)
            record = {
                "date": datetime.date.today().isoformat(),
                "machine": machine,
                "versions": versions,
                "what": __doc__,
                "cases": cases,
            }
            RECORD.write_text(json.dumps(record, indent=1) + "\n")


def _ratios(found: dict[str, dict[str, float]]) -> str:
    ours = found[OURS]
    columns = []
    for key in ours:
        others = [found[name][key] / ours[key] for name in found if name != OURS]
        columns.append(f"{ours[key]:8g} " + " / ".join(f"{other:.2f}" for other in others))
    return " | ".join(columns)


@pytest.mark.bench
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_training_step(benchmark, case, dtype):
    benchmark.pedantic(our_step(case, getattr(torch, dtype)), rounds=3, warmup_rounds=1)


@pytest.mark.bench
@pytest.mark.skipif(TUNED_MACE not in CODES, reason="mace-torch is not installed here")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_well_below_mace_torch(case):
    """Oracle: mace-torch at its best, in turn with ours; catches a sum that is taken pair by pair again."""
    found = measure(case, "float64", 3)
    assert found[OURS]["cpu_s"] < 0.7 * found[TUNED_MACE]["cpu_s"]
    assert found[OURS]["memory_MB"] < found[TUNED_MACE]["memory_MB"]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:])
