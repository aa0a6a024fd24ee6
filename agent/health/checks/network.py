"""Checks of the way to the issuer: the broker's TLS and sign-in, and the issuer's signed epoch."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import monotonic

from agent import parts
from agent.configuration.schema import Settings
from agent.health import echo, state
from agent.health.check import Check, Finding, Status, failed, passed, run, warned
from agent.transport.echo import Echo
from agent.transport.link import Tls, address
from agent.transport.mqtt import MqttLink
from agent.trust.clock import Clock

TIMEOUT = 3.0
#: A round trip to the broker above this is slow for the person who waits.
SLOW = 0.5
#: Seconds for a signed question and the issuer's signed answer, and above which a person would notice.
ECHO, SLOW_ECHO = 5.0, 1.0
NETWORK = (
    "Check the network, its name service and the broker's certificate; the agent takes the link up again by itself."
)


def checks(settings: Settings, runtime: Path) -> list[Check]:
    """The broker by a connection of our own; the issuer by the running agent, or by ourselves when none runs.

    The terminal's name on the broker belongs to the running agent: a second sign-in under it would throw the agent out.
    """
    return [
        Check("broker", "Broker: TLS", lambda: _broker(settings), seconds=TIMEOUT + 2),
        Check("issuer", "Issuer is heard", lambda: _issuer(runtime)),
        Check("echo", "Issuer answers, signed", lambda: _echo(settings, runtime), seconds=ECHO + 2, hangs=NETWORK),
    ]


def _broker(settings: Settings) -> Finding:
    device = parts.device_identity(settings.identity)
    return brokers(settings.broker.urls, Tls(device.issuer.broker_ca, device.tls_certificate, device.tls_key).context())


def brokers(urls: Sequence[str], context: ssl.SSLContext) -> Finding:
    """What a handshake with each broker says of them all."""
    # Side by side, each in a thread that may be left behind: nothing ends a question to a name service that is silent.
    asked = [Check(url, url, partial(_greet, url, context), TIMEOUT) for url in urls]
    reached = sorted(run(asked).results, key=lambda result: result.finding.status is not Status.PASS)
    measured = "; ".join(f"{result.id}: {result.finding.measured}" for result in reached)
    good = [result for result in reached if result.finding.status is Status.PASS]
    if not good:
        return failed(measured, "reachable", NETWORK, "broker.unreachable")
    if len(good) < len(reached) or any(result.seconds > SLOW for result in good):
        return warned(measured, f"all within {SLOW:g} s", NETWORK, "broker.unreachable")
    return passed(measured, f"all within {SLOW:g} s")


def _greet(url: str, context: ssl.SSLContext) -> Finding:
    """Shake hands under mutual TLS and hang up."""
    host, port = address(url)
    start = monotonic()
    try:
        with (
            socket.create_connection((host, port), TIMEOUT) as line,
            context.wrap_socket(line, server_hostname=host) as secured,
        ):
            version = secured.version()
    except TimeoutError:
        why = f"no answer within {TIMEOUT:g} s"
    except ssl.SSLCertVerificationError as error:
        why = f"certificate refused: {error.verify_message}"
    except OSError as error:
        why = error.strerror or type(error).__name__
    else:
        return passed(f"{version} in {(monotonic() - start) * 1000:.0f} ms".replace("TLSv", "TLS "))
    return failed(why, "", NETWORK, "broker.unreachable")


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
