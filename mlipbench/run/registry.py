"""Suites by name: the entry point group `mlipbench.suites`. Only the named ones are imported."""

from __future__ import annotations

import difflib
import functools
import hashlib
import inspect
import math
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from mlipbench.core.criterion import Criterion
from mlipbench.core.errors import InputError
from mlipbench.core.potential import PROPERTIES
from mlipbench.core.suite import Suite, SuiteParams

GROUP = "mlipbench.suites"


@functools.cache
def suite_entry_points() -> Mapping[str, EntryPoint]:
    """Name -> entry point of every installed suite, none imported. The environment is searched once."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def suite_type(name: str) -> type[Suite]:
    """The suite registered under `name`; InputError where there is none or it cannot be imported."""
    points = suite_entry_points()
    if name not in points:
        close = difflib.get_close_matches(name, points, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"installed: {', '.join(points)}"
        raise InputError(f"no suite is called {name!r}; {hint}")
    where = f"suite {name!r} ({points[name].value})"
    try:
        loaded = points[name].load()
    except (Exception, SystemExit) as error:  # the import runs code of a third party
        raise InputError(
            f"{where} cannot be imported: {type(error).__name__}: {error}; "
            "reinstall the package that brings it"
        ) from error
    fault = _fault(loaded)
    if fault:
        raise InputError(f"{where} {fault}; tell the authors of the package that brings it")
    return loaded  # type: ignore[no-any-return]


def _fault(loaded: object) -> str:
    """What keeps an object from being a suite; "" where nothing does."""
    if not (inspect.isclass(loaded) and issubclass(loaded, Suite)):
        return f"is {loaded!r}, expected a subclass of mlipbench.api.Suite"
    expected = {"name": str, "version": int, "title": str, "method": str}
    for attribute, kind in (expected | {"needs": frozenset, "criteria": tuple}).items():
        if not hasattr(loaded, attribute):
            return f"has no attribute {attribute!r}"
        found = getattr(loaded, attribute)
        if not isinstance(found, kind) or isinstance(found, bool):
            return f"has {attribute} = {found!r}, expected {kind.__name__}"
    params = getattr(loaded, "Params", None)
    if not (inspect.isclass(params) and issubclass(params, SuiteParams)):
        return f"has Params = {params!r}, expected a subclass of mlipbench.api.SuiteParams"
    if inspect.isabstract(loaded):
        return f"lacks {', '.join(sorted(loaded.__abstractmethods__))}"
    unknown = loaded.needs - set(PROPERTIES)
    if unknown:
        return f"needs {', '.join(sorted(map(str, unknown)))}, expected some of {', '.join(PROPERTIES)}"
    if not all(isinstance(criterion, Criterion) for criterion in loaded.criteria):
        return "has criteria that are not all of mlipbench.api.Criterion"
    names = [criterion.name for criterion in loaded.criteria]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        return f"has two criteria called {', '.join(twice)}"
    if not all(math.isfinite(criterion.limit) for criterion in loaded.criteria):
        return "has a criterion whose limit is not a finite number"
    return ""


def source_hash(suite: type[Suite]) -> str:
    """sha256 of the modules beside the one a suite is defined in: a changed suite is computed anew."""
    digest = hashlib.sha256()
    for path in sorted(Path(inspect.getfile(suite)).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
