"""The bench on itself: which suite finds which broken potential, and whether sound ones pass them all.

Every case is a run as a user's, of short suites on Stillinger-Weber silicon, in a folder of its own: contract
check, child processes, watchdog and gate included. The labels of `parity` are the sound potential's own; its
elastic constants and volume are published.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase.build import bulk

from mlipbench.core.criterion import Verdict
from mlipbench.core.errors import InputError
from mlipbench.core.result import Results, SuiteResult, SuiteSummary
from mlipbench.core.structure import Structure
from mlipbench.potentials.loading import load
from mlipbench.run.cost import RunEstimate
from mlipbench.run.planning import read_plan
from mlipbench.run.session import Session
from mlipbench.store import layout
from mlipbench.store.runs import RunFolder

BASE, LATTICE_A = "sw-si", 5.431
N_FRAMES, RATTLE_A, SEED = 40, 0.1, 1
FAULTY, SYMMETRY, PROCESS = (
    f"mlipbench.potentials.{n}" for n in ("faulty", "faulty_symmetry", "faulty_process")
)
CRYSTAL = {"crystal": "diamond", "symbol": "Si", "lattice_A": LATTICE_A}
FRAMES, NUMBERS = {"file": "../frames.extxyz"}, "../numbers.yaml"
PUBLISHED: dict[str, tuple[float, float, str]] = {  # value, one standard error, unit
    "C11": (151.4, 1.0, "GPa"),
    "C12": (76.4, 1.0, "GPa"),
    "C44": (56.4, 1.0, "GPa"),
    "bulk_modulus": (101.4, 1.0, "GPa"),
    "volume_at_rest": (LATTICE_A**3 / 8, 0.02, "A^3/atom"),
    "volume_300K": (LATTICE_A**3 / 8, 0.1, "A^3/atom"),  # the error covers how far silicon expands
}
"""E. R. Cowley, Phys. Rev. Lett. 60, 2379 (1988), and the lattice constant."""

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


def _number(name: str) -> dict[str, str]:
    return {"file": NUMBERS, "quantity": name}


SUITES: dict[str, dict[str, Any]] = {
    "parity": {"energy_reference": "as_is", "frames": FRAMES},
    "smoothness": {"structure": CRYSTAL | {"repeat": [2, 2, 1]}, "timestep_fs": 2},
    "nve": {
        "structure": CRYSTAL | {"repeat": [2, 2, 1]},
        "temperatures_K": [300, 1500],
        "timestep_fs": 1,
        "duration_ps": 2,
        "prepare_ps": 1,
        "half_step_ps": 0.5,
    },
    "phonons": {"structure": CRYSTAL, "supercell": [2, 2, 2]},
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
    _write_frames(folder / "frames.extxyz")
    _write_numbers(folder / "numbers.yaml")
    found: Matrix = {}
    for number, case in enumerate(chosen):
        progress(f"{case.name} ({number + 1} of {len(chosen)})")
        found[case.name] = _run(case, suites or list(SUITES), folder / case.name)
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


def _write_frames(path: Path) -> None:
    """Rattled crystals with the answers of the sound potential as labels."""
    from ase.io import write

    rng, sound, frames = np.random.default_rng(SEED), load(BASE, {}, Path()), []
    for _ in range(N_FRAMES):
        atoms = bulk("Si", "diamond", a=LATTICE_A, cubic=True)
        atoms.positions += RATTLE_A * rng.normal(size=atoms.positions.shape)
        answer = sound.evaluate([Structure.from_ase(atoms)], ("energy", "forces", "stress"))[0]
        atoms.info |= {"REF_energy": answer.energy, "REF_stress": np.asarray(answer.stress).ravel()}
        atoms.arrays["REF_forces"] = np.asarray(answer.forces)
        frames.append(atoms)
    write(path, frames, format="extxyz")


def _write_numbers(path: Path) -> None:
    """What is published of the sound potential."""
    said = {"level_of_theory": "Stillinger-Weber", "source": "E. R. Cowley, Phys. Rev. Lett. 60, 2379 (1988)"}
    numbers = {
        name: {"value": value, "error": error, "unit": unit, **said}
        for name, (value, error, unit) in PUBLISHED.items()
    }
    path.write_text(json.dumps(numbers, indent=1))  # JSON is YAML


class _Silent:
    """A display that nobody looks at."""

    def estimated(self, estimate: RunEstimate) -> None:
        """Nothing."""

    def begin(self, key: str, seconds: float | None) -> None:
        """Nothing."""

    def progress(self, key: str, fraction: float, text: str) -> None:
        """Nothing."""

    def end(self, key: str, result: SuiteResult | None) -> None:
        """Nothing."""


def _run(case: Case, suites: Sequence[str], folder: Path) -> dict[str, Found]:
    """One case in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = {name: dict(SUITES[name]) for name in suites}
    if case.watchdog:
        asked = {name: asked[name] for name in list(asked)[:1]}
    if case.trained_on_test and "parity" in asked:
        asked["parity"]["train"] = FRAMES
    plan = {
        "title": case.name,
        "potential": {"use": case.use, "kwargs": case.kwargs},
        "intended_use": {"elements": ["Si"], "phases": ["diamond"], "temperature_K": 300},
        "seed": SEED,
        "suites": asked,
        **({"watchdog": _WATCHED} if case.watchdog else {}),
    }
    path = folder / "selftest.yaml"
    path.write_text(json.dumps(plan, indent=1))  # JSON is YAML
    results = Session(read_plan(path, None), RunFolder(folder / "run"), _Silent()).execute()
    return _findings(results)


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
