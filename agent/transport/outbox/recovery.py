"""A damaged or foreign outbox file: set aside, salvaged as far as it can be read, and told.

Two steps, so that a power cut between them loses nothing: `set_aside` renames the file to `NAME.damaged`; whoever opens
the outbox next salvages that one into the new file and only then files it away as `NAME.aside-N` (two are kept for the
maintainers; they hold ciphertext only). What can still be read is trustworthy, since every row is authenticated.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from agent import durable
from agent.transport.outbox.entry import Entry
from agent.transport.outbox.store import SCHEMA_VERSION
from agent.transport.outbox.vault import UnreadableError, Vault

KEPT = 2
_SUFFIXES = ("", "-wal", "-shm")
# Our statements are constants: a plain "SQL error" means that the tables are not ours.
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
_PRIMARY = 0xFF


def is_damage(error: sqlite3.Error) -> bool:
    """Whether `error` says that the file's content is wrong, and not that the disk is full, slow or gone."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _DAMAGE


def damaged(path: Path) -> Path:
    """Where the file at `path` waits to be salvaged."""
    return path.with_name(f"{path.name}.damaged")


def set_aside(path: Path) -> None:
    """Rename the file with its log, so that the next open makes a new one.

    Raises:
        OSError: the folder cannot be written.
    """
    if damaged(path).exists():
        # The file that was to replace an unsalvaged one is damaged too; the older of the two holds more.
        _move(path, _next_aside(path))
    else:
        _move(path, damaged(path))
    durable.sync_folder(path.parent)


def salvage(path: Path, vault: Vault) -> list[Entry]:
    """The entries of the damaged file that can still be read and that open under this key, oldest first."""
    found: dict[int, Entry] = {}
    for order in ("ASC", "DESC"):
        try:
            with closing(sqlite3.connect(damaged(path))) as db:
                found.update(_rows(db, vault, order))
        except sqlite3.Error:
            # As far as it goes; the other direction may reach what lies behind the damage.
            continue
    return [found[seq] for seq in sorted(found)]


def file_away(path: Path) -> Path:
    """The damaged file has been salvaged: keep it under a number, and let the oldest of those go."""
    aside = _next_aside(path)
    _move(damaged(path), aside)
    for old in _asides(path)[:-KEPT]:
        for suffix in _SUFFIXES:
            old.with_name(old.name + suffix).unlink(missing_ok=True)
    durable.sync_folder(path.parent)
    return aside


def _rows(db: sqlite3.Connection, vault: Vault, order: str) -> Iterator[tuple[int, Entry]]:
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    if db.execute("PRAGMA user_version").fetchone() != (SCHEMA_VERSION,):
        return
    query = f"SELECT seq, id, priority, created, expires, sealed FROM entry ORDER BY seq {order}"  # noqa: S608 - a constant
    for seq, *row in db.execute(query):
        try:
            yield seq, vault.open((row[0], row[1], row[2], row[3], row[4]))
        except UnreadableError:
            continue


def _move(source: Path, target: Path) -> None:
    # The log first: a database under its new name without its log would lose the log's commits.
    for suffix in reversed(_SUFFIXES):
        part = source.with_name(source.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))


def _asides(path: Path) -> list[Path]:
    found = [file for file in path.parent.glob(f"{path.name}.aside-*") if _number(file)]
    return sorted(found, key=_number)


def _next_aside(path: Path) -> Path:
    kept = _asides(path)
    return path.with_name(f"{path.name}.aside-{_number(kept[-1]) + 1 if kept else 1}")


def _number(path: Path) -> int:
    text = path.name.rpartition("-")[2]
    return int(text) if text.isdigit() else 0
