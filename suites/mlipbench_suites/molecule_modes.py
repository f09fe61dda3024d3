"""The suite `phonons` for a molecule or cluster: normal modes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlipbench.api import (
    Context,
    Curve,
    Data,
    Figure,
    InputError,
    Measurement,
    Outcome,
    Panel,
    Series,
    Structure,
    StructurePicture,
    Table,
    vibrations,
)
from mlipbench_suites import methods, relaxation
from mlipbench_suites.drawing import FloatArray, level, picture, rounded
from mlipbench_suites.phonon_spectra import IMAGINARY_THZ, MOST_RESPONSE, PER_CM

if TYPE_CHECKING:
    from mlipbench_suites.phonons import PhononsParams

WITHOUT_IMAGES_A = 1e9  # in place of infinity: a molecule cannot be too thin
NOISE = "r.m.s. change of the vibrations from one displacement to the other"


def structures(p: PhononsParams, start: Structure) -> list[Structure]:
    """What `produce` evaluates, from the structure as it is before it is relaxed."""
    return [m for h in (p.displacement_A, p.check_displacement_A) for m in vibrations.hessian_moves(start, h)]


def check_reference(start: Structure, curve: Curve) -> None:
    """Raises InputError where a reference has another number of modes than the molecule."""
    expected = vibrations.n_modes(start)
    if len(curve) != expected:
        raise InputError(
            f"molecule_reference has {len(curve)} frequencies, a molecule of {len(start)} atoms like this "
            f"has {expected}: give all vibrations, rising, without translations and rotations"
        )


def produce(p: PhononsParams, context: Context, start: Structure, reference: Curve | None) -> None:
    """Relax; displace every coordinate by both displacements."""
    relaxed = relaxation.relax(context, start, "fixed", p.tolerance)
    relaxation.save(context, "relaxed", relaxed.structure)
    asked = structures(p, relaxed.structure)
    forces = np.array([a.forces for a in context.evaluate(asked, ["energy", "forces"])])
    context.save("forces", forces[: len(asked) // 2])
    context.save("forces_check", forces[len(asked) // 2 :])
    context.save("residual", np.array([relaxed.force, 0.0]))
    if reference is not None:
        context.save("reference_frequencies", reference.value)
        context.save("reference_theory", np.array([reference.level_of_theory]))


def measure(p: PhononsParams, data: Data) -> Outcome:
    """Lowest vibration, rigid motions, errors against the reference."""
    start, molecule = relaxation.load(data, "start"), relaxation.load(data, "relaxed")
    first, check = (
        vibrations.normal_modes(molecule, vibrations.hessian(data.array(name), h))
        for name, h in (("forces", p.displacement_A), ("forces_check", p.check_displacement_A))
    )
    if len(first.frequencies) == 0:
        return Outcome(
            [
                Measurement(
                    name="lowest_frequency", value=None, unit="THz",
                    note="one atom alone does not vibrate: give a molecule or a crystal",
                )
            ]
        )  # fmt: skip
    change = np.abs(first.frequencies - check.frequencies)
    noise, n = float(np.sqrt(np.mean(change**2))), float(len(change))
    force = float(data.array("residual")[0])
    caused = float(np.abs(data.array("forces")).max())
    measurements = [
        Measurement(
            name="lowest_frequency", value=float(first.frequencies[0]), unit="THz",
            stderr=max(noise, float(change[0])), n_eff=n,
            evidence={
                "response": min(caused / max(force, 1e-300), MOST_RESPONSE), "thickness": WITHOUT_IMAGES_A
            },
            method="lowest of all modes but translations and rotations; error: the larger of its own change "
            f"with the displacement and the {NOISE}; n_eff: number of vibrations",
            note=f"{PER_CM * first.frequencies[0]:.4g} cm^-1",
        ),
        Measurement(
            name="rigid_frequency", value=PER_CM * float(np.abs(first.rigid).max()), unit="cm^-1", exact=True,
            note="largest of translations and rotations, which cost nothing; the rest of a relaxation that "
            "has not come to its end, or a potential that knows directions in space",
        ),
        Measurement(name="noise_floor", value=noise, unit="THz", exact=True, method=NOISE),
        Measurement(name="residual_force", value=1000 * force, unit="meV/A", exact=True),
    ]  # fmt: skip
    outcome = Outcome(measurements)
    reference = data.array("reference_frequencies") if data.has("reference_frequencies") else None
    if reference is not None:
        outcome.measurements += _comparison(data, first.frequencies, change, reference)
    outcome.tables = [_table(first.frequencies, change, reference)]
    outcome.figures = [_spectrum(first.frequencies, change, reference), *_pictures(molecule, first)]
    outcome.methods = methods.normal_modes(p, start)
    return outcome


def _comparison(
    data: Data, frequencies: FloatArray, change: FloatArray, reference: FloatArray
) -> list[Measurement]:
    errors = PER_CM * frequencies - reference
    slope = float((PER_CM * frequencies * reference).sum() / (reference**2).sum())
    moved = float(np.abs(PER_CM * change * reference).sum() / (reference**2).sum())
    n = float(len(errors))
    theory = f"reference: {data.array('reference_theory')[0]}"
    return [
        Measurement(
            name="molecule_mae", value=float(np.abs(errors).mean()), unit="cm^-1",
            stderr=PER_CM * float(change.mean()), n_eff=n,
            method="mode by mode of rising frequency; error: mean change with the displacement", note=theory,
        ),
        Measurement(
            name="softening", value=1.0 - slope, unit="1", stderr=moved, n_eff=n,
            method="1 less the slope of model on reference frequencies through the origin; error: what the "
            "change with the displacement can make of it",
            note=f"slope {slope:.4f}; positive where the potential is too soft",
        ),
    ]  # fmt: skip


def _table(frequencies: FloatArray, change: FloatArray, reference: FloatArray | None) -> Table:
    rows: list[list[str | float | int | None]] = []
    for k, f in enumerate(frequencies):
        r = None if reference is None else float(reference[k])
        rows.append([k + 1, PER_CM * f, PER_CM * change[k], r, None if r is None else PER_CM * f - r])
    return Table(
        id="phonons-modes",
        caption="Vibrations, rising, with their change from one displacement to the other.",
        columns=["mode", "f (cm^-1)", "change (cm^-1)", "reference (cm^-1)", "error (cm^-1)"],
        rows=rows,
    )


def _spectrum(frequencies: FloatArray, change: FloatArray, reference: FloatArray | None) -> Figure:
    numbers = np.arange(1, len(frequencies) + 1)
    series = [
        Series(
            kind="points",
            x=numbers.tolist(),
            y=rounded(PER_CM * frequencies).tolist(),
            yerr=rounded(PER_CM * change, 3).tolist(),
            label="potential",
        )
    ]
    if reference is not None:
        series.append(
            Series(
                kind="points",
                x=numbers.tolist(),
                y=rounded(reference).tolist(),
                label="reference",
                role="reference",
            )
        )
    series.append(level(PER_CM * IMAGINARY_THZ, "below it: imaginary"))
    return Figure(
        id="phonons-modes",
        caption="Frequencies of the normal modes, rising; bars: change with the displacement. In a sound "
        "potential none is imaginary at a minimum, and all lie on the reference.",
        alt=f"{len(frequencies)} vibrations from {PER_CM * frequencies[0]:.4g} to "
        f"{PER_CM * frequencies[-1]:.4g} cm^-1.",
        panels=[Panel(xlabel="mode", ylabel="frequency (cm^-1)", series=series)],
    )


def _pictures(molecule: Structure, modes: vibrations.NormalModes) -> list[StructurePicture]:
    """The lowest mode, where it is imaginary."""
    lowest = float(modes.frequencies[0])
    if lowest >= IMAGINARY_THZ:
        return []
    return [
        picture(
            "phonons-lowest-mode",
            molecule,
            f"The mode of lowest frequency, {PER_CM * lowest:.4g} cm^-1: the arrows point where the atoms "
            "go. Along them the energy falls, so this is no minimum. A sound potential has no such mode "
            "there.",
            f"Displacements of the imaginary mode at {PER_CM * lowest:.4g} cm^-1.",
            arrows=modes.modes[0],
            arrow_unit="relative",
        )
    ]
