"""The link to the broker: it comes back, it says why it is down, and each terminal keeps to its own topics."""

import asyncio
import contextlib
import itertools
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.transport import backoff
from agent.transport.errors import TransportError
from agent.transport.mqtt import Incoming, MqttLink, Status, Tls
from agent.trust import identity
from agent.wire import topics
from issuer import certificates
from issuer.certificates import Subject
from tests.protocol.wire_attacker import NAME, mallory, mallory_credentials
from tests.protocol.wire_proxy import proxy
from tests.protocol.wire_stack import Stack, evidence, free_port, needs_broker, stack, terminal

pytestmark = needs_broker


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    rules = f"user {NAME}\ntopic readwrite #\n"
    with stack(tmp_path_factory.mktemp("link") / "issuer", extra_rules=rules) as made:
        mallory_credentials(made)
        yield made


@pytest.fixture
def folder(deployment: Stack) -> Path:
    return deployment.enroll(f"lobby-{secrets.token_hex(4)}")


def tls_of(folder: Path) -> Tls:
    who = identity.load(folder)
    return Tls(who.issuer.broker_ca, who.tls_certificate, who.tls_key)


@contextlib.asynccontextmanager
async def linked(
    folder: Path, *urls: str, tls: Tls | None = None, keepalive: int = 15, states: list[tuple[bool, str]] | None = None
) -> AsyncIterator[MqttLink]:
    name = folder.name
    status = Status(topics.STATUS.of(name), b"online", b"offline", delay=1)
    seen = states if states is not None else []
    link = MqttLink(
        client_id=name,
        brokers=urls,
        tls=tls or tls_of(folder),
        status=status,
        keepalive=keepalive,
        connect_timeout=2.0,
        on_state=lambda up, why: seen.append((up, why)),
    )
    link.start()
    try:
        yield link
    finally:
        await link.stop()


async def why_not(link: MqttLink, seconds: float = 0.7) -> str:
    with pytest.raises(TransportError) as failed:
        await link.wait_connected(seconds)
    return failed.value.code


async def test_a_terminal_cannot_write_anothers_topics(deployment: Stack, folder: Path) -> None:
    async with linked(folder, deployment.url) as link:
        await link.wait_connected(5)
        for topic in (topics.REQUEST, topics.STATUS, topics.EVENT):
            with pytest.raises(TransportError) as refused:
                await link.publish(topic.of("somebody-else"), b"x", timeout=5)
            assert refused.value.code == "broker.forbidden"
        for name in (topics.EPOCH.of(), topics.DECISION.of(folder.name), topics.COMMAND.of(folder.name)):
            with pytest.raises(TransportError) as refused:
                await link.publish(name, b"x", timeout=5)
            assert refused.value.code == "broker.forbidden"


async def test_a_terminal_cannot_read_anothers_topics(deployment: Stack, folder: Path) -> None:
    spy = deployment.enroll(f"spy-{secrets.token_hex(4)}")
    heard: list[Incoming] = []
    who = identity.load(spy)
    link = MqttLink(client_id=spy.name, brokers=[deployment.url], tls=tls_of(spy))
    for wanted in (
        "#",
        "renzheng/1/terminals/+/request",
        topics.DECISION.of(folder.name),
        topics.STATUS.of(folder.name),
    ):
        link.handle(wanted, heard.append)
    link.start()
    try:
        await link.wait_connected(5)
        async with terminal(folder, deployment.url) as lobby:
            assert (await lobby.verify(evidence())).accepted
        await asyncio.sleep(0.3)
    finally:
        await link.stop()
    assert {message.topic for message in heard} <= {topics.EPOCH.of(), topics.STATUS.of(who.terminal)}


async def test_a_terminal_cannot_take_anothers_session(deployment: Stack, folder: Path) -> None:
    thief = deployment.enroll(f"thief-{secrets.token_hex(4)}")
    async with linked(folder, deployment.url) as victim:
        await victim.wait_connected(5)
        # The client id of the victim, the certificate of the thief: the broker goes by the certificate.
        stolen = MqttLink(client_id=folder.name, brokers=[deployment.url], tls=tls_of(thief))
        stolen.start()
        await stolen.wait_connected(5)
        await asyncio.sleep(0.3)
        assert victim.connected
        await stolen.stop()


async def test_the_status_is_retained_and_the_will_speaks_after_a_cut(deployment: Stack, folder: Path) -> None:
    topic = topics.STATUS.of(folder.name)
    async with mallory(deployment) as watcher, proxy(deployment.port) as network:
        async with linked(folder, f"mqtts://127.0.0.1:{network.port}") as link:
            await link.wait_connected(5)
            assert (await watcher.next(topic)).payload == b"online"
            network.silent = True
            network.cut()
            after = len(watcher.seen)
            start = time.monotonic()
            assert (await watcher.next(topic, after=after)).payload == b"offline"
            assert 0.5 < time.monotonic() - start < 3
            network.silent = False
            after = len(watcher.seen)
            await link.wait_connected(5)
            assert (await watcher.next(topic, after=after)).payload == b"online"
        assert watcher.seen[-1].payload == b"offline"


async def test_a_short_cut_is_not_told_as_an_absence(deployment: Stack, folder: Path) -> None:
    topic = topics.STATUS.of(folder.name)
    async with (
        mallory(deployment) as watcher,
        proxy(deployment.port) as network,
        linked(folder, f"mqtts://127.0.0.1:{network.port}") as link,
    ):
        await link.wait_connected(5)
        await watcher.next(topic)
        after = len(watcher.seen)
        network.cut()
        await asyncio.sleep(0.05)
        await link.wait_connected(5)
        await asyncio.sleep(1.3)
        assert b"offline" not in [m.payload for m in watcher.seen[after:] if m.topic == topic]


async def test_a_connection_that_died_in_silence_is_found_out(deployment: Stack, folder: Path) -> None:
    async with proxy(deployment.port) as network:
        states: list[tuple[bool, str]] = []
        async with linked(folder, f"mqtts://127.0.0.1:{network.port}", keepalive=1, states=states) as link:
            await link.wait_connected(5)
            network.silent = True
            start = time.monotonic()
            while link.connected:
                assert time.monotonic() - start < 6, "a half-open connection was not noticed"
                await asyncio.sleep(0.05)
            network.cut()
            network.silent = False
            await link.wait_connected(10)
        assert [up for up, _ in states].count(True) == 2


async def test_messages_arrive_again_after_a_reconnect(deployment: Stack, folder: Path) -> None:
    async with proxy(deployment.port) as network, terminal(folder, f"mqtts://127.0.0.1:{network.port}") as lobby:
        for _ in range(3):
            assert (await lobby.verify(evidence())).accepted
            # The next question is asked into the cut: it is answered all the same, within its deadline.
            network.cut()
        assert network.connections >= 3


async def test_the_next_broker_is_tried(deployment: Stack, folder: Path) -> None:
    async with linked(folder, f"mqtts://127.0.0.1:{free_port()}", deployment.url) as link:
        await link.wait_connected(5)


async def test_whoever_needs_the_link_does_not_wait_for_the_next_attempt(
    deployment: Stack, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After an hour's absence of the broker the waits are at their cap.
    monkeypatch.setattr(backoff, "delays", lambda: itertools.repeat(backoff.CAP))
    port = free_port()
    async with linked(folder, f"mqtts://127.0.0.1:{port}") as link:
        await asyncio.sleep(1.0)
        async with proxy(deployment.port, port):
            start = time.monotonic()
            await link.wait_connected(5)
            assert time.monotonic() - start < 2


async def test_nothing_is_queued_while_the_link_is_down(folder: Path) -> None:
    async with linked(folder, f"mqtts://127.0.0.1:{free_port()}") as link:
        start = time.monotonic()
        with pytest.raises(TransportError) as failed:
            await link.publish(topics.EVENT.of(folder.name), b"x", timeout=5)
        assert failed.value.code == "broker.unreachable"
        assert time.monotonic() - start < 0.5


# ---- What is not our broker ----


@contextlib.asynccontextmanager
async def impostor(context: ssl.SSLContext, answer: bytes = b"") -> AsyncIterator[str]:
    """A TLS server that answers every connection with `answer`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            if await reader.read(1000):
                writer.write(answer)
                await writer.drain()
            await reader.read(1000)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"mqtts://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def server_context(
    deployment: Stack, tmp_path: Path, *, host: str = "127.0.0.1", days: float = 10, authority: Path | None = None
) -> ssl.SSLContext:
    signer = certificates.load_authority(authority or deployment.layout.authority("transport"))
    key = certificates.new_key()
    subject, usage = Subject(host, hosts=(host,)), ExtendedKeyUsageOID.SERVER_AUTH
    leaf = certificates.issue(signer, subject, key.public_key(), usage, timedelta(days=days))
    certificates.save(tmp_path / "impostor", key, [leaf])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "impostor.pem", tmp_path / "impostor.key")
    return context


async def test_a_server_of_another_authority_is_not_believed(deployment: Stack, folder: Path, tmp_path: Path) -> None:
    evidence_authority = deployment.layout.authority("evidence")
    context = server_context(deployment, tmp_path, authority=evidence_authority)
    async with impostor(context) as url, linked(folder, url) as link:
        assert await why_not(link) == "broker.certificate"


async def test_a_server_of_another_name_is_not_believed(deployment: Stack, folder: Path, tmp_path: Path) -> None:
    context = server_context(deployment, tmp_path, host="broker.example")
    async with impostor(context) as url, linked(folder, url) as link:
        assert await why_not(link) == "broker.certificate"


async def test_an_expired_server_is_told_as_a_matter_of_time(deployment: Stack, folder: Path, tmp_path: Path) -> None:
    async with impostor(server_context(deployment, tmp_path, days=-0.001)) as url, linked(folder, url) as link:
        assert await why_not(link) == "broker.certificate_time"


async def test_an_older_tls_is_refused(deployment: Stack, folder: Path, tmp_path: Path) -> None:
    context = server_context(deployment, tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with impostor(context) as url, linked(folder, url) as link:
        # A server may say why it hangs up (an alert) or not.
        assert await why_not(link) in {"broker.certificate", "broker.unreachable"}


@pytest.mark.parametrize(("authority", "days"), [("transport", -0.001), ("evidence", 10)], ids=["expired", "foreign"])
async def test_our_own_certificate_is_refused_and_we_say_so(
    deployment: Stack, folder: Path, tmp_path: Path, authority: str, days: float
) -> None:
    signer = certificates.load_authority(deployment.layout.authority(authority))
    key, subject = certificates.new_key(), Subject(folder.name)
    usage, lifetime = ExtendedKeyUsageOID.CLIENT_AUTH, timedelta(days=days)
    certificates.save(tmp_path / "own", key, [certificates.issue(signer, subject, key.public_key(), usage, lifetime)])
    tls = Tls(tls_of(folder).ca, tmp_path / "own.pem", tmp_path / "own.key")
    async with linked(folder, deployment.url, tls=tls) as link:
        assert await why_not(link) == "broker.refused"


def connack(reason: int, reference: str = "") -> bytes:
    """CONNACK (MQTT 5, 3.2) with a reason and, for a redirect, the server reference (property 0x1C)."""
    text = reference.encode()
    properties = bytes([0x1C]) + len(text).to_bytes(2, "big") + text if text else b""
    variable = bytes([0, reason, len(properties)]) + properties
    return bytes([0x20, len(variable)]) + variable


@pytest.mark.parametrize("reason", [0x9C, 0x9D], ids=["use another server", "server moved"])
async def test_a_server_that_sends_us_elsewhere_is_followed(
    deployment: Stack, folder: Path, tmp_path: Path, reason: int
) -> None:
    elsewhere = connack(reason, f"127.0.0.1:{deployment.port}")
    async with impostor(server_context(deployment, tmp_path), elsewhere) as url, linked(folder, url) as link:
        await link.wait_connected(5)


async def test_servers_that_send_us_to_each_other_are_not_followed_for_ever(
    deployment: Stack, folder: Path, tmp_path: Path
) -> None:
    port = free_port()
    attempts = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        with contextlib.suppress(OSError, ssl.SSLError):
            await reader.read(1000)
            writer.write(connack(0x9D, f"127.0.0.1:{port}"))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=server_context(deployment, tmp_path))
    async with linked(folder, f"mqtts://127.0.0.1:{port}") as link:
        assert await why_not(link, 2.0) == "broker.unreachable"
    server.close()
    assert attempts < 30


@pytest.mark.parametrize(
    ("reason", "code"), [(0x87, "broker.refused"), (0x8A, "broker.refused"), (0x88, "broker.unreachable")]
)
async def test_a_refusal_is_told_by_its_reason(
    deployment: Stack, folder: Path, tmp_path: Path, reason: int, code: str
) -> None:
    async with impostor(server_context(deployment, tmp_path), connack(reason)) as url, linked(folder, url) as link:
        assert await why_not(link) == code


async def test_an_end_is_told_by_its_reason(deployment: Stack, folder: Path, tmp_path: Path) -> None:
    # DISCONNECT (MQTT 5, 3.14) with "session taken over": another machine has this terminal's identity.
    ended = connack(0) + bytes([0xE0, 2, 0x8E, 0])
    states: list[tuple[bool, str]] = []
    async with impostor(server_context(deployment, tmp_path), ended) as url:
        link = MqttLink(client_id="x", brokers=[url], tls=tls_of(folder), on_state=lambda *state: states.append(state))
        link.start()
        await asyncio.sleep(1.0)
        await link.stop()
    assert (False, "the broker ended the connection: Session taken over") in states
    # Thrown out again and again, it waits longer each time: a handful of attempts at most.
    assert len(states) < 8


async def test_a_server_that_accepts_and_says_nothing_does_not_hold_us(
    deployment: Stack, folder: Path, tmp_path: Path
) -> None:
    context = server_context(deployment, tmp_path)
    async with impostor(context) as silent, linked(folder, silent, deployment.url) as link:
        await link.wait_connected(6)


async def test_tls_files_that_cannot_be_used_are_told_at_the_start(folder: Path, tmp_path: Path) -> None:
    absent = Tls(tmp_path / "no-ca.pem", folder / "tls.pem", folder / "tls.key")
    link = MqttLink(client_id="x", brokers=["mqtts://127.0.0.1"], tls=absent)
    with pytest.raises(TransportError) as failed:
        link.start()
    assert failed.value.code == "broker.credentials"


@pytest.mark.parametrize("url", ["mqtt://127.0.0.1", "127.0.0.1:8883", "mqtts://", "mqtts://host:port"])
def test_a_url_that_is_not_a_brokers_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="not a broker URL"):
        MqttLink(client_id="x", brokers=[url], tls=Tls(tmp_path, tmp_path, tmp_path))


def test_waits_grow_to_a_cap_and_no_two_terminals_wait_alike() -> None:
    one, two = (list(itertools.islice(backoff.delays(), 12)) for _ in range(2))
    assert one != two
    assert all(first / 2 <= wait <= first for wait, first in zip(one, [0.5 * 2**n for n in range(7)], strict=False))
    assert all(backoff.CAP / 2 <= wait <= backoff.CAP for wait in one[8:])
