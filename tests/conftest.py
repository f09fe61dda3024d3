"""What holds for all tests: threads, which checkout is tested, examples, their order; --record."""

import datetime
import json
import os
import platform
from pathlib import Path

from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
os.environ |= {
    # One thread: sums come out the same bit for bit, and two workers do not get in each other's way. Set
    # before numpy is imported.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Processes that tests start import the checkout that the tests are of, wherever mlipbench is installed.
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "suites"), os.environ.get("PYTHONPATH", "")]),
}
# A slow machine fails no test; all runs have the same examples, --hypothesis-profile=explore has new ones.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


SLOWEST_FIRST = ("run", "unhurt", "training", "golden", "suites", "physics")
"""Folders whose files are begun first, so that no worker ends with a long one while the other has none."""


def pytest_collection_modifyitems(items):
    def place(item):
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        return SLOWEST_FIRST.index(folder) if folder in SLOWEST_FIRST else len(SLOWEST_FIRST)

    items.sort(key=place)  # stable: the order within a folder stays


def pytest_addoption(parser):
    parser.addoption("--record", default=None, help="write outcomes of this session to a JSON file")


def pytest_terminal_summary(terminalreporter, config):
    target = config.getoption("--record")
    if target is None:
        return
    outcomes = {
        report.nodeid: {"outcome": report.outcome, "seconds": round(report.duration, 1)}
        for kind in ("passed", "failed", "skipped")
        for report in terminalreporter.stats.get(kind, [])
        if report.when == "call" or kind != "passed"
    }
    record = {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "tests": dict(sorted(outcomes.items())),
    }
    path = Path(config.rootpath) / target
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
