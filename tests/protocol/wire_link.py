"""A terminal's link alone, without the issuer's client on it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.transport.errors import TransportError
from agent.transport.mqtt import MqttLink, Status, Tls
from agent.trust import identity
from agent.wire import topics


def tls_of(folder: Path) -> Tls:
    who = identity.load(folder)
    return Tls(who.issuer.broker_ca, who.tls_certificate, who.tls_key)


@contextlib.asynccontextmanager
async def linked(
    folder: Path,
    *urls: str,
    tls: Tls | None = None,
    keepalive: int = 15,
    will_delay: int = 1,
    states: list[tuple[bool, str]] | None = None,
) -> AsyncIterator[MqttLink]:
    name = folder.name
    status = Status(topics.STATUS.of(name), b"online", b"offline", delay=will_delay)
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


async def why_not(link: MqttLink, seconds: float = 10.0) -> str:
    """The code of the first failure to connect."""
    async with asyncio.timeout(seconds):
        while not link.why:  # noqa: ASYNC110 - the link tells its state to no event
            await asyncio.sleep(0.01)
    with pytest.raises(TransportError) as failed:
        await link.wait_connected(0)
    return failed.value.code
