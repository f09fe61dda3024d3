"""Equation of state, elastic constants and phonons of diamond silicon with the settings of the frames.

    python -m reference_data.silicon.properties compute   # hours; may be killed, goes on where it was
    python -m reference_data.silicon.properties collect   # silicon_pbe_{properties,phonons}.yaml

The equation of state is fitted to the 13 perfect crystals of the set (config_type `volume`), so `make.py
label` comes first. Elastic constants are slopes of the stress between strains of +-1 %, ions relaxed where
symmetry does not hold them. Phonons: one atom displaced by +-0.03 A in 64 atoms, and in 8 for the convergence
with the cell.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import phonopy
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.eos import EquationOfState
from ase.io import read
from ase.optimize import BFGS
from phonopy.structure.atoms import PhonopyAtoms

from reference_data import labelling
from reference_data.silicon import make, structures

HERE = Path(__file__).parent
STRAIN = 0.01
DISPLACEMENT_A = 0.03
ACCURATE = 1e3  # the SCF cycle is converged so much further than for the frames
RELAXED_eV_A = 0.003
SPECIAL = {"Gamma": (0, 0, 0), "X": (0.5, 0, 0.5), "L": (0.5, 0.5, 0.5)}  # of the primitive cell
FITTED_SCALES = (0.96, 0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03, 1.04)  # of the lattice constant


def compute(work: Path) -> None:
    """Everything that is not there yet."""
    a = equation_of_state(work)["lattice_constant"]
    for sign in (1, -1):
        strained(work, f"xx{sign:+d}", a, np.diag([sign * STRAIN, 0, 0]), relax=False)
        shear = np.zeros((3, 3))
        shear[1, 2] = shear[2, 1] = sign * STRAIN / 2
        strained(work, f"yz{sign:+d}", a, shear, relax=True)
    for repeat in (1, 2):
        phonon = displaced(a, repeat)
        for n, cell in enumerate(phonon.supercells_with_displacements):
            once(work, f"phonon-{repeat}-{n}", as_atoms(cell))


class _Labels(Calculator):
    """pw.x as ASE's optimisers want it."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """All labels."""
        super().calculate(atoms, properties, system_changes)
        frame = Atoms(
            atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True, info={"config_type": "crystal"}
        )
        self.results = make.run_pw(frame, self.folder, accuracy=ACCURATE).calc.results


def once(work: Path, name: str, atoms: Atoms) -> Atoms:
    """Labels of a structure, computed unless they are there."""
    atoms.info["config_type"] = "crystal"
    return labelling.once(
        work / f"{name}.extxyz", lambda: make.run_pw(atoms, work / "scratch", accuracy=ACCURATE)
    )


def strained(work: Path, name: str, a: float, strain: np.ndarray, relax: bool) -> Atoms:
    """The conventional cell under a strain."""
    atoms = bulk("Si", cubic=True, a=a)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    if relax and not (work / f"{name}.extxyz").exists():
        atoms.calc = _Labels(work / "scratch")
        BFGS(atoms, logfile=None).run(fmax=RELAXED_eV_A, steps=30)
        atoms.calc = None
    return once(work, name, atoms)


def displaced(a: float, repeat: int) -> phonopy.Phonopy:
    """phonopy with the displacements of diamond silicon."""
    cubic = bulk("Si", cubic=True, a=a)
    cell = PhonopyAtoms(
        symbols=list(cubic.symbols), cell=cubic.cell.array, scaled_positions=cubic.get_scaled_positions()
    )
    phonon = phonopy.Phonopy(cell, supercell_matrix=np.eye(3, dtype=int) * repeat, primitive_matrix="F")
    phonon.generate_displacements(distance=DISPLACEMENT_A, is_plusminus=True)
    return phonon


def as_atoms(cell: PhonopyAtoms) -> Atoms:
    """ASE's."""
    return Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)


# ---------------------------------------------------------------- results
def equation_of_state(work: Path) -> dict[str, float]:
    """Birch-Murnaghan of the perfect crystals: a (A), E (eV/atom), B (GPa), B', and their fit errors."""
    frames = make.frame_set().committed()
    for path in sorted((work.parent / "labels").glob("volume-*.extxyz")):
        frames.setdefault(path.stem, read(path))
    crystals = [f for name, f in frames.items() if name.startswith("volume-")]
    expected = len(structures.VOLUME_SCALES)
    if len(crystals) < expected:
        raise SystemExit(f"expected {expected} perfect crystals, got {len(crystals)}: label them first")
    volume = np.array([f.get_volume() / len(f) for f in crystals])
    energy = np.array([f.get_potential_energy() / len(f) for f in crystals])
    chosen = np.abs((8 * volume) ** (1 / 3) / structures.LATTICE_A - 1) < max(FITTED_SCALES) - 1 + 1e-6
    fits = [_birch(volume[mask], energy[mask]) for mask in _left_out(chosen)]
    best, others = fits[0], np.array(fits[1:])
    n = len(others)
    spread = np.sqrt((n - 1) / n * ((others - others.mean(axis=0)) ** 2).sum(axis=0))  # jackknife
    names = ("lattice_constant", "energy", "bulk_modulus", "bulk_modulus_derivative")
    return dict(zip(names, best, strict=True)) | {f"{k}_error": e for k, e in zip(names, spread, strict=True)}


def _left_out(chosen: np.ndarray):
    """All points, then all but one."""
    yield chosen
    for n in np.flatnonzero(chosen):
        mask = chosen.copy()
        mask[n] = False
        yield mask


def _birch(volume: np.ndarray, energy: np.ndarray) -> np.ndarray:
    fit = EquationOfState(volume, energy, eos="birchmurnaghan")
    v0, e0, b0 = fit.fit()
    derivative = float(fit.eos_parameters[2])
    return np.array([(8 * v0) ** (1 / 3), e0, b0 / units.GPa, derivative])


def elastic(work: Path) -> dict[str, float]:
    """C11, C12, C44 in GPa."""

    def slope(name: str) -> np.ndarray:
        plus, minus = (read(work / f"{name}{sign}.extxyz").get_stress() for sign in ("+1", "-1"))
        return (plus - minus) / (2 * STRAIN) / units.GPa

    xx, yz = slope("xx"), slope("yz")
    return {"C11": float(xx[0]), "C12": float(xx[1:3].mean()), "C44": float(yz[3])}


def phonons(work: Path, repeat: int) -> phonopy.Phonopy:
    """Force constants."""
    phonon = displaced(equation_of_state(work)["lattice_constant"], repeat)
    cells = phonon.supercells_with_displacements
    phonon.forces = [read(work / f"phonon-{repeat}-{n}.extxyz").get_forces() for n in range(len(cells))]
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    return phonon


def collect(work: Path) -> None:
    """The files that ship."""
    eos, constants = equation_of_state(work), elastic(work)
    large, small = phonons(work, 2), phonons(work, 1)
    large.save(HERE / "silicon_pbe_phonons.yaml", settings={"force_constants": False, "force_sets": True})
    frequencies = {
        name: [round(float(f), 3) for f in large.get_frequencies(q)] for name, q in SPECIAL.items()
    }
    source = (
        "computed for mlipbench with Quantum ESPRESSO; settings in provenance.json, method in properties.py"
    )

    def scalar(value: float, unit: str, error: float | None = None) -> dict:
        entry = {"value": round(value, 4), "unit": unit, "level_of_theory": "PBE", "source": source}
        return entry | ({} if error is None else {"error": float(f"{max(error, 1e-4):.2g}")})

    entries = {
        "lattice_constant": scalar(eos["lattice_constant"], "A", eos["lattice_constant_error"]),
        "volume_per_atom": scalar(eos["lattice_constant"] ** 3 / 8, "A^3/atom"),
        "bulk_modulus": scalar(eos["bulk_modulus"], "GPa", eos["bulk_modulus_error"]),
        "bulk_modulus_derivative": scalar(
            eos["bulk_modulus_derivative"], "1", eos["bulk_modulus_derivative_error"]
        ),
        **{name: scalar(value, "GPa") for name, value in constants.items()},
    }
    file = HERE / "silicon_pbe_properties.yaml"
    kept = json.loads(file.read_text()) if file.exists() else {}  # the vacancy comes from vacancy.py
    file.write_text(json.dumps(kept | entries, indent=1) + "\n")  # JSON is YAML
    record = {
        "equation_of_state": eos,
        "fitted_scales": FITTED_SCALES,
        "elastic_constants_GPa": constants,
        "strain": STRAIN,
        "frequencies_THz": frequencies,
        "frequencies_8_atoms_THz": {
            name: [round(float(f), 3) for f in small.get_frequencies(q)] for name, q in SPECIAL.items()
        },
        "displacement_A": DISPLACEMENT_A,
        "seconds": {p.stem: read(p).info["seconds"] for p in sorted(work.glob("*.extxyz"))},
    }
    (HERE / "properties.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["compute", "collect"])
    parser.add_argument(
        "--work", type=Path, default=Path("build/silicon/properties"), help="scratch, not committed"
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    compute(args.work) if args.stage == "compute" else collect(args.work)


if __name__ == "__main__":
    main()
