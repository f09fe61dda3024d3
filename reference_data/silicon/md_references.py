"""What a run of silicon gives for others to be held against: g(r), velocity spectrum, pressure, volume.

Errors: a run of some picoseconds sees each mode of a crystal with few energies, and blocks of one run do not
show how far that is from the average. So mace-si makes runs of the same length under the same protocol from
other starts: the scatter among them is the error of a single run. Where the blocks of the run itself scatter
more, they count.
"""

import json
from collections.abc import Callable, Mapping
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
N_REPLICAS = 24
ENOUGH_STEPS = 600
MOST_DRIFT = 1.0  # meV/atom/ps
BAR = conversion_factor("eV/A^3", "bar")
SOURCE = "computed for mlipbench with Quantum ESPRESSO; silicon_pbe_md.json, method in md.py"


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


def replicas(
    run: dynamics.Run, cache: Path, drawn: Callable[[int], dynamics.Run], potential: Potential
) -> dict[str, np.ndarray]:
    """g (n, n_bins), density (n, n), pressure (n,) of runs of a cheap potential that are as long.

    Each starts from `drawn` with another seed. Kept in `cache` for runs of this length.
    """
    if cache.exists():
        with np.load(cache) as found:
            if int(found["n_steps"]) == run.n_steps:
                return {name: found[name] for name in ("g", "density", "pressure")}
    every = []
    for seed in range(1, N_REPLICAS + 1):
        one = drawn(1000 + seed)
        slow, fast = _alone(potential, one), dynamics.fast_forces(potential, one)
        while len(one.calls) < len(run.calls):
            dynamics.advance(one, slow, fast)
        every.append(seen(one))
        print(f"replica {seed}/{N_REPLICAS}, {every[-1].temperature:.0f} K", flush=True)
    found = {name: np.array([getattr(s, name) for s in every]) for name in ("g", "density", "pressure")}
    np.savez(cache, n_steps=run.n_steps, **found)
    return found


def _alone(potential: Potential, run: dynamics.Run) -> dynamics.Slow:
    """A cheap potential in the place of the expensive one."""
    structure = Structure(
        numbers=run.numbers, positions=run.positions, cell=run.cell, pbc=np.ones(3, bool), masses=run.masses
    )
    bound = potential.bind(structure, 1)

    def answer(positions: np.ndarray) -> Answer:
        found = bound(positions[None], run.cell[None], True)
        stress = found.stresses[0][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        return Answer(float(found.energies[0]), found.forces[0], stress, 0, 0.0, 0.0, 0.0)

    return answer


# ---------------------------------------------------------------- files
def collect(run: dynamics.Run, others: Mapping[str, np.ndarray], folder: Path) -> None:
    """The references, their record, and their entries in the manifest of the folder above.

    Verified from `ENOUGH_STEPS` on, where the drift is below `MOST_DRIFT`.
    """
    s = seen(run)
    temperature, theory = run.protocol.temperature_K, "PBE"
    record = _record(run, s, others)
    verified = run.n_steps >= ENOUGH_STEPS and abs(record["drift_meV_per_atom_per_ps"]) < MOST_DRIFT
    tau = correlation_fs(run)
    length = f"{run.n_steps} steps of {run.protocol.timestep_fs:g} fs"
    note = f"NVT, {length}, 64 atoms, a = {lattice_constant():.4f} A; error: scatter among such runs"
    header = {"level_of_theory": theory, "temperature_K": f"{temperature:g}", "source": SOURCE, "note": note}
    _curve(
        folder / "silicon_pbe_md_rdf.csv", {"abscissa_unit": "A", "value_unit": "1", **header}, "r,g_SiSi",
        s.r, s.g, _error(s.g_series, others["g"]),
    )  # fmt: skip
    window = f"{note}; Hann window of {tau:g} fs"
    _curve(
        folder / "silicon_pbe_md_vdos.csv",
        {"abscissa_unit": "cm^-1", "value_unit": "cm", **header, "note": window}, "wavenumber,density",
        s.wavenumbers, s.density, _error(s.density_series, others["density"]),
    )  # fmt: skip
    scalars = _scalars(s, record, theory, temperature)
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


def _scalars(s: Seen, record: Mapping, theory: str, temperature: float) -> dict[str, dict]:
    """Mean pressure; the part that the motion has in it; the volume that is under none.

    A wave basis of one cutoff leaves a stress at the volume of the least energy, in the run and in the
    lattice at rest alike: the difference is free of it. The lattice gives way to it by its equation of state.
    """
    thermal, error = s.pressure - record["static_pressure_bar"], record["pressure_error_bar"]
    eos, gpa = equation_of_state(), conversion_factor("bar", "GPa")
    volume, lower = (cubic_crystal.volume_under(eos, -gpa * p) for p in (thermal, thermal - error))
    found = {
        "pressure": (round(s.pressure, 1), error, "bar", ""),
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


def _error(series: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Scatter among runs, or that of the blocks where there are enough and it is larger."""
    return np.fmax(others.std(axis=0, ddof=1), blocks.column_errors(series))


def _record(run: dynamics.Run, s: Seen, others: Mapping[str, np.ndarray]) -> dict:
    n_atoms = len(run.sites)
    time_ps = np.arange(len(run.calls)) * run.protocol.every * run.protocol.timestep_fs / 1000
    line = drift(time_ps, 1000 * (run.conserved() - run.conserved()[0]) / n_atoms)
    own = blocks.estimate(s.pressure, s.pressure_series)
    return {
        "steps": run.n_steps,
        "protocol": run.protocol.__dict__,
        "notes": run.notes,
        "temperature_K": round(s.temperature, 1),
        "drift_meV_per_atom_per_ps": round(line.slope, 4),
        "drift_error": None if line.stderr is None else round(line.stderr, 4),
        "conserved_sigma_meV_per_atom": round(line.sigma, 4),
        "correlation_fs": correlation_fs(run),
        "pressure_error_bar": round(max(float(others["pressure"].std(ddof=1)), own.stderr or 0.0), 1),
        "static_pressure_bar": round(static_pressure(), 1),
        "replicas": len(others["g"]),
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
