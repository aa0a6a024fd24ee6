"""The terminal's life: readers tell of documents and codes, each document starts one verification.

One person at a time: what is presented while a verification runs waits until it has ended.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from agent.health.state import PartStates
from agent.threads import WorkerStuckError
from agent.verification.flow import Verifier
from agent.verification.inputs import Inputs
from agent.verification.outcome import Outcome
from agent.verification.reader import Reader
from firmware_bridge.reader import EventKind, ReaderEvent

log = logging.getLogger(__name__)

#: Seconds before a reader whose thread is stuck is asked again.
STUCK_PAUSE = 1.0


class Beat(Protocol):
    """Where a loop says that it has made progress."""

    def __call__(self, part: str) -> None:
        """`part` is alive."""


class Terminal:
    """Turns events of the readers into verifications."""

    def __init__(
        self,
        readers: Sequence[Reader],
        verifier: Verifier,
        inputs: Inputs,
        *,
        beat: Beat,
        states: PartStates,
        ended: Callable[[Outcome, str], Awaitable[None]],
    ) -> None:
        self._readers, self._verifier, self._inputs = readers, verifier, inputs
        self._beat, self._states, self._ended = beat, states, ended
        #: Who waits to be served, each reader once: putting is never waited for, so that every reader stays heard.
        self._presented: asyncio.Queue[Reader] = asyncio.Queue()
        self._waiting: set[str] = set()
        self._present: set[str] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    async def empty(self) -> None:
        """Wait until no document lies on any reader."""
        await self._empty.wait()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reader in self._readers:
                self._states.up(f"reader {reader.name}")
                group.create_task(self._listen(reader), name=f"listen {reader.name}")
            group.create_task(self._serve(), name="serve")

    async def _serve(self) -> None:
        while True:
            reader = await self._next()
            if reader is None:
                continue
            if reader.name not in self._present:
                continue  # lifted again while somebody else was served
            outcome = await self._verifier.verify(reader)
            await self._ended(outcome, reader.name)

    async def _next(self) -> Reader | None:
        self._beat("flow")
        try:
            async with asyncio.timeout(1.0):
                reader = await self._presented.get()
        except TimeoutError:
            return None
        self._waiting.discard(reader.name)
        return reader

    async def _listen(self, reader: Reader) -> None:
        stuck = False
        while True:
            try:
                event = await reader.wait()
            except (TimeoutError, WorkerStuckError):
                # No beat: a device that hangs is no progress.
                stuck = True
                self._states.down(f"reader {reader.name}", "reader.gone")
                await asyncio.sleep(STUCK_PAUSE)
                continue
            self._beat(f"reader {reader.name}")
            if stuck:
                # It has come back by itself, or a fresh one took its place; one that is not there says so below.
                stuck = False
                self._states.up(f"reader {reader.name}")
            if event is not None:
                self._handle(reader, event)

    def _handle(self, reader: Reader, event: ReaderEvent) -> None:
        match event.kind:
            case EventKind.PRESENTED:
                self._present.add(reader.name)
                self._empty.clear()
                if reader.name not in self._waiting:
                    self._waiting.add(reader.name)
                    self._presented.put_nowait(reader)
            case EventKind.REMOVED:
                self._lifted(reader)
            case EventKind.SCANNED:
                self._inputs.scanned(event.text)
            case EventKind.GONE:
                self._lifted(reader)
                self._states.down(f"reader {reader.name}", "reader.gone")
            case EventKind.BACK:
                self._states.up(f"reader {reader.name}")

    def _lifted(self, reader: Reader) -> None:
        self._present.discard(reader.name)
        if not self._present:
            self._empty.set()
