"""Compute the argon reference set: Lennard-Jones argon, labelled by ASE's own implementation.

    python make.py        # argon_lj.extxyz and provenance.json, beside this script

48 frames of 32 atoms of fcc argon: independent Gaussian displacements of four sizes, and random
strains of up to 4 %. No trajectory: the frames are independent of each other.

The set exists so that an honest potential can pass: epsilon/k = 120 K, sigma = 3.4 A (Rahman, Phys.
Rev. 136, A405 (1964)) and the range of the switch are those of the potential `lj-ar`, the code is
another. ASE switches off with a cubic in r^2 between `ro` and `rc`, `lj-ar` with a quintic in r: below
7 A the two are the same function, beyond it they differ, and that is the error a comparison finds.
Units: eV, eV/A, eV/A^3; stress in ASE's order and sign.
"""

import json
from pathlib import Path

import ase
import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

HERE = Path(__file__).parent
SEED = 20261121
LATTICE_A = 5.26  # fcc argon at low temperature, C. Kittel, Introduction to Solid State Physics
DISPLACEMENTS_A = (0.05, 0.10, 0.20, 0.30)  # standard deviation of each coordinate
SETTINGS = {"epsilon": 120.0 * units.kB, "sigma": 3.4, "ro": 7.0, "rc": 8.5, "smooth": True}


def make_frames():
    """Displaced crystals, half of them strained."""
    rng = np.random.default_rng(SEED)
    frames = []
    for sigma in DISPLACEMENTS_A:
        for number in range(12):
            strain = rng.uniform(-0.04, 0.04, size=(3, 3)) * (number % 2)
            atoms = bulk("Ar", "fcc", a=LATTICE_A, cubic=True) * (2, 2, 2)
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
            atoms.positions += rng.normal(0.0, sigma, size=atoms.positions.shape)
            atoms.info["config_type"] = f"{'strained' if number % 2 else 'displaced'}_{sigma:.2f}A"
            frames.append(atoms)
    return frames


def label(atoms):
    """The frame with energy, forces and stress."""
    atoms.calc = LennardJones(**SETTINGS)
    results = {name: atoms.calc.get_property(name, atoms) for name in ("energy", "forces", "stress")}
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def main():
    """Write the set and its provenance."""
    frames = [label(atoms) for atoms in make_frames()]
    write(HERE / "argon_lj.extxyz", frames, format="extxyz")
    provenance = {
        "code": f"ase {ase.__version__}, ase.calculators.lj.LennardJones",
        "settings": SETTINGS,
        "seed": SEED,
        "lattice_A": LATTICE_A,
        "frames": len(frames),
        "script": "reference_data/argon/make.py",
    }
    (HERE / "provenance.json").write_text(json.dumps(provenance, indent=1) + "\n")


if __name__ == "__main__":
    main()
