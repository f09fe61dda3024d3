"""Suites by name: the entry point group `mlipbench.suites`. Only the named ones are imported."""

from __future__ import annotations

import difflib
import hashlib
import inspect
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from mlipbench.core.errors import InputError
from mlipbench.core.suite import Suite

GROUP = "mlipbench.suites"


def suite_entry_points() -> dict[str, EntryPoint]:
    """Name -> entry point of every installed suite, none imported."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def suite_type(name: str) -> type[Suite]:
    """The suite registered under `name`; InputError where there is none or it cannot be imported."""
    points = suite_entry_points()
    if name not in points:
        close = difflib.get_close_matches(name, points, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"installed: {', '.join(points)}"
        raise InputError(f"no suite is called {name!r}; {hint}")
    try:
        loaded = points[name].load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"suite {name!r} ({points[name].value}) cannot be imported: {error}; "
            "reinstall the package that brings it"
        ) from error
    if not (inspect.isclass(loaded) and issubclass(loaded, Suite)):
        raise InputError(
            f"suite {name!r} ({points[name].value}) is {loaded!r}; expected a subclass of mlipbench.api.Suite"
        )
    for attribute in ("name", "version", "title", "method", "needs", "criteria", "Params"):
        if not hasattr(loaded, attribute):
            raise InputError(f"suite {name!r} ({points[name].value}) has no attribute {attribute!r}")
    return loaded


def source_hash(suite: type[Suite]) -> str:
    """sha256 of the modules beside the one a suite is defined in: a changed suite is computed anew."""
    digest = hashlib.sha256()
    for path in sorted(Path(inspect.getfile(suite)).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
