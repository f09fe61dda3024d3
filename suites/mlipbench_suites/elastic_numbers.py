"""Numbers, tables and words of the suite `eos_elastic`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlipbench.api import Data, DataError, Measurement, Outcome, Table, conversion_factor, elastic, eos
from mlipbench_suites import elastic_figures, methods, relaxation, vacancy
from mlipbench_suites.drawing import FloatArray

if TYPE_CHECKING:
    from mlipbench_suites.eos_elastic import EosElasticParams

GPA = conversion_factor("eV/A^3", "GPa")
FIT = "Birch's fit; error: scatter about the curve, and the change to a fit of the inner half of the volumes"
LEFT = "largest component that the relaxation left"
CONSTANTS = (
    "central differences extrapolated to no strain, averaged over the point group; error: scatter of the "
    "equivalent entries, the change from the smaller strain to none, and the stress left at rest"
)
VANISHES = 1e-6  # of the largest constant: one below it has no relative error


@dataclass(frozen=True, eq=False)
class Constants:
    """Elastic constants in GPa, in the axes of the standardised cell."""

    raw: tuple[FloatArray, FloatArray]  # (6, 6) as they come at either strain
    values: FloatArray  # (6, 6) extrapolated and averaged
    errors: FloatArray  # (6, 6)
    independent: list[tuple[int, int]]
    n_eff: FloatArray  # (6, 6) determinations of each


@dataclass(frozen=True)
class Reference:
    """A number to compare with."""

    value: float
    error: float  # 0 where not known
    theory: str


def measure(p: EosElasticParams, data: Data) -> Outcome:
    """All that is said of the crystal."""
    outcome = Outcome(_rest(data))
    problem = str(data.array("problem")[0])
    if problem:
        outcome.measurements.append(
            Measurement(name="born_stability", value=None, unit="GPa", note=f"not computed: {problem}")
        )
        return outcome
    n_atoms = len(relaxation.load(data, "relaxed"))
    volumes, energies = data.array("eos_volumes") / n_atoms, data.array("eos_energies") / n_atoms
    constants = load(p, data)
    references = _references(data, constants)
    try:
        fit = eos.birch_murnaghan(volumes, energies)
    except DataError as error:
        fit = None
        outcome.notes.append(f"No equation of state: {error}.")
    outcome.measurements += [*_equation_of_state(fit, references), *_elastic(constants, references)]
    outcome.measurements += _averages(constants, fit)
    if p.vacancy_repeat is not None:
        known = data.has("reference_vacancy_formation_energy")
        outcome.measurements += vacancy.measure(
            data,
            n_atoms * int(np.prod(p.vacancy_repeat)),
            data.array("reference_vacancy_formation_energy") if known else None,
            str(data.array("theory_vacancy_formation_energy")[0]) if known else "",
        )
    outcome.tables = [_summary(fit, constants, references), _matrix(p, constants)]
    outcome.notes += _words(data, constants, references)
    curve = data.array("reference_curve") if data.has("reference_curve") else None
    if fit is not None:
        theory = str(data.array("theory_curve")[0]) if curve is not None else ""
        outcome.figures.append(elastic_figures.equation_of_state(volumes, energies, fit, curve, theory))
    outcome.figures.append(
        elastic_figures.constants(constants, {n: (r.value, r.error) for n, r in references.items()})
    )
    outcome.methods = methods.eos_elastic(p, relaxation.load(data, "start"), bool(data.array("has_stress")))
    return outcome


def load(p: EosElasticParams, data: Data) -> Constants:
    """Elastic constants from the stored stresses."""
    turn, rotations = data.array("to_standard"), data.array("rotations")
    standard = turn @ rotations @ turn.T
    raw = []
    for size, found in zip(p.strains, data.array("stresses"), strict=True):
        raw.append(GPA * elastic.rotated(elastic.from_stresses(found[:, 0], found[:, 1], size), turn))
    h, k = p.strains
    limit = raw[0] + (raw[0] - raw[1]) * h**2 / (k**2 - h**2)  # errors of second order go
    both = [elastic.averaged(c, standard) for c in (raw[0], limit)]
    average = both[1]
    left = GPA * float(data.array("residual")[1])
    errors = np.sqrt(average.scatter**2 + (average.values - both[0].values) ** 2 + left**2)
    return Constants((raw[0], raw[1]), average.values, errors, average.independent, 2.0 * average.equivalent)


def _rest(data: Data) -> list[Measurement]:
    start, relaxed = relaxation.load(data, "start"), relaxation.load(data, "relaxed")
    problem = str(data.array("problem")[0])
    force, stress = data.array("residual")
    return [
        Measurement(
            name="no_rest", value=float(bool(problem)), unit="1", exact=True, note=problem,
            method="relaxation of atoms and cell within the symmetry of the crystal",
        ),
        Measurement(
            name="residual_force", value=1000 * float(force), unit="meV/A", exact=True, method=LEFT
        ),
        Measurement(name="residual_stress", value=GPA * float(stress), unit="GPa", exact=True, method=LEFT),
        Measurement(
            name="volume_change", value=100 * (relaxed.volume / start.volume - 1), unit="%", exact=True,
            note="by the relaxation, from the structure that was given",
        ),
    ]  # fmt: skip


def _references(data: Data, constants: Constants) -> dict[str, Reference]:
    """By name; a reference curve is fitted, and stands in for numbers that were not given."""
    found = {}
    if data.has("reference_curve"):
        volumes, energies = data.array("reference_curve")
        fit = eos.birch_murnaghan(volumes, energies)
        theory = str(data.array("theory_curve")[0])
        found["volume"] = Reference(fit.volume, fit.volume_error, theory)
        found["bulk_modulus"] = Reference(fit.bulk_modulus, fit.bulk_modulus_error, theory)
        found["bulk_modulus_derivative"] = Reference(fit.derivative, fit.derivative_error, theory)
    entries = [elastic.name((i, j)) for i in range(6) for j in range(i, 6)]
    for name in ("volume", "bulk_modulus", "bulk_modulus_derivative", *entries):
        if data.has(f"reference_{name}"):
            value, error = data.array(f"reference_{name}")
            theory = str(data.array(f"theory_{name}")[0])
            found[name] = Reference(float(value), float(np.nan_to_num(error)), theory)
    return found


def _equation_of_state(fit: eos.Fit | None, references: dict[str, Reference]) -> list[Measurement]:
    if fit is None:
        lost = {"volume_error": "volume", "bulk_modulus_error": "bulk_modulus"}
        return [
            Measurement(name=name, value=None, unit="%", note="the energies have no minimum to be fitted")
            for name, of in lost.items()
            if of in references
        ]
    n = float(fit.n_points - eos.N_COEFFICIENTS + 1)
    rows = [
        ("volume", "A^3/atom", fit.volume, fit.volume_error),
        ("bulk_modulus", "GPa", fit.bulk_modulus, fit.bulk_modulus_error),
        ("bulk_modulus_derivative", "1", fit.derivative, fit.derivative_error),
    ]
    found = [
        Measurement(name=name, value=value, unit=unit, stderr=error, n_eff=n, method=FIT)
        for name, unit, value, error in rows
    ]
    found.append(
        Measurement(
            name="fit_residual", value=1000 * fit.residual, unit="meV/atom", exact=True,
            note="r.m.s. of the energies about the curve",
        )
    )  # fmt: skip
    found += [
        _relative(f"{name}_error", value, error, n, references[name], {})
        for name, _, value, error in rows
        if name in references
    ]
    return found


def _relative(
    name: str, value: float, error: float, n_eff: float, r: Reference, conditions: dict[str, float | str]
) -> Measurement:
    """Deviation from a reference in per cent, both errors in its own."""
    total = float(np.hypot(error, value / r.value * r.error))
    known = f" ± {r.error:.2g}" if r.error else ", its error not stated"
    return Measurement(
        name=name, value=100 * (value / r.value - 1), unit="%", stderr=100 * total / abs(r.value),
        n_eff=n_eff, conditions=conditions,
        method="deviation from the reference; error: of both, added in squares",
        note=f"{value:.4g} where the reference has {r.value:.4g}{known} ({r.theory})",
    )  # fmt: skip


def _elastic(c: Constants, references: dict[str, Reference]) -> list[Measurement]:
    found = [
        Measurement(
            name="elastic_constant", value=float(c.values[entry]), unit="GPa", stderr=float(c.errors[entry]),
            n_eff=float(c.n_eff[entry]), conditions={"constant": elastic.name(entry)}, method=CONSTANTS,
        )
        for entry in c.independent
    ]  # fmt: skip
    for name, reference in references.items():
        if not name.startswith("C"):
            continue
        entry = _entry(name)
        if abs(reference.value) < VANISHES * float(np.abs(c.values).max()):
            continue
        found.append(
            _relative(
                "elastic_error",
                float(c.values[entry]),
                float(c.errors[entry]),
                float(c.n_eff[entry]),
                reference,
                {"constant": name},
            )
        )
    value, error = elastic.stability(c.values, c.errors)
    found.append(
        Measurement(
            name="born_stability", value=value, unit="GPa", stderr=error,
            n_eff=float(min(c.n_eff[entry] for entry in c.independent)),
            method="smallest eigenvalue of the elastic constants (Mandel's notation); error: carried over "
            "from theirs; n_eff: of the constant with the fewest determinations",
        )
    )  # fmt: skip
    return found


def _averages(c: Constants, fit: eos.Fit | None) -> list[Measurement]:
    """Moduli of the polycrystal, and the bulk modulus against that of the equation of state."""
    if elastic.stability(c.values, c.errors)[0] <= 0:
        return []
    m = elastic.moduli(c.values)
    found = [
        Measurement(name=name, value=value, unit=unit, exact=True, note="Voigt-Reuss-Hill")
        for name, value, unit in (
            ("shear_modulus", m.shear, "GPa"),
            ("young_modulus", m.young, "GPa"),
            ("poisson_ratio", m.poisson, "1"),
            ("anisotropy", m.anisotropy, "1"),
        )
    ]
    if fit is not None:
        block = c.errors[:3, :3]
        error = np.hypot(float(np.sqrt(np.sum(block**2))) / 9.0, fit.bulk_modulus_error)
        found.append(
            Measurement(
                name="bulk_modulus_agreement", value=100 * (m.bulk_reuss / fit.bulk_modulus - 1), unit="%",
                stderr=100 * float(error) / fit.bulk_modulus,
                n_eff=float(fit.n_points - eos.N_COEFFICIENTS + 1),
                method="bulk modulus of the elastic constants under hydrostatic pressure (Reuss) less that "
                "of the equation of state; error: of both, added in squares",
                note=f"{m.bulk_reuss:.4g} GPa against {fit.bulk_modulus:.4g} GPa",
            )
        )  # fmt: skip
    return found


def _summary(fit: eos.Fit | None, c: Constants, references: dict[str, Reference]) -> Table:
    numbers: list[tuple[str, str, float, float]] = []
    if fit is not None:
        numbers += [
            ("volume", "A^3/atom", fit.volume, fit.volume_error),
            ("bulk_modulus", "GPa", fit.bulk_modulus, fit.bulk_modulus_error),
            ("bulk_modulus_derivative", "1", fit.derivative, fit.derivative_error),
        ]
    numbers += [(elastic.name(e), "GPa", float(c.values[e]), float(c.errors[e])) for e in c.independent]
    rows: list[list[str | float | int | None]] = []
    for name, unit, value, error in numbers:
        r = references.get(name)
        rows.append(
            [
                name.replace("_", " "),
                unit,
                value,
                error,
                None if r is None else r.value,
                None if r is None or not r.error else r.error,
                None if r is None or not r.value else 100 * (value / r.value - 1),
                "" if r is None else r.theory,
            ]
        )
    return Table(
        id="eos_elastic-summary",
        caption="The crystal at rest against the references.",
        columns=["quantity", "unit", "value", "error", "reference", "its error", "deviation (%)", "from"],
        rows=rows,
    )


def _matrix(p: EosElasticParams, c: Constants) -> Table:
    """Entries that symmetry allows, as they come at either strain and averaged."""
    upper = [(i, j) for i in range(6) for j in range(i, 6)]
    least = VANISHES * float(np.abs(c.values).max())
    shown = [entry for entry in upper if abs(c.values[entry]) > least]
    rows: list[list[str | float | int | None]] = [
        [elastic.name(e), *(float(m[e]) for m in (*c.raw, c.values, c.errors))] for e in shown
    ]
    came = np.array(c.raw)
    uneven = float(np.abs(came - came.transpose(0, 2, 1)).max())
    others = [float(np.abs(came[(slice(None), *entry)]).max()) for entry in upper if entry not in shown]
    zero = f" Symmetry forbids the others; as they came, the largest has {max(others):.2g}." if others else ""
    return Table(
        id="eos_elastic-entries",
        caption="Elastic constants (GPa) in the axes of the standardised cell (a along x, b in the xy "
        "plane): as they come at either strain, and extrapolated to no strain and averaged over the point "
        f"group. As they came, C_ij and C_ji differ by {uneven:.2g} at most.{zero}",
        columns=["entry", f"at {p.strains[0]:g}", f"at {p.strains[1]:g}", "averaged", "error"],
        rows=rows,
    )


def _entry(name: str) -> tuple[int, int]:
    """C12 -> (0, 1)."""
    return int(name[1]) - 1, int(name[2]) - 1


def _words(data: Data, c: Constants, references: dict[str, Reference]) -> list[str]:
    found = []
    if not data.array("has_stress"):
        found.append(
            "The potential gives no stress: elastic constants come from energies of strained cells instead."
        )
    value, _ = elastic.stability(c.values, c.errors)
    if value <= 0:
        found.append(
            f"The crystal is not stable against strain: the energy falls along one of them, by {-value:.3g} "
            "GPa. A larger cell or another phase has a lower energy."
        )
    compared = {n: r.value for n, r in references.items() if n.startswith("C") and r.value}
    ratios = np.array([c.values[_entry(n)] / value for n, value in compared.items()])
    if len(ratios) > 2 and np.ptp(ratios) < 0.3 * abs(ratios.mean() - 1):
        word = "soft" if ratios.mean() < 1 else "hard"
        found.append(
            f"All elastic constants are too {word} by one factor, {ratios.mean():.3f}: the curvature of the "
            "energy is wrong as a whole, as in a potential trained on too few displaced and strained "
            "structures."
        )
    return found
