"""What a plan refers to, resolved once: structures, labelled frames, reference sets."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from mlipbench.config.plan import Plan
from mlipbench.core.result import ReferenceRecord
from mlipbench.core.structure import LabelledFrame, Structure
from mlipbench.core.suite import FramesRef, IntendedUse, StructureRef
from mlipbench.data.parsing import existing_file
from mlipbench.data.references import Manifest, sha256
from mlipbench.data.structures import resolve_frames, resolve_structure


class PlanInputs:
    """Implements `core.suite.Inputs` for a plan. Files are read once a process."""

    def __init__(self, plan: Plan, manifest: Manifest) -> None:
        self.plan = plan
        self.manifest = manifest
        self._structures: dict[str, Structure] = {}
        self._frames: dict[str, list[LabelledFrame]] = {}
        self.references: dict[str, ReferenceRecord] = {}

    @property
    def intended_use(self) -> IntendedUse:
        """The declared use."""
        return self.plan.intended_use

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.plan.seed

    def structure(self, ref: StructureRef) -> Structure:
        """The structure that a reference means; InputError where there is none."""
        name = ref.model_dump_json()
        if name not in self._structures:
            self._record(ref)
            self._structures[name] = resolve_structure(ref, self.plan.folder, self.manifest)
        return self._structures[name]

    def frames(self, ref: FramesRef) -> list[LabelledFrame]:
        """The labelled frames that a reference means; InputError where there are none."""
        name = ref.model_dump_json()
        if name not in self._frames:
            self._record(ref)
            self._frames[name] = resolve_frames(ref, self.plan.folder, self.manifest)
        return self._frames[name]

    def level_of_theory(self, ref: FramesRef) -> str:
        """What the labels were computed with, "" where it is not stated."""
        if ref.reference is not None:
            return self.manifest.entry(ref.reference).level_of_theory
        return ref.level_of_theory

    def content_hash(self, params: BaseModel) -> str:
        """sha256 of parameters and of the content that their references mean."""
        content: list[Any] = [params.model_dump(mode="json")]
        for ref in _references(params):
            if isinstance(ref, StructureRef):
                content.append(self.structure(ref).hash)
            else:
                content.append([_frame_hash(f) for f in self.frames(ref)])
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _record(self, ref: StructureRef | FramesRef) -> None:
        """Note a reference set or file for the report; a damaged set raises DataError."""
        if ref.reference is not None:
            entry = self.manifest.entry(ref.reference)
            self.manifest.verify(ref.reference)
            self.references[ref.reference] = ReferenceRecord(
                name=ref.reference,
                sha256=entry.sha256 or "",
                level_of_theory=entry.level_of_theory,
                licence=entry.licence,
                source=entry.source,
                verified=entry.verified,
            )
        elif ref.file is not None:
            path = existing_file(self.plan.resolve(ref.file))
            theory = ref.level_of_theory if isinstance(ref, FramesRef) else ""
            self.references[ref.file] = ReferenceRecord(
                name=ref.file, sha256=sha256(path), level_of_theory=theory, source="file of the user"
            )


def _references(value: Any) -> list[StructureRef | FramesRef]:
    """Every reference inside parameters, in order."""
    if isinstance(value, StructureRef | FramesRef):
        return [value]
    if isinstance(value, BaseModel):
        value = [getattr(value, name) for name in type(value).model_fields]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [ref for item in value for ref in _references(item)]
    return []


def _frame_hash(frame: LabelledFrame) -> str:
    digest = hashlib.sha256(frame.structure.hash.encode())
    digest.update(repr(frame.energy).encode())
    for array in (frame.forces, frame.stress):
        digest.update(b"-" if array is None else array.tobytes())
    return digest.hexdigest()
