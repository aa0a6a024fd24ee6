"""The databases that an issuer may have: SQLite, and a PostgreSQL server of the test's own."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.protocol.wire_stack import free_port

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@contextlib.contextmanager
def of_kind(kind: str) -> Iterator[str]:
    """The URL of a new database; empty for SQLite, which the issuer keeps in its folder."""
    if kind == "sqlite":
        yield ""
        return
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    if not POSTGRES:
        pytest.skip("no PostgreSQL server is installed")
    # Not below pytest's own folders: they are their owner's alone, and PostgreSQL refuses to run as root.
    with tempfile.TemporaryDirectory(prefix="renzheng-test-") as folder, postgresql(Path(folder)) as url:
        yield url


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A PostgreSQL of our own in `folder` on a free loopback port; as `nobody` when we are root."""
    data, port, binaries = folder / "data", free_port(), POSTGRES[-1].parent
    account = "nobody" if os.geteuid() == 0 else None
    data.mkdir()
    if account is not None:
        folder.chmod(0o755)
        shutil.chown(data, account)
    make = [str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "test", "--no-sync"]
    subprocess.run(make, check=True, capture_output=True, cwd="/", user=account)
    serve = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
    settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*serve, *settings], stdout=log, stderr=log, cwd="/", user=account)
    try:
        end = time.monotonic() + 20
        while b"ready to accept connections" not in (folder / "log").read_bytes():
            assert time.monotonic() < end, (folder / "log").read_text("utf-8")
            time.sleep(0.05)
        yield f"postgresql+psycopg://test@127.0.0.1:{port}/postgres"
    finally:
        # SIGINT is PostgreSQL's fast shutdown.
        server.send_signal(signal.SIGINT)
        server.wait(20)
