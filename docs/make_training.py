"""Accuracy of trainings on public data, ours beside mace-torch: docs/records/training.json, docs/training.md.

    export MLIPBENCH_DATA=...                            # or `mlipbench references fetch` the sets
    python docs/make_training.py ours acac               # mlipbench train
    python docs/make_training.py mace acac --python P    # mace-torch, P the Python of an environment with it
    python docs/make_training.py curve water 40          # mlipbench train on 40 of the frames, as many steps
    python docs/make_training.py collect                 # test errors of all that was trained

Both train on the same files with the same settings: split, network, loss, optimiser, average of weights,
number of epochs, one seed each. Everything lies in build/training and may be killed: what is finished is not
done again.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase.io
import numpy as np

from mlipbench.core.shipped import reference_data
from mlipbench.core.structure import LabelledFrame
from mlipbench.data.frames import as_atoms, read_frames
from mlipbench.data.parts import read_parts
from mlipbench.data.references import Manifest
from mlipbench.data.splits import split
from mlipbench.potentials.embedded import embedded
from mlipbench.store.provenance import provenance

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "training"
RECORD = ROOT / "docs" / "records" / "training.json"
PAGE = ROOT / "docs" / "training.md"
BEGIN, END = "<!-- table -->", "<!-- end -->"
COMMON: dict[str, Any] = {
    "num_layers": 2, "correlation": 3, "num_radial_basis": 8, "radial_mlp": [64, 64, 64],
    "readout_mlp": 16, "lr": 0.01, "weight_decay": 5e-7, "amsgrad": True, "clip_grad": 10.0,
    "ema_decay": 0.99, "scheduler": "plateau", "lr_factor": 0.8, "seed": 1, "dtype": "float32",
    "scaling": "rms_forces", "audit": "note",
    "keys": {"energy": "REF_energy", "forces": "REF_forces", "stress": "REF_stress"},
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """What is trained on, how, and tested on."""

    train: tuple[str, ...]  # references
    tests: dict[str, str]  # name -> reference
    settings: dict[str, Any]
    valid: float = 0.1
    stress: bool = False
    isolated: str = ""  # reference with free atoms; else least squares
    limit: int | None = None  # training frames
    published: dict[str, str] = field(default_factory=dict)


CASES = {
    "acac": Case(
        train=("acac_train_300K",),
        tests={
            "300 K": "acac_test_MD_300K", "600 K": "acac_test_MD_600K",
            "dihedral": "acac_test_dihedral", "proton transfer": "acac_test_H_transfer",
        },
        settings={
            "hidden_irreps": "32x0e + 32x1o", "max_ell": 3, "r_max": 5.0, "num_polynomial_cutoff": 5,
            "batch_size": 10, "max_num_epochs": 60, "energy_weight": 1.0, "forces_weight": 100.0,
            "scheduler_patience": 5,
        },
        isolated="acac_isolated_atoms",
    ),
    "si_pbe": Case(
        train=("si_pbe_train",),
        tests={"test": "si_pbe_test"},
        settings={
            "hidden_irreps": "32x0e + 32x1o", "max_ell": 3, "r_max": 5.0, "num_polynomial_cutoff": 5,
            "batch_size": 2, "dtype": "mixed", "clip_grad": 100.0, "scheduler": "cosine", "lr_min": 1e-5,
            "train_schedule": {
                "forces": {
                    "start": 0, "end": 59, "lr": 0.01,
                    "loss": {"energy_per_atom": 1000.0, "forces": 100.0, "stress": 1000.0},
                },
                "energies": {
                    "start": 60, "end": 89, "lr": 0.002,
                    "loss": {"energy_per_atom": 40000.0, "forces": 100.0, "stress": 10000.0},
                },
            },
        },
        stress=True,
        published={"SNAP": "6.4 meV/atom, 133 meV/A", "qSNAP": "3.8 meV/atom, 116 meV/A"},
    ),
    "water": Case(
        train=("water_pbe0ts",),
        tests={"held-out segments": ""},
        settings={
            "hidden_irreps": "32x0e + 32x1o", "max_ell": 1, "r_max": 5.0, "num_polynomial_cutoff": 5,
            "batch_size": 1, "max_num_epochs": 50, "energy_weight": 1.0, "forces_weight": 100.0,
            "lr_factor": 0.7, "scheduler_patience": 2,
        },
        limit=300,
    ),
}  # fmt: skip


# ---------------------------------------------------------------- data
def prepare(name: str) -> Path:
    """The files of a case, made once; their folder."""
    case, folder = CASES[name], WORK / name
    if (folder / "valid.extxyz").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest.load(reference_data())
    frames = [f for reference in case.train for f in manifest.frames(reference)]
    if name == "water":
        train, valid, test = segments()
        tests = {"held-out segments": [frames[n] for n in test]}
        evenly = np.linspace(0, len(train) - 1, min(case.limit or len(train), len(train)))
        train = [train[int(n)] for n in evenly]
    else:
        train, valid, _ = split([""] * len(frames), case.valid, 0.0, "random", seed=0)
        tests = {test: manifest.frames(reference) for test, reference in case.tests.items()}
    for test, chosen in tests.items():
        write(folder / f"test-{test}.extxyz", chosen, case.stress)
    atoms = manifest.frames(case.isolated) if case.isolated else []
    if atoms:
        write(folder / "isolated.extxyz", atoms, False)
    write(folder / "train.extxyz", [frames[n] for n in train], case.stress)
    write(folder / "valid.extxyz", [frames[n] for n in valid], case.stress)
    return folder


def segments() -> tuple[list[int], list[int], list[int]]:
    """Train, validation, test frames of water, contiguous in the rebuilt time order."""
    members = read_parts(reference_data() / "water" / "water_pbe0ts_parts.csv")
    train, valid, test = ([m.frame for m in members if m.part == part] for part in ("train", "valid", "test"))
    return train, valid, test


def write(path: Path, frames: list[LabelledFrame], stress: bool) -> None:
    """Extended XYZ with labels under names that no reader takes for a calculator's."""
    made = []
    for frame in frames:
        atoms = as_atoms(frame)
        atoms.info["REF_energy"] = atoms.info.pop("energy")
        if "forces" in atoms.arrays:
            atoms.arrays["REF_forces"] = atoms.arrays.pop("forces")
        found = atoms.info.pop("stress", None)
        if stress and found is not None:
            atoms.info["REF_stress"] = found
        made.append(atoms)
    ase.io.write(path, made, format="extxyz")


def free_atoms(folder: Path) -> dict[str, float] | str:
    """E0s from isolated.extxyz, or `average`."""
    path = folder / "isolated.extxyz"
    if not path.exists():
        return "average"
    return {str(a.symbols): float(a.info["REF_energy"]) for a in ase.io.read(path, ":")}


# ---------------------------------------------------------------- training
def ours(name: str, changes: dict[str, Any] | None = None, code: str = "ours") -> None:
    """`mlipbench train` in build/training/NAME/CODE, with changes of the configuration."""
    folder = prepare(name)
    keys = (
        COMMON["keys"] if CASES[name].stress else {k: v for k, v in COMMON["keys"].items() if k != "stress"}
    )
    config = COMMON | CASES[name].settings | {
        "keys": keys, "train_file": "train.extxyz", "valid_file": "valid.extxyz", "name": name,
        "E0s": free_atoms(folder),
    } | (changes or {})  # fmt: skip
    if "train_schedule" in config:
        del config["lr"]  # each stage has its own
    (folder / f"{code}.yaml").write_text(json.dumps(config, indent=1))
    command = [sys.executable, "-m", "mlipbench", "train", f"{code}.yaml", "--output", code]
    timed(command, folder, code)


def curve(name: str, count: int) -> None:
    """`ours` again on `count` of the training frames, evenly chosen, in build/training/NAME/ours-COUNT.
    As many steps, validated and slowed down after as many."""
    folder = prepare(name)
    frames: Any = ase.io.read(folder / "train.extxyz", ":")
    ase.io.write(
        folder / f"train-{count}.extxyz",
        [frames[int(n)] for n in np.linspace(0, len(frames) - 1, count)],
        format="extxyz",
    )
    factor = len(frames) / count
    changes = {
        "train_file": f"train-{count}.extxyz", "eval_interval": round(factor),
        "max_num_epochs": round(factor * CASES[name].settings["max_num_epochs"]),
    }  # fmt: skip
    ours(name, changes, f"ours-{count}")


def mace(name: str, python: str) -> None:
    """mace_run_train with the same settings in build/training/NAME/mace, converted to mace.mlip."""
    if "train_schedule" in CASES[name].settings:
        raise SystemExit(f"{name} is trained in stages of our own: `ours {name}`")
    folder = prepare(name)
    c, case = COMMON | CASES[name].settings, CASES[name]
    e0s = free_atoms(folder)
    if isinstance(e0s, dict):
        e0s = json.dumps({ase.data.atomic_numbers[k]: v for k, v in e0s.items()}).replace('"', "")
    options = {
        "name": "mace", "model": "ScaleShiftMACE", "train_file": "train.extxyz", "valid_file": "valid.extxyz",
        "E0s": e0s, "r_max": c["r_max"], "num_interactions": c["num_layers"],
        "hidden_irreps": c["hidden_irreps"], "max_ell": c["max_ell"], "correlation": c["correlation"],
        "num_radial_basis": c["num_radial_basis"], "num_cutoff_basis": c["num_polynomial_cutoff"],
        "radial_MLP": str(c["radial_mlp"]), "MLP_irreps": f"{c['readout_mlp']}x0e",
        "interaction": "RealAgnosticResidualInteractionBlock",
        "interaction_first": "RealAgnosticResidualInteractionBlock", "scaling": "rms_forces_scaling",
        "loss": "stress" if case.stress else "weighted", "energy_weight": c["energy_weight"],
        "forces_weight": c["forces_weight"], "stress_weight": c.get("stress_weight", 1.0),
        "batch_size": c["batch_size"], "valid_batch_size": c["batch_size"], "lr": c["lr"],
        "weight_decay": c["weight_decay"], "optimizer": "adamw", "scheduler": "ReduceLROnPlateau",
        "lr_factor": c["lr_factor"], "scheduler_patience": c["scheduler_patience"],
        "ema_decay": c["ema_decay"], "clip_grad": c["clip_grad"], "max_num_epochs": c["max_num_epochs"],
        "patience": 10000, "eval_interval": 1, "default_dtype": c["dtype"], "device": "cpu",
        "seed": c["seed"], "energy_key": "REF_energy", "forces_key": "REF_forces",
        "stress_key": "REF_stress", "work_dir": "mace", "num_workers": 0,
    }  # fmt: skip
    words = [f"--{key}={value}" for key, value in options.items()]
    script = Path(python).parent / "mace_run_train"
    timed([python, str(script), *words, "--ema", "--amsgrad", "--restart_latest"], folder, "mace")
    found = sorted((folder / "mace").rglob("mace.model"))
    convert = [python, "-m", "mlipbench", "convert", str(found[0]), "mace.mlip", "--trust-pickle"]
    subprocess.run(convert, cwd=folder, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


def timed(command: list[str], folder: Path, code: str) -> None:
    """Run a command; its seconds of wall and processor time are added to those of earlier tries that ended by
    themselves. A try that is killed together with this script leaves none."""
    began, before = time.monotonic(), os.times()
    with open(folder / f"{code}.log", "a") as log:
        subprocess.run(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    load = os.getloadavg()[2]
    with open(folder / f"{code}-times.jsonl", "a") as log:
        note = {
            "wall_s": round(time.monotonic() - began, 1),
            "cpu_s": round(spent, 1),
            "load": round(load, 1),
        }
        log.write(json.dumps(note | {"threads": os.environ.get("OMP_NUM_THREADS", "default")}) + "\n")


# ---------------------------------------------------------------- results
def collect() -> None:
    """Test errors of all that was trained."""
    found: dict[str, Any] = json.loads(RECORD.read_text())["cases"] if RECORD.exists() else {}
    for name, case in CASES.items():
        folder = WORK / name
        made = {"mace-torch": (folder / "mace.mlip", folder / "mace-times.jsonl")}
        for path in sorted(folder.glob("ours*/*.mlip")):
            made[path.parent.name] = path, folder / f"{path.parent.name}-times.jsonl"
        for code, (path, times) in made.items():
            if path.exists():
                entry = found.setdefault(name, {})
                entry |= {"settings": case.settings, "published": case.published}
                entry.setdefault("codes", {})[code] = {
                    "tests": {test: errors(path, folder / f"test-{test}.extxyz") for test in case.tests},
                    "times": [json.loads(line) for line in times.read_text().splitlines()],
                }
    record = {
        "date": datetime.date.today().isoformat(), "machine": provenance({})["processor"], "cases": found,
    }  # fmt: skip
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{table(found)}\n{END}{tail}")


def errors(potential: Path, path: Path) -> dict[str, float]:
    """MAE of energy (meV/atom) and forces (meV/A), standard errors over frames, and what a mean of the test
    energies misses by; energies alone where the frames have no forces."""
    frames = read_frames(path)
    answers = embedded(potential).evaluate([f.structure for f in frames])
    n = np.array([len(f.structure) for f in frames])
    labels = np.array([1e3 * (f.energy or 0.0) for f in frames]) / n
    energy = np.abs(np.array([1e3 * a.energy for a in answers]) / n - labels)
    root = len(frames) ** 0.5
    found = {
        "frames": len(frames),
        "energy_mae": float(energy.mean()),
        "energy_stderr": float(energy.std(ddof=1) / root),
        "mean_energy_mae": float(np.abs(labels - labels.mean()).mean()),
    }
    pairs = [(a.forces, f.forces) for a, f in zip(answers, frames, strict=True) if f.forces is not None]
    if pairs:
        force = np.array([1e3 * np.abs(got - label).mean() for got, label in pairs])
        found["forces_mae"] = float((force * n).sum() / n.sum())
        found["forces_stderr"] = float(force.std(ddof=1) / root)
        found["mean_force"] = float(np.mean([1e3 * np.abs(label).mean() for _, label in pairs]))
    return found


def table(found: dict[str, Any]) -> str:
    """Both codes side by side."""
    lines = [
        "| set, test | code | frames | energy MAE (meV/atom) | forces MAE (meV/A) "
        "| mean \\|E - mean\\|, mean \\|F\\| | processor time of the training |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, entry in found.items():
        for code, trained in sorted(entry["codes"].items(), key=_order):
            seconds = sum(t["cpu_s"] for t in trained["times"])
            _, _, count = code.partition("-")
            who = f"ours, {count} frames" if count.isdigit() else code
            for test, e in trained["tests"].items():
                energy = f"{e['energy_mae']:.2f} ± {e['energy_stderr']:.2f}"
                forces = (
                    f"{e['forces_mae']:.1f} ± {e['forces_stderr']:.1f}" if "forces_mae" in e else "no labels"
                )
                size = f", {e['mean_force']:.0f}" if "mean_force" in e else ""
                lines.append(
                    f"| {name}, {test} | {who} | {e['frames']} | {energy} | {forces} "
                    f"| {e['mean_energy_mae']:.1f}{size} | {seconds / 60:.0f} min |"
                )
        for who, values in entry.get("published", {}).items():
            lines.append(f"| {name} | {who}, published | | {values} | | | |")
    return "\n".join(lines)


def _order(entry: tuple[str, Any]) -> tuple[str, int]:
    """mace-torch behind ours, larger parts behind smaller ones, all frames first."""
    who, _, count = entry[0].partition("-")
    return ("z" if who == "mace" else who), int(count) if count.isdigit() else 0


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["ours", "mace", "curve", "collect"])
    parser.add_argument("case", nargs="?", choices=list(CASES))
    parser.add_argument("count", nargs="?", type=int, help="of training frames, for `curve`")
    parser.add_argument("--python", default=sys.executable, help="of an environment with mace-torch")
    arguments = parser.parse_args()
    if arguments.stage == "collect":
        collect()
    elif arguments.case is None:
        parser.error("name a case: " + ", ".join(CASES))
    elif arguments.stage == "ours":
        ours(arguments.case)
    elif arguments.stage == "curve" and arguments.count is None:
        parser.error("curve: say how many frames")
    elif arguments.stage == "curve":
        curve(arguments.case, arguments.count)
    else:
        mace(arguments.case, arguments.python)


if __name__ == "__main__":
    main()
