"""Identities: sha256 over everything that decides what a potential answers."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mlipbench.core.potential import Identity


def version(package: str) -> str:
    """Version of an installed package, "" where none of that name is installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def digest(details: Mapping[str, str]) -> str:
    """sha256 of a mapping, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(dict(details), sort_keys=True).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def identity_of(name: str, cls: type, parameters: Mapping[str, object]) -> Identity:
    """Identity of a potential of our own: the source of its classes, its parameters, our version."""
    own = [c for c in cls.__mro__ if c.__module__.startswith("mlipbench.potentials")]
    source = "\n".join(inspect.getsource(c) for c in own)
    details = {
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "source": hashlib.sha256(source.encode()).hexdigest(),
        "parameters": json.dumps(parameters, sort_keys=True),
        "mlipbench": version("mlipbench"),
    }
    return Identity(name, digest(details), True, details | {"numpy": np.__version__})
