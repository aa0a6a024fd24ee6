"""The issuer forgets what is due and nothing else, and is as strict after it as before: on SQLite and on PostgreSQL."""

import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from agent.trust import identity
from agent.wire import claims, envelope, epochs
from agent.wire.configuration import REPORT
from agent.wire.events import Event, EventBatch
from agent.wire.refusals import Refusal
from issuer import enrolment, pki, policy, retention, store, verifier
from issuer.epoch_source import EpochSource
from issuer.events import EVENTS, SEEN, EventStore
from issuer.layout import Layout
from issuer.policy import Retention
from tests.protocol.databases import of_kind
from tests.protocol.wire_attacker import craft, reseal
from tests.protocol.wire_stack import holder, needs_broker, stack

DAY = 86400
DAYS = Retention(holder=10, decisions=20, events=30, codes=40)
NUMBER = "L898902C3"


@dataclass
class Office:
    """An issuer without a broker, and one terminal of it."""

    layout: Layout
    url: str
    engine: Engine
    who: identity.DeviceIdentity
    counter: int = 0

    def request(self) -> tuple[bytes, bytes]:
        """A sealed request of the terminal at this moment, and its identifier."""
        settings, keys = self.settings, verifier.load_keys(self.layout)
        EpochSource(self.engine, settings.name, settings.epoch_interval, keys.signing).advance()
        newest = store.newest_epochs(self.engine)[0]
        epoch = epochs.verify(newest.signed, self.who.issuer.pinned_keys, settings.name)
        self.counter += 1
        request_id, person = secrets.token_bytes(16), holder().encode()
        digest = claims.holder_digest(person)
        signed, _ = craft(self.who, epoch, self.counter, request_id, holder_digest=digest)
        return reseal(signed, self.who, person), request_id

    def answer(self, sealed: bytes, request_id: bytes) -> tuple[str, ...]:
        worker = verifier.Verifier(self.engine, self.settings, verifier.load_keys(self.layout))
        data = worker.answer(self.who.terminal, request_id, sealed)
        ring = self.who.issuer.pinned_keys
        return envelope.read_decision(data, ring, issuer=self.settings.name, terminal=self.who.terminal).reasons

    @property
    def settings(self) -> policy.Settings:
        return policy.load(self.layout.policy)

    def age(self, table: sa.Table, column: str, days: float) -> None:
        with self.engine.begin() as connection:
            connection.execute(table.update().values({column: table.c[column] - int(days * DAY)}))

    def count(self, table: sa.Table) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0

    def sweep(self, days: Retention = DAYS) -> dict[str, int]:
        return retention.sweep(self.engine, days, time.time())


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with of_kind(request.param) as made:
        yield made


@pytest.fixture
def office(url: str, tmp_path: Path) -> Iterator[Office]:
    layout = pki.create(tmp_path / "issuer", "test-issuer")
    policy.keep(layout.policy, ["document_number"])
    place = url or store.sqlite_url(layout.database)
    name = f"lobby-{secrets.token_hex(4)}"
    with store.opened(place) as engine:
        _empty(engine)
        who = identity.load(pki.enroll(layout, name, database=place))
        yield Office(layout, place, engine, who)


def _empty(engine: Engine) -> None:
    """A server outlives a test; what the last one wrote does not."""
    with engine.begin() as connection:
        for table in (EVENTS, SEEN, store.DECISIONS, store.CODES, store.EPOCHS, store.KEYS, store.TERMINALS):
            connection.execute(table.delete())


def batch(office: Office, *payloads: bytes, kind: str = "audit.record", first: int = 0) -> EventBatch:
    made = (
        Event(event_id=(first + n).to_bytes(16, "big"), kind=kind, priority=5, created_at=1, payload=payload)
        for n, payload in enumerate(payloads)
    )
    return EventBatch(audience="test-issuer", terminal=office.who.terminal, events=tuple(made))


def test_workers_that_start_at_once_on_a_new_database_all_start(url: str, tmp_path: Path) -> None:
    place = url or store.sqlite_url(tmp_path / "new.db")
    with store.opened(place) as engine:
        store.METADATA.drop_all(engine)
    together, failures = threading.Barrier(6), []

    def start() -> None:
        together.wait()
        try:
            with store.opened(place):
                pass
        except Exception as error:  # noqa: BLE001 - told in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_a_decision_forgets_the_holder_first_and_goes_later(office: Office) -> None:
    assert office.answer(*office.request()) == ()
    office.age(store.DECISIONS, "decided_at", 9.9)
    assert office.sweep() == {"holder": 0, "decisions": 0, "events": 0, "codes": 0}
    office.age(store.DECISIONS, "decided_at", 0.2)
    assert office.sweep()["holder"] == 1
    with office.engine.connect() as connection:
        assert connection.execute(sa.select(store.DECISIONS.c.holder)).scalar_one() == {}
    assert office.sweep()["holder"] == 0
    office.age(store.DECISIONS, "decided_at", 10)
    assert office.sweep()["decisions"] == 1
    assert office.count(store.DECISIONS) == 0


def test_zero_days_keep_for_ever(office: Office) -> None:
    office.answer(*office.request())
    EventStore(office.engine).add(batch(office, b"1", b"2"), 0)
    office.age(store.DECISIONS, "decided_at", 9000)
    assert not any(office.sweep(Retention(holder=0, decisions=0, events=0, codes=0)).values())
    assert office.count(store.DECISIONS) == 1


def test_what_is_forgotten_is_overwritten_in_the_file(office: Office) -> None:
    if office.engine.dialect.name != "sqlite":
        pytest.skip("the files of a server are the server's")
    office.answer(*office.request())
    files = [office.layout.database, office.layout.database.with_name("issuer.db-wal")]

    def found() -> bool:
        with office.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return any(NUMBER.encode() in path.read_bytes() for path in files if path.exists())

    assert found()
    office.age(store.DECISIONS, "decided_at", 11)
    office.sweep()
    assert not found()


def test_a_request_that_was_forgotten_is_not_taken_again(office: Office) -> None:
    sealed, request_id = office.request()
    assert office.answer(sealed, request_id) == ()
    assert office.answer(sealed, request_id) == (Refusal.REPLAY,)
    office.age(store.DECISIONS, "decided_at", 9000)
    assert office.sweep()["decisions"] == 1
    # Its epoch is still good: the counter of the key, which nothing forgets, is what refuses it.
    assert office.answer(sealed, request_id) == (Refusal.COUNTER,)
    assert office.answer(*office.request()) == ()


def test_an_event_that_was_forgotten_is_receipted_again_and_not_stored(office: Office) -> None:
    desk = EventStore(office.engine)
    old = batch(office, b"one", b"two", b"three")
    desk.add(old, int(time.time()) - 31 * DAY)
    assert office.sweep()["events"] == 2
    assert [event.payload for event in desk.read()] == [b"three"]
    stored, conflicts = desk.add(old, int(time.time()))
    assert (len(stored), conflicts, desk.count()) == (3, [], 1)
    other = batch(office, b"one", b"TWO")
    stored, conflicts = desk.add(other, int(time.time()))
    assert (stored, conflicts) == ([bytes(16)], [other.events[1].event_id])
    assert desk.count() == 1


def test_the_last_word_of_each_kind_and_what_is_in_force_stay(office: Office) -> None:
    desk = EventStore(office.engine)
    for kind, first in ((REPORT, 0), ("audit.head", 10), ("audit.record", 20)):
        desk.add(batch(office, b"old", b"new", kind=kind, first=first), int(time.time()) - 900 * DAY)
    assert office.sweep()["events"] == 2
    assert desk.counts() == {REPORT: 2, "audit.head": 1, "audit.record": 1}
    assert {event.payload for event in desk.read() if event.kind != REPORT} == {b"new"}


def test_names_of_events_go_with_a_terminal_that_is_revoked(office: Office) -> None:
    EventStore(office.engine).add(batch(office, b"1", b"2"), 1)
    office.sweep()
    assert office.count(SEEN) == 1
    store.revoke(office.engine, office.who.terminal)
    office.sweep()
    assert office.count(SEEN) == 0


def test_a_used_code_stays_used(office: Office) -> None:
    enrolment.new_code(office.layout, office.engine, "field-1", 600)
    with office.engine.connect() as connection:
        digest = connection.execute(sa.select(store.CODES.c.digest)).scalar_one()
    assert store.use_code(office.engine, digest, int(time.time())) == "field-1"
    enrolment.new_code(office.layout, office.engine, "field-2", 600)
    office.age(store.CODES, "used_at", 41)
    assert office.sweep()["codes"] == 1
    assert store.use_code(office.engine, digest, int(time.time())) is None
    assert office.count(store.CODES) == 1
    office.age(store.CODES, "expires_at", 41)
    assert office.sweep()["codes"] == 1


def test_many_rows_go_while_terminals_send_them_again(office: Office) -> None:
    """Two sweepers and a terminal that never hears its receipts: each event is stored once, and known ever after."""
    desk, total = EventStore(office.engine), 1600
    batches = [batch(office, *[b"x"] * 64, first=first) for first in range(0, total, 64)]
    for sent in batches:
        desk.add(sent, int(time.time()) - 31 * DAY)
    failures: list[BaseException] = []

    def guarded(work: Any) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told in the test's own thread
            failures.append(error)

    def again() -> None:
        for sent in batches:
            stored, conflicts = desk.add(sent, int(time.time()))
            assert (len(stored), conflicts) == (64, [])

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (office.sweep, office.sweep, again)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    office.sweep()
    assert (desk.count(), office.count(SEEN)) == (1, total - 1)


def test_a_clock_that_jumped_forgets_nothing_by_itself(office: Office) -> None:
    now = time.time()
    assert not retention.is_far_ahead(office.engine, now)
    office.answer(*office.request())
    assert not retention.is_far_ahead(office.engine, now + 30 * DAY)
    assert retention.is_far_ahead(office.engine, now + 3650 * DAY)


def run(office: Office, *arguments: str) -> Any:
    command = [sys.executable, "-m", "issuer.cli", "retention", *arguments, str(office.layout.root), "--json"]
    done = subprocess.run([*command, "--database", office.url], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_the_command_line_shows_and_purges(office: Office) -> None:
    office.answer(*office.request())
    EventStore(office.engine).add(batch(office, b"1", b"2", b"3"), 1)
    office.age(store.DECISIONS, "decided_at", 100)
    shown = {entry["name"]: (entry["days"], entry["held"], entry["due"]) for entry in run(office, "show")}
    assert shown == {"holder": (90, 1, 1), "decisions": (730, 1, 0), "events": (365, 3, 2), "codes": (30, 0, 0)}
    assert run(office, "purge", "--yes") == {"holder": 1, "decisions": 0, "events": 2, "codes": 0}
    assert [entry["due"] for entry in run(office, "show")] == [0, 0, 0, 0]


@needs_broker
def test_a_running_issuer_forgets_by_itself(tmp_path: Path) -> None:
    with stack(tmp_path / "issuer") as made:
        made.enroll("lobby-1")
        row: dict[str, Any] = {"terminal": "lobby-1", "request_id": "00", "relying_party": "", "outcome": "accepted"}
        row |= {"reasons": []} | {"token": b"", "epoch": b"", "decision": b"", "holder": {}}
        made.stop_issuer()
        with store.opened(store.sqlite_url(made.layout.database)) as engine:
            store.add_decision(engine, {**row, "decision_id": "old"})
            with engine.begin() as connection:
                connection.execute(store.DECISIONS.update().values(decided_at=1))
            store.add_decision(engine, {**row, "decision_id": "new"})
            made.start_issuer()
            end = time.monotonic() + 15
            left: list[str] = []
            while left != ["new"]:
                assert time.monotonic() < end, (made.root / "issuer.log").read_text("utf-8")
                time.sleep(0.1)
                with engine.connect() as connection:
                    left = list(connection.execute(sa.select(store.DECISIONS.c.decision_id)).scalars())
    assert "forgotten: 1 decisions" in (made.root / "issuer.log").read_text("utf-8")
