"""A link to a broker that keeps itself up: MQTT 5 over mutual TLS 1.3 (`agent.transport.connection`, one at a time).

`MqttLink` tries its brokers in order with a capped, jittered back-off, follows a server that sends it elsewhere,
resumes its session, subscribes again on every connection, and publishes a retained status with a delayed will.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from agent.transport import backoff
from agent.transport.connection import Connection, Message, Redirect, topic_matches
from agent.transport.errors import TransportError
from agent.transport.link import Handler, Incoming, Status, Tls, address

__all__ = ["Incoming", "MqttLink", "Status", "Tls"]

_LOG = logging.getLogger(__name__)

_MAX_HOPS = 3


class MqttLink:
    """One MQTT 5 connection that keeps itself up. All methods belong to the loop that called `start`."""

    def __init__(
        self,
        *,
        client_id: str,
        brokers: Sequence[str],
        tls: Tls,
        status: Status | None = None,
        session_expiry: int = 3600,
        keepalive: int = 15,
        connect_timeout: float = 5.0,
        on_state: Callable[[bool, str], None] = lambda _up, _why: None,
    ) -> None:
        """Prepare; nothing is connected before `start`.

        `brokers` are URLs `mqtts://host[:port]`, tried in order. `on_state(up, why)` is called on every change, and
        once for each new reason of a failure; never for repeats.
        """
        self._client_id = client_id
        self._brokers = [address(url) for url in brokers]
        self._tls = tls
        self._status = status
        self._session_expiry = session_expiry
        self._keepalive = keepalive
        self._connect_timeout = connect_timeout
        self._on_state = on_state
        self._handlers: list[tuple[str, Handler, int]] = []
        self._connection: Connection | None = None
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._down.set()
        #: Set while somebody waits for the link.
        self._wanted = asyncio.Event()
        self._waiting = 0
        self._supervisor: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self._code, self._why, self._told = "broker.unreachable", "", ""

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and every subscription stands."""
        return self._up.is_set()

    @property
    def why(self) -> str:
        """Why the link is down, as last seen; "" while it is up."""
        return "" if self.connected else self._why

    def start(self) -> None:
        """Begin to connect, in the background.

        Raises:
            TransportError: `broker.credentials`; the TLS files cannot be used, no attempt would mend that.
        """
        self._tls.context()
        if self._supervisor is None:
            self._supervisor = asyncio.get_running_loop().create_task(self._supervise())

    async def stop(self) -> None:
        """Say goodbye (the status becomes offline) and stop. The broker keeps the session for its time."""
        if self._supervisor is None:
            return
        if self.connected and self._status is not None:
            with contextlib.suppress(TransportError):
                await self._say(self._status, self._status.offline, 1.0)
        self._supervisor.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._supervisor
        self._supervisor = None

    async def wait_connected(self, timeout: float, *, urgent: bool = True) -> None:
        """Wait until the link is up. `urgent`: an attempt that is due later is made now.

        Whoever can wait for hours (a queue on the disk) is not urgent: the back-off spares broker and network.

        Raises:
            TransportError: the code of the newest failure (`broker.unreachable`, `broker.refused`, ...).
        """
        self._waiting += urgent
        if urgent:
            self._wanted.set()
        try:
            async with asyncio.timeout(timeout):
                await self._up.wait()
        except TimeoutError:
            raise TransportError(self._code, self._why or "no broker answered in time") from None
        finally:
            self._waiting -= urgent
            if not self._waiting:
                self._wanted.clear()

    async def wait_lost(self) -> None:
        """Wait until the link breaks; return at once while it is down."""
        await self._down.wait()

    def handle(self, topic_filter: str, handler: Handler, *, qos: int = 1) -> None:
        """Call `handler` for messages on `topic_filter`, on every connection. To be called before `start`.

        Several handlers may listen to one filter, with one QoS.
        """
        self._handlers.append((topic_filter, handler, qos))

    async def announce(self, online: bytes, timeout: float) -> None:
        """Say `online` as the retained status, now and on every new connection.

        Raises:
            TransportError: as `publish`; the next connection will say it.
        """
        if self._status is None:
            return
        self._status = replace(self._status, online=online)
        await self._say(self._status, online, timeout)

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        expiry: int = 0,
        response_topic: str = "",
        correlation: bytes = b"",
        content_type: str = "application/cose",
        timeout: float,
    ) -> bool:
        """Publish now and wait for the broker's acknowledgement (QoS 1). Nothing is queued while the link is down.

        False when the broker says that nobody subscribes to the topic; True otherwise.

        Raises:
            TransportError: `broker.unreachable` (no acknowledgement in time), `broker.forbidden`, `broker.busy`; while
                the link is down, the code of the newest failure.
        """
        if self._connection is None or not self.connected:
            raise TransportError(self._code, self._why or "the link to the broker is down")
        message = Message(topic, payload, qos, retain, expiry, response_topic, correlation, content_type)
        return await self._connection.publish(message, timeout)

    # ---- one connection after another ----

    async def _supervise(self) -> None:
        waits = backoff.delays()
        turn = hops = 0
        redirect: Redirect | None = None
        while True:
            where = self._brokers[turn % len(self._brokers)] if redirect is None else (redirect.host, redirect.port)
            turn += 1
            connection = self._new_connection()
            try:
                end = await self._live(connection, *where)
                # Two machines with one identity throw each other out for ever: there the waits go on growing.
                if end.code != "broker.taken_over":
                    waits, turn = backoff.delays(), 0
            except TransportError as error:
                end = error
            self._tell(end)
            # Servers that send us to each other are followed a few times, not for ever.
            redirect = connection.redirect if hops < _MAX_HOPS else None
            hops = hops + 1 if redirect else 0
            if redirect is None and turn % len(self._brokers) == 0:
                await self._pause(next(waits))
            elif redirect is not None and redirect.for_good and (redirect.host, redirect.port) not in self._brokers:
                self._brokers.insert(0, (redirect.host, redirect.port))

    async def _pause(self, seconds: float) -> None:
        """Wait; while somebody wants the link, not longer than the first wait."""
        await asyncio.sleep(min(seconds, backoff.FIRST))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - backoff.FIRST):
                await self._wanted.wait()

    def _new_connection(self) -> Connection:
        return Connection(
            client_id=self._client_id,
            status=self._status,
            session_expiry=self._session_expiry,
            keepalive=self._keepalive,
            timeout=self._connect_timeout,
            on_message=self._arrived,
        )

    async def _live(self, connection: Connection, host: str, port: int) -> TransportError:
        """Connect, subscribe, stay until the connection ends, and say why. Raises when it never stood."""
        try:
            # Read anew each time: the files may have been renewed.
            await connection.open(host, port, self._tls.context())
            # A resumed session keeps the subscriptions of the software that made it; ours may be newer. Asking again
            # costs one packet and brings the retained messages that changed while we were away.
            await connection.subscribe({name: qos for name, _, qos in self._handlers})
            if connection.lost is not None:
                raise connection.lost
            self._connection = connection
            self._up.set()
            self._down.clear()
            self._why = self._told = ""
            self._on_state(True, f"{host}:{port}")
            await self._announce()
            return await connection.ended()
        finally:
            self._up.clear()
            self._down.set()
            self._connection = None
            await connection.close()

    async def _announce(self) -> None:
        if self._status is not None:
            await self._say(self._status, self._status.online, self._connect_timeout)

    async def _say(self, status: Status, payload: bytes, timeout: float) -> None:
        await self.publish(status.topic, payload, retain=True, content_type=status.content_type, timeout=timeout)

    def _arrived(self, message: Incoming) -> None:
        for topic_filter, handler, _ in self._handlers:
            if topic_matches(topic_filter, message.topic):
                outcome = handler(message)
                if outcome is not None:
                    task = asyncio.ensure_future(outcome)
                    self._tasks.add(task)
                    task.add_done_callback(self._handled)

    def _handled(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("a message could not be handled", exc_info=error)

    def _tell(self, error: TransportError) -> None:
        text = str(error.args[0])
        self._code, self._why = error.code, text
        if text == self._told:
            _LOG.debug("MQTT link still down: %s", text)
            return
        self._told = text
        _LOG.warning("MQTT link down: %s", text)
        self._on_state(False, text)
