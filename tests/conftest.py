"""--record FILE keeps a dated record of what ran, with outcomes and seconds (tox -e physics)."""

import datetime
import json
import os
import platform
from pathlib import Path


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
