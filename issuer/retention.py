"""What the issuer forgets, and when, by the days of `[retention]` in `issuer.toml`.

No protection against replay rests on what is forgotten. Terminals and the counters of their keys are never touched. Of
an event that goes, its identifier and digest stay for as long as its terminal may send it again, so that it is never
stored twice. A code that is gone is an unknown code. A decision that is gone is older than any epoch that is taken.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from agent.wire.configuration import REPORT
from issuer.events import EVENTS, SEEN
from issuer.policy import Retention
from issuer.store import CODES, DECISIONS, TERMINALS

_LOG = logging.getLogger(__name__)

_DAY = 86400
#: Rows of one transaction: other writers wait for no more than that.
_BATCH = 500
_PAUSE = 0.02
_FIRST_SWEEP = 2.0
_INTERVAL = 3600.0
#: A clock this far ahead of the newest record is not believed by a sweep that nobody ordered.
_GAP = 31 * _DAY

_ALL = sa.true()
_EMPTY = sa.cast(DECISIONS.c.holder, sa.String) == "{}"


@dataclass(frozen=True, slots=True)
class _Rule:
    """One kind of record, since when a row holds it, and how a row is made to forget."""

    name: str
    table: sa.Table
    since: sa.ColumnElement[int]
    forget: Callable[[Connection, sa.ColumnElement[bool]], object]
    #: Rows that hold any; and those of them that may go.
    holds: sa.ColumnElement[bool] = _ALL
    spare: sa.ColumnElement[bool] = _ALL

    def due(self, before: int) -> sa.ColumnElement[bool]:
        """The rows to be forgotten: from before `before`."""
        return sa.and_(self.holds, self.spare, self.since < before)


def _delete(table: sa.Table) -> Callable[[Connection, sa.ColumnElement[bool]], object]:
    return lambda connection, rows: connection.execute(table.delete().where(rows))


def _strip_holder(connection: Connection, rows: sa.ColumnElement[bool]) -> None:
    connection.execute(DECISIONS.update().where(rows).values(holder={}))


def _remember_only_names(connection: Connection, rows: sa.ColumnElement[bool]) -> None:
    names = sa.select(EVENTS.c.terminal, EVENTS.c.event_id, EVENTS.c.digest).where(rows)
    connection.execute(SEEN.insert().from_select(["terminal", "event_id", "digest"], names))
    connection.execute(EVENTS.delete().where(rows))


def _superseded() -> sa.ColumnElement[bool]:
    """Events that say nothing about the present: what is in force at a terminal, and each kind's last word, stay."""
    later = EVENTS.alias()
    same = sa.and_(later.c.terminal == EVENTS.c.terminal, later.c.kind == EVENTS.c.kind)
    newer = sa.exists().where(same, later.c.position > EVENTS.c.position)
    return sa.and_(EVENTS.c.kind != REPORT, newer)


_RULES = (
    _Rule("holder", DECISIONS, DECISIONS.c.decided_at, _strip_holder, holds=sa.not_(_EMPTY)),
    _Rule("decisions", DECISIONS, DECISIONS.c.decided_at, _delete(DECISIONS)),
    _Rule("events", EVENTS, EVENTS.c.received_at, _remember_only_names, spare=_superseded()),
    _Rule("codes", CODES, sa.func.coalesce(CODES.c.used_at, CODES.c.expires_at), _delete(CODES)),
)


@dataclass(frozen=True, slots=True)
class Holding:
    """How much of one kind is held. `days` 0: for ever. `oldest` is seconds since 1970, None when there is none."""

    name: str
    days: int
    held: int
    due: int
    oldest: int | None


def survey(engine: Engine, retention: Retention, now: float) -> list[Holding]:
    """What is held, and how much of it is due to be forgotten."""
    return [_holding(engine, rule, getattr(retention, rule.name), now) for rule in _RULES]


def sweep(
    engine: Engine, retention: Retention, now: float, *, goes_on: Callable[[], bool] = lambda: True
) -> dict[str, int]:
    """Forget what is due, some rows at a time, while `goes_on`; how many of each kind.

    Several workers may do it at once.
    """
    done = {rule.name: _forget(engine, rule, getattr(retention, rule.name), now, goes_on) for rule in _RULES}
    with engine.begin() as connection:
        # Whatever a revoked terminal sends is refused before its events are looked at.
        revoked = sa.select(TERMINALS.c.terminal).where(TERMINALS.c.revoked_at.is_not(None))
        connection.execute(SEEN.delete().where(SEEN.c.terminal.in_(revoked)))
    return done


def keep_sweeping(engine: Engine, retention: Retention, stopping: threading.Event) -> None:
    """Sweep soon and then every hour until `stopping`."""
    wait = _FIRST_SWEEP
    while not stopping.wait(wait):
        wait = _INTERVAL
        try:
            now = time.time()
            if is_far_ahead(engine, now):
                _LOG.warning(
                    "nothing is forgotten: this clock is more than %d days ahead of the newest record", _GAP // _DAY
                )
                continue
            done = sweep(engine, retention, now, goes_on=lambda: not stopping.wait(_PAUSE))
        except SQLAlchemyError as error:
            _LOG.warning("the sweep did not end: %s", error)
            continue
        if any(done.values()):
            _LOG.info("forgotten: %s", ", ".join(f"{number} {name}" for name, number in done.items() if number))


def is_far_ahead(engine: Engine, now: float) -> bool:
    """Whether the clock may have jumped. Terminals that contradict it send no requests, so no decision follows it."""
    with engine.connect() as connection:
        decided = connection.scalar(sa.select(sa.func.max(DECISIONS.c.decided_at)))
        newest = decided or connection.scalar(sa.select(sa.func.max(EVENTS.c.received_at)))
    return newest is not None and now - newest > _GAP


def _holding(engine: Engine, rule: _Rule, days: int, now: float) -> Holding:
    count = sa.select(sa.func.count(), sa.func.min(rule.since)).select_from(rule.table)
    with engine.connect() as connection:
        held, oldest = connection.execute(count.where(rule.holds)).one()
        due = connection.execute(count.where(rule.due(_cutoff(days, now)))).one()[0] if days else 0
    return Holding(rule.name, days, held, due, oldest)


def _forget(engine: Engine, rule: _Rule, days: int, now: float, goes_on: Callable[[], bool]) -> int:
    if not days:
        return 0
    key = sa.tuple_(*rule.table.primary_key.columns)
    # Workers that sweep at once each take rows of their own; SQLite has one writer at a time and knows no such clause.
    due = sa.select(*rule.table.primary_key.columns).where(rule.due(_cutoff(days, now))).limit(_BATCH)
    forgotten = 0
    while goes_on():
        with engine.begin() as connection:
            names = [tuple(row) for row in connection.execute(due.with_for_update(skip_locked=True))]
            if not names:
                break
            rule.forget(connection, key.in_(names))
            forgotten += len(names)
    return forgotten


def _cutoff(days: int, now: float) -> int:
    return int(now) - days * _DAY
