"""Equation of state of a crystal: Birch's fit of energies against volumes.

    E(V) = E0 + (9/16) B0 V0 { (x - 1)^3 B0' + (x - 1)^2 (6 - 4 x) },   x = (V0/V)^(2/3)

(Birch, Phys. Rev. 71, 809 (1947)): a cubic polynomial in y = V^(-2/3), so that the fit is linear and its
minimum, curvature and slope of the curvature follow in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlipbench.core.errors import DataError
from mlipbench.core.structure import FloatArray
from mlipbench.core.units import EV_PER_A3_IN_GPA

N_COEFFICIENTS = 4


@dataclass(frozen=True)
class Fit:
    """Volume, bulk modulus and its pressure derivative at rest, with one standard error each.

    The errors add, in squares, what the scatter about the curve leaves open and how far the number moves
    when only the inner half of the volumes is fitted: energies of a potential have no noise to speak of,
    and the form of the curve is what is uncertain.
    """

    volume: float  # A^3 (per atom where the volumes are)
    volume_error: float
    bulk_modulus: float  # GPa
    bulk_modulus_error: float
    derivative: float  # B0', a pure number
    derivative_error: float
    energy: float  # eV
    residual: float  # eV, r.m.s. about the curve
    n_points: int
    coefficients: tuple[float, float, float, float]  # of (V/V1)^(-2/3), V1 the mean of the volumes
    scale: float  # V1, A^3

    def energies(self, volumes: FloatArray) -> FloatArray:
        """The curve, eV."""
        y = (volumes / self.scale) ** (-2.0 / 3.0)
        return np.asarray(np.polynomial.polynomial.polyval(y, self.coefficients))

    def pressures(self, volumes: FloatArray) -> FloatArray:
        """-dE/dV in GPa."""
        y = (volumes / self.scale) ** (-2.0 / 3.0)
        slope = np.polynomial.polynomial.polyval(y, np.polynomial.polynomial.polyder(self.coefficients))
        return np.asarray(EV_PER_A3_IN_GPA * slope * (2.0 / 3.0) * y / volumes)


def birch_murnaghan(volumes: FloatArray, energies: FloatArray) -> Fit:
    """Fit of energies (n,) eV at volumes (n,) A^3. Raises DataError where they hold no minimum."""
    if len(volumes) < N_COEFFICIENTS + 2:
        raise DataError(
            f"an equation of state needs {N_COEFFICIENTS + 2} volumes at least, got {len(volumes)}"
        )
    order = np.argsort(volumes)
    v, e = volumes[order], energies[order]
    scale = float(v.mean())
    whole, covariance, residual = _solve(v, e, scale)
    values = _numbers(whole, scale)
    if values is None:
        raise DataError(
            f"the energies between {v[0]:.4g} and {v[-1]:.4g} A^3 have no minimum there: choose other volumes"
        )
    inner = _inner_half(v, e, scale)
    slopes = _slopes(whole, scale)  # (3, n_coefficients)
    noise = np.einsum("ki,ij,kj->k", slopes, covariance, slopes)
    form = np.zeros(3) if inner is None else np.subtract(inner, values)
    errors = np.sqrt(noise + form**2)
    return Fit(
        volume=values[0],
        volume_error=float(errors[0]),
        bulk_modulus=values[1],
        bulk_modulus_error=float(errors[1]),
        derivative=values[2],
        derivative_error=float(errors[2]),
        energy=float(np.polynomial.polynomial.polyval((values[0] / scale) ** (-2 / 3), whole)),
        residual=residual,
        n_points=len(v),
        coefficients=(float(whole[0]), float(whole[1]), float(whole[2]), float(whole[3])),
        scale=scale,
    )


def _solve(v: FloatArray, e: FloatArray, scale: float) -> tuple[Any, Any, float]:
    """Coefficients, their covariance from the scatter, r.m.s. residual."""
    design = np.vander((v / scale) ** (-2.0 / 3.0), N_COEFFICIENTS, increasing=True)
    shift = float(e.mean())  # energies of hundreds of eV against differences of meV
    c, *_ = np.linalg.lstsq(design, e - shift, rcond=None)
    left = e - shift - design @ c
    variance = float(left @ left) / max(len(v) - N_COEFFICIENTS, 1)
    covariance = variance * np.linalg.pinv(design.T @ design)
    c[0] += shift
    return c, covariance, float(np.sqrt(np.mean(left**2)))


def _inner_half(v: FloatArray, e: FloatArray, scale: float) -> tuple[float, float, float] | None:
    """Volume, modulus, derivative of the middle half of the volumes (at least as many as coefficients)."""
    n = max(len(v) // 2 + 1, N_COEFFICIENTS)
    start = (len(v) - n) // 2
    c, _, _ = _solve(v[start : start + n], e[start : start + n], scale)
    return _numbers(c, scale)


def _numbers(c: FloatArray, scale: float) -> tuple[float, float, float] | None:
    """V0 in A^3, B0 in GPa, B0' of a polynomial in y = (V/scale)^(-2/3); None without a minimum.

    With E = p(y) and y' = dy/dV = -(2/3) y/V:  P = -p' y',  B = -V dP/dV,  B' = dB/dP = (dB/dV)/(dP/dV).
    """
    d1, d2, d3 = (np.polynomial.polynomial.polyder(c, n) for n in (1, 2, 3))
    roots = np.roots(d1[::-1])
    minima = [
        float(r.real)
        for r in roots
        if abs(r.imag) < 1e-9 and r.real > 0 and np.polynomial.polynomial.polyval(r.real, d2) > 0
    ]
    if not minima:
        return None
    y = min(minima, key=lambda root: abs(root - 1.0))
    if not 0.3 < y < 3.0:  # volumes six times off: nothing that these energies tell
        return None
    volume = scale * y**-1.5
    p1, p2, p3 = (float(np.polynomial.polynomial.polyval(y, d)) for d in (d1, d2, d3))
    # Of B(V) = (4/9) y^2 p''/V + (10/9) y p'/V and its derivative, at p' = 0.
    bulk = (4.0 / 9.0) * y * y * p2 / volume + (10.0 / 9.0) * y * p1 / volume
    along = -(2.0 / 3.0) * y / volume  # dy/dV
    slope = (
        (8.0 / 9.0) * y * p2 * along / volume
        + (4.0 / 9.0) * y * y * p3 * along / volume
        + (10.0 / 9.0) * (p1 + y * p2) * along / volume
        - bulk / volume
    )
    return volume, EV_PER_A3_IN_GPA * bulk, -slope * volume / bulk


def _slopes(c: FloatArray, scale: float) -> FloatArray:
    """(3, n_coefficients): derivatives of `_numbers` by central differences; 0 where a minimum is lost."""
    step = 1e-6 * float(np.abs(c[1:]).max())
    found = np.zeros((3, len(c)))
    for k in range(len(c)):
        shift = step * np.eye(len(c))[k]
        up, down = _numbers(c + shift, scale), _numbers(c - shift, scale)
        if up is not None and down is not None:
            found[:, k] = np.subtract(up, down) / (2 * step)
    return found
