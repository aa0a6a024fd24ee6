"""MQTT 5 over mutual TLS 1.3, as asyncio sees it. The only module that imports paho.

One `MqttLink` keeps one connection: it tries its brokers in order with a capped, jittered back-off, resumes its session
where the broker still has it, subscribes again on every connection, publishes a retained status with a delayed will,
and reads every reason code. paho runs a network thread per connection; each of its callbacks only posts to the loop.
"""

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.transport import backoff
from agent.transport.errors import TransportError
from agent.transport.link import Acknowledgements, Handler, Incoming, Status, Tls, address

__all__ = ["Incoming", "MqttLink", "Status", "Tls"]

_LOG = logging.getLogger(__name__)

#: Reason codes of a server that sends us elsewhere (MQTT 5, 4.13): for once, for good.
_USE_ANOTHER, _SERVER_MOVED = 0x9C, 0x9D
#: Reason codes that another attempt does not mend by itself (3.2.2.2, 3.14.2.1): told, and retried slowly.
_REFUSED = {0x80, 0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C}
_MAX_HOPS = 3
_TAKEN_OVER = 0x8E
_QUOTA = 0x97
_NO_SUBSCRIBERS = 0x10
#: X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED: the clock is as suspect as the certificate.
_NOT_VALID_NOW = {9, 10}


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
        self._handlers: dict[str, tuple[Handler, int]] = {}
        self._client: paho.Client | None = None
        self._published = Acknowledgements()
        self._subscribed = Acknowledgements()
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self._why = self._told = ""
        self._code = "broker.unreachable"
        self._redirect: tuple[str, int] | None = None
        self._accepted: asyncio.Future[tuple[ReasonCode, Properties | None]]
        #: Whether the newest connection was accepted before it ended.
        self._stood = False

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
        context = self._tls.context()
        if self._supervisor is None:
            self._supervisor = asyncio.get_running_loop().create_task(self._supervise(context))

    async def stop(self) -> None:
        """Say goodbye (the status becomes offline, the session ends) and stop."""
        if self._supervisor is None:
            return
        if self.connected and self._status is not None:
            with contextlib.suppress(TransportError):
                await self.publish(self._status.topic, self._status.offline, retain=True, timeout=1.0)
        self._supervisor.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._supervisor
        self._supervisor = None

    async def wait_connected(self, timeout: float) -> None:
        """Wait until the link is up.

        Raises:
            TransportError: the code of the newest failure (`broker.unreachable`, `broker.refused`, ...).
        """
        try:
            async with asyncio.timeout(timeout):
                await self._up.wait()
        except TimeoutError:
            raise TransportError(self._code, self._why or "no broker answered in time") from None

    def handle(self, topic_filter: str, handler: Handler, *, qos: int = 1) -> None:
        """Call `handler` for messages on `topic_filter`, on every connection. To be called before `start`."""
        self._handlers[topic_filter] = (handler, qos)

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
        timeout: float,
    ) -> bool:
        """Publish now and wait for the broker's acknowledgement (QoS 1). Nothing is queued while the link is down.

        False when the broker says that nobody subscribes to the topic; True otherwise.

        Raises:
            TransportError: `broker.unreachable` (down, or no acknowledgement in time) or `broker.forbidden`.
        """
        client = self._client
        if client is None or not self.connected:
            raise TransportError(self._code, self._why or "the link to the broker is down")
        properties = _properties(
            PacketTypes.PUBLISH,
            MessageExpiryInterval=expiry,
            ResponseTopic=response_topic,
            CorrelationData=correlation,
            ContentType="application/cose",
        )
        info = client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise TransportError("broker.unreachable", "the link to the broker broke")
        if qos == 0:
            return True
        reason = await self._published.of(info.mid, timeout)
        if reason.is_failure:
            code = "broker.busy" if reason.value == _QUOTA else "broker.forbidden"
            raise TransportError(code, f"the broker refused the message: {reason}")
        return bool(reason.value != _NO_SUBSCRIBERS)

    # ---- one connection after another ----

    async def _supervise(self, context: ssl.SSLContext) -> None:
        waits = backoff.delays()
        turn = hops = 0
        while True:
            host, port = self._redirect or self._brokers[turn % len(self._brokers)]
            self._redirect = None
            turn += 1
            try:
                await self._live(host, port, context)
            except TransportError as error:
                self._tell(error)
            # Two machines with one identity would throw each other out for ever: there the waits go on growing.
            if self._stood and self._code != "broker.taken_over":
                waits, turn = backoff.delays(), 0
            # Servers that send us to each other are followed a few times, not for ever.
            following = self._redirect is not None and hops < _MAX_HOPS
            hops = hops + 1 if following else 0
            if not following:
                self._redirect = None
                if turn % len(self._brokers) == 0:
                    await asyncio.sleep(next(waits))

    async def _live(self, host: str, port: int, context: ssl.SSLContext) -> NoReturn:
        """Connect, subscribe, and stay until the connection ends; the TransportError says why it ended."""
        self._published, self._subscribed = acknowledgements = Acknowledgements(), Acknowledgements()
        self._down.clear()
        self._stood = False
        self._accepted = asyncio.get_running_loop().create_future()
        self._client = client = self._make_client(context)
        try:
            await self._connect(client, host, port)
            async with asyncio.timeout(self._connect_timeout):
                reason, properties = await self._accepted
            if reason.is_failure:
                self._follow(reason, properties)
                code = "broker.refused" if reason.value in _REFUSED else "broker.unreachable"
                raise TransportError(code, f"{host}:{port} refused the connection: {reason}")
            # A resumed session keeps the subscriptions of the software that made it; ours may be newer. Asking again
            # costs one packet and brings the retained messages that changed while we were away.
            await self._subscribe(client)
            if self._down.is_set():
                raise TransportError(self._code, self._why)
            self._stood = True
            self._up.set()
            self._code, self._why, self._told = "broker.unreachable", "", ""
            self._on_state(True, f"{host}:{port}")
            await self._announce()
            await self._down.wait()
        except TimeoutError:
            raise TransportError("broker.unreachable", f"{host}:{port} does not answer") from None
        finally:
            self._up.clear()
            self._client = None
            for table in acknowledgements:
                table.fail(TransportError("broker.unreachable", "the link to the broker broke"))
            client.disconnect()
            await asyncio.shield(asyncio.to_thread(client.loop_stop))
        raise TransportError(self._code, self._why or f"the connection to {host}:{port} ended")

    def _make_client(self, context: ssl.SSLContext) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = self._connect_timeout
        client.tls_set_context(context)
        if self._status is not None:
            will = _properties(PacketTypes.WILLMESSAGE, WillDelayInterval=self._status.delay)
            client.will_set(self._status.topic, self._status.offline, qos=1, retain=True, properties=will)
        post = functools.partial(_post, asyncio.get_running_loop())
        published, subscribed, accepted = self._published, self._subscribed, self._accepted
        # Small packets that wait for an answer: Nagle's algorithm would add 40 ms to each round trip.
        client.on_socket_open = _no_delay
        client.on_connect = lambda _c, _u, _f, reason, properties: post(_resolve, accepted, (reason, properties))
        client.on_disconnect = lambda _c, _u, flags, reason, properties: post(
            self._lost, client, reason if flags.is_disconnect_packet_from_server else None, properties
        )
        client.on_publish = lambda _c, _u, mid, reason, _p: post(published.settle, mid, reason)
        client.on_subscribe = lambda _c, _u, mid, reasons, _p: post(subscribed.settle, mid, reasons)
        client.on_message = lambda _c, _u, message: post(self._arrived, _incoming(message))
        return client

    async def _connect(self, client: paho.Client, host: str, port: int) -> None:
        properties = _properties(PacketTypes.CONNECT, SessionExpiryInterval=self._session_expiry)
        connect = functools.partial(
            client.connect, host, port, self._keepalive, clean_start=False, properties=properties
        )
        try:
            await asyncio.to_thread(connect)
        except ssl.SSLCertVerificationError as error:
            code = "broker.certificate_time" if error.verify_code in _NOT_VALID_NOW else "broker.certificate"
            raise TransportError(code, f"{host}:{port}: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise TransportError("broker.certificate", f"{host}:{port}: {error.reason or 'TLS failed'}") from error
        except OSError as error:
            raise TransportError("broker.unreachable", f"{host}:{port}: {error.strerror or error}") from error
        client.loop_start()

    async def _subscribe(self, client: paho.Client) -> None:
        wanted = [(name, SubscribeOptions(qos=qos)) for name, (_, qos) in self._handlers.items()]
        if not wanted:
            return
        result, mid = client.subscribe(wanted)
        if result != paho.MQTT_ERR_SUCCESS or mid is None:
            raise TransportError("broker.unreachable", "the link to the broker broke")
        reasons = await self._subscribed.of(mid, self._connect_timeout)
        for (name, _), reason in zip(wanted, reasons, strict=True):
            if reason.is_failure:
                raise TransportError("broker.forbidden", f"the broker refused the subscription to {name}: {reason}")

    async def _announce(self) -> None:
        if self._status is not None:
            await self.publish(self._status.topic, self._status.online, retain=True, timeout=self._connect_timeout)

    # ---- what the network thread posts ----

    def _lost(self, client: paho.Client, reason: ReasonCode | None, properties: Properties | None) -> None:
        """The connection ended; `reason` is the broker's own, if it gave one."""
        if client is not self._client:
            return
        self._code, self._why = "broker.unreachable", "the connection to the broker was lost"
        if reason is not None:
            self._why = f"the broker ended the connection: {reason}"
            self._code = "broker.taken_over" if reason.value == _TAKEN_OVER else "broker.unreachable"
            self._follow(reason, properties)
        elif not self._accepted.done():
            # TLS 1.3 lets a client finish before the server has judged its certificate: this is how a refusal looks.
            self._code, self._why = "broker.refused", "the broker hung up instead of accepting (our certificate?)"
        if not self._accepted.done():
            self._accepted.set_exception(TransportError(self._code, self._why))
            # Nobody may be waiting for it.
            self._accepted.exception()
        self._published.fail(TransportError(self._code, self._why))
        self._subscribed.fail(TransportError(self._code, self._why))
        self._up.clear()
        self._down.set()

    def _follow(self, reason: ReasonCode, properties: Properties | None) -> None:
        """Remember where a server sends us. Only the transport moves: the TLS anchors decide whether it is believed."""
        target = str(getattr(properties, "ServerReference", "") or "").split(" ")[0]
        if reason.value not in {_USE_ANOTHER, _SERVER_MOVED} or not target:
            return
        with contextlib.suppress(TransportError):
            self._redirect = address(target if "://" in target else f"mqtts://{target}")
            if reason.value == _SERVER_MOVED and self._redirect not in self._brokers:
                self._brokers.insert(0, self._redirect)

    def _arrived(self, message: Incoming) -> None:
        for topic_filter, (handler, _) in self._handlers.items():
            if paho.topic_matches_sub(_unshared(topic_filter), message.topic):
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


def _no_delay(_client: paho.Client, _data: Any, sock: object) -> None:
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _post(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    # The loop may be gone while the network thread winds up.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)


def _resolve(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _properties(packet: int, **values: int | str | bytes) -> Properties:
    """The properties of a packet; zero and empty values are left out."""
    properties = Properties(packet)  # type: ignore[no-untyped-call]  # paho leaves its constructor untyped
    for name, value in values.items():
        if value:
            setattr(properties, name, value)
    return properties


def _incoming(message: paho.MQTTMessage) -> Incoming:
    properties = message.properties
    return Incoming(
        topic=message.topic,
        payload=bytes(message.payload),
        retained=bool(message.retain),
        correlation=bytes(getattr(properties, "CorrelationData", b"") or b""),
        response_topic=str(getattr(properties, "ResponseTopic", "") or ""),
    )


def _unshared(topic_filter: str) -> str:
    """A shared subscription's own filter."""
    return topic_filter.split("/", 2)[2] if topic_filter.startswith("$share/") else topic_filter
