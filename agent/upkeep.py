"""What keeps a running terminal well: looks at camera and broker while nobody is served, and tells how the parts are.

Each loop here beats after it has seen its part make progress, or seen that it is absent and tried to get it back.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent import __version__
from agent.failures import RenzhengError
from agent.health import device
from agent.health.heartbeat import Heartbeats
from agent.health.metrics import Metrics, MetricsServer
from agent.health.notify import Notifier
from agent.health.state import PartState, PartStates
from agent.threads import WorkerStuckError
from agent.transport.errors import TransportError
from agent.transport.issuer_client import IssuerClient
from agent.transport.mqtt import MqttLink
from agent.transport.outbox import Outbox, Priority
from agent.trust.clock import ClockTrust
from agent.verification.camera import OPEN_TIMEOUT, Camera
from agent.verification.reader import Reader
from agent.wire.status import TerminalStatus
from firmware_bridge.errors import BridgeError

log = logging.getLogger(__name__)

#: Seconds between two looks at the camera while nobody is served; one frame costs a millisecond.
CAMERA_LOOK = 3.0
#: A look may have to open the camera; past this the thread hangs.
CAMERA_DEADLINE = OPEN_TIMEOUT + 10.0
#: Seconds between two looks at the link, between two round trips to the broker, and for one of them.
LINK_LOOK, ROUND_TRIP, ROUND_TRIP_TIMEOUT = 1.0, 20.0, 5.0
LINK_DEADLINE = 60.0
#: An issuer that was just reached gets this many seconds for its first epoch.
ISSUER_GRACE = 5.0
#: Seconds between two writes of the health file, which lies on a tmpfs.
REPORT = 5.0
#: Seconds before a port that another program has is asked for again.
PORT_PAUSE = 10.0

Beat = Callable[[], None]


async def open_camera(camera: Camera, states: PartStates) -> None:
    """Load the models and open the camera. A terminal without a camera serves all the same, and says so."""
    try:
        await camera.open()
    except Exception as error:  # noqa: BLE001  # a driver raises what it likes
        states.down("camera", error.code if isinstance(error, RenzhengError) else "camera.gone")
    else:
        states.up("camera")


async def ask_readers(readers: Sequence[Reader], states: PartStates) -> None:
    """Ask each reader once, whenever it has come up, what it is; the self-test shows it."""
    while True:
        for reader in readers:
            part = f"reader {reader.name}"
            known = states.states.get(part)
            if known is None or not known.up or known.about:
                continue
            try:
                if about := await reader.about():
                    states.note(part, about)
            except (BridgeError, TimeoutError, WorkerStuckError) as error:
                log.debug("%s does not say what it is: %s", part, type(error).__name__)
        await asyncio.sleep(REPORT)


async def watch_camera(camera: Camera, states: PartStates, beat: Beat) -> None:
    """Look at the camera for ever; a look that finds it gone is progress, one that hangs is not."""
    while True:
        try:
            await camera.look()
        except (TimeoutError, WorkerStuckError):
            states.down("camera", "camera.gone")
        except Exception as error:  # noqa: BLE001  # a driver raises what it likes; the rest goes on serving
            code = error.code if isinstance(error, RenzhengError) else "camera.gone"
            states.down("camera", code)
            beat()
        else:
            states.up("camera")
            beat()
        await asyncio.sleep(CAMERA_LOOK)


async def watch_link(link: MqttLink, client: IssuerClient, configuration: int, states: PartStates, beat: Beat) -> None:
    """Look at the link for ever. While it claims to be up, a round trip to the broker must prove it now and then.

    The round trip says how the terminal is (`status`); a change is told at the next look.
    """
    loop = asyncio.get_running_loop()
    next_trip, heard, said = 0.0, loop.time(), b""
    while True:
        if not link.connected:
            heard = loop.time()
            # The link goes on trying by itself, with a back-off of its own.
            states.down("broker", "broker.unreachable")
            states.down("issuer", "broker.unreachable")
            beat()
        else:
            states.up("broker")
            if client.epochs.fresh is not None:
                heard = loop.time()
                states.up("issuer")
                if client.clock is ClockTrust.CONTRADICTED:
                    states.down("clock", "clock.contradicted")
                else:
                    states.up("clock")
            elif loop.time() - heard > ISSUER_GRACE:
                states.down("issuer", "issuer.silent")
            told = status(states.states, configuration).encode()
            if (loop.time() >= next_trip or told != said) and await _round_trip(link, told):
                next_trip, said = loop.time() + ROUND_TRIP, told
                beat()
        await asyncio.sleep(LINK_LOOK)


async def serve_metrics(metrics: Metrics, port: int, states: PartStates) -> None:
    """Serve the metrics for ever. A port that another program has is told and asked for again; the rest goes on."""
    while True:
        try:
            server = MetricsServer(metrics, port)
        except OSError:
            states.down("metrics", "health.port")
            await asyncio.sleep(PORT_PAUSE)
        else:
            break
    states.up("metrics")
    try:
        await asyncio.Event().wait()
    finally:
        server.close()


def status(parts: Mapping[str, PartState], configuration: int) -> TerminalStatus:
    """What the retained status says of the parts while we are connected."""
    down = {part: state.code for part, state in sorted(parts.items()) if not state.up}
    return TerminalStatus(
        state="degraded" if down else "online", software=__version__, configuration=configuration, down=down
    )


async def _round_trip(link: MqttLink, told: bytes) -> bool:
    """Say once more how we are: the broker's acknowledgement proves the way in both directions."""
    try:
        await link.announce(told, ROUND_TRIP_TIMEOUT)
    except TransportError as error:
        log.warning("no round trip to the broker: %s", error.code)
        return False
    return True


class Reporter:
    """Tells how the parts are: to systemd, the health file, the metrics, and the issuer."""

    def __init__(
        self,
        states: PartStates,
        heartbeats: Heartbeats,
        metrics: Metrics,
        notifier: Notifier,
        outbox: Outbox,
        *,
        state: Path,
        runtime: Path,
        textfile: Path | None,
        telemetry: float,
        audit_head: Callable[[], str],
    ) -> None:
        """`runtime` is a folder on a tmpfs for the health file."""
        self._states, self._heartbeats = states, heartbeats
        self._metrics, self._notifier, self._outbox = metrics, notifier, outbox
        self._state, self._runtime, self._textfile = state, runtime, textfile
        self._telemetry, self._audit_head = telemetry, audit_head
        self._said = ""
        self._unwritten: set[str] = set()
        states.listen(self._tell_states)

    async def run(self) -> None:
        """Tell for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._telemetry
        while True:
            self._tell()
            if loop.time() >= due:
                due = loop.time() + self._telemetry
                await self._tell_issuer()
            await asyncio.sleep(REPORT)

    def _tell(self) -> None:
        for part, state in self._states.states.items():
            self._metrics.part(part, up=state.up)
        self._metrics.heartbeats(self._heartbeats.ages())
        self._tell_states()
        if (textfile := self._textfile) is not None:
            self._written("the metrics", lambda: self._metrics.write(textfile))

    def _tell_states(self) -> None:
        self._written("the summary", self._tell_summary)
        self._written("the state of health", lambda: self._states.write(self._runtime))

    def _tell_summary(self) -> None:
        if (summary := self._states.summary()) != self._said:
            self._said = summary
            self._notifier.status(summary)

    def _written(self, what: str, write: Callable[[], None]) -> None:
        """Write; of failures in a row the first is a warning, for it comes every few seconds."""
        try:
            write()
        except OSError as error:
            level = logging.DEBUG if what in self._unwritten else logging.WARNING
            self._unwritten.add(what)
            log.log(level, "%s: not written: %s", what, error.strerror)
        else:
            self._unwritten.discard(what)

    async def _tell_issuer(self) -> None:
        values = await asyncio.to_thread(device.measurements, self._state)
        self._metrics.device(values)
        told = {
            "software": __version__,
            "parts": {part: state.code or "up" for part, state in self._states.states.items()},
            "device": dict(values),
            "audit": self._audit_head(),
        }
        try:
            await self._outbox.put("telemetry", json.dumps(told).encode(), Priority.REPORT)
        except RenzhengError as error:
            log.warning("telemetry was not kept: %s", error.code)
