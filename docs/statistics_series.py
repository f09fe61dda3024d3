"""Series and errors whose mean and slope are known, for docs/statistics_studies.py.

Constants of the estimators were chosen on AR(1) series of 1 to 5 samples a memory, AR(2) of period 10, single
tones of period 10 and walks, with other seeds; families and parameters here are others but for AR(1) with one
sample a memory and for the Gaussian random walk, which have no parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

Maker = Callable[[np.random.Generator, int], np.ndarray]  # generator, samples -> (n,)


def autoregressive(memory: float, heavy: bool = False) -> Maker:
    """Unit variance, autocorrelation exp(-k / memory); Gaussian or t5 innovations."""
    phi = float(np.exp(-1 / memory))

    def make(rng: np.random.Generator, n: int) -> np.ndarray:
        size = n + int(20 * memory)
        noise = rng.standard_t(5, size) * np.sqrt(3 / 5) if heavy else rng.standard_normal(size)
        return lfilter([np.sqrt(1 - phi**2)], [1.0, -phi], noise)[-n:]

    return make


def oscillator(period: float, quality: float) -> Maker:
    """Thermally kicked oscillator, AR(2); its envelope decays in quality * period / pi samples."""
    r = np.exp(-np.pi / (quality * period))
    feedback = [1.0, -2 * r * np.cos(2 * np.pi / period), r * r]

    def make(rng: np.random.Generator, n: int) -> np.ndarray:
        return lfilter([1.0], feedback, rng.standard_normal(n + int(7 * quality * period)))[-n:]

    return make


def tones(period: float, noise: float) -> Maker:
    """Two bounded oscillations of random phase under white noise of standard deviation `noise` (theirs is 1).

    Periods: random within a factor 1.4 either way, and the same over sqrt(2).
    """

    def make(rng: np.random.Generator, n: int) -> np.ndarray:
        k, p = np.arange(n), period * np.exp(rng.uniform(-0.35, 0.35))
        first, second = rng.uniform(0, 2 * np.pi, 2)
        swing = np.cos(2 * np.pi * k / p + first) + np.cos(2 * np.pi * k * np.sqrt(2) / p + second)
        return swing + noise * rng.standard_normal(n)

    return make


def walk(heavy: bool = False) -> Maker:
    """Random walk; Gaussian or t5 steps."""
    return lambda rng, n: np.cumsum(rng.standard_t(5, n) if heavy else rng.standard_normal(n))


def total(*parts: tuple[float, Maker]) -> Maker:
    """Weighted sum of independent series."""
    return lambda rng, n: sum(weight * make(rng, n) for weight, make in parts)


def white(rng: np.random.Generator, n: int) -> np.ndarray:
    """Independent samples."""
    return rng.standard_normal(n)


@dataclass(frozen=True)
class Case:
    """Series of one family and length; `lengths` of the memory in a series, 0 where none exists (walks)."""

    family: str
    lengths: int
    n: int
    make: Maker


REQUIRED = ("AR(1), 7 samples a memory", "AR(1), 1 sample a memory", "oscillation and noise", "random walk")


def cases() -> Iterator[Case]:
    """All families and lengths."""
    for lengths in (10, 30, 100, 1000):
        yield Case("AR(1), 7 samples a memory", lengths, 7 * lengths, autoregressive(7))
        yield Case("AR(1), 1 sample a memory", lengths, lengths, autoregressive(1))
        yield Case("AR(1), t5 innovations", lengths, 4 * lengths, autoregressive(4, heavy=True))
        mixed = total((1.0, autoregressive(6)), (1.0, white))
        yield Case("AR(1) and as much white noise", lengths, 6 * lengths, mixed)
        decay = 3 * 17 / np.pi
        yield Case("AR(2), period 17, Q = 3", lengths, round(decay * lengths), oscillator(17, 3))
        yield Case("oscillation and noise", lengths, 13 * lengths, tones(13, 1.0))
        yield Case("oscillation, hardly any noise", lengths, 13 * lengths, tones(13, 0.05))
    for n in (20, 100, 1000):
        yield Case("random walk", 0, n, walk())
        yield Case("random walk, t5 steps", 0, n, walk(heavy=True))
        yield Case(
            "random walk and oscillation", 0, n, total((1.0, walk()), (np.sqrt(n) / 10, tones(13, 0.2)))
        )
    for hidden in (1, 3, 10, 5):  # white noise in units of what a walk of 400 steps strays in 40
        yield Case(
            f"walk under {hidden}x white noise", 0, 400, total((1.0, walk()), (hidden * 40**0.5, white))
        )


def half_normal(rng: np.random.Generator, n: int) -> np.ndarray:
    """|error| of one energy a frame, mean 1."""
    return np.abs(rng.standard_normal(n)) * np.sqrt(np.pi / 2)


def exponential(rng: np.random.Generator, n: int) -> np.ndarray:
    """|error| with tails, mean 1."""
    return rng.exponential(size=n)


def log_normal(rng: np.random.Generator, n: int) -> np.ndarray:
    """Mean |force error| of a frame, mean 1; frames differ by a factor e^(1/2)."""
    return rng.lognormal(-0.125, 0.5, n)


def hot_frames(rng: np.random.Generator, n: int) -> np.ndarray:
    """|error| of a t distribution of 3 degrees of freedom, mean 1: a few frames far out."""
    return np.abs(rng.standard_t(3, n)) * np.pi / (2 * np.sqrt(3))


ERRORS = {
    "half normal": half_normal,
    "log-normal, 1/2": log_normal,
    "exponential": exponential,
    "|t|, 3 dof": hot_frames,
}


def clusters(rng: np.random.Generator, n: int, errors: Maker, unequal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Sums of |error| and sizes of n clusters; unequal: trajectories, each with its own scale."""
    if not unequal:
        return errors(rng, n), np.ones(n)
    sizes = np.maximum(1, np.round(rng.lognormal(1.5, 0.7, n)))
    scale = rng.lognormal(-0.045, 0.3, n)
    return np.array([s * errors(rng, int(k)).sum() for s, k in zip(scale, sizes, strict=True)]), sizes


def energies(noise: str) -> Maker:
    """Noise of the energy per atom (meV) of 50 ps, one sample in 10 fs.

    Velocity Verlet as measured along 50 ps of Stillinger-Weber silicon, 64 atoms: 0.0046 meV/atom at 300 K
    and 1 fs, 0.093 at 1200 K and 2 fs; some 3 % of the power is slow, memory about 1.5 ps, the rest lies in
    a band about 25/ps. 192 atoms have 1/sqrt(3) of that. A walk of w meV/atom in 1 ps has steps of 0.1 w.
    """
    band, slow = oscillator(4.0, 3.0), autoregressive(150)
    unit = 1 / np.std(band(np.random.default_rng(0), 100_000))
    verlet = total((0.98 * unit, band), (0.18, slow))
    return {
        "velocity Verlet, 64 atoms, 300 K, 1 fs": total((0.0046, verlet)),
        "velocity Verlet, 64 atoms, 1200 K, 2 fs": total((0.093, verlet)),
        "velocity Verlet, 192 atoms, 1200 K, 2 fs": total((0.054, verlet)),
        "the same and a walk of 0.3 meV/atom/sqrt(ps)": total((0.054, verlet), (0.03, walk())),
        "the same and a walk of 1 meV/atom/sqrt(ps)": total((0.054, verlet), (0.1, walk())),
        "the same and a walk of 3 meV/atom/sqrt(ps)": total((0.054, verlet), (0.3, walk())),
        "walk of 3 hidden in white noise of 60 meV/atom": total((0.3, walk()), (60.0, white)),
        "walk of 5 hidden in white noise of 100 meV/atom": total((0.5, walk()), (100.0, white)),
    }[noise]


NOISES = (
    "velocity Verlet, 64 atoms, 300 K, 1 fs",
    "velocity Verlet, 64 atoms, 1200 K, 2 fs",
    "velocity Verlet, 192 atoms, 1200 K, 2 fs",
    "the same and a walk of 0.3 meV/atom/sqrt(ps)",
    "the same and a walk of 1 meV/atom/sqrt(ps)",
    "the same and a walk of 3 meV/atom/sqrt(ps)",
    "walk of 3 hidden in white noise of 60 meV/atom",
    "walk of 5 hidden in white noise of 100 meV/atom",
)
