"""The outbox's rows in SQLite: write-ahead log, `synchronous=FULL`, one owner.

Every method is one transaction: it returns when the change has been synced to the disk, or raises and has changed
nothing. Blocking; `agent.transport.outbox.outbox` runs it in a thread of its own. Expiry needs a clock that can be
trusted: without one (`now` is None) nothing expires.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.failures import RenzhengError
from agent.transport.outbox.entry import Entry, Fill, Limits
from agent.transport.outbox.vault import Row, UnreadableError, Vault, sealed_size

SCHEMA_VERSION = 1
_TABLES = f"""
CREATE TABLE entry(
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  priority INTEGER NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER,
  sealed BLOB NOT NULL
) STRICT;
CREATE INDEX entry_order ON entry(priority DESC, seq);
CREATE TABLE loss(reason TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT;
CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
PRAGMA user_version = {SCHEMA_VERSION};
"""
_COLUMNS = "id, priority, created, expires, sealed"

#: Why an entry was given up, in the ledger of losses.
DISPLACED, EXPIRED, UNREADABLE = "displaced", "expired", "unreadable"


class UnusableFileError(Exception):
    """Damaged inside, written under another key, or by a version of the agent that this one does not know."""


class Store:
    """Open the file at `path`, or make it.

    Raises:
        UnusableFileError: damaged, another key or schema; the caller sets the file aside.
        sqlite3.DatabaseError: what SQLite says; `recovery` tells damage from a full disk.
    """

    def __init__(self, path: Path, vault: Vault, limits: Limits) -> None:
        self._vault = vault
        self._limits = limits
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        # Exclusive before the first access: SQLite then needs no shared-memory file, and nobody else can write.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA wal_autocheckpoint = 64")
        if self._db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise UnusableFileError("quick_check found damage")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        with self._transaction():
            if version == 0:
                for statement in _TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO meta VALUES ('key', ?)", (self._vault.key_name,))
            elif version != SCHEMA_VERSION:
                raise UnusableFileError(f"schema {version}")
        if self._db.execute("SELECT value FROM meta WHERE name = 'key'").fetchone() != (self._vault.key_name,):
            raise UnusableFileError("another key")
        self._rows, self._size = self._db.execute(
            "SELECT count(*), ifnull(sum(length(sealed)), 0) FROM entry"
        ).fetchone()

    def close(self) -> None:
        """Fold the log into the file and let it go."""
        self._db.close()

    def fill(self) -> Fill:
        """Rows, bytes and unreported losses."""
        (lost,) = self._db.execute("SELECT ifnull(sum(count), 0) FROM loss").fetchone()
        return Fill(self._rows, self._size, lost)

    def put(self, entries: Sequence[Entry], now: int | None) -> list[RenzhengError | None]:
        """Store `entries` in one commit; for each None, or why it was refused. A known identifier changes nothing."""
        outcomes: list[RenzhengError | None] = []
        with self._transaction():
            for entry in entries:
                if self._known(entry.event_id):
                    outcomes.append(None)
                elif not self._make_room(entry, now):
                    outcomes.append(RenzhengError("outbox.full", "no room for an entry of this class"))
                else:
                    self._insert(entry)
                    outcomes.append(None)
        return outcomes

    def pending(self, rows: int, size: int, now: int | None) -> list[Entry]:
        """What to send next: highest class first, then oldest; at most `rows`, of at most `size` bytes or one entry."""
        self._expire(now)
        while True:
            found, unreadable = self._look(rows, size)
            if not unreadable:
                return found
            with self._transaction():
                self._drop(unreadable, UNREADABLE)
            if found:
                return found

    def _look(self, rows: int, size: int) -> tuple[list[Entry], list[int]]:
        """The first entries that open, and the rows among them that do not."""
        found: list[Entry] = []
        unreadable: list[int] = []
        taken = 0
        for seq, *row in self._db.execute(
            f"SELECT seq, {_COLUMNS} FROM entry ORDER BY priority DESC, seq LIMIT ?",  # noqa: S608 - our own columns
            (rows,),
        ):
            try:
                entry = self._vault.open(_row(row))
            except UnreadableError:
                unreadable.append(seq)
                continue
            taken += len(entry.payload)
            if found and taken > size:
                break
            found.append(entry)
        return found, unreadable

    def remove(self, event_ids: Sequence[bytes]) -> int:
        """Forget these entries; how many of them were here."""
        removed = 0
        with self._transaction():
            for event_id in event_ids:
                for (size,) in self._db.execute(
                    "DELETE FROM entry WHERE id = ? RETURNING length(sealed)", (event_id,)
                ).fetchall():
                    removed += 1
                    self._rows -= 1
                    self._size -= size
        return removed

    def losses(self) -> dict[str, int]:
        """The ledger: how many entries were given up, by reason."""
        return dict(self._db.execute("SELECT reason, count FROM loss"))

    def report_losses(self, report: Entry) -> None:
        """Empty the ledger and store `report`, which tells it, in one commit; the caps do not apply to it."""
        with self._transaction():
            self._db.execute("DELETE FROM loss")
            self._insert(report)

    def _known(self, event_id: bytes) -> bool:
        return self._db.execute("SELECT 1 FROM entry WHERE id = ?", (event_id,)).fetchone() is not None

    def _insert(self, entry: Entry) -> None:
        row = self._vault.seal(entry)
        self._db.execute(f"INSERT INTO entry({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", row)  # noqa: S608 - our own columns
        self._rows += 1
        self._size += len(row[-1])

    def _make_room(self, entry: Entry, now: int | None) -> bool:
        need = sealed_size(entry)
        if self._fits(need):
            return True
        self._expire_now(now)
        if self._fits(need):
            return True
        ceiling = entry.priority + 1 if entry.priority.displaces_its_own else int(entry.priority)
        victims: list[int] = []
        rows, size = self._rows, self._size
        for seq, length in self._db.execute(
            "SELECT seq, length(sealed) FROM entry WHERE priority < ? ORDER BY priority, seq", (ceiling,)
        ):
            victims.append(seq)
            rows, size = rows - 1, size - length
            if rows < self._limits.rows and size + need <= self._limits.size:
                self._drop(victims, DISPLACED)
                return True
        return False

    def _fits(self, need: int) -> bool:
        return bool(self._rows < self._limits.rows and self._size + need <= self._limits.size)

    def _expire(self, now: int | None) -> None:
        # A read first: a transaction that deletes nothing would still be one.
        if now is not None and self._db.execute("SELECT 1 FROM entry WHERE expires <= ? LIMIT 1", (now,)).fetchone():
            with self._transaction():
                self._expire_now(now)

    def _expire_now(self, now: int | None) -> None:
        if now is not None:
            self._drop(
                [seq for (seq,) in self._db.execute("SELECT seq FROM entry WHERE expires <= ?", (now,))], EXPIRED
            )

    def _drop(self, victims: Sequence[int], reason: str) -> None:
        for seq in victims:
            (size,) = self._db.execute("DELETE FROM entry WHERE seq = ? RETURNING length(sealed)", (seq,)).fetchone()
            self._rows -= 1
            self._size -= size
        if victims:
            self._db.execute(
                "INSERT INTO loss VALUES (?, ?) ON CONFLICT(reason) DO UPDATE SET count = count + excluded.count",
                (reason, len(victims)),
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        before = getattr(self, "_rows", 0), getattr(self, "_size", 0)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._rows, self._size = before
            # A full disk may have rolled back already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def _row(columns: Sequence[object]) -> Row:
    event_id, priority, created, expires, sealed = columns
    if not (isinstance(event_id, bytes) and isinstance(sealed, bytes)):
        raise UnreadableError
    if not (isinstance(priority, int) and isinstance(created, int) and isinstance(expires, int | None)):
        raise UnreadableError
    return event_id, priority, created, expires, sealed
