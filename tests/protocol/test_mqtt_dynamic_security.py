"""The broker under its dynamic security plug-in: foreign subscriptions refused, revoked terminals thrown out."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.transport.errors import TransportError
from agent.transport.mqtt import MqttLink, Tls
from agent.trust import identity
from agent.wire import topics
from issuer import dynamic_security, pki
from tests.protocol.wire_stack import Stack, evidence, needs_broker, terminal

pytestmark = needs_broker


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    root = tmp_path_factory.mktemp("dynamic") / "issuer"
    pki.create(root, "test-issuer")
    made = Stack(root, dynamic=["lobby-1", "lobby-2"])
    for name in made.dynamic or []:
        made.enroll(name)
    try:
        made.start_broker()
        made.start_issuer()
        yield made
    finally:
        made.stop()


def control(deployment: Stack, commands: dict[str, object]) -> None:
    """Send commands to the running broker, as the issuer."""
    key = deployment.layout.worker("issuer")
    authority = deployment.layout.authority("transport").with_suffix(".pem")
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5, client_id="issuer")
    client.tls_set_context(Tls(authority, key.with_suffix(".pem"), key.with_suffix(".key")).context())
    client.connect("127.0.0.1", deployment.port)
    client.loop_start()
    client.publish("$CONTROL/dynamic-security/v1", json.dumps(commands), qos=1).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


def link_of(folder: Path, url: str) -> MqttLink:
    who = identity.load(folder)
    return MqttLink(
        client_id=who.terminal, brokers=[url], tls=Tls(who.issuer.broker_ca, who.tls_certificate, who.tls_key)
    )


async def test_a_verification_goes_through(deployment: Stack) -> None:
    async with terminal(deployment.layout.terminal("lobby-1"), deployment.url) as lobby:
        assert (await lobby.verify(evidence(), within=10)).accepted


@pytest.mark.parametrize(
    "wanted", ["#", topics.DECISION.of("lobby-1"), "renzheng/1/terminals/+/decision", topics.REQUEST.of("lobby-2")]
)
async def test_a_foreign_subscription_is_refused_at_once(deployment: Stack, wanted: str) -> None:
    link = link_of(deployment.layout.terminal("lobby-2"), deployment.url)
    link.handle(wanted, lambda _message: None)
    link.start()
    try:
        with pytest.raises(TransportError) as failed:
            await link.wait_connected(1.0)
    finally:
        await link.stop()
    assert failed.value.code == "broker.forbidden"


async def test_a_foreign_publication_is_refused(deployment: Stack) -> None:
    async with terminal(deployment.layout.terminal("lobby-2"), deployment.url) as lobby:
        with pytest.raises(TransportError) as failed:
            await lobby.link.publish(topics.REQUEST.of("lobby-1"), b"x", timeout=5)
    assert failed.value.code == "broker.forbidden"


async def test_a_new_terminal_is_let_in_and_a_revoked_one_thrown_out_while_the_broker_runs(deployment: Stack) -> None:
    folder = await asyncio.to_thread(deployment.enroll, "lobby-3")
    await asyncio.to_thread(control, deployment, dynamic_security.enrol_commands("lobby-3"))
    async with terminal(folder, deployment.url) as lobby:
        assert (await lobby.verify(evidence(), within=10)).accepted
        await asyncio.to_thread(control, deployment, dynamic_security.revoke_commands("lobby-3"))
        # It comes back at once, as its certificate lets it, and finds that it may do nothing.
        await asyncio.sleep(1.5)
        with pytest.raises(TransportError) as failed:
            await lobby.link.publish(topics.STATUS.of("lobby-3"), b"x", timeout=2)
    assert failed.value.code == "broker.forbidden"
