"""The check of the time step: the same start at the step and at half of it."""

from __future__ import annotations

import numpy as np

from mlipbench.api import Measurement, drift

Energy = tuple[np.ndarray, np.ndarray]  # time ps, total energy meV/atom, (n_samples,) each


def step_check(
    at_step: Energy, at_half: Energy, temperature_K: float, broke_off: bool
) -> tuple[list[Measurement], list[str]]:
    """Energy fluctuation at dt over that at dt/2, the drift extrapolated to dt -> 0; and remarks.

    Without samples enough there is no check, and the remark says so.
    """
    (time, coarse), (fine_time, fine) = at_step, at_half
    n = 0
    if len(fine_time):
        n = min(len(fine_time), int(np.searchsorted(time, fine_time[-1], side="right")))
    if n < drift.FEWEST_SAMPLES:
        why = "a run broke off" if broke_off else "lengthen half_step_ps, or lower monitor_stride"
        return [], [
            f"{temperature_K:g} K: the time step was not checked. The run and the run at half the step have "
            f"{n} samples in common where {drift.FEWEST_SAMPLES} are needed: {why}."
        ]
    conditions: dict[str, float | str] = {"temperature_K": temperature_K}
    lines = [drift.drift(time[:n], coarse[:n]), drift.drift(fine_time[:n], fine[:n])]
    ratio, error, n_eff = _spread_ratio(coarse[:n], fine[:n])
    length = {"length_ps": float(fine_time[n - 1])}
    found = [
        Measurement(
            name="step_ratio",
            value=ratio,
            unit="1",
            stderr=error,
            n_eff=n_eff,
            conditions=conditions,
            evidence=length,
            method="sigma of the detrended total energy at the time step over that at half of it, same "
            "start and length; jackknife over blocks",
            note="4 on a smooth surface; near 1 where surface or force is rough on the scale of a step",
        )
    ]
    if lines[0].stderr is not None and lines[1].stderr is not None:
        found.append(
            Measurement(
                name="drift_extrapolated",
                value=(4 * lines[1].slope - lines[0].slope) / 3,
                unit="meV/atom/ps",
                stderr=float(np.hypot(4 * lines[1].stderr, lines[0].stderr)) / 3,
                n_eff=min(line.n_eff for line in lines),
                conditions=conditions,
                evidence=length,
                method="(4 drift(dt/2) - drift(dt)) / 3 over the length of the check",
                note="what remains at dt -> 0 points at forces that are no gradient, or at energy jumps",
            )
        )
    return found, []


def _spread_ratio(coarse: np.ndarray, fine: np.ndarray) -> tuple[float, float | None, float]:
    """Ratio of standard deviations about a line, its jackknife error over blocks, number of blocks."""
    k = np.arange(len(coarse))
    squares = [(y - np.polyval(np.polyfit(k, y, 1), k)) ** 2 for y in (coarse, fine)]
    n_blocks = min(8, len(coarse) // 4)
    blocks = np.array([[part.mean() for part in np.array_split(s, n_blocks)] for s in squares])
    if blocks[1].sum() <= 0:
        return float("inf"), None, float(n_blocks)
    left_out = np.sqrt((blocks[0].sum() - blocks[0]) / np.maximum(blocks[1].sum() - blocks[1], 1e-300))
    error = np.sqrt((n_blocks - 1) / n_blocks * ((left_out - left_out.mean()) ** 2).sum())
    return float(np.sqrt(blocks[0].sum() / blocks[1].sum())), float(error), float(n_blocks)
