"""The structures of the silicon set: what is labelled, and in which part of the split each one falls.

Every frame ends a molecular dynamics run of its own (own seed, 1 to 5 ps from its start), so frames are
independent of each other, and a split by frame is a split by trajectory. Stillinger-Weber silicon drives
them, because it melts where silicon does; labels come from DFT alone.
Frames with two atoms closer than 1.9 A are left out: there the pseudopotential cores overlap.
"""

import numpy as np
from ase import Atoms, units
from ase.build import bulk, diamond100, diamond111, surface
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary

from mlipbench.core.structure import Structure
from mlipbench.potentials.analytic import stillinger_weber_silicon
from reference_data import labelling
from reference_data.espresso import Mesh
from reference_data.labelling import Kind

LATTICE_A = 5.469  # PBE lattice constant of silicon, used to place the cells; not a result
CLOSEST_A = 1.9  # twice the core radius of the pseudopotential
K_SPACING = 2 * 2 * LATTICE_A  # A: n k-points along an axis of length K_SPACING / n, 2 for the 64-atom cell


KINDS = (
    Kind("md_300K", 6, (300, 300), scale=(0.995, 1.005)),
    Kind("md_600K", 6, (600, 600), scale=(0.995, 1.01)),
    Kind("md_1200K", 6, (1200, 1200), scale=(0.995, 1.015)),
    Kind("md_1500K", 6, (1500, 1500), scale=(0.995, 1.02)),
    Kind("liquid", 4, (1700, 3000), scale=(0.95, 1.0)),
    Kind("liquid_small", 16, (1700, 4000), scale=(0.93, 1.02)),
    Kind("hot", 24, (900, 2200), strain=0.03, scale=(0.97, 1.03)),
    Kind("volume", 13, (0, 0)),
    Kind("strained", 80, (100, 700), strain=0.06),
    Kind("compressed", 30, (300, 1500), scale=(0.88, 0.97)),
    Kind("expanded", 20, (300, 1500), scale=(1.03, 1.12)),
    Kind("vacancy", 10, (300, 1300), scale=(0.99, 1.01)),
    Kind("surface", 24, (300, 1200), scale=(0.99, 1.01)),
    Kind("phases", 56, (100, 600), strain=0.03, scale=(0.95, 1.06)),
)
VOLUME_SCALES = (0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06)


class StillingerWeber(Calculator):
    """Stillinger-Weber silicon of mlipbench as an ASE calculator."""

    implemented_properties = ("energy", "forces")

    def __init__(self):
        super().__init__()
        self.potential = stillinger_weber_silicon()

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        """Energy and forces of the atoms."""
        super().calculate(atoms, properties, system_changes)
        answer = self.potential.evaluate([Structure.from_ase(atoms)], ("energy", "forces"))[0]
        self.results = {"energy": answer.energy, "forces": answer.forces}


def split_of() -> dict[str, str]:
    """Frame name -> train, val or test."""
    return labelling.split_of(KINDS)


def k_points(atoms: Atoms) -> Mesh:
    """The same k-point density for every cell; one point along a vacuum."""
    mesh = [max(1, round(K_SPACING / length)) for length in atoms.cell.lengths()]
    if atoms.info["config_type"] == "surface":
        mesh[2] = 1
    return Mesh(tuple(mesh), tuple(int(n > 1) for n in mesh))


def structure(name: str) -> Atoms:
    """The frame of a name."""
    return labelling.draw(name, KINDS, f"{name}, 2", _attempt, CLOSEST_A)


def _attempt(kind: Kind, index: int, rng: np.random.Generator) -> Atoms:
    if kind.name == "volume":
        atoms = bulk("Si", cubic=True, a=LATTICE_A * VOLUME_SCALES[index])
        atoms.info["temperature_K"] = 0.0
        return atoms
    atoms = _cell(kind, index, rng)
    strain = rng.uniform(-kind.strain, kind.strain, size=(3, 3))
    deformation = rng.uniform(*kind.scale) * (np.eye(3) + 0.5 * (strain + strain.T))
    if kind.name == "surface":
        deformation[2] = deformation[:, 2] = (0, 0, 1)  # the vacuum stays
    atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    temperature = float(rng.uniform(*kind.temperature_K))
    if kind.name == "phases":  # no potential is asked to hold them: displaced at random
        atoms.positions += rng.normal(0, rng.uniform(0.01, 0.12), atoms.positions.shape)
        atoms.info["temperature_K"] = 0.0
        return atoms
    _dynamics(atoms, temperature, kind.name.startswith("liquid"), rng)
    return Atoms(
        atoms.symbols, atoms.get_positions(wrap=True), cell=atoms.cell, pbc=True,
        info={"temperature_K": round(temperature, 1)},
    )  # fmt: skip


def _dynamics(atoms: Atoms, temperature_K: float, liquid: bool, rng: np.random.Generator) -> None:
    """Langevin dynamics in place; liquids are melted at 4000 K first."""
    atoms.calc = StillingerWeber()
    MaxwellBoltzmannDistribution(atoms, temperature_K=2 * temperature_K, rng=rng)
    Stationary(atoms)
    stages = (
        [(4000.0, 1000), (temperature_K, 1500)] if liquid else [(temperature_K, int(rng.integers(500, 800)))]
    )
    for target, steps in stages:
        Langevin(
            atoms, 2.0 * units.fs, temperature_K=target, friction=0.01 / units.fs, rng=rng, fixcm=False
        ).run(steps)


def _cell(kind: Kind, index: int, rng: np.random.Generator) -> Atoms:
    """The cell before strain and dynamics."""
    cubic = bulk("Si", cubic=True, a=LATTICE_A)
    if kind.name in ("strained", "compressed", "expanded"):
        return cubic
    if kind.name in ("hot", "liquid_small"):
        return cubic * (2, 1, 1)
    if kind.name == "vacancy":
        atoms = cubic * ((2, 2, 2) if index % 5 == 0 else (2, 2, 1))
        del atoms[int(rng.integers(len(atoms)))]
        return atoms
    if kind.name == "surface":
        return _slab(index)
    if kind.name == "phases":
        return _phase(index)
    return cubic * (2, 2, 2)


def _slab(index: int) -> Atoms:
    """Slabs of 16 atoms with 9 A of vacuum: (100), (111), (110) in turn."""
    if index % 3 == 0:
        atoms = diamond100("Si", (2, 1, 8), a=LATTICE_A, vacuum=4.5)
    elif index % 3 == 1:
        atoms = diamond111("Si", (2, 1, 8), a=LATTICE_A, vacuum=4.5)
    else:
        atoms = surface(bulk("Si", cubic=True, a=LATTICE_A), (1, 1, 0), 2, vacuum=4.5)
    atoms.pbc = True
    return atoms


def _phase(index: int) -> Atoms:
    """Other crystals near their own density, lattice constants in A; four to eight atoms each."""
    which = index % 8
    if which == 0:
        return bulk("Si", "bcc", a=3.09, cubic=True) * (2, 1, 1)
    if which == 1:
        return bulk("Si", "fcc", a=3.87, cubic=True)
    if which == 2:
        return bulk("Si", "sc", a=2.53) * (2, 2, 1)
    if which == 3:
        return bulk("Si", "hcp", a=2.74, c=4.45) * (2, 1, 1)
    if which == 4:  # beta tin
        a, c = 4.81, 2.65
        cell = Atoms("Si4", scaled_positions=[(0, 0, 0), (0.5, 0, 0.25), (0.5, 0.5, 0.5), (0, 0.5, 0.75)],
                     cell=(a, a, c), pbc=True)  # fmt: skip
        return cell * (1, 1, 2)
    if which == 5:  # simple hexagonal
        return Atoms("Si", cell=bulk("Si", "hcp", a=2.64, c=2.48).cell, pbc=True) * (2, 2, 1)
    if which == 6:  # lonsdaleite
        a, c, u = 3.86, 6.37, 0.0626
        scaled = [(1 / 3, 2 / 3, u), (2 / 3, 1 / 3, 0.5 + u), (1 / 3, 2 / 3, 0.5 - u), (2 / 3, 1 / 3, 1 - u)]
        return Atoms("Si4", scaled_positions=scaled, cell=bulk("Si", "hcp", a=a, c=c).cell, pbc=True)
    return bulk("Si", "diamond", a=LATTICE_A) * (2, 1, 1)
