"""A training as a whole: data, members one after the other, the potential, the record.

DIR/config.lock.yaml   the configuration with every default, and what it was checked against
DIR/member-N/          checkpoint.pt, metrics.jsonl, debug.log
DIR/NAME.mlip          the potential
DIR/training.json      the record (core/training.py), of which the report is drawn
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mlipbench.core.errors import StoreError
from mlipbench.core.training import PARTS, ErrorRow, FrameErrors, MemberRecord, TrainingRecord
from mlipbench.model.network import Committee, Network
from mlipbench.model.package import Package, package, save
from mlipbench.store import layout
from mlipbench.store.provenance import provenance
from mlipbench.store.runs import RunFolder
from mlipbench.training.config import Configuration, defaults_filled_in
from mlipbench.training.data import Sets, read_sets
from mlipbench.training.diagnosis.diagnose import diagnose
from mlipbench.training.domain import domain, fingerprint, summaries
from mlipbench.training.evaluate import error_rows, evaluate
from mlipbench.training.figures import figures
from mlipbench.training.group import Group
from mlipbench.training.loop import Display, MemberTraining, read_member
from mlipbench.training.start import Start, atomic_energies_by_symbol, parameters, start
from mlipbench.training.tables import tables

CONFIG = "config.lock.yaml"


class Training:
    """A configuration with its data, checked and ready to be trained. Raises InputError."""

    def __init__(self, configuration: Configuration, folder: Path, group: Group) -> None:
        self.configuration, self.folder, self.group = configuration, folder, group
        self.config = configuration.config
        self.sets: Sets = read_sets(configuration)
        self.start: Start = start(configuration, self.sets)
        self.stages = self.config.stages(self.sets.terms)
        self.data = fingerprint(itertools.chain(self.sets.train, self.sets.valid))
        source = "" if self.start.package is None else self.start.package.key
        decisive = f"{self.config.digest()} {self.data} {self.start.atomic_energies} {source}"
        self.digest = layout.sha256(decisive.encode())

    def run(self, display: Display, only: int | None = None) -> TrainingRecord:
        """Train all members (or one), and when all are trained make the potential.

        A finished member is not trained again. Raises StoreError where the folder is in use, cannot be
        written, or belongs to another training.
        """
        with self._held(self.folder):
            self._write_config()
        for number in range(self.config.committee):
            if only is None or number == only:
                with self._held(self._member_folder(number)):
                    member = self._member(number, display)
                if member.ended == "diverged":
                    break
        with self._held(self.folder):
            return self._conclude()

    @contextmanager
    def _held(self, path: Path) -> Iterator[None]:
        """One process, or one group, at a time in a folder."""
        if self.group.leads:
            folder = RunFolder(path)
            folder.create()
            with folder.lock():
                self.group.wait()
                yield
                self.group.wait()
        else:
            self.group.wait()
            yield
            self.group.wait()

    def _write_config(self) -> None:
        if not self.group.leads:
            return
        path = self.folder / CONFIG
        if path.exists() and layout.read_plan(path)[1] != self.digest:
            raise StoreError(
                f"{self.folder} holds the training of another configuration, or of other data; choose "
                "another folder with --output, or remove this one"
            )
        text = json.dumps(defaults_filled_in(self.configuration), indent=1) + "\n"  # JSON is YAML
        layout.write_plan(path, text, self.digest)

    def _member(self, number: int, display: Display) -> MemberRecord:
        training = MemberTraining(
            self.config,
            self.start,
            self.stages,
            number,
            self._member_folder(number),
            self.digest,
            self.group,
            display,
        )
        return training.run()

    def _member_folder(self, number: int) -> Path:
        return self.folder / f"member-{number}"

    # ---------------------------------------------------------------- what it leaves
    def _conclude(self) -> TrainingRecord:
        """The potential, if all members are trained, and the record."""
        members, networks = [], []
        for number in range(self.config.committee):
            found = read_member(self._member_folder(number), self.digest, self.config.seed + number)
            if found is not None:
                member, weights = found
                members.append(member)
                if member.ended in ("schedule", "patience"):
                    networks.append(self._network(number, weights))
        complete = len(networks) == self.config.committee
        made = self._package(networks, members) if complete else None
        record = self._record(members, made)
        if self.group.leads:
            if made is not None:
                save(made, self.potential)
            layout.write_json(self.folder / layout.TRAINING, record.model_dump(mode="json"))
        return record

    @property
    def potential(self) -> Path:
        """Where the potential lies."""
        return self.folder / f"{self.configuration.name}.mlip"

    def _network(self, number: int, weights: dict[str, torch.Tensor]) -> Network:
        network = self.start.network(self.config.seed + number, number)
        network.load_state_dict(weights)
        return network.double()

    def _package(self, networks: list[Network], members: list[MemberRecord]) -> Package:
        origin: dict[str, Any] = {
            "made by": "mlipbench train",
            "configuration": defaults_filled_in(self.configuration),
            "seeds": [member.seed for member in members],
            "best epochs": [member.best_epoch for member in members],
        }
        if self.start.package is not None:
            origin["started from"] = {
                "name": self.start.package.metadata.name, "key": self.start.package.key,
            }  # fmt: skip
        covered = domain(self.start.train, self.data, self.sets.level_of_theory)
        return package(self.configuration.name, networks, self.start.atomic_energies, origin, covered)

    def _record(self, members: list[MemberRecord], made: Package | None) -> TrainingRecord:
        rows: list[ErrorRow] = []
        frames: list[FrameErrors] = []
        if made is not None:
            committee = Committee(made.committee.networks).to(self.config.device)
            size = self.config.valid_batch_size or self.config.batch_size
            for part in PARTS:
                frame_set = getattr(self.start, part)
                if len(frame_set):
                    found = evaluate(committee, frame_set, part, size)
                    rows += error_rows(found, part)
                    frames += found.frames if part != "train" else []
        first = self.start.network(self.config.seed, 0)
        record = TrainingRecord(
            name=self.configuration.name,
            finished=made is not None,
            level_of_theory=self.sets.level_of_theory,
            config=defaults_filled_in(self.configuration),
            architecture=self.start.architecture.model_dump(mode="json"),
            n_parameters=parameters(first),
            parts=summaries(self.sets, self.start),
            split=self.sets.split,
            atomic_energies_eV=atomic_energies_by_symbol(self.start.atomic_energies),
            atomic_energies_from=self.start.atomic_energies_from,
            scale=self.start.scale,
            shift_eV=self.start.shift,
            members=members,
            rows=rows,
            frames=frames,
            audit=self.sets.audit,
            warnings=self.sets.warnings,
            package={} if made is None else {"file": self.potential.name, "key": made.key},
            provenance=provenance({"processes": self.group.size, "torch threads": torch.get_num_threads()}),
        )
        record = record.model_copy(update={"diagnoses": diagnose(record)})
        return record.model_copy(update={"figures": figures(record), "tables": tables(record)})
