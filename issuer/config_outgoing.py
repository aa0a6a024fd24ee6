"""Messages for terminals that others have signed: configuration, bundles, commands. The issuer only carries them.

The command line enters them into the database, a running worker publishes each once. So they need neither a second
connection to the broker nor a running issuer at the moment of the order.
"""

import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from agent.wire.topics import Topic
from issuer import store
from issuer.errors import IssuerError

OUTGOING = sa.Table(
    "outgoing",
    store.METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("topic", sa.String(200), nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("retain", sa.Boolean, nullable=False),
    #: Seconds since 1970 after which it is of no use any more; NULL: never.
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("published_at", sa.BigInteger),
)

#: `publish(topic, payload, retain, seconds to live)`: True when the broker has acknowledged it. 0 seconds: for ever.
Publish = Callable[[str, bytes, bool, int], bool]


def enter(engine: Engine, topic: Topic, terminals: list[str], payload: bytes, *, expires_at: int | None = None) -> None:
    """Enter `payload` for each of `terminals`; on a retained topic it takes the place of what waits there.

    Raises:
        IssuerError: one of them is not enrolled.
    """
    with engine.begin() as connection:
        enrolled = set(connection.scalars(sa.select(store.TERMINALS.c.terminal)))
        unknown = sorted(set(terminals) - enrolled)
        if unknown:
            raise IssuerError(f"not enrolled: {', '.join(unknown)}")
        names = [topic.of(terminal) for terminal in terminals]
        if topic.retain:
            connection.execute(OUTGOING.delete().where(OUTGOING.c.topic.in_(names)))
        rows = [{"topic": name, "payload": payload, "retain": topic.retain, "expires_at": expires_at} for name in names]
        connection.execute(OUTGOING.insert(), rows)


def all_terminals(engine: Engine) -> list[str]:
    """Every terminal that is enrolled and not revoked."""
    query = sa.select(store.TERMINALS.c.terminal).where(store.TERMINALS.c.revoked_at.is_(None))
    with engine.connect() as connection:
        return sorted(connection.scalars(query))


def retain_again(engine: Engine) -> None:
    """Publish what is retained once more: a broker that was killed may have forgotten it."""
    with engine.begin() as connection:
        connection.execute(OUTGOING.update().where(OUTGOING.c.retain).values(published_at=None))


def publish_waiting(engine: Engine, publish: Publish) -> int:
    """Publish what waits, oldest first; how many went out. Stops at the first that the broker does not take."""
    now = int(time.time())
    waiting = sa.select(OUTGOING).where(OUTGOING.c.published_at.is_(None)).order_by(OUTGOING.c.number).limit(100)
    with engine.connect() as connection:
        rows = connection.execute(waiting).all()
    done = 0
    for row in rows:
        life = 0 if row.expires_at is None else row.expires_at - now
        expired = row.expires_at is not None and life <= 0
        if not expired and not publish(row.topic, bytes(row.payload), row.retain, life):
            break
        with engine.begin() as connection:
            _note_published(connection, row, now)
        done += 1
    return done


def _note_published(connection: Connection, row: Row[Any], now: int) -> None:
    # SQLite gives the number of a row that is gone to the next one: the number alone does not say which one went out.
    mine = sa.and_(OUTGOING.c.number == row.number, OUTGOING.c.topic == row.topic, OUTGOING.c.payload == row.payload)
    if not row.retain:
        connection.execute(OUTGOING.delete().where(mine))
    elif not connection.execute(OUTGOING.update().where(mine).values(published_at=now)).rowcount:
        # Another took its place meanwhile, and another worker may have published that one before ours arrived.
        connection.execute(OUTGOING.update().where(OUTGOING.c.topic == row.topic).values(published_at=None))
