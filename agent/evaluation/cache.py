"""Results that are kept between runs, so that an evaluation that was stopped goes on where it was.

One SQLite file for each way of computing (models, views, revision of the pipeline); within it, one row for each content
of a file. It holds embeddings of faces: it lives in the user's cache directory, readable by that user alone, and
`--no-cache` does without it.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

#: Raised whenever a stage changes what comes out for the same picture and models.
REVISION = 3


def cache_folder() -> Path:
    """The user's cache directory for evaluations (XDG Base Directory)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "renzheng" / "evaluation"


def cache_key(parts: Iterable[str]) -> str:
    """A name for one way of computing."""
    return hashlib.sha256("\n".join([str(REVISION), *parts]).encode()).hexdigest()[:32]


class ResultCache:
    """Bytes by content digest; an empty folder name keeps everything in memory."""

    def __init__(self, key: str, folder: Path | None) -> None:
        """Open or create the cache `key` in `folder`; None keeps it in memory only."""
        target = ":memory:"
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            target = str(folder / f"{key}.sqlite")
        self._database = sqlite3.connect(target, timeout=30)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS result (digest TEXT PRIMARY KEY, value BLOB NOT NULL)")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def get(self, digests: Iterable[str]) -> dict[str, bytes]:
        """What is known of `digests`."""
        wanted = set(digests)
        rows = self._database.execute("SELECT digest, value FROM result")
        return {digest: value for digest, value in rows if digest in wanted}

    def put(self, results: Mapping[str, bytes]) -> None:
        """Keep `results`, at once and for good."""
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO result VALUES (?, ?)", list(results.items()))
