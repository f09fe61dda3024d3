"""Vibrational density of states from velocities, segment by segment, normalised to degrees of freedom.

    C_s(t) = sum over atoms i of species s of m_i <v_i(0) . v_i(t)>
    D_s(nu) = 4/(k T) int_0^tau C_s(t) w(t) cos(2 pi nu t) dt,   w(t) = cos^2(pi t / 2 tau)

so that the integral over nu from 0 on is C_s(0) / kT: the degrees of freedom that species s carries (S.-T.
Lin, M. Blanco, W. A. Goddard, J. Chem. Phys. 119, 11792 (2003), eq. 6 to 9). T is the kinetic temperature
of the same run. The window w (Hann) smooths the spectrum to a width (full, at half height) of 1 / tau and
leaves the integral as it is. Distances between spectra are those of Wasserstein, the area between the two
normalised integrals (S. S. Vallender, Theory Probab. Appl. 18, 784 (1974)): a band that moves by so many
cm^-1 changes it by as many times its weight, as far as the reference goes. What lies beyond its ends counts
as lying there: it says nothing of what is farther out, where a spectrum to half the sampling rate has the
tails of a thermostat's kicks, (2/pi) friction/omega of its weight beyond omega.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from mlipbench.analysis import blocks
from mlipbench.core.structure import FloatArray, IntArray
from mlipbench.core.units import BOLTZMANN, MASS_VELOCITY_SQUARED, conversion_factor

PER_FS_IN_WAVENUMBERS = 1000.0 * conversion_factor("THz", "cm^-1")
SEGMENT = 2  # lengths of the correlation function to a segment
PADDING = 2  # points of the spectrum to its natural spacing
MOST_COLUMNS = 512  # velocity components transformed at once: bounds the memory


@dataclass(frozen=True)
class Spectra:
    """Densities of states of the species, and how they came out in each segment."""

    wavenumbers: FloatArray  # (n,) cm^-1, from 0 to half the sampling rate
    species: tuple[int, ...]  # atomic numbers
    density: FloatArray  # (n_species, n) degrees of freedom per cm^-1
    series: FloatArray  # (n_segments, n_species, n) of each segment, at the temperature of all
    resolution: float  # cm^-1, full width at half height of the window

    def integral(self, low: float = 0.0, high: float = np.inf) -> FloatArray:
        """Degrees of freedom between two wavenumbers, (n_species,)."""
        return np.asarray(self.density @ self.weights(low, high))

    def weights(self, low: float = 0.0, high: float = np.inf) -> FloatArray:
        """Of the trapezoidal rule over the whole, 0 outside `low` to `high`: (n,) cm^-1."""
        step = self.wavenumbers[1] - self.wavenumbers[0]
        inside = (self.wavenumbers >= low) & (self.wavenumbers <= high)
        weights = np.where(inside, step, 0.0)
        weights[[0, -1]] *= 0.5
        return weights


class VelocitySpectrum:
    """Takes velocities in and gives spectra; memory is that of one segment."""

    def __init__(self, numbers: IntArray, masses: FloatArray, interval_fs: float, tau_fs: float) -> None:
        """`numbers`, `masses` (n_atoms,), u; time between two frames; length tau of the correlation.

        Raises ValueError where tau is not at least four intervals.
        """
        self._lags = round(tau_fs / interval_fs)
        if self._lags < 4:
            raise ValueError(
                f"correlation over {tau_fs:g} fs: expected at least four intervals of {interval_fs:g} fs"
            )
        self._interval = interval_fs
        self._segments = blocks.Segments(SEGMENT * self._lags)
        self.species = tuple(int(z) for z in np.unique(numbers))
        self._members = [np.flatnonzero(numbers == z) for z in self.species]
        self._masses = masses
        self._correlations: list[FloatArray] = []

    def add(self, velocities: FloatArray) -> None:
        """Frames at equal intervals, in order: (n_frames, n_atoms, 3) A/fs."""
        for segment in self._segments.add(velocities):
            self._correlations.append(np.array([self._correlation(segment, m) for m in self._members]))

    def _correlation(self, segment: FloatArray, members: IntArray) -> FloatArray:
        """C_s at lags 0 to tau, (n_lags + 1,) eV: every pair of frames of the segment counts once."""
        n = len(segment)
        size = next_fast_len(n + self._lags + 1, real=True)
        power = np.zeros(size // 2 + 1)
        columns = max(MOST_COLUMNS // 3, 1)
        for start in range(0, len(members), columns):
            chosen = members[start : start + columns]
            v = segment[:, chosen] * np.sqrt(self._masses[chosen])[:, None]
            power += (np.abs(rfft(v.reshape(n, -1), size, axis=0)) ** 2).sum(axis=1)
        lags = np.arange(self._lags + 1)
        return np.asarray(MASS_VELOCITY_SQUARED * irfft(power, size)[: self._lags + 1] / (n - lags))

    @property
    def n_segments(self) -> int:
        """Full segments so far."""
        return len(self._correlations)

    @property
    def segment_frames(self) -> int:
        """Frames to a segment."""
        return self._segments.length

    def spectra(self, temperature_K: float) -> Spectra:
        """Average over the segments. Raises ValueError where there is none yet."""
        if not self._correlations:
            raise ValueError(
                f"no spectrum: expected at least {SEGMENT * self._lags} frames, one segment of "
                f"{SEGMENT * self._lags * self._interval / 1000:g} ps"
            )
        lags = np.arange(self._lags + 1)
        window = np.cos(0.5 * np.pi * lags / self._lags) ** 2
        even = np.zeros((len(self._correlations), len(self.species), 2 * PADDING * self._lags))
        even[..., : self._lags + 1] = np.array(self._correlations) * window
        even[..., -self._lags :] = even[..., self._lags : 0 : -1]
        series = 2.0 * self._interval * rfft(even, axis=-1).real / (BOLTZMANN * temperature_K)
        series /= PER_FS_IN_WAVENUMBERS
        n = series.shape[-1]
        top = 0.5 * PER_FS_IN_WAVENUMBERS / self._interval
        return Spectra(
            wavenumbers=np.linspace(0.0, top, n),
            species=self.species,
            density=series.mean(axis=0),
            series=series,
            resolution=PER_FS_IN_WAVENUMBERS / (self._lags * self._interval),
        )


def centroid(x: FloatArray, density: FloatArray, series: FloatArray, weights: FloatArray) -> blocks.Estimate:
    """Mean wavenumber of the part of a spectrum that `weights` (n,) leave; `series` (n_segments, n)."""
    total = float(density @ weights)
    if total <= 0:
        return blocks.Estimate(float("nan"), None, 0.0)
    mean = float(density @ (weights * x)) / total
    return blocks.estimate(mean, mean + series @ (weights * (x - mean)) / total)


@dataclass(frozen=True)
class Distance:
    """Wasserstein-1 distance between two spectra, each of integral 1."""

    value: float  # cm^-1
    stderr: float | None
    n_eff: float
    floor: float | None  # cm^-1: what noise alone gives; None: too few segments
    width: float  # cm^-1, standard deviation of the reference


def wasserstein(x: FloatArray, f: FloatArray, y: FloatArray, g: FloatArray) -> float:
    """Area between the integrals of two densities f(x), g(y), each normalised to 1; x, y rising.

    Densities are piecewise linear, 0 beyond their ends; negative noise counts as it is. What f has beyond
    the ends of y counts as lying there. Raises ValueError where an integral is not above 0.
    """
    common = _Common(x, y)
    return float(common.area @ np.abs(common.integral(x, f) - common.integral(y, g)))


class _Common:
    """Normalised integrals on the points of two grids between the ends of the second one."""

    def __init__(self, x: FloatArray, y: FloatArray) -> None:
        self._grid = np.union1d(x, y)
        self._known = (self._grid >= y[0]) & (self._grid <= y[-1])
        self.area = _area(self._grid[self._known])

    def integral(self, x: FloatArray, f: FloatArray) -> FloatArray:
        """Of a density on one of the two, from its own first point on."""
        return np.asarray(_cumulative(x, f, self._grid)[self._known])


def _cumulative(x: FloatArray, f: FloatArray, grid: FloatArray) -> FloatArray:
    """Normalised integral of a density up to the points of a grid that holds x."""
    values = np.interp(grid, x, f, left=0.0, right=0.0)
    inside = (grid[:-1] >= x[0]) & (grid[1:] <= x[-1])
    rising = np.concatenate(
        [[0.0], np.cumsum(np.where(inside, 0.5 * np.diff(grid) * (values[1:] + values[:-1]), 0.0))]
    )
    if not rising[-1] > 0:
        raise ValueError("a spectrum with an integral of 0 or below cannot be compared: expected one above 0")
    return np.asarray(rising / rising[-1])


def _area(grid: FloatArray) -> FloatArray:
    """Weights of the trapezoidal rule."""
    gaps = np.diff(grid)
    return np.asarray(0.5 * (np.concatenate([gaps, [0.0]]) + np.concatenate([[0.0], gaps])))


def width(x: FloatArray, f: FloatArray) -> float:
    """Standard deviation of a density f(x) (negative values left out)."""
    weights = _area(x) * np.maximum(f, 0.0)
    mean = float(weights @ x / weights.sum())
    return float(np.sqrt(weights @ (x - mean) ** 2 / weights.sum()))


def distance(
    x: FloatArray,
    series: FloatArray,
    y: FloatArray,
    reference: FloatArray,
    error: FloatArray,
    rng: np.random.Generator,
) -> Distance:
    """Of the average of `series` (n_segments, n) on x (n,) from a reference with standard errors, on y.

    The error is that of the area with the signs of the difference held. The floor adds in squares half of
    the distance between two halves of the run, and that between the reference and copies of it with its own
    independent errors.
    """
    common = _Common(x, y)
    ours, theirs = common.integral(x, series.mean(axis=0)), common.integral(y, reference)
    signed = common.area * np.sign(ours - theirs)
    parts = np.array([common.integral(x, s) @ signed for s in series])
    value = float(np.abs(ours - theirs) @ common.area)
    own = blocks.estimate(value, parts)
    copies = [reference + error * rng.standard_normal(len(y)) for _ in range(blocks.FLOOR_SPLITS)]
    scatter = [common.integral(y, copy) for copy in copies]
    theirs_stderr = float(np.std([copy @ signed for copy in scatter])) if error.any() else 0.0
    total = blocks.joint(value, [(own.stderr, own.n_eff), (theirs_stderr, np.inf)])
    floor = None
    if len(series) >= blocks.FEWEST_BLOCKS:
        halves = [[common.integral(x, half) for half in pair] for pair in blocks.halves(series, rng)]
        half = np.mean([common.area @ np.abs(a - b) for a, b in halves]) / 2
        moved = np.mean([common.area @ np.abs(copy - theirs) for copy in scatter])
        floor = float(np.hypot(half, moved))
    return Distance(value, total.stderr, total.n_eff, floor, width(y, reference))
