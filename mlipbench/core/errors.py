"""The exception tree.

MlipbenchError
├── InputError            the user's files are wrong: nothing was run, exit code 2
│   ├── PlanError         problems in a suite file, each with file:line:column
│   └── DataError         a data or reference file is wrong
├── PotentialError        a potential broke its contract (shape, NaN, missing property)
├── SuiteError            a suite could not do its work
└── StoreError            a run folder is locked, damaged or of another plan

Every message says what is wrong, where, what was expected, what was got, and what to do.
"""

from __future__ import annotations


class MlipbenchError(Exception):
    """Base of all errors that mlipbench raises on purpose."""


class InputError(MlipbenchError):
    """The user's input is wrong; raised before any compute."""


class PlanError(InputError):
    """Problems of a suite file, all of them, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class DataError(InputError):
    """A data or reference file is missing, damaged, or lacks what is asked of it."""


class PotentialError(MlipbenchError):
    """A potential broke the contract of `mlipbench.core.potential`."""


class SuiteError(MlipbenchError):
    """A suite could not do its work with the inputs and the potential it was given."""


class StoreError(MlipbenchError):
    """A run folder is locked by another process, damaged, or belongs to another plan."""
