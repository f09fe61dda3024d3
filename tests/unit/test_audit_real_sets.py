"""Real sets: our own give no alarms; the public ones give the facts that are known about them.

Oracle: ../shared/data/README.md, whose facts were found by other means (conversion checks, nearest
neighbours by hand).
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from audit_sets import alarms

from mlipbench.core.shipped import reference_data
from mlipbench.data.audit.audit import audit
from mlipbench.data.audit.reading import read

PUBLIC = Path(__file__).parents[3] / "shared" / "data"
needs_public = pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"no public sets in {PUBLIC}")


@pytest.mark.parametrize("path", sorted(reference_data().rglob("*.extxyz")), ids=lambda path: path.stem)
def test_our_own_sets_give_no_alarms(path):
    assert alarms(audit(read(path))) == set()


@pytest.mark.parametrize(
    ("energy", "forces", "stress", "expected"),
    [
        (27.2114, 1.0, 1.0, {"units.energy"}),
        (1.0, 51.4221, 1.0, {"units.forces"}),
        (1.0, -1.0, 1.0, {"forces.sign"}),
        (1.0, 1.0, -1.0, {"stress.sign"}),
        (1.0, 1.0, 1 / 160.2177, {"stress.unit"}),
    ],
)
def test_units_are_found_where_every_cell_is_strained(energy, forces, stress, expected):
    """Our silicon cells are all different, so that forces and stress can only be judged together."""
    frames = [
        replace(
            f,
            frame=replace(
                f.frame,
                energy=f.frame.energy / energy,
                forces=f.frame.forces / forces,
                stress=None if f.frame.stress is None else f.frame.stress / stress,
            ),
        )
        for f in read(reference_data() / "silicon" / "silicon_pbe_train.extxyz")
    ]
    assert alarms(audit(frames)) == expected


def found(report):
    return {f.id: f for f in report.findings}


@pytest.mark.physics
@needs_public
def test_water_blocks_leak_and_the_quirks_of_the_set_are_noted():
    frames = read(PUBLIC / "water_pbe0ts.xyz.gz")
    held_out = [f for f in frames if re.match("data_3/", str(f.info["source"]))]
    report = audit([f for f in frames if f not in held_out], held_out)
    assert alarms(report) == {"leaks.correlated"}
    leak = found(report)["leaks.correlated"]
    assert leak.level == "error"
    assert sum(p.count for p in leak.where) == 80  # every frame of data_3
    assert leak.amount.value == pytest.approx(0.30, abs=0.02)  # A, the median
    assert found(report)["precision.energies"].amount.value == 2.0**-9  # eV: 2 meV a cell, float32
    assert found(report)["forces.net_small"].amount.value == pytest.approx(0.40, abs=0.06)  # eV/A


@pytest.mark.physics
@needs_public
def test_acetylacetone_is_sound():
    files = [PUBLIC / "acac" / f"{name}.xyz" for name in ("train_300K", "isolated_atoms")]
    test = read(PUBLIC / "acac" / "test_MD_300K.xyz")
    assert alarms(audit([f for path in files for f in read(path)], test)) == set()


@needs_public
def test_sodium_chloride_is_sound():
    assert alarms(audit(read(PUBLIC / "nacl_dft_222.xyz"), read(PUBLIC / "nacl_dft_444.xyz"))) == set()


@needs_public
def test_silicon_shares_equivalent_strains():
    """Three test cells are training cells turned by a symmetry of the crystal: equal energies to 1e-6 eV."""
    report = audit(read(PUBLIC / "si_pbe_train.xyz"), read(PUBLIC / "si_pbe_test.xyz"))
    leak = found(report)["leaks.duplicates"]
    assert [p.frames for p in leak.where] == [[22, 23, 24]]
    assert found(report)["repeats.equivalent"].amount.value == 42
