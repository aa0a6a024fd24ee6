"""Mallory: a hostile broker, played by a client that may read and write every topic."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.transport.mqtt import Incoming, MqttLink, Tls
from agent.trust.identity import DeviceIdentity
from agent.wire import claims, cose, envelope, topics
from agent.wire.claims import ClockEvidence, Decision, Request
from agent.wire.epochs import Epoch
from agent.wire.epochs import verify as verify_epoch
from agent.wire.keys import Signer
from agent.wire.refusals import Refusal
from issuer import certificates
from issuer.certificates import Subject
from tests.protocol.wire_stack import Stack, evidence

NAME = "mallory"


@dataclass
class Mallory:
    """What the attacker saw, and what it does."""

    link: MqttLink
    seen: list[Incoming] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, message: Incoming) -> None:
        self.seen.append(message)
        self.arrived.set()

    async def send(self, topic: str, payload: bytes, correlation: bytes = b"", *, retain: bool = False) -> None:
        await self.link.publish(topic, payload, correlation=correlation, retain=retain, timeout=5.0)

    async def next(self, topic: str, correlation: bytes = b"", after: int = 0) -> Incoming:
        """The first message on `topic` (with `correlation`) beyond the first `after` that were seen."""
        async with asyncio.timeout(5.0):
            while True:
                for message in self.seen[after:]:
                    if message.topic == topic and correlation in {b"", message.correlation}:
                        return message
                self.arrived.clear()
                await self.arrived.wait()

    async def ask(self, terminal: str, payload: bytes, request_id: bytes, who: DeviceIdentity) -> Decision:
        """Deliver a request in the name of `terminal` and read the issuer's decision on it."""
        after = len(self.seen)
        await self.send(topics.REQUEST.of(terminal), payload, request_id)
        answer = await self.next(topics.DECISION.of(terminal), request_id, after)
        keys = who.issuer.pinned_keys
        return envelope.read_decision(answer.payload, keys, issuer=who.issuer.name, terminal=terminal)


def mallory_credentials(stack: Stack) -> Path:
    """Make Mallory's TLS identity and the rule that lets it do everything; before the broker starts."""
    transport = certificates.load_authority(stack.layout.authority("transport"))
    key = certificates.new_key()
    leaf = certificates.issue(transport, Subject(NAME), key.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH)
    path = stack.root / NAME
    certificates.save(path, key, [leaf])
    return path


@contextlib.asynccontextmanager
async def mallory(stack: Stack) -> AsyncIterator[Mallory]:
    path = stack.root / NAME
    authority = stack.layout.authority("transport").with_suffix(".pem")
    tls = Tls(authority, path.with_suffix(".pem"), path.with_suffix(".key"))
    link = MqttLink(client_id=NAME, brokers=[stack.url], tls=tls, session_expiry=0)
    made = Mallory(link)
    link.handle("#", made.take)
    link.start()
    try:
        await link.wait_connected(5.0)
        yield made
    finally:
        await link.stop()


@dataclass
class Scene:
    """A victim, an attacker, and the epoch of the moment."""

    stack: Stack
    mallory: Mallory
    victim: DeviceIdentity
    counter: int = 0

    async def epoch(self) -> Epoch:
        message = await self.mallory.next(topics.EPOCH.of(), after=self._newest_epoch())
        return verify_epoch(message.payload, self.victim.issuer.pinned_keys, self.victim.issuer.name)

    def _newest_epoch(self) -> int:
        places = [n for n, message in enumerate(self.mallory.seen) if message.topic == topics.EPOCH.of()]
        return places[-1] if places else 0

    async def token(self, **changes: object) -> tuple[bytes, bytes]:
        """A signed token of the victim, and its request identifier."""
        self.counter += 1
        request_id = secrets.token_bytes(16)
        signed, _ = craft(self.victim, await self.epoch(), self.counter, request_id, **changes)  # type: ignore[arg-type]  # field values
        return signed, request_id

    async def deliver(self, sealed: bytes, request_id: bytes) -> Decision:
        return await self.mallory.ask(self.victim.terminal, sealed, request_id, self.victim)


def craft(
    who: DeviceIdentity,
    now: Epoch,
    counter: int,
    request_id: bytes,
    *,
    signer: Signer | None = None,
    chain: tuple[bytes, ...] | None = None,
    **changes: object,
) -> tuple[bytes, Request]:
    """A signed token as `who` would make it, with `changes` to its fields; and the request inside."""
    fields: dict[str, object] = {
        **dict(evidence()),
        "ueid": who.attester.ueid,
        "terminal": who.terminal,
        "audience": who.issuer.name,
        "issued_at": now.issued_at,
        "request_id": request_id,
        "epoch": now.epoch_id,
        "counter": counter,
        "clock": ClockEvidence(trust="unsynchronised"),
    }
    request = Request.model_validate({**fields, **changes})
    context = envelope.request_context(request.audience, request.terminal)
    signed = cose.sign(request.encode(), signer or who.signer, context, chain=chain or who.chain)
    return signed, request


def reseal(signed: bytes, who: DeviceIdentity, holder: bytes | None = None, *, terminal: str = "") -> bytes:
    """Seal anything to the issuer, as anybody can who has its public key."""
    certificate = who.issuer.sealing[0]
    context = envelope.request_context(who.issuer.name, terminal or who.terminal)
    return cose.encrypt(claims.pack(signed, holder), certificate.public_key(), context)  # type: ignore[arg-type]  # P-256


def refused(decision: Decision, reason: Refusal) -> None:
    assert (decision.outcome, decision.reasons) == ("refused", (str(reason),))
