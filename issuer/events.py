"""Events of terminals: stored once, then a signed receipt. SQLAlchemy on SQLite or PostgreSQL.

The receipt is signed after the commit has returned, so that a terminal forgets only what is on the issuer's disk. An
event that comes again gets its receipt again; the same identifier with another content is refused (`event.conflict`).
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from cryptography import x509
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import IntegrityError

from agent.wire import chain, events
from agent.wire.errors import Fault, WireError
from agent.wire.events import Event, EventBatch, Receipt, RefusedEvent
from agent.wire.keys import PublicKey, Signer, thumbprint
from issuer import store
from issuer.policy import Policy

CONFLICT = "event.conflict"

EVENTS = sa.Table(
    "events",
    store.METADATA,
    sa.Column("terminal", sa.String(64), primary_key=True),
    sa.Column("event_id", sa.LargeBinary, primary_key=True),
    sa.Column("kind", sa.String(64), nullable=False, index=True),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    #: The order of storing: nanoseconds since 1970, and the place in the batch.
    sa.Column("position", sa.BigInteger, nullable=False, index=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    #: How often it came: more than once means that receipts did not reach the terminal.
    sa.Column("deliveries", sa.Integer, nullable=False, default=1),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)
#: Events that were forgotten (`issuer.retention`): enough to know them when they come again.
SEEN = sa.Table(
    "seen_events",
    store.METADATA,
    sa.Column("terminal", sa.String(64), primary_key=True),
    sa.Column("event_id", sa.LargeBinary, primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event as the issuer holds it; `received_at` is the issuer's clock."""

    terminal: str
    event_id: bytes
    kind: str
    created_at: int
    received_at: int
    deliveries: int
    payload: bytes


class EventStore:
    """The events of all terminals in the issuer's database (`issuer.store.opened`)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, batch: EventBatch, now: int) -> tuple[list[bytes], list[bytes]]:
        """Store what is new of `batch`, durably; the identifiers that are stored now, and those in conflict."""
        try:
            return self._add(batch, now)
        except IntegrityError:
            # Another worker stored the same events between our look and our commit.
            return self._add(batch, now)

    def count(self, kind: str | None = None) -> int:
        """How many events are stored, of `kind` or in all."""
        query = sa.select(sa.func.count()).select_from(EVENTS)
        with self._engine.connect() as connection:
            return connection.scalar(query if kind is None else query.where(EVENTS.c.kind == kind)) or 0

    def counts(self) -> dict[str, int]:
        """How many events are stored, by kind."""
        query = sa.select(EVENTS.c.kind, sa.func.count()).group_by(EVENTS.c.kind)
        with self._engine.connect() as connection:
            return {str(kind): int(number) for kind, number in connection.execute(query)}

    def read(self, terminal: str | None = None, *, kind: str | None = None, last: int = 1000) -> list[StoredEvent]:
        """The newest `last` events, oldest of them first."""
        columns = [EVENTS.c[field.name] for field in fields(StoredEvent)]
        query = sa.select(*columns).order_by(EVENTS.c.position.desc()).limit(last)
        query = query if terminal is None else query.where(EVENTS.c.terminal == terminal)
        query = query if kind is None else query.where(EVENTS.c.kind == kind)
        with self._engine.connect() as connection:
            return [StoredEvent(*row) for row in reversed(connection.execute(query).all())]

    def _add(self, batch: EventBatch, now: int) -> tuple[list[bytes], list[bytes]]:
        stored: list[bytes] = []
        conflicts: list[bytes] = []
        fresh: list[dict[str, Any]] = []
        with self._engine.begin() as connection:
            known = _digests(connection, batch)
            for place, item in enumerate(batch.events, start=time.time_ns()):
                digest = _digest(item)
                held = known.setdefault(item.event_id, digest)
                (stored if held == digest else conflicts).append(item.event_id)
                if held is digest:
                    fresh.append({**_columns(batch.terminal, item, digest, now), "position": place})
            if fresh:
                connection.execute(EVENTS.insert(), fresh)
            if len(fresh) < len(batch.events):
                _count_repeats(connection, batch, [row["event_id"] for row in fresh])
        return stored, conflicts


def terminal_key(
    engine: Engine, authority: x509.Certificate, policy: Policy, terminal: str, certificates: tuple[bytes, ...]
) -> PublicKey:
    """The key of `terminal`, by its certificate chain (DER, leaf first), if it is enrolled and not revoked.

    Raises:
        WireError: `chain`; `suite`, when the policy does not take this kind of key.
    """
    attester = chain.attester(certificates, [authority], at=datetime.now(UTC))
    state = store.key_state(engine, thumbprint(attester.public_key).hex())
    if attester.terminal != terminal or state is None or state.terminal != terminal or state.revoked:
        raise WireError(Fault.CHAIN, "not the key of an enrolled terminal of this name")
    if not policy.takes(attester.public_key):
        raise WireError(Fault.SUITE, "the policy does not take this kind of key")
    return attester.public_key


@dataclass(frozen=True, slots=True, repr=False)
class EventDesk:
    """Takes what arrives on the topic of events and answers with receipts."""

    store: EventStore
    issuer: str
    signer: Signer
    #: The key for a certificate chain (DER, leaf first) of the terminal with this name; raises WireError otherwise.
    key_of: Callable[[str, tuple[bytes, ...]], PublicKey]
    now: Callable[[], float] = time.time

    def take(self, terminal: str, data: bytes) -> bytes:
        """Store the events in `data`, which came on the topic of `terminal`; the receipt to publish. Blocks.

        Raises:
            WireError: not that terminal's, not for this issuer, or not events at all: nothing is stored or answered.
        """
        batch = events.read_batch(
            data, lambda chain: self.key_of(terminal, chain), issuer=self.issuer, terminal=terminal
        )
        now = int(self.now())
        stored, conflicts = self.store.add(batch, now)
        receipt = Receipt(
            issuer=self.issuer,
            terminal=terminal,
            issued_at=now,
            stored=tuple(stored),
            refused=tuple(RefusedEvent(event_id=event_id, reason=CONFLICT) for event_id in conflicts),
        )
        return events.sign_receipt(receipt, self.signer)


def _digests(connection: Connection, batch: EventBatch) -> dict[bytes, bytes]:
    """Of the events that were seen before. One statement: an event on its way from one table to the other is in one."""
    wanted = [item.event_id for item in batch.events]
    seen = (
        sa.select(table.c.event_id, table.c.digest).where(
            table.c.terminal == batch.terminal, table.c.event_id.in_(wanted)
        )
        for table in (EVENTS, SEEN)
    )
    return {bytes(row.event_id): bytes(row.digest) for row in connection.execute(sa.union_all(*seen))}


def _count_repeats(connection: Connection, batch: EventBatch, fresh: list[bytes]) -> None:
    again = [item.event_id for item in batch.events if item.event_id not in fresh]
    connection.execute(
        EVENTS.update()
        .where(EVENTS.c.terminal == batch.terminal, EVENTS.c.event_id.in_(again))
        .values(deliveries=EVENTS.c.deliveries + 1)
    )


def _columns(terminal: str, item: Event, digest: bytes, now: int) -> dict[str, Any]:
    return {
        "terminal": terminal,
        "event_id": item.event_id,
        "kind": item.kind,
        "priority": item.priority,
        "created_at": item.created_at,
        "received_at": now,
        "digest": digest,
        "payload": item.payload,
    }


def _digest(item: Event) -> bytes:
    return hashlib.sha256(item.kind.encode() + b"\0" + item.payload).digest()
