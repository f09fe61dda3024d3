"""From a suite file (or the lock of a run) to a plan whose inputs are all there."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from mlipbench.config.plan import Plan, Tier, load_plan
from mlipbench.core.errors import InputError
from mlipbench.core.shipped import reference_data, suite_files
from mlipbench.core.suite import Suite
from mlipbench.data.references import Manifest
from mlipbench.data.resolve import resolve
from mlipbench.potentials import loading
from mlipbench.run.registry import suite_entry_points, suite_type
from mlipbench.store import layout
from mlipbench.store.runs import RunFolder


class _SuiteTypes(Mapping[str, type[Suite]]):
    """Suites by name, imported when asked for."""

    def __getitem__(self, name: str) -> type[Suite]:
        if name not in suite_entry_points():
            raise KeyError(name)
        return suite_type(name)

    def __iter__(self) -> Any:
        return iter(suite_entry_points())

    def __len__(self) -> int:
        return len(suite_entry_points())


def find_suite_file(name: str) -> Path:
    """The suite file a user means: a path, or the name of one that came with mlipbench."""
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml"):
        raise InputError(f"{name}: no such suite file; `mlipbench init` writes one")
    shipped = suite_files()
    if name not in shipped:
        raise InputError(
            f"{name!r} is neither a suite file nor the name of one that comes with mlipbench "
            f"({', '.join(shipped)})"
        )
    return shipped[name]


def manifest(own: Path | None) -> Manifest:
    """The references that come with mlipbench, and those of the user's manifest."""
    shipped = Manifest.load(reference_data())
    return shipped if own is None else shipped.joined(Manifest.load(own))


def plan_manifest(plan: Plan) -> Manifest:
    """The references that a plan may name."""
    return manifest(plan.resolve(plan.references) if plan.references else None)


def read_plan(path: Path, tier: Tier | None) -> Plan:
    """Read and check a suite file with all that it names. PlanError holds every problem."""
    known = [manifest(None)]

    def kinds(own: Path | None) -> Mapping[str, str]:
        known[0] = manifest(own)
        return known[0].kinds()

    plan = load_plan(
        path,
        _SuiteTypes(),
        suite_names=tuple(suite_entry_points()),
        potential_names=loading.names(),
        references=kinds,
        resolve=lambda ref, folder: resolve(ref, folder, known[0]),
    )
    return plan if tier is None else plan.with_tier(tier)


def write_lock(run: RunFolder, plan: Plan) -> None:
    """Write plan.lock.yaml."""
    text = StringIO()
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False  # suites stay in the order of the file
    yaml.dump(plan.lock(), text)
    layout.write_plan(run.file(layout.PLAN), text.getvalue(), plan.sha256())


def read_lock(run: RunFolder) -> Plan:
    """The plan of a stored run. Raises StoreError."""
    text, _ = layout.read_plan(run.file(layout.PLAN))
    return Plan.from_lock(YAML(typ="safe", pure=True).load(text), _SuiteTypes())
