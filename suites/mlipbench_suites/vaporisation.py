"""Enthalpy of vaporisation of a molecular liquid with classical nuclei.

    H = E_gas + (n_vib / 2) kT + kT - U_liquid / n

E_gas is the energy of the molecule at its minimum, n_vib / 2 kT the potential energy of its vibrations
(harmonic), kT the work of expansion of an ideal gas, U_liquid / n the mean potential energy of the liquid a
molecule. Kinetic energies are the same in both phases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlipbench.api import (
    BOLTZMANN,
    Context,
    Data,
    InputError,
    Measurement,
    PotentialError,
    Structure,
    blocks,
    conversion_factor,
    stats,
)
from mlipbench_suites.runs import Run
from mlipbench_suites.trajectory_checks import finite

FORCE_TOLERANCE = 0.005  # eV/A
MOST_EVALUATIONS = 1000
UNIT = conversion_factor("eV", "kJ/mol")


@dataclass(frozen=True)
class Vaporisation:
    """The enthalpy in kJ/mol (None: not measured), as measurements, with remarks."""

    enthalpy: blocks.Estimate | None
    measurements: list[Measurement]
    remarks: list[str]


def count(liquid: Structure, gas: Structure) -> int:
    """Molecules in the liquid. Raises InputError where it is not a whole number of them."""
    n, rest = divmod(len(liquid), len(gas))
    same = np.array_equal(np.sort(np.tile(gas.numbers, max(n, 1))), np.sort(liquid.numbers))
    if rest or not same:
        raise InputError(
            f"gas: expected one molecule of the liquid ({len(liquid)} atoms), got {len(gas)} atoms that do "
            "not make it up"
        )
    return n


def relax(context: Context, gas: Structure) -> None:
    """Keep the molecule's energy (eV), largest force (eV/A) and number of vibrations at its minimum."""
    try:
        relaxed, energy = context.relax(gas, FORCE_TOLERANCE, MOST_EVALUATIONS)
        forces = context.evaluate([relaxed], ["energy", "forces"])[0].forces
        largest = np.inf if forces is None else float(np.abs(forces).max(initial=0.0))
    except PotentialError:
        relaxed, energy, largest = gas, np.nan, np.inf  # `measure` says that there is no number
    context.save("gas", np.array([energy, largest, _vibrations(relaxed), len(relaxed)]))


def _vibrations(gas: Structure) -> int:
    """3 n - 6, of a linear molecule 3 n - 5, of an atom 0."""
    arms = gas.positions - gas.positions.mean(axis=0)
    if len(gas) == 1:
        return 0
    rotations = 2 if np.linalg.matrix_rank(arms, tol=1e-2) == 1 else 3
    return 3 * len(gas) - 3 - rotations


def measure(data: Data, run: Run) -> Vaporisation:
    """From the stored molecule and the energies of the run."""
    energy, largest, vibrations, size = (float(x) for x in data.array("gas"))
    conditions = run.conditions
    if not np.isfinite(energy):
        missing = Measurement(
            name="vaporisation_enthalpy",
            value=None,
            unit="kJ/mol",
            conditions=conditions,
            note="the potential gives no number for the molecule alone",
        )
        return Vaporisation(None, [missing], [])
    n = len(run.whole.structure) / size
    counted = run.counted
    liquid = stats.time_average(counted.potential_energy[finite(counted)], equilibrate=False)
    t = run.realised.temperature
    thermal = (0.5 * vibrations + 1.0) * BOLTZMANN
    value = energy + thermal * t.value - liquid.value / n
    parts = [
        (None if liquid.stderr is None else UNIT * liquid.stderr / n, liquid.n_eff),
        (None if t.stderr is None else UNIT * thermal * t.stderr, t.n_eff),
    ]
    enthalpy = blocks.joint(UNIT * value, parts)
    found = Measurement(
        name="vaporisation_enthalpy",
        value=enthalpy.value,
        unit="kJ/mol",
        stderr=enthalpy.stderr,
        n_eff=enthalpy.n_eff,
        conditions=conditions,
        evidence=run.evidence,
        method="molecule at its minimum + kT/2 a vibration (harmonic) + kT - potential energy of the liquid "
        "a molecule; error: time averages of energy and temperature",
        note=f"molecule {energy:.6g} eV, liquid {liquid.value / n:.6g} eV a molecule, {vibrations:g} "
        "vibrations",
    )
    remarks = ["The enthalpy of vaporisation is that of classical nuclei; quantum nuclei change it."]
    if largest > FORCE_TOLERANCE:
        remarks.append(f"The molecule was not relaxed to a minimum: largest force {largest:.2g} eV/A.")
    return Vaporisation(enthalpy, [found], remarks)
