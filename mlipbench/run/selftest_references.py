"""What `mlipbench selftest` holds potentials against, as files: the sound potential's own answers.

Labels and force constants are computed, g(r) and spectrum are those of longer runs of the same suites from
another seed; elastic constants and volume are published.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase.build import bulk
from ase.io import write

from mlipbench.analysis import phonons
from mlipbench.core.errors import SuiteError
from mlipbench.core.figure import Figure
from mlipbench.core.result import Results, SuiteResult
from mlipbench.core.structure import Structure
from mlipbench.potentials.loading import load
from mlipbench.run.cost import RunEstimate
from mlipbench.run.planning import read_plan
from mlipbench.run.session import Session
from mlipbench.store.runs import RunFolder

BASE, LATTICE_A, SEED = "sw-si", 5.431, 1
THEORY, TEMPERATURE_K = "Stillinger-Weber", 300.0
CRYSTAL = {"crystal": "diamond", "symbol": "Si", "lattice_A": LATTICE_A}
N_FRAMES, RATTLE_A = 40, 0.1
DISPLACEMENT_A = 0.01
LENGTH_PS = 60.0
TWO_SIDED = 1.96  # standard errors of a figure's band
PUBLISHED: dict[str, tuple[float, float, str]] = {  # value, one standard error, unit
    "C11": (151.4, 1.0, "GPa"),
    "C12": (76.4, 1.0, "GPa"),
    "C44": (56.4, 1.0, "GPa"),
    "bulk_modulus": (101.4, 1.0, "GPa"),
    "volume_at_rest": (LATTICE_A**3 / 8, 0.02, "A^3/atom"),
    "volume_300K": (LATTICE_A**3 / 8, 0.1, "A^3/atom"),  # the error covers how far silicon expands
}
"""E. R. Cowley, Phys. Rev. Lett. 60, 2379 (1988), and the lattice constant."""
CURVES: dict[str, tuple[str, str, str, str]] = {  # suite: name, unit of the abscissa; of the value
    "rdf": ("r", "A", "g", "1"),
    "vdos": ("wavenumber", "cm^-1", "density", "cm"),
}

File = Literal["frames.extxyz", "numbers.yaml", "phonons.yaml", "rdf.csv", "vdos.csv"]


def write_references(
    folder: Path, suites: dict[str, dict[str, Any]], progress: Callable[[str], None]
) -> None:
    """The files that these suites, with these parameters, are held against."""
    _write_frames(folder / "frames.extxyz")
    _write_numbers(folder / "numbers.yaml")
    _write_phonons(folder / "phonons.yaml")
    longer = {
        name: {key: value for key, value in suites[name].items() if key != "references"}
        | {"duration_ps": LENGTH_PS}
        for name in CURVES
        if name in suites
    }
    if longer:
        progress("references")
        ended = run_once(folder / "references", BASE, {}, longer, SEED + 1)
        for name in longer:
            result = RunFolder(folder / "references" / "run").suite(name).result()
            if result is None:
                raise SuiteError(f"the sound potential's own {name}: {ended.suites[name].reason}")
            curve = next(figure for figure in result.figures if isinstance(figure, Figure))
            _write_curve(folder / f"{name}.csv", name, curve)


def run_once(
    folder: Path,
    use: str,
    kwargs: dict[str, Any],
    suites: dict[str, dict[str, Any]],
    seed: int,
    watchdog: dict[str, float] | None = None,
) -> Results:
    """A run of silicon in folder/run, as a user's."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = {
        "title": folder.name,
        "potential": {"use": use, "kwargs": kwargs},
        "intended_use": {"elements": ["Si"], "phases": ["diamond"], "temperature_K": TEMPERATURE_K},
        "seed": seed,
        "suites": suites,
        **({"watchdog": watchdog} if watchdog else {}),
    }
    path = folder / "selftest.yaml"
    path.write_text(json.dumps(plan, indent=1))  # JSON is YAML
    return Session(read_plan(path, None), RunFolder(folder / "run"), _Silent()).execute()


def _write_frames(path: Path) -> None:
    """Rattled crystals with the answers of the sound potential as labels."""
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
    said = {"level_of_theory": THEORY, "source": "E. R. Cowley, Phys. Rev. Lett. 60, 2379 (1988)"}
    numbers = {
        name: {"value": value, "error": error, "unit": unit, **said}
        for name, (value, error, unit) in PUBLISHED.items()
    }
    path.write_text(json.dumps(numbers, indent=1))  # JSON is YAML


def _write_phonons(path: Path) -> None:
    """Force constants of 64 atoms."""
    cell = Structure.from_ase(bulk("Si", "diamond", a=LATTICE_A, cubic=True))
    crystal = phonons.crystal(cell, (2, 2, 2), 1e-5)
    moves = phonons.displacements(crystal, DISPLACEMENT_A)
    answers = load(BASE, {}, Path()).evaluate(moves.structures(crystal.supercell), ("energy", "forces"))
    found = crystal.phonopy()
    found.force_constants = phonons.force_constants(
        crystal, moves, np.array([answer.forces for answer in answers])
    )
    found.save(str(path), settings={"force_constants": True})


def _write_curve(path: Path, suite: str, figure: Figure) -> None:
    """The run's own curve of a figure, with the errors that its band shows."""
    abscissa, abscissa_unit, name, unit = CURVES[suite]
    own = {series.kind: series for series in figure.panels[0].series if series.role == "data"}
    x, y, low, high = (
        np.array(values, dtype=float)
        for values in (own["line"].x, own["line"].y, own["band"].y, own["band"].y2)
    )
    header = {
        "abscissa_unit": abscissa_unit, "value_unit": unit, "level_of_theory": THEORY,
        "temperature_K": f"{TEMPERATURE_K:g}", "source": f"mlipbench: {suite} of {BASE}, {LENGTH_PS:g} ps",
    }  # fmt: skip
    lines = [f"# {key}: {value}" for key, value in header.items()] + [f"{abscissa},{name},error"]
    rows = zip(x, y, (high - low) / (2 * TWO_SIDED), strict=True)
    path.write_text("\n".join(lines + [f"{a:.6g},{v:.6g},{e:.3g}" for a, v, e in rows]) + "\n")


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
