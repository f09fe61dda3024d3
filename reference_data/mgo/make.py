"""Compute the MgO reference set with Quantum ESPRESSO (LDA).

    python -m reference_data.mgo.make structures        # what is labelled: structures.py; minutes
    python -m reference_data.mgo.make convergence       # cutoff and k-point table, convergence.json
    python -m reference_data.mgo.make label --part 0/2  # frame after frame; a second call takes 1/2
    python -m reference_data.mgo.make collect           # mgo_lda_*.extxyz, provenance.json

Every stage goes on where it was (labelling.py). LDA, because there is no other pseudopotential of magnesium
in Debian's package. An insulator: fixed occupations, and one density of k-points for all frames.
"""

import json
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from mlipbench.data.manifest_file import MANIFEST
from reference_data import espresso, labelling
from reference_data.espresso import Mesh
from reference_data.mgo import structures

HERE = Path(__file__).parent
PSEUDOPOTENTIALS = {"Mg": "Mg.pz-n-vbc.UPF", "O": "O.pz-rrkjus.UPF"}
THEORY = "LDA"
SETTINGS = {
    "ecutwfc_Ry": 40.0,
    "ecutrho_Ry": 320.0,
    "kpts_of_64_atoms": [1, 1, 1],
    "koffset": "half a step along each axis",
    "occupations": "fixed",
    "conv_thr_Ry_per_64_atoms": 1e-6,
}


def frame_set() -> labelling.FrameSet:
    """The frames of structures.py."""
    return labelling.FrameSet(
        HERE, "mgo_lda", SETTINGS, labelling.order(structures.KINDS), structures.split_of()
    )


def pw_job(
    atoms: Atoms, accuracy: float = 1.0, mesh: Mesh | None = None, cutoffs: tuple[float, float] | None = None,
    symmetry: bool = False,
) -> espresso.Job:  # fmt: skip
    """The settings of the set for these atoms; `accuracy` is the factor by which the SCF cycle is converged
    further than SETTINGS say."""
    wave, density = cutoffs or (SETTINGS["ecutwfc_Ry"], SETTINGS["ecutrho_Ry"])
    system = {"ecutwfc": wave, "ecutrho": density, "occupations": "fixed", "nosym": not symmetry}
    threshold = SETTINGS["conv_thr_Ry_per_64_atoms"] * len(atoms) / 64 / accuracy
    return espresso.Job(system, mesh or structures.k_points(atoms), threshold, PSEUDOPOTENTIALS)


def run_pw(
    atoms: Atoms, folder: Path, accuracy: float = 1.0, mesh: Mesh | None = None,
    cutoffs: tuple[float, float] | None = None,
) -> Atoms:  # fmt: skip
    """Label one frame."""
    return espresso.scf(atoms, folder, pw_job(atoms, accuracy, mesh, cutoffs))[0]


# ---------------------------------------------------------------- stages
def label(_: str, structure: Path, folder: Path) -> Atoms:
    """Label one frame of the set."""
    return run_pw(read(structure), folder)


def convergence(work: Path) -> None:
    """Cutoffs and k-points on a hot, compressed cell of 8 atoms; each against the best."""
    atoms = structures.cubic(structures.LATTICE_A * 0.98)
    atoms.positions += np.random.default_rng(1).normal(0, 0.1, atoms.positions.shape)
    shifted = Mesh((2, 2, 2), (1, 1, 1))
    normal = (SETTINGS["ecutwfc_Ry"], SETTINGS["ecutrho_Ry"])
    cutoffs = ((30.0, 240.0), (40.0, 240.0), normal, (50.0, 400.0), (70.0, 560.0))
    meshes = (Mesh((2, 2, 2)), shifted, Mesh((4, 4, 4)), Mesh((4, 4, 4), (1, 1, 1)))

    def compute(mesh: Mesh, cut: tuple[float, float]) -> Atoms:
        return run_pw(atoms, work / "scratch-convergence", mesh=mesh, cutoffs=cut)

    studies = {
        "cutoff, 8 atoms, 2x2x2 k-points": {
            f"{cut[0]:g}/{cut[1]:g} Ry": lambda cut=cut: compute(meshes[0], cut) for cut in cutoffs
        },
        "k-points, 8 atoms": {
            f"{mesh}, {normal[0]:g}/{normal[1]:g} Ry": lambda mesh=mesh: compute(mesh, normal)
            for mesh in meshes
        },
    }
    labelling.convergence(HERE / "convergence.json", work, studies)


def collect(work: Path) -> None:
    """Add the new labels to the committed files, subtract nothing, and write the provenance."""
    provenance = {
        "code": espresso.version(work),
        "functional": THEORY,
        "pseudopotentials": PSEUDOPOTENTIALS,
        "pseudopotential_sha256": {element: espresso.digest(p) for element, p in PSEUDOPOTENTIALS.items()},
        "settings": SETTINGS,
        "left_out": f"contacts below {structures.CLOSEST_A} A: the cores of the pseudopotentials overlap",
        "script": "reference_data/mgo/make.py, structures.py",
        "files": frame_set().collect(work),
    }
    (HERE / "provenance.json").write_text(json.dumps(provenance, indent=1) + "\n")
    common = {
        "kind": "frames", "units": {"energy": "eV", "forces": "eV/A", "stress": "eV/A^3"},
        "level_of_theory": THEORY, "script": "mgo/make.py", "verified": True,
        "source": "computed for mlipbench with Quantum ESPRESSO; settings in mgo/provenance.json, how "
        "far they are from better ones in mgo/convergence.json",
    }  # fmt: skip
    title = "MgO, {}; rock salt 300 to 2000 K, strained, compressed, expanded, Schottky pairs"
    purpose = {"train": "for training", "val": "for validation during training", "test": "held out"}
    labelling.enter(
        HERE.parent / MANIFEST,
        {
            f"mgo_lda_{part}": {"title": title.format(said), "file": f"mgo/mgo_lda_{part}.extxyz", **common}
            for part, said in purpose.items()
        },
    )
    print(json.dumps(provenance, indent=1))


if __name__ == "__main__":
    script = labelling.Script(
        frame_set(), structures.KINDS, structures.structure, label, convergence, collect
    )  # fmt: skip
    script.run(__doc__, Path("build/mgo"))
