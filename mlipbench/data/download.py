"""Downloading a file: resumable, checked, and in place only when it is whole.

The bytes are collected in .NAME.part beside the target. An interrupted transfer goes on where it stopped
if the sha256 of the whole is known (else nothing would notice two versions in one file); a file that is
there already is replaced by a checked one or not at all.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from mlipbench.core.errors import DataError

TIMEOUT_S = 30.0  # without a byte
MOST_BYTES = 500_000_000
CHUNK = 1 << 16

Progress = Callable[[int, int | None], None]
"""(bytes so far, bytes in all where the server says it)"""


def download(url: str, target: Path, expected: str | None, progress: Progress | None = None) -> str:
    """Fetch `url` into `target`; the sha256 of what lies there now. `expected` is the sha256 wanted.

    Raises DataError where the server or the disk fails, or where the file is another one.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        if expected is not None and target.is_file() and _sha256(target) == expected:
            return expected
        target.parent.mkdir(parents=True, exist_ok=True)
        if expected is None:
            part.unlink(missing_ok=True)
        _transfer(url, part, progress or (lambda _done, _total: None))
        got = _sha256(part)
        if expected is not None and got != expected:
            part.unlink()
            raise DataError(
                f"{url}: not the file that is meant (sha256 expected {expected}, got {got}); nothing was kept"
            )
        os.replace(part, target)
    except HTTPError as error:
        raise DataError(f"{url}: the server answers {error.code} {error.reason}") from error
    except URLError as error:
        raise DataError(f"{url}: cannot be reached ({error.reason}): is there a network?") from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        what = "no answer" if isinstance(error, TimeoutError) else f"{type(error).__name__} {error}".strip()
        raise DataError(f"{url}: the transfer broke off ({what}): run the same command again") from error
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error
    return got


def _transfer(url: str, part: Path, progress: Progress) -> None:
    """Complete `part`. Raises DataError, and what urllib and the disk raise."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "mlipbench"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        if error.code != 416 or not start:  # 416: the part is not the beginning of that file
            raise
        part.unlink()
        return _transfer(url, part, progress)
    with response:
        if start and not _continues(response, start):
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        if (total or 0) > MOST_BYTES:
            raise DataError(f"{url}: {total} bytes, more than the {MOST_BYTES} that are fetched at most")
        done = start
        with part.open("ab" if start else "wb") as handle:
            while chunk := response.read(CHUNK):
                done += len(chunk)
                if done > MOST_BYTES:
                    raise DataError(f"{url}: more than the {MOST_BYTES} bytes that are fetched at most")
                handle.write(chunk)
                progress(done, total)
            handle.flush()
            os.fsync(handle.fileno())
    if total is not None and done < total:
        raise DataError(
            f"{url}: the transfer ended after {done} of {total} bytes: run the same command again"
        )
    return None


def _continues(response: http.client.HTTPResponse, start: int) -> bool:
    """Whether the answer goes on where the part ends, and is not the whole file."""
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return response.status == 206 and found is not None and int(found.group(1)) == start


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
