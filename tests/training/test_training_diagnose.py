"""Each failure of a training is recognised, and a sound twin of it gives no alarm (made-up records)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import records
from records import errors, member, record, rows, sound

from mlipbench.core.training import Diagnosis, Epoch, Errors, MemberRecord, TrainingRecord
from mlipbench.training.diagnosis.curves import spikes
from mlipbench.training.diagnosis.diagnose import diagnose
from mlipbench.training.diagnosis.trend import trend


def ids(found: TrainingRecord) -> list[str]:
    return [d.id for d in diagnose(found)]


def only(found: TrainingRecord) -> Diagnosis:
    diagnoses = diagnose(found)
    assert len(diagnoses) == 1, [d.id for d in diagnoses]
    return diagnoses[0]


def of(
    forces_train: float, forces_valid: float, members: list[MemberRecord], **fields: object
) -> TrainingRecord:
    """A record whose table of errors agrees with its curves."""
    table = rows(errors(forces_train, 100), errors(forces_valid, 20), errors(forces_valid, 40))
    return record(members, rows=table, **fields)


# ---------------------------------------------------------------- sound
def test_sound_trainings_give_no_alarm() -> None:
    assert ids(record()) == []
    assert ids(record([member(seed=s) for s in range(4)], config={"committee": 4})) == []
    assert ids(record([member(400)])) == []


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.25])
def test_noise_gives_no_alarm(noise: float) -> None:
    """40 sound trainings whose errors scatter by 2, 10 or 25 % from epoch to epoch."""
    accused = [s for s in range(40) if ids(record([member(noise=noise, seed=s)]))]
    assert accused == []


def test_trend_of_a_known_curve() -> None:
    """Oracle: exp(-t) from 1 to 1/2 falls by half; one wild value in ten does not turn it (least squares
    would give a fall of 0.2 or a rise)."""
    y = 0.5 ** np.linspace(0, 1, 41)
    found = trend(y)
    assert found is not None
    assert found.change == pytest.approx(-0.5, abs=1e-12)
    assert found.falls
    y[5::10] *= 50
    found = trend(y)
    assert found is not None
    assert found.change == pytest.approx(-0.5, abs=0.02)
    assert trend([1.0, 2.0]) is None
    random = np.random.default_rng(2)
    doubtful = [trend(np.exp(0.1 * random.standard_normal(30))) for _ in range(200)]
    wrong = sum(t is not None and (t.falls or t.rises) for t in doubtful)
    assert wrong <= 8  # 2 expected of 200 at 99 %; 8 or fewer with a probability of 0.9999


# ---------------------------------------------------------------- force error on a plateau
def test_plateau_of_capacity() -> None:
    found = only(of(80, 84, [member(forces=80, gap=1.05)]))
    assert found.id == "plateau.capacity"
    assert "validation force MAE 84 meV/A, not fallen" in found.evidence.replace("85", "84").replace(
        "83", "84"
    )
    assert '`max_ell: 3` in place of 2 and `hidden_irreps: "32x0e + 32x1o + 32x2e"`' in found.remedy


def test_plateau_at_the_highest_order_asks_for_channels() -> None:
    full = {"max_ell": 3, "hidden_irreps": "32x0e + 32x1o + 32x2e"}
    found = only(of(80, 84, [member(forces=80, gap=1.05)], architecture=full))
    assert 'hidden_irreps: "64x0e + 64x1o + 64x2e"' in found.remedy
    assert "max_ell" not in found.remedy


def test_plateau_of_scalars() -> None:
    scalar = {"max_ell": 0, "hidden_irreps": "16x0e"}
    found = only(of(80, 84, [member(forces=80, gap=1.05)], architecture=scalar))
    assert '`max_ell: 2` in place of 0 and `hidden_irreps: "16x0e + 16x1o"`' in found.remedy


def test_plateau_of_data() -> None:
    found = only(of(30, 90, [member(forces=30, gap=3.0)]))
    assert found.id == "plateau.data"
    assert "100" in found.remedy


def test_plateau_of_a_rate_never_lowered() -> None:
    found = only(of(80, 84, [member(forces=80, gap=1.05, lr=lambda t: 1.0)]))
    assert found.id == "plateau.schedule"
    assert "scheduler: cosine" in found.remedy
    assert "lr: 0.001" in found.remedy


def test_no_plateau_below_the_limit() -> None:
    assert ids(of(45, 47, [member(forces=44, gap=1.05)])) == []


# ---------------------------------------------------------------- length
def falling(t: float) -> float:
    return 1 + 10 * float(np.exp(-3 * t))


@pytest.mark.parametrize(("forces", "expected"), [(20.0, "third|fifth"), (70.0, "third")])
def test_training_that_ended_too_early(forces: float, expected: str) -> None:
    found = only(of(forces, forces, [member(train=falling, forces=forces / 1.5, gap=1.0)]))
    assert found.id == "unfinished"
    assert any(f"in the last {word} of 60 epochs" in found.evidence for word in expected.split("|"))
    assert "`max_num_epochs: 120` in place of 60" in found.remedy


def test_too_few_epochs_to_tell() -> None:
    found = only(record([member(6)]))
    assert (found.id, found.level) == ("unfinished", "note")


def test_interrupted_and_diverged() -> None:
    assert only(record([member(20, ended="unfinished")])).id == "interrupted"
    broken = member(3, ended="diverged", message="loss is nan in epoch 3, batch 2")
    found = only(record([broken]))
    assert (found.id, found.level) == ("diverged", "error")
    assert "loss is nan in epoch 3, batch 2" in found.evidence
    cause = Diagnosis(id="nan.e0s", level="error", what="E0s.", evidence="49 eV", remedy="Compute them.")
    explained = diagnose(record([broken.model_copy(update={"causes": [cause]})]))
    assert [d.id for d in explained] == ["diverged", "nan.e0s"]
    assert "causes that are named" in explained[0].remedy


def test_remedies_speak_of_the_last_stage_of_a_schedule() -> None:
    stages = {
        "0": {"name": "forces", "start": 0, "end": 39, "loss": {"forces": 100.0}, "lr": 0.01},
        "1": {
            "name": "",
            "start": 40,
            "end": 59,
            "loss": {"forces": 10.0, "energy_per_atom": 1.0},
            "lr": 1e-3,
        },
    }
    found = only(of(20, 20, [member(train=falling, forces=14, gap=1.0)], config={"train_schedule": stages}))
    assert "`end: 118` in place of 59 in stage 1 of train_schedule" in found.remedy


# ---------------------------------------------------------------- overfitting and the gap
def overfitted(noise: float = 0.05, seed: int = 1, epochs: int = 120) -> MemberRecord:
    return member(
        epochs, forces=16, noise=noise, seed=seed, train=lambda t: sound(t) - 0.7 * t,
        valid=lambda t: 1.3 * sound(t) + 1.2 * max(t - 0.3, 0.0),
    )  # fmt: skip


def test_overfitting() -> None:
    found = only(record([overfitted()]))
    assert found.id == "overfitting"
    assert "100 training frames" in found.evidence
    assert 'hidden_irreps: "16x0e + 16x1o"' in found.remedy
    assert "`weight_decay: 5e-06` in place of 5e-07" in found.remedy
    start = int(found.evidence.split("from epoch ")[1].split(" ")[0])
    assert 45 <= start <= 68  # its valid(t) is lowest at t = ln(260) / 12, in epoch 55


def test_overfitting_under_noise() -> None:
    assert [s for s in range(20) if ids(record([overfitted(0.1, s)])) != ["overfitting"]] == []


def test_flat_validation_is_no_overfitting() -> None:
    """Training falls on, validation stays with noise of 20 %: its lowest value is chance."""
    for seed in range(20):
        flat = member(
            120, noise=0.1, seed=seed, train=lambda t: sound(t) - 0.3 * t, valid=lambda t: 1.3 * sound(t)
        )
        assert "overfitting" not in ids(record([flat]))


def scaled(epoch: Epoch, factor: float) -> Epoch:
    losses = {"valid_loss": factor * (epoch.valid_loss or 0.0), "train_loss": factor * epoch.train_loss}
    return epoch.model_copy(update={"stage": "energies", **losses})


def test_rise_at_a_new_stage_is_no_overfitting() -> None:
    """Losses of stages have other weights and cannot be compared."""
    one = member(80)
    epochs = [e if e.epoch < 40 else scaled(e, 30.0) for e in one.epochs]
    assert ids(record([one.model_copy(update={"epochs": epochs})])) == []


def test_overfitting_within_the_second_stage_is_found() -> None:
    first, second = member(40), overfitted()
    later = [e.model_copy(update={"epoch": e.epoch + 40, "stage": "energies"}) for e in second.epochs]
    found = only(record([first.model_copy(update={"epochs": [*first.epochs, *later]})]))
    assert found.id == "overfitting"
    assert "of stage energies" in found.evidence


def test_gap() -> None:
    found = only(record(rows=rows(errors(20, 100), errors(28, 20), errors(28, 40))))
    assert (found.id, found.level) == ("gap", "note")
    assert "40 % more" in found.evidence
    wide = only(record(rows=rows(errors(10, 100), errors(28, 20), errors(28, 40))))
    assert (wide.id, wide.level) == ("gap", "warning")


def test_gap_allows_for_harder_frames_and_for_chance() -> None:
    table = rows(errors(20, 100), errors(28, 20), errors(28, 40))
    hotter = [
        records.part("train", 100),
        records.part("valid", 20, force_rms=1960.0),
        records.part("test", 40),
    ]
    assert ids(record(rows=table, parts=hotter)) == []
    uncertain = [r.model_copy(update={"forces_mae_stderr": 4.0}) if r.part == "valid" else r for r in table]
    assert ids(record(rows=uncertain)) == []


# ---------------------------------------------------------------- energies and forces
POOR_ENERGIES = rows(errors(24, 100, energy=12), errors(26, 20, energy=12), errors(26, 40, energy=12))


def test_poor_energies() -> None:
    light = member(shares={"energy_per_atom": 0.001, "forces": 0.999})
    scattered = records.frames(energy=15.0)
    found = only(record([light], rows=POOR_ENERGIES, frames=scattered))
    assert found.id == "energies"
    assert "energies are 0.1 % of the training loss" in found.evidence
    assert "`energy_weight: 10` in place of 1" in found.remedy


def test_energy_weight_of_zero() -> None:
    none = member(shares={"forces": 1.0})
    found = only(record([none], rows=POOR_ENERGIES, config={"energy_weight": 0.0}))
    assert found.id == "energies"
    assert "energy_weight raised" in found.remedy


def test_energies_worse_than_their_spread_beside_any_forces() -> None:
    """r.m.s. 1.3 times 90 meV/atom where energies spread by 45, forces of 24 %: not good, but better."""
    table = rows(*(errors(240, n, energy=90) for n in (100, 20, 40)))
    found = ids(record([member(forces=240, gap=1.0)], rows=table, frames=records.frames(energy=110.0)))
    assert set(found) == {"plateau.capacity", "energies"}


def test_energies_that_are_off_by_a_shift() -> None:
    """Of held-out frames alone: another setup. Of training frames too: energies were not learnt."""
    shifted = [f.model_copy(update={"energy": 12.0}) for f in records.frames()]
    learnt = rows(errors(24, 100, energy=0.7), errors(26, 20, energy=12), errors(26, 40, energy=12))
    found = only(record(rows=learnt, frames=shifted))
    assert found.id == "energies.offset"
    assert "mean error +12 meV/atom" in found.evidence
    assert only(record(rows=POOR_ENERGIES, frames=shifted)).id == "energies"


def test_energies_that_are_poor_only_relatively_are_fine() -> None:
    """One phase at one temperature: energies spread by 3 meV/atom, and 0.8 meV/atom is a good error."""
    narrow = [records.part(p, n, energy_spread=3.0) for p, n in (("train", 100), ("valid", 20), ("test", 40))]
    assert (
        ids(record(rows=rows(errors(24, 100, 0.8), errors(26, 20, 0.8), errors(26, 40, 0.8)), parts=narrow))
        == []
    )


def test_poor_forces() -> None:
    table = rows(errors(300, 100, energy=0.5), errors(310, 20, energy=0.5), errors(310, 40, energy=0.5))
    heavy = member(forces=300, gap=1.03, shares={"energy_per_atom": 0.7, "forces": 0.3})
    found = {d.id: d for d in diagnose(record([heavy], rows=table))}
    assert set(found) == {"plateau.capacity", "forces"}
    assert "`forces_weight: 1000` in place of 100" in found["forces"].remedy
    # Where forces are nearly all of the loss already, no weight helps: the plateau alone is told.
    assert ids(record([member(forces=300, gap=1.03)], rows=table)) == ["plateau.capacity"]


def test_forces_that_are_hardly_in_the_loss() -> None:
    table = rows(errors(90, 100, energy=3.0), errors(95, 20, energy=3.0), errors(95, 40, energy=3.0))
    without = member(forces=90, gap=1.05, shares={"energy_per_atom": 1.0})
    found = {d.id: d for d in diagnose(record([without], rows=table, config={"forces_weight": 0.0}))}
    assert set(found) == {"plateau.capacity", "forces"}
    assert "forces are 0 % of the training loss" in found["forces"].evidence


def test_potential_that_is_no_better_than_none() -> None:
    """r.m.s. forces are 1400 meV/A: errors of 1.4 times 1010 are above, those of 1.4 times 990 below."""
    table = rows(errors(1010, 100), errors(1010, 20), errors(1010, 40))
    found = only(record([member(forces=1010, gap=1.0)], rows=table))
    assert (found.id, found.level) == ("useless", "error")
    table = rows(errors(990, 100), errors(990, 20), errors(990, 40))
    assert "useless" not in ids(record([member(forces=990, gap=1.0)], rows=table))


# ---------------------------------------------------------------- outliers
def test_outliers() -> None:
    found = only(record(frames=records.frames(60, outliers=2)))
    assert found.id == "outliers"
    assert "2 of 60 test frames" in found.evidence or "1 of 60 test frames" in found.evidence
    assert "surface" in found.evidence
    assert "0 in training" in found.evidence
    assert "test.extxyz#" in found.evidence


def test_spread_of_errors_is_no_tail() -> None:
    assert ids(record(frames=records.frames(60))) == []
    hot = [f.model_copy(update={"forces_rmse": 3 * (f.forces_rmse or 0)}) for f in records.frames(60)[:9]]
    assert ids(record(frames=[*hot, *records.frames(60)[9:]])) == []


# ---------------------------------------------------------------- steps
def spiked(at: tuple[int, ...], factor: float = 30.0) -> MemberRecord:
    one = member()
    epochs = [
        e.model_copy(update={"train_loss": factor * e.train_loss}) if e.epoch in at else e for e in one.epochs
    ]
    return one.model_copy(update={"epochs": epochs})


def test_spikes() -> None:
    found = only(record([spiked((20, 41, 50))]))
    assert found.id == "instability"
    assert "3 epochs" in found.evidence
    assert "epoch 20" in found.evidence
    assert ids(record([spiked((20,))])) == []  # one bad batch is forgiven


def test_loss_that_rises_and_stays() -> None:
    assert "instability" in ids(record([spiked(tuple(range(40, 60)))]))


def test_weights_that_wander_about_a_good_average() -> None:
    found = only(record([member(forces=72, gap=0.3, clipped=0.97)], rows=[], frames=[]))
    assert found.id == "instability"
    assert "training force MAE of 7" in found.evidence
    assert ids(record([member(forces=30, gap=0.6)], rows=[], frames=[])) == []


def test_steep_beginning_is_no_spike() -> None:
    assert spikes([10.0**-k for k in range(6)] + [1e-5] * 20) == []


def test_clipping() -> None:
    found = only(record([member(clipped=0.97)]))
    assert (found.id, found.level) == ("clipping", "note")
    early = member()
    epochs = [e.model_copy(update={"clipped": 1.0 if e.epoch < 20 else 0.02}) for e in early.epochs]
    assert ids(record([early.model_copy(update={"epochs": epochs})])) == []


# ---------------------------------------------------------------- settings
@pytest.mark.parametrize(
    ("config", "architecture", "told"),
    [
        ({"dtype": "float32"}, {}, ["dtype: float64"]),
        ({}, {"num_polynomial_cutoff": 5}, ["num_polynomial_cutoff: 6"]),
        ({"dtype": "float32"}, {"num_polynomial_cutoff": 5}, ["dtype: float64", "num_polynomial_cutoff: 6"]),
    ],
)
def test_settings_that_let_energies_drift(config: dict, architecture: dict, told: list[str]) -> None:
    found = only(record(config=config, architecture=architecture))
    assert (found.id, found.level) == ("drift", "note")
    assert all(words in found.remedy for words in told)


# ---------------------------------------------------------------- committee, order, gaps in the record
def test_members_are_named_once() -> None:
    found = only(record([member(seed=1), overfitted(seed=2), overfitted(seed=3)]))
    assert found.evidence.startswith("2 of 3 members, of which member 1: ")
    assert only(record([member(), overfitted()])).evidence.startswith("member 1 of 2: ")


def test_worst_comes_first() -> None:
    found = diagnose(record([member(3, ended="diverged"), overfitted()], config={"dtype": "float32"}))
    assert [d.level for d in found] == ["error", "warning", "note"]


CHANGES: dict[str, Callable[[Epoch], Epoch]] = {
    "no validation": lambda e: e.model_copy(update={"valid": None, "valid_loss": None, "valid_terms": {}}),
    "every fifth validated": lambda e: (
        e if e.epoch % 5 == 4 else e.model_copy(update={"valid": None, "valid_loss": None, "valid_terms": {}})
    ),
    "energies alone": lambda e: e.model_copy(
        update={
            "train": Errors(n_frames=9, energy_mae=e.train.energy_mae),
            "valid": Errors(n_frames=9, energy_mae=e.valid.energy_mae if e.valid else None),
        }
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_records_with_gaps(change: str) -> None:
    one = member(100)
    part = one.model_copy(update={"epochs": [CHANGES[change](e) for e in one.epochs]})
    assert ids(record([part], rows=[], frames=[])) in ([], ["unfinished"])
    assert ids(record([part], rows=[], frames=[], parts=[])) in ([], ["unfinished"])


def test_nothing_yet() -> None:
    assert ids(record([], rows=[], frames=[])) == []
    assert ids(record([member(0, ended="unfinished")], rows=[], frames=[])) == ["interrupted"]
