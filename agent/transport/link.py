"""What a link to a broker is made of, in plain types: TLS files, addresses, messages, the status, acknowledgements."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.transport.errors import TransportError
from agent.wire.status import CONTENT_TYPE
from agent.wire.urls import host_and_port

DEFAULT_PORT = 8883


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of the transport: the broker's authority, our certificate chain and key."""

    ca: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """A client context: TLS 1.3 only, the broker's name checked, our certificate shown.

        Raises:
            TransportError: `broker.credentials`; a file is missing or of another kind.
        """
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise TransportError("broker.credentials", f"TLS files cannot be used: {error}") from error
        return context


@dataclass(frozen=True, slots=True, repr=False)
class Incoming:
    """A message that arrived."""

    topic: str
    payload: bytes
    retained: bool
    correlation: bytes
    response_topic: str


@dataclass(frozen=True, slots=True)
class Status:
    """The retained status: its topic, our word while online, and the broker's `delay` seconds after we vanished."""

    topic: str
    online: bytes
    offline: bytes
    delay: int = 10
    content_type: str = CONTENT_TYPE


Handler = Callable[[Incoming], Awaitable[None] | None]


@dataclass(slots=True, repr=False)
class Acknowledgements:
    """The acknowledgements of one kind on one connection, by packet identifier.

    All fail together when the connection ends.
    """

    _futures: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _error: TransportError | None = None

    def settle(self, packet: int, value: Any) -> None:
        """An acknowledgement arrived; one that nobody waits for (any more) is dropped.

        It cannot be early: it is posted to the loop, and its sender waits before the loop turns.
        """
        future = self._futures.get(packet)
        if future is not None and not future.done():
            future.set_result(value)

    def fail(self, error: TransportError) -> None:
        """The connection ended: whoever waits, or will, gets `error`."""
        self._error = error
        for future in self._futures.values():
            _give_up(future, error)

    async def of(self, packet: int, seconds: float) -> Any:
        """The acknowledgement of `packet`.

        Raises:
            TransportError: `broker.unreachable`; none came in `seconds`, or the connection ended.
        """
        future = self._futures[packet] = asyncio.get_running_loop().create_future()
        if self._error is not None:
            _give_up(future, self._error)
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            raise TransportError("broker.unreachable", "no acknowledgement from the broker in time") from None
        finally:
            self._futures.pop(packet, None)


def address(url: str) -> tuple[str, int]:
    """Host and port of a broker's URL, `mqtts://host[:port]`.

    Raises:
        TransportError: `broker.credentials`; it is another kind of URL.
    """
    try:
        return host_and_port(url, scheme="mqtts", port=DEFAULT_PORT)
    except ValueError:
        raise TransportError("broker.credentials", f"{url!r} is not a broker URL: mqtts://host[:port]") from None


def _give_up(future: asyncio.Future[Any], error: TransportError) -> None:
    if not future.done():
        future.set_exception(error)
        # Whoever waited may be gone already; the error is told elsewhere too.
        future.exception()
