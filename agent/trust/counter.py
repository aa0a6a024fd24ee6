"""The monotonic counter of requests: it survives power loss, and never gives a number twice.

SQLite with synchronous=FULL: a number is on the disk before it is used. A lost state folder loses the counter: the
issuer then refuses (`issuer.refused.counter`) until the terminal enrols a new key, which starts a new count.
"""

import sqlite3
import threading
from pathlib import Path

from agent.trust.errors import TrustError

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID
"""
_NEXT = """
    INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value
"""


class Counter:
    """Counts by name (one a device key). Calls block for one fsync and may come from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise TrustError("trust.counter", f"{path}: {error}") from error

    def next(self, name: str) -> int:
        """The next number, on the disk.

        Raises:
            TrustError: `trust.counter`; it could not be written (a full or broken disk): do not send.
        """
        try:
            with self._lock:
                return int(self._database.execute(_NEXT, (name,)).fetchall()[0][0])
        except sqlite3.Error as error:
            raise TrustError("trust.counter", f"the counter cannot be written: {error}") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()
