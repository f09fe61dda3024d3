"""What a run of silicon shows, freed of chance by runs of mace-si beside it.

A run of some picoseconds sees each mode of a crystal with few energies. What it was given by chance can be
taken out again: its twin, mace-si from the same start under the same kicks of the thermostat, was given
nearly the same, and what mace-si shows on average is known from a run of `LONG_PS`. So

    average = run - twin + average over the long run of mace-si,

a control variate: whatever mace-si is, twin and long run cancel, and none of its own g(r) is left. What the
start and the step of the run's integrator put in is in run and twin alike and cancels too; the long run has
steps of `LONG_STEP_FS` in the splitting whose positions are exact in a harmonic well at any step. Its
frequencies are those of the step, (omega dt)^2/24 or 0.4 % too high for the fastest modes, 520 cm^-1.

The error is the scatter of such differences among pairs of runs from other starts: mace-si, and a surface
whose runs part from it a little faster than the run parted from its twin (mace-si with its forces scaled by
`DEPARTURE`; how fast is measured). Where blocks of the run's own difference scatter more, they count.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlipbench.analysis import blocks, rdf, vdos
from mlipbench.core.potential import Potential
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import Langevin, MaxwellBoltzmann, TrajectorySpec, steps_lasting
from mlipbench.core.units import BOLTZMANN, conversion_factor
from mlipbench.simulate.driver import simulate
from mlipbench.simulate.requests import merge
from mlipbench.store.trajectories import TrajectoryStore
from reference_data import dynamics
from reference_data.espresso import Answer

BIN_A = 0.02
PAIR = (14, 14)
HIGHEST = 700.0  # cm^-1, of the spectrum that is kept; silicon ends at 520
N_PAIRS = 16
DEPARTURE = 0.97
LONG_PS = 100.0
LONG_STEP_FS = 3.0
LEFT_OUT_PS = 5.0  # of the long run, at its start: ten relaxation times
POSITIONS_EVERY = 10  # steps of the long run
STRESS_EVERY = 100
BAR = conversion_factor("eV/A^3", "bar")


@dataclass(frozen=True)
class Seen:
    """Averages over one run; `series` over its blocks or segments."""

    r: np.ndarray  # (n_bins,) A
    g: np.ndarray  # (n_bins,)
    g_series: np.ndarray  # (n_blocks, n_bins)
    wavenumbers: np.ndarray  # (n,) cm^-1
    density: np.ndarray  # (n,) degrees of freedom per cm^-1
    density_series: np.ndarray  # (n_segments, n)
    pressure: float  # bar, with the kinetic part
    pressure_series: np.ndarray  # (n_calls,) bar
    temperature: float  # K


def correlation_fs(run: dynamics.Run) -> float:
    """Length of the velocity correlation: a quarter of the run, for two segments; at most 2 ps."""
    return min(2000.0, run.n_steps * run.protocol.timestep_fs / 4)


def seen(run: dynamics.Run) -> Seen:
    """g(r), spectrum and pressure of a run."""
    reach = rdf.half_height(run.cell)
    histogram = rdf.Histogram(run.numbers, {PAIR: rdf.even_edges(BIN_A, reach)})
    histogram.add(
        run.sites + np.array(run.displacements, dtype=float),
        np.broadcast_to(run.cell, (run.n_steps, 3, 3)),
    )
    g = histogram.distributions()[PAIR]
    interval, volume = run.protocol.timestep_fs, abs(float(np.linalg.det(run.cell)))
    spectrum = vdos.VelocitySpectrum(run.numbers, run.masses, interval, correlation_fs(run))
    spectrum.add(np.array(run.motions, dtype=float))
    temperatures = run.temperatures()[1:]
    found = spectrum.spectra(float(temperatures.mean()))
    kept = found.wavenumbers <= HIGHEST
    virial = np.array(run.stresses)[1:, :3].sum(axis=1)
    pressures = BAR * (2 * run.column("kinetic")[1:] / volume - virial) / 3
    return Seen(
        g.r, g.g, g.series, found.wavenumbers[kept], found.density.sum(axis=0)[kept],
        found.series.sum(axis=1)[:, kept], float(pressures.mean()), pressures, float(temperatures.mean()),
    )  # fmt: skip


@dataclass(frozen=True)
class Average:
    """Of what runs show, with one standard error."""

    value: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class Companions:
    """Runs of a cheap potential beside a run."""

    twin: Seen  # from the same start, with the same kicks, as long as the run
    own: Mapping[str, np.ndarray]  # SHOWN of such runs from other starts with other kicks, (n_runs, ...)
    departed: Mapping[str, np.ndarray]  # of the scaled surface, from the starts and with the kicks of `own`
    settled: Mapping[str, Average]  # SHOWN of the long run
    parting: tuple[float, float]  # A r.m.s., of the run from its twin, of `departed` from `own`


SHOWN = ("g", "density", "pressure")


def companions(
    run: dynamics.Run, folder: Path, drawn: Callable[[int], dynamics.Run], potential: Potential
) -> Companions:
    """Made with a cheap potential; `drawn` gives the start of a seed, with its protocol.

    Each pair is kept in `folder`, for runs of this length and this potential, and so is the long run, which
    goes on where it was. Raises SystemExit where the scaled surface departs less than the run does: the
    errors would be too small.
    """
    twin = _moved(drawn(run.protocol.seed), len(run.calls), potential)
    apart = _parting(run, twin)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = []
    for n in range(1, N_PAIRS + 1):
        file = folder / f"{run.n_steps}-{potential.identity.key[:16]}-{DEPARTURE:g}-{n}.npz"
        if not file.exists():
            _save(file, _pair(drawn(1000 + n), len(run.calls), potential))
        with np.load(file) as found:
            pairs.append({name: found[name] for name in found.files})
        print(f"pair {n}/{N_PAIRS}: {pairs[-1]['parting']:.4f} A apart", flush=True)
    every = {name: np.array([pair[name] for pair in pairs]) for name in pairs[0]}
    farthest = float(np.sqrt(np.mean(every["parting"] ** 2)))
    if apart > farthest:
        raise SystemExit(
            f"the run has parted from its twin by {apart:.4f} A r.m.s., runs of the surface scaled by "
            f"{DEPARTURE:g} by {farthest:.4f}: expected more; choose a DEPARTURE farther from 1, and see "
            "whether the twin still starts where the run did"
        )
    own, departed = ({name: every[f"{kind}_{name}"] for name in SHOWN} for kind in ("own", "departed"))
    return Companions(seen(twin), own, departed, settled(run, folder / "long", potential), (apart, farthest))


def _pair(first: dynamics.Run, n_calls: int, potential: Potential) -> dict[str, np.ndarray]:
    """A run on the potential and one on the scaled surface, from one start."""
    pair = [_moved(deepcopy(first), n_calls, potential, scale) for scale in (1.0, DEPARTURE)]
    shown = {
        f"{kind}_{name}": np.array(getattr(seen(one), name))
        for kind, one in zip(("own", "departed"), pair, strict=True)
        for name in SHOWN
    }
    return shown | {"parting": np.array(_parting(*pair))}


def _save(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    temporary = file.with_suffix(".tmp")
    with open(temporary, "wb") as handle:
        np.savez(handle, **arrays)
    temporary.replace(file)


def _moved(run: dynamics.Run, n_calls: int, potential: Potential, scale: float = 1.0) -> dynamics.Run:
    """With energies scaled in the place of the expensive ones, and the potential as it is in between."""
    slow, fast = _scaled(potential, run, scale), dynamics.fast_forces(potential, run)
    while len(run.calls) < n_calls:
        dynamics.advance(run, slow, fast)
    return run


def _parting(one: dynamics.Run, other: dynamics.Run) -> float:
    """Distance of the atoms of two runs over their length, r.m.s. along an axis, A."""
    apart = np.array(one.displacements, dtype=float) - np.array(other.displacements, dtype=float)
    return float(np.sqrt((apart**2).mean()))


def _structure(run: dynamics.Run, positions: np.ndarray) -> Structure:
    return Structure(
        numbers=run.numbers, positions=positions, cell=run.cell, pbc=np.ones(3, bool), masses=run.masses
    )


def _scaled(potential: Potential, run: dynamics.Run, scale: float) -> dynamics.Slow:
    bound = potential.bind(_structure(run, run.positions), 1)

    def answer(positions: np.ndarray) -> Answer:
        found = bound(positions[None], run.cell[None], True)
        stress = found.stresses[0][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        energy, forces = float(found.energies[0]), found.forces[0]
        return Answer(scale * energy, scale * forces, scale * stress, 0, 0.0, 0.0, 0.0)

    return answer


def settled(run: dynamics.Run, folder: Path, potential: Potential) -> dict[str, Average]:
    """SHOWN of one long run of a potential in the cell of `run`, under a thermostat as strong as its own."""
    spec = TrajectorySpec(
        structure=_structure(run, run.sites),
        ensemble=Langevin(run.protocol.temperature_K, 1 / run.protocol.relaxation_fs),
        timestep_fs=LONG_STEP_FS,
        n_steps=steps_lasting(LONG_PS, LONG_STEP_FS),
        start=MaxwellBoltzmann(run.protocol.temperature_K),
        seed=run.protocol.seed,
        frame_stride=1,
    )
    identity, store = potential.identity.key, TrajectoryStore(folder)
    simulate(
        potential, identity, merge([spec], [], identity), store,
        lambda done, what: print(f"\r{100 * done:.0f} %: {what}", end="", flush=True),
    )  # fmt: skip
    reach = rdf.half_height(run.cell)
    histogram = rdf.Histogram(run.numbers, {PAIR: rdf.even_edges(BIN_A, reach)})
    spectrum = vdos.VelocitySpectrum(run.numbers, run.masses, LONG_STEP_FS, correlation_fs(run))
    bound = potential.bind(spec.structure, 1)
    traces, temperatures = [], []
    for piece in store.pieces(spec.key(identity), spec.n_steps, spec.frame_stride):
        late = piece.frame_steps * LONG_STEP_FS > 1000 * LEFT_OUT_PS
        spectrum.add(piece.velocities[late])
        some = late & (piece.frame_steps % POSITIONS_EVERY == 0)
        histogram.add(piece.positions[some], piece.cells[some])
        chosen = piece.positions[late & (piece.frame_steps % STRESS_EVERY == 0)]
        traces += [np.trace(bound(x[None], run.cell[None], True).stresses[0]) for x in chosen]
        temperatures.append(piece.temperature[piece.steps * LONG_STEP_FS > 1000 * LEFT_OUT_PS])
    g = histogram.distributions()[PAIR]
    found = spectrum.spectra(float(np.concatenate(temperatures).mean()))
    kept = found.wavenumbers <= HIGHEST
    # By equipartition: the velocities at whole steps have less than kT in fast modes.
    kinetic = (len(run.sites) - 1) * BOLTZMANN * run.protocol.temperature_K / abs(np.linalg.det(run.cell))
    pressures = BAR * (kinetic - np.array(traces) / 3)
    mean = blocks.estimate(float(pressures.mean()), pressures)
    return {
        "g": Average(g.g, blocks.column_errors(g.series)),
        "density": Average(
            found.density.sum(axis=0)[kept], blocks.column_errors(found.series.sum(axis=1)[:, kept])
        ),
        "pressure": Average(np.array(mean.value), np.array(mean.stderr)),
    }


def average(mine: tuple, twin: tuple, own: np.ndarray, departed: np.ndarray, long: Average) -> Average:
    """From (value, series over blocks) of the run and of its twin, (n_runs, ...) of the pairs, and the long
    run."""
    (value, series), (same, same_series) = mine, twin
    scatter = (departed - own).std(axis=0, ddof=1)
    blocked = blocks.column_errors((series - same_series).reshape(len(series), -1)).reshape(np.shape(scatter))
    return Average(value - same + long.value, np.hypot(np.fmax(scatter, blocked), long.error))
