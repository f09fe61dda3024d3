"""Measure the drift of the total energy that the compiled engine adds to molecular dynamics.

    python docs/make_drift.py POTENTIAL.mlip STRUCTURE [--ps 50] [--timestep-fs 0.5] [--finer 1e-9]

STRUCTURE is any file that ASE reads; its first frame, 192 atoms of water near equilibrium, say, gets
velocities of the temperature. The slope of the total energy of velocity Verlet, with the error of
`mlipbench.analysis.drift`, contains what the splines add and what the integrator does, and so is an upper
bound of the former. `--finer TOLERANCE` runs the same start again with tables made for that tolerance: what
the two slopes share is the integrator's, their difference the engine's. Writes
docs/records/engine_drift.json.
"""

import argparse
import datetime
import json
import sys
import tempfile
from pathlib import Path

import ase.io
from scipy.special import stdtrit

from mlipbench.analysis.drift import Drift, drift
from mlipbench.core.structure import Structure
from mlipbench.core.trajectory import NVE, MaxwellBoltzmann, TrajectorySpec
from mlipbench.engine.engine import TOLERANCE
from mlipbench.potentials.embedded import embedded
from mlipbench.simulate.driver import simulate
from mlipbench.simulate.requests import merge
from mlipbench.store.provenance import provenance
from mlipbench.store.trajectories import TrajectoryStore

RECORD = Path(__file__).parent / "records/engine_drift.json"
TARGET = 0.01  # meV/atom/ps


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("potential", type=Path)
    parser.add_argument("structure")
    parser.add_argument("--ps", type=float, default=50.0)
    parser.add_argument("--timestep-fs", type=float, default=0.5)
    parser.add_argument("--temperature-K", type=float, default=300.0)
    parser.add_argument("--finer", type=float)
    return parser.parse_args()


def measured(options: argparse.Namespace, structure: Structure, tolerance: float) -> dict[str, float]:
    """The slope in meV/atom/ps of one run, its error and bound."""
    potential = embedded(options.potential, tolerance=tolerance)
    dt = options.timestep_fs
    start = MaxwellBoltzmann(options.temperature_K)
    run = TrajectorySpec(structure, NVE(), dt, round(1e3 * options.ps / dt), start, seed=0)
    key = potential.identity.key
    with tempfile.TemporaryDirectory() as folder:
        store = TrajectoryStore(Path(folder))
        simulate(potential, key, merge([run], [run], key), store, _tell)
        found = store.read(run.key(key), run.n_steps, 0)
    if found.event is not None:
        raise SystemExit(f"the run ended: {found.event}")
    line = drift(found.time_fs / 1e3, 1e3 * found.conserved / len(structure))
    return {
        "tolerance_eV_per_A": tolerance,
        **_of(line),
        "mean_temperature_K": round(float(found.temperature.mean()), 1),
    }


def _tell(done: float, what: str) -> None:
    print(f"{done:6.1%} {what}", end="\r", file=sys.stderr)


def _of(line: Drift) -> dict[str, float]:
    """The two-sided 95 % bound of the slope's size is the larger end of its confidence interval."""
    error = line.stderr if line.stderr is not None else float("inf")
    return {
        "drift_meV_per_atom_ps": line.slope,
        "stderr": error,
        "bound_95": abs(line.slope) + float(stdtrit(max(line.n_eff - 1, 1.0), 0.975)) * error,
        "scatter_meV_per_atom": line.sigma,
    }


def main() -> None:
    """Run, print, record."""
    options = arguments()
    structure = Structure.from_ase(ase.io.read(options.structure, "0"))
    runs = [measured(options, structure, t) for t in (TOLERANCE, options.finer) if t is not None]
    facts = provenance({})
    record = {
        "what": "slope of the total energy of velocity Verlet with the compiled engine, an upper bound of "
        "what its splines add; docs/make_drift.py",
        "date": datetime.date.today().isoformat(),
        "machine": f"{facts['processor']}, {facts['cores']} cores",
        "potential": options.potential.stem,
        "atoms": len(structure),
        "ps": options.ps,
        "timestep_fs": options.timestep_fs,
        "target_meV_per_atom_ps": TARGET,
        "runs": runs,
    }
    if len(runs) == 2:
        record["difference_meV_per_atom_ps"] = (
            runs[0]["drift_meV_per_atom_ps"] - runs[1]["drift_meV_per_atom_ps"]
        )
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
