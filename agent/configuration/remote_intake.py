"""What arrives on a retained topic of the authority: the newest message only, its time awaited, refusals noted once.

Shared by settings (`remote`) and model bundles (`bundles`).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from agent.configuration.store_journal import Journal, Revision
from agent.failures import RenzhengError
from agent.transport.mqtt import Incoming, MqttLink

_LOG = logging.getLogger(__name__)

#: Seconds between looks at the clock while a message waits for its time.
_LOOK = 30.0
#: Seconds until the same refusal is worth noting again.
_NOTE_AGAIN = 3600.0


async def serve(
    first: Awaitable[None],
    arrivals: Callable[[], Awaitable[bytes]],
    consider: Callable[[bytes], Awaitable[None]],
    report: Callable[[], Awaitable[None]],
    *,
    subject: str,
) -> None:
    """Do `first`, then `consider` whatever arrives, until cancelled; `report` after each, whatever became of it."""
    step = first
    while True:
        try:
            await step
        except RenzhengError as error:
            _LOG.error("a %s could not be handled: %s", subject, error)
        await report()
        step = consider(await arrivals())


class Intake:
    """Takes messages on `topic`. `clock` gives seconds since 1970, or None while the time cannot be trusted."""

    def __init__(self, link: MqttLink, topic: str, journal: Journal, clock: Callable[[], int | None]) -> None:
        self._journal = journal
        self._clock = clock
        self._newest: bytes | None = None
        self._arrival = asyncio.Event()
        #: When each refusal was noted: as many as there are reasons, and documents that the authority ever signed.
        self._noted: dict[str, float] = {}
        link.handle(topic, self.take)

    def take(self, message: Incoming) -> None:
        """A message. An empty one only clears what the broker retained."""
        if message.payload:
            self._newest = message.payload
            self._arrival.set()

    def offer_again(self, data: bytes) -> None:
        """Take `data` once more, unless something newer has come: the broker sends what it retains only once."""
        if self._newest is None:
            self._newest = data
            self._arrival.set()

    async def next(self) -> bytes:
        """The newest message, once there is one."""
        while self._newest is None:
            self._arrival.clear()
            await self._arrival.wait()
        data, self._newest = self._newest, None
        return data

    def refuse(self, revision: Revision, error: RenzhengError) -> None:
        """Note a refusal. `revision.number` is 0 where nobody who is trusted has signed.

        Whoever can write to the topic must not be able to make us write to the disk without end: what nobody signed is
        noted once for each reason, and what comes again and again once an hour.
        """
        what = error.code if revision.number == 0 else f"{error.code} {revision.number} {revision.digest}"
        noted = self._noted.get(what)
        if noted is not None and (revision.number == 0 or time.monotonic() - noted < _NOTE_AGAIN):
            return
        self._noted[what] = time.monotonic()
        _LOG.warning("number %d refused: %s", revision.number, error)
        self._journal.refused(revision, error.code)

    async def superseded_before(self, valid_from: int) -> bool:
        """Wait until `valid_from`; True when a newer message arrived instead."""
        while True:
            now = self._clock()
            if now is not None and now >= valid_from:
                return False
            self._arrival.clear()
            if self._newest is not None:
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK if now is None else min(_LOOK, valid_from - now)):
                    await self._arrival.wait()
