"""Kernels: functions that numba compiles when they are first called, once per machine and user."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

_UNWRAPPED: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # compiles faster

inner = numba.njit(error_model="numpy", **_UNWRAPPED)
"""Marks a function that kernels call."""

pasted = numba.njit(error_model="numpy", inline="always")
"""Marks one that is called for each pair: pasted into the caller, where no count of references to the
arrays it is given needs to be kept."""


_config: Any = numba.config


class Kernel:
    """A function compiled at its first call; the machine code is kept in the user's cache folder.

    Loops over `prange` run in parallel. No thread adds to what another one adds to, so that answers
    do not depend, bit for bit, on the number of threads.
    """

    def __init__(self, function: Callable[..., Any], parallel: bool = True) -> None:
        functools.update_wrapper(self, function)
        self._function, self._parallel = function, parallel

    def __call__(self, *arguments: Any) -> Any:
        """Run it."""
        return self._compiled(*arguments)

    @functools.cached_property
    def _compiled(self) -> Any:
        _choose_threads()
        folder = cache_folder()
        wrap = functools.partial(numba.njit, parallel=self._parallel, error_model="numpy")
        if folder is None:
            return wrap(self._function)
        # numba reads where to cache when it wraps a function; other packages keep their own place.
        before = _config.CACHE_DIR
        _config.CACHE_DIR = str(folder)
        try:
            return wrap(self._function, cache=True)
        finally:
            _config.CACHE_DIR = before


@functools.cache
def cache_folder() -> Path | None:
    """Where machine code is kept, a folder of the user's, a name of its own for each version of the
    engine's source; None where none can be written: then every process compiles anew."""
    root = os.environ.get("MLIPBENCH_CACHE") or os.environ.get("XDG_CACHE_HOME")
    if sys.platform == "darwin":
        default = Path.home() / "Library" / "Caches"
    else:
        default = Path.home() / ".cache"
    folder = (Path(root) if root else default) / "mlipbench" / f"engine-{source_digest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


@functools.cache
def source_digest() -> str:
    """sha256 of the engine's source."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _choose_threads() -> None:
    """Idle threads of numba's own pool sleep; those of GNU OpenMP, the default, spin, and on a machine
    with other work all threads then wait for each other. A choice of the user's is left alone."""
    if _config.THREADING_LAYER == "default":
        _config.THREADING_LAYER = "workqueue"
