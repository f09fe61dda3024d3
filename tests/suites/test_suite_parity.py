"""The suite `parity` on labels of Stillinger-Weber silicon and answers with planted errors.

The oracle is what was planted: errors of known size and form on top of the labels.
"""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from fakes import Fake, run, verdicts

from mlipbench.core.errors import InputError
from mlipbench.core.potential import Capabilities, Evaluation, Identity, Potential
from mlipbench.core.structure import LabelledFrame, Structure
from mlipbench.core.suite import IntendedUse
from mlipbench.potentials.analytic import stillinger_weber_silicon
from mlipbench_suites.parity import Parity

N_TRAJECTORIES, N_EACH = 20, 3


def make_frames():
    rng = np.random.default_rng(0)
    potential, frames = stillinger_weber_silicon(), []
    for t in range(N_TRAJECTORIES):
        scale = 1 + 0.03 * (t / (N_TRAJECTORIES - 1) - 0.5)
        atoms = bulk("Si", cubic=True, a=5.43 * scale) * (2, 2, 1)
        for k in range(N_EACH):
            s = Structure.from_ase(atoms)
            s = s.with_positions(s.positions + (0.05 + 0.004 * t) * rng.standard_normal((32, 3)))
            e = potential.evaluate([s], ("energy", "forces", "stress"))[0]
            frames.append(
                LabelledFrame(
                    s, e.energy, e.forces, e.stress, "hot" if t % 2 else "cold", f"t{t}", f"f#{t}-{k}"
                )
            )
    return frames


FRAMES = make_frames()


class Planted(Potential):
    """Answers with labels plus an error: `error(frame, rng) -> (dE eV, dF (n, 3), dS (3, 3))`."""

    capabilities = Capabilities(frozenset({"energy", "forces", "stress"}))
    identity = Identity("planted", "0", True)

    def __init__(self, error, frames=None):
        self.error = error
        self.frames = {f.structure.hash: f for f in frames or FRAMES}

    def evaluate(self, structures, properties=("energy", "forces")):
        rng = np.random.default_rng(1)
        answers = []
        for s in structures:
            frame = self.frames.get(s.hash)
            if frame is None:  # an isolated atom
                answers.append(Evaluation(-2.0, np.zeros((len(s), 3))))
                continue
            de, df, ds = self.error(frame, rng)
            answers.append(Evaluation(frame.energy + de, frame.forces + df, frame.stress + ds))
        return answers


def judge_planted(error, frames=None, **params):
    frames = frames or FRAMES
    fake = Fake(labelled={"test": frames, "train": []}, potential=Planted(error, frames))
    return run(Parity, fake, frames={"reference": "test"}, **params)


def noise(scale_F=0.01, scale_E=0.0005, scale_S=1e-4):
    def error(frame, rng):
        n = len(frame.structure)
        ds = scale_S * rng.standard_normal((3, 3))
        return n * scale_E * rng.standard_normal(), scale_F * rng.standard_normal((n, 3)), 0.5 * (ds + ds.T)

    return error


def test_sound_answers_pass_with_the_planted_errors():
    """Mean absolute value of a Gaussian: sqrt(2/pi) sigma. A wrong unit, component count or per-atom
    division would be off by far more than the error bars."""
    outcome, m = judge_planted(noise())
    for name, sigma in (("energy_mae", 0.5), ("force_mae", 10.0)):
        assert abs(m[name].value - np.sqrt(2 / np.pi) * sigma) < 4 * m[name].stderr
        assert 0 < m[name].stderr < 0.2 * sigma
        assert m[name].n_eff == pytest.approx(N_TRAJECTORIES)
    assert m["force_rmse"].value == pytest.approx(10.0, rel=0.03)
    found = verdicts(Parity, outcome)
    assert {found[k] for k in ("energy_mae", "force_mae", "stress_mae")} == {"PASS"}
    assert m["force_skill"].value > 0.9
    assert m["force_systematic_share"].value < 0.02
    assert not [n for n in outcome.notes if "Forces:" in n or "Energies:" in n or "tails" in n]


def test_broken_answers_fail():
    outcome, _ = judge_planted(noise(0.2, 0.01, 5e-3))
    found = verdicts(Parity, outcome)
    assert {found[k] for k in ("energy_mae", "force_mae", "stress_mae")} == {"FAIL"}


def test_few_frames_are_inconclusive():
    outcome, _ = judge_planted(noise(), FRAMES[:24])
    assert verdicts(Parity, outcome)["force_mae"] == "INCONCLUSIVE"


def test_random_and_structured_errors_of_equal_mae_are_told_apart():
    """Potential A is random, potential B too repulsive in expanded cells; the share tells them apart."""

    def structured_error(frame, rng):
        s = frame.structure
        softness = max(s.volume / len(s) / 20.0 - 1.0, 0.0)
        extra = _pair_force(s) * softness
        return 0.0, extra, np.zeros((3, 3))

    _, b = judge_planted(structured_error)
    mae = b["force_mae"].value / 1000
    _, a = judge_planted(noise(mae / np.sqrt(2 / np.pi)))
    assert a["force_mae"].value == pytest.approx(b["force_mae"].value, rel=0.05)
    assert a["force_systematic_share"].value < 0.05
    assert b["force_systematic_share"].value > 0.6
    assert b["force_systematic_share"].value - 3 * b["force_systematic_share"].stderr > 0.1


def with_temperatures(temperatures):
    return [replace(f, temperature_K=t) for f, t in zip(FRAMES, temperatures, strict=True)]


def test_error_that_goes_with_the_temperature_is_found_where_frames_name_it():
    """Errors of energy and force proportional to a temperature drawn at random, so that nothing else of a
    frame tells it: the share is near one with the temperatures, and near zero without."""
    drawn = np.repeat(np.random.default_rng(8).uniform(100, 900, N_TRAJECTORIES), N_EACH)
    named = with_temperatures(drawn)
    by_name = {f.label: f.temperature_K for f in named}

    def error(frame, rng):
        heat = (by_name[frame.label] - 500) / 400
        return 0.002 * heat * len(frame.structure), 0.05 * heat * frame.forces, np.zeros((3, 3))

    outcome, known = judge_planted(error, named)
    assert known["energy_systematic_share"].value > 0.95
    assert known["force_systematic_share"].value > 0.9
    assert not any("temperature" in note for note in outcome.notes)
    table = next(t for t in outcome.tables if t.id == "parity-energy-structure")
    assert {row[0] for row in table.rows if "temperature" in row[0] or "force" in row[0]} == {
        "temperature (K)"
    }
    outcome, blind = judge_planted(error)
    assert blind["energy_systematic_share"].value < 0.4
    assert blind["force_systematic_share"].value < 0.4
    assert any("60 of 60 frames name no temperature" in note for note in outcome.notes)


def test_temperatures_that_tell_nothing_leave_the_force_in_their_place():
    _, without = judge_planted(noise())
    for temperatures, words in (
        ([None, *[300.0 + k for k in range(59)]], "1 of 60 frames name no temperature"),
        ([300.0] * 60, "The temperature is the same in all frames"),
    ):
        outcome, m = judge_planted(noise(), with_temperatures(temperatures))
        assert any(words in note and "r.m.s. force" in note for note in outcome.notes)
        assert m["force_systematic_share"] == without["force_systematic_share"]


def _pair_force(s):
    from mlipbench.analysis.structure import pairs

    near = pairs(s.positions, s.cell, s.pbc, 3.0)
    push = np.exp(-((near.distances - 2.35) ** 2) / 0.1)[:, None] * near.vectors / near.distances[:, None]
    out = np.zeros((len(s), 3))
    np.add.at(out, near.second, push)
    np.add.at(out, near.first, -push)
    return out


def test_pressure_error_has_sign_and_size():
    """A stress more negative by p on the diagonal is a pressure p too high."""
    _, m = judge_planted(lambda f, rng: (0.0, np.zeros((len(f.structure), 3)), -2e-3 * np.eye(3)))
    assert m["pressure_error"].value == pytest.approx(2e-3)
    assert m["stress_mae"].value == pytest.approx(1e-3)  # three of six components


def fan(frame, rng):
    size = np.linalg.norm(frame.forces, axis=1, keepdims=True)
    return 0.0, 0.05 * size**1.5 * rng.standard_normal(frame.forces.shape), np.zeros((3, 3))


def bow(frame, rng):
    f = frame.forces
    return 0.0, 0.03 * (f**2 - np.mean(f**2)) + 0.005 * rng.standard_normal(f.shape), np.zeros((3, 3))


def soft(frame, rng):
    return 0.0, -0.1 * frame.forces + 0.002 * rng.standard_normal(frame.forces.shape), np.zeros((3, 3))


def island(frame, rng):
    n = len(frame.structure)
    de = 0.02 * n if frame.trajectory in ("t3", "t11") else 0.0
    return de + 0.0005 * n * rng.standard_normal(), 0.005 * rng.standard_normal((n, 3)), np.zeros((3, 3))


def odd_kind(frame, rng):
    n = len(frame.structure)
    size = 0.2 if frame.config_type == "hot" else 0.002
    return 0.0, size * (1 + 0.1 * rng.standard_normal((n, 3))), np.zeros((3, 3))


def tails(frame, rng):
    f = 0.01 * rng.standard_normal(frame.forces.shape)
    f[rng.random(f.shape) < 0.02] *= 20
    return 0.0, f, np.zeros((3, 3))


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (fan, "fanning"),
        (bow, "bowing"),
        (soft, "too soft"),
        (island, "cluster of 6"),
        (odd_kind, "config_type hot"),
        (tails, "Heavy tails"),
    ],
)  # fmt: skip
def test_planted_shapes_are_named(error, word):
    outcome, _ = judge_planted(error)
    assert any(word in note for note in outcome.notes), outcome.notes


@pytest.mark.parametrize("word", ["fanning", "bowing", "slope", "cluster", "tails"])
def test_no_shape_is_named_where_none_was_planted(word):
    outcome, _ = judge_planted(noise())
    assert not any(word in note for note in outcome.notes)


def test_fitted_offset_is_removed_in_the_open():
    def error(frame, rng):
        n = len(frame.structure)
        return 100.0 * n + 0.0005 * n * rng.standard_normal(), np.zeros((n, 3)), np.zeros((3, 3))

    outcome, m = judge_planted(error, energy_reference="fitted")
    assert m["energy_mae"].value < 1.0
    assert m["energy_mae_as_is"].value == pytest.approx(1e5, rel=1e-3)
    assert m["energy_mae"].n_eff == pytest.approx(N_TRAJECTORIES - 1)
    assert "degree" in m["energy_mae"].note
    assert any("+100" in note for note in outcome.notes)
    plain, _ = judge_planted(error)
    assert verdicts(Parity, plain)["energy_mae"] == "FAIL"


def test_isolated_atoms_set_the_zero():
    """The planted potential gives -2 eV for the lone atom; labels say -7 eV: 5 eV an atom are taken off."""

    def error(frame, rng):
        return 5.0 * len(frame.structure), np.zeros_like(frame.forces), np.zeros((3, 3))

    _, m = judge_planted(error, energy_reference="isolated_atoms", isolated_atom_energies_eV={"Si": -7.0})
    assert m["energy_mae"].value == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(InputError, match="isolated_atom_energies_eV of Si"):
        judge_planted(error, energy_reference="isolated_atoms")


def test_leaked_frames_fail():
    train = [FRAMES[4], FRAMES[30]]
    fake = Fake(
        labelled={"test": FRAMES, "train": train},
        potential=Planted(noise()),
        theories={"test": "PBE", "train": "LDA"},
    )
    outcome, m = run(Parity, fake, frames={"reference": "test"}, train={"reference": "train"})
    assert m["leaked_frames"].value == 2
    assert verdicts(Parity, outcome)["leaked_frames"] == "FAIL"
    assert any("trained on LDA, tested on PBE" in note for note in outcome.notes)
    moved = [
        replace(
            f, structure=f.structure.with_positions(f.structure.positions * 1.05, f.structure.cell * 1.05)
        )
        for f in train
    ]
    fake = Fake(labelled={"test": FRAMES, "train": moved}, potential=Planted(noise()))
    outcome, m = run(Parity, fake, frames={"reference": "test"}, train={"reference": "train"})
    assert m["leaked_frames"].value == 0


def test_missing_labels_are_said_and_not_scored():
    frames = [replace(f, stress=None) for f in FRAMES]
    fake = Fake(labelled={"test": frames}, potential=Planted(noise(), FRAMES), use=IntendedUse(300.0))
    fake.potential.frames = {f.structure.hash: f for f in FRAMES}
    _, m = run(Parity, fake, frames={"reference": "test"})
    assert "stress_mae" not in m  # at constant volume nobody asks
    fake.use = IntendedUse(300.0, pressure_bar=1.0)
    outcome, m = run(Parity, fake, frames={"reference": "test"})
    assert m["stress_mae"].value is None
    assert "no stress labels" in m["stress_mae"].note
    assert verdicts(Parity, outcome)["stress_mae"] == "INCONCLUSIVE"
    partly = [replace(f, forces=None) if k % 3 == 0 else f for k, f in enumerate(FRAMES)]
    fake = Fake(labelled={"test": partly}, potential=Planted(noise(), FRAMES))
    _, m = run(Parity, fake, frames={"reference": "test"})
    assert m["force_rmse"].value == pytest.approx(10.0, rel=0.05)


def test_potential_without_stress_leaves_it_out():
    potential = Planted(noise())
    potential.capabilities = Capabilities(frozenset({"energy", "forces"}))
    _, m = run(Parity, Fake(labelled={"test": FRAMES}, potential=potential), frames={"reference": "test"})
    assert "stress_mae" not in m


def test_worst_frames_are_the_planted_ones_and_pictures_are_small():
    def error(frame, rng):
        df = 0.01 * rng.standard_normal(frame.forces.shape)
        if frame.label == "f#7-1":
            df[5] += 2.0
        return 0.0, df, np.zeros((3, 3))

    outcome, _ = judge_planted(error, worst_frames=2)
    pictures = [f for f in outcome.figures if f.id.startswith("parity-worst")]
    assert len(pictures) == 2
    assert "f#7-1" in pictures[0].caption
    assert pictures[0].highlight == [5]
    assert sum(len(f.model_dump_json()) for f in outcome.figures) < 600_000


def test_measure_is_repeatable_bit_for_bit():
    first, second = (judge_planted(noise())[0] for _ in range(2))
    assert [m.model_dump_json() for m in first.measurements] == [
        m.model_dump_json() for m in second.measurements
    ]
    assert [f.model_dump_json() for f in first.figures] == [f.model_dump_json() for f in second.figures]
