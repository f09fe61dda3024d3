"""Where the suite files and reference data lie that come with mlipbench.

In a checkout (editable install) they are the top-level folders; in a wheel they are inside the package.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def _folder(name: str) -> Path:
    inside = _PACKAGE / "shipped" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def suite_files() -> dict[str, Path]:
    """Name -> suite file, as `mlipbench run NAME` finds them."""
    return {path.stem: path for path in sorted(_folder("suites").glob("*.yaml"))}


def training_files() -> dict[str, Path]:
    """Name -> training configuration, as `mlipbench train NAME` finds them."""
    return {path.stem: path for path in sorted((_folder("suites") / "training").glob("*.yaml"))}


def reference_data() -> Path:
    """The folder that holds manifest.yaml."""
    return _folder("reference_data")
