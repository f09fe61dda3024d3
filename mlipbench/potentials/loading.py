"""From `use: ...` and `kwargs: ...` of a suite file to a potential.

`use` is a name registered under the entry point group `mlipbench.potentials`, `package.module:callable`,
or `file.py:callable` with a path relative to the suite file. The callable gets the kwargs and returns
a `Potential` or an ASE calculator. Where it annotates a parameter as `pathlib.Path`, it gets a path that
is relative to the suite file too.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mlipbench.core.errors import InputError
from mlipbench.core.potential import Identity, Potential
from mlipbench.potentials.identity import digest, file_digest, version

GROUP = "mlipbench.potentials"

# What a module of the user's usually raises when it cannot be imported. Anything else is left to the
# child process in which `resolve` is called.
_IMPORT_FAULTS = (ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError, OSError)


def load(use: str, kwargs: Mapping[str, object], base: Path, files: Sequence[Path] = ()) -> Potential:
    """The potential that a suite file means.

    `base` is the folder that a `file.py` is relative to, `files` (relative to `base`) what else
    decides the answers, such as weights. Raises InputError; what the callable itself raises passes
    through.
    """
    factory = resolve(use, base)
    declared = {str(path): _existing(path, base, use) for path in files}
    _check_kwargs(factory, kwargs, use)
    product = factory(**_located(factory, kwargs, base))
    if isinstance(product, Potential):
        return product
    if not hasattr(product, "calculate") or not hasattr(product, "implemented_properties"):
        raise InputError(
            f"{use}: expected a mlipbench Potential or an ASE calculator to be returned, got "
            f"{type(product).__name__}; return the calculator itself, not the atoms or a class"
        )
    from mlipbench.potentials.ase import AsePotential

    return AsePotential(product, _foreign_identity(use, factory, product, kwargs, base, declared))


def resolve(use: str, base: Path) -> Callable[..., Any]:
    """The callable that `use` names, imported and not called; raises InputError.

    Imports the user's module: call it in a child process where a crash must not spread.
    """
    if ":" not in use:
        return _registered(use)
    where, _, name = use.rpartition(":")
    module = _file_module(where, base, use) if where.endswith(".py") else _module(where, use)
    found: Any = module
    for part in name.split("."):
        names = [n for n, value in vars(found).items() if not n.startswith("_") and callable(value)]
        if part not in vars(found):
            raise InputError(
                f"{use}: {where} has no '{part}'{_did_you_mean(part, names)}; it has {_listed(names)}"
            )
        found = vars(found)[part]
    if not callable(found):
        raise InputError(
            f"{use}: expected a function or class that builds the potential, got {type(found).__name__}"
        )
    return found  # type: ignore[no-any-return]


def names() -> tuple[str, ...]:
    """Registered names; nothing is imported."""
    return tuple(sorted(_entry_points()))


def available() -> dict[str, str]:
    """Registered names with the first line of their docstrings."""
    return {name: _describe(point) for name, point in sorted(_entry_points().items())}


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


def _describe(point: EntryPoint) -> str:
    try:
        factory = point.load()
    except _IMPORT_FAULTS as error:
        return f"cannot be imported from {point.value}: {error}"
    return (inspect.getdoc(factory) or point.value).splitlines()[0]


def _registered(use: str) -> Callable[..., Any]:
    points = _entry_points()
    if use not in points:
        raise InputError(
            f"no potential is registered as '{use}'{_did_you_mean(use, points)}; expected one of "
            f"{_listed(points)}, package.module:callable or file.py:callable"
        )
    try:
        return points[use].load()  # type: ignore[no-any-return]
    except _IMPORT_FAULTS as error:
        raise InputError(
            f"{use}: {points[use].value} cannot be imported: {_fault(error)}; install what it needs"
        ) from error


def _module(where: str, use: str) -> ModuleType:
    try:
        return importlib.import_module(where)
    except _IMPORT_FAULTS as error:
        raise InputError(
            f"{use}: module {where} cannot be imported: {_fault(error)}; "
            f"install its package into this environment, or name a file as file.py:callable"
        ) from error


def _file_module(where: str, base: Path, use: str) -> ModuleType:
    """The module in a file, imported once a process; its folder joins the import path, so that it
    can import its neighbours."""
    path = (base / where).resolve()
    if not path.is_file():
        near = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise InputError(
            f"{use}: no file {path}{_did_you_mean(path.name, near)}; the path is relative to the suite file"
        )
    name = f"mlipbench_user_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{use}: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        sys.modules[name] = module  # dataclasses and pickle look it up
        spec.loader.exec_module(module)
    except _IMPORT_FAULTS as error:
        del sys.modules[name]
        raise InputError(f"{use}: {path} cannot be imported: {_fault(error)}") from error
    return module


def _check_kwargs(factory: Callable[..., Any], kwargs: Mapping[str, object], use: str) -> None:
    try:
        signature = inspect.signature(factory)
    except ValueError:  # a builtin without one: its own error will have to do
        return
    try:
        signature.bind(**kwargs)
    except TypeError as error:
        names = list(signature.parameters)
        hints = [_did_you_mean(k, names) for k in kwargs if k not in names]
        raise InputError(
            f"{use}: kwargs {dict(kwargs)} do not fit {use}{signature}: {error}{''.join(hints)}"
        ) from error


def _located(factory: Callable[..., Any], kwargs: Mapping[str, object], base: Path) -> dict[str, object]:
    """The kwargs, strings turned into paths from `base` where the factory annotates a path."""
    try:
        parameters = inspect.signature(factory, eval_str=True).parameters
    except (ValueError, TypeError, NameError):  # a builtin, or annotations of names that are not there
        return dict(kwargs)
    paths = {name for name, parameter in parameters.items() if parameter.annotation is Path}
    return {k: base / v if k in paths and isinstance(v, str) else v for k, v in kwargs.items()}


def _existing(path: Path, base: Path, use: str) -> Path:
    full = (base / path).resolve()
    if not full.is_file():
        raise InputError(
            f"{use}: no file {full}, declared under files; the path is relative to the suite file"
        )
    return full


def _foreign_identity(
    use: str,
    factory: Callable[..., Any],
    product: object,
    kwargs: Mapping[str, object],
    base: Path,
    files: Mapping[str, Path],  # as declared -> where it is
) -> Identity:
    """Identity of a calculator that is not ours: sources, versions, kwargs, files.

    Files named by kwargs count as declared. Unverified where a source cannot be found or a kwarg
    is not plain data.
    """
    details: dict[str, str] = {"ase": version("ase"), "numpy": np.__version__}
    unhashed: list[str] = []
    for what, thing in (("callable", factory), ("calculator", type(product))):
        found = _source_details(what, thing)
        details |= found
        if not found:
            unhashed.append(f"source of the {what}")
    try:
        details["kwargs"] = json.dumps(dict(kwargs), sort_keys=True)
    except TypeError:
        details["kwargs"] = repr(dict(kwargs))
        unhashed.append("kwargs")
    named = {
        value: path
        for value in kwargs.values()
        if isinstance(value, str)
        for path in (Path(value), base / value)
        if path.is_file()
    }
    for name, path in {**named, **files}.items():
        details[f"file {name}"] = file_digest(path)
    if unhashed:
        details["not hashed"] = ", ".join(unhashed)
    return Identity(use, digest(details), not unhashed, details)


def _source_details(what: str, thing: Any) -> dict[str, str]:
    """Hash of the file that defines `thing`, and the version of the package it comes from, or the
    hash of the whole package where it is not installed but worked on in place."""
    try:
        source = inspect.getsourcefile(inspect.unwrap(thing))
    except TypeError:
        return {}
    if source is None or not Path(source).is_file():
        return {}
    details = {f"source of the {what}": file_digest(Path(source))}
    top = thing.__module__.partition(".")[0]
    for package in _distributions().get(top, []):
        details[package] = version(package)
    folder = Path(source).parent
    if {"site-packages", "dist-packages"} & set(folder.parts):
        return details
    # Not an installed package: what lies beside it may have a say.
    while (folder.parent / "__init__.py").is_file() and (folder / "__init__.py").is_file():
        folder = folder.parent
    pattern = "**/*.py" if (folder / "__init__.py").is_file() else "*.py"
    contents = {str(p.relative_to(folder)): file_digest(p) for p in folder.glob(pattern)}
    return details | {f"folder of the {what}": digest(contents)}


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _fault(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"syntax error in line {error.lineno}: {error.msg}"
    return f"{type(error).__name__}: {error}"


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def _did_you_mean(word: str, names: Iterable[str]) -> str:
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f" (did you mean '{by_lower[close[0]]}'?)" if close else ""
