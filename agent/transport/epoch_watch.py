"""The newest epoch of the issuer, verified, and what it says about this machine's clock."""

import asyncio
import logging
import time
from datetime import UTC, datetime

from agent.transport.errors import TransportError
from agent.transport.mqtt import Incoming
from agent.trust.anchors import IssuerTrust
from agent.trust.clock import Clock, ClockTrust
from agent.wire import epochs
from agent.wire.epochs import Epoch
from agent.wire.errors import WireError

_LOG = logging.getLogger(__name__)

#: An epoch is fresh for this many intervals after it was heard: the issuer takes the current and the previous one.
_FRESH_INTERVALS = 2


class EpochWatch:
    """Takes epochs from the link; tells the newest fresh one."""

    def __init__(self, issuer: IssuerTrust, clock: Clock) -> None:
        self._issuer = issuer
        self._clock = clock
        self._newest: Epoch | None = None
        #: When a fresh one was heard last, by the monotonic clock.
        self._heard: float | None = None
        self._arrival = asyncio.Event()
        self._complained = False

    def take(self, message: Incoming) -> None:
        """A message on the epoch topic. One that is not the issuer's, or older than the newest, changes nothing."""
        try:
            epoch = self._read(message.payload)
        except WireError as error:
            if not self._complained:
                _LOG.warning("an epoch was refused: %s", error)
            self._complained = True
            return
        if self._newest is not None and epoch.sequence <= self._newest.sequence:
            return
        first, self._newest = self._newest is None, epoch
        if first and self._clock.now() - epoch.issued_at > _FRESH_INTERVALS * epoch.interval:
            # Kept by the broker while the issuer was silent, or our clock is ahead: the next one will tell.
            return
        self._complained = False
        self._heard = time.monotonic()
        before = self._clock.trust
        if self._clock.observe(epoch.issued_at, epoch.interval) is ClockTrust.CONTRADICTED is not before:
            _LOG.error("the clock is %d s off the issuer's epoch", self._clock.offset)
        self._arrival.set()

    def _read(self, payload: bytes) -> Epoch:
        """A wrong clock must not hide the epoch that proves it wrong: only if they agree do the key's dates count."""
        epoch = epochs.verify(payload, self._issuer.pinned_keys, self._issuer.name)
        if self._clock.agrees(epoch.issued_at, epoch.interval):
            at = datetime.fromtimestamp(self._clock.now(), UTC)
            epochs.verify(payload, self._issuer.signing_keys(at), self._issuer.name)
        return epoch

    @property
    def fresh(self) -> Epoch | None:
        """The newest epoch, if it was heard lately."""
        if self._newest is None or self._heard is None:
            return None
        alive = time.monotonic() - self._heard < _FRESH_INTERVALS * self._newest.interval
        return self._newest if alive else None

    @property
    def issuer_time(self) -> int | None:
        """The issuer's time, by the newest fresh epoch.

        None without one; and where a clock that is kept says later: epochs of another day, played to a terminal that
        has just started and knows none, would make an order of that day look fresh.
        """
        epoch = self.fresh
        return None if epoch is None or self._clock.is_past else epoch.issued_at

    async def wait(self, timeout: float) -> Epoch:
        """A fresh epoch.

        Raises:
            TransportError: `issuer.silent`; none was heard in time.
        """
        try:
            async with asyncio.timeout(timeout):
                while (epoch := self.fresh) is None:
                    self._arrival.clear()
                    await self._arrival.wait()
        except TimeoutError:
            raise TransportError("issuer.silent", "no epoch of the issuer was heard in time") from None
        return epoch

    async def newer(self, than: Epoch, timeout: float) -> Epoch:
        """An epoch after `than`.

        Raises:
            TransportError: `issuer.silent`; none was heard in time.
        """
        try:
            async with asyncio.timeout(timeout):
                while self._newest is None or self._newest.sequence <= than.sequence:
                    self._arrival.clear()
                    await self._arrival.wait()
        except TimeoutError:
            raise TransportError("issuer.silent", "no newer epoch of the issuer was heard in time") from None
        return self._newest
