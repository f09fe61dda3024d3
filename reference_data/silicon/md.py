"""Molecular dynamics of silicon on the energy surface of the set: 64 atoms at 300 K and the PBE volume.

    python -m reference_data.silicon.md run --steps 600   # hours; may be killed, goes on where it was
    python -m reference_data.silicon.md collect           # the file of the run and the references made of it

mace-si moves the atoms between two PBE forces (dynamics.py: the surface that is sampled is that of PBE) and
draws the start at the same temperature. The committed silicon_pbe_md.npz holds all that is needed to go on:
on another machine `run` starts from it.

The thermostat gives each mode a new energy within 500 fs and blurs the spectrum by 11 cm^-1, less than a
window of a picosecond does. At constant energy the modes of a harmonic crystal keep theirs: drawn once, they
leave the heights of the first peaks of g(r) uncertain by 2.5 to 4.4 %, however long the run is. What chance
leaves after 1.8 ps, md_companions.py takes out with a twin.
"""

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import units
from ase.build import bulk
from ase.md.langevin import Langevin

from mlipbench.core.potential import Potential
from mlipbench.potentials.calculator import EmbeddedCalculator
from mlipbench.potentials.embedded import silicon
from reference_data import dynamics, espresso
from reference_data.silicon import make, md_companions, md_references

HERE = Path(__file__).parent
COMMITTED = HERE / "silicon_pbe_md.npz"
PROTOCOL = dynamics.Protocol(timestep_fs=3.0, every=6, temperature_K=300.0, relaxation_fs=500.0, seed=1)
"""18 fs between two PBE forces: a quarter of the fastest period. With forces of Stillinger-Weber silicon that
are 4 % off between them, 18 ps drift by 0.001(5) meV/atom/ps as with 12 fs; 24 fs by 0.6, 30 fs resonate
(tests/unit/test_reference_dynamics.py has the shortest and the longest)."""
PREPARATION_FS = 3000.0  # of mace-si, relaxation 100 fs
EMPTY_BANDS = 4  # the gap is wide on this mesh: the smearing touches none (column `smearing` proves it)
MIXING = {"mixing_beta": 0.7, "mixing_mode": "TF"}  # 8 iterations; 0.2 meV/A r.m.s. left (one k-point)


def drawn(seed: int) -> dynamics.Run:
    """A start of mace-si at the temperature and the PBE lattice constant; kicks to come are the seed's."""
    protocol = replace(PROTOCOL, seed=seed)
    crystal = bulk("Si", cubic=True, a=md_references.lattice_constant()) * (2, 2, 2)
    atoms, rng = crystal.copy(), np.random.default_rng(seed)
    atoms.calc = EmbeddedCalculator(silicon())
    dynamics.thermal(atoms, 2 * protocol.temperature_K, rng)
    Langevin(
        atoms, protocol.timestep_fs * units.fs, temperature_K=protocol.temperature_K,
        friction=0.01 / units.fs, rng=rng, fixcm=False,
    ).run(round(PREPARATION_FS / protocol.timestep_fs))  # fmt: skip
    return dynamics.start(atoms, crystal.positions, protocol)


def run(state: Path, n_steps: int, slow: dynamics.Slow, potential: Potential) -> None:
    """Go on until there are so many steps; the file is written after every PBE force."""
    now = dynamics.longest([state, COMMITTED], PROTOCOL) or drawn(PROTOCOL.seed)
    now.notes |= {"settings": make.SETTINGS, "preparation_fs": PREPARATION_FS}
    between = now.notes.setdefault("between", [])  # which potential moved from which step on
    if not between or between[-1][1] != potential.identity.key:
        between.append([now.n_steps, potential.identity.key])
    fast = dynamics.fast_forces(potential, now)
    while now.forces is None or now.n_steps < n_steps:
        dynamics.advance(now, slow, fast)
        dynamics.save(state, now)
        energy = 1e3 * (now.conserved() - now.conserved()[0])[-1] / len(now.sites)
        print(
            f"{now.n_steps} steps, {now.temperatures()[-1]:.0f} K, conserved {energy:+.3f} meV/atom, "
            f"{now.column('iterations')[-1]:.0f} iterations, {now.column('seconds')[-1]:.0f} s", flush=True,
        )  # fmt: skip


def pbe(folder: Path, pools: int) -> dynamics.Slow:
    """pw.x for the 64 atoms."""
    atoms = bulk("Si", cubic=True, a=md_references.lattice_constant()) * (2, 2, 2)
    atoms.info["config_type"] = "md"
    job = replace(make.pw_job(atoms, 2 * len(atoms) + EMPTY_BANDS), mixing=MIXING)

    def answer(positions: np.ndarray) -> espresso.Answer:
        atoms.positions[:] = positions
        return espresso.answer(atoms, folder, job, pools)

    return answer


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["run", "collect"])
    parser.add_argument("--steps", type=int, default=600, help="run: until there are so many, of 3 fs each")
    parser.add_argument("--pools", type=int, default=1, help="run: processes for the four k-points")
    parser.add_argument("--work", type=Path, default=Path("build/silicon/md"), help="scratch, not committed")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    state = args.work / "state.npz"
    if args.stage == "run":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # pw.x goes too
        run(state, args.steps, pbe(args.work, args.pools), silicon())
    else:
        now = dynamics.longest([state, COMMITTED], PROTOCOL)
        if now is None:
            raise SystemExit(f"no run: expected {state} or {COMMITTED}; `run` makes it")
        dynamics.save(COMMITTED, now)
        others = md_companions.companions(now, args.work / "companions", drawn, silicon())
        md_references.collect(now, others, HERE)


if __name__ == "__main__":
    main()
