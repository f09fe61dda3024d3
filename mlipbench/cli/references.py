"""mlipbench references: list, check, fetch, update."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from mlipbench.cli.arguments import console
from mlipbench.core.errors import DataError
from mlipbench.data import public

if TYPE_CHECKING:
    from mlipbench.data.references import Manifest

app = typer.Typer(
    help="Reference data: what there is, whether it is sound, how to get it.", no_args_is_help=True
)

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Names, or patterns as acac_* (default: all).")
]
OwnManifest = Annotated[
    Path | None, typer.Option("--manifest", help="A manifest.yaml of your own references, beside ours.")
]


@app.command("list")
def listing(
    own: OwnManifest = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for other programs.")] = False,
) -> None:
    """Show the references that a suite file can name."""
    from mlipbench.run.planning import manifest as known

    manifest = known(own)
    rows = [_row(manifest, name, own) for name in manifest.entries]
    out = console()
    if as_json:
        out.print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    columns = ["name", "kind", "holds", "level of theory", "licence", "verified", "where"]
    cells = [columns, *([*map(str, _cells(row))] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        out.print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cells(row: dict[str, Any]) -> list[str]:
    holds = "force constants" if row["kind"] == "phonons" else f"{row['count'] or '?'} "
    holds += {"frames": "frames", "curve": "points", "scalar": "numbers"}.get(row["kind"], "")
    verified = "yes" if row["verified"] else "NO"
    return [row["name"], row["kind"], holds, row["level_of_theory"], row["licence"], verified, row["where"]]


def _row(manifest: Manifest, name: str, own: Path | None) -> dict[str, Any]:
    entry = manifest.entry(name)
    verified, where = entry.verified, "shipped"
    if own is not None and manifest.folders[name] == (own if own.is_dir() else own.parent).absolute():
        where = "own"
    if entry.public is not None:
        path = public.find(entry.file)
        where = f"public: {path or 'absent'}"
        verified = verified and path is not None and _is_verified(manifest, name)
    return {
        "name": name,
        "title": entry.title,
        "kind": entry.kind,
        "count": entry.n_frames or entry.n_points,
        "level_of_theory": entry.level_of_theory,
        "licence": entry.licence,
        "source": entry.source,
        "doi": entry.doi,
        "verified": verified,
        "where": where,
    }


def _is_verified(manifest: Manifest, name: str) -> bool:
    try:
        return manifest.verify(name).verified
    except DataError:
        return False


@app.command()
def check(names: Names = None, own: OwnManifest = None) -> None:
    """Verify hash, format, units and counts of references; every problem is printed."""
    from mlipbench.data.reference_check import check as check_one
    from mlipbench.run.planning import manifest as known

    manifest = known(own)
    out = console()
    problems: list[str] = []
    for name in _chosen(manifest, names):
        entry = manifest.entry(name)
        if not names and entry.public is not None and public.find(entry.file) is None:
            out.print(f"{name}: absent, not checked (mlipbench references fetch {name})")
            continue
        words, found = check_one(manifest, name)
        problems += found
        out.print(
            f"{name}: {len(found)} problem{'s' * (len(found) > 1)}" if found else f"{name}: sound: {words}"
        )
    _end_with(problems)


@app.command()
def fetch(
    names: Names = None,
    to: Annotated[
        Path | None,
        typer.Option(help=f"Folder for the files (default: the cache); set {public.FOLDER_VARIABLE} to it."),
    ] = None,
    own: OwnManifest = None,
) -> None:
    """Download public references, convert them, and compare them with what is known of them."""
    from mlipbench.data.fetch import fetch as fetch_one
    from mlipbench.run.planning import manifest as known

    manifest = known(own)
    folder = to or public.cache_folder()
    chosen = [n for n in _chosen(manifest, names) if names or manifest.entry(n).public is not None]
    out = console()
    problems = []
    with _Transfers(out) as transfers:
        for name in chosen:
            try:
                fetched = fetch_one(name, manifest.entry(name), folder, transfers.report)
            except DataError as error:
                problems.append(f"{name}: {error}")
                continue
            unknown = manifest.entry(name).public
            for path, digest in fetched.originals.items():
                if unknown is not None and unknown.originals[path] is None:
                    out.print(f"{path}: sha256 {digest} (not known before)")
            out.print(f"{name}: {'verified' if fetched.verified else 'UNVERIFIED, it will not gate'}")
            for text in fetched.differences:
                out.print(f"{name}: {text}")
    if to is not None and len(problems) < len(chosen):
        out.print(f"to use them: export {public.FOLDER_VARIABLE}={to.absolute()}")
    _end_with(problems)


@app.command()
def update(
    folder: Annotated[Path, typer.Argument(help="A manifest.yaml, or the folder that holds it.")],
) -> None:
    """Note sha256 and counts of the files of a manifest, after they have changed on purpose."""
    from mlipbench.data.references import update_manifest

    console().print("\n".join(update_manifest(folder)) or "nothing to change")


def _end_with(problems: list[str]) -> None:
    """Exit code 2 where there are problems."""
    if problems:
        typer.echo("\n".join(problems), err=True)
        raise typer.Exit(2)


def _chosen(manifest: Manifest, names: list[str] | None) -> list[str]:
    """The names that are meant, in the order of the manifest. Raises DataError."""
    if not names:
        return list(manifest.entries)
    for name in names:
        if not fnmatch.filter(manifest.entries, name):
            manifest.entry(name)  # raises
    return [name for name in manifest.entries if any(fnmatch.fnmatchcase(name, n) for n in names)]


class _Transfers:
    """Progress of downloads on a terminal; elsewhere one line a file."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._tasks: dict[str, TaskID] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=out,
            disable=not out.is_terminal,
        )

    def __enter__(self) -> _Transfers:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def report(self, file: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes are there."""
        if file not in self._tasks:
            self._tasks[file] = self._bars.add_task(file, total=total)
            if not self._out.is_terminal:
                self._out.print(f"{file}: {total if total is not None else '?'} bytes")
        self._bars.update(self._tasks[file], completed=done, total=total)
