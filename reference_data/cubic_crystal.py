"""Equation of state, elastic constants and phonons of a cubic crystal, as the sets of frames are labelled.

The equation of state is fitted to perfect crystals that are frames of the set. Elastic constants are slopes
of the stress between strains of +-1 %, ions relaxed where symmetry does not hold them. Phonons: atoms
displaced by +-0.03 A, one at a time, in the cubic cell repeated twice, and in one cell for the convergence.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import phonopy
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.eos import EquationOfState
from ase.io import read
from ase.optimize import BFGS
from phonopy.structure.atoms import PhonopyAtoms
from scipy.optimize import brentq

from mlipbench.data.manifest_file import MANIFEST
from reference_data import labelling

STRAIN = 0.01
DISPLACEMENT_A = 0.03
RELAXED_eV_A = 0.003
SPECIAL = {"Gamma": (0, 0, 0), "X": (0.5, 0, 0.5), "L": (0.5, 0.5, 0.5)}  # of the primitive cell
FARTHEST = 0.04  # of the lattice constant, of the crystals that are fitted
EOS = ("lattice_constant", "energy", "bulk_modulus", "bulk_modulus_derivative")  # A, eV/atom, GPa, 1


@dataclass(frozen=True)
class Crystal:
    """A cubic crystal of 8 atoms, fcc lattice, and how it is labelled."""

    cell: Callable[[float], Atoms]  # of a lattice constant in A, as it is built
    label: Callable[[Atoms, Path], Atoms]  # energy, forces, stress; in a scratch folder
    work: Path

    def once(self, name: str, atoms: Atoms) -> Atoms:
        """Labels of a structure, computed unless they are there."""
        atoms.info["config_type"] = "crystal"
        return labelling.once(self.work / f"{name}.extxyz", lambda: self.label(atoms, self.work / "scratch"))

    def compute(self, a: float) -> None:
        """Strains and displacements, what is not there yet."""
        for sign in (1, -1):
            self._strained(f"xx{sign:+d}", a, np.diag([sign * STRAIN, 0, 0]), relax=False)
            shear = np.zeros((3, 3))
            shear[1, 2] = shear[2, 1] = sign * STRAIN / 2
            self._strained(f"yz{sign:+d}", a, shear, relax=True)
        for repeat in (1, 2):
            for n, cell in enumerate(self.displaced(a, repeat).supercells_with_displacements):
                self.once(f"phonon-{repeat}-{n}", _as_atoms(cell))

    def _strained(self, name: str, a: float, strain: np.ndarray, relax: bool) -> None:
        atoms = self.cell(a)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        if relax and not (self.work / f"{name}.extxyz").exists():
            atoms.calc = _Labels(self)
            BFGS(atoms, logfile=None).run(fmax=RELAXED_eV_A, steps=30)
            atoms.calc = None
        self.once(name, atoms)

    def displaced(self, a: float, repeat: int) -> phonopy.Phonopy:
        """phonopy with its displacements."""
        cubic = self.cell(a)
        cell = PhonopyAtoms(
            symbols=list(cubic.symbols), cell=cubic.cell.array, scaled_positions=cubic.get_scaled_positions()
        )
        phonon = phonopy.Phonopy(cell, supercell_matrix=np.eye(3, dtype=int) * repeat, primitive_matrix="F")
        phonon.generate_displacements(distance=DISPLACEMENT_A, is_plusminus=True)
        return phonon

    def elastic(self) -> dict[str, float]:
        """C11, C12, C44 in GPa."""

        def slope(name: str) -> np.ndarray:
            plus, minus = (read(self.work / f"{name}{sign}.extxyz").get_stress() for sign in ("+1", "-1"))
            return (plus - minus) / (2 * STRAIN) / units.GPa

        xx, yz = slope("xx"), slope("yz")
        return {"C11": float(xx[0]), "C12": float(xx[1:3].mean()), "C44": float(yz[3])}

    def phonons(self, a: float, repeat: int) -> phonopy.Phonopy:
        """Force constants."""
        phonon = self.displaced(a, repeat)
        cells = phonon.supercells_with_displacements
        phonon.forces = [
            read(self.work / f"phonon-{repeat}-{n}.extxyz").get_forces() for n in range(len(cells))
        ]
        phonon.produce_force_constants()
        phonon.symmetrize_force_constants()
        return phonon

    def seconds(self) -> dict[str, float]:
        """That each label took."""
        return {p.stem: read(p).info["seconds"] for p in sorted(self.work.glob("*.extxyz"))}


class _Labels(Calculator):
    """pw.x as ASE's optimisers want it."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, crystal: Crystal):
        super().__init__()
        self.crystal = crystal

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """All labels."""
        super().calculate(atoms, properties, system_changes)
        frame = Atoms(
            atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True, info={"config_type": "crystal"}
        )
        self.results = self.crystal.label(frame, self.crystal.work / "scratch").calc.results


def _as_atoms(cell: PhonopyAtoms) -> Atoms:
    return Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)


def perfect(frame_set: labelling.FrameSet, work: Path, expected: int) -> list[Atoms]:
    """The perfect crystals among the committed frames and the labels in `work`. SystemExit: not all yet."""
    frames = frame_set.committed()
    for path in sorted((work / "labels").glob("volume-*.extxyz")):
        frames.setdefault(path.stem, read(path))
    crystals = [frame for name, frame in frames.items() if name.startswith("volume-")]
    if len(crystals) < expected:
        raise SystemExit(f"expected {expected} perfect crystals, got {len(crystals)}: label them first")
    return crystals


def energies(crystals: Sequence[Atoms], lattice_A: float) -> tuple[np.ndarray, np.ndarray]:
    """Volumes, rising (A^3/atom), and energies (eV/atom) within `FARTHEST` of a lattice constant."""
    volume = np.array([f.get_volume() / len(f) for f in crystals])
    energy = np.array([f.get_potential_energy() / len(f) for f in crystals])
    order = np.argsort(volume)
    chosen = order[np.abs((8 * volume[order]) ** (1 / 3) / lattice_A - 1) < FARTHEST + 1e-6]
    return volume[chosen], energy[chosen]


def equation_of_state(crystals: Sequence[Atoms], lattice_A: float) -> dict[str, float]:
    """Birch-Murnaghan through `energies`: EOS, jackknife errors."""
    volume, energy = energies(crystals, lattice_A)
    best, n = _birch(volume, energy), len(volume)
    others = np.array([_birch(np.delete(volume, k), np.delete(energy, k)) for k in range(n)])
    spread = np.sqrt((n - 1) / n * ((others - others.mean(axis=0)) ** 2).sum(axis=0))
    return dict(zip(EOS, best, strict=True)) | {f"{k}_error": e for k, e in zip(EOS, spread, strict=True)}


def collect_equation_of_state(
    crystals: Sequence[Atoms], lattice_A: float, target: Path, theory: str, source: str, verified: bool
) -> dict[str, float]:
    """`equation_of_state`, after the files and entries of the manifest that it gives have been written.

    For a target reference_data/SET/NAME: NAME_eos.csv, and its numbers in NAME_properties.yaml.
    """
    fit = equation_of_state(crystals, lattice_A)
    volume, energy = energies(crystals, lattice_A)
    name = f"{target.name}_eos"
    header = {"abscissa_unit": "A^3/atom", "value_unit": "eV/atom", "level_of_theory": theory}
    rows = (f"{v:.6f},{e:.7f}" for v, e in zip(volume, energy, strict=True))
    labelling.write_curve(
        target.with_name(f"{name}.csv"), {**header, "source": source}, "volume,energy", rows
    )
    write_scalars(target.with_name(f"{target.name}_properties.yaml"), _fitted(fit, theory, source))
    folder, formula = target.parent, crystals[0].get_chemical_formula(empirical=True)
    labelling.enter(
        folder.parent / MANIFEST,
        {
            name: {
                "title": f"{formula}, energy against volume of the perfect crystal", "kind": "curve",
                "file": f"{folder.name}/{name}.csv", "units": {"volume": "A^3/atom", "energy": "eV/atom"},
                "level_of_theory": theory, "source": source, "script": f"{folder.name}/properties.py",
                "verified": verified,
            }
        },
    )  # fmt: skip
    return fit


def _birch(volume: np.ndarray, energy: np.ndarray) -> np.ndarray:
    fit = EquationOfState(volume, energy, eos="birchmurnaghan")
    v0, e0, b0 = fit.fit()
    derivative = float(fit.eos_parameters[2])
    return np.array([(8 * v0) ** (1 / 3), e0, b0 / units.GPa, derivative])


def volume_under(eos: Mapping[str, float], pressure_GPa: float) -> float:
    """A^3/atom of the Birch-Murnaghan crystal under a pressure (not beyond its bulk modulus)."""
    v0 = eos["lattice_constant"] ** 3 / 8
    b0, slope = eos["bulk_modulus"], eos["bulk_modulus_derivative"]

    def excess(x: float) -> float:
        """GPa above the pressure asked for, at x = (V0/V)^(1/3)."""
        return 1.5 * b0 * (x**7 - x**5) * (1 + 0.75 * (slope - 4) * (x**2 - 1)) - pressure_GPa

    return v0 / brentq(excess, 0.9, 1.4) ** 3


def frequencies(phonon: phonopy.Phonopy) -> dict[str, list[float]]:
    """THz, at SPECIAL points."""
    return {name: [round(float(f), 3) for f in phonon.get_frequencies(q)] for name, q in SPECIAL.items()}


def scalar(value: float, unit: str, theory: str, source: str, error: float | None = None) -> dict:
    """One number as a file of scalars holds it."""
    entry = {"value": round(value, 4), "unit": unit, "level_of_theory": theory, "source": source}
    return entry | ({} if error is None else {"error": float(f"{max(error, 1e-4):.2g}")})


def _fitted(eos: Mapping[str, float], theory: str, source: str) -> dict[str, dict]:
    """An equation of state as a file of scalars holds it."""
    unit = {"lattice_constant": "A", "bulk_modulus": "GPa", "bulk_modulus_derivative": "1"}
    entries = {name: scalar(eos[name], unit[name], theory, source, eos[f"{name}_error"]) for name in unit}
    a, error = eos["lattice_constant"], eos["lattice_constant_error"]
    return entries | {"volume_per_atom": scalar(a**3 / 8, "A^3/atom", theory, source, 3 * a**2 / 8 * error)}


def moduli(constants: Mapping[str, float], theory: str, source: str) -> dict[str, dict]:
    """Elastic constants as a file of scalars holds them."""
    return {name: scalar(value, "GPa", theory, source) for name, value in constants.items()}


def write_scalars(file: Path, entries: Mapping[str, dict]) -> None:
    """Into a file of scalars, which keeps what is not among `entries`. JSON is YAML."""
    kept = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(kept | dict(entries), indent=1) + "\n")
