"""Only the issuer's own receipt empties the outbox, through a real broker, and an idle outbox is silent."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agent.transport import backoff
from agent.transport.issuer_client import mqtt_link
from agent.transport.mqtt import Incoming, MqttLink, Tls
from agent.transport.outbox import Outbox, OutboxSender, Priority
from agent.trust import identity
from agent.trust.clock import Clock
from agent.trust.identity import DeviceIdentity
from agent.wire import events, topics
from agent.wire.events import Receipt
from agent.wire.keys import SoftwareSigner
from issuer import certificates, store
from issuer.events import EventStore, StoredEvent
from tests.protocol.wire_proxy import proxy
from tests.protocol.wire_stack import Stack, needs_broker, stack

pytestmark = needs_broker
KEY = bytes(32)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("stack")) as made:
        yield made


@dataclass
class Sending:
    outbox: Outbox
    identity: DeviceIdentity
    link: MqttLink

    async def until_empty(self, seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while (await self.outbox.fill()).rows:  # noqa: ASYNC110 - a receipt from another process empties it
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def sending(
    world: Stack, terminal: str, state: Path, *, patience: float = 0.3, url: str = ""
) -> AsyncIterator[Sending]:
    folder = world.layout.terminal(terminal)
    loaded = identity.load(folder if folder.exists() else world.enroll(terminal))
    link = mqtt_link(loaded, [url or world.url], online=b"online", offline=b"offline")
    outbox = Outbox(state / "outbox.db", KEY)
    sender = OutboxSender(outbox, link, loaded, clock=Clock(), patience=patience)
    link.start()
    task = asyncio.create_task(sender.run())
    try:
        await link.wait_connected(5)
        yield Sending(outbox, loaded, link)
    finally:
        task.cancel()
        await link.stop()
        await outbox.close()


def stored(world: Stack, terminal: str) -> list[StoredEvent]:
    with store.opened(store.sqlite_url(world.layout.database)) as engine:
        return EventStore(engine).read(terminal)


async def test_events_reach_the_issuer_and_leave_the_outbox(world: Stack, tmp_path: Path) -> None:
    async with sending(world, "sender-1", tmp_path) as terminal:
        for number in range(150):
            await terminal.outbox.put("audit", bytes([number]), Priority.AUDIT)
        await terminal.until_empty()
    held = stored(world, "sender-1")
    assert sorted(event.payload for event in held) == [bytes([n]) for n in range(150)]
    assert {event.kind for event in held} == {"audit"}


async def test_without_an_issuer_a_puback_removes_nothing(world: Stack, tmp_path: Path) -> None:
    world.stop_issuer()
    try:
        async with sending(world, "sender-2", tmp_path) as terminal:
            await terminal.outbox.put("audit", b"kept", Priority.AUDIT)
            await asyncio.sleep(1.0)
            assert (await terminal.outbox.fill()).rows == 1
            world.start_issuer()
            await terminal.until_empty(10)
    finally:
        world.start_issuer() if world.issuer is None else None
    assert [event.payload for event in stored(world, "sender-2")] == [b"kept"]


async def test_where_nobody_listens_yet_no_receipt_is_waited_for(world: Stack, tmp_path: Path) -> None:
    world.stop_issuer()
    try:
        async with sending(world, "sender-9", tmp_path, patience=60.0) as terminal:
            await terminal.outbox.put("audit", b"soon", Priority.AUDIT)
            await asyncio.sleep(0.3)
            world.start_issuer()
            await terminal.until_empty(10)
    finally:
        world.start_issuer() if world.issuer is None else None


def issuers_link(world: Stack) -> MqttLink:
    """A link with the rights of the issuer, which does not run meanwhile."""
    layout = world.layout
    mqtt = layout.worker("issuer")
    authority = layout.authority("transport").with_suffix(".pem")
    tls = Tls(authority, mqtt.with_suffix(".pem"), mqtt.with_suffix(".key"))
    return MqttLink(client_id="issuer", brokers=[world.url], tls=tls)


async def test_what_had_no_receipt_goes_out_at_once_after_a_reconnection(world: Stack, tmp_path: Path) -> None:
    world.stop_issuer()
    listener = issuers_link(world)
    heard: asyncio.Queue[Incoming] = asyncio.Queue()
    listener.handle(topics.EVENT.filter, heard.put_nowait)
    listener.start()
    try:
        await listener.wait_connected(5)
        async with (
            proxy(world.port) as network,
            sending(world, "sender-10", tmp_path, patience=60.0, url=f"mqtts://127.0.0.1:{network.port}") as terminal,
        ):
            await terminal.outbox.put("audit", b"again", Priority.AUDIT)
            async with asyncio.timeout(15):
                first = await heard.get()
                network.cut()
                assert (await heard.get()).topic == first.topic
    finally:
        await listener.stop()
        world.start_issuer()


async def test_a_forged_or_foreign_receipt_removes_nothing(world: Stack, tmp_path: Path) -> None:
    world.stop_issuer()
    issuer_key = SoftwareSigner(certificates.load_key(world.layout.key("signing")))
    forger = SoftwareSigner(ec.generate_private_key(ec.SECP256R1()))
    attacker = issuers_link(world)
    attacker.start()
    try:
        async with sending(world, "sender-3", tmp_path) as terminal:
            await attacker.wait_connected(5)
            event_id = await terminal.outbox.put("audit", b"kept", Priority.AUDIT)
            for signer, issuer, name in (
                (forger, "test-issuer", "sender-3"),
                (issuer_key, "test-issuer", "sender-1"),
                (issuer_key, "another-issuer", "sender-3"),
            ):
                receipt = Receipt(issuer=issuer, terminal=name, issued_at=int(time.time()), stored=(event_id,))
                topic = topics.RECEIPT.of("sender-3")
                await attacker.publish(topic, events.sign_receipt(receipt, signer), timeout=5)
            await attacker.publish(topics.RECEIPT.of("sender-3"), b"\xff" * 100, timeout=5)
            await asyncio.sleep(0.3)
            assert (await terminal.outbox.fill()).rows == 1
            honest = Receipt(issuer="test-issuer", terminal="sender-3", issued_at=int(time.time()), stored=(event_id,))
            await attacker.publish(topics.RECEIPT.of("sender-3"), events.sign_receipt(honest, issuer_key), timeout=5)
            await terminal.until_empty()
    finally:
        await attacker.stop()
        world.start_issuer()


async def test_the_same_identifier_with_other_content_is_refused_and_does_not_block(
    world: Stack, tmp_path: Path
) -> None:
    async with sending(world, "sender-4", tmp_path) as terminal:
        event_id = await terminal.outbox.put("audit", b"first", event_id=b"\x07" * 16)
        await terminal.until_empty()
        await terminal.outbox.put("audit", b"second", event_id=event_id)
        await terminal.outbox.put("audit", b"third")
        await terminal.until_empty()
    assert sorted(event.payload for event in stored(world, "sender-4")) == [b"first", b"third"]


async def test_an_idle_outbox_neither_reads_nor_writes(world: Stack, tmp_path: Path) -> None:
    async with sending(world, "sender-5", tmp_path) as terminal:
        await terminal.outbox.put("audit", b"one")
        await terminal.until_empty()
        keeper_store = terminal.outbox._keeper._store
        assert keeper_store is not None
        await asyncio.sleep(0.5)
        statements: list[str] = []
        keeper_store._db.set_trace_callback(statements.append)
        await asyncio.sleep(1.5)
        assert statements == []


async def test_events_that_wait_do_not_hammer_an_absent_broker(
    world: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "delays", lambda **_: itertools.repeat(backoff.CAP))
    attempts: list[float] = []

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attempts.append(time.monotonic())
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    loaded = identity.load(world.enroll("sender-6"))
    url = f"mqtts://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    link = mqtt_link(loaded, [url], online=b"online", offline=b"offline")
    outbox = Outbox(tmp_path / "outbox.db", KEY)
    await outbox.put("audit", b"waits")
    task = asyncio.create_task(OutboxSender(outbox, link, loaded, clock=Clock()).run())
    link.start()
    await asyncio.sleep(2.5)
    task.cancel()
    await link.stop()
    await outbox.close()
    server.close()
    assert len(attempts) == 1
