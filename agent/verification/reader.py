"""A document reader with its thread: coroutines with deadlines over the blocking protocol of `firmware_bridge`."""

import asyncio
from collections import deque
from collections.abc import Callable

from agent.threads import Worker
from firmware_bridge.document import Document
from firmware_bridge.reader import DocumentReader, ReaderEvent, ReadRequest

#: A call that should end by itself gets this many seconds more before its thread counts as stuck.
GRACE = 2.0
#: How long one wait for an event lasts: a read that begins meanwhile waits for its end, so it is short.
WAIT = 0.2


class Reader:
    """One reader in one thread."""

    def __init__(self, reader: DocumentReader, *, needs_key: bool, about: Callable[[], str] | None = None) -> None:
        """`about` asks the device what it is; None for one that has nothing to say."""
        self._reader = reader
        self._about = about
        self.needs_key = needs_key
        self.name = reader.name
        self.worker = Worker(f"reader {reader.name}")
        self._turn = asyncio.Lock()
        self._events: deque[ReaderEvent] = deque()

    async def wait(self) -> ReaderEvent | None:
        """The next event, or None after a moment without one. While a document is read, nothing else is asked."""
        async with self._turn:
            if not self._events:
                await self.worker.call(WAIT + GRACE, self._look, self._reader, self._events)
            return self._events.popleft() if self._events else None

    @staticmethod
    def _look(reader: DocumentReader, events: deque[ReaderEvent]) -> None:
        # A look that comes back too late leaves its event for the next: a document lies there, whoever was waiting.
        event = reader.wait(WAIT)
        if event is not None:
            events.append(event)

    async def read(self, request: ReadRequest) -> Document:
        """Read the document that lies there; raises BridgeError, or TimeoutError when the bus never comes back."""
        async with self._turn:
            return await self.worker.call(request.timeout + GRACE, self._reader.read, request)

    async def about(self) -> str:
        """What the device says of itself, "" for one that has nothing to say; raises BridgeError or TimeoutError."""
        if self._about is None:
            return ""
        async with self._turn:
            return await self.worker.call(WAIT + GRACE, self._about)

    def adopt(self, fresh: "Reader") -> None:
        """Go on with the device and the thread of `fresh`: this one's thread hangs and is left behind."""
        self._reader.close()
        self.worker.close()
        self._reader, self.worker, self._turn = fresh._reader, fresh.worker, asyncio.Lock()  # noqa: SLF001  # its own kind
        self._about = fresh._about  # noqa: SLF001  # its own kind
        self._events = deque()

    def close(self) -> None:
        """Release the reader; its thread ends."""
        self._reader.close()
        self.worker.close()
