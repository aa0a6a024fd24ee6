"""A document reader with its thread: coroutines with deadlines over the blocking protocol of `firmware_bridge`."""

from agent.threads import Worker
from firmware_bridge.document import Document
from firmware_bridge.reader import DocumentReader, ReaderEvent, ReadRequest

#: A call that should end by itself gets this many seconds more before its thread counts as stuck.
GRACE = 2.0
#: How long one wait for an event lasts; between two waits the loop is seen to be alive.
WAIT = 1.0


class Reader:
    """One reader in one thread."""

    def __init__(self, reader: DocumentReader, *, needs_key: bool) -> None:
        self._reader = reader
        self.needs_key = needs_key
        self.name = reader.name
        self.worker = Worker(f"reader {reader.name}")

    async def wait(self) -> ReaderEvent | None:
        """The next event, or None after a second without one."""
        return await self.worker.call(WAIT + GRACE, self._reader.wait, WAIT)

    async def read(self, request: ReadRequest) -> Document:
        """Read the document that lies there; raises BridgeError, or TimeoutError when the bus never comes back."""
        return await self.worker.call(request.timeout + GRACE, self._reader.read, request)

    def close(self) -> None:
        """Release the reader; its thread ends."""
        self._reader.close()
        self.worker.close()
