"""The drain loop: what the outbox holds goes to the issuer, the most important first, until receipts have emptied it.

One signed batch is under way at a time. Without a receipt it is sent again, ever more slowly while the link stands and
at once after a reconnection; the issuer stores each identifier once. With nothing to send the loop sleeps: it neither
reads nor writes the disk.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

from agent.failures import RenzhengError
from agent.transport import backoff
from agent.transport.errors import TransportError
from agent.transport.mqtt import MqttLink
from agent.transport.outbox.entry import Entry
from agent.transport.outbox.outbox import Outbox
from agent.transport.outbox.receipts import Receipts
from agent.trust.clock import Clock
from agent.trust.identity import DeviceIdentity
from agent.wire import events, topics
from agent.wire.events import Event, EventBatch

_LOG = logging.getLogger(__name__)

#: One wait for the link; then it is simply asked again.
_LONG = 3600.0
#: Seconds for a batch to reach the broker: 128 KiB over a slow mobile network. A link that breaks ends the wait.
_PUBLISH = 60.0


class OutboxSender:
    """Sends what `outbox` holds over `link`. Make it before the link is started: it subscribes to receipts.

    `patience` is how many seconds the issuer has for the first receipt of a batch; later ones double up to a minute.
    """

    def __init__(
        self, outbox: Outbox, link: MqttLink, identity: DeviceIdentity, *, clock: Clock, patience: float = 4.0
    ) -> None:
        self._outbox = outbox
        self._link = link
        self._identity = identity
        self._patience = patience
        self._receipts = Receipts(outbox, identity, clock)
        self._complained = ""
        self._rows = events.MAX_EVENTS
        self._unheard = backoff.delays()
        link.handle(topics.RECEIPT.of(identity.terminal), self._receipts.take)

    async def run(self) -> None:
        """Send until cancelled."""
        waits = self._new_waits()
        while True:
            # Before the look into the outbox: an entry that arrives during the look is not missed.
            self._outbox.stored.clear()
            try:
                entries = await self._outbox.pending(self._rows, events.PAYLOAD_LIMIT)
                if not entries:
                    await self._outbox.stored.wait()
                    continue
                await self._link_up()
                waits = await self._send(entries, waits)
                self._complained = ""
            except RenzhengError as error:
                self._complain(error)
                if isinstance(error, TransportError):
                    # A link that broke, or is about to, is waited for, above: then the events go at once.
                    await _first(next(waits), self._link.wait_lost())
                else:
                    await asyncio.sleep(next(waits))

    async def _send(self, entries: Sequence[Entry], waits: Iterator[float]) -> Iterator[float]:
        """Publish one batch and wait for a receipt; what is to be waited next time."""
        self._receipts.settled.clear()
        data = await asyncio.to_thread(self._sign, entries)
        # Smaller again until a receipt comes: a bad line carries a short message sooner than a long one.
        self._rows = max(1, len(entries) // 2)
        topic = topics.EVENT.of(self._identity.terminal)
        if not await self._link.publish(topic, data, qos=topics.EVENT.qos, timeout=_PUBLISH):
            # Nobody listens yet, so no receipt will come: an issuer that starts with the broker is a moment later.
            await asyncio.sleep(next(self._unheard))
            return waits
        self._unheard = backoff.delays()
        await _first(next(waits), self._receipts.settled.wait(), self._link.wait_lost())
        if self._receipts.settled.is_set():
            self._rows = events.MAX_EVENTS
        elif self._link.connected:
            _LOG.info("no receipt for %d events yet", len(entries))
            return waits
        return self._new_waits()

    def _sign(self, entries: Sequence[Entry]) -> bytes:
        batch = EventBatch(
            audience=self._identity.issuer.name,
            terminal=self._identity.terminal,
            events=tuple(
                Event(
                    event_id=entry.event_id,
                    kind=entry.kind,
                    priority=int(entry.priority),
                    created_at=max(0, entry.created),
                    payload=entry.payload,
                )
                for entry in entries
            ),
        )
        return events.sign_batch(batch, self._identity.signer, chain=self._identity.chain)

    async def _link_up(self) -> None:
        while not self._link.connected:
            try:
                await self._link.wait_connected(_LONG, urgent=False)
            except TransportError as error:
                self._complain(error)

    def _complain(self, error: RenzhengError) -> None:
        """Each new trouble once."""
        if error.code != self._complained:
            _LOG.warning("events wait: %s", error)
        self._complained = error.code

    def _new_waits(self) -> Iterator[float]:
        # The jitter of `delays` only shortens: twice the patience gives at least the patience.
        return backoff.delays(first=2 * self._patience)


async def _first(seconds: float, *happenings: Coroutine[Any, Any, object]) -> None:
    """Wait until one of `happenings` has happened, at most for `seconds`."""
    tasks = [asyncio.ensure_future(happening) for happening in happenings]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
