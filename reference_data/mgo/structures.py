"""The structures of the MgO set: what is labelled, and in which part of the split each one falls.

Every frame ends a molecular dynamics run of its own (own seed, about a picosecond from its start), so frames
are independent of each other, and a split by frame is a split by trajectory. Ions with charges of +-1.7 e and
Born-Mayer repulsion drive them; labels come from DFT alone.
"""

import math

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin

from mlipbench.core.structure import Structure
from mlipbench.core.units import COULOMB, conversion_factor
from mlipbench.potentials.analytic import BornMayerCoulomb
from reference_data import dynamics, labelling
from reference_data.espresso import Mesh
from reference_data.labelling import Kind

LATTICE_A = 4.19  # near the LDA lattice constant, used to place the cells; not a result
BULK_MODULUS_GPA = 165.0  # of the ions that drive the dynamics; not a result
CHARGE_E = 1.7
MADELUNG = 1.747565  # rock salt, nearest neighbours
CLOSEST_A = 1.5  # of any two ions: below, the cores of the pseudopotentials overlap
TIMESTEP_FS = 2.0
STEPS = (400, 600)  # of each run, drawn between
K_SPACING = 2 * LATTICE_A  # A: n k-points along an axis of length K_SPACING / n, 1 for the 64-atom cell

KINDS = (
    Kind("md_300K", 20, (300, 300), scale=(0.995, 1.01)),
    Kind("md_1000K", 24, (1000, 1000), scale=(0.995, 1.015)),
    Kind("md_2000K", 24, (2000, 2000), scale=(0.995, 1.03)),
    Kind("strained", 36, (300, 1000), strain=0.03),
    Kind("compressed", 16, (300, 1500), scale=(0.93, 0.98)),
    Kind("expanded", 12, (300, 1500), scale=(1.02, 1.05)),
    Kind("schottky", 20, (300, 1500), scale=(0.995, 1.015)),
    Kind("volume", 13, (0, 0)),
    Kind("strained_small", 24, (100, 700), strain=0.06),
    Kind("hot_small", 16, (1000, 2500), strain=0.03, scale=(0.96, 1.04)),
)
SMALL = ("volume", "strained_small", "hot_small")  # 8 atoms; the others 64, without a pair: 62
VOLUME_SCALES = (0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06)


def ions() -> BornMayerCoulomb:
    """Mg2+ and O2-: repulsion of neighbours that gives LATTICE_A and BULK_MODULUS_GPA.

    With C = alpha k_e q^2 a pair has 6 A exp(-r/rho) - C/r; rest at r0 = a/2 and the bulk modulus
    C (r0/rho - 2)/(18 r0^4) fix A and rho (C. Kittel, Introduction to Solid State Physics, chapter 3).
    """
    r0, coulomb = LATTICE_A / 2, MADELUNG * COULOMB * CHARGE_E**2
    modulus = BULK_MODULUS_GPA * conversion_factor("GPa", "eV/A^3")
    rho = r0 / (18 * r0**4 * modulus / coulomb + 2)
    repulsion = coulomb * rho / (6 * r0**2) * math.exp(r0 / rho)
    return BornMayerCoulomb("Born-Mayer MgO", {12: CHARGE_E, 8: -CHARGE_E}, {(12, 8): repulsion}, rho)


class Ions(Calculator):
    """`ions` as an ASE calculator."""

    implemented_properties = ("energy", "forces")

    def __init__(self):
        super().__init__()
        self.bound = None

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        """Energy and forces of the atoms."""
        super().calculate(atoms, properties, system_changes)
        structure = Structure.from_ase(atoms)
        self.bound = self.bound or ions().bind(structure, 1)
        found = self.bound(structure.positions[None], structure.cell[None], False)
        self.results = {"energy": float(found.energies[0]), "forces": found.forces[0]}


def cubic(a: float) -> Atoms:
    """Rock salt, 8 atoms."""
    return bulk("MgO", "rocksalt", a=a, cubic=True)


def split_of() -> dict[str, str]:
    """Frame name -> train, val or test."""
    return labelling.split_of(KINDS)


def k_points(atoms: Atoms) -> Mesh:
    """The same k-point density for every cell. Shifted: half of the error at Gamma (convergence.json)."""
    return Mesh(tuple(max(1, round(K_SPACING / length)) for length in atoms.cell.lengths()), (1, 1, 1))


def structure(name: str) -> Atoms:
    """The frame of a name."""
    return labelling.draw(name, KINDS, f"mgo {name}", _attempt, CLOSEST_A)


def _attempt(kind: Kind, index: int, rng: np.random.Generator) -> Atoms:
    if kind.name == "volume":
        atoms = cubic(LATTICE_A * VOLUME_SCALES[index])
        atoms.info["temperature_K"] = 0.0
        return atoms
    atoms = cubic(LATTICE_A) if kind.name in SMALL else cubic(LATTICE_A) * (2, 2, 2)
    if kind.name == "schottky":
        del atoms[[int(rng.choice(np.flatnonzero(atoms.symbols == element))) for element in ("Mg", "O")]]
    strain = rng.uniform(-kind.strain, kind.strain, size=(3, 3))
    deformation = rng.uniform(*kind.scale) * (np.eye(3) + 0.5 * (strain + strain.T))
    atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    temperature = float(rng.uniform(*kind.temperature_K))
    atoms.calc = Ions()
    dynamics.thermal(atoms, 2 * temperature, rng)
    Langevin(
        atoms, TIMESTEP_FS * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=rng,
        fixcm=False,
    ).run(int(rng.integers(*STEPS)))  # fmt: skip
    return Atoms(
        atoms.symbols, atoms.get_positions(wrap=True), cell=atoms.cell, pbc=True,
        info={"temperature_K": round(temperature, 1)},
    )  # fmt: skip
