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

from mlipbench.core.errors import PotentialError

_UNWRAPPED: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # compiles faster

inner = numba.njit(error_model="numpy", **_UNWRAPPED)
"""Marks a function that kernels call."""

pasted = numba.njit(error_model="numpy", inline="always")
"""Marks one that is called for each pair: pasted into the caller, where no count of references to the
arrays it is given needs to be kept."""


_numba: Any = numba
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
        """Run it. Raises PotentialError where the threads are gone."""
        if _lost_threads and self._parallel:
            raise PotentialError(
                "the compiled engine had been used before this process was forked, and threads of OpenMP do "
                "not survive that; start processes by multiprocessing's spawn, or set "
                "NUMBA_THREADING_LAYER=workqueue, which is slower"
            )
        return self._compiled(*arguments)

    @functools.cached_property
    def _compiled(self) -> Any:
        _start_threads()
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


@functools.cache
def _start_threads() -> None:
    """Start numba's threads. Those of OpenMP, its choice where no TBB is installed, spin when they are idle:
    on a machine with other work all threads then wait for each other. They are told to sleep, as OpenMP can
    be when it is loaded, unless the user has told them something. numba's own pool, which needs no OpenMP,
    leaves two threads idle a third of their time.
    """
    told = any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"))
    if not told:
        os.environ["OMP_WAIT_POLICY"] = "passive"
    try:
        numba.get_num_threads()
    finally:
        if not told:
            del os.environ["OMP_WAIT_POLICY"]
    if _numba.threading_layer() == "omp":
        os.register_at_fork(after_in_child=_lose_threads)


_lost_threads = False


def _lose_threads() -> None:
    global _lost_threads
    _lost_threads = True
