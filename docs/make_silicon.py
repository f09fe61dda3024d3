"""The potential that comes with mlipbench: trained, measured, and put where it ships.

    python docs/make_silicon.py train 0       # member 0 of four; they may be trained side by side
    python docs/make_silicon.py curve 0.25    # member 0 on a quarter of the frames, as many steps
    python docs/make_silicon.py collect       # what ships, docs/silicon.md, reports/examples/training

Configuration: mlipbench/potentials/silicon/train.yaml. Everything lies in build/mace-si and may be killed:
the same command goes on from there.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import ruamel.yaml
from make_training import timed

from mlipbench.core.shipped import reference_data
from mlipbench.core.structure import LabelledFrame
from mlipbench.core.training import TrainingRecord
from mlipbench.data.hdf5 import write_hdf5
from mlipbench.data.references import Manifest
from mlipbench.report.training import read_record
from mlipbench.store import layout
from mlipbench.store.provenance import provenance

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "mlipbench" / "potentials" / "silicon"
CONFIG = SHIPPED / "train.yaml"
WORK = ROOT / "build" / "mace-si"
RECORD = ROOT / "docs" / "records" / "silicon.json"
PAGE = ROOT / "docs" / "silicon.md"
MLIPBENCH = (sys.executable, "-m", "mlipbench")
EXAMPLE = ROOT / "reports" / "examples" / "training"
BEGIN, END = "<!-- table -->", "<!-- end -->"


# ---------------------------------------------------------------- training
def train(member: int) -> None:
    """One member; the last of the four makes the potential."""
    WORK.mkdir(parents=True, exist_ok=True)
    words = ["train", str(CONFIG), "--output", str(WORK / "whole"), "--member", str(member)]
    timed([*MLIPBENCH, *words], WORK, f"member-{member}")


def curve(fraction: float) -> None:
    """The first member again, with a part of the training frames and the same number of steps."""
    folder = WORK / f"part-{fraction:g}"
    folder.mkdir(parents=True, exist_ok=True)
    chosen = part_of(Manifest.load(reference_data()).frames("silicon_pbe_train"), fraction)
    write_hdf5(folder / "train.h5", chosen)
    config = ruamel.yaml.YAML(typ="safe").load(CONFIG)
    factor = 1 / fraction
    for stage in config["train_schedule"].values():
        stage["start"] = round(stage["start"] * factor)
        stage["end"] = round((stage["end"] + 1) * factor) - 1
    config |= {"train_file": "train.h5", "committee": 1}
    (folder / "train.yaml").write_text(json.dumps(config, indent=1) + "\n")  # JSON is YAML
    words = ["train", str(folder / "train.yaml"), "--output", str(folder / "out")]
    timed([*MLIPBENCH, *words], WORK, f"part-{fraction:g}")


def part_of(frames: list[LabelledFrame], fraction: float) -> list[LabelledFrame]:
    """Of every kind of frame the same share, evenly; free atoms all, because they set the zero."""
    chosen: list[LabelledFrame] = []
    for kind in sorted({f.config_type for f in frames}):
        mine = [f for f in frames if f.config_type == kind]
        count = len(mine) if len(mine[0].structure) == 1 else max(1, round(fraction * len(mine)))
        chosen += [mine[int(n)] for n in np.linspace(0, len(mine) - 1, count)]
    return chosen


# ---------------------------------------------------------------- results
def collect() -> None:
    """Ship the potential and its page, and write down how good it is."""
    whole = read_record(WORK / "whole")[0]
    if not whole.finished:
        raise SystemExit("not all members are trained; see --help")
    shutil.copy(WORK / "whole" / "mace-si.mlip", SHIPPED / "mace-si.mlip")
    EXAMPLE.mkdir(parents=True, exist_ok=True)
    for name in (layout.REPORT, layout.TRAINING, layout.METHODS, layout.CITATIONS):
        shutil.copy(WORK / "whole" / name, EXAMPLE / name)
    found = {"all": measured(whole, WORK.glob("member-*-times.jsonl"))}
    for path in sorted(WORK.glob(f"part-*/out/{layout.TRAINING}")):
        record = read_record(path.parent)[0]
        if record.finished:
            name = path.parents[1].name
            found[name] = measured(record, [WORK / f"{name}-times.jsonl"])
    RECORD.write_text(
        json.dumps(
            {
                "date": datetime.date.today().isoformat(),
                "machine": provenance({})["processor"],
                "potentials": found,
            },
            indent=1,
        )
        + "\n"
    )
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{tables(found)}\n{END}{tail}")


def measured(record: TrainingRecord, times: Iterable[Path]) -> dict[str, Any]:
    """What a training came to."""
    seconds = [json.loads(line)["cpu_s"] for path in times for line in path.read_text().splitlines()]
    return {
        "frames": next(p.n_frames for p in record.parts if p.part == "train"),
        "members": len(record.members),
        "processor_s": round(sum(seconds)),
        "rows": [row.model_dump(mode="json") for row in record.rows],
    }


def tables(found: dict[str, Any]) -> str:
    """Errors by kind of frame, and over the number of frames."""
    kinds = [
        "| test frames | frames | energy MAE (meV/atom) | forces MAE (meV/A) | stress MAE (meV/A^3) |",
        "|:--|--:|--:|--:|--:|",
        *(line(row, row["config_type"] or "all") for row in rows_of(found["all"], "test")),
    ]
    growth = [
        "| trained on | members | energy MAE (meV/atom) | forces MAE (meV/A) | stress MAE (meV/A^3) |",
        "|:--|--:|--:|--:|--:|",
    ]
    for entry in sorted(found.values(), key=lambda e: (e["frames"], e["members"])):
        whole = next(row for row in rows_of(entry, "test") if not row["config_type"])
        growth.append(line(whole, f"{entry['frames']} frames", entry["members"]))
    return "\n".join([*kinds, "", *growth])


def rows_of(entry: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """Error rows of one part."""
    return [row for row in entry["rows"] if row["part"] == part]


def line(row: dict[str, Any], name: str, count: int | None = None) -> str:
    """One line of a table, errors with their standard errors over trajectories."""
    e = row["errors"]
    cells = [
        f"{e[key]:.1f}" + ("" if row.get(f"{key}_stderr") is None else f" ± {row[f'{key}_stderr']:.1f}")
        if e[key] is not None
        else "–"
        for key in ("energy_mae", "forces_mae", "stress_mae")
    ]
    return f"| {name} | {e['n_frames'] if count is None else count} | {' | '.join(cells)} |"


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    stages = parser.add_subparsers(dest="stage", required=True)
    stages.add_parser("train").add_argument("member", type=int)
    stages.add_parser("curve").add_argument("fraction", type=float)
    stages.add_parser("collect")
    arguments = parser.parse_args()
    if arguments.stage == "train":
        train(arguments.member)
    elif arguments.stage == "curve":
        curve(arguments.fraction)
    else:
        collect()


if __name__ == "__main__":
    main()
