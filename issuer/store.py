"""What the issuer remembers (SQLAlchemy; SQLite by default, PostgreSQL by URL).

Every table that guards against replay is written with one statement that either happens or does not, so that several
workers on one database are as strict as one.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import IntegrityError

from issuer.errors import IssuerError

#: Every table of the issuer: those below, and those of `issuer.events` and `issuer.config_outgoing`.
METADATA = sa.MetaData()
#: The lock of PostgreSQL under which tables are made: any number that no other program of the database uses.
_MAKING = 7_206_933_482

TERMINALS = sa.Table(
    "terminals",
    METADATA,
    sa.Column("terminal", sa.String(64), primary_key=True),
    sa.Column("ueid", sa.LargeBinary, nullable=False),
    sa.Column("enrolled_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
)
KEYS = sa.Table(
    "device_keys",
    METADATA,
    sa.Column("thumbprint", sa.String(64), primary_key=True),
    sa.Column("terminal", sa.String(64), sa.ForeignKey("terminals.terminal"), nullable=False),
    sa.Column("counter", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
)
EPOCHS = sa.Table(
    "epochs",
    METADATA,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("epoch_id", sa.LargeBinary, nullable=False),
    sa.Column("signed", sa.LargeBinary, nullable=False),
)
#: `token` is the signed token (nothing personal), `holder` what the policy keeps of the person.
DECISIONS = sa.Table(
    "decisions",
    METADATA,
    sa.Column("decision_id", sa.String(32), primary_key=True),
    sa.Column("decided_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("terminal", sa.String(64), nullable=False),
    sa.Column("request_id", sa.String(32), nullable=False, index=True),
    sa.Column("relying_party", sa.String(256), nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
    sa.Column("token", sa.LargeBinary, nullable=False),
    sa.Column("epoch", sa.LargeBinary, nullable=False),
    sa.Column("decision", sa.LargeBinary, nullable=False),
    sa.Column("holder", sa.JSON, nullable=False),
)
#: One-time codes of enrolment, by the digest of their secret.
CODES = sa.Table(
    "codes",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("terminal", sa.String(64), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("used_at", sa.BigInteger),
)
REFUSALS = sa.Table(
    "refusals",
    METADATA,
    sa.Column("reason", sa.String(64), primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class KeyState:
    """A device key as the issuer knows it."""

    terminal: str
    revoked: bool


@dataclass(frozen=True, slots=True, repr=False)
class StoredEpoch:
    """An epoch as it was published."""

    sequence: int
    epoch_id: bytes
    signed: bytes


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path}"


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """The database at `url`, with the tables of all modules that are imported.

    Raises:
        IssuerError: it cannot be opened.
    """
    # Errors go to the log, and the parameters of a statement may be a holder's data.
    try:
        # Connections that a server has dropped are noticed before they are used (`pool_pre_ping`).
        engine = sa.create_engine(url, hide_parameters=True, pool_pre_ping=True)
    except (sa.exc.ArgumentError, ImportError) as error:
        # Without the URL: it may hold a password.
        raise IssuerError(f"the database's URL cannot be used: {error}") from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _durable)
    try:
        _make_tables(engine)
        yield engine
    except sa.exc.OperationalError as error:
        raise IssuerError(f"the database cannot be used: {error.orig}") from error
    finally:
        engine.dispose()


def _make_tables(engine: Engine) -> None:
    """Make what is missing, one process at a time: several may start at once on a new database."""
    if METADATA.tables.keys() <= set(sa.inspect(engine).get_table_names()):
        return
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))
        METADATA.create_all(connection)


def add_terminal(engine: Engine, terminal: str, ueid: bytes) -> None:
    """Enter a terminal.

    Raises:
        IssuerError: it is there already.
    """
    try:
        with engine.begin() as connection:
            connection.execute(TERMINALS.insert().values(terminal=terminal, ueid=ueid, enrolled_at=_now()))
    except IntegrityError as error:
        raise IssuerError(f"{terminal} is enrolled already") from error


def add_key(engine: Engine, terminal: str, thumbprint: str) -> None:
    """Enter a device key of a terminal with a counter of its own; nothing changes when it is there already.

    Raises:
        IssuerError: it is another terminal's, or revoked.
    """
    try:
        with engine.begin() as connection:
            connection.execute(KEYS.insert().values(thumbprint=thumbprint, terminal=terminal, counter=0))
    except IntegrityError as error:
        state = key_state(engine, thumbprint)
        if state is None or state.terminal != terminal or state.revoked:
            raise IssuerError("this device key is another terminal's, or revoked: make a new one") from error


def terminals(engine: Engine) -> list[str]:
    """The terminals that are enrolled and not revoked."""
    query = sa.select(TERMINALS.c.terminal).where(TERMINALS.c.revoked_at.is_(None)).order_by(TERMINALS.c.terminal)
    with engine.connect() as connection:
        return [str(name) for name in connection.execute(query).scalars()]


def ueid_of(engine: Engine, terminal: str) -> bytes | None:
    """The UEID of a terminal; None when it is not enrolled."""
    with engine.connect() as connection:
        found = connection.execute(sa.select(TERMINALS.c.ueid).where(TERMINALS.c.terminal == terminal)).scalar()
    return None if found is None else bytes(found)


def is_revoked(engine: Engine, terminal: str) -> bool:
    """Whether a terminal was revoked."""
    query = sa.select(TERMINALS.c.revoked_at).where(TERMINALS.c.terminal == terminal)
    with engine.connect() as connection:
        return connection.execute(query).scalar() is not None


def add_code(engine: Engine, digest: str, terminal: str, expires_at: int) -> None:
    """Enter a one-time code."""
    with engine.begin() as connection:
        connection.execute(CODES.insert().values(digest=digest, terminal=terminal, expires_at=expires_at))


def use_code(engine: Engine, digest: str, now: int) -> str | None:
    """The terminal that a code was made for, once; None when it is unknown, expired or used."""
    statement = CODES.update().where(CODES.c.digest == digest, CODES.c.used_at.is_(None), CODES.c.expires_at >= now)
    with engine.begin() as connection:
        if connection.execute(statement.values(used_at=now)).rowcount != 1:
            return None
        return str(connection.execute(sa.select(CODES.c.terminal).where(CODES.c.digest == digest)).scalar_one())


def revoke(engine: Engine, terminal: str) -> bool:
    """Revoke a terminal and its keys from now on; False when it is unknown."""
    with engine.begin() as connection:
        found = connection.execute(TERMINALS.update().where(TERMINALS.c.terminal == terminal).values(revoked_at=_now()))
        connection.execute(KEYS.update().where(KEYS.c.terminal == terminal).values(revoked_at=_now()))
    return bool(found.rowcount)


def key_state(engine: Engine, thumbprint: str) -> KeyState | None:
    """What is known of a device key."""
    query = (
        sa.select(KEYS.c.terminal, KEYS.c.revoked_at, TERMINALS.c.revoked_at)
        .join(TERMINALS)
        .where(KEYS.c.thumbprint == thumbprint)
    )
    with engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else KeyState(row[0], row[1] is not None or row[2] is not None)


def add_epoch(engine: Engine, sequence: int, epoch_id: bytes, signed: bytes) -> bool:
    """Enter an epoch and drop those before its predecessor; False when another worker was first."""
    try:
        with engine.begin() as connection:
            connection.execute(EPOCHS.insert().values(sequence=sequence, epoch_id=epoch_id, signed=signed))
            oldest = sa.select(EPOCHS.c.sequence).order_by(EPOCHS.c.sequence.desc()).offset(1).limit(1)
            previous = connection.execute(oldest).scalar()
            if previous is not None:
                connection.execute(EPOCHS.delete().where(EPOCHS.c.sequence < previous))
    except IntegrityError:
        return False
    return True


def newest_epochs(engine: Engine) -> list[StoredEpoch]:
    """The newest epochs, at most two, newest first; how old they are is for the caller to see."""
    query = sa.select(EPOCHS).order_by(EPOCHS.c.sequence.desc()).limit(2)
    with engine.connect() as connection:
        return [StoredEpoch(int(row[0]), bytes(row[1]), bytes(row[2])) for row in connection.execute(query)]


def was_decided(engine: Engine, terminal: str, request_id: bytes) -> bool:
    """Whether there is a decision on this request already."""
    query = sa.select(DECISIONS.c.decision_id).where(
        DECISIONS.c.terminal == terminal, DECISIONS.c.request_id == request_id.hex()
    )
    with engine.connect() as connection:
        return connection.execute(query).first() is not None


def advance_counter(engine: Engine, thumbprint: str, counter: int) -> bool:
    """Move a key's counter up to `counter`; False when it is there already or beyond."""
    statement = KEYS.update().where(KEYS.c.thumbprint == thumbprint, KEYS.c.counter < counter)
    with engine.begin() as connection:
        return connection.execute(statement.values(counter=counter)).rowcount == 1


def add_decision(engine: Engine, row: dict[str, Any]) -> None:
    """Keep a decision."""
    with engine.begin() as connection:
        connection.execute(DECISIONS.insert().values(decided_at=_now(), **row))


def find_record(engine: Engine, request_id: str) -> tuple[bytes, bytes, bytes] | None:
    """Token, epoch and decision of the decided request `request_id` (hex)."""
    query = sa.select(DECISIONS.c.token, DECISIONS.c.epoch, DECISIONS.c.decision)
    with engine.connect() as connection:
        row = connection.execute(query.where(DECISIONS.c.request_id == request_id)).first()
    return None if row is None else (bytes(row[0]), bytes(row[1]), bytes(row[2]))


def count_refusal(engine: Engine, reason: str) -> None:
    """Count one refusal."""
    with engine.begin() as connection:
        if not _increment(connection, reason):
            try:
                with connection.begin_nested():
                    connection.execute(REFUSALS.insert().values(reason=reason, count=1))
            except IntegrityError:
                _increment(connection, reason)


def summary(engine: Engine, limit: int = 20) -> dict[str, Any]:
    """Counts and the newest decisions: codes and times, nothing of the holder."""
    columns = [DECISIONS.c[n] for n in ("decided_at", "terminal", "request_id", "relying_party", "outcome", "reasons")]
    with engine.connect() as connection:
        outcomes = connection.execute(
            sa.select(DECISIONS.c.outcome, sa.func.count()).group_by(DECISIONS.c.outcome)
        ).all()
        refusals = connection.execute(sa.select(REFUSALS.c.reason, REFUSALS.c.count)).all()
        newest = connection.execute(sa.select(*columns).order_by(DECISIONS.c.decided_at.desc()).limit(limit))
        return {
            "decisions": {str(row[0]): int(row[1]) for row in outcomes},
            "refusals": {str(row[0]): int(row[1]) for row in refusals},
            "newest": [dict(row) for row in newest.mappings()],
        }


def _increment(connection: Connection, reason: str) -> bool:
    statement = REFUSALS.update().where(REFUSALS.c.reason == reason).values(count=REFUSALS.c.count + 1)
    return connection.execute(statement).rowcount == 1


def _durable(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # What is forgotten is overwritten, not only unlinked.
    connection.execute("PRAGMA secure_delete = ON")


def _now() -> int:
    return int(time.time())
