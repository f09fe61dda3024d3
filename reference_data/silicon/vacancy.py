"""Formation energy of a vacancy in diamond silicon with the settings of the frames.

    python -m reference_data.silicon.vacancy compute   # an hour; may be killed, goes on where it was
    python -m reference_data.silicon.vacancy collect   # into silicon_pbe_properties.yaml; vacancy.json

    E_f = E(63 atoms, relaxed) - 63/64 E(64 atoms),   both in the cell of the perfect crystal

mace-si relaxes the cell first, from a start without symmetry, so that the neighbours may pair; PBE goes on
from there with mace-si's Hessian, which is near enough to its own that few steps are needed. Every step is
a file; a second call reads them and takes the same path up to where the first one was killed.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.io import read
from ase.optimize import BFGS

from mlipbench.data.manifest_file import MANIFEST, read_document, write_document
from mlipbench.data.references import update_manifest
from mlipbench.potentials.calculator import EmbeddedCalculator
from mlipbench.potentials.embedded import silicon
from reference_data import cubic_crystal
from reference_data.labelling import once
from reference_data.silicon import make
from reference_data.silicon.md_references import lattice_constant

HERE = Path(__file__).parent
NAME = "vacancy_formation_energy"
ACCURATE = 100.0  # the SCF cycle is converged so much further than for the frames
RELAXED_eV_A = 0.01
MOST_STEPS = 40
RATTLE_A = 0.03  # no symmetry is left at the start
PAIRING_A = 0.4  # by which the neighbours of the vacancy are moved together, two and two
RIGID = 10.0  # eV/A^2, put on translations of the whole cell, which no force holds


def start(calculator: Calculator) -> Atoms:
    """63 atoms, relaxed by a cheap calculator."""
    atoms = bulk("Si", cubic=True, a=lattice_constant()) * (2, 2, 2)
    hole = atoms.positions[0].copy()
    del atoms[0]
    toward = -atoms.cell.scaled_positions(atoms.positions - hole)
    toward = (toward - np.round(toward)) @ atoms.cell.array  # to the hole, by the nearest image
    near = np.argsort(np.linalg.norm(toward, axis=1))[:4]
    for one, other in (near[:2], near[2:]):
        along = toward[one] - toward[other]  # from one to the other
        along *= PAIRING_A / np.linalg.norm(along)
        atoms.positions[one] += along
        atoms.positions[other] -= along
    atoms.rattle(RATTLE_A, seed=1)
    atoms.calc = calculator
    BFGS(atoms, logfile=None).run(fmax=RELAXED_eV_A / 10, steps=500)
    return atoms


def hessian(atoms: Atoms, step_A: float = 0.01) -> np.ndarray:
    """Central differences of the forces of the atoms' calculator, (3 n, 3 n) eV/A^2, symmetric."""
    x = atoms.positions.copy()
    rows = []
    for n in range(x.size):
        moved = []
        for sign in (1, -1):
            atoms.positions = x
            atoms.positions.flat[n] += sign * step_A
            moved.append(atoms.get_forces().ravel())
        rows.append(-(moved[0] - moved[1]) / (2 * step_A))
    atoms.positions = x
    found = np.array(rows)
    rigid = np.tile(np.eye(3), len(x)) / np.sqrt(len(x))  # (3, 3 n)
    return 0.5 * (found + found.T) + RIGID * rigid.T @ rigid


class Steps(Calculator):
    """pw.x, each answer a file: `vacancy-00.extxyz` and so on; those that are there are read."""

    implemented_properties = ("energy", "forces")

    def __init__(self, work: Path):
        super().__init__()
        self.work = work
        self.n = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """The next answer. Raises RuntimeError where the file is of another path."""
        super().calculate(atoms, properties, system_changes)
        target = self.work / f"vacancy-{self.n:02d}.extxyz"
        frame = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
        frame.info["config_type"] = "vacancy"
        answer = once(target, lambda: make.run_pw(frame, self.work / "scratch", accuracy=ACCURATE))
        if np.abs(answer.positions - atoms.positions).max() > 1e-6:
            raise RuntimeError(f"{target}: expected the next step of this relaxation; move the old ones away")
        self.n += 1
        self.results = {"energy": answer.get_potential_energy(), "forces": answer.get_forces()}


def compute(work: Path, cheap: Calculator) -> None:
    """The perfect crystal and the relaxation, as far as they are not there yet."""
    crystal = bulk("Si", cubic=True, a=lattice_constant())  # 8 atoms: its k-points are those of 64
    crystal.info["config_type"] = "crystal"
    once(work / "perfect.extxyz", lambda: make.run_pw(crystal, work / "scratch", accuracy=ACCURATE))
    begin = work / "start.npz"
    if not begin.exists():
        atoms = start(cheap)
        np.savez(work / "start.tmp.npz", positions=atoms.positions, hessian=hessian(atoms))
        (work / "start.tmp.npz").replace(begin)
    atoms = bulk("Si", cubic=True, a=lattice_constant()) * (2, 2, 2)
    del atoms[0]
    with np.load(begin) as kept:
        atoms.positions = kept["positions"]
        curvature = kept["hessian"]
    atoms.calc = Steps(work)
    optimiser = BFGS(atoms, logfile=str(work / "relaxation.log"))
    optimiser.H0 = curvature
    optimiser.run(fmax=RELAXED_eV_A, steps=MOST_STEPS)


def collect(work: Path, folder: Path = HERE) -> None:
    """The number, into the file of the properties and the manifest; its record and the relaxed cell."""
    steps = [read(path) for path in sorted(work.glob("vacancy-*.extxyz"))]
    left = float(np.linalg.norm(steps[-1].get_forces(), axis=1).max()) if steps else np.inf
    if left > RELAXED_eV_A:
        raise SystemExit(f"{work}: expected forces below {RELAXED_eV_A} eV/A, got {left:.3f}: compute first")
    perfect = read(work / "perfect.extxyz")
    per_atom = perfect.get_potential_energy() / len(perfect)
    energies = [s.get_potential_energy() - len(s) * per_atom for s in steps]
    source = (
        f"computed for mlipbench with Quantum ESPRESSO, 63 atoms relaxed at a = {lattice_constant():.4f} A, "
        "2 x 2 x 2 k-points; vacancy.json, method in vacancy.py"
    )
    entry = cubic_crystal.scalar(energies[-1], "eV", "PBE", source)
    cubic_crystal.write_scalars(folder / "silicon_pbe_properties.yaml", {NAME: entry})
    record = {
        "settings": make.SETTINGS,
        "accuracy": ACCURATE,
        "energy_per_atom_eV": per_atom,
        "formation_energies_eV": [round(e, 5) for e in energies],  # along the relaxation
        "largest_forces_eV_per_A": [
            round(float(np.linalg.norm(s.get_forces(), axis=1).max()), 4) for s in steps
        ],
        "seconds": [s.info["seconds"] for s in steps],
        "positions_A": np.round(steps[-1].positions, 5).tolist(),
    }
    (folder / "vacancy.json").write_text(json.dumps(record) + "\n")
    manifest = folder.parent / MANIFEST
    document = read_document(manifest)
    document["references"]["silicon_pbe_properties"]["units"][NAME] = "eV"
    write_document(manifest, document)
    update_manifest(manifest)
    print(f"{NAME}: {energies[-1]:.4f} eV after {len(steps)} steps (start: {energies[0]:.4f} eV)")


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["compute", "collect"])
    parser.add_argument(
        "--work", type=Path, default=Path("build/silicon/vacancy"), help="scratch, not committed"
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.stage == "compute":
        compute(args.work, EmbeddedCalculator(silicon()))
    else:
        collect(args.work)


if __name__ == "__main__":
    main()
