"""What a plan refers to, resolved once: structures, labelled frames, curves, numbers, force constants."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from mlipbench.config.plan import Plan
from mlipbench.core.reference import Curve, PhononReference, Scalar
from mlipbench.core.result import ReferenceRecord
from mlipbench.core.structure import LabelledFrame, Structure
from mlipbench.core.suite import (
    CurveRef,
    DataRef,
    FramesRef,
    IntendedUse,
    PhononsRef,
    ScalarRef,
    StructureRef,
)
from mlipbench.data.parsing import existing_file
from mlipbench.data.references import Manifest, sha256
from mlipbench.data.resolve import resolve


class PlanInputs:
    """Implements `core.suite.Inputs` for a plan. Files are read once a process."""

    def __init__(self, plan: Plan, manifest: Manifest) -> None:
        self.plan = plan
        self.manifest = manifest
        self._values: dict[tuple[type[DataRef], str], Any] = {}
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
        found: Structure = self._value(ref)
        return found

    def frames(self, ref: FramesRef) -> list[LabelledFrame]:
        """The labelled frames that a reference means; InputError where there are none."""
        found: list[LabelledFrame] = self._value(ref)
        return found

    def curve(self, ref: CurveRef) -> Curve:
        """The curve that a reference means, in the units it asks for; InputError where there is none."""
        found: Curve = self._value(ref)
        return found

    def scalar(self, ref: ScalarRef) -> Scalar:
        """The number that a reference means, in the unit it asks for; InputError where there is none."""
        found: Scalar = self._value(ref)
        return found

    def phonons(self, ref: PhononsRef) -> PhononReference:
        """The force constants that a reference means; InputError where there are none."""
        found: PhononReference = self._value(ref)
        return found

    def _value(self, ref: DataRef) -> Any:
        key = (type(ref), ref.model_dump_json())
        if key not in self._values:
            self._values[key] = resolve(ref, self.plan.folder, self.manifest)
            self._record(ref, self._values[key])
        return self._values[key]

    def level_of_theory(self, ref: FramesRef | PhononsRef) -> str:
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
            elif isinstance(ref, FramesRef):
                content.append([_frame_hash(f) for f in self.frames(ref)])
            else:
                self._value(ref)
                content.append(self.references[ref.reference or str(ref.file)].sha256)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def unverified(self, params: BaseModel) -> list[str]:
        """Names of the references in `params` that verdicts rest on, and that are not verified."""
        deciding = [ref for ref in _references(params) if ref.decides and (ref.reference or ref.file)]
        for ref in deciding:
            self._value(ref)
        names = dict.fromkeys(ref.reference or str(ref.file) for ref in deciding)
        return [name for name in names if not self.references[name].verified]

    def _record(self, ref: DataRef, value: Any) -> None:
        """Note a reference set or file, and what it says of itself, for the report."""
        if ref.reference is not None:
            entry, file = self.manifest.entry(ref.reference), self.manifest.verify(ref.reference)
            self.references[ref.reference] = ReferenceRecord(
                name=ref.reference,
                sha256=file.sha256,
                level_of_theory=entry.level_of_theory,
                licence=entry.licence,
                source=entry.source,
                verified=file.verified,
            )
        elif ref.file is not None:
            said = value if isinstance(value, Curve | Scalar) else ref
            self.references[ref.file] = ReferenceRecord(
                name=ref.file,
                sha256=sha256(existing_file(self.plan.resolve(ref.file))),
                level_of_theory=getattr(said, "level_of_theory", ""),
                source=getattr(said, "source", "file of the user"),
            )


def _references(value: Any) -> list[DataRef]:
    """Every reference inside parameters, in order."""
    if isinstance(value, DataRef):
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
