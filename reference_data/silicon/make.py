"""Compute the silicon reference set with Quantum ESPRESSO (PBE).

    python -m reference_data.silicon.make structures        # what is labelled: structures.py; minutes
    python -m reference_data.silicon.make convergence       # cutoff and k-point table, convergence.json
    python -m reference_data.silicon.make label --part 0/2  # frame after frame; a second call takes 1/2
    python -m reference_data.silicon.make collect           # silicon_pbe_*.extxyz, provenance.json

Every stage skips what is already on disk in --work, and `label` also what the committed files hold, so the
script may be killed and started again at any moment, on another machine too; `collect` adds to the committed
files what is new. Frames come in an order in which an unfinished set is balanced. Needs mlipbench and what
espresso.py says. One energy surface for all frames: one cutoff, one smearing, one density of k-points.
"""

import json
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.io import read

from reference_data import espresso, labelling
from reference_data.espresso import Mesh
from reference_data.silicon import structures

HERE = Path(__file__).parent
PSEUDOPOTENTIAL = "Si.pbe-rrkj.UPF"
SETTINGS = {
    "ecutwfc_Ry": 24.0,
    "ecutrho_Ry": 60.0,
    "kpts_of_64_atoms": [2, 2, 2],
    "koffset": "half a step along each axis with more than one point",
    "smearing": "gaussian",
    "degauss_Ry": 0.01,
    "conv_thr_Ry_per_64_atoms": 1e-6,
}
ATOM = "isolated_atom"
EMPTY = 3.5  # the highest band lies this many smearing widths above the Fermi level, at the least


def frame_set() -> labelling.FrameSet:
    """The frames of structures.py, and the atom alone."""
    return labelling.FrameSet(
        HERE, "silicon_pbe", SETTINGS, (ATOM, *labelling.order(structures.KINDS)),
        structures.split_of() | {ATOM: "train"},
    )  # fmt: skip


# ---------------------------------------------------------------- one calculation
def run_pw(
    atoms: Atoms, folder: Path, mesh: Mesh | None = None, cutoffs: tuple[float, float] | None = None,
    bands: int | None = None, accuracy: float = 1.0,
) -> Atoms:  # fmt: skip
    """Label one frame; again with more bands where the smearing would reach the highest one. `accuracy`
    is the factor by which the SCF cycle is converged further than SETTINGS say."""
    bands = bands or 2 * len(atoms) + max(6, len(atoms) // 4)
    job = pw_job(atoms, bands, accuracy, mesh, cutoffs)
    labelled, result = espresso.scf(atoms, folder, job)
    highest = result.get_fermi_level() + EMPTY * SETTINGS["degauss_Ry"] * units.Ry
    if min(max(k.eps_n) for k in result.kpts) < highest:
        return run_pw(atoms, folder, mesh, cutoffs, bands + max(4, len(atoms) // 4), accuracy)
    return labelled


def pw_job(
    atoms: Atoms, bands: int, accuracy: float = 1.0, mesh: Mesh | None = None,
    cutoffs: tuple[float, float] | None = None,
) -> espresso.Job:  # fmt: skip
    """The settings of the set for these atoms."""
    wave, density = cutoffs or (SETTINGS["ecutwfc_Ry"], SETTINGS["ecutrho_Ry"])
    system = {
        "ecutwfc": wave, "ecutrho": density, "occupations": "smearing",
        "smearing": SETTINGS["smearing"], "degauss": SETTINGS["degauss_Ry"], "nbnd": bands, "nosym": True,
    }  # fmt: skip
    threshold = SETTINGS["conv_thr_Ry_per_64_atoms"] * len(atoms) / 64 / accuracy
    return espresso.Job(system, mesh or structures.k_points(atoms), threshold, {"Si": PSEUDOPOTENTIAL})


def run_atom(folder: Path) -> Atoms:
    """The free atom, spin polarised, s2 p2 with two unpaired electrons shared by three p orbitals."""
    info = {"config_type": ATOM, "trajectory": ATOM, "temperature_K": 0.0}
    atoms = Atoms("Si", positions=[(6.0, 6.25, 6.5)], cell=(12.0, 12.5, 13.0), pbc=True, info=info)
    atoms.set_initial_magnetic_moments([2.0])
    system = {
        "ecutwfc": SETTINGS["ecutwfc_Ry"], "ecutrho": SETTINGS["ecutrho_Ry"], "occupations": "smearing",
        "smearing": SETTINGS["smearing"], "degauss": 0.001, "nspin": 2, "tot_magnetization": 2,
        "nbnd": 8, "nosym": True,
    }  # fmt: skip
    threshold = SETTINGS["conv_thr_Ry_per_64_atoms"] / 64
    job = espresso.Job(system, espresso.GAMMA, threshold, {"Si": PSEUDOPOTENTIAL})
    labelled, _ = espresso.scf(atoms, folder, job)
    del labelled.calc.results["stress"]  # of the box, not of an atom
    return labelled


# ---------------------------------------------------------------- stages
def label(name: str, structure: Path, folder: Path) -> Atoms:
    """Label one frame of the set."""
    return run_atom(folder) if name == ATOM else run_pw(read(structure), folder)


def convergence(work: Path) -> None:
    """Cutoff on a hot, compressed 64-atom frame; k-points on 64 and on 8 atoms; each against the best."""
    rng = np.random.default_rng(1)
    large = bulk("Si", cubic=True, a=structures.LATTICE_A * 0.98) * (2, 2, 2)
    large.positions += rng.normal(0, 0.12, large.positions.shape)
    small = bulk("Si", cubic=True, a=structures.LATTICE_A * 0.98)
    small.positions += rng.normal(0, 0.12, small.positions.shape)
    one, normal = Mesh((1, 1, 1), (1, 1, 1)), (SETTINGS["ecutwfc_Ry"], SETTINGS["ecutrho_Ry"])
    cubes = {n: Mesh((n,) * 3, (1, 1, 1)) for n in (1, 2, 3, 4, 6, 8)}
    studies = {
        "cutoff, 64 atoms, 1 k-point": (
            large, [(one, (20.0, 80.0)), (one, normal), (one, (24.0, 96.0)), (one, (36.0, 144.0))]
        ),
        "k-points, 64 atoms": (large, [(cubes[n], normal) for n in (1, 2, 3)]),
        "k-points, 8 atoms": (small, [(cubes[n], normal) for n in (2, 4, 6, 8)]),
    }  # fmt: skip
    named = {
        title: {
            f"{mesh}, {cut[0]:g}/{cut[1]:g} Ry": lambda atoms=atoms, mesh=mesh, cut=cut: run_pw(
                atoms, work / "scratch-convergence", mesh, cut
            )
            for mesh, cut in variants
        }
        for title, (atoms, variants) in studies.items()
    }
    labelling.convergence(HERE / "convergence.json", work, named)


def collect(work: Path) -> None:
    """Add the new labels to the committed files, subtract nothing, and write the provenance."""
    provenance = {
        "code": espresso.version(work),
        "functional": "PBE",
        "pseudopotential": PSEUDOPOTENTIAL,
        "pseudopotential_sha256": espresso.digest(PSEUDOPOTENTIAL),
        "settings": SETTINGS,
        "isolated_atom": "spin polarised triplet, 12 x 12.5 x 13 A, Gamma, degauss 0.001 Ry",
        "energy": "free energy of the smeared system, whose derivative the forces are",
        "left_out": "contacts below 1.9 A (dimers too): the cores of the pseudopotential overlap",
        "script": "reference_data/silicon/make.py, structures.py",
        "files": frame_set().collect(work),
    }
    (HERE / "provenance.json").write_text(json.dumps(provenance, indent=1) + "\n")
    print(json.dumps(provenance, indent=1))


if __name__ == "__main__":
    script = labelling.Script(
        frame_set(), structures.KINDS, structures.structure, label, convergence, collect
    )  # fmt: skip
    script.run(__doc__, Path("build/silicon"))
