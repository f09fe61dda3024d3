"""Numbers, tables and words of the suite `phonons` for a crystal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlipbench.api import (
    Data,
    Measurement,
    Outcome,
    Table,
    conversion_factor,
    phonons,
    vibrations,
)
from mlipbench_suites import methods, phonon_figures, phonon_spectra, relaxation
from mlipbench_suites.drawing import FloatArray
from mlipbench_suites.phonon_spectra import IMAGINARY_THZ, PER_CM, Spectra

if TYPE_CHECKING:
    from mlipbench_suites.phonons import PhononsParams

GPA = conversion_factor("eV/A^3", "GPa")
NOTICEABLE = 0.01  # of the response, or of the highest frequency: what needs words
SYSTEMATIC = 0.02  # deviation of the slope from 1 that needs words
ASYMMETRIC = 1e-4  # of the largest force constant, r.m.s. of all
MOST_BANDS = 30  # in the table of frequencies at special points
NOISE = "r.m.s. change of the exact frequencies from one displacement to the other"


@dataclass(frozen=True)
class Lowest:
    """The lowest frequency that is no acoustic mode at Gamma."""

    frequency: float  # THz
    change: float  # with the displacement, THz
    q: FloatArray  # (3,)
    band: int
    exact: bool  # computed, not interpolated


def measure(p: PhononsParams, data: Data) -> Outcome:
    """All that is said of a crystal."""
    outcome = Outcome(_rest(data))
    outcome.notes += _rest_words(data)
    problem = str(data.array("problem")[0])
    if problem:
        outcome.measurements += [
            Measurement(name="lowest_frequency", value=None, unit="THz", note=f"not computed: {problem}")
        ]
        return outcome
    s = phonon_spectra.load(p, data)
    exact, interpolated = lowest(s)
    outcome.measurements += [
        _lowest(p, s, exact, interpolated),
        *_evidence(p, s),
        *_thermal(p, s),
        *_comparison(s),
    ]
    outcome.tables += [_displacement_table(p, s), *_frequency_table(s)]
    outcome.notes += [*_noise_words(p, s), *_softening_words(s)]
    if s.polar:
        outcome.notes.append(
            "Born charges and dielectric tensor of the reference split the polar modes of both alike; the "
            "splitting near Gamma is theirs and says nothing about the potential."
        )
    worst = exact if exact.frequency <= interpolated.frequency else interpolated
    outcome.figures += phonon_figures.figures(p, s, worst)
    outcome.methods = methods.phonons(p, s, relaxation.load(data, "start"))
    return outcome


def _rest(data: Data) -> list[Measurement]:
    """Whether the structure came to rest in the phase where it began."""
    start, relaxed = relaxation.load(data, "start"), relaxation.load(data, "relaxed")
    groups, operations = data.array("space_groups"), data.array("operations")
    problem = str(data.array("problem")[0])
    force, stress = data.array("residual")
    lost = bool(operations[1] < operations[0]) or bool(problem)
    words = problem or f"space group {groups[0]} at the start, {groups[1]} at rest"
    return [
        Measurement(
            name="left_its_phase", value=float(lost), unit="1", exact=True, note=words,
            method="the cell came to rest, and the relaxed structure has all symmetry of the start (spglib)",
        ),
        Measurement(name="residual_force", value=1000 * float(force), unit="meV/A", exact=True),
        Measurement(name="residual_stress", value=GPA * float(stress), unit="GPa", exact=True),
        Measurement(
            name="volume_change", value=100 * (relaxed.volume / start.volume - 1), unit="%", exact=True,
            note="by the relaxation",
        ),
    ]  # fmt: skip


def _rest_words(data: Data) -> list[str]:
    groups, operations = data.array("space_groups"), data.array("operations")
    if operations[1] > operations[0]:
        return [f"The relaxation found symmetry: {groups[1]} where the start has {groups[0]}."]
    return []


def lowest(s: Spectra) -> tuple[Lowest, Lowest]:
    """Among the exact wave vectors, and among mesh and path."""
    exact = _lowest_of(s.exact, s.at_exact, s.n_bands, True)
    others = [
        _lowest_of(q, bands, s.n_bands, False)
        for q, bands in [
            (s.mesh, s.on_mesh),
            *((q[~phonons.at_gamma(q)], b) for q, b in zip(s.path.segments, _off_gamma(s), strict=True)),
        ]
    ]
    return exact, min(others, key=lambda one: one.frequency)


def _off_gamma(s: Spectra) -> list[phonon_spectra.Bands]:
    kept = []
    for q, bands in zip(s.path.segments, s.along_path, strict=True):
        away = ~phonons.at_gamma(q)
        kept.append(phonon_spectra.Bands(bands.first[away], bands.check[away], None))
    return kept


def _lowest_of(q: FloatArray, bands: phonon_spectra.Bands, n_bands: int, exact: bool) -> Lowest:
    counted = np.where(phonons.optical_only(q, n_bands), bands.first, np.inf)
    if not np.isfinite(counted).any():  # one atom, and Gamma alone
        return Lowest(np.inf, 0.0, np.zeros(3), 0, exact)
    point, band = np.unravel_index(int(counted.argmin()), counted.shape)
    return Lowest(float(counted[point, band]), float(bands.change[point, band]), q[point], int(band), exact)


def _lowest(p: PhononsParams, s: Spectra, exact: Lowest, interpolated: Lowest) -> Measurement:
    """An imaginary mode between the exact wave vectors alone may be the interpolation's: it is not scored."""
    worst = exact if exact.frequency <= interpolated.frequency else interpolated
    doubtful = interpolated.frequency < IMAGINARY_THZ <= exact.frequency
    where = f"at q = {_vector(worst.q)}, {'exact' if worst.exact else 'interpolated'}"
    if doubtful:
        where = (
            f"not scored: {interpolated.frequency:.3g} THz {where}, where no exact frequency is imaginary; "
            "repeat with a larger supercell, one that holds this wave vector"
        )
    return Measurement(
        name="lowest_frequency",
        value=None if doubtful else worst.frequency,
        unit="THz",
        stderr=max(s.noise, worst.change),
        n_eff=float(s.n_independent),
        evidence={"response": s.response, "thickness": phonons.thickness(s.supercell)},
        method=f"lowest of {len(s.exact)} exact wave vectors, a mesh of "
        f"{' x '.join(map(str, s.mesh_numbers))} and the band path, acoustic modes at Gamma left out; error: "
        f"the larger of its own change with the displacement and the {NOISE}; n_eff: exact frequencies "
        "apart by symmetry",
        note=where,
    )


def _evidence(p: PhononsParams, s: Spectra) -> list[Measurement]:
    """Quality of the force constants, and the noise floor."""
    counted = phonons.optical_only(s.mesh, s.n_bands)
    imaginary = (s.on_mesh.first < IMAGINARY_THZ) & counted
    found = [
        Measurement(
            name="noise_floor", value=s.noise, unit="THz", exact=True,
            method=f"{NOISE}, {p.displacement_A:g} to {p.check_displacement_A:g} A",
        ),
        Measurement(
            name="imaginary_share", value=100 * float((s.weights[:, None] * imaginary).sum() / s.n_bands),
            unit="%", exact=True, note="of the modes on the mesh",
        ),
        Measurement(
            name="highest_frequency", value=float(s.on_mesh.first.max()), unit="THz", stderr=s.noise,
            n_eff=float(s.n_independent), method=f"highest on the mesh; error: {NOISE}",
        ),
    ]  # fmt: skip
    for distance, v in zip((p.displacement_A, p.check_displacement_A), s.violations, strict=True):
        found += [
            Measurement(
                name=name, value=value, unit="eV/A^2", exact=True, conditions={"displacement_A": distance},
                note=f"before it was imposed; the largest force constant is {v.scale:.3g} eV/A^2",
            )
            for name, value in (("sum_rule_violation", v.sum_rule), ("asymmetry", v.asymmetry))
        ]  # fmt: skip
    return found


def _thermal(p: PhononsParams, s: Spectra) -> list[Measurement]:
    """Heat capacity and free energy, and their errors against the reference."""
    mesh = s.on_mesh
    first, check = (vibrations.thermal(f, s.free, p.temperature_K) for f in (mesh.first, mesh.check))
    conditions: dict[str, float | str] = {"temperature_K": p.temperature_K}
    note = f"{100 * first.left_out:.2g} % of the modes are imaginary or cost nothing, and do not count"
    rows = [
        ("heat_capacity", "J/mol/K", vibrations.GAS_CONSTANT, first.heat_capacity, check.heat_capacity),
        ("free_energy", "meV/atom", 1000.0, first.free_energy, check.free_energy),
    ]
    reference = None
    if mesh.reference is not None:
        reference = vibrations.thermal(mesh.reference, s.free, p.temperature_K)
    found = []
    for name, unit, factor, value, other in rows:
        common = {
            "unit": unit, "stderr": factor * abs(value - other), "n_eff": float(s.n_independent),
            "conditions": conditions,
            "method": "harmonic, on the mesh; error: its change with the displacement",
            "note": note if first.left_out else "",
        }  # fmt: skip
        found.append(Measurement.model_validate({"name": name, "value": factor * value, **common}))
        if reference is not None:
            difference = factor * (value - getattr(reference, name))
            found.append(Measurement.model_validate({"name": f"{name}_error", "value": difference, **common}))
    return found


def _comparison(s: Spectra) -> list[Measurement]:
    """Errors of the exact frequencies."""
    if s.compared is None or s.slope is None:
        return []
    f, r = s.compared
    change, check = s.at_exact.change[s.computed], s.at_exact.check[s.computed]
    noise, mae = float(change.mean()), float(np.abs(f - r).mean())
    worst = int(np.abs(f - r).argmax())
    point = s.exact[np.nonzero(s.computed)[0][worst]]
    n = float(s.n_independent)
    method = (
        "band by band at the exact wave vectors, no acoustic modes at Gamma; error: mean change with the "
        "displacement"
    )
    theory = f"reference: {s.theory or 'level of theory not stated'}"
    return [
        Measurement(
            name="frequency_mae", value=mae, unit="THz", stderr=noise, n_eff=n, method=method, note=theory
        ),
        Measurement(
            name="frequency_mae_cm", value=PER_CM * mae, unit="cm^-1", stderr=PER_CM * noise, n_eff=n,
            method=method, note=theory,
        ),
        Measurement(
            name="largest_frequency_error", value=float(f[worst] - r[worst]), unit="THz",
            stderr=float(change[worst]), n_eff=n, method="error: its own change with the displacement",
            note=f"at q = {_vector(point)}, where the reference has {r[worst]:.3g} THz",
        ),
        Measurement(
            name="softening", value=1.0 - s.slope, unit="1", stderr=abs(s.slope - float(check @ r / (r @ r))),
            n_eff=n,
            method="1 less the slope of model on reference frequencies through the origin; error: its change "
            "with the displacement",
            note=f"slope {s.slope:.4f}; positive where the potential is too soft",
        ),
    ]  # fmt: skip


def _softening_words(s: Spectra) -> list[str]:
    if s.compared is None or s.slope is None:
        return []
    f, r = s.compared
    rest = float(np.abs(f - s.slope * r).mean())
    if abs(s.slope - 1) < SYSTEMATIC or rest > 0.5 * float(np.abs(f - r).mean()):
        return []
    word = "softer" if s.slope < 1 else "harder"
    return [
        f"The frequencies are systematically {word}: one factor of {s.slope:.3f} explains the error down to "
        f"{rest:.2g} THz, which is {100 * (s.slope**2 - 1):+.0f} % in the force constants. Train on more "
        "structures that are slightly displaced from the crystal at rest."
    ]


def _noise_words(p: PhononsParams, s: Spectra) -> list[str]:
    """What moves the frequencies with the displacement: noise falls with it, anharmonicity rises."""
    h, k = p.displacement_A, p.check_displacement_A
    found = []
    small, large = s.uneven
    highest = float(s.on_mesh.first.max())
    if small > max(large, NOTICEABLE):
        found.append(
            f"The forces after +u and -u differ by {100 * small:.2g} % of the response at {h:g} A and by "
            f"{100 * large:.2g} % at {k:g} A: what falls with the displacement is noise of the forces. "
            "Displace further."
        )
    elif s.noise > NOTICEABLE * highest:
        found.append(
            f"The frequencies move by {s.noise:.2g} THz (root mean square) from {h:g} to {k:g} A, and the "
            "forces after +u and -u part with the displacement: the crystal is anharmonic. Displace less."
        )
    first, second = (v.asymmetry_rms / max(v.scale, 1e-300) for v in s.violations)
    if first > ASYMMETRIC and 2 / 3 < first / max(second, 1e-300) < 3 / 2:
        found.append(
            f"The force constants are not symmetric, by {100 * first:.2g} % of the largest (root mean "
            "square) at either displacement: the forces are no gradient of an energy."
        )
    return found


def _displacement_table(p: PhononsParams, s: Spectra) -> Table:
    rows: list[list[str | float | int | None]] = [
        [distance, v.sum_rule, v.asymmetry, v.scale, uneven]
        for distance, v, uneven in zip(
            (p.displacement_A, p.check_displacement_A), s.violations, s.uneven, strict=True
        )
    ]
    return Table(
        id="phonons-displacements",
        caption="Force constants at both displacements, before sum rule and symmetry were imposed. Noise of "
        "the forces makes the violations fall with the displacement, anharmonicity makes them rise. The "
        "even part of the response to +u and -u is the cubic anharmonicity, which cancels.",
        columns=[
            "displacement (A)",
            "sum rule (eV/A^2)",
            "asymmetry (eV/A^2)",
            "largest (eV/A^2)",
            "even part of the response",
        ],
        rows=rows,
    )


def _frequency_table(s: Spectra) -> list[Table]:
    """Frequencies at the special points of the path, where there are few bands."""
    if s.n_bands > MOST_BANDS:
        return []
    points = {}
    for q, names, bands in zip(s.path.segments, s.path.labels, s.along_path, strict=True):
        for index, label in ((0, names[0]), (-1, names[1])):
            points.setdefault(label, (q[index], bands, index))
    rows: list[list[str | float | int | None]] = []
    for label, (_, bands, index) in points.items():
        for band in range(s.n_bands):
            f = float(bands.first[index, band])
            r = None if bands.reference is None else float(bands.reference[index, band])
            change = float(bands.change[index, band])
            rows.append([label, band + 1, f, PER_CM * f, change, r, None if r is None else f - r])
    return [
        Table(
            id="phonons-frequencies",
            caption="Frequencies at the special points of the path, with their change from one displacement "
            "to the other.",
            columns=[
                "point",
                "band",
                "f (THz)",
                "f (cm^-1)",
                "change (THz)",
                "reference (THz)",
                "error (THz)",
            ],
            rows=rows,
        )
    ]


def _vector(q: FloatArray) -> str:
    return f"({', '.join(f'{x:.3g}' for x in q)})"
