"""Units and signs of one file's labels; what is found wrong is put right, so that later checks go on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlipbench.core.structure import FloatArray
from mlipbench.core.units import BOLTZMANN
from mlipbench.data.audit import unit_names
from mlipbench.data.audit.comparison import families, way
from mlipbench.data.audit.energies import check_offsets
from mlipbench.data.audit.energy_forces import Compared, compared, force_slope, restoring, stiffness
from mlipbench.data.audit.examination import Examination
from mlipbench.data.audit.findings import Amount
from mlipbench.data.audit.precision import grid
from mlipbench.data.audit.slopes import Slope
from mlipbench.data.audit.stress import check_stress, slope_with_stress
from mlipbench.data.audit.unit_names import Units

_SITES_KEPT = 0.2  # displacement of an atom over the neighbour distance, up to which a crystal is harmonic
_CLOSE = 0.1  # of the distance to the nearest neighbour
_UNEXPLAINED = 0.1  # of 1/2 |dF.dr|; the trapezoid leaves 0.002 (NaCl) to 0.06 (argon) between close frames
_COLDEST_K = 10.0  # below, a stated temperature is that of a static calculation


def check_units(x: Examination) -> None:
    """Sign and units of forces, energies and stresses."""
    found = compared(x.labelled(), x.trusted("energy", "forces"))
    if found is None:
        x.unexamined.append(
            f"{x.frames[0].file}: forces and stress against energies: no three frames of the same atoms"
        )
        _scale_alone(x)
        return
    if _unrelated(x, found):
        x.distrusted.update(int(i) for i in x.trusted("forces"))
        return
    energies = np.array([f.energy for f in x.labelled() if f.energy is not None])
    measured = force_slope(found, grid(energies)) or slope_with_stress(x, found)
    if measured is None:
        _unjudged(x, found)
        return
    if measured.value < 0:
        _wrong_sign(x, measured)
        _rescale(x, 1.0, -1.0)
        found = compared(x.labelled(), x.trusted("energy", "forces")) or found
    x.pairs = _check_slope(x, found, measured)
    check_stress(x, x.pairs)


def _unjudged(x: Examination, found: Compared) -> None:
    """The pairs lie on no line: are they too far apart, or do the forces belong to other positions?"""
    before, x.pairs = len(x.findings), found
    check_offsets(x)
    if len(x.findings) > before:
        return  # the pairs lie on several lines
    w = found.works
    share, close = _restoring(x, found)
    near = found.fixed_cell() & (w.distance_A < _CLOSE * x.spacing_A())
    rest = np.abs(w.energy - w.by_forces)[near] / np.maximum(w.curvature[near], 1e-300)
    if close and share > 0.9 and near.any() and np.median(rest) > _UNEXPLAINED:
        members = x.trusted("energy", "forces")
        x.add(
            "energies.unrelated",
            "error",
            "energies do not follow the forces: the work between the closest frames does not explain their "
            "energy differences",
            members,
            Amount(value=float(np.median(rest)), unit="1", of="unexplained energy over 1/2 |dF.dr|"),
            "the energies of other frames, or energies that are not converged",
            "read energies and forces from the same output",
        )
        x.distrusted.update(int(i) for i in members)
    else:
        x.unexamined.append(
            f"{x.frames[0].file}: forces against energies: the closest of {found.n_frames} comparable frames "
            f"lie {float(np.median(w.distance_A)):.2g} A apart (strain {float(np.median(w.strain)):.2g}), "
            "too far for the work of the forces"
        )
    _scale_alone(x)


def _restoring(x: Examination, found: Compared) -> tuple[float, bool]:
    """Share of the closest pairs with restoring forces, and whether these are close enough to count."""
    share, n = restoring(found)
    return share, n >= 10 and float(np.quantile(found.works.distance_A, 0.25)) < _CLOSE * x.spacing_A()


def _unrelated(x: Examination, found: Compared) -> bool:
    """Whether forces neither pull back nor push on, as those of other frames do."""
    share, close = _restoring(x, found)
    if not close or not 0.15 < share < 0.75:
        return False
    x.add(
        "forces.unrelated",
        "error",
        f"forces do not follow the positions: they pull back in {100 * share:.0f} % of the pairs of "
        "closest frames (100 % in a crystal)",
        x.trusted("energy", "forces"),
        Amount(value=share, unit="1", of="share of close pairs with restoring forces"),
        "the forces of other frames, or of another order of atoms",
        "read positions and forces from the same output",
    )
    return True


def _wrong_sign(x: Examination, measured: Slope) -> None:
    x.add(
        "forces.sign",
        "error",
        f"forces point uphill: the energy rises along them (slope of dE on -F.dr {measured.value:.3g}, "
        f"from {measured.n_points} pairs of close frames)",
        x.trusted("forces"),
        Amount(
            value=measured.value,
            unit="1",
            stderr=abs(measured.value) * measured.relative_error,
            of="dE / -F.dr",
        ),
        "gradients were written in place of forces",
        "change the sign of the forces",
    )


def _check_slope(x: Examination, found: Compared, measured: Slope) -> Compared:
    value = abs(measured.value)
    causes = unit_names.explain(value, measured.relative_error, abs(stiffness(found)), _all_electron(x))
    amount = Amount(value=value, unit="1", stderr=value * measured.relative_error, of="dE / -F.dr")
    if not causes:
        x.add(
            "forces.inconsistent",
            "warning",
            f"forces and energies are not of one surface: dE is {value:.3g} times -F.dr, which fits no unit",
            x.trusted("energy", "forces"),
            amount,
            "free energies beside forces of the energy (or the reverse), two levels of theory, unknown units",
            "find out which energy the forces are the derivative of",
        )
        return found
    units = causes[0]
    if units == unit_names.SOUND:
        units = _scale(x, found)
    else:
        others = [f"{u.energy_name} with {u.force_name}" for u in causes[1:3]]
        name = {(True, False): "units.forces", (False, True): "units.energy"}.get(
            (units.energy == 1, units.force == 1), "units.energy_and_forces"
        )
        x.add(
            name,
            "error",
            f"dE is {value:.4g} times -F.dr (1 is expected; from {measured.n_points} pairs of close frames)",
            x.trusted("energy", "forces"),
            amount,
            f"energies in {units.energy_name}, forces in {units.force_name}"
            + (f" (or {', '.join(others)})" if others else ""),
            _remedy(units),
        )
    if units == unit_names.SOUND:
        return found
    _rescale(x, units.energy, units.force)
    return compared(x.labelled(), x.trusted("energy", "forces")) or found


def _remedy(units: Units) -> str:
    parts = [
        f"multiply {what} by {factor:.6g}"
        for what, factor in (("energies", units.energy), ("forces", units.force))
        if factor != 1
    ]
    return ", ".join(parts)


def _rescale(x: Examination, energy: float, force: float) -> None:
    """Go on with labels in eV and eV/A."""
    for i, whole in enumerate(x.frames):
        f = whole.frame
        scaled = replace(
            f,
            energy=None if f.energy is None else energy * f.energy,
            forces=None if f.forces is None else force * f.forces,
        )
        x.frames[i] = replace(whole, frame=scaled)


def _all_electron(x: Examination) -> float | None:
    """Median of the energies over all-electron energies in eV."""
    ratios = [
        f.frame.energy / unit_names.all_electron_energy(f.frame.structure.numbers)
        for f in (x.frames[i] for i in x.trusted("energy"))
        if f.frame.energy is not None
    ]
    return float(np.median(ratios)) if ratios else None


def _scale(x: Examination, found: Compared) -> Units:
    """Energies and forces agree with each other: are both in another unit? The thermal motion tells."""
    ratios = _temperatures(x)
    if len(ratios) < 5:
        _scale_alone(x)
        return unit_names.SOUND
    value = float(np.median(ratios))
    for units in unit_names.CONSISTENT:
        if unit_names.near(value * units.energy, 1.0, 0.5) and not 0.4 < value < 2.5:
            x.add(
                "units.energy_and_forces",
                "error",
                f"the thermal motion holds {value:.3g} times the energy of the stated temperature",
                x.trusted("energy", "forces"),
                Amount(value=value, unit="1", of="configurational over stated temperature"),
                f"energies in {units.energy_name}, forces in {units.force_name}",
                _remedy(units),
            )
            return units
    return unit_names.SOUND


def _temperatures(x: Examination) -> FloatArray:
    """Configurational over stated temperature of pairs of frames of one crystal at one temperature.

    Two independent frames of a harmonic crystal: <-(F_i - F_j).(r_i - r_j)> = 6 (N - 1) k T.
    """
    frames = x.labelled()
    chosen = [int(i) for i in x.trusted("energy", "forces") if (frames[i].temperature_K or 0) > _COLDEST_K]
    found = []
    for family in families([frames[i] for i in chosen], smallest=3):
        for i in range(len(family) - 1):
            one = frames[chosen[family.members[i]]]
            js = np.arange(i + 1, len(family))
            ts = np.array([frames[chosen[k]].temperature_K for k in family.members[js]])
            js = js[np.abs(ts - one.temperature_K) < 0.01 * ts][:5]
            if not len(js):
                continue
            ways = way(family, i, family, js)
            f_ends = np.array([frames[chosen[k]].forces for k in family.members[js]])
            if ways.rotations is not None:
                f_ends = f_ends @ ways.rotations
            power = np.einsum("mai,mai->m", one.forces - f_ends, 0.5 * (ways.at_start + ways.at_end))
            kept = (ways.strain < 1e-4) & (ways.distance_A < np.sqrt(2) * _SITES_KEPT * x.spacing_A())
            found += list((power / (6 * (family.n_atoms - 1) * BOLTZMANN * (one.temperature_K or 1)))[kept])
    return np.array(found)


def _scale_alone(x: Examination) -> None:
    """Without another measure: are the numbers all-electron energies in another unit than eV?"""
    ratio = _all_electron(x)
    if ratio is None or unit_names.near(ratio, 1.0, 0.05):
        return
    for units in unit_names.CONSISTENT[:4]:
        if unit_names.near(ratio * units.energy, 1.0, 0.02):
            x.add(
                "units.energy_suspected",
                "warning",
                f"in {units.energy_name} the energies would be those of all-electron atoms (within 2 %)",
                x.trusted("energy"),
                Amount(value=ratio, unit="1", of="energies over all-electron energies in eV"),
                f"energies in {units.energy_name}",
                f"multiply energies by {units.energy:.6g}, if so",
            )
            return
