"""mlipbench audit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mlipbench.cli.arguments import console
from mlipbench.core.errors import InputError

if TYPE_CHECKING:
    from mlipbench.data.audit.findings import AuditReport, Domain, Finding
    from mlipbench.data.audit.reading import AuditFrame

_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


def audit(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Labelled training frames: extxyz or ASE database."),
    ],
    test: Annotated[
        list[Path] | None,
        typer.Option(
            "--test", help="Frames held out of training (may be given several times): leaks are sought."
        ),
    ] = None,
    e0s: Annotated[
        str,
        typer.Option(
            "--e0s", help="Energies of isolated atoms in eV: H=-13.57,O=-2037.8 (else frames of one atom)."
        ),
    ] = "",
    keys: Annotated[
        str, typer.Option("--keys", help="Labels under other names: energy=dft_energy_eV,forces=gradient.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on warnings too.")] = False,
) -> None:
    """Look for what is wrong with labelled frames: units, signs, orders, contacts, missing labels, leaks.

    Exit codes: 0 no errors; 1 errors (with --strict: or warnings); 2 a file cannot be read.
    """
    from mlipbench.data.audit.audit import audit as audit_frames

    isolated_atoms = _isolated_atoms(e0s)
    names = _names(keys)
    report = audit_frames(_frames(files, names), _frames(test or [], names), isolated_atoms)
    if json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        _show(console(), report)
    raise typer.Exit(int(report.count("error") > 0 or (strict and report.count("warning") > 0)))


def _frames(files: list[Path], keys: Mapping[str, str]) -> list[AuditFrame]:
    from mlipbench.data.audit.reading import read

    return [frame for path in files for frame in read(path, keys)]


def _pairs(text: str, option: str, example: str) -> dict[str, str]:
    """`a=b,c=d` as a mapping. Raises InputError."""
    found: dict[str, str] = {}
    for part in text.split(",") if text else []:
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise InputError(f"{option} {text!r}: {part!r} is not NAME=VALUE (expected {example})")
        found[name.strip()] = value.strip()
    return found


def _isolated_atoms(text: str) -> dict[int, float]:
    """Z -> eV."""
    from ase.data import atomic_numbers

    found: dict[int, float] = {}
    for symbol, value in _pairs(text, "--e0s", "H=-13.57,O=-2037.8").items():
        if atomic_numbers.get(symbol, 0) == 0:
            raise InputError(f"--e0s {text!r}: {symbol!r} is not an element")
        try:
            found[atomic_numbers[symbol]] = float(value)
        except ValueError as error:
            raise InputError(f"--e0s {text!r}: {value!r} is not a number") from error
    return found


def _names(text: str) -> dict[str, str]:
    from mlipbench.data.frames import LABELS

    found = _pairs(text, "--keys", "energy=dft_energy_eV")
    for name in found:
        if name not in LABELS:
            raise InputError(f"--keys {text!r}: unknown label {name!r} (expected one of {', '.join(LABELS)})")
    return found


def _show(out: Console, report: AuditReport) -> None:
    from mlipbench.data.audit.findings import LEVELS

    out.print(_domain_table(report.train, report.test))
    for finding in report.findings:
        _print_finding(out, finding)
    for what in report.unexamined:
        out.print(f"not examined: {what}")
    counts = [f"{report.count(level)} {level}{'s' * (report.count(level) != 1)}" for level in LEVELS]
    out.print(", ".join(counts))


def _print_finding(out: Console, finding: Finding) -> None:
    out.print(f"{finding.level.upper()} {finding.id}", style=_COLOURS[finding.level])
    out.print(f"  {finding.what}")
    for place in finding.where:
        listed = ", ".join(map(str, place.frames)) + (", ..." if place.count > len(place.frames) else "")
        out.print(f"  where:  {place.file}: {place.count} frame{'s' * (place.count != 1)}: {listed}")
    for name, text in (("cause", finding.cause), ("remedy", finding.remedy)):
        if text:
            out.print(f"  {name + ':':<7} {text}")


def _domain_table(train: Domain, test: Domain | None) -> Table:
    """What both sets cover, side by side."""
    table = Table(box=None)
    for heading in ("", "training set" if test else "set", *(["test set"] if test else [])):
        table.add_column(heading)
    rows = [_domain_rows(d) for d in (train, test) if d is not None]
    for name in rows[0]:
        table.add_row(name, *(row[name] for row in rows))
    return table


def _domain_rows(d: Domain) -> dict[str, str]:
    contacts = ", ".join(f"{c.pair} {c.closest_A:.2f}" for c in d.contacts)
    force = (
        ""
        if d.largest_force_eV_per_A is None
        else f"{d.largest_force_eV_per_A:.3g} (rms {d.rms_force_eV_per_A:.3g})"
    )
    return {
        "files": _listed(d.files),
        "formulas (frames)": _listed(d.formulas),
        "kinds (frames)": _listed(d.config_types),
        "atoms": f"{d.n_atoms[0]} to {d.n_atoms[1]}",
        "labels (frames)": _listed(d.labels),
        "density, g/cm^3": _range(d.density_g_per_cm3),
        "energy, eV/atom": _range(d.energy_eV_per_atom, 6),
        "largest force, eV/A": force,
        "pressure, GPa": _range(d.pressure_GPa),
        "temperature, K": _range(d.temperature_K),
        "closest contacts, A": contacts,
    }


def _listed(counts: Mapping[str, int]) -> str:
    shown = [f"{name} ({n})" for name, n in list(counts.items())[:6]]
    return ", ".join(shown) + (f", ... ({len(counts)} in all)" if len(counts) > 6 else "")


def _range(values: tuple[float, float] | None, digits: int = 3) -> str:
    return "" if values is None else f"{values[0]:.{digits}g} to {values[1]:.{digits}g}"
