"""One question to the issuer and its answer: evidence in, a verified decision out, or a failure in time.

    identity = agent.trust.identity.load(folder)
    link = mqtt_link(identity, ["mqtts://127.0.0.1:8883"], online=b"...", offline=b"...")
    client = IssuerClient(link, identity, clock=Clock(), counter=Counter(state / "counter.db"))
    link.start()
    decision = await client.verify(evidence, holder, deadline=asyncio.get_running_loop().time() + 5.0)
    if decision.accepted: ...        # else decision.reasons[0] is a code of the failure catalogue
    await link.stop()

`evidence` is an `agent.wire.claims.Evidence`, `holder` a `HolderData` or None. `deadline` is in the loop's time. A
request is never queued: past its deadline it has failed, and its message has expired at the broker as well.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from agent.transport.epoch_watch import EpochWatch
from agent.transport.errors import TransportError
from agent.transport.mqtt import Incoming, MqttLink, Status, Tls
from agent.trust.clock import Clock, ClockTrust
from agent.trust.counter import Counter
from agent.trust.errors import TrustError
from agent.trust.identity import DeviceIdentity
from agent.wire import envelope, topics
from agent.wire.claims import ClockEvidence, Decision, Evidence, HolderData, Request
from agent.wire.envelope import Sealed
from agent.wire.epochs import Epoch
from agent.wire.errors import WireError
from agent.wire.keys import thumbprint
from agent.wire.refusals import Refusal

_LOG = logging.getLogger(__name__)

_T = TypeVar("_T")

#: Answers to one request that may wait to be checked; whoever floods the topic gets no more of our memory.
_MAX_ANSWERS = 16
#: Seconds between two attempts while the broker says that no issuer listens.
_ASK_AGAIN = 0.2


def mqtt_link(
    identity: DeviceIdentity,
    brokers: Sequence[str],
    *,
    online: bytes,
    offline: bytes,
    will_delay: int = 10,
    keepalive: int = 15,
    on_state: Callable[[bool, str], None] = lambda _up, _why: None,
) -> MqttLink:
    """The link of this terminal: its TLS identity, its retained status.

    Raises:
        TransportError: `broker.credentials`; a URL that is not `mqtts://host[:port]`.
    """
    return MqttLink(
        client_id=identity.terminal,
        brokers=brokers,
        tls=Tls(identity.issuer.broker_ca, identity.tls_certificate, identity.tls_key),
        status=Status(topics.STATUS.of(identity.terminal), online, offline, delay=will_delay),
        keepalive=keepalive,
        on_state=on_state,
    )


class IssuerClient:
    """Asks the issuer. Make it before the link is started: it subscribes to epochs and decisions."""

    def __init__(self, link: MqttLink, identity: DeviceIdentity, *, clock: Clock, counter: Counter) -> None:
        self._link = link
        self._identity = identity
        self._clock = clock
        self._counter = counter
        self._count_name = thumbprint(identity.signer.public_key).hex()
        self._pending: dict[bytes, asyncio.Queue[bytes]] = {}
        self._sending = asyncio.Lock()
        self.epochs = EpochWatch(identity.issuer, clock)
        # QoS 0: a broker must not queue old epochs for an absent terminal; the retained one is enough.
        link.handle(topics.EPOCH.of(), self.epochs.take, qos=0)
        link.handle(topics.DECISION.of(identity.terminal), self._answered)

    @property
    def clock(self) -> ClockTrust:
        """How far this machine's clock can be trusted, by the issuer's epochs."""
        return self._clock.trust

    async def reach(self, *, deadline: float) -> None:
        """Wait until a request could be sent: nobody should be asked to turn the head for nothing.

        Raises:
            TransportError: `broker.*` or `issuer.silent`, before `deadline` in the loop's time; `clock.contradicted`:
                by this clock a good document could be expired, and that is not the holder's fault.
        """
        remaining = _Remaining(deadline)
        await self._link.wait_connected(remaining.seconds())
        await self.epochs.wait(remaining.seconds())
        self._check_clock()

    async def verify(
        self, evidence: Evidence, holder: HolderData | None = None, *, deadline: float, request_id: bytes = b""
    ) -> Decision:
        """Send `evidence`, wait for the decision, check it. `request_id`: 16 random bytes, made here when empty.

        Raises:
            TransportError: `broker.*` (the link), `issuer.silent` (no epoch), `issuer.no_decision`,
                `issuer.decision_invalid` (not the issuer's, or not on this request), `issuer.request_too_large`,
                `clock.contradicted`; always before `deadline`, give or take the loop's own delay.
            TrustError: `trust.counter`, `trust.key`, `trust.expired`; nothing was sent.
        """
        remaining = _Remaining(deadline)
        await self._link.wait_connected(remaining.seconds())
        epoch = await self.epochs.wait(remaining.seconds())
        decision = await self._attempt(evidence, holder, epoch, request_id, deadline)
        if decision.reasons != (Refusal.EPOCH,):
            return decision
        # The link was away and the issuer has moved on meanwhile: that is nobody's fault, least of all the holder's.
        epoch = await self.epochs.newer(epoch, remaining.seconds())
        return await self._attempt(evidence, holder, epoch, b"", deadline)

    async def _attempt(
        self, evidence: Evidence, holder: HolderData | None, epoch: Epoch, request_id: bytes, deadline: float
    ) -> Decision:
        remaining = _Remaining(deadline)
        self._check_clock()
        request_id = request_id or secrets.token_bytes(16)
        answers = self._pending[request_id] = asyncio.Queue(_MAX_ANSWERS)
        try:
            # One after another: the issuer refuses a counter that was overtaken on its way.
            await _before(deadline, self._sending.acquire())
            try:
                # Disk and key are somebody else's: a token may hang.
                request = await _before(deadline, self._request(evidence, epoch, request_id))
                sealed = await _before(deadline, asyncio.to_thread(self._seal, request, holder))
                await self._ask(sealed, request_id, remaining)
            finally:
                self._sending.release()
            return await self._decision(answers, request, sealed, deadline)
        finally:
            del self._pending[request_id]

    def _check_clock(self) -> None:
        if self._clock.trust is ClockTrust.CONTRADICTED:
            raise TransportError("clock.contradicted", f"the clock is {self._clock.offset} s off the issuer's epoch")

    async def _decision(
        self, answers: asyncio.Queue[bytes], request: Request, sealed: Sealed, deadline: float
    ) -> Decision:
        """The first answer that holds. A false one does not keep the true one from being heard."""
        failure = TransportError("issuer.no_decision", "the issuer did not answer in time")
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    data = await answers.get()
            except TimeoutError:
                raise failure from None
            try:
                return self._check(data, request, sealed)
            except TransportError as error:
                _LOG.warning("an answer was refused: %s", error)
                failure = error

    async def _request(self, evidence: Evidence, epoch: Epoch, request_id: bytes) -> Request:
        counter = await asyncio.to_thread(self._counter.next, self._count_name)
        return Request(
            **{name: getattr(evidence, name) for name in Evidence.model_fields},
            ueid=self._identity.attester.ueid,
            terminal=self._identity.terminal,
            audience=self._identity.issuer.name,
            issued_at=int(self._clock.now()),
            request_id=request_id,
            epoch=epoch.epoch_id,
            counter=counter,
            clock=ClockEvidence(trust=self._clock.trust.value, offset=self._clock.offset),
        )

    def _seal(self, request: Request, holder: HolderData | None) -> Sealed:
        try:
            return envelope.seal(
                request,
                holder,
                signer=self._identity.signer,
                chain=self._identity.chain,
                recipient=self._identity.issuer.sealing_key(self._now()),
            )
        except WireError as error:
            raise TransportError("issuer.request_too_large", str(error)) from error

    async def _ask(self, sealed: Sealed, request_id: bytes, remaining: "_Remaining") -> None:
        """Publish, again after a connection that broke, and again while the broker says that no issuer listens.

        The bytes are the same each time: an issuer that has them already decides on them once.
        """
        while True:
            try:
                if await self._publish(sealed, request_id, remaining):
                    return
                failure = TransportError("issuer.silent", "no issuer listens at the broker")
            except TransportError as error:
                if error.code != "broker.unreachable":
                    raise
                failure = error
            if remaining.over(_ASK_AGAIN):
                raise failure
            await asyncio.sleep(_ASK_AGAIN)
            if remaining.over(0):
                raise failure
            await self._link.wait_connected(remaining.seconds())

    async def _publish(self, sealed: Sealed, request_id: bytes, remaining: "_Remaining") -> bool:
        left = remaining.seconds()
        return await self._link.publish(
            topics.REQUEST.of(self._identity.terminal),
            sealed.data,
            # Whole seconds on the wire: a decision after the deadline is of no use to anybody.
            expiry=max(1, min(topics.REQUEST.expiry, round(left))),
            response_topic=topics.DECISION.of(self._identity.terminal),
            correlation=request_id,
            timeout=left,
        )

    def _answered(self, message: Incoming) -> None:
        answers = self._pending.get(message.correlation)
        if answers is None:
            _LOG.info("a decision arrived that nobody waits for")
        elif not answers.full():
            answers.put_nowait(message.payload)

    def _check(self, data: bytes, request: Request, sealed: Sealed) -> Decision:
        issuer = self._identity.issuer
        try:
            decision = envelope.read_decision(
                data, issuer.signing_keys(self._now()), issuer=issuer.name, terminal=self._identity.terminal
            )
        except WireError as error:
            raise TransportError("issuer.decision_invalid", f"the decision was not taken: {error}") from error
        if decision.request_id != request.request_id:
            raise TransportError("issuer.decision_invalid", "the decision is on another request")
        if decision.request_digest != sealed.digest and (decision.accepted or decision.request_digest is not None):
            raise TransportError("issuer.decision_invalid", "the decision is on other evidence")
        return decision

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)


async def _before(deadline: float, step: Awaitable[_T]) -> _T:
    """The outcome of `step`, a part of making a request.

    Raises:
        TransportError: `issuer.no_decision`; not before `deadline`.
    """
    try:
        async with asyncio.timeout_at(deadline):
            return await step
    except TimeoutError:
        raise TransportError("issuer.no_decision", "the request could not be made in time") from None


class _Remaining:
    """What is left of a deadline."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def over(self, needed: float) -> bool:
        """Whether less than `needed` seconds are left."""
        return self._deadline - asyncio.get_running_loop().time() < needed

    def seconds(self) -> float:
        """Seconds left.

        Raises:
            TransportError: `issuer.no_decision`; none.
        """
        left = self._deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise TransportError("issuer.no_decision", "the deadline passed before the request was sent")
        return left


__all__ = ["IssuerClient", "TransportError", "TrustError", "mqtt_link"]
