"""The outbox as the agent's parts see it: `await outbox.put(...)` returns when the event is safe on the disk.

Puts that arrive while a commit is under way share the next one, so that a burst costs few syncs.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from agent.failures import RenzhengError
from agent.threads import Worker, WorkerStuckError
from agent.transport.outbox.entry import Entry, Fill, Limits, Priority
from agent.transport.outbox.keeper import Keeper
from agent.transport.outbox.vault import Vault

Result = TypeVar("Result")

#: Seconds that one transaction may take: a worn SD card has been seen to stall for several.
DEADLINE = 30.0
ID_SIZE = 16
#: Entries in one commit.
_TOGETHER = 256


def _system_clock() -> int | None:
    return int(time.time())


class Outbox:
    """A durable queue of events. One process owns the file at `path`; `key` (32 bytes) seals the payloads.

    `clock` gives seconds since 1970, or None while the time cannot be trusted; then nothing expires.
    """

    def __init__(
        self,
        path: Path,
        key: bytes,
        limits: Limits | None = None,
        *,
        clock: Callable[[], int | None] = _system_clock,
    ) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._keeper = Keeper(path, Vault(key), self._limits, clock)
        self._worker = Worker("outbox")
        self._waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self._commit: asyncio.Task[None] | None = None
        #: Set when an entry was stored: the sender waits for it instead of polling.
        self.stored = asyncio.Event()

    async def put(
        self,
        kind: str,
        payload: bytes,
        priority: Priority = Priority.REPORT,
        expires: int | None = None,
        *,
        event_id: bytes | None = None,
    ) -> bytes:
        """Store one event and return its identifier once it is durable.

        `expires` is in seconds since 1970. Putting the same `event_id` again changes nothing.

        Raises:
            RenzhengError: `outbox.oversized`, `outbox.full`, or `outbox.disk`; then the event is not stored.
        """
        event_id = event_id or os.urandom(ID_SIZE)
        if len(event_id) != ID_SIZE:
            raise ValueError(f"an event's identifier has {ID_SIZE} bytes")
        if len(payload) > self._limits.payload:
            raise RenzhengError(
                "outbox.oversized", f"an event of {len(payload)} bytes, {self._limits.payload} are allowed"
            )
        created = self._clock()
        entry = Entry(event_id, kind, payload, priority, int(time.time()) if created is None else created, expires)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if self._commit is None:
            self._commit = asyncio.create_task(self._commit_waiting())
        # A caller that gives up does not take the event back.
        await asyncio.shield(future)
        return event_id

    async def pending(self, rows: int, size: int) -> list[Entry]:
        """What to send next, as `Store.pending`."""
        return await self._call(self._keeper.pending, rows, size)

    async def remove(self, event_ids: Sequence[bytes]) -> int:
        """Forget entries whose receipt has come; how many were still here."""
        return await self._call(self._keeper.remove, list(event_ids))

    async def fill(self) -> Fill:
        """How full it is."""
        return await self._call(self._keeper.fill)

    async def close(self) -> None:
        """Finish what was put, then close the file."""
        while self._commit is not None:
            await asyncio.wait({self._commit})
        with suppress(RenzhengError):
            await self._call(self._keeper.close)
        self._worker.close()

    async def _commit_waiting(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
                await self._commit_batch(batch)
        finally:
            self._commit = None

    async def _commit_batch(self, batch: list[tuple[Entry, asyncio.Future[None]]]) -> None:
        outcomes: Sequence[Exception | None]
        try:
            outcomes = await self._call(self._keeper.put, [entry for entry, _future in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait for the commit
            outcomes = [error] * len(batch)
        for (_entry, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if outcome is None:
                future.set_result(None)
            else:
                future.set_exception(outcome)
        if not all(outcomes):
            self.stored.set()

    async def _call(self, function: Callable[..., Result], *arguments: object) -> Result:
        try:
            return await self._worker.call(DEADLINE, function, *arguments)
        except (TimeoutError, WorkerStuckError) as error:
            raise RenzhengError("outbox.disk", "the disk does not answer") from error
