"""Numbers of the suite `dynamics`: how far the atoms of a species go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols

from mlipbench.api import Measurement, blocks, diffusion, structure
from mlipbench_suites.runs import Run

if TYPE_CHECKING:
    from mlipbench_suites.dynamics import DynamicsParams

JUMP = 0.75  # of the distance between neighbours: an atom that has gone so far has left its place
DIFFUSIVE = (0.8, 1.2)  # exponent of the mean squared displacement
CUBE_TOLERANCE = 1e-3
ONE_SIDED = 1.645  # standard errors to a one-sided bound of 95 %


@dataclass(frozen=True)
class Mobility:
    """Of one species."""

    name: str
    displacement: diffusion.Displacement
    moves: bool
    periodic: blocks.Estimate  # D in the periodic cell, A^2/ps
    infinite: blocks.Estimate | None  # with the finite-size correction; None: not known
    bound: float | None  # 95 % upper limit where nothing moves
    measurements: list[Measurement]
    remarks: list[str]


def mobility(p: DynamicsParams, z: int, displacement: diffusion.Displacement, run: Run) -> Mobility:
    """D of a species with its error, or its bound where no atom has left its place."""
    name = chemical_symbols[z]
    start = run.whole.structure
    jump = JUMP * structure.neighbour_distance(start.positions, start.cell, start.pbc)
    if displacement.farthest < jump:
        return _still(name, z, displacement, jump, run)
    conditions = {**run.conditions, "species": name}
    found = displacement.coefficient(p.fit_from_ps, p.fit_to_ps)
    how = f"slope of the mean squared displacement from {p.fit_from_ps:g} to {p.fit_to_ps:g} ps; error: "
    how += "segments of the run with the memory that the data show"
    measurements = [_measured("diffusion", found, conditions, run, how)]
    remarks = []
    exponent = displacement.exponent(p.fit_from_ps, p.fit_to_ps)
    if not DIFFUSIVE[0] <= exponent <= DIFFUSIVE[1]:
        remarks.append(
            f"{name}: the mean squared displacement grows as t^{exponent:.2f} in the window of the fit, not "
            "as t: later lags (fit_from_ps, fit_to_ps) are needed for a diffusion coefficient."
        )
    infinite, words = _infinite(p, found, run)
    remarks.append(f"{name}: {words}")
    if infinite is not None:
        more = f"{how}; finite-size correction [@yeh2004] added"
        measurements.append(_measured("diffusion_infinite", infinite, conditions, run, more))
    return Mobility(name, displacement, True, found, infinite, None, measurements, remarks)


def _still(name: str, z: int, displacement: diffusion.Displacement, jump: float, run: Run) -> Mobility:
    n = int((run.whole.structure.numbers == z).sum())
    bound = diffusion.immobile_bound(n, jump, run.counted_ps)
    conditions = {**run.conditions, "species": name}
    words = (
        f"does not diffuse: in {run.counted_ps:.4g} ps none of {n} atoms has been farther than "
        f"{displacement.farthest:.3g} A from its place (a jump: {jump:.3g} A), so D lies below {bound:.2g} "
        "A^2/ps at 95 % confidence"
    )
    method = "no jump in the time of all atoms; Poisson bound on their rate"
    common = {"unit": "A^2/ps", "exact": True, "conditions": conditions, "evidence": run.evidence}
    measurements = [
        Measurement(name="diffusion", value=0.0, method=method, note=words, **common),
        Measurement(name="diffusion_bound", value=bound, method=method, **common),
    ]
    zero = blocks.Estimate(0.0, bound / ONE_SIDED, 1e6)
    return Mobility(name, displacement, False, zero, zero, bound, measurements, [f"{name} {words}."])


def _infinite(p: DynamicsParams, found: blocks.Estimate, run: Run) -> tuple[blocks.Estimate | None, str]:
    """D of an infinite system and what was done, in words."""
    cell = run.whole.structure.cell
    side = float(np.linalg.norm(cell, axis=1).mean())
    uneven = float(np.abs(cell @ cell.T / side**2 - np.eye(3)).max())
    if not run.whole.structure.pbc.all() or uneven > CUBE_TOLERANCE:
        return None, "no finite-size correction: it is known for periodic cubes."
    t = run.realised.temperature.value
    if p.viscosity_mPa_s is None:
        one = diffusion.finite_size(t, side, 1.0)
        return None, (
            f"no finite-size correction, since no viscosity is given; in this cube ({side:.4g} A) it would "
            f"be {one:.3g} A^2/ps over the viscosity in mPa s."
        )
    more = diffusion.finite_size(t, side, p.viscosity_mPa_s)
    theirs = more * p.viscosity_error_mPa_s / p.viscosity_mPa_s
    total = blocks.joint(found.value + more, [(found.stderr, found.n_eff), (theirs, np.inf)])
    return total, (
        f"the finite-size correction for a cube of {side:.4g} A and {p.viscosity_mPa_s:g} mPa s is "
        f"{more:+.3g} A^2/ps ({100 * more / found.value:.3g} %)."
    )


def _measured(
    name: str, e: blocks.Estimate, conditions: dict[str, float | str], run: Run, method: str
) -> Measurement:
    return Measurement(
        name=name,
        value=e.value,
        unit="A^2/ps",
        stderr=e.stderr,
        n_eff=e.n_eff,
        conditions=conditions,
        evidence=run.evidence,
        method=method,
    )
