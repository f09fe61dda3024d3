"""Equation of state, elastic constants and phonons of diamond silicon with the settings of the frames.

    python -m reference_data.silicon.properties compute   # hours; may be killed, goes on where it was
    python -m reference_data.silicon.properties collect   # silicon_pbe_{properties,phonons}.yaml

The perfect crystals of the set come first (`make.py label --only 'volume-*'`). The formation energy of a
vacancy comes from vacancy.py.
"""

import argparse
import json
from pathlib import Path

from ase.build import bulk

from reference_data import cubic_crystal
from reference_data.silicon import make, structures

HERE = Path(__file__).parent
ACCURATE = 1e3  # the SCF cycle is converged so much further than for the frames


def crystal(work: Path) -> cubic_crystal.Crystal:
    """Diamond."""
    return cubic_crystal.Crystal(
        lambda a: bulk("Si", cubic=True, a=a),
        lambda atoms, folder: make.run_pw(atoms, folder, accuracy=ACCURATE),
        work,
    )


def equation_of_state(work: Path) -> dict[str, float]:
    """Of the perfect crystals, see `cubic_crystal.equation_of_state`."""
    crystals = cubic_crystal.perfect(make.frame_set(), work.parent, len(structures.VOLUME_SCALES))
    return cubic_crystal.equation_of_state(crystals, structures.LATTICE_A)


def collect(work: Path) -> None:
    """The files that ship."""
    silicon, eos = crystal(work), equation_of_state(work)
    constants = silicon.elastic()
    large, small = (silicon.phonons(eos["lattice_constant"], repeat) for repeat in (2, 1))
    large.save(HERE / "silicon_pbe_phonons.yaml", settings={"force_constants": False, "force_sets": True})
    source = (
        "computed for mlipbench with Quantum ESPRESSO; settings in provenance.json, method in properties.py"
    )
    cubic_crystal.write_scalars(
        HERE / "silicon_pbe_properties.yaml", cubic_crystal.scalars(eos, constants, "PBE", source)
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
    parser.add_argument("stage", choices=["compute", "collect"])
    parser.add_argument(
        "--work", type=Path, default=Path("build/silicon/properties"), help="scratch, not committed"
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.stage == "compute":
        crystal(args.work).compute(equation_of_state(args.work)["lattice_constant"])
    else:
        collect(args.work)


if __name__ == "__main__":
    main()
