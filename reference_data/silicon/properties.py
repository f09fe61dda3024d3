"""Equation of state, elastic constants and phonons of diamond silicon with the settings of the frames.

    python -m reference_data.silicon.properties compute   # hours; may be killed, goes on where it was
    python -m reference_data.silicon.properties collect   # silicon_pbe_{properties,phonons}.yaml
    python -m reference_data.silicon.properties collect-equation-of-state  # of the frames alone

The perfect crystals of the set come first (`make.py label --only 'volume-*'`); they are all that the last
stage needs, which is part of `collect`. The formation energy of a vacancy comes from vacancy.py.
"""

import argparse
import json
from pathlib import Path

from ase import Atoms
from ase.build import bulk

from reference_data import cubic_crystal
from reference_data.silicon import make, structures

HERE = Path(__file__).parent
THEORY = "PBE"
SOURCE = "computed for mlipbench with Quantum ESPRESSO; settings in provenance.json, method in properties.py"
ACCURATE = 1e3  # the SCF cycle is converged so much further than for the frames


def crystal(work: Path) -> cubic_crystal.Crystal:
    """Diamond."""
    return cubic_crystal.Crystal(
        lambda a: bulk("Si", cubic=True, a=a),
        lambda atoms, folder: make.run_pw(atoms, folder, accuracy=ACCURATE),
        work,
    )


def perfect(work: Path) -> list[Atoms]:
    """The perfect crystals of the set."""
    return cubic_crystal.perfect(make.frame_set(), work.parent, len(structures.VOLUME_SCALES))


def equation_of_state(work: Path) -> dict[str, float]:
    """Of the perfect crystals, see `cubic_crystal.equation_of_state`."""
    return cubic_crystal.equation_of_state(perfect(work), structures.LATTICE_A)


def collect_equation_of_state(work: Path) -> dict[str, float]:
    """Its files that ship, silicon_pbe_eos.csv and numbers in silicon_pbe_properties.yaml."""
    return cubic_crystal.collect_equation_of_state(
        perfect(work), structures.LATTICE_A, HERE / "silicon_pbe", THEORY, SOURCE, verified=True
    )


def collect(work: Path) -> None:
    """The files that ship."""
    silicon, eos = crystal(work), collect_equation_of_state(work)
    constants = silicon.elastic()
    large, small = (silicon.phonons(eos["lattice_constant"], repeat) for repeat in (2, 1))
    large.save(HERE / "silicon_pbe_phonons.yaml", settings={"force_constants": False, "force_sets": True})
    cubic_crystal.write_scalars(
        HERE / "silicon_pbe_properties.yaml", cubic_crystal.moduli(constants, THEORY, SOURCE)
    )
    record = {
        "equation_of_state": eos,
        "farthest_lattice_constant": cubic_crystal.FARTHEST,
        "elastic_constants_GPa": constants,
        "strain": cubic_crystal.STRAIN,
        "frequencies_THz": cubic_crystal.frequencies(large),
        "frequencies_8_atoms_THz": cubic_crystal.frequencies(small),
        "displacement_A": cubic_crystal.DISPLACEMENT_A,
        "seconds": silicon.seconds(),
    }
    (HERE / "properties.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["compute", "collect", "collect-equation-of-state"])
    parser.add_argument(
        "--work", type=Path, default=Path("build/silicon/properties"), help="scratch, not committed"
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.stage == "compute":
        crystal(args.work).compute(equation_of_state(args.work)["lattice_constant"])
    elif args.stage == "collect":
        collect(args.work)
    else:
        print(json.dumps(collect_equation_of_state(args.work), indent=1))


if __name__ == "__main__":
    main()
