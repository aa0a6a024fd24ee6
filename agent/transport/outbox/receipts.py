"""The issuer's receipts: what they name leaves the outbox, and nothing else does."""

import asyncio
import logging
from datetime import UTC, datetime

from agent.failures import RenzhengError
from agent.transport.mqtt import Incoming
from agent.transport.outbox.outbox import Outbox
from agent.trust.clock import Clock
from agent.trust.identity import DeviceIdentity
from agent.wire import events
from agent.wire.errors import WireError

_LOG = logging.getLogger(__name__)


class Receipts:
    """Takes receipts from the link. One that is not the issuer's, or not for this terminal, changes nothing."""

    def __init__(self, outbox: Outbox, identity: DeviceIdentity, clock: Clock) -> None:
        self._outbox = outbox
        self._identity = identity
        self._clock = clock
        #: Set when a receipt has removed something.
        self.settled = asyncio.Event()

    async def take(self, message: Incoming) -> None:
        """A message on the receipt topic."""
        issuer = self._identity.issuer
        try:
            at = datetime.fromtimestamp(self._clock.now(), UTC)
            receipt = events.read_receipt(
                message.payload, issuer.signing_keys(at), issuer=issuer.name, terminal=self._identity.terminal
            )
        except WireError as error:
            _LOG.warning("a receipt was refused: %s [outbox.receipt]", error)
            return
        for refused in receipt.refused:
            _LOG.error("the issuer will not store event %s: %s", refused.event_id.hex(), refused.reason)
        ids = [*receipt.stored, *(refused.event_id for refused in receipt.refused)]
        try:
            if await self._outbox.remove(ids):
                self.settled.set()
        except RenzhengError as error:
            # They stay, are sent again, and get another receipt.
            _LOG.warning("a receipt could not be noted: %s", error)
