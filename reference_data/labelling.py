"""Sets of labelled frames: which frames there are, their split, labelling them one by one, collecting them.

Shared by the scripts of the sets. Every stage skips what is there already, so that a script may be killed and
started again at any moment, and on another machine from the committed files alone.
"""

import argparse
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import read, write
from ase.neighborlist import neighbor_list

from mlipbench.data.manifest_file import read_document, write_document
from mlipbench.data.references import update_manifest

PARTS = ("train", "val", "test")
SHARES = (("test", 0.25), ("val", 0.1))  # of every kind of frame; the rest is for training


@dataclass(frozen=True)
class Kind:
    """One kind of frame: how many, of what, how hot."""

    name: str  # config_type
    count: int
    temperature_K: tuple[float, float]  # drawn between; (0, 0): as built, no dynamics
    strain: float = 0.0  # components of a random symmetric strain
    scale: tuple[float, float] = (1.0, 1.0)  # of the lattice constant


def names(kinds: Sequence[Kind]) -> list[tuple[str, Kind, int]]:
    """(frame name, kind, number within the kind) of a whole set."""
    return [(f"{kind.name}-{index:02d}", kind, index) for kind in kinds for index in range(kind.count)]


def split_of(kinds: Sequence[Kind]) -> dict[str, str]:
    """Frame name -> train, val or test. Decided by the hash of the name, so it never changes.

    Within a kind the frames are ordered by sha256 of their name; the first go to test and val.
    """
    split = {}
    for kind in kinds:
        mine = [name for name, k, _ in names(kinds) if k is kind]
        mine.sort(key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        parts = [part for part, share in SHARES for _ in range(math.ceil(share * len(mine)))]
        split |= {name: parts[i] if i < len(parts) else "train" for i, name in enumerate(mine)}
    return split


def draw(
    name: str, kinds: Sequence[Kind], salt: str, attempt: Callable[[Kind, int, np.random.Generator], Atoms],
    closest_A: float,
) -> Atoms:  # fmt: skip
    """The frame of a name, from its own random stream (`salt` decides it): the first of 20 attempts in which
    no two atoms are closer than `closest_A`."""
    kind, index = next((kind, index) for n, kind, index in names(kinds) if n == name)
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(salt.encode()).digest()[:8], "big"))
    for _ in range(20):
        atoms = attempt(kind, index, rng)
        if closest(atoms) >= closest_A:
            atoms.info.update(config_type=kind.name, trajectory=name)
            return atoms
    raise RuntimeError(f"{name}: atoms closer than {closest_A} A in 20 attempts")


def closest(atoms: Atoms) -> float:
    """Shortest distance in A, periodic images included; infinite beyond 3 A."""
    distances = neighbor_list("d", atoms, 3.0)
    return float(distances.min()) if len(distances) else math.inf


def order(kinds: Sequence[Kind]) -> list[str]:
    """Names in the order of labelling: random, but every kind advances at its own even pace."""
    rng = np.random.default_rng(0)
    ranked = []
    for kind in kinds:
        mine = rng.permutation([name for name, k, _ in names(kinds) if k is kind])
        ranked += [((i + rng.uniform()) / len(mine), str(name)) for i, name in enumerate(mine)]
    return [name for _, name in sorted(ranked)]


def once(target: Path, make: Callable[[], Atoms]) -> Atoms:
    """A frame that is computed unless its file is there; a kill leaves the whole file or none."""
    if not target.exists():
        write(target.with_suffix(".tmp"), make(), format="extxyz")
        os.replace(target.with_suffix(".tmp"), target)
        print(target.stem, flush=True)
    return read(target)


@dataclass(frozen=True)
class FrameSet:
    """The committed files of a set, and the scratch folder that feeds them."""

    folder: Path  # of the committed files
    prefix: str  # silicon_pbe: silicon_pbe_train.extxyz and so on
    settings: Mapping[str, object]  # of the calculation: labels of other settings are not mixed in
    order: Sequence[str]  # names in the order of labelling
    split: Mapping[str, str]  # name -> part

    def committed(self) -> dict[str, Atoms]:
        """Frames that the committed files hold, by name; none where their settings are other ones."""
        record = self.folder / "provenance.json"
        if not record.exists() or json.loads(record.read_text()).get("settings") != self.settings:
            return {}
        files = [self.folder / f"{self.prefix}_{part}.extxyz" for part in PARTS]
        frames = [frame for file in files if _holds_frames(file) for frame in read(file, ":")]
        return {frame.info["trajectory"]: frame for frame in frames}

    def make_structures(self, work: Path, build: Callable[[str], Atoms], wanted: Sequence[str]) -> None:
        """The structures `wanted` that are not labelled yet, two at a time; `build` makes one of a name."""
        (work / "structures").mkdir(exist_ok=True)
        done = self.committed()
        with ProcessPoolExecutor(2) as pool:
            jobs = [pool.submit(_build, work, name, build) for name in wanted if name not in done]
            for job in jobs:
                job.result()

    def label(
        self, work: Path, part: tuple[int, int], only: str, compute: Callable[[str, Path], Atoms]
    ) -> None:
        """Label what is not labelled yet of the frames of one part whose names match `only`.

        `compute` takes the name and a folder of its own to compute in.
        """
        done = self.committed()
        (work / "labels").mkdir(exist_ok=True)
        mine = [name for name in self.order if fnmatch(name, only)][part[0] :: part[1]]
        for number, name in enumerate(mine):
            target = work / "labels" / f"{name}.extxyz"
            if target.exists() or name in done:
                continue
            print(f"{number + 1}/{len(mine)}", end=" ", flush=True)
            once(target, lambda name=name: compute(name, work / f"scratch{part[0]}"))

    def collect(self, work: Path) -> dict[str, dict]:
        """Add the new labels to the committed files, subtract nothing. Returns their provenance."""
        frames = self.committed()
        for path in sorted((work / "labels").glob("*.extxyz")):
            frames.setdefault(path.stem, read(path))
        files = {}
        for part in PARTS:
            mine = [frames[name] for name in sorted(frames) if self.split[name] == part]
            target = self.folder / f"{self.prefix}_{part}.extxyz"
            write(target, mine, format="extxyz")
            planned = sorted(name for name in self.split if self.split[name] == part)
            files[target.name] = {
                "frames": len(mine),
                "planned": len(planned),
                "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
                "split_sha256": hashlib.sha256("\n".join(planned).encode()).hexdigest(),
                "machine_seconds": round(sum(frame.info["seconds"] for frame in mine)),
                "dates": sorted({frame.info["date"] for frame in mine}),
            }
        return files


def _holds_frames(file: Path) -> bool:
    """Of a set that has just begun a part may be empty."""
    return file.exists() and file.stat().st_size > 0


def _build(work: Path, name: str, build: Callable[[str], Atoms]) -> None:
    once(work / "structures" / f"{name}.extxyz", lambda: build(name))


# ---------------------------------------------------------------- convergence of the settings
def convergence(
    target: Path, work: Path, studies: Mapping[str, Mapping[str, Callable[[], Atoms]]]
) -> dict[str, list[dict]]:
    """Studies {title: {setting: its calculation}}; each setting against the last of its study, as JSON."""
    table = {}
    for title, variants in studies.items():
        answers = []
        for setting, compute in variants.items():
            key = hashlib.sha256(f"{title}: {setting}".encode()).hexdigest()[:12]
            answers.append((setting, once(work / f"convergence-{key}.extxyz", compute)))
        table[title] = [_compare(setting, frame, *answers[-1]) for setting, frame in answers[:-1]]
        target.write_text(json.dumps(table, indent=1) + "\n")
    print(json.dumps(table, indent=1))
    return table


def _compare(setting: str, frame: Atoms, best_setting: str, best: Atoms) -> dict:
    """Differences of one calculation from the best of its study."""
    force = frame.get_forces() - best.get_forces()
    return {
        "setting": setting,
        "against": best_setting,
        "force_max_meV_per_A": round(1e3 * float(np.abs(force).max()), 2),
        "force_rms_meV_per_A": round(1e3 * math.sqrt(float((force**2).mean())), 2),
        "stress_max_GPa": round(float(np.abs(frame.get_stress() - best.get_stress()).max() / units.GPa), 3),
        "energy_meV_per_atom": round(
            1e3 * (frame.get_potential_energy() - best.get_potential_energy()) / len(frame), 2
        ),
        "seconds": [frame.info["seconds"], best.info["seconds"]],
    }


# ---------------------------------------------------------------- curves and the manifest
def write_curve(file: Path, header: Mapping[str, str], columns: str, rows: Iterable[str]) -> None:
    """A reference curve as docs/references.md describes it; columns and rows with their commas."""
    lines = [f"# {key}: {value}" for key, value in header.items()]
    file.write_text("\n".join([*lines, columns, *rows]) + "\n")


def enter(manifest: Path, entries: Mapping[str, Mapping[str, object]]) -> None:
    """Write entries in the place of older ones, new ones before the last of our own; note their sha256.

    The last one carries the comment that separates it from public sets.
    """
    document = read_document(manifest)
    references = document["references"]
    for name, entry in entries.items():
        ours = [known for known, old in references.items() if "public" not in old]
        place = list(references).index(name if name in references else ours[-1])
        references.pop(name, None)
        references.insert(place, name, {**deepcopy(entry), "licence": "MIT", "sha256": None})
    write_document(manifest, document)
    update_manifest(manifest)


# ---------------------------------------------------------------- the script of a set
@dataclass(frozen=True)
class Script:
    """What the stages of a set do; `work` is the scratch folder."""

    frames: FrameSet
    kinds: Sequence[Kind]
    build: Callable[[str], Atoms]  # structure of a name
    label: Callable[[str, Path, Path], Atoms]  # of a name and the file of its structure; in a folder
    convergence: Callable[[Path], None]
    collect: Callable[[Path], None]

    def run(self, description: str, work: Path) -> None:
        """One stage, as the command line says."""
        args = _arguments(description, work)
        args.work.mkdir(parents=True, exist_ok=True)
        folder = args.work / "structures"
        if args.stage == "structures":
            self.frames.make_structures(args.work, self.build, [name for name, _, _ in names(self.kinds)])
        elif args.stage == "convergence":
            self.convergence(args.work)
        elif args.stage == "label":
            self.frames.label(
                args.work, args.part, args.only,
                lambda name, scratch: self.label(name, folder / f"{name}.extxyz", scratch),
            )  # fmt: skip
        else:
            self.collect(args.work)


def _arguments(description: str, work: Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["structures", "convergence", "label", "collect"])
    parser.add_argument("--work", type=Path, default=work, help="scratch folder, not committed")
    parser.add_argument("--only", default="*", help="label the frames of these names: 'md_300K-*'")
    parser.add_argument("--part", type=_part, default="0/1", help="0/2 and 1/2: two calls share the frames")
    return parser.parse_args()


def _part(text: str) -> tuple[int, int]:
    number, of = (int(n) for n in text.split("/"))
    return number, of
