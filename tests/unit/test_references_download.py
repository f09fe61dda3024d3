"""Downloads against a server of our own that truncates, refuses, lies and stalls.

Oracle: the bytes served here. Whatever happens, the target holds a whole, checked file or what it held.
"""

import hashlib
import http.server
import os
import re
import threading
from contextlib import contextmanager

import pytest

from mlipbench.core.errors import DataError
from mlipbench.data import download as module
from mlipbench.data.download import download

CONTENT = bytes(range(256)) * 2000  # 512 000 bytes, several chunks
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT under any path; the name of the path says how it misbehaves."""

    daemon_threads = True
    ranges: list  # what was asked for


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # one connection a request

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        how = self.path.strip("/").partition("/")[0]
        if how in ("404", "500"):
            self.send_error(int(how))
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked).group(1)) if asked and how != "whole" else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        if start:
            at = 0 if how == "elsewhere" else start
            self.send_header("Content-Range", f"bytes {at}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if how != "unsized":
            self.send_header("Content-Length", str(10**12 if how == "huge" else len(body)))
        self.end_headers()
        if how == "stalls":
            self.server.over.wait(300)
            return
        first = len(self.server.ranges) == 1
        self.wfile.write(
            body[:200_000] if how in ("breaks", "truncates") and (first or how == "breaks") else body
        )

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with serving() as found:
        yield found


@contextmanager
def serving():
    server = Server(("127.0.0.1", 0), Handler)
    server.ranges, server.over = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def url(server, how="good"):
    return f"http://127.0.0.1:{server.server_address[1]}/{how}/file"


def left(folder):
    """Names of all files below a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("expected", [DIGEST, None])
def test_a_file_is_fetched_with_progress(server, tmp_path, expected):
    seen = []
    target = tmp_path / "new" / "folder" / "file"
    assert download(url(server), target, expected, lambda done, total: seen.append((done, total))) == DIGEST
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) > 3
    assert left(tmp_path) == ["file"]


def test_a_good_file_is_not_asked_for_again(server, tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    assert download(url(server), tmp_path / "file", DIGEST) == DIGEST
    assert server.ranges == []


def test_without_a_length_the_file_is_fetched_too(server, tmp_path):
    assert download(url(server, "unsized"), tmp_path / "file", DIGEST) == DIGEST


def test_a_broken_transfer_goes_on_where_it_stopped(server, tmp_path):
    with pytest.raises(DataError, match=r"ended after 200000 of 512000 bytes: run the same command again$"):
        download(url(server, "truncates"), tmp_path / "file", DIGEST)
    assert left(tmp_path) == [".file.part"]
    assert download(url(server, "truncates"), tmp_path / "file", DIGEST) == DIGEST
    assert server.ranges == [None, "bytes=200000-"]
    assert left(tmp_path) == ["file"]


def test_a_file_of_unknown_hash_starts_again(server, tmp_path):
    """Nothing would notice two versions joined into one."""
    with pytest.raises(DataError, match="ended after"):
        download(url(server, "truncates"), tmp_path / "file", None)
    assert download(url(server, "truncates"), tmp_path / "file", None) == DIGEST
    assert server.ranges == [None, None]


@pytest.mark.parametrize("how", ["whole", "elsewhere"])
def test_a_server_that_does_not_resume_sends_all(server, tmp_path, how):
    (tmp_path / ".file.part").write_bytes(CONTENT[:100_000])
    if how == "elsewhere":  # a wrong Content-Range: what comes is not what was asked
        with pytest.raises(DataError, match="not the file that is meant"):
            download(url(server, how), tmp_path / "file", DIGEST)
        assert left(tmp_path) == []
    else:
        assert download(url(server, how), tmp_path / "file", DIGEST) == DIGEST
    assert server.ranges == ["bytes=100000-"]


def test_a_part_that_is_too_long_is_dropped(server, tmp_path):
    (tmp_path / ".file.part").write_bytes(CONTENT + b"more")
    assert download(url(server), tmp_path / "file", DIGEST) == DIGEST
    assert server.ranges == [f"bytes={len(CONTENT) + 4}-", None]


def test_a_part_of_another_file_is_found_out(server, tmp_path):
    (tmp_path / ".file.part").write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match="not the file that is meant"):
        download(url(server), tmp_path / "file", DIGEST)
    assert left(tmp_path) == []
    assert download(url(server), tmp_path / "file", DIGEST) == DIGEST


def test_a_wrong_file_never_replaces_a_good_one(server, tmp_path):
    (tmp_path / "file").write_bytes(b"good")
    wrong = "0" * 64
    with pytest.raises(DataError, match=rf"sha256 expected {wrong}, got {DIGEST}\); nothing was kept$"):
        download(url(server), tmp_path / "file", wrong)
    assert (tmp_path / "file").read_bytes() == b"good"
    assert left(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("404", "the server answers 404 Not Found$"),
        ("500", "the server answers 500 Internal Server Error$"),
        ("huge", "1000000000000 bytes, more than the 500000000 that are fetched at most$"),
        ("breaks", "ended after 200000 of 512000 bytes"),
    ],
)
def test_what_a_server_may_do(server, tmp_path, how, message):
    (tmp_path / "file").write_bytes(b"good")
    with pytest.raises(DataError, match=message):
        download(url(server, how), tmp_path / "file", DIGEST)
    assert (tmp_path / "file").read_bytes() == b"good"


def test_a_silent_server_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT_S", 1.5)
    with pytest.raises(DataError, match=r"broke off \(no answer\): run the same command again$"):
        download(url(server, "stalls"), tmp_path / "file", DIGEST)


def test_more_bytes_than_are_taken(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 100_000)
    with pytest.raises(DataError, match="more than the 100000 bytes that are fetched at most"):
        download(url(server, "unsized"), tmp_path / "file", None)


def test_offline(tmp_path):
    with serving() as gone:
        address = url(gone)
    with pytest.raises(DataError, match=r"cannot be reached \(.*refused.*\): is there a network\?$"):
        download(address, tmp_path / "file", DIGEST)
    with pytest.raises(DataError, match=r"cannot be reached"):
        download("http://no-such-host.invalid/file", tmp_path / "file", DIGEST)


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(DataError, match=r"taken/file: cannot be written: (Not a directory|File exists)$"):
        download(url(server), tmp_path / "taken" / "file", DIGEST)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk(server, tmp_path):
    (tmp_path / ".file.part").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"file: cannot be written: No space left on device$"):
        download(url(server), tmp_path / "file", DIGEST)
    assert not (tmp_path / "file").exists()
