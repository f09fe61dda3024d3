"""Check a run folder: exit code as expected, every suite complete, all files there, schema kept."""

import json
import sys
from pathlib import Path

import jsonschema

folder, status, expected = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
results = json.loads((folder / "results.json").read_text())
schema = json.loads((Path(__file__).parents[1] / "docs" / "results.schema.json").read_text())
jsonschema.validate(results, schema)
problems = [f"exit code {status}, expected {expected}"] if status != expected else []
problems += [
    f"{k}: {s['status']} {s['reason']}" for k, s in results["suites"].items() if s["status"] != "complete"
]
problems += [
    f"{name} is missing or empty"
    for name in ("report.html", "checklist.md", "junit.xml", "plan.lock.yaml", "provenance.json")
    if not (folder / name).is_file() or (folder / name).stat().st_size < 100
]
print("\n".join(problems) or f"{folder}: {results['sentence']}")
sys.exit(bool(problems))
