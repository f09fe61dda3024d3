"""Whether a reference is what its manifest says: hash, format, units, counts, facts."""

from __future__ import annotations

from collections.abc import Callable

from mlipbench.core.errors import DataError
from mlipbench.core.units import same_unit
from mlipbench.data import public
from mlipbench.data.manifest_file import Reference
from mlipbench.data.references import Manifest


def check(manifest: Manifest, name: str) -> tuple[str, list[str]]:
    """What the file holds, in words, and every problem."""
    entry = manifest.entry(name)
    problems = [
        f"{name}: {field} is empty" for field in ("level_of_theory", "licence") if not getattr(entry, field)
    ]
    if entry.script is not None and not (manifest.folders[name] / entry.script).is_file():
        problems.append(f"{manifest.folders[name] / entry.script}: the script of {name} is not there")
    readers: dict[str, Callable[[Manifest, str, Reference], tuple[str, list[str]]]] = {
        "frames": _frames,
        "curve": _curve,
        "scalar": _scalars,
        "phonons": _phonons,
    }
    try:
        words, found = readers[entry.kind](manifest, name, entry)
    except DataError as error:
        return "", [*problems, *str(error).splitlines()]
    return words, [*problems, *found]


def _frames(manifest: Manifest, name: str, entry: Reference) -> tuple[str, list[str]]:
    frames = manifest.frames(name)
    labels = [
        label
        for label in ("energy", "forces", "stress")
        if any(getattr(frame, label) is not None for frame in frames)
    ]
    problems = _count(name, "n_frames", entry.n_frames, len(frames))
    problems += [f"{name}: units do not name {label}" for label in labels if label not in entry.units]
    if entry.public is not None and manifest.verify(name).sha256 != entry.sha256:
        problems += [
            f"{name}: {text}" for text in public.differences(public.facts_of(frames), entry.public.facts)
        ]
    n_atoms = sum(len(frame.structure) for frame in frames)
    return f"{len(frames)} frames, {n_atoms} atoms, {', '.join(labels)}", problems


def _curve(manifest: Manifest, name: str, entry: Reference) -> tuple[str, list[str]]:
    curve = manifest.curve(name)
    words = (
        f"{len(curve)} points, {curve.abscissa_name} {min(curve.abscissa):g} to {max(curve.abscissa):g} "
        f"{curve.abscissa_unit}, {curve.value_name} in {curve.value_unit}, "
        f"{'without' if curve.error is None else 'with'} errors"
    )
    return words, _count(name, "n_points", entry.n_points, len(curve))


def _scalars(manifest: Manifest, name: str, entry: Reference) -> tuple[str, list[str]]:
    scalars = manifest.scalars(name)
    words = ", ".join(f"{scalar.name} {scalar.value:g} {scalar.unit}" for scalar in scalars.values())
    return words, _count(name, "n_points", entry.n_points, len(scalars))


def _phonons(manifest: Manifest, name: str, entry: Reference) -> tuple[str, list[str]]:
    phonons = manifest.phonons(name)
    problems = [
        f"{name}: units: {quantity} in {unit} (expected force_constants in eV/A^2: they are converted to it)"
        for quantity, unit in entry.units.items()
        if quantity != "force_constants" or not same_unit(unit, "eV/A^2")
    ]
    words = (
        f"{len(phonons.primitive)} atoms in the primitive cell, {len(phonons.supercell)} in the supercell, "
        f"{'no ' if phonons.born_charges is None else ''}Born charges, drift {phonons.drift:.1g} eV/A^2"
    )
    return words, problems


def _count(name: str, field: str, noted: int | None, got: int) -> list[str]:
    if noted in (None, got):
        return []
    return [f"{name}: {field}: expected {noted} as in the manifest, got {got}"]
