"""Events that must not be lost, and the receipts that let the terminal forget them.

    events  = COSE_Sign1(device key, EventBatch)
    receipt = COSE_Sign1(issuer key, Receipt)

The broker's PUBACK says that the broker has a message; only the issuer's receipt says that the issuer has stored it.
The same event may arrive many times: its identifier makes it one. Events hold codes, times and digests, nothing
personal: like decisions they are signed, not sealed (a diagnostics bundle is sealed to its operator before it becomes
an event).
"""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from agent.wire import cose
from agent.wire.claims import Count, Identifier, TerminalId, Text, Token
from agent.wire.cose import Context
from agent.wire.errors import Fault, WireError
from agent.wire.keys import KeyRing, PublicKey, Signer
from agent.wire.message import STRICT, Key, Message, Versioned

MAX_EVENTS = 64
#: Below the broker's largest packet (256 KiB) with all that goes around it.
PAYLOAD_LIMIT = 128 * 1024
BATCH_LIMIT = PAYLOAD_LIMIT + 64 * 1024
RECEIPT_LIMIT = 16 * 1024


class Event(Message):
    """One event. `payload` is what `kind` says; the issuer stores it as it came."""

    event_id: Annotated[Identifier, Key(1)]
    kind: Annotated[Token, Key(2)]
    priority: Annotated[Annotated[int, STRICT, Field(ge=0, le=9)], Key(3)]
    #: Seconds since 1970 by the terminal's clock, which may be wrong: the issuer notes its own time beside it.
    created_at: Annotated[Count, Key(4)]
    payload: Annotated[Annotated[bytes, STRICT, Field(max_length=PAYLOAD_LIMIT)], Key(5)]


class EventBatch(Versioned):
    """Some events of one terminal, in the order in which it wants them stored."""

    audience: Annotated[Text, Key(3)]
    terminal: Annotated[TerminalId, Key(-75001)]
    events: Annotated[tuple[Event, ...], Field(min_length=1, max_length=MAX_EVENTS), Key(-75040)]


class RefusedEvent(Message):
    """An event that the issuer will never store, and why: sending it again is useless."""

    event_id: Annotated[Identifier, Key(1)]
    reason: Annotated[Token, Key(2)]


class Receipt(Versioned):
    """The issuer's word that it has stored these events, on disk."""

    issuer: Annotated[Text, Key(1)]
    terminal: Annotated[TerminalId, Key(-75001)]
    issued_at: Annotated[Count, Key(6)]
    stored: Annotated[tuple[Identifier, ...], Field(max_length=MAX_EVENTS), Key(-75041)] = ()
    refused: Annotated[tuple[RefusedEvent, ...], Field(max_length=MAX_EVENTS), Key(-75042)] = ()


def sign_batch(batch: EventBatch, signer: Signer, *, chain: tuple[bytes, ...] = ()) -> bytes:
    """The batch as it is published."""
    return cose.sign(batch.encode(), signer, _up(batch.audience, batch.terminal), chain=chain)


def read_batch(
    data: bytes, key_of: Callable[[tuple[bytes, ...]], PublicKey], *, issuer: str, terminal: str
) -> EventBatch:
    """The events of `terminal`, by the key that `key_of` finds for its certificate chain (DER, leaf first).

    Raises:
        WireError: whatever `key_of` raises; `limit`, `malformed`, `signature`, `version`, `context`.
    """
    key = key_of(cose.inspect(data, limit=BATCH_LIMIT).chain)
    batch = EventBatch.decode(cose.verify(data, key, _up(issuer, terminal), limit=BATCH_LIMIT), limit=BATCH_LIMIT)
    if (batch.audience, batch.terminal) != (issuer, terminal):
        raise WireError(Fault.CONTEXT, "the events name another issuer or terminal")
    return batch


def sign_receipt(receipt: Receipt, signer: Signer) -> bytes:
    """The receipt as it is published."""
    return cose.sign(receipt.encode(), signer, _down(receipt.issuer, receipt.terminal))


def read_receipt(data: bytes, ring: KeyRing, *, issuer: str, terminal: str) -> Receipt:
    """A receipt of `issuer` for `terminal`.

    Raises:
        WireError: not by a trusted key, not for this terminal, not a receipt.
    """
    payload = cose.verify_by_ring(data, ring, _down(issuer, terminal), limit=RECEIPT_LIMIT)
    receipt = Receipt.decode(payload, limit=RECEIPT_LIMIT)
    if (receipt.issuer, receipt.terminal) != (issuer, terminal):
        raise WireError(Fault.CONTEXT, "the receipt names another issuer or terminal")
    return receipt


def _up(issuer: str, terminal: str) -> Context:
    return Context("events", issuer, terminal)


def _down(issuer: str, terminal: str) -> Context:
    return Context("receipt", terminal, issuer)
