"""Time and memory of the potential; nothing here gates unless the suite file sets a limit."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from mlipbench.api import (
    Context,
    Criterion,
    Data,
    Figure,
    Inputs,
    Measurement,
    Outcome,
    Panel,
    Series,
    SpeedRequest,
    Structure,
    StructureRef,
    Suite,
    SuiteParams,
    Table,
    speed,
)
from mlipbench_suites.drawing import rounded

# Of the embedded network's default shape on one A100, as published with it: not measured here.
CONTEXT = {"atoms": (192, 1000, 10_000), "ms": (4.0, 18.0, 200.0), "GB": (0.8, 3.5, 30.0)}
_SIZES = ("n_atoms", "call_ms", "memory_MB")
_ARRAYS = ("step_ms", "inside_ms", "single_ms", "batch_ms")


class SpeedParams(SuiteParams):
    """Parameters of the suite `speed`."""

    structure: StructureRef = Field(description="whose supercells are timed")
    sizes: list[PositiveInt] = Field(
        default=[192, 1000, 10_000],
        min_length=1,
        description="numbers of atoms; supercells come as near as they can, what memory forbids is left out",
    )
    replicas: PositiveInt = Field(default=4, description="in one call, against one after the other")
    timestep_fs: PositiveFloat = Field(
        default=0.5, description="0.5 serves hydrogen; 1 to 2 where nothing lighter than carbon moves"
    )
    rounds: int = Field(default=7, ge=3, description="in which all that is compared is timed in turn")


class SpeedSuite(Suite):
    """What an evaluation, a step, and a day of molecular dynamics cost."""

    name: ClassVar[str] = "speed"
    version: ClassVar[int] = 1
    title: ClassVar[str] = "Speed and memory"
    method: ClassVar[str] = (
        "The potential is loaded in a process of its own. Complete calls, from positions that have moved to "
        "energy and forces, neighbour list included, are timed in rounds; the median of the rounds has an "
        "error from their scatter. Memory is the peak above the process that has loaded the potential. "
        "Dynamics is the velocity Verlet of the other suites with its monitors; its overhead is the time "
        "of a step that is not spent in the potential. Times belong to the machine that they were taken "
        "on, and to what else ran there."
    )
    needs: ClassVar[frozenset[str]] = frozenset({"energy", "forces"})
    criteria: ClassVar[tuple[Criterion, ...]] = (
        Criterion(
            name="time_per_atom",
            compare="<",
            limit=21.0,
            unit="us/atom",
            level="if_limited",
            source="the suite file (192 atoms in 4 ms on an A100 are 21)",
        ),
        Criterion(
            name="memory_per_atom",
            compare="<",
            limit=4.2,
            unit="MB/atom",
            level="if_limited",
            source="the suite file (0.8 GB for 192 atoms on an A100 are 4.2)",
        ),
        Criterion(
            name="ns_per_day",
            compare=">",
            limit=10.8,
            unit="ns/day",
            level="if_limited",
            source="the suite file (4 ms for a step of 0.5 fs are 10.8)",
        ),
        Criterion(
            name="md_overhead",
            compare="<",
            limit=5.0,
            unit="%",
            level="advisory",
            source="dynamics, monitors and commits shall cost little beside the potential",
        ),
        Criterion(
            name="time_exponent",
            compare="<",
            limit=1.2,
            unit="1",
            level="advisory",
            source="a potential with a cutoff costs in proportion to the number of atoms",
        ),
    )
    Params: ClassVar[type[SuiteParams]] = SpeedParams

    def structures(self, params: Any, inputs: Inputs) -> list[Structure]:
        """The structure, as often as a rough half of the calls: sizes are unknown to the estimate."""
        p: SpeedParams = params
        return [inputs.structure(p.structure)] * (20 * p.rounds)

    def produce(self, params: Any, context: Context) -> None:
        """Time everything."""
        p: SpeedParams = params
        found = context.speed(
            SpeedRequest(
                structure=context.structure(p.structure),
                sizes=tuple(p.sizes),
                replicas=p.replicas,
                timestep_fs=p.timestep_fs,
                temperature_K=context.intended_use.temperature_K,
                rounds=p.rounds,
            )
        )
        timed = [s for s in found.sizes if len(s.call_ms)]
        for name in _SIZES:
            context.save(f"size.{name}", np.array([getattr(s, name) for s in timed], dtype=float))
        for name in _ARRAYS:
            context.save(name, getattr(found, name))
        context.save("loaded_MB", np.array([found.loaded_MB]))
        context.save("facts", np.array([found.device, found.dtype, found.threads]))
        left = [f"{s.n_atoms} atoms: {s.note}" for s in found.sizes if s.note]
        context.save("left_out", np.array(left, dtype=np.str_))

    def measure(self, params: Any, data: Data) -> Outcome:
        """Medians, exponent, ns/day, overhead, gain."""
        p: SpeedParams = params
        atoms, calls, memory = (data.array(f"size.{name}") for name in _SIZES)
        times = [speed.median(c) for c in calls]
        device, dtype, threads = (str(x) for x in data.array("facts"))
        outcome = Outcome([])
        for n, t, m in zip(atoms, times, memory, strict=True):
            outcome.measurements += [
                _timed("evaluation_time", t, 1.0, "ms", n),
                _timed("time_per_atom", t, 1e3 / n, "us/atom", n),
                _counted("peak_memory", float(m), "MB", n),
                _counted("memory_per_atom", float(m) / n, "MB/atom", n),
            ]
        if len(atoms) > 1:
            outcome.measurements.append(_timed("time_exponent", speed.exponent(atoms, times), 1.0, "1"))
        outcome.measurements += _dynamics(data, p)
        outcome.measurements.append(_counted("loading_memory", float(data.array("loaded_MB")[0]), "MB"))
        outcome.notes = [
            f"Timed on {device} in {dtype}, threads: {threads}; the machine is named in the provenance.",
            *(f"Left out: {text}." for text in data.array("left_out")),
        ]
        outcome.tables = [_table(atoms, times, memory)]
        outcome.figures = [_figure(atoms, times, memory)]
        outcome.methods = (
            f"The cost of the potential was the median over {p.rounds} rounds of complete calls (neighbour "
            f"list, energy and forces) for {', '.join(f'{n:.0f}' for n in atoms)} atoms on {device} in "
            f"{dtype}, and of velocity Verlet steps of {p.timestep_fs:g} fs; memory was the peak above the "
            "process that had loaded the potential."
        )
        return outcome


def _dynamics(data: Data, p: SpeedParams) -> list[Measurement]:
    """ns/day and the overhead of dynamics, gain of a batch."""
    step, inside, single, batch = (data.array(name) for name in _ARRAYS)
    found = []
    if len(step):
        per_day = speed.nanoseconds_per_day(speed.median(step), p.timestep_fs)
        overhead = speed.median(100 * (step - inside) / inside)
        found += [
            _timed("ns_per_day", per_day, 1.0, "ns/day"),
            _timed("step_time", speed.median(step), 1.0, "ms"),
            _timed("md_overhead", overhead, 1.0, "%"),
        ]
    else:
        note = "molecular dynamics broke off before a round was over"
        found.append(Measurement(name="ns_per_day", value=None, unit="ns/day", note=note))
    if len(batch):
        found.append(_timed("batch_gain", speed.ratio(batch, single), 1.0, "1"))
    return found


def _timed(name: str, t: speed.Timed, factor: float, unit: str, atoms: float | None = None) -> Measurement:
    return Measurement(
        name=name,
        value=factor * t.value,
        unit=unit,
        stderr=None if t.stderr is None else factor * t.stderr,
        n_eff=float(t.n),
        conditions={} if atoms is None else {"atoms": float(atoms)},
        method="median of rounds, error from their scatter",
    )


def _counted(name: str, value: float, unit: str, atoms: float | None = None) -> Measurement:
    conditions: dict[str, float | str] = {} if atoms is None else {"atoms": float(atoms)}
    return Measurement(name=name, value=value, unit=unit, exact=True, conditions=conditions)


def _table(atoms: np.ndarray, times: list[speed.Timed], memory: np.ndarray) -> Table:
    ours: list[list[str | float | int | None]] = [
        ["this potential", int(n), t.value, t.stderr, m / 1e3]
        for n, t, m in zip(atoms, times, memory, strict=True)
    ]
    theirs: list[list[str | float | int | None]] = [
        ["context: one A100", n, ms, None, gb] for n, ms, gb in zip(*CONTEXT.values(), strict=True)
    ]
    return Table(
        id="speed-sizes",
        caption="Complete calls and peak memory against the number of atoms. The context is published for a "
        "network of the default shape on an A100, and was not measured here.",
        columns=["", "atoms", "call (ms)", "error (ms)", "peak memory (GB)"],
        rows=[*ours, *theirs],
    )


def _figure(atoms: np.ndarray, times: list[speed.Timed], memory: np.ndarray) -> Figure:
    values = np.array([t.value for t in times])
    errors = [t.stderr or 0.0 for t in times]
    panels = [
        Panel(
            title="Time",
            xlabel="atoms",
            ylabel="call (ms)",
            xscale="log",
            yscale="log",
            series=[
                _dots(atoms, values, "this potential", errors),
                _dots(
                    np.array(CONTEXT["atoms"]), np.array(CONTEXT["ms"]), "one A100, published", role="context"
                ),
            ],
        ),
        Panel(
            title="Memory",
            xlabel="atoms",
            ylabel="peak memory (GB)",
            xscale="log",
            yscale="log",
            series=[
                _dots(atoms, np.maximum(memory, 0.1) / 1e3, "this potential"),
                _dots(
                    np.array(CONTEXT["atoms"]), np.array(CONTEXT["GB"]), "one A100, published", role="context"
                ),
            ],
        ),
    ]
    last = f"{values[-1]:.3g} ms for {atoms[-1]:.0f} atoms"
    return Figure(
        id="speed-sizes",
        caption=f"Time of a complete call and peak memory against the number of atoms ({last}). A "
        "potential with a cutoff follows a line of slope 1.",
        alt=f"Time and memory grow with the number of atoms: {last}.",
        panels=panels,
    )


def _dots(
    x: np.ndarray, y: np.ndarray, label: str, errors: list[float] | None = None, role: str = "data"
) -> Series:
    return Series.model_validate(
        {
            "kind": "points",
            "x": rounded(x).tolist(),
            "y": rounded(y).tolist(),
            "yerr": errors or [],
            "label": label,
            "role": role,
        }
    )
