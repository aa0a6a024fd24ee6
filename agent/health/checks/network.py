"""Checks of the way to the issuer: the broker's TLS and sign-in, and the issuer's signed epoch."""

import asyncio
import socket
import ssl
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from agent import parts
from agent.configuration.schema import Settings
from agent.health import echo, state
from agent.health.check import Check, Finding, failed, passed, warned
from agent.transport.echo import Echo
from agent.transport.link import DEFAULT_PORT, Tls
from agent.transport.mqtt import MqttLink
from agent.trust.clock import Clock
from agent.trust.identity import DeviceIdentity

TIMEOUT = 3.0
#: A round trip to the broker above this is slow for the person who waits.
SLOW = 0.5
#: Seconds for a signed question and the issuer's signed answer, and above which a person would notice.
ECHO, SLOW_ECHO = 5.0, 1.0


def checks(settings: Settings, runtime: Path) -> list[Check]:
    """The broker by a connection of our own; the issuer by the running agent, or by ourselves when none runs.

    The terminal's name on the broker belongs to the running agent: a second sign-in under it would throw the agent out.
    """
    return [
        Check("broker", "Broker: TLS", lambda: _broker(settings), seconds=TIMEOUT * len(settings.broker.urls) + 1),
        Check("issuer", "Issuer is heard", lambda: _issuer(runtime)),
        Check("echo", "Issuer answers, signed", lambda: _echo(settings, runtime), seconds=ECHO + 2),
    ]


def _broker(settings: Settings) -> Finding:
    device = parts.device_identity(settings.identity)
    reached = [asyncio.run(_greet(url, device)) for url in settings.broker.urls]
    good = [f"{url}: TLS 1.3 in {seconds * 1000:.0f} ms" for url, seconds, _why in reached if seconds]
    bad = [f"{url}: {why}" for url, _seconds, why in reached if why]
    remedy = "Check the network and the broker's certificate; the agent takes the link up again by itself."
    measured = "; ".join(good + bad)
    if not good:
        return failed(measured, "reachable", remedy, "broker.unreachable")
    if bad or any(seconds > SLOW for _url, seconds, _why in reached):
        return warned(measured, f"all within {SLOW:g} s", remedy, "broker.unreachable")
    return passed(measured, f"all within {SLOW:g} s")


async def _greet(url: str, device: DeviceIdentity) -> tuple[str, float, str]:
    """Shake hands under mutual TLS and hang up: seconds, or why not."""
    where = urlsplit(url)
    context = Tls(device.issuer.broker_ca, device.tls_certificate, device.tls_key).context()
    start = monotonic()
    try:
        async with asyncio.timeout(TIMEOUT):
            _reader, writer = await asyncio.open_connection(where.hostname, where.port or DEFAULT_PORT, ssl=context)
        writer.close()
    except TimeoutError:
        return url, 0.0, f"no answer within {TIMEOUT:g} s"
    except ssl.SSLCertVerificationError as error:
        return url, 0.0, f"certificate refused: {error.verify_message}"
    except (ssl.SSLError, socket.gaierror, OSError) as error:
        return url, 0.0, error.strerror or type(error).__name__
    return url, monotonic() - start, ""


def _echo(settings: Settings, runtime: Path) -> Finding:
    """An event signed by the device key, and the receipt that the issuer signs once it has stored it."""
    seconds, who = echo.ask(runtime, ECHO), "the agent"
    if seconds is None:
        seconds, who = asyncio.run(_ask(settings)), "the self-test"
    measured, limit = f"signed receipt in {seconds * 1000:.0f} ms, asked by {who}", f"{SLOW_ECHO:g} s"
    if seconds > SLOW_ECHO:
        return warned(measured, limit, "See whether the network or the issuer is slow: compare with `broker`.")
    return passed(measured, limit)


async def _ask(settings: Settings) -> float:
    """Sign in as this terminal, ask once, and leave."""
    device = parts.device_identity(settings.identity)
    tls = Tls(device.issuer.broker_ca, device.tls_certificate, device.tls_key)
    link = MqttLink(client_id=device.terminal, brokers=settings.broker.urls, tls=tls)
    question = Echo(link, device, clock=Clock())
    link.start()
    try:
        return await question.ask(ECHO)
    finally:
        await link.stop()


def _issuer(runtime: Path) -> Finding:
    parts_told = state.read(runtime)
    if parts_told is None or "issuer" not in parts_told:
        return warned("the agent does not run, or has not said", "heard", "Start it: `systemctl start renzheng`.")
    told = parts_told["issuer"]
    if told.up:
        return passed("the agent holds a fresh signed epoch")
    remedy = "Ask the issuer's operator; the agent goes on by itself when the issuer is back."
    return failed(f"the agent says {told.code}", "a fresh epoch", remedy, told.code)
