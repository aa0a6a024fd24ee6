"""What a terminal says of itself to dashboards, and the signed question that its self-test asks the issuer."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # no stubs in the environment
import pytest
import yaml  # type: ignore[import-untyped]  # no stubs among the test packages

import agent.wire
from agent.health import echo as local
from agent.health.state import PartState
from agent.transport.echo import Echo
from agent.transport.errors import TransportError
from agent.transport.issuer_client import mqtt_link
from agent.transport.mqtt import MqttLink
from agent.trust import identity
from agent.trust.clock import Clock
from agent.upkeep import status
from agent.wire import topics
from agent.wire.errors import WireError
from agent.wire.status import TerminalStatus
from tests.protocol.wire_attacker import NAME, mallory, mallory_credentials
from tests.protocol.wire_stack import Stack, needs_broker, stack

pytestmark = needs_broker

ASYNCAPI = yaml.safe_load((Path(agent.wire.__file__).parent / "asyncapi.yaml").read_text("utf-8"))
SCHEMA = ASYNCAPI["components"]["messages"]["status"]["payload"]
PARTS = {"camera": PartState(up=False, code="camera.gone", since=0.0), "broker": PartState(up=True, code="", since=0.0)}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    rules = f"user {NAME}\ntopic readwrite #\n"
    with stack(tmp_path_factory.mktemp("status") / "issuer", extra_rules=rules) as made:
        mallory_credentials(made)
        yield made


@asynccontextmanager
async def linked(deployment: Stack, name: str) -> AsyncIterator[tuple[MqttLink, Echo]]:
    who = identity.load(deployment.enroll(name))
    starting, gone = (TerminalStatus(state=s, software="1", configuration=7).encode() for s in ("starting", "offline"))
    link = mqtt_link(who, [deployment.url], online=starting, offline=gone)
    echo = Echo(link, who, clock=Clock())
    link.start()
    try:
        yield link, echo
    finally:
        await link.stop()


def test_the_status_says_which_parts_are_down_and_why() -> None:
    told = status(PARTS, 7)
    assert (told.state, told.configuration, told.down) == ("degraded", 7, {"camera": "camera.gone"})
    assert status({}, 0).state == "online"
    assert TerminalStatus.decode(told.encode()) == told
    jsonschema.validate(json.loads(told.encode()), SCHEMA)


@pytest.mark.parametrize("data", [b"online", b"{}", b'{"version":2}', b"[" * 9000, b'{"state":"well"}'])
def test_what_is_no_status_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        TerminalStatus.decode(data)


async def test_the_retained_status_follows_the_terminal_to_its_end(deployment: Stack) -> None:
    topic = topics.STATUS.of("told")
    async with mallory(deployment) as watcher:
        async with linked(deployment, "told") as (link, _echo):
            assert TerminalStatus.decode((await watcher.next(topic)).payload).state == "starting"
            after = len(watcher.seen)
            await link.announce(status(PARTS, 7).encode(), 5)
            assert TerminalStatus.decode((await watcher.next(topic, after=after)).payload).state == "degraded"
            after = len(watcher.seen)
        assert TerminalStatus.decode((await watcher.next(topic, after=after)).payload).state == "offline"


async def test_an_echo_is_the_issuers_signed_word(deployment: Stack) -> None:
    async with linked(deployment, "asking") as (_link, echo):
        assert 0 < await echo.ask(5) < 5
        # Two at once get their own answers.
        assert len(await asyncio.gather(echo.ask(5), echo.ask(5))) == 2


async def test_a_broker_without_an_issuer_is_no_echo(deployment: Stack) -> None:
    async with linked(deployment, "alone") as (link, echo):
        await link.wait_connected(5)
        deployment.stop_issuer()
        try:
            with pytest.raises(TransportError) as failed:
                await echo.ask(1)
        finally:
            deployment.start_issuer()
    assert failed.value.code == "issuer.silent"


async def test_the_self_test_asks_through_the_running_agent(tmp_path: Path) -> None:
    async def good() -> float:
        return 0.25

    async def bad() -> float:
        raise TransportError("issuer.silent", "nobody")

    assert local.ask(tmp_path, 1) is None
    async with local.answering(tmp_path, good):
        assert (tmp_path / local.SOCKET).stat().st_mode & 0o777 == 0o600
        assert await asyncio.to_thread(local.ask, tmp_path, 1) == 0.25
    async with local.answering(tmp_path, bad):
        with pytest.raises(TransportError) as failed:
            await asyncio.to_thread(local.ask, tmp_path, 1)
    assert failed.value.code == "issuer.silent"
    assert local.ask(tmp_path, 1) is None


async def test_an_agent_that_hangs_up_is_one_that_runs(tmp_path: Path) -> None:
    """A self-test that took it for absent would sign in under its name and throw it out."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_unix_server(hang_up, tmp_path / local.SOCKET):
        with pytest.raises(TransportError, match="hung up without an answer"):
            await asyncio.to_thread(local.ask, tmp_path, 5)
