"""The running issuer: MQTT in, decisions and receipts out, an epoch every few seconds.

The network thread of paho only queues; one worker thread verifies (a request takes a few milliseconds). The queue is
bounded: under a flood what finds it full is dropped. A terminal sends its events again until their receipt comes; a
request that is dropped fails in time.
"""

import functools
import logging
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from agent.wire import topics
from agent.wire.errors import WireError
from agent.wire.urls import host_and_port
from issuer import config_outgoing, policy, retention, store, verifier
from issuer.config_bundles import BundleFiles
from issuer.epoch_source import EpochSource
from issuer.errors import IssuerError
from issuer.events import EventDesk, EventStore, terminal_key
from issuer.layout import Layout
from issuer.pki import DEFAULT_PORT, ISSUER_CLIENT
from issuer.verifier import REQUEST_ID_SIZE, Verifier

_LOG = logging.getLogger(__name__)

_QUEUE = 1024
_RECEIVE_MAXIMUM = 64
_RECONNECT_CAP = 5
#: Seconds between looks for messages to carry, and for the broker's acknowledgement of one.
_CARRY_INTERVAL = 0.5
_CARRY_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class _Route:
    """What arrives on one topic, who answers it, and on which other. `take(terminal, correlation, payload)`."""

    asked: topics.Topic
    answered: topics.Topic
    take: Callable[[str, bytes, bytes], bytes]
    correlation: int = 0


class Issuer:
    """One worker of the issuer. `start`, then `stop`; both may be called once."""

    def __init__(self, root: Path, broker: str, *, database: str = "", worker: str = ISSUER_CLIENT) -> None:
        """Prepare the issuer below `root` for the broker at `mqtts://host:port`.

        Raises:
            IssuerError: no issuer there, a wrong policy, or a wrong URL.
        """
        self._layout = Layout(root)
        self._settings = policy.load(self._layout.policy)
        self._host, self._port = _address(broker)
        if worker not in self._layout.workers:
            raise IssuerError(f"there is no worker {worker}: `renzheng-issuer worker {root} {worker}` makes one")
        self._database = database or store.sqlite_url(self._layout.database)
        self._worker = worker
        self._requests: queue.Queue[tuple[_Route, str, bytes, bytes]] = queue.Queue(_QUEUE)
        self._stopping = threading.Event()
        self.connected = threading.Event()

    def run(self) -> None:
        """Serve until `stop` is called from another thread or a signal handler."""
        with store.opened(self._database) as engine:
            keys = verifier.load_keys(self._layout)
            source = EpochSource(engine, self._settings.name, self._settings.epoch_interval, keys.signing)
            routes = self._routes(engine, keys)
            source.advance()
            client = self._client(engine, routes)
            client.connect_async(self._host, self._port, keepalive=15, clean_start=True, properties=_connect())
            client.loop_start()
            threads = [
                threading.Thread(target=self._work, args=(client,), name="issuer-worker"),
                threading.Thread(target=self._carry, args=(client, engine), name="issuer-carrier"),
                threading.Thread(
                    target=retention.keep_sweeping,
                    args=(engine, self._settings.retention, self._stopping),
                    name="issuer-sweeper",
                ),
            ]
            for thread in threads:
                thread.start()
            try:
                self._tick(client, source)
            finally:
                self._stopping.set()
                for thread in threads:
                    thread.join()
                client.disconnect()
                client.loop_stop()

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()

    def _tick(self, client: paho.Client, source: EpochSource) -> None:
        while not self._stopping.wait(source.seconds_to_next()):
            try:
                signed = source.advance()
            except SQLAlchemyError as error:
                _LOG.warning("no epoch could be made: %s", error)
                continue
            if signed is not None:
                _publish(client, topics.EPOCH, topics.EPOCH.of(), signed)

    def _carry(self, client: paho.Client, engine: Engine) -> None:
        """Publish what others have signed and the command line has entered."""

        def publish(topic: str, payload: bytes, retain: bool, expiry: int) -> bool:
            info = client.publish(topic, payload, qos=1, retain=retain, properties=_properties(expiry))
            info.wait_for_publish(_CARRY_PATIENCE)
            return info.is_published()

        was_up = False
        while not self._stopping.wait(_CARRY_INTERVAL):
            is_new, was_up = self.connected.is_set() and not was_up, self.connected.is_set()
            if not was_up:
                continue
            try:
                if is_new:
                    config_outgoing.retain_again(engine)
                config_outgoing.publish_waiting(engine, publish)
            except (SQLAlchemyError, ValueError, RuntimeError) as error:
                _LOG.warning("nothing could be carried to terminals: %s", error)

    def _routes(self, engine: Engine, keys: verifier.IssuerKeys) -> tuple[_Route, ...]:
        worker = Verifier(engine, self._settings, keys)
        known = functools.partial(terminal_key, engine, keys.evidence_authority, self._settings.policy)
        desk = EventDesk(EventStore(engine), self._settings.name, keys.signing, known)
        files = BundleFiles(self._layout.root)
        return (
            _Route(topics.REQUEST, topics.DECISION, worker.answer, REQUEST_ID_SIZE),
            _Route(topics.EVENT, topics.RECEIPT, lambda terminal, _correlation, data: desk.take(terminal, data)),
            _Route(topics.FETCH, topics.CHUNK, lambda terminal, _correlation, data: files.take(terminal, data)),
        )

    def _work(self, client: paho.Client) -> None:
        while not self._stopping.is_set():
            try:
                route, terminal, correlation, payload = self._requests.get(timeout=0.2)
            except queue.Empty:
                continue
            try:
                answer = route.take(terminal, correlation, payload)
            except WireError as error:
                _LOG.warning("%s: a message was refused: %s", terminal, error)
                continue
            except Exception:  # noqa: BLE001 - one request must not stop the others; unanswered, the terminal fails closed
                _LOG.exception("%s %s could not be answered", terminal, correlation.hex())
                continue
            _publish(client, route.answered, route.answered.of(terminal), answer, correlation)

    def _client(self, engine: Engine, routes: tuple[_Route, ...]) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=self._worker, protocol=paho.MQTTv5)
        tls = ssl.create_default_context(cafile=self._layout.authority("transport").with_suffix(".pem"))
        tls.minimum_version = ssl.TLSVersion.TLSv1_3
        mqtt = self._layout.worker(self._worker)
        tls.load_cert_chain(mqtt.with_suffix(".pem"), mqtt.with_suffix(".key"))
        client.tls_set_context(tls)
        client.reconnect_delay_set(1, _RECONNECT_CAP)
        # As at the terminals: without this each answer waits 40 ms for Nagle's algorithm.
        client.on_socket_open = _no_delay
        client.on_connect = functools.partial(self._on_connect, engine, routes)
        client.on_disconnect = self._on_disconnect
        client.on_message = functools.partial(self._on_message, routes)
        return client

    def _on_connect(
        self,
        engine: Engine,
        routes: tuple[_Route, ...],
        client: paho.Client,
        _data: Any,
        _flags: Any,
        reason: Any,
        _properties: Any,
    ) -> None:
        if reason.is_failure:
            _LOG.error("the broker refused the issuer: %s", reason)
            return
        client.subscribe([(r.asked.shared_filter, SubscribeOptions(qos=r.asked.qos)) for r in routes])
        try:
            _publish(client, topics.EPOCH, topics.EPOCH.of(), store.newest_epochs(engine)[0].signed)
        except SQLAlchemyError as error:
            # An exception here would end paho's thread, and the issuer would never hear anything again.
            _LOG.warning("no epoch could be repeated to the broker: %s", error)
        _LOG.info("connected to %s:%d", self._host, self._port)
        self.connected.set()

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.connected.clear()
        if not self._stopping.is_set():
            _LOG.warning("the connection to the broker ended: %s", reason)

    def _on_message(
        self, routes: tuple[_Route, ...], _client: paho.Client, _data: Any, message: paho.MQTTMessage
    ) -> None:
        route = next((route for route in routes if route.asked.terminal(message.topic)), None)
        correlation = bytes(getattr(message.properties, "CorrelationData", b"") or b"")
        if route is None or message.retain or len(correlation) != route.correlation:
            _LOG.warning("a message on %r is nothing that the issuer answers", message.topic)
            return
        try:
            self._requests.put_nowait((route, route.asked.terminal(message.topic), correlation, bytes(message.payload)))
        except queue.Full:
            _LOG.error("too many messages: one was dropped")


def _address(broker: str) -> tuple[str, int]:
    try:
        return host_and_port(broker, scheme="mqtts", port=DEFAULT_PORT)
    except ValueError:
        raise IssuerError(f"{broker!r} is not a broker URL: mqtts://host:port") from None


def _no_delay(_client: paho.Client, _data: Any, sock: object) -> None:
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _publish(client: paho.Client, topic: topics.Topic, name: str, payload: bytes, correlation: bytes = b"") -> None:
    properties = _properties(topic.expiry, correlation)
    client.publish(name, payload, qos=topic.qos, retain=topic.retain, properties=properties)


def _properties(expiry: int, correlation: bytes = b"") -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves its constructor untyped
    properties.ContentType = "application/cose"
    if correlation:
        properties.CorrelationData = correlation
    if expiry:
        properties.MessageExpiryInterval = expiry
    return properties


def _connect() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # as above
    properties.ReceiveMaximum = _RECEIVE_MAXIMUM
    return properties
