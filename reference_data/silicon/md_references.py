"""The references that a run of silicon gives: g(r), velocity spectrum, pressure, volume, at 300 K.

Averages are those of the run, freed of chance by runs of mace-si beside it (md_companions.py).
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ase.io import read

from mlipbench.analysis.drift import drift
from mlipbench.core.units import conversion_factor
from mlipbench.data.manifest_file import MANIFEST
from reference_data import cubic_crystal, dynamics, labelling
from reference_data.silicon.md_companions import (
    BAR,
    DEPARTURE,
    LEFT_OUT_PS,
    LONG_PS,
    LONG_STEP_FS,
    SHOWN,
    Average,
    Companions,
    Seen,
    average,
    correlation_fs,
    seen,
)

HERE = Path(__file__).parent
ENOUGH_STEPS = 600
MOST_DRIFT = 1.0  # meV/atom/ps
SOURCE = "computed for mlipbench with Quantum ESPRESSO; silicon_pbe_md.json, method in md_companions.py"


def equation_of_state() -> dict[str, float]:
    """PBE, as properties.py found it."""
    return json.loads((HERE / "properties.json").read_text())["equation_of_state"]


def lattice_constant() -> float:
    """PBE, A; that of the run."""
    return equation_of_state()["lattice_constant"]


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
            others.settled[name],
        )
        for name in SHOWN
    )
    temperature, theory = run.protocol.temperature_K, "PBE"
    record = _record(run, s, others, g, pressure)
    verified = run.n_steps >= ENOUGH_STEPS and abs(record["drift_meV_per_atom_per_ps"]) < MOST_DRIFT
    tau = correlation_fs(run)
    length = f"{run.n_steps} steps of {run.protocol.timestep_fs:g} fs"
    atoms = f"64 atoms, a = {lattice_constant():.4f} A"
    note = f"NVT, {length}, {atoms}; less its twin on mace-si, plus mace-si over {LONG_PS - LEFT_OUT_PS:g} ps"
    header = {"level_of_theory": theory, "temperature_K": f"{temperature:g}", "source": SOURCE, "note": note}
    labelling.write_curve(
        folder / "silicon_pbe_md_rdf.csv",
        {"abscissa_unit": "A", "value_unit": "1", **header},
        "r,g_SiSi,error",
        _rows(s.r, g),
    )
    window = f"{note}; Hann window of {tau:g} fs"
    labelling.write_curve(
        folder / "silicon_pbe_md_vdos.csv",
        {"abscissa_unit": "cm^-1", "value_unit": "cm", **header, "note": window},
        "wavenumber,density,error",
        _rows(s.wavenumbers, density),
    )
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
        "long_run": {
            "length_ps": LONG_PS,
            "left_out_ps": LEFT_OUT_PS,
            "timestep_fs": LONG_STEP_FS,
            "pressure_bar": round(float(others.settled["pressure"].value), 1),
            "pressure_error_bar": round(float(others.settled["pressure"].error), 1),
            "largest_g": round(float(others.settled["g"].value[top]), 3),
            "error_there": round(float(others.settled["g"].error[top]), 3),
        },
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


def _rows(abscissa: np.ndarray, a: Average) -> list[str]:
    return [f"{x:.5g},{y:.6g},{e:.3g}" for x, y, e in zip(abscissa, a.value, a.error, strict=True)]
