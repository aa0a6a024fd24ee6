"""The link to the broker: it comes back, it says why it is down, and each terminal keeps to its own topics."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.transport import backoff
from agent.transport.errors import TransportError
from agent.transport.mqtt import Incoming, MqttLink, Tls
from agent.trust import identity
from agent.wire import topics
from tests.protocol.wire_attacker import NAME, mallory, mallory_credentials
from tests.protocol.wire_link import linked, tls_of
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


@pytest.mark.parametrize(
    "url", ["tcp://broker", "mqtts://", "mqtts://b:99999", "mqtts://b:x", "mqtts://a..b", f"mqtts://{'b' * 64}"]
)
def test_what_is_no_brokers_url_is_told_at_once(tmp_path: Path, url: str) -> None:
    with pytest.raises(TransportError) as refused:
        MqttLink(client_id="lobby", brokers=[url], tls=Tls(tmp_path / "ca", tmp_path / "pem", tmp_path / "key"))
    assert refused.value.code == "broker.credentials"


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
            after = len(watcher.seen)
        assert (await watcher.next(topic, after=after)).payload == b"offline"


async def test_a_short_cut_is_not_told_as_an_absence(deployment: Stack, folder: Path) -> None:
    topic = topics.STATUS.of(folder.name)
    async with (
        mallory(deployment) as watcher,
        proxy(deployment.port) as network,
        linked(folder, f"mqtts://127.0.0.1:{network.port}", will_delay=3) as link,
    ):
        await link.wait_connected(5)
        await watcher.next(topic)
        after = len(watcher.seen)
        network.cut()
        assert (await watcher.next(topic, after=after)).payload == b"online"
        await asyncio.sleep(3.3)
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
