"""mlipbench speed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mlipbench.cli.arguments import console
from mlipbench.core.errors import InputError

if TYPE_CHECKING:
    from mlipbench.analysis.speed import Timed
    from mlipbench.core.speed import Speed, SpeedRequest
    from mlipbench.run.speed import Source

OURS, THEIRS = "potential", "against"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def speed(
    potential: Annotated[
        str,
        typer.Argument(
            metavar="POTENTIAL",
            help="A registered name, package.module:callable, file.py:callable, or a .mlip file.",
        ),
    ],
    structure: Annotated[Path, typer.Option("--structure", help="Any file that ASE reads.")],
    index: Annotated[int, typer.Option("--index", help="Frame of the file.")] = 0,
    kwargs: Annotated[
        str, typer.Option("--kwargs", help="Its arguments, YAML or JSON: '{dtype: float32}'.")
    ] = "",
    against: Annotated[
        str | None, typer.Option("--against", help="Another potential, timed in turn with the first.")
    ] = None,
    against_kwargs: Annotated[str, typer.Option("--against-kwargs", help="Arguments of the other.")] = "",
    sizes: Annotated[
        str, typer.Option("--sizes", help="Numbers of atoms; supercells come as near as they can.")
    ] = "192,1000,10000",
    timestep_fs: Annotated[float, typer.Option("--timestep-fs", min=0.01, help="Of dynamics.")] = 0.5,
    temperature_K: Annotated[float, typer.Option("--temperature-K", min=0.0, help="Of dynamics.")] = 300.0,
    replicas: Annotated[int, typer.Option("--replicas", min=1, help="In one call, against one.")] = 4,
    rounds: Annotated[int, typer.Option("--rounds", min=3, help="Everybody's turn in each.")] = 7,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Of each potential.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a dated record as JSON.")] = False,
) -> None:
    """Time a potential: calls and memory against atoms, molecular dynamics, batches; two of them in turn.

    A call takes positions that have moved to energy and forces, neighbour list included. Each potential has a
    process of its own.
    """
    from mlipbench.core.speed import SpeedRequest
    from mlipbench.core.suite import StructureRef
    from mlipbench.data.references import Manifest
    from mlipbench.data.structures import resolve_structure
    from mlipbench.run.speed import measure

    environment = {} if threads is None else dict.fromkeys(THREADS, str(threads))
    sources = {OURS: source(potential, kwargs, "--kwargs", environment)}
    if against is not None:
        sources[THEIRS] = source(against, against_kwargs, "--against-kwargs", environment)
    elif against_kwargs:
        raise InputError("--against-kwargs are of a potential that --against names; it names none")
    ref = StructureRef(file=str(structure), index=index)
    request = SpeedRequest(
        structure=resolve_structure(ref, Path(), Manifest({}, {})),
        sizes=_sizes(sizes),
        replicas=replicas,
        timestep_fs=timestep_fs,
        temperature_K=temperature_K,
        rounds=rounds,
    )
    terminal = Console(stderr=True)
    with terminal.status("starting") as status:
        found = measure(sources, request, status.update)
    if as_json:
        typer.echo(json.dumps(record(found, sources, request), indent=1))
    else:
        for table in _tables(found, timestep_fs):
            console().print(table)


def source(potential: str, kwargs: str, option: str, environment: dict[str, str]) -> Source:
    """What a command line names. Raises InputError."""
    from mlipbench.run.speed import Source

    arguments = _arguments(kwargs, option)
    if potential.endswith(".mlip"):
        if "path" in arguments:
            raise InputError(f"{option} names a path, and {potential} is one already; leave one of them out")
        return Source("embedded", {"path": potential, **arguments}, Path(), environment=environment)
    return Source(potential, arguments, Path(), environment=environment)


def _arguments(text: str, option: str) -> dict[str, object]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found: Any = YAML(typ="safe").load(text) if text else {}
    except YAMLError as error:
        raise InputError(
            f"{option} {text!r} is neither YAML nor JSON: {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(found, dict):
        raise InputError(f"{option} {text!r}: expected names with values, as '{{dtype: float32}}'")
    return found


def _sizes(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise InputError(f"--sizes {text!r}: expected numbers of atoms, as 192,1000,10000")
    return tuple(int(part) for part in parts)


def record(found: dict[str, Speed], sources: dict[str, Source], request: SpeedRequest) -> dict[str, Any]:
    """The dated record that --json prints: machine, what was asked, medians with errors, every round."""
    from mlipbench.store.provenance import provenance

    facts = provenance({"load": round(os.getloadavg()[0], 1)})
    facts["threads"] = found[OURS].threads
    potentials = {
        key: {"use": sources[key].use, "kwargs": dict(sources[key].kwargs)}
        | _plain(speed, request.timestep_fs)
        for key, speed in found.items()
    }
    ratios = {str(n): _timed(r) for n, r in _ratios(found).items()}
    asked = {
        "timestep_fs": request.timestep_fs,
        "temperature_K": request.temperature_K,
        "rounds": request.rounds,
    }
    return {**facts, "asked": asked, "potentials": potentials, "against/potential": ratios}


def _plain(speed: Speed, timestep_fs: float) -> dict[str, Any]:
    sizes = [
        {
            "atoms": s.n_atoms,
            "cells": list(s.cells),
            "call_ms": _timed(_median(s.call_ms)) if len(s.call_ms) else None,
            "rounds_ms": s.call_ms.tolist(),
            "peak_memory_MB": s.memory_MB,
            "peak_gpu_memory_MB": s.gpu_memory_MB,
            "note": s.note,
        }
        for s in speed.sizes
    ]
    return {
        "name": speed.name,
        "dtype": speed.dtype,
        "device": speed.device,
        "loading_memory_MB": speed.loaded_MB,
        "sizes": sizes,
        **{name: _timed(value) for name, value in _derived(speed, timestep_fs).items()},
        "replicas": speed.replicas,
    }


def _derived(speed: Speed, timestep_fs: float) -> dict[str, Timed]:
    """Exponent, step, ns/day, overhead and gain, as far as they were timed."""
    from mlipbench.analysis import speed as numbers

    timed = [s for s in speed.sizes if len(s.call_ms)]
    found: dict[str, Timed] = {}
    if len(timed) > 1:
        times = [_median(s.call_ms) for s in timed]
        found["exponent"] = numbers.exponent([s.n_atoms for s in timed], times)
    if len(speed.step_ms):
        found["step_ms"] = _median(speed.step_ms)
        found["ns_per_day"] = numbers.nanoseconds_per_day(found["step_ms"], timestep_fs)
        found["overhead_percent"] = _median(100 * (speed.step_ms - speed.inside_ms) / speed.inside_ms)
    if len(speed.batch_ms):
        found["batch_gain"] = numbers.ratio(speed.batch_ms, speed.single_ms)
    return found


def _ratios(found: dict[str, Speed]) -> dict[int, Timed]:
    """Number of atoms -> time of the other over that of the first, round by round."""
    from mlipbench.analysis import speed as numbers

    if THEIRS not in found:
        return {}
    pairs = zip(found[OURS].sizes, found[THEIRS].sizes, strict=True)
    return {
        a.n_atoms: numbers.ratio(a.call_ms, b.call_ms) for a, b in pairs if len(a.call_ms) and len(b.call_ms)
    }


def _median(values: Any) -> Timed:
    from mlipbench.analysis import speed as numbers

    return numbers.median(values)


def _timed(t: Timed) -> dict[str, float | None]:
    return {"median": t.value, "stderr": t.stderr}


def _tables(found: dict[str, Speed], timestep_fs: float) -> list[Table]:
    sizes = Table("potential", "atoms", "call", "peak memory", "other/first", title="complete calls")
    ratios = _ratios(found)
    for key, speed in found.items():
        for s in speed.sizes:
            call = f"{_words(_median(s.call_ms))} ms" if len(s.call_ms) else f"not timed: {s.note}"
            memory = "" if s.memory_MB is None else f"{s.memory_MB:.0f} MB"
            if s.gpu_memory_MB is not None:
                memory += f", GPU {s.gpu_memory_MB:.0f} MB"
            ratio = _words(ratios[s.n_atoms]) if key == THEIRS and s.n_atoms in ratios else ""
            sizes.add_row(f"{key}: {speed.name}", str(s.n_atoms), call, memory, ratio)
    names = {
        "exponent": "exponent of the time in the atoms",
        "step_ms": "step of dynamics (ms)",
        "ns_per_day": f"ns/day at {timestep_fs:g} fs",
        "overhead_percent": "overhead of dynamics (%)",
        "batch_gain": "gain of several replicas in a call",
    }
    rest = Table("", *(f"{key}: {s.name}" for key, s in found.items()), title=_where(found[OURS]))
    derived = [_derived(speed, timestep_fs) for speed in found.values()]
    for name, words in names.items():
        rest.add_row(words, *(_words(d[name]) if name in d else "" for d in derived))
    rest.add_row("memory of loading it (MB)", *(f"{s.loaded_MB:.0f}" for s in found.values()))
    return [sizes, rest]


def _where(speed: Speed) -> str:
    from mlipbench.store.provenance import provenance

    facts = provenance({})
    where = f"{facts['processor']}, {facts['cores']} cores, threads: {speed.threads}"
    return f"{speed.device}, {speed.dtype}; {where}, {facts['date'][:10]}"


def _words(t: Timed) -> str:
    return f"{t.value:.4g}" + ("" if t.stderr is None else f" ± {t.stderr:.2g}")
