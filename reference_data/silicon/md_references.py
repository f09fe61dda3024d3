"""What a run of silicon gives for others to be held against: g(r), velocity spectrum, pressure, volume.

A run of some picoseconds sees each mode of a crystal with few energies. What it was given by chance can be
taken out again: its twin, mace-si from the same start under the same kicks of the thermostat, was given
nearly the same, and what mace-si shows on average over many runs is known. So

    average = run - twin + mean over runs of mace-si,

a control variate: whatever mace-si is, twin and mean cancel on average, and none of its own g(r) is left. The
error is the scatter of such differences among pairs of runs from other starts: mace-si, and a surface whose
runs part from it a little faster than the run parted from its twin (mace-si with its forces scaled by
`DEPARTURE`; how fast is measured). Where blocks of the run's own difference scatter more, they count. What
velocity Verlet at this step widens, (omega dt)^2/4 or 2 % of the variance of the fastest mode, is in it.
"""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.io import read

from mlipbench.analysis import blocks, rdf, vdos
from mlipbench.analysis.drift import drift
from mlipbench.core.potential import Potential
from mlipbench.core.structure import Structure
from mlipbench.core.units import conversion_factor
from mlipbench.data.manifest_file import MANIFEST
from reference_data import cubic_crystal, dynamics, labelling
from reference_data.espresso import Answer

HERE = Path(__file__).parent
BIN_A = 0.02
PAIR = (14, 14)
HIGHEST = 700.0  # cm^-1, of the spectrum that is kept; silicon ends at 520
N_PAIRS = 16
DEPARTURE = 0.96
ENOUGH_STEPS = 600
MOST_DRIFT = 1.0  # meV/atom/ps
BAR = conversion_factor("eV/A^3", "bar")
SOURCE = "computed for mlipbench with Quantum ESPRESSO; silicon_pbe_md.json, method in md_references.py"


def equation_of_state() -> dict[str, float]:
    """PBE, as properties.py found it."""
    return json.loads((HERE / "properties.json").read_text())["equation_of_state"]


def lattice_constant() -> float:
    """PBE, A; that of the run."""
    return equation_of_state()["lattice_constant"]


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
class Companions:
    """Runs of a cheap potential under the protocol of a run and as long as that."""

    twin: Seen  # from the same start, with the same kicks
    own: Mapping[str, np.ndarray]  # g, density, pressure from other starts with other kicks, (n_runs, ...)
    departed: Mapping[str, np.ndarray]  # of the scaled surface, from the starts and with the kicks of `own`
    parting: tuple[float, float]  # A r.m.s., of the run from its twin, of `departed` from `own`


SHOWN = ("g", "density", "pressure")


def companions(
    run: dynamics.Run, folder: Path, drawn: Callable[[int], dynamics.Run], potential: Potential
) -> Companions:
    """Made with a cheap potential; `drawn` gives the start of a seed, with its protocol.

    Each pair is kept in `folder`, for runs of this length and this potential. Raises SystemExit where the
    scaled surface departs less than the run does: the errors would be too small.
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
    return Companions(seen(twin), own, departed, (apart, farthest))


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


def _scaled(potential: Potential, run: dynamics.Run, scale: float) -> dynamics.Slow:
    structure = Structure(
        numbers=run.numbers, positions=run.positions, cell=run.cell, pbc=np.ones(3, bool), masses=run.masses
    )
    bound = potential.bind(structure, 1)

    def answer(positions: np.ndarray) -> Answer:
        found = bound(positions[None], run.cell[None], True)
        stress = found.stresses[0][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        energy, forces = float(found.energies[0]), found.forces[0]
        return Answer(scale * energy, scale * forces, scale * stress, 0, 0.0, 0.0, 0.0)

    return answer


@dataclass(frozen=True)
class Average:
    """Of what a run shows, freed of chance by its companions."""

    value: np.ndarray
    error: np.ndarray


def average(mine: tuple, twin: tuple, own: np.ndarray, departed: np.ndarray) -> Average:
    """From (value, series over blocks) of the run and of its twin, and (n_runs, ...) of the pairs."""
    (value, series), (same, same_series) = mine, twin
    scatter = (departed - own).std(axis=0, ddof=1)
    left = own.std(axis=0, ddof=1) / np.sqrt(len(own))
    blocked = blocks.column_errors((series - same_series).reshape(len(series), -1)).reshape(np.shape(scatter))
    return Average(value - same + own.mean(axis=0), np.hypot(np.fmax(scatter, blocked), left))


# ---------------------------------------------------------------- files
def collect(run: dynamics.Run, others: Companions, folder: Path) -> None:
    """The references, their record, and their entries in the manifest of the folder above.

    Verified from `ENOUGH_STEPS` on, where the drift is below `MOST_DRIFT`.
    """
    s, twin = seen(run), others.twin
    g, density, pressure = (
        average(
            (getattr(s, name), getattr(s, f"{name}_series")),
            (getattr(twin, name), getattr(twin, f"{name}_series")),
            others.own[name],
            others.departed[name],
        )
        for name in SHOWN
    )
    temperature, theory = run.protocol.temperature_K, "PBE"
    record = _record(run, s, others, g, pressure)
    verified = run.n_steps >= ENOUGH_STEPS and abs(record["drift_meV_per_atom_per_ps"]) < MOST_DRIFT
    tau = correlation_fs(run)
    length = f"{run.n_steps} steps of {run.protocol.timestep_fs:g} fs"
    atoms = f"64 atoms, a = {lattice_constant():.4f} A"
    note = f"NVT, {length}, {atoms}; less its twin on mace-si, plus the mean of {N_PAIRS} such runs"
    header = {"level_of_theory": theory, "temperature_K": f"{temperature:g}", "source": SOURCE, "note": note}
    _curve(
        folder / "silicon_pbe_md_rdf.csv", {"abscissa_unit": "A", "value_unit": "1", **header}, "r,g_SiSi",
        s.r, g.value, g.error,
    )  # fmt: skip
    window = f"{note}; Hann window of {tau:g} fs"
    _curve(
        folder / "silicon_pbe_md_vdos.csv",
        {"abscissa_unit": "cm^-1", "value_unit": "cm", **header, "note": window}, "wavenumber,density",
        s.wavenumbers, density.value, density.error,
    )  # fmt: skip
    scalars = _scalars(record, theory, temperature)
    (folder / "silicon_pbe_md.yaml").write_text(json.dumps(scalars, indent=1) + "\n")  # JSON is YAML
    (folder / "silicon_pbe_md.json").write_text(json.dumps(record, indent=1) + "\n")
    of = f"silicon at {temperature:g} K, {length} of molecular dynamics"
    common = {
        "level_of_theory": theory, "source": SOURCE, "script": "silicon/md.py", "verified": verified,
    }  # fmt: skip
    entries = {
        "silicon_pbe_md_rdf": (f"g(r) of {of}", "curve", "csv", {"r": "A", "g_SiSi": "1"}),
        "silicon_pbe_md_vdos": (
            f"Velocity spectrum of {of}", "curve", "csv", {"wavenumber": "cm^-1", "density": "cm"}
        ),
        "silicon_pbe_md": (
            f"Pressure and volume of {of}", "scalar", "yaml", {k: v["unit"] for k, v in scalars.items()}
        ),
    }  # fmt: skip
    labelling.enter(
        folder.parent / MANIFEST,
        {
            name: {"title": title, "kind": kind, "file": f"silicon/{name}.{suffix}", "units": units, **common}
            for name, (title, kind, suffix, units) in entries.items()
        },
    )
    print(json.dumps(record, indent=1), "verified" if verified else "not verified: drawn, never gates")


def _scalars(record: Mapping, theory: str, temperature: float) -> dict[str, dict]:
    """Mean pressure; the part that the motion has in it; the volume that is under none.

    A wave basis of one cutoff leaves a stress at the volume of the least energy, in the run and in the
    lattice at rest alike: the difference is free of it. The lattice gives way to it by its equation of state.
    """
    pressure, error = record["pressure_bar"], record["pressure_error_bar"]
    thermal = pressure - record["static_pressure_bar"]
    eos, gpa = equation_of_state(), conversion_factor("bar", "GPa")
    volume, lower = (cubic_crystal.volume_under(eos, -gpa * p) for p in (thermal, thermal - error))
    found = {
        "pressure": (pressure, error, "bar", ""),
        "thermal_pressure": (round(thermal, 1), error, "bar", "; less the pressure of the lattice at rest"),
        "volume_per_atom": (
            round(volume, 4), round(volume - lower, 4), "A^3/atom",
            "; under no pressure: the thermal one and the equation of state in properties.json",
        ),
    }  # fmt: skip
    return {
        name: {
            "value": value, "error": err, "unit": unit, "level_of_theory": theory,
            "temperature_K": temperature, "source": SOURCE + more,
        }
        for name, (value, err, unit, more) in found.items()
    }  # fmt: skip


def _record(run: dynamics.Run, s: Seen, others: Companions, g: Average, pressure: Average) -> dict:
    n_atoms, top = len(run.sites), int(s.g.argmax())
    time_ps = np.arange(len(run.calls)) * run.protocol.every * run.protocol.timestep_fs / 1000
    line = drift(time_ps, 1000 * (run.conserved() - run.conserved()[0]) / n_atoms)
    return {
        "steps": run.n_steps,
        "protocol": run.protocol.__dict__,
        "notes": run.notes,
        "temperature_K": round(s.temperature, 1),
        "drift_meV_per_atom_per_ps": round(line.slope, 4),
        "drift_error": None if line.stderr is None else round(line.stderr, 4),
        "conserved_sigma_meV_per_atom": round(line.sigma, 4),
        "correlation_fs": correlation_fs(run),
        "pressure_bar": round(float(pressure.value), 1),
        "pressure_error_bar": round(float(pressure.error), 1),
        "static_pressure_bar": round(static_pressure(), 1),
        "pairs": len(others.own["g"]),
        "departure": DEPARTURE,
        "parting_A": [round(apart, 4) for apart in others.parting],
        "as_the_run_alone_has_it": {
            "pressure_bar": round(s.pressure, 1),
            "scatter_bar": round(float(others.own["pressure"].std(ddof=1)), 1),
            "largest_g": round(float(s.g[top]), 3),
            "scatter_there": round(float(others.own["g"][:, top].std(ddof=1)), 3),
        },
        "g_there": [round(float(g.value[top]), 3), round(float(g.error[top]), 3)],
        "largest_smearing_eV": float(np.abs(run.column("smearing")).max()),
        "machine_seconds": round(float(run.column("seconds").sum())),
        "mean_iterations": round(float(run.column("iterations").mean()), 1),
    }


def static_pressure() -> float:
    """Of the lattice at rest at the volume of the run, bar: a cubic through the nearest crystals."""
    files = [HERE / f"silicon_pbe_{part}.extxyz" for part in ("train", "val", "test")]
    crystals = [f for file in files for f in read(file, ":") if f.info["config_type"] == "volume"]
    edges = np.array([(8 * f.get_volume() / len(f)) ** (1 / 3) for f in crystals])
    pressures = np.array([-BAR * f.get_stress()[:3].mean() for f in crystals])
    near = np.argsort(np.abs(edges - lattice_constant()))[:4]
    return float(np.polynomial.Polynomial.fit(edges[near], pressures[near], 3)(lattice_constant()))


def _curve(path: Path, header: Mapping[str, str], columns: str, x, y, error) -> None:
    lines = [f"# {key}: {value}" for key, value in header.items()]
    rows = [f"{a:.5g},{b:.6g},{e:.3g}" for a, b, e in zip(x, y, error, strict=True)]
    path.write_text("\n".join([*lines, f"{columns},error", *rows]) + "\n")
