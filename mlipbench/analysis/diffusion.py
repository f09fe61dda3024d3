"""Diffusion coefficients from mean squared displacements, segment by segment.

    D = 1/6 d/dt <|r_i(t0 + t) - r_i(t0)|^2>,   the slope over a window of lags, by least squares

over atoms of a species and all origins t0 of a segment, the motion of the centre of mass taken out (A.
Einstein, Ann. Phys. 322, 549 (1905)). Segments are twice as long as the longest lag; the error of D is that
of the average over segments. In a periodic cube of side L hydrodynamics slows diffusion down,

    D = D(L) + xi k T / (6 pi eta L),   xi = 2.837297

with the viscosity eta (I.-C. Yeh, G. Hummer, J. Phys. Chem. B 108, 15873 (2004), eq. 12).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlipbench.analysis import blocks
from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.core.units import BOLTZMANN, conversion_factor

SEGMENT = 2  # longest lags to a segment
CUBE = 2.837297
MOST_LAGS = 100
_VISCOSITY = 1e-3 * conversion_factor("Pa", "eV/A^3") * conversion_factor("s", "ps")  # mPa s in eV ps/A^3


@dataclass(frozen=True)
class Displacement:
    """Of one species."""

    lags_ps: FloatArray  # (n_lags,) from 0 on
    msd: FloatArray  # (n_lags,) A^2
    series: FloatArray  # (n_segments, n_lags) A^2
    farthest: float  # A: how far from its place at the start any atom has been

    def coefficient(self, from_ps: float, to_ps: float) -> blocks.Estimate:
        """D in A^2/ps from the slope between two lags. Raises ValueError where fewer than three lie there."""
        inside = (self.lags_ps >= from_ps * (1 - 1e-9)) & (self.lags_ps <= to_ps * (1 + 1e-9))
        if inside.sum() < 3:
            raise ValueError(f"slope from {from_ps:g} to {to_ps:g} ps: expected at least three lags there")
        t = self.lags_ps[inside] - self.lags_ps[inside].mean()
        gain = t / (6 * (t @ t))
        return blocks.estimate(float(gain @ self.msd[inside]), self.series[:, inside] @ gain)

    def exponent(self, from_ps: float, to_ps: float) -> float:
        """d log MSD / d log t between two lags: 1 for diffusion, 2 for free flight, 0 in a solid."""
        inside = (self.lags_ps >= from_ps) & (self.lags_ps <= to_ps) & (self.msd > 0) & (self.lags_ps > 0)
        if inside.sum() < 2:
            return 0.0
        return float(np.polyfit(np.log(self.lags_ps[inside]), np.log(self.msd[inside]), 1)[0])


class Displacements:
    """Takes positions in and gives mean squared displacements; memory is that of one segment."""

    def __init__(self, numbers: IntArray, masses: FloatArray, interval_fs: float, longest_fs: float) -> None:
        """`numbers`, `masses` (n_atoms,), u; time between two frames; the longest lag.

        Raises ValueError where the longest lag is not at least four intervals.
        """
        n = round(longest_fs / interval_fs)
        if n < 4:
            raise ValueError(f"lags up to {longest_fs:g} fs: expected at least four of {interval_fs:g} fs")
        self._lags = np.arange(0, n + 1, -(-n // MOST_LAGS))
        self._interval = interval_fs
        self._shares = masses / masses.sum()
        self._segments = blocks.Segments(SEGMENT * n)
        self.species = tuple(int(z) for z in np.unique(numbers))
        self._members = [np.flatnonzero(numbers == z) for z in self.species]
        self._start: FloatArray | None = None
        self._farthest = np.zeros(len(numbers))
        self._msd: list[FloatArray] = []

    def add(self, positions: FloatArray) -> None:
        """Frames at equal intervals, in order, unwrapped: (n_frames, n_atoms, 3) A."""
        if not len(positions):
            return
        moved = positions - np.einsum("i,fij->fj", self._shares, positions)[:, None]
        if self._start is None:
            self._start = moved[0].copy()
        far = ((moved - self._start) ** 2).sum(axis=2).max(axis=0)
        self._farthest = np.maximum(self._farthest, far)
        for segment in self._segments.add(moved):
            self._msd.append(self._of(segment))

    def _of(self, segment: FloatArray) -> FloatArray:
        """(n_species, n_lags) A^2 over all origins."""
        found = np.zeros((len(self.species), len(self._lags)))
        for k, lag in enumerate(self._lags[1:], start=1):
            squares = ((segment[lag:] - segment[:-lag]) ** 2).sum(axis=2).mean(axis=0)
            found[:, k] = [squares[members].mean() for members in self._members]
        return found

    @property
    def n_segments(self) -> int:
        """Full segments so far."""
        return len(self._msd)

    def displacements(self) -> dict[int, Displacement]:
        """Of every species. Raises ValueError where no segment is full."""
        if not self._msd:
            raise ValueError(
                f"no displacement: expected at least {self._segments.length} frames, one segment of "
                f"{self._segments.length * self._interval / 1000:g} ps"
            )
        series = np.array(self._msd)
        lags = self._lags * self._interval / 1000
        return {
            z: Displacement(
                lags,
                series[:, k].mean(axis=0),
                series[:, k],
                float(np.sqrt(self._farthest[self._members[k]].max())),
            )
            for k, z in enumerate(self.species)
        }


def finite_size(temperature_K: float, side_A: float, viscosity_mPa_s: float) -> float:
    """What a periodic cube takes off D, in A^2/ps (Yeh and Hummer): to be added."""
    return CUBE * BOLTZMANN * temperature_K / (6 * np.pi * viscosity_mPa_s * _VISCOSITY * side_A)


def immobile_bound(n_atoms: int, jump_A: float, length_ps: float) -> float:
    """95 % upper limit of D (A^2/ps) where none of `n_atoms` has jumped by `jump_A` in `length_ps`.

    Fewer than 3 jumps (Poisson) give D < (3 / (n t)) jump^2 / 6.
    """
    return -math.log(0.05) / (n_atoms * length_ps) * jump_A**2 / 6
