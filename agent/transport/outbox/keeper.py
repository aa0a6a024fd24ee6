"""The store, opened when it is first needed and replaced when it is damaged; all in one thread.

A full disk is no damage: the call fails with `outbox.disk`, nothing has changed, and the next call tries again.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from agent import durable
from agent.failures import RenzhengError
from agent.transport.outbox import recovery
from agent.transport.outbox.entry import Entry, Fill, Limits, Priority
from agent.transport.outbox.store import Store, UnusableFileError
from agent.transport.outbox.vault import Vault
from agent.wire import bounded

log = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Kinds of the outbox's own events: CBOR maps of text to text or number.
SET_ASIDE = "outbox.set_aside"
LOSSES = "outbox.losses"


class Keeper:
    """What `Outbox` calls in its thread. `clock` gives seconds since 1970, or None while it cannot be trusted."""

    def __init__(self, path: Path, vault: Vault, limits: Limits, clock: Callable[[], int | None]) -> None:
        self._path = path
        self._vault = vault
        self._limits = limits
        self._clock = clock
        self._store: Store | None = None

    def put(self, entries: Sequence[Entry]) -> list[RenzhengError | None]:
        """As `Store.put`; a full disk or another error of the disk raises `outbox.disk`."""
        return self._do(lambda store: store.put(entries, self._clock()))

    def pending(self, rows: int, size: int) -> list[Entry]:
        """As `Store.pending`, after the losses since the last report have become an event of their own."""
        return self._do(lambda store: self._pending(store, rows, size))

    def remove(self, event_ids: Sequence[bytes]) -> int:
        """As `Store.remove`."""
        return self._do(lambda store: store.remove(event_ids))

    def fill(self) -> Fill:
        """As `Store.fill`."""
        return self._do(Store.fill)

    def close(self) -> None:
        """Close the file if it is open."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _pending(self, store: Store, rows: int, size: int) -> list[Entry]:
        found = store.pending(rows, size, self._clock())
        losses = store.losses()
        if not losses:
            return found
        store.report_losses(self._own_event(LOSSES, dict(losses)))
        return store.pending(rows, size, self._clock())

    def _do(self, action: Callable[[Store], Result]) -> Result:
        try:
            return self._repaired(action)
        except (sqlite3.Error, OSError) as error:
            self._forget()
            raise RenzhengError("outbox.disk", f"the outbox cannot be written: {_cause(error)}") from error

    def _repaired(self, action: Callable[[Store], Result]) -> Result:
        try:
            return action(self._opened())
        except UnusableFileError as error:
            cause = str(error)
        except sqlite3.DatabaseError as error:
            if not recovery.is_damage(error):
                raise
            cause = _cause(error)
        self._forget()
        recovery.set_aside(self._path)
        log.error("the outbox file is set aside: %s", cause)
        return action(self._opened())

    def _opened(self) -> Store:
        if self._store is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._store = Store(self._path, self._vault, self._limits)
            self._path.chmod(0o600)
            durable.sync_folder(self._path.parent)
        if recovery.damaged(self._path).exists():
            self._salvage(self._store)
        return self._store

    def _salvage(self, store: Store) -> None:
        """Bring over what can be read, with an event that tells it; then the damaged file may go."""
        saved = recovery.salvage(self._path, self._vault)
        event = self._own_event(SET_ASIDE, {"saved": len(saved)})
        store.put([event, *saved], None)
        aside = recovery.file_away(self._path)
        log.error("%d entries saved from the outbox file set aside as %s", len(saved), aside.name)

    def _forget(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            try:
                store.close()
            except sqlite3.Error as error:
                log.warning("closing the outbox: %s", _cause(error))

    def _own_event(self, kind: str, fields: dict[str, str | int]) -> Entry:
        return Entry(os.urandom(16), kind, bounded.encode(fields), Priority.AUDIT, self._clock() or 0)


def _cause(error: Exception) -> str:
    """SQLite's or the system's own word for it: never a path, never content."""
    name = getattr(error, "sqlite_errorname", None) or getattr(error, "strerror", None)
    return str(name or type(error).__name__)
