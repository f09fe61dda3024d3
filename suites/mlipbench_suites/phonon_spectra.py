"""Frequencies of the suite `phonons` from what it has stored: at both displacements, and of the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlipbench.api import Data, Structure, conversion_factor, phonons
from mlipbench_suites import relaxation
from mlipbench_suites.drawing import FloatArray

if TYPE_CHECKING:
    from mlipbench_suites.phonons import PhononsParams

IMAGINARY_THZ = -0.05
PER_CM = conversion_factor("THz", "cm^-1")
MOST_PATH_POINTS = 160
MOST_BAND_POINTS = 1600  # of all bands together: what the report draws as it is
FEWEST_PATH_POINTS = 30
MOST_RESPONSE = 1e9  # in place of infinity, where symmetry holds the residual forces at zero


@dataclass(frozen=True, eq=False)
class Bands:
    """Frequencies (n_points, n_bands) THz at the same wave vectors; `reference` where there is one."""

    first: FloatArray
    check: FloatArray
    reference: FloatArray | None

    @property
    def change(self) -> FloatArray:
        """How far the second displacement moves them."""
        return np.abs(self.first - self.check)


@dataclass(frozen=True, eq=False)
class Spectra:
    """Everything that `measure` works with."""

    supercell: Structure
    primitive: Structure
    dynamics: phonons.Dynamics  # of the smaller displacement
    violations: tuple[phonons.Violation, phonons.Violation]
    uneven: tuple[float, float]  # even part of the response to +-u, as a share of the odd part
    response: float  # largest force that a displacement causes, over the largest residual force
    exact: FloatArray  # (n, 3) wave vectors that the supercell holds
    n_exact: int  # apart by symmetry
    mesh: FloatArray  # (n, 3)
    weights: FloatArray  # (n,), sum 1
    mesh_numbers: tuple[int, int, int]
    path: phonons.Path
    at_exact: Bands
    on_mesh: Bands
    along_path: list[Bands]  # one a segment
    theory: str  # of the reference
    polar: bool  # whether Born charges of the reference were used

    @property
    def n_bands(self) -> int:
        """Three times the atoms of the primitive cell."""
        return 3 * len(self.primitive)

    @property
    def free(self) -> FloatArray:
        """Weights (n, n_bands) of the mesh, 0 for acoustic modes at Gamma; sum 1."""
        w = self.weights[:, None] * phonons.optical_only(self.mesh, self.n_bands)
        return np.asarray(w / w.sum())

    @property
    def computed(self) -> FloatArray:
        """Mask (n, n_bands) of the exact frequencies but acoustic modes at Gamma."""
        return np.asarray(phonons.optical_only(self.exact, self.n_bands))

    @property
    def noise(self) -> float:
        """Root mean square change of the exact frequencies with the displacement, THz."""
        if not self.computed.any():  # one atom, and Gamma alone
            return 0.0
        return float(np.sqrt(np.mean(self.at_exact.change[self.computed] ** 2)))

    @property
    def compared(self) -> tuple[FloatArray, FloatArray] | None:
        """Exact frequencies (n,) of the potential and of the reference, band by band; None without one.

        Nothing is interpolated where both have one supercell, and Born charges have no say there.
        """
        if self.at_exact.reference is None or not self.computed.any():
            return None
        return self.at_exact.first[self.computed], self.at_exact.reference[self.computed]

    @property
    def slope(self) -> float | None:
        """Of the potential's on the reference's exact frequencies, through the origin."""
        if self.compared is None:
            return None
        f, r = self.compared
        return float(f @ r / (r @ r))

    @property
    def n_independent(self) -> int:
        """Frequencies that were computed and not interpolated, symmetry taken off."""
        return self.n_exact * self.n_bands


def load(p: PhononsParams, data: Data) -> Spectra:
    """Force constants and frequencies from the stored forces."""
    crystal = phonons.Crystal(
        relaxation.load(data, "relaxed"),
        data.array("supercell_matrix"),
        data.array("primitive_matrix"),
        p.symmetry_tolerance_A,
    )
    moves = phonons.Displacements(data.array("moved_atoms"), data.array("moves"))
    larger = moves.scaled(p.check_displacement_A / p.displacement_A)
    polar = data.has("born_charges")
    born = data.array("born_charges") if polar else None
    dielectric = data.array("dielectric") if polar else None
    found, violations = [], []
    for moved, forces in ((moves, "forces"), (larger, "forces_check")):
        phi = phonons.force_constants(crystal, moved, data.array(forces))
        violations.append(phonons.violation(phi))
        found.append(phonons.Dynamics(crystal, phonons.symmetrised(phi), born, dielectric))
    first, check = found
    reference = _reference(p, data, born, dielectric)
    exact, n_exact = first.exact_points()
    mesh, weights, numbers = first.mesh(p.mesh_A)
    n_bands = 3 * len(crystal.primitive)
    path = first.path(int(np.clip(MOST_BAND_POINTS // n_bands, FEWEST_PATH_POINTS, MOST_PATH_POINTS)))
    along = [[] if d is None else d.bands(path) for d in (first, check, reference)]

    def bands(q: FloatArray) -> Bands:
        return Bands(
            first.frequencies(q),
            check.frequencies(q),
            None if reference is None else reference.frequencies(q),
        )

    return Spectra(
        supercell=crystal.supercell,
        primitive=crystal.primitive,
        dynamics=first,
        violations=(violations[0], violations[1]),
        uneven=(_uneven(data, moves, "forces"), _uneven(data, moves, "forces_check")),
        response=_response(data),
        exact=exact,
        n_exact=n_exact,
        mesh=mesh,
        weights=weights,
        mesh_numbers=numbers,
        path=path,
        at_exact=bands(exact),
        on_mesh=bands(mesh),
        along_path=[
            Bands(a, b, along[2][k] if along[2] else None)
            for k, (a, b) in enumerate(zip(along[0], along[1], strict=True))
        ],
        theory=str(data.array("reference_theory")[0]) if reference is not None else "",
        polar=polar,
    )


def _reference(
    p: PhononsParams, data: Data, born: FloatArray | None, dielectric: FloatArray | None
) -> phonons.Dynamics | None:
    if not data.has("reference_force_constants"):
        return None
    crystal = phonons.Crystal(
        relaxation.load(data, "reference"),
        data.array("reference_supercell_matrix"),
        data.array("reference_primitive_matrix"),
        p.symmetry_tolerance_A,
    )
    return phonons.Dynamics(crystal, data.array("reference_force_constants"), born, dielectric)


def _uneven(data: Data, moves: phonons.Displacements, name: str) -> float:
    """|F(+u) + F(-u) - 2 F(0)| over |F(+u) - F(-u)|, the largest of each: 0 where forces are linear."""
    forces, rest = data.array(name), data.array("forces_rest")
    worst, scale = 0.0, 1e-300
    for k, (atom, vector) in enumerate(zip(moves.atoms, moves.vectors, strict=True)):
        for m in range(k):
            if moves.atoms[m] == atom and np.allclose(moves.vectors[m], -vector, atol=1e-12):
                worst = max(worst, float(np.abs(forces[k] + forces[m] - 2 * rest).max()))
                scale = max(scale, float(np.abs(forces[k] - forces[m]).max()))
    return worst / scale


def _response(data: Data) -> float:
    rest = data.array("forces_rest")
    caused = float(np.abs(data.array("forces") - rest).max())
    return min(caused / max(float(np.abs(rest).max()), 1e-300), MOST_RESPONSE)
