"""One MQTT 5 connection, from CONNECT to its end, as asyncio sees it. The only module that imports paho.

paho runs a network thread for each connection; its callbacks only post to the loop. Nothing here tries again:
`agent.transport.mqtt` does.
"""

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.transport.errors import TransportError
from agent.transport.link import Acknowledgements, Incoming, Status, address

_LOG = logging.getLogger(__name__)

#: Reason codes of a server that sends us elsewhere (MQTT 5, 4.13): for once, for good.
_USE_ANOTHER, _SERVER_MOVED = 0x9C, 0x9D
#: Reason codes that another attempt does not mend by itself (3.2.2.2).
_REFUSED = {0x80, 0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C}
_TAKEN_OVER = 0x8E
_QUOTA = 0x97
_NO_SUBSCRIBERS = 0x10
#: X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED: the clock is as suspect as the certificate.
_NOT_VALID_NOW = {9, 10}


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where a server sent us, and whether for good."""

    host: str
    port: int
    for_good: bool


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish. `expiry` in seconds, 0 for none."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry: int = 0
    response_topic: str = ""
    correlation: bytes = b""
    content_type: str = "application/cose"


class _Client(paho.Client):
    """paho's client, which tells when its thread ends by an exception: what a broken server sends can raise one."""

    on_broken: Callable[[], None]

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody listens to this connection any more
            _LOG.warning("what the broker sent cannot be read: %s", type(error).__name__)
            self.on_broken()
            return MQTTErrorCode.MQTT_ERR_PROTOCOL


class Connection:
    """One connection. `open` once, `close` once; all methods belong to the loop that made it."""

    def __init__(
        self,
        *,
        client_id: str,
        status: Status | None,
        session_expiry: int,
        keepalive: int,
        timeout: float,
        on_message: Callable[[Incoming], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._session_expiry = session_expiry
        self._keepalive = keepalive
        self._timeout = timeout
        self._accepted: asyncio.Future[tuple[ReasonCode, Properties | None]] = loop.create_future()
        self._ended: asyncio.Future[TransportError] = loop.create_future()
        self._published = Acknowledgements()
        self._subscribed = Acknowledgements()
        #: Where the server sent us when it refused or ended the connection.
        self.redirect: Redirect | None = None
        self._client = client = _Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5, reconnect_on_failure=False
        )
        client.on_broken = functools.partial(_post, loop, self._lost, None, None)
        client.connect_timeout = timeout
        if status is not None:
            will = _properties(PacketTypes.WILLMESSAGE, WillDelayInterval=status.delay, ContentType=status.content_type)
            client.will_set(status.topic, status.offline, qos=1, retain=True, properties=will)
        post = functools.partial(_post, loop)
        # Small packets that wait for an answer: Nagle's algorithm would add 40 ms to each round trip.
        client.on_socket_open = _no_delay
        client.on_connect = lambda _c, _u, _f, reason, properties: post(self._answered, reason, properties)
        client.on_disconnect = lambda _c, _u, flags, reason, properties: post(
            self._lost, reason if flags.is_disconnect_packet_from_server else None, properties
        )
        client.on_publish = lambda _c, _u, mid, reason, _p: post(self._published.settle, mid, reason)
        client.on_subscribe = lambda _c, _u, mid, reasons, _p: post(self._subscribed.settle, mid, reasons)
        client.on_message = lambda _c, _u, message: post(on_message, _incoming(message))

    async def open(self, host: str, port: int, context: ssl.SSLContext) -> None:
        """Connect, and wait until the server has accepted us.

        Raises:
            TransportError: `broker.unreachable`, `broker.certificate`, `broker.certificate_time`, `broker.refused`.
        """
        self._client.tls_set_context(context)
        await self._reach(host, port)
        try:
            async with asyncio.timeout(self._timeout):
                reason, properties = await self._accepted
        except TimeoutError:
            raise TransportError("broker.unreachable", f"{host}:{port} does not answer") from None
        if reason.is_failure:
            self._follow(reason, properties)
            code = "broker.refused" if reason.value in _REFUSED else "broker.unreachable"
            raise TransportError(code, f"{host}:{port} refused the connection: {reason}")

    async def _reach(self, host: str, port: int) -> None:
        properties = _properties(PacketTypes.CONNECT, SessionExpiryInterval=self._session_expiry)
        connect = functools.partial(
            self._client.connect, host, port, self._keepalive, clean_start=False, properties=properties
        )
        try:
            await asyncio.to_thread(connect)
        except ssl.SSLCertVerificationError as error:
            code = "broker.certificate_time" if error.verify_code in _NOT_VALID_NOW else "broker.certificate"
            raise TransportError(code, f"{host}:{port}: {error.verify_message}") from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise TransportError("broker.unreachable", f"{host}:{port} hung up during the TLS handshake") from error
        except ssl.SSLError as error:
            raise TransportError("broker.certificate", f"{host}:{port}: {error.reason or 'TLS failed'}") from error
        except OSError as error:
            raise TransportError("broker.unreachable", f"{host}:{port}: {error.strerror or error}") from error
        self._client.loop_start()

    async def subscribe(self, wanted: Mapping[str, int]) -> None:
        """Subscribe to filters, each with its QoS.

        Raises:
            TransportError: `broker.forbidden` for any of them, `broker.unreachable`.
        """
        if not wanted:
            return
        result, packet = self._client.subscribe([(name, SubscribeOptions(qos=qos)) for name, qos in wanted.items()])
        if result != paho.MQTT_ERR_SUCCESS or packet is None:
            raise TransportError("broker.unreachable", "the link to the broker broke")
        reasons = await self._subscribed.of(packet, self._timeout)
        if len(reasons) != len(wanted):
            raise TransportError("broker.unreachable", "the broker did not answer the subscriptions one by one")
        for name, reason in zip(wanted, reasons, strict=True):
            if reason.is_failure:
                raise TransportError("broker.forbidden", f"the broker refused the subscription to {name}: {reason}")

    async def publish(self, message: Message, seconds: float) -> bool:
        """Publish and wait for the acknowledgement (QoS 1). False when nobody subscribes to the topic.

        Raises:
            TransportError: `broker.unreachable`, `broker.forbidden`, `broker.busy`.
        """
        properties = _properties(
            PacketTypes.PUBLISH,
            MessageExpiryInterval=message.expiry,
            ResponseTopic=message.response_topic,
            CorrelationData=message.correlation,
            ContentType=message.content_type,
        )
        info = self._client.publish(
            message.topic, message.payload, qos=message.qos, retain=message.retain, properties=properties
        )
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise TransportError("broker.unreachable", "the link to the broker broke")
        if message.qos == 0:
            return True
        reason = await self._published.of(info.mid, seconds)
        if reason.is_failure:
            code = "broker.busy" if reason.value == _QUOTA else "broker.forbidden"
            raise TransportError(code, f"the broker refused the message: {reason}")
        return bool(reason.value != _NO_SUBSCRIBERS)

    @property
    def lost(self) -> TransportError | None:
        """Why the connection has ended; None while it stands."""
        return self._ended.result() if self._ended.done() else None

    async def ended(self) -> TransportError:
        """Wait until the connection ends; why."""
        return await asyncio.shield(self._ended)

    async def close(self) -> None:
        """Say goodbye and wait for the network thread."""
        self._give_up(TransportError("broker.unreachable", "the link to the broker was closed"))
        self._client.disconnect()
        await asyncio.shield(asyncio.to_thread(self._client.loop_stop))

    # ---- what the network thread posts ----

    def _answered(self, reason: ReasonCode, properties: Properties | None) -> None:
        if not self._accepted.done():
            self._accepted.set_result((reason, properties))

    def _lost(self, reason: ReasonCode | None, properties: Properties | None) -> None:
        """The connection ended; `reason` is the broker's own, if it gave one."""
        if reason is not None:
            self._follow(reason, properties)
            code = "broker.taken_over" if reason.value == _TAKEN_OVER else "broker.unreachable"
            self._give_up(TransportError(code, f"the broker ended the connection: {reason}"))
        elif self._accepted.done():
            self._give_up(TransportError("broker.unreachable", "the connection to the broker was lost"))
        else:
            # TLS 1.3 lets a client finish before the server has judged its certificate: this is how a refusal looks.
            why = "the broker hung up instead of accepting (our certificate?)"
            self._give_up(TransportError("broker.refused", why))

    def _give_up(self, error: TransportError) -> None:
        if self._ended.done():
            return
        self._ended.set_result(error)
        self._published.fail(error)
        self._subscribed.fail(error)
        if not self._accepted.done():
            self._accepted.set_exception(error)
            # Nobody may be waiting for it.
            self._accepted.exception()

    def _follow(self, reason: ReasonCode, properties: Properties | None) -> None:
        """Note where a server sends us. Only the transport moves: the TLS anchors decide whether it is believed."""
        target = str(getattr(properties, "ServerReference", "") or "").split(" ")[0]
        if reason.value in {_USE_ANOTHER, _SERVER_MOVED} and target:
            with contextlib.suppress(TransportError):
                host, port = address(target if "://" in target else f"mqtts://{target}")
                self.redirect = Redirect(host, port, reason.value == _SERVER_MOVED)


def topic_matches(topic_filter: str, topic: str) -> bool:
    """Whether a subscription, shared or not, covers a topic name (MQTT 5, 4.7 and 4.8.2)."""
    shared = topic_filter.startswith("$share/")
    return bool(paho.topic_matches_sub(topic_filter.split("/", 2)[2] if shared else topic_filter, topic))


def _no_delay(_client: paho.Client, _data: Any, sock: object) -> None:
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _post(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    # The loop may be gone while the network thread winds up.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)


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
