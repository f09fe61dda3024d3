"""Reading files with ASE: its readers raise whatever their code runs into, we raise DataError."""

from __future__ import annotations

import gzip
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ase.io.formats import UnknownFileTypeError

from mlipbench.core.errors import DataError

# What ASE's readers raise on malformed input: they check little, and stumble instead.
_STUMBLES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    StopIteration,
    SyntaxError,
    TypeError,
    ValueError,
    UnknownFileTypeError,
    sqlite3.Error,
)


@contextmanager
def parsing(where: str, what: str) -> Iterator[None]:
    """Turns a stumble of a parser into a DataError that says where and what was being read."""
    try:
        yield
    except _STUMBLES as error:
        reason = " ".join(str(error).split())[:300] or "no reason given"
        raise DataError(f"{where}: not readable as {what}: {type(error).__name__}: {reason}") from error


def existing_file(path: Path) -> Path:
    """The path, if it is a file. Raises DataError."""
    try:
        if path.is_file():
            return path
        what = "this is a folder, a file is expected" if path.is_dir() else "no such file"
    except (OSError, ValueError) as error:
        what = f"not a path: {error}"
    raise DataError(f"{path}: {what}")


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, of one compressed with gzip where its name says so. Raises DataError."""
    try:
        content = existing_file(path).read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not readable as a gzip file, was it cut off? ({error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file (byte {error.start} is not UTF-8)") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
