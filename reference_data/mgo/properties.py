"""Equation of state, elastic constants, phonons, Born charges and dielectric tensor of MgO.

    python -m reference_data.mgo.properties born      # pw.x and ph.x on the primitive cell; minutes
    python -m reference_data.mgo.properties compute   # elastic constants and phonons; may be killed
    python -m reference_data.mgo.properties collect   # mgo_lda_properties.yaml, mgo_lda_phonons.yaml
    python -m reference_data.mgo.properties collect-equation-of-state  # of the frames alone

The perfect crystals of the set come first (`make.py label --only 'volume-*'`); they are all that the last
stage needs, which is part of `collect`. `collect` writes what there is: without `compute` no elastic
constants and no phonons. The phonons carry charges and dielectric tensor.
"""

import argparse
import json
import os
import re
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

from mlipbench.core.units import COULOMB
from mlipbench.data.manifest_file import MANIFEST
from reference_data import cubic_crystal, espresso, labelling
from reference_data.espresso import Mesh
from reference_data.mgo import make, structures

HERE = Path(__file__).parent
PROPERTIES = "mgo_lda_properties.yaml"
ACCURATE = 1e3  # the SCF cycle is converged so much further than for the frames
BORN_MESH = Mesh((4, 4, 4), (1, 1, 1))  # of the primitive cell
PH = """Gamma
&inputph
  prefix = 'pwscf', outdir = './tmp', fildyn = 'gamma.dyn', tr2_ph = 1d-16, epsil = .true.
/
0 0 0
"""
NUMBER = r"(-?\d+\.\d+)"
SOURCE = "computed for mlipbench with Quantum ESPRESSO; properties.json, method in properties.py"


def crystal(work: Path) -> cubic_crystal.Crystal:
    """Rock salt."""
    return cubic_crystal.Crystal(
        structures.cubic, lambda atoms, folder: make.run_pw(atoms, folder, accuracy=ACCURATE), work
    )


def perfect(work: Path) -> list[Atoms]:
    """The perfect crystals of the set."""
    return cubic_crystal.perfect(make.frame_set(), work.parent, len(structures.VOLUME_SCALES))


def equation_of_state(work: Path) -> dict[str, float]:
    """Of the perfect crystals, see `cubic_crystal.equation_of_state`."""
    return cubic_crystal.equation_of_state(perfect(work), structures.LATTICE_A)


def collect_equation_of_state(work: Path) -> dict[str, float]:
    """Its files that ship, mgo_lda_eos.csv and numbers in mgo_lda_properties.yaml."""
    return cubic_crystal.collect_equation_of_state(
        perfect(work), structures.LATTICE_A, HERE / "mgo_lda", make.THEORY, SOURCE, verified=verified()
    )


def verified() -> bool:
    """Whether it is known how far the settings are from better ones."""
    return (HERE / "convergence.json").exists()


def born(work: Path) -> None:
    """Linear response of the primitive cell at rest: born.json, unless it is there."""
    target = work / "born.json"
    if target.exists():
        return
    atoms, folder = bulk("MgO", "rocksalt", a=equation_of_state(work)["lattice_constant"]), work / "born"
    job = make.pw_job(atoms, ACCURATE, BORN_MESH, symmetry=True)
    espresso.scf(atoms, folder, job, {"disk_io": "low", "prefix": "pwscf"})
    (folder / "ph.in").write_text(PH)
    found = parse(espresso.run("ph.x", "ph.in", folder), list(atoms.symbols))
    record = {
        "lattice_constant": float(atoms.cell.lengths()[0] * np.sqrt(2)),
        "mesh": str(BORN_MESH),
        **found,
    }
    target.with_suffix(".tmp").write_text(json.dumps(record, indent=1) + "\n")
    os.replace(target.with_suffix(".tmp"), target)
    print(json.dumps(record, indent=1))


def parse(text: str, symbols: list[str]) -> dict:
    """Of ph.x at Gamma: dielectric tensor (3, 3), Born charges (n, 3, 3) e, frequencies (THz) as they come.

    Rows of a charge are the field, columns the force. Raises RuntimeError where something is not there.
    """
    dielectric = _matrices(text, r"Dielectric constant in cartesian axis", 1)
    charges = _matrices(text, r"Effective charges \(d Force / dE\) in cartesian axis", len(symbols))
    modes = re.findall(r"freq \(\s*\d+\) =\s+(-?\d+\.\d+) \[THz\]", text)
    if dielectric is None or charges is None or len(modes) != 3 * len(symbols):
        raise RuntimeError(f"ph.x: expected a dielectric tensor, {len(symbols)} charges and their modes")
    return {
        "dielectric": dielectric[0],
        "symbols": symbols,
        "born_charges": charges,
        "frequencies_THz": [float(f) for f in modes],
    }


def _matrices(text: str, title: str, count: int) -> list | None:
    """The first `count` 3 x 3 matrices behind the first title."""
    behind = re.split(title, text, maxsplit=1)
    row = rf"\(\s+{NUMBER}\s+{NUMBER}\s+{NUMBER}\s+\)"
    rows = re.findall(row, behind[1]) if len(behind) == 2 else []
    if len(rows) < 3 * count:
        return None
    return np.array(rows[: 3 * count], dtype=float).reshape(count, 3, 3).tolist()


def neutral(record: dict) -> tuple[np.ndarray, np.ndarray]:
    """Born charges (2, 3, 3) with what is left of their sum taken off evenly; dielectric tensor."""
    charges = np.array(record["born_charges"])
    return charges - charges.mean(axis=0), np.array(record["dielectric"])


# ---------------------------------------------------------------- files
def collect(work: Path) -> None:
    """The files that ship, and their entries in the manifest."""
    record = json.loads((work / "born.json").read_text())
    charges, dielectric = neutral(record)
    eos = collect_equation_of_state(work)
    entries = {
        "born_charge_Mg": cubic_crystal.scalar(charges[0].trace() / 3, "e", make.THEORY, SOURCE),
        "dielectric_constant": cubic_crystal.scalar(dielectric.trace() / 3, "1", make.THEORY, SOURCE),
    }
    constants, phonons = {}, {}
    if (work / "phonon-2-0.extxyz").exists():
        mgo = crystal(work)
        constants = mgo.elastic()
        large, small = (mgo.phonons(eos["lattice_constant"], repeat) for repeat in (2, 1))
        large.nac_params = {"born": charges, "dielectric": dielectric, "factor": COULOMB}
        large.save(HERE / "mgo_lda_phonons.yaml", settings={"force_constants": False, "force_sets": True})
        phonons = {
            "frequencies_THz": cubic_crystal.frequencies(large),
            "frequencies_8_atoms_THz": cubic_crystal.frequencies(small),
            "seconds": mgo.seconds(),
        }
    cubic_crystal.write_scalars(
        HERE / PROPERTIES, entries | cubic_crystal.moduli(constants, make.THEORY, SOURCE)
    )
    whole = {
        "code": espresso.version(work),
        "pseudopotentials": make.PSEUDOPOTENTIALS,
        "settings": make.SETTINGS,
        "accuracy": ACCURATE,
        "equation_of_state": eos,
        "elastic_constants_GPa": constants,
        "linear_response": record,
        **phonons,
    }
    (HERE / "properties.json").write_text(json.dumps(whole, indent=1) + "\n")
    _enter(bool(phonons))
    print(json.dumps(whole, indent=1))


def _enter(with_phonons: bool) -> None:
    common = {
        "level_of_theory": make.THEORY, "source": SOURCE, "script": "mgo/properties.py",
        "verified": verified(),
    }  # fmt: skip
    units = {name: entry["unit"] for name, entry in json.loads((HERE / PROPERTIES).read_text()).items()}
    entries = {
        "mgo_lda_properties": {
            "title": "Rock salt MgO: Born charge, dielectric constant, equation of state, elastic constants",
            "kind": "scalar", "file": f"mgo/{PROPERTIES}", "units": units, **common,
        },
    }  # fmt: skip
    if with_phonons:
        entries["mgo_lda_phonons"] = {
            "title": "Force constants of MgO from one displaced atom in 64, with Born charges",
            "kind": "phonons", "file": "mgo/mgo_lda_phonons.yaml",
            "units": {"force_constants": "eV/A^2"}, **common,
        }  # fmt: skip
    labelling.enter(HERE.parent / MANIFEST, entries)


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["born", "compute", "collect", "collect-equation-of-state"])
    parser.add_argument(
        "--work", type=Path, default=Path("build/mgo/properties"), help="scratch, not committed"
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.stage == "born":
        born(args.work)
    elif args.stage == "compute":
        crystal(args.work).compute(equation_of_state(args.work)["lattice_constant"])
    elif args.stage == "collect":
        collect(args.work)
    else:
        print(json.dumps(collect_equation_of_state(args.work), indent=1))


if __name__ == "__main__":
    main()
