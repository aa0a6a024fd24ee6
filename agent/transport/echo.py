"""A signed round trip with the issuer: an event of this terminal's device key out, the issuer's signed receipt back.

More than the broker's acknowledgement: it proves this terminal's key and enrolment, the issuer's service and database,
and its signing key. Nothing touches the disk here; the issuer stores one event of kind `echo`.
"""

import asyncio
import secrets
import time
from datetime import UTC, datetime

from agent.transport.errors import TransportError
from agent.transport.mqtt import Incoming, MqttLink
from agent.trust.clock import Clock
from agent.trust.identity import DeviceIdentity
from agent.wire import events, topics
from agent.wire.errors import WireError
from agent.wire.events import Event, EventBatch

KIND = "echo"
_PRIORITY = 9
_ID_SIZE = 16


class Echo:
    """Asks the issuer over `link`. Make it before the link is started: it listens to receipts."""

    def __init__(self, link: MqttLink, identity: DeviceIdentity, *, clock: Clock) -> None:
        self._link = link
        self._identity = identity
        self._clock = clock
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        link.handle(topics.RECEIPT.of(identity.terminal), self._take)

    async def ask(self, timeout: float) -> float:
        """One round trip; the seconds that it took, signing and checking included.

        Raises:
            TransportError: `broker.*` while the link is down; `issuer.silent`, no receipt in time.
        """
        start = time.monotonic()
        event_id = secrets.token_bytes(_ID_SIZE)
        answer = self._waiting[event_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._link.wait_connected(timeout)
                data = await asyncio.to_thread(self._signed, event_id)
                topic = topics.EVENT.of(self._identity.terminal)
                await self._link.publish(topic, data, qos=topics.EVENT.qos, timeout=timeout)
                await answer
        except TimeoutError:
            raise TransportError("issuer.silent", f"no signed receipt of the issuer within {timeout:g} s") from None
        finally:
            del self._waiting[event_id]
        return time.monotonic() - start

    def _signed(self, event_id: bytes) -> bytes:
        who = self._identity
        event = Event(
            event_id=event_id, kind=KIND, priority=_PRIORITY, created_at=max(0, int(self._clock.now())), payload=b""
        )
        batch = EventBatch(audience=who.issuer.name, terminal=who.terminal, events=(event,))
        return events.sign_batch(batch, who.signer, chain=who.chain)

    def _take(self, message: Incoming) -> None:
        """A receipt; one that is not the issuer's, or on other events, is nobody's business here."""
        who = self._identity
        try:
            keys = who.issuer.signing_keys(datetime.fromtimestamp(self._clock.now(), UTC))
            receipt = events.read_receipt(message.payload, keys, issuer=who.issuer.name, terminal=who.terminal)
        except WireError:
            return
        for event_id in receipt.stored:
            if (answer := self._waiting.get(event_id)) is not None and not answer.done():
                answer.set_result(None)
