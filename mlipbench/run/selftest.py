"""The bench on itself: which suite finds which broken potential, and whether sound ones pass them all.

Every case is a run as a user's, of short suites on Stillinger-Weber silicon, in a folder of its own: contract
check, child processes, watchdog and gate included. What the potentials are held against: selftest_references.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlipbench.core.criterion import Verdict
from mlipbench.core.errors import InputError
from mlipbench.core.result import Results, SuiteSummary
from mlipbench.run.selftest_references import BASE, CRYSTAL, SEED, THEORY, File, run_once, write_references
from mlipbench.store import layout

FAULTY, SYMMETRY, PROCESS = (
    f"mlipbench.potentials.{n}" for n in ("faulty", "faulty_symmetry", "faulty_process")
)

Mark = Literal["found", "advised", "error", "unsure", "passed"]


@dataclass(frozen=True)
class Case:
    """A potential, and what its defect is called."""

    name: str
    use: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    sound: bool = False
    trained_on_test: bool = False
    watchdog: bool = False  # its fault is not of answers: one suite is enough to see it


@dataclass(frozen=True)
class Found:
    """What one suite says of one case."""

    mark: Mark
    criteria: tuple[str, ...] = ()  # that fail, or why there is no result


Matrix = dict[str, dict[str, Found]]
"""Case -> suite (the contract is one) -> what it found."""


def _faulty(name: str, module: str = FAULTY, **kwargs: Any) -> Case:
    return Case(name, f"{module}:{name}", {"base": BASE, **kwargs})


CASES: tuple[Case, ...] = (
    Case("sound", BASE, sound=True),
    _faulty("hole"),
    _faulty("attractive_wall"),
    _faulty("structured_error"),
    _faulty("kink_at_cutoff"),
    _faulty("float32_noise"),
    _faulty("non_conservative"),
    _faulty("wrong_sign_stress"),
    _faulty("wrong_unit_stress"),
    _faulty("wrong_order_stress"),
    _faulty("softened"),
    _faulty("hardened"),
    Case("imaginary_mode", BASE, {"lambda_": -3.0}),  # bonds that want to bend
    _faulty("drifted_density"),
    _faulty("force_noise"),
    _faulty("energy_offset", offsets_eV={"Si": 0.05}),
    _faulty("not_extensive", SYMMETRY),
    _faulty("not_rotation_invariant"),
    _faulty("not_reflection_invariant", SYMMETRY),
    _faulty("not_translation_invariant", SYMMETRY),
    _faulty("remembers_its_atoms", SYMMETRY),
    _faulty("depends_on_the_cell", SYMMETRY),
    _faulty("not_deterministic", SYMMETRY),
    _faulty("wrong_for_energy_alone", SYMMETRY),
    _faulty("wrong_for_batches"),
    _faulty("not_a_number", PROCESS, after_calls=100),
    _faulty("raises", PROCESS, after_calls=100),
    Case("hangs", f"{PROCESS}:hangs", {"base": BASE, "after_calls": 20}, watchdog=True),
    Case("kills_the_interpreter", f"{PROCESS}:kills_the_interpreter", {"base": BASE}, watchdog=True),
    Case("leaks_memory", f"{PROCESS}:leaks_memory", {"base": BASE, "megabytes_per_call": 100}, watchdog=True),
    Case("trained_on_the_test_set", BASE, trained_on_test=True),
)


def _file(name: File) -> dict[str, str]:
    return {"file": f"../{name}"}


def _number(name: str) -> dict[str, str]:
    return {**_file("numbers.yaml"), "quantity": name}


CURVE_RUN = {
    "structure": CRYSTAL | {"repeat": [2, 2, 2]},
    "level_of_theory": THEORY,
    "timestep_fs": 2,
    "duration_ps": 12,
}
"""Of the suites that are held against a curve of the sound potential."""
SUITES: dict[str, dict[str, Any]] = {
    "parity": {"energy_reference": "as_is", "frames": _file("frames.extxyz")},
    "smoothness": {"structure": CRYSTAL | {"repeat": [2, 2, 1]}, "timestep_fs": 2},
    "nve": {
        "structure": CRYSTAL | {"repeat": [2, 2, 1]},
        "temperatures_K": [300, 1500],
        "timestep_fs": 1,
        "duration_ps": 2,
        "prepare_ps": 1,
        "half_step_ps": 0.5,
    },
    "phonons": {"reference": _file("phonons.yaml")},
    "eos_elastic": {
        "structure": CRYSTAL,
        "volume": _number("volume_at_rest"),
        "bulk_modulus": _number("bulk_modulus"),
        "elastic_constants": {name: _number(name) for name in ("C11", "C12", "C44")},
    },
    "density": {
        "structure": CRYSTAL | {"repeat": [2, 2, 2]},
        "volume_per_atom": _number("volume_300K"),
        "timestep_fs": 2,
        "duration_ps": 10,
        "prepare_ps": 1,
    },
    "rdf": CURVE_RUN | {"references": {"Si-Si": _file("rdf.csv")}},
    "vdos": CURVE_RUN | {"references": {"total": _file("vdos.csv")}, "correlation_fs": 1000},
}
_WATCHED = {"stall_s": 5.0, "memory_GB": 2.0}


def run_matrix(
    cases: Sequence[str], suites: Sequence[str], folder: Path, progress: Callable[[str], None]
) -> Matrix:
    """Run the cases on the suites, by name; all where none are named. Raises InputError for a name that
    there is not."""
    chosen = [case for case in CASES if not cases or case.name in cases]
    _known(cases, [case.name for case in CASES], "case")
    _known(suites, list(SUITES), "suite")
    folder.mkdir(parents=True, exist_ok=True)
    suites = suites or list(SUITES)
    write_references(folder, {name: SUITES[name] for name in suites}, progress)
    found: Matrix = {}
    for number, case in enumerate(chosen):
        progress(f"{case.name} ({number + 1} of {len(chosen)})")
        found[case.name] = _run(case, suites, folder / case.name)
    return found


def verdict(matrix: Matrix) -> list[str]:
    """What is wrong with the bench: sound potentials that do not pass, defects that nothing found."""
    sound = {case.name for case in CASES if case.sound}
    wrong = []
    for name, row in matrix.items():
        seen = {suite: f for suite, f in row.items() if f.mark in ("found", "advised", "error")}
        if name in sound and seen:
            wrong += [f"{name} fails {suite}: {', '.join(f.criteria)}" for suite, f in seen.items()]
        if name not in sound and not seen:
            wrong.append(f"{name} is found by nothing")
    return wrong


def _known(names: Sequence[str], there: list[str], what: str) -> None:
    unknown = [name for name in names if name not in there]
    if unknown:
        raise InputError(f"no {what} is called {', '.join(unknown)}; expected some of {', '.join(there)}")


def _run(case: Case, suites: Sequence[str], folder: Path) -> dict[str, Found]:
    """One case in a folder of its own."""
    asked = {name: dict(SUITES[name]) for name in suites}
    if case.watchdog:
        asked = {name: asked[name] for name in list(asked)[:1]}
    if case.trained_on_test and "parity" in asked:
        asked["parity"]["train"] = _file("frames.extxyz")
    return _findings(
        run_once(folder, case.use, case.kwargs, asked, SEED, _WATCHED if case.watchdog else None)
    )


def _findings(results: Results) -> dict[str, Found]:
    return {key: _finding(summary) for key, summary in results.suites.items()}


def _finding(summary: SuiteSummary) -> Found:
    if summary.status != "complete":
        return Found("error", (summary.reason.splitlines()[0] if summary.reason else summary.status,))
    failing = [m for m in summary.measurements if m.verdict == Verdict.FAIL]
    names = tuple(dict.fromkeys(m.id.removeprefix(f"{layout.CONTRACT}/").split("/")[-1] for m in failing))
    if any(m.required for m in failing):
        return Found("found", names)
    if failing:
        return Found("advised", names)
    unsure = [m for m in summary.measurements if m.verdict == Verdict.INCONCLUSIVE]
    return Found("unsure" if unsure else "passed")
