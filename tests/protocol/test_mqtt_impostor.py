"""What is not our broker, or sends us away: it is told by its reason, and never believed."""

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.transport.mqtt import MqttLink, Tls
from issuer import certificates
from issuer.certificates import Subject
from tests.protocol.wire_link import linked, tls_of, why_not
from tests.protocol.wire_stack import Stack, free_port, needs_broker, stack

pytestmark = needs_broker


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("impostor") / "issuer") as made:
        yield made


@pytest.fixture
def folder(deployment: Stack) -> Path:
    return deployment.enroll(f"lobby-{secrets.token_hex(4)}")


@contextlib.asynccontextmanager
async def impostor(context: ssl.SSLContext, *answers: bytes) -> AsyncIterator[str]:
    """A TLS server that answers each of the first packets of every connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            for answer in answers:
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
        assert await why_not(link) == "broker.unreachable"
        await asyncio.sleep(2.0)
    server.close()
    assert attempts > 1
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
        async with asyncio.timeout(10):
            while (False, "the broker ended the connection: Session taken over") not in states:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)
        await link.stop()
    # Thrown out again and again, it waits longer each time: a handful of attempts at most.
    assert len(states) < 8


async def test_a_server_that_accepts_and_says_nothing_does_not_hold_us(
    deployment: Stack, folder: Path, tmp_path: Path
) -> None:
    context = server_context(deployment, tmp_path)
    async with impostor(context) as silent, linked(folder, silent, deployment.url) as link:
        await link.wait_connected(6)


#: SUBACK (MQTT 5, 3.9) for two filters.
_SUBACK = b"\x90\x05\x00\x01\x00\x01\x01"
#: What a server answers to a subscription of two filters: a SUBACK with one reason code only; and PUBLISH (3.3) with a
#: property that does not exist, or with a topic that is no UTF-8.
NONSENSE = {
    "suback": b"\x90\x04\x00\x01\x00\x01",
    "property": _SUBACK + b"\x30\x05\x00\x01t\x01\x7f",
    "topic": _SUBACK + b"\x30\x04\x00\x01\xff\x00",
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
async def test_a_server_that_talks_nonsense_is_left_for_the_next(
    deployment: Stack, folder: Path, tmp_path: Path, answer: bytes
) -> None:
    states: list[tuple[bool, str]] = []
    async with impostor(server_context(deployment, tmp_path), connack(0), answer) as url:
        link = MqttLink(
            client_id=folder.name,
            brokers=[url, deployment.url],
            tls=tls_of(folder),
            connect_timeout=2.0,
            on_state=lambda *state: states.append(state),
        )
        for name in ("one", "two"):
            link.handle(name, lambda _message: None)
        link.start()
        try:
            async with asyncio.timeout(10):
                while (True, deployment.url.removeprefix("mqtts://")) not in states:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            await link.stop()
    assert False in [up for up, _ in states]
