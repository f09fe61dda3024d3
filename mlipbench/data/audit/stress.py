"""Sign, unit and order of the stress, from the work it does between frames with different cells."""

from __future__ import annotations

import numpy as np

from mlipbench.core.structure import BoolArray, FloatArray
from mlipbench.core.units import EV_PER_A3_IN_GPA
from mlipbench.data.audit import unit_names
from mlipbench.data.audit.comparison import STRAIN_LENGTH_A
from mlipbench.data.audit.energy_forces import Compared
from mlipbench.data.audit.examination import Examination
from mlipbench.data.audit.findings import Amount
from mlipbench.data.audit.slopes import FEWEST, Slope, slope, slope_beside, weighted_median

ORDERS = {
    "xx, yy, zz, yz, xz, xy (ASE)": (0, 1, 2, 3, 4, 5),
    "xx, yy, zz, xy, yz, zx (VASP)": (0, 1, 2, 4, 5, 3),
    "xx, yy, zz, xy, xz, yz (LAMMPS)": (0, 1, 2, 5, 4, 3),
    "xx, xy, xz, yy, yz, zz (upper triangle)": (0, 3, 5, 4, 2, 1),
}
"""How six numbers may have been written: component k of ASE's order stands at place order[k]."""

_STRAINED = 1e-3  # strain from which the stress does work worth measuring
_BETTER = 0.5  # of the misfit of ASE's order: another order must do as well as this
_IMPLAUSIBLE = 0.6  # eV/A^3 (96 GPa)


def slope_with_stress(x: Examination, found: Compared) -> Slope | None:
    """dE / W of the forces where all cells differ; the stress, in any unit and order, works beside them."""
    w = found.works
    stressed = _stressed(x)
    chosen = (w.strain > _STRAINED) & stressed[w.first] & stressed[w.second]
    if not chosen.any():
        return None
    by_forces, energy = w.by_forces[chosen], w.energy[chosen]
    scale = w.curvature[chosen] + 0.1 * np.abs(by_forces)
    scale = np.maximum(scale, 1e-3 * np.median(scale))
    if not scale.all():
        return None
    fits = [
        slope_beside(
            by_forces / scale,
            np.einsum("pkk->p", w.by_stress[chosen][:, :, order]) / scale,
            energy / scale,
            w.distance_A[chosen] + STRAIN_LENGTH_A * w.strain[chosen],
            w.first[chosen],
        )
        for order in ORDERS.values()
    ]
    return max((fit for fit in fits if fit is not None), key=lambda fit: fit.correlation, default=None)


def _stressed(x: Examination) -> BoolArray:
    """(n,) frames with a trusted stress."""
    found = np.zeros(len(x.frames), dtype=bool)
    found[x.trusted("stress")] = True
    return found


def check_stress(x: Examination, found: Compared) -> None:
    """Compare the work of the stress with what the forces leave of the energy differences."""
    stressed = _stressed(x)
    if not stressed.any():
        return
    w = found.works
    chosen = (w.strain > _STRAINED) & stressed[w.first] & stressed[w.second]
    rest, tables = (w.energy - w.by_forces)[chosen], w.by_stress[chosen]
    if chosen.sum() < FEWEST or not rest.any():
        _magnitude(x, int(chosen.sum()))
        return
    scale = w.curvature[chosen] + 0.1 * np.abs(rest)
    scale = np.maximum(scale, 1e-3 * np.median(scale))
    y, blocks = rest / scale, w.first[chosen]
    apart = w.distance_A[chosen]  # the noise is that of the forces' work
    fits: dict[str, tuple[float, Slope]] = {}
    for name, order in ORDERS.items():
        x_axis = np.einsum("pkk->p", tables[:, :, order]) / scale
        line = slope(x_axis, y, apart, blocks)
        if line is not None:
            fits[name] = (_misfit(x_axis, y), line)
    if not fits:
        _magnitude(x, int(chosen.sum()))
        return
    usual, best = next(iter(ORDERS)), min(fits, key=lambda name: fits[name][0])
    if best != usual and usual in fits and fits[best][0] > _BETTER * fits[usual][0]:
        best = usual
    if best != usual:
        x.add(
            "stress.order",
            "error",
            "the components of the stress are not in ASE's order xx, yy, zz, yz, xz, xy",
            x.trusted("stress"),
            Amount(
                value=fits[best][1].correlation,
                unit="1",
                of="correlation of energies and work in the order found",
            ),
            f"written as {best}",
            "write the stress as 3x3, or in ASE's order",
        )
    _name(x, fits[best][1])


def _misfit(x: FloatArray, y: FloatArray) -> float:
    """Mean |y - slope x| over mean |y|."""
    used = x != 0
    best = weighted_median(y[used] / x[used], np.abs(x[used]))
    return float(np.abs(y - best * x).mean() / np.abs(y).mean())


def _name(x: Examination, line: Slope) -> None:
    value = abs(line.value)
    error = value * line.relative_error
    amount = Amount(value=line.value, unit="1", stderr=error, of="dE / V S:strain")
    members = x.trusted("stress")
    volume = float(np.median([x.frames[i].frame.structure.volume for i in members]))
    names = {
        "eV/A^3": 1.0,
        **unit_names.STRESS_UNITS,
        "eV (a virial that was not divided by the volume)": 1.0 / volume,
    }
    off = {name: abs(np.log(value / factor)) for name, factor in names.items()}
    best = min(off, key=lambda name: off[name])
    if off[best] > np.log(1.4):
        x.add(
            "stress.inconsistent",
            "warning",
            f"the stress is not the derivative of the energy: dE is {line.value:.3g} times V S:strain",
            members,
            amount,
            "Pulay stress (a basis that changes with the cell), a kinetic part, or an unknown unit",
            "find out what the stress contains",
        )
        return
    if best != "eV/A^3":
        x.add(
            "stress.unit",
            "error",
            f"dE is {value:.4g} times V S:strain (1 is expected; from {line.n_points} pairs of frames)",
            members,
            amount,
            f"stress in {best}",
            "divide the virial by the volume"
            if "virial" in best
            else f"multiply the stress by {names[best]:.6g}",
        )
    if line.value < 0:
        x.add(
            "stress.sign",
            "error",
            "the stress has the wrong sign: the energy falls where it should rise (slope of dE on V S:strain "
            f"{line.value:.3g})",
            members,
            amount,
            "pressures, or stresses that are positive under compression, or virials (eV) taken as stresses",
            "change the sign: ASE's stress is positive under tension",
        )


def _magnitude(x: Examination, n_pairs: int) -> None:
    """Too few strained pairs: the numbers themselves must do."""
    members = x.trusted("stress")
    largest = float(np.median([np.abs(x.frames[i].frame.stress).max() for i in members]))
    if largest > _IMPLAUSIBLE:
        x.add(
            "stress.unit_suspected",
            "warning",
            f"stresses of {largest:.3g} eV/A^3 ({largest * EV_PER_A3_IN_GPA:.0f} GPa) in the median frame",
            members,
            Amount(value=largest, unit="eV/A^3", of="median of the largest component"),
            "stress in GPa or kbar, or a virial that was not divided by the volume",
            "convert it to eV/A^3",
        )
    x.unexamined.append(
        f"{x.frames[0].file}: sign, unit and order of the stress: {n_pairs} pairs of close frames with "
        "different cells do not decide it"
    )
