"""Forces and stress against differences of the energy, and words for what is wrong with them.

Derivatives of the energy are central differences at h and h/2, extrapolated after Richardson to
O(h^4). They are differences of total energies E, which an arithmetic of precision eps rounds by
eps |E|; what this rounding alone can explain is subtracted from the error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mlipbench.core.errors import PotentialError
from mlipbench.core.potential import Evaluation, Potential
from mlipbench.core.structure import FloatArray, Structure
from mlipbench.core.units import BOHR, EV_PER_A3_IN_GPA, HARTREE

STEP = 0.01  # A, rms displacement per direction of the larger difference
STRAIN_STEP = 2e-3
N_DIRECTIONS = 3
SOFTEST_FORCE = 1e-3  # eV/A: below it forces are compared absolutely
SOFTEST_STRESS = 1e-4  # eV/A^3
PROBE_STRAIN = np.array([[0.01, 0.01, -0.02], [0.01, -0.02, 0.03], [-0.02, 0.03, 0.005]])


@dataclass(frozen=True)
class Finding:
    """A figure, how good it is (smaller is better), and what it means."""

    value: float
    note: str


def force_error(
    potential: Potential, structure: Structure, answer: Evaluation, rng: np.random.Generator
) -> Finding:
    """Forces along random directions d against -dE/dd, relative to the rms force."""
    forces = answer.forces if answer.forces is not None else np.zeros((0, 3))
    size = np.sqrt(forces.size)
    expected, got, floor = [], [], 0.0
    for _ in range(N_DIRECTIONS):
        direction = rng.normal(size=forces.shape)
        direction *= size / np.linalg.norm(direction)  # rms 1 per coordinate

        def along(step: float, d: FloatArray = direction) -> Structure:
            return structure.with_positions(structure.positions + step * d)

        slope, rounding = _derivative(potential, along, STEP)
        expected.append(-slope / size)
        got.append(float((forces * direction).sum()) / size)
        floor = max(floor, rounding / size)
    scale = max(float(np.sqrt(np.mean(forces * forces))), SOFTEST_FORCE, float(np.abs(expected).max()))
    error = max(float(np.abs(np.subtract(got, expected)).max()) - floor, 0.0) / scale
    ratio = float(np.dot(got, expected) / max(np.dot(expected, expected), 1e-300))
    return Finding(error, f"forces are {ratio:.4g} of -dE/dx{_force_unit(ratio)}")


def stress_error(potential: Potential, rattled: Structure) -> Finding:
    """The six components against dE/d(strain)/V on a sheared probe, relative to the largest."""
    structure = strained(rattled, PROBE_STRAIN)
    answer = ask(potential, [structure], ("energy", "stress"))[0]
    stress = answer.stress if answer.stress is not None else np.zeros((3, 3))
    expected, floor = np.zeros((3, 3)), 0.0
    for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5
        strain[b, a] += 0.5

        def along(step: float, e: FloatArray = strain) -> Structure:
            return strained(structure, step * e)

        slope, rounding = _derivative(potential, along, STRAIN_STEP)
        expected[a, b] = expected[b, a] = slope / structure.volume
        floor = max(floor, rounding / structure.volume)
    scale = max(float(np.abs(expected).max()), SOFTEST_STRESS)
    difference = stress - expected
    error = max(float(np.abs(difference).max()) - floor, 0.0) / scale
    a, b = divmod(int(np.abs(difference).argmax()), 3)
    note = (
        f"worst component {'xyz'[a]}{'xyz'[b]}: expected {expected[a, b]:.4g}, got {stress[a, b]:.4g} "
        f"eV/A^3{_stress_fault(stress, expected)}"
    )
    return Finding(error, note)


def _derivative(
    potential: Potential, along: Callable[[float], Structure], step: float
) -> tuple[float, float]:
    """dE/dstep at 0 and the error that rounding of E alone may cause."""
    steps = (step, -step, step / 2, -step / 2)
    energies = [a.energy for a in ask(potential, [along(s) for s in steps], ("energy",))]
    coarse = (energies[0] - energies[1]) / (2 * step)
    fine = (energies[2] - energies[3]) / step
    single = potential.capabilities.dtype == "float32"
    precision = float(np.finfo(np.float32 if single else np.float64).eps)
    return (4 * fine - coarse) / 3, 4.0 * precision * abs(energies[0]) / step


_FORCE_UNITS = {
    "reversed: these are gradients, not forces": -1.0,
    "Hartree/Bohr, not eV/A": BOHR / HARTREE,
    "Hartree/A, not eV/A": 1.0 / HARTREE,
    "eV/Bohr, not eV/A": BOHR,
    "kcal/mol/A, not eV/A": 23.0605,
    "kJ/mol/A, not eV/A": 96.4853,
    "Rydberg/Bohr, not eV/A": 2.0 * BOHR / HARTREE,
    "eV/nm, not eV/A": 10.0,
}


def _force_unit(ratio: float) -> str:
    """Words for a ratio that a wrong sign or unit explains; "" where none does."""
    for words, value in _FORCE_UNITS.items():
        if abs(ratio - value) < 0.02 * abs(value):
            return f": {words}"
    return ""


def _stress_fault(stress: FloatArray, expected: FloatArray) -> str:
    """Words for a fault that explains the stress; "" where there is none or it is unknown."""
    tolerance = 0.02 * float(np.abs(expected).max())
    if np.allclose(stress, expected, atol=tolerance, rtol=0):
        return ""
    factors = {
        "the sign is reversed": -1.0,
        "these are GPa": EV_PER_A3_IN_GPA,
        "these are GPa with the sign reversed": -EV_PER_A3_IN_GPA,
        "these are kbar": 10.0 * EV_PER_A3_IN_GPA,
        "these are kbar with the sign reversed": -10.0 * EV_PER_A3_IN_GPA,
    }
    for words, factor in factors.items():
        if np.allclose(stress / factor, expected, atol=tolerance, rtol=0):
            return f"; {words}"
    ours, theirs = np.sort(expected[np.triu_indices(3)]), np.sort(stress[np.triu_indices(3)])
    if np.allclose(ours, theirs, atol=tolerance, rtol=0):
        return "; the components are in another order (xx, yy, zz, yz, xz, xy is expected)"
    ratio = float((stress * expected).sum() / max((expected * expected).sum(), 1e-300))
    if np.allclose(stress, ratio * expected, atol=abs(ratio) * tolerance, rtol=0):
        return f"; all components are {ratio:.4g} times too large: not divided by the volume?"
    return ""


def ask(
    potential: Potential, structures: Sequence[Structure], properties: Collection[str]
) -> list[Evaluation]:
    """`evaluate` with the shapes of the answers checked."""
    answers = potential.evaluate(structures, properties)
    if len(answers) != len(structures):
        raise PotentialError(
            f"{potential.identity.name}: {len(structures)} structures were asked about, "
            f"{len(answers)} answers came"
        )
    for answer, structure in zip(answers, structures, strict=True):
        expected = {"forces": (len(structure), 3), "stress": (3, 3), "energies": (len(structure),)}
        for name in set(properties) & set(expected):
            got = getattr(answer, name)
            if got is None or got.shape != expected[name]:
                raise PotentialError(
                    f"{potential.identity.name}: {name} of {len(structure)} atoms have the shape "
                    f"{expected[name]}, got {None if got is None else got.shape}"
                )
    return answers


def strained(structure: Structure, strain: FloatArray) -> Structure:
    """The structure with cell and positions deformed by 1 + strain."""
    deformation = np.eye(3) + strain
    return structure.with_positions(structure.positions @ deformation, structure.cell @ deformation)
