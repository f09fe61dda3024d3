"""Causes of a loss that is not finite, each planted alone and told apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mlipbench.core.structure import LabelledFrame, Structure
from mlipbench.training.diagnosis.divergence import explain

E0S = {"H": -13.6, "O": -432.5, "Si": -103.0}
Z = {"H": 1, "O": 8, "Si": 14}


def frame(
    symbols: str, label: str = "a.extxyz#0", spacing: float = 1.5, bound: float = -4.0
) -> LabelledFrame:
    """Atoms on a line, each bound by `bound` eV relative to E0S; `symbols` is like "H H O"."""
    names = symbols.split()
    n = len(names)
    positions = np.zeros((n, 3))
    positions[:, 0] = spacing * np.arange(n)
    structure = Structure(
        numbers=np.array([Z[s] for s in names]), positions=positions, cell=np.zeros((3, 3)),
        pbc=np.zeros(3, dtype=bool), masses=np.ones(n),
    )  # fmt: skip
    energy = sum(E0S[s] for s in names) + bound * n
    return LabelledFrame(structure, energy, np.zeros((n, 3)), None, "", "", label)


def found(
    frames: Sequence[LabelledFrame], e0s: dict[str, float] | None = None, **settings: float | None
) -> dict:
    return {d.id: d for d in explain(frames, e0s or E0S, **{"clip_grad": 10.0, "lr": 0.01, **settings})}


def test_short_bond_is_measured_and_named() -> None:
    """Oracle: two atoms 0.31 A apart by construction, in the second frame."""
    near = frame("H O", "b.extxyz#7", spacing=0.31)
    told = found([frame("H H O"), near])
    assert list(told) == ["nan.short_bond"]
    assert told["nan.short_bond"].evidence == "0.31 A between H and O in b.extxyz#7"


def test_short_bond_across_the_cell_boundary() -> None:
    """Oracle: 9.8 A apart in a cell of 10 A is 0.2 A through its wall."""
    one = frame("Si Si", spacing=9.8)
    cell = Structure(
        one.structure.numbers, one.structure.positions, 10 * np.eye(3), np.ones(3, bool), np.ones(2)
    )
    periodic = LabelledFrame(cell, one.energy, one.forces, None, "", "", "c#1")
    assert "0.20 A between Si and Si in c#1" in found([periodic])["nan.short_bond"].evidence
    assert "nan.short_bond" not in found([one])


def test_bond_of_half_an_angstrom_and_a_bit_is_none() -> None:
    assert "nan.short_bond" not in found([frame("H H", spacing=0.51)])


def test_wrong_e0_is_named_where_compositions_tell() -> None:
    """Oracle: E0 of oxygen shifted by 30 eV; bonds of 4 eV per atom remain."""
    batch = [frame("H H O"), frame("H O"), frame("H H O O")]
    told = found(batch, E0S | {"O": -402.5})
    assert list(told) == ["nan.e0s"]
    assert "likely wrong: O by -34 eV" in told["nan.e0s"].evidence
    assert "E0s: average" in told["nan.e0s"].remedy


def test_wrong_e0_of_one_composition() -> None:
    told = found([frame("H H O"), frame("O H H")], E0S | {"O": -372.5})
    assert "do not tell which" in told["nan.e0s"].evidence
    only = found([frame("Si Si")], {"Si": 0.0})
    assert "-107 eV per atom" in only["nan.e0s"].evidence


def test_strong_bonds_are_not_wrong_e0s() -> None:
    assert "nan.e0s" not in found([frame("Si Si", bound=-8.9)])


def test_sizes() -> None:
    small, large = frame("Si Si", bound=-4), frame("Si " * 20, bound=-4)
    told = found([small, large])
    assert list(told) == ["nan.sizes"]
    assert "2 to 20 atoms in a batch of 2 structures" in told["nan.sizes"].evidence
    assert "nan.sizes" not in found([small, frame("Si " * 19)])
    assert "nan.sizes" not in found([large])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"clip_grad": None}, "nan.clipping"), ({"lr": 0.1}, "nan.learning_rate")],
)
def test_circumstances(settings: dict[str, float | None], expected: str) -> None:
    told = found([frame("Si Si")], **settings)
    assert list(told) == [expected]
    assert told[expected].level == "warning"


def test_causes_come_before_circumstances() -> None:
    batch = [frame("Si Si", spacing=0.3), frame("Si " * 30)]
    assert list(found(batch, {"Si": 0.0}, clip_grad=None, lr=1.0)) == [
        "nan.short_bond", "nan.e0s", "nan.sizes", "nan.clipping", "nan.learning_rate",
    ]  # fmt: skip


def test_no_known_cause_is_said_with_advice() -> None:
    told = found([frame("Si Si")])
    assert list(told) == ["nan.unknown"]
    assert "lr: 0.001" in told["nan.unknown"].remedy
    assert "a.extxyz#0" in told["nan.unknown"].evidence


def test_frames_without_energies() -> None:
    bare = frame("Si Si")
    unlabelled = LabelledFrame(bare.structure, None, None, None, "", "", "x#0")
    assert list(found([unlabelled])) == ["nan.unknown"]
