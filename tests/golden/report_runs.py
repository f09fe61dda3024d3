"""Run folders of four kinds, as `mlipbench run` leaves them: empty, passing, failing, erring.

The numbers are made up, but every verdict comes from the judge itself.
"""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np

from mlipbench.core.criterion import Criterion, Evidence, Verdict
from mlipbench.core.figure import Figure, Panel, Series, StructurePicture, Table
from mlipbench.core.judge import judge
from mlipbench.core.measurement import Measurement
from mlipbench.core.result import (
    CHECKLIST,
    ChecklistEntry,
    IntendedUseRecord,
    JudgedMeasurement,
    PotentialRecord,
    ReferenceRecord,
    Results,
    SuiteResult,
    SuiteSummary,
    Waiver,
)
from mlipbench.store import layout
from mlipbench.store.runs import RunFolder

KINDS = ("empty", "passing", "failing", "erring")

_SEED = "seed 000, section 9.6.9"
_LENGTH = (Evidence("length_ps", 50, "ps"),)
_FRAMES = (Evidence("frames", 20),)
PARITY = (
    Criterion(
        name="energy_mae", compare="<", limit=1.0, unit="meV/atom", item=1, source=_SEED, needs=_FRAMES
    ),
    Criterion(
        name="force_mae", compare="<", limit=50.0, unit="meV/A", item=2, source=_SEED, needs=_FRAMES,
        grades={"better": 30.0},
    ),
    Criterion(name="stress_mae", compare="<", limit=1e-3, unit="eV/A^3", item=3, source=_SEED, needs=_FRAMES),
    Criterion(name="energy_r2", compare=">", limit=0.999, unit="1", level="advisory", source="seed 001"),
)  # fmt: skip
NVE = (
    Criterion(
        name="drift", compare="abs<", limit=1.0, unit="meV/atom/ps", level="at_target", item=4, source=_SEED,
        needs=_LENGTH, grades={"ideal": 0.1},
    ),
    Criterion(name="survived", compare="==", limit=1.0, unit="1", source="a run that explodes is no run"),
)  # fmt: skip
STABILITY = (
    Criterion(
        name="failures", compare="==", limit=0.0, unit="1", item=5, source=_SEED,
        needs=(Evidence("length_ps", 100, "ps"),),
    ),
)  # fmt: skip
CONTRACT = (
    Criterion(
        name="force_error", compare="<", limit=1e-3, unit="eV/A", source="central differences of the energy"
    ),
    Criterion(name="net_force", compare="<", limit=1e-4, unit="eV/A", source="translation changes nothing"),
    Criterion(
        name="stress_error", compare="<", limit=1e-3, unit="eV/A^3", level="advisory", source="finite strain"
    ),
)  # fmt: skip


def build(kind: str, folder: Path) -> Path:
    """Write a run folder of one of `KINDS` and return it."""
    suites = {
        "empty": lambda: [],
        "passing": lambda: [contract(), parity(good=True), nve(good=True), stability(good=True)],
        "failing": lambda: [contract(), parity(good=False), nve(good=False), stability(good=False)],
        "erring": lambda: [contract(), parity(good=True), nve_error(), not_applicable()],
    }[kind]()
    write(folder, results(kind, suites), suites)
    if kind == "erring":
        (folder / "suites" / "nve" / "traceback.txt").write_text(
            'Traceback (most recent call last):\n  File "calculator.py", line 88, in calculate\n'
            "    raise RuntimeError('\x1b[31mCUDA out of memory\x1b[0m & <worse>')\n"
            "RuntimeError: CUDA out of memory & <worse>\n"
        )
    return folder


def write(folder: Path, record: Results, suites: list[SuiteResult]) -> None:
    """The files of a run folder."""
    folder.mkdir(parents=True, exist_ok=True)
    run = RunFolder(folder)
    run.write_results(record)
    plan = "title: Silicon\nsuites:\n  nve:\n    temperatures_K: [300, 600]\n"
    layout.write_plan(run.file(layout.PLAN), plan, record.plan_sha256)
    layout.write_json(
        run.file(layout.PROVENANCE),
        {
            "date": "2026-11-20T20:17:00+00:00",
            "python": "3.11.7",
            "cores": 2,
            "packages": {"mlipbench": "0.1.0", "numpy": "2.4.6", "ase": "3.26.0"},
            "git": {"commit": "58810ea41e77", "modified": False},
            "seed": 1,
        },
    )
    layout.write_json(run.file(layout.TIMINGS), {s.key: 12.5 + 60 * i for i, s in enumerate(suites)})
    for suite in suites:
        run.suite(suite.key).write_result(suite)


def results(kind: str, suites: list[SuiteResult]) -> Results:
    """results.json with a checklist as the gate makes it."""
    failing = kind == "failing"
    if failing:
        waiver = Waiver(
            criterion="parity/stress_mae",
            reason="Constant-volume work only until the retraining of December.",
            expires=datetime.date(2026, 12, 31),
        )
        for m in suites[1].measurements:
            if m.id == waiver.criterion:
                suites[1].measurements[suites[1].measurements.index(m)] = m.model_copy(
                    update={"waived": True}
                )
    summaries = {s.key: SuiteSummary(**s.model_dump(include=set(SuiteSummary.model_fields))) for s in suites}
    verdict, code, sentence = {
        "empty": (Verdict.INCONCLUSIVE, 3, "The evidence does not suffice for a verdict. Partial: 0 of 9 "
                  "checklist items settled; not measured: 1, 2, 3, 4, 5, 6, 7, 8, 9."),
        "passing": (Verdict.PASS, 0, "Every required criterion that was measured passes. Partial: 5 of 9 "
                    "checklist items settled; not measured: 6, 7, 8, 9."),
        "failing": (Verdict.FAIL, 1, "A required criterion fails: do not deploy. Partial: 1 of 9 checklist "
                    "items settled; failed: 2, 5; inconclusive: 1, 4; not measured: 6, 7, 8, 9."),
        "erring": (Verdict.ERROR, 4, "A required suite ended in an error. Partial: 4 of 9 checklist items "
                   "settled; ended in an error: 4; not measured: 5, 6, 7, 8, 9."),
    }[kind]  # fmt: skip
    return Results(
        title="Stillinger-Weber silicon against PBE",
        verdict=verdict,
        sentence=sentence,
        exit_code=code,
        tier="full" if kind == "passing" else "standard",
        seed=1,
        intended_use=IntendedUseRecord(
            temperature_K=300, elements=["Si"], phases=["diamond"], pressure_bar=None, electrostatics=False
        ),
        potential=PotentialRecord(
            name="sw-si",
            key="3fa2c1d09b7e4c55a1f2e3d4c5b6a7988d3fa2c1d09b7e4c55a1f2e3d4c5b6a7",
            verified=not failing,
            details={"source": "Stillinger and Weber, Phys. Rev. B 31, 5262 (1985)", "dtype": "float64"},
            fingerprint="a9" * 32,
        ),
        references=[]
        if kind == "empty"
        else [
            ReferenceRecord(
                name="silicon",
                sha256="7c" * 32,
                level_of_theory="PBE, 40 Ry, Gamma-centred 2x2x2",
                licence="CC-BY-4.0",
                source="Quantum ESPRESSO 7.2",
            )
        ],
        checklist=[_entry(n, item, suites) for n, item in CHECKLIST.items()],
        waivers=[waiver] if failing else [],
        suites=summaries,
    )


_WORST = (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.NOT_APPLICABLE)


def _entry(number: int, item: str, suites: list[SuiteResult]) -> ChecklistEntry:
    feeding = [
        m for s in suites for m in s.measurements if m.criterion and m.criterion.item == number and m.required
    ]
    status: str = "NOT_MEASURED"
    reason = "no suite of this run measures it"
    if feeding:
        worst = next(v for v in _WORST if any(m.verdict == v for m in feeding))
        reason = "; ".join(f"{m.id}: {m.reason}" for m in feeding if m.verdict == worst)
        status = "WAIVED" if all(m.waived for m in feeding) else worst
    elif number == 4 and any(s.status == "error" for s in suites):
        status, reason = "ERROR", "the calculator raised RuntimeError"
    return ChecklistEntry(
        number=number,
        item=item,
        status=status,
        reason=reason,
        limit="drift magnitude below 1 meV/atom/ps" if number == 4 else "",
        measurements=[m.id for m in feeding],
    )


def judged(
    key: str, measurements: list[Measurement], criteria: tuple[Criterion, ...], target_K: float = 300.0
) -> list[JudgedMeasurement]:
    """Judge as a run does."""
    found = []
    by_name = {c.name: c for c in criteria}
    for name in dict.fromkeys(m.name for m in measurements):
        family = [m for m in measurements if m.name == name]
        c = by_name.get(name)
        verdicts = judge(family, c) if c else [None] * len(family)
        for m, verdict in zip(family, verdicts, strict=True):
            at_target = m.conditions.get("temperature_K") == target_K
            found.append(
                JudgedMeasurement(
                    id=f"{key}/{m.key}",
                    criterion=c,
                    required=bool(c) and (c.level == "required" or (c.level == "at_target" and at_target)),
                    verdict=verdict.verdict if verdict else None,
                    reason=verdict.reason if verdict else "",
                    bound=verdict.bound if verdict else None,
                    **m.model_dump(exclude={"name"}),
                )
            )
    return found


def contract() -> SuiteResult:
    """The checks of the potential itself."""
    method = "largest deviation over 4 probe structures, 12 components each"
    return SuiteResult(
        key="contract",
        suite="contract",
        version=1,
        title="Contract of the potential",
        method="Forces are compared with central differences of the energy, step 0.001 A, and the stress "
        "with the derivative of the energy in the strain.",
        asked={"structures": 4},
        status="complete",
        measurements=judged(
            "contract",
            [
                Measurement(name="force_error", value=2.31e-8, unit="eV/A", exact=True, method=method),
                Measurement(name="net_force", value=4.1e-15, unit="eV/A", exact=True, method=method),
                Measurement(name="stress_error", value=1.2e-9, unit="eV/A^3", exact=True, method=method),
            ],
            CONTRACT,
        ),
        notes=["Batch and single evaluation agree to the last bit."],
    )


def parity(good: bool) -> SuiteResult:
    """Errors on labelled frames, with figures, a table and the worst frame."""
    rng = np.random.default_rng(7)
    scale = 1.0 if good else 3.4
    frames = "bootstrap over 69 frames, 1000 resamples"
    evidence = {"frames": 69.0}

    def number(name: str, value: float, unit: str, stderr: float, **kwargs: object) -> Measurement:
        return Measurement(
            name=name,
            value=value,
            unit=unit,
            stderr=stderr,
            n_eff=69,
            method=frames,
            evidence=evidence,
            **kwargs,
        )

    measurements = [
        number("energy_mae", 0.61 if good else 0.98, "meV/atom", 0.05 if good else 0.08),
        number("force_mae", 27.3 * scale, "meV/A", 0.9 * scale),
        number("stress_mae", 4.2e-4 * scale, "eV/A^3", 2e-5 * scale),
        number("energy_r2", 0.9994 if good else 0.981, "1", 1e-4),
        number("force_rmse", 36.0 * scale, "meV/A", 1.1 * scale),
        Measurement(
            name="energy_offset", value=-107331.42, unit="meV/atom", exact=True,
            note="The zero of energy was fitted per element; this is what was taken out.",
        ),
    ]  # fmt: skip
    forces = rng.laplace(scale=1.1, size=6000)
    error = rng.normal(scale=0.034 * scale, size=6000) * (0.4 + np.abs(forces))
    found = judged("parity", measurements, PARITY)
    if not good:
        found[1] = found[1].model_copy(update={"default_limit": 40.0})
    return SuiteResult(
        key="parity",
        suite="parity",
        version=1,
        title="Errors on held-out frames",
        method="Mean absolute errors over held-out frames. Errors of the means come from a bootstrap over "
        "frames (Efron, Ann. Statist. 7, 1 (1979)), as components of one frame are not independent.\n\n"
        "Energies are compared per atom after the offset per element was fitted.",
        asked={
            "frames": {"reference": "silicon", "index": ":"},
            "energy_reference": "fitted",
            "worst_frames": 2,
            "temperatures_K": [300.0, 600.0],
        },
        status="complete",
        measurements=found,
        figures=[
            _parity_figure(forces, error),
            _residual_figure(error),
            _worst_frame(rng),
        ],
        tables=[
            Table(
                id="per_type",
                caption="Errors per config_type (meV/A for forces)",
                columns=["config_type", "frames", "energy MAE (meV/atom)", "force MAE (meV/A)", "P99"],
                rows=[
                    ["diamond 300 K", 24, 0.41, 19.2, 88.1],
                    ["diamond 1500 K", 24, 0.72, 33.9, 160.4],
                    ["strained", 21, 0.73, None, None],
                ],
            )
        ],
        notes=["No frame of the test set is nearer than 0.02 A/atom to the training set."],
    )


def _parity_figure(forces: np.ndarray, error: np.ndarray) -> Figure:
    energies = np.sort(np.random.default_rng(2).normal(0, 40, 69))
    return Figure(
        id="parity",
        caption="Predicted against reference energies and forces. A sound potential lies on the diagonal.",
        alt="Energies lie on the diagonal within 2 meV/atom, forces within 0.1 eV/A.",
        panels=[
            Panel(
                title="Energy",
                xlabel="DFT energy (meV/atom)",
                ylabel="predicted energy (meV/atom)",
                series=[
                    Series(kind="diagonal", label="perfect"),
                    Series(kind="points", x=energies, y=energies + 1.2 * np.sin(energies), label="frames"),
                ],
            ),
            Panel(
                title="Forces",
                xlabel="DFT force (eV/A)",
                ylabel="predicted force (eV/A)",
                series=[
                    Series(kind="diagonal", label="perfect"),
                    Series(kind="density", x=forces, y=forces + error, label="force components"),
                ],
            ),
        ],
    )


def _residual_figure(error: np.ndarray) -> Figure:
    counts, edges = np.histogram(1e3 * error, bins=60, range=(-300, 300))
    middle = (edges[:-1] + edges[1:]) / 2
    sigma = 1e3 * float(np.std(error))
    gauss = counts.sum() * 10 / sigma / np.sqrt(2 * np.pi) * np.exp(-0.5 * (middle / sigma) ** 2)
    return Figure(
        id="residuals",
        caption="Histogram of force residuals with the Gaussian of equal width. Tails above it are heavy.",
        alt="The residuals have heavier tails than a Gaussian.",
        panels=[
            Panel(
                xlabel="force residual (meV/A)",
                ylabel="components per bin",
                yscale="log",
                series=[
                    Series(kind="bars", x=edges, y=counts, label="residuals"),
                    Series(kind="line", x=middle, y=gauss, role="fit", label="Gaussian of equal variance"),
                ],
            )
        ],
    )


def _worst_frame(rng: np.random.Generator) -> StructurePicture:
    basis = (
        np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0], [1, 1, 1], [1, 3, 3], [3, 1, 3], [3, 3, 1]]) / 4
    )
    cells = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    positions = (cells[:, None] + basis[None]).reshape(-1, 3) * 5.46
    positions += rng.normal(scale=0.12, size=positions.shape)
    arrows = rng.normal(scale=0.05, size=positions.shape)
    arrows[11] = [0.4, -0.35, 0.2]
    return StructurePicture(
        id="worst",
        caption="The frame with the largest force error (silicon.extxyz#41). Arrows are force errors.",
        alt="64 silicon atoms; the force error of one atom stands out.",
        numbers=[14] * 64,
        positions=positions,
        cell=np.eye(3) * 10.92,
        arrows=arrows,
        arrow_unit="eV/A",
        highlight=[11],
    )


def nve(good: bool) -> SuiteResult:
    """Energy drift at three temperatures; the target run of the bad one is too short."""
    length = 50.0 if good else 5.0
    measurements = [
        Measurement(
            name="drift", value=value, unit="meV/atom/ps", stderr=stderr, n_eff=n_eff,
            conditions={"temperature_K": kelvin}, evidence={"length_ps": length},
            method="slope of the total energy, error from block increments",
        )
        for kelvin, value, stderr, n_eff in (
            (300.0, 0.004, 0.011, 40.0), (600.0, -0.013, 0.02, 38.0),
            (1500.0, 0.08 if good else 4.1, 0.06 if good else 0.5, 31.0),
        )
    ]  # fmt: skip
    survived = Measurement(
        name="survived", value=1.0, unit="1", exact=True, conditions={"temperature_K": 300.0}
    )
    time = np.linspace(0, length, 12000)
    rng = np.random.default_rng(3)
    series = []
    for kelvin, slope in ((300, 0.0), (600, -0.01), (1500, 0.08 if good else 4.1)):
        energy = slope * time / 10 + rng.normal(scale=0.02 * kelvin / 300, size=time.size)
        series.append(Series(kind="line", x=time, y=energy, label=f"{kelvin} K"))
    series.append(
        Series(kind="line", x=[0, length], y=[0, 0.008 * length], role="fit", label="fit at 1500 K")
    )
    temperature = 300 + rng.normal(scale=18, size=500)
    return SuiteResult(
        key="nve",
        suite="nve",
        version=1,
        title="Energy drift in NVE",
        method="Velocity Verlet, 0.5 fs, after 5 ps at the temperature of the run.",
        asked={"temperatures_K": [300.0, 600.0, 1500.0], "timestep_fs": 0.5, "duration_ps": length},
        status="complete",
        measurements=judged("nve", [*measurements, survived], NVE),
        figures=[
            Figure(
                id="energy",
                caption="Total energy per atom less its start. A sound potential shows a flat band.",
                alt="The total energy stays within 0.2 meV/atom.",
                panels=[
                    Panel(
                        xlabel="time (ps)",
                        ylabel="total energy - start (meV/atom)",
                        series=[
                            *series,
                            Series(kind="level", y=[1.0], role="limit", label="limit after 1 ps"),
                        ],
                    ),
                    Panel(
                        title="Target temperature",
                        xlabel="time (ps)",
                        ylabel="temperature (K)",
                        series=[
                            Series(kind="band", y=[282.0], y2=[318.0], role="context", label="± σ of NVE"),
                            Series(kind="line", x=np.linspace(0, length, 500), y=temperature, label="300 K"),
                        ],
                    ),
                ],
            )
        ],
    )


def stability(good: bool) -> SuiteResult:
    """Survival at the target temperature and beyond."""
    measurements = [
        Measurement(
            name="failures", value=0.0 if good or kelvin == 300.0 else 1.0, unit="1", exact=True,
            conditions={"temperature_K": kelvin},
            evidence={"length_ps": 100.0 if good or kelvin == 300.0 else 3.2},
            method="one run, monitors every 10 steps",
            note="" if good or kelvin == 300.0 else "a pair 0.412 A apart (limit 0.5 A) at 3.214 ps",
        )
        for kelvin in (300.0, 450.0)
    ]  # fmt: skip
    time = np.linspace(0, 100 if good else 3.214, 400)
    contact = 2.1 + 0.05 * np.sin(time) - (0 if good else 1) * np.clip(time - 2.6, 0, None) ** 2 * 4.2
    return SuiteResult(
        key="stability",
        suite="stability",
        version=1,
        title="Stability of molecular dynamics",
        method="Langevin dynamics (BAOAB; Leimkuhler and Matthews, AMRX 2013, 34).",
        asked={"temperature_factors": [1.0, 1.5], "duration_ps": 100.0},
        status="complete",
        measurements=judged("stability", measurements, STABILITY),
        figures=[
            Figure(
                id="contact",
                caption="Shortest distance of any pair along the run at 450 K.",
                alt="The closest contact stays near 2.1 A."
                if good
                else "The closest contact falls below 0.5 A.",
                panels=[
                    Panel(
                        xlabel="time (ps)",
                        ylabel="closest contact (A)",
                        series=[
                            Series(kind="line", x=time, y=contact, label="450 K"),
                            Series(kind="level", y=[0.5], role="limit", label="limit 0.5 A"),
                        ],
                    )
                ],
            )
        ],
    )


def nve_error() -> SuiteResult:
    """A suite whose calculator raised."""
    return SuiteResult(
        key="nve",
        suite="nve",
        version=1,
        title="Energy drift in NVE",
        method="Velocity Verlet.",
        asked={"temperatures_K": [300.0]},
        status="error",
        reason="the calculator raised RuntimeError: CUDA out of memory & <worse>",
        items=[4],
    )


def not_applicable() -> SuiteResult:
    """A suite without meaning for the potential."""
    return SuiteResult(
        key="density",
        suite="density",
        version=1,
        title="Density from NPT",
        method="",
        asked={},
        status="not_applicable",
        reason="the potential gives no stress",
    )
