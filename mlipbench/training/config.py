"""The configuration of a training: one flat YAML file, checked like a suite file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlipbench.config.problems import in_order
from mlipbench.config.source import Source, load_source
from mlipbench.config.validation import validate
from mlipbench.core.errors import InputError, PlanError
from mlipbench.core.shipped import training_files
from mlipbench.training import checks
from mlipbench.training.aliases import canonical
from mlipbench.training.schema import TrainingConfig


@dataclass(frozen=True)
class Configuration:
    """A checked configuration and where it stands."""

    config: TrainingConfig
    file: Path
    source: Source

    @property
    def folder(self) -> Path:
        """Relative paths start here."""
        return self.file.parent.absolute()

    @property
    def name(self) -> str:
        """Of the potential."""
        return self.config.name or self.file.stem

    def asked_for(self, field: str) -> bool:
        """Whether the file itself says it, as opposed to a default."""
        return field in self.config.model_fields_set

    def problem(self, field: str, what: str, expected: str = "", got: str = "", hint: str = "") -> PlanError:
        """Something wrong that the data or a package show, at the place of a field."""
        return PlanError([str(self.source.problem((field,), what, expected, got, hint))])


def find_config(name: str) -> Path:
    """The configuration a user means: a path, or the name of one that came along. Raises InputError."""
    path, shipped = Path(name), training_files()
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return path
    if name not in shipped:
        raise InputError(
            f"{name!r} is neither a training configuration nor the name of one that comes with mlipbench "
            f"({', '.join(shipped)})"
        )
    return shipped[name]


def load_config(path: Path) -> Configuration:
    """Read and check a configuration. Raises PlanError with all its problems, one line each."""
    source = canonical(load_source(path))
    config, problems = validate(TrainingConfig, source.data, source)
    problems = [*source.problems, *problems]
    if config is not None:
        problems += checks.check(config, source, path.parent.absolute())
    if config is None or problems:
        raise PlanError([str(problem) for problem in in_order(problems)])
    return Configuration(config, path, source)


def defaults_filled_in(configuration: Configuration) -> dict[str, Any]:
    """The configuration as plain data, every default written out."""
    return configuration.config.model_dump(mode="json") | {"name": configuration.name}
