"""The composition root: builds the parts from the settings, starts and stops them, nothing else."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import time
from typing import Any

from agent import __version__, parts, remote, remote_models, upkeep
from agent.biometrics.camera.source import FrameSource
from agent.configuration.schema import CameraSettings, Kiosk, ReaderSettings, Settings, SimulatedSettings
from agent.health import events, runtime
from agent.health.echo import answering
from agent.health.heartbeat import Heartbeat, Heartbeats
from agent.health.metrics import Metrics
from agent.health.notify import Notifier
from agent.health.state import PartStates
from agent.health.watchdog import Restart, Watchdog
from agent.kiosk.fault import standing_fault
from agent.kiosk.join import device_join_code
from agent.kiosk.server import KioskServer
from agent.operator_desk import OperatorDesk, pin_hash
from agent.remote import Steward
from agent.reporting import Reporting
from agent.terminal import Terminal
from agent.transport.echo import Echo
from agent.transport.issuer_client import IssuerClient, mqtt_link
from agent.transport.mqtt import MqttLink
from agent.transport.outbox import Outbox, OutboxSender
from agent.trust.clock import Clock
from agent.trust.counter import Counter
from agent.trust.identity import DeviceIdentity
from agent.verification.camera import Camera
from agent.verification.flow import Verifier
from agent.verification.inputs import Inputs
from agent.verification.presenter import Presenter
from agent.verification.reader import Reader
from agent.verification.screen import Screen, Screens
from agent.wire.status import TerminalStatus

log = logging.getLogger(__name__)

#: Seconds beyond its own longest step within which a critical loop promises progress.
MARGIN = 15.0
#: Seconds that the issuer has for the self-test's question.
ECHO_TIMEOUT = 3.0


@dataclass(frozen=True, slots=True)
class App:
    """The running terminal, as the page, the demonstration and the tests see it."""

    settings: Settings
    screens: Screens
    inputs: Inputs
    camera: Camera
    link: MqttLink
    issuer: IssuerClient
    outbox: Outbox
    outcomes: Reporting
    terminal: Terminal

    async def ready(self, seconds: float) -> None:
        """Wait until a verification could reach the issuer; raises RenzhengError."""
        await self.issuer.reach(deadline=asyncio.get_running_loop().time() + seconds)

    async def drained(self, seconds: float) -> None:
        """Wait until the issuer has every event; raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while (await self.outbox.fill()).rows:  # noqa: ASYNC110  # the issuer empties it, not we
                await asyncio.sleep(0.05)


@dataclass(frozen=True, slots=True)
class _Wire:
    """Everything between the terminal and the issuer. The link is not started yet."""

    identity: DeviceIdentity
    link: MqttLink
    client: IssuerClient
    outbox: Outbox
    sender: OutboxSender


@asynccontextmanager
async def running(
    settings: Settings, *, frames: Callable[[], FrameSource] | None = None, steward: Steward | None = None
) -> AsyncIterator[App]:
    """Run a terminal while the context is open.

    `frames` opens another camera than the settings name. With a `steward` the terminal takes settings and commands from
    afar; without one (the demonstration) it does not.
    """
    async with AsyncExitStack() as stack:
        state = settings.terminal.state
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        runtime.leave_word(state)
        screens, inputs, metrics, clock = Screens(), Inputs(), Metrics(), Clock()
        heartbeats, notifier = Heartbeats(), Notifier()
        configuration = 0 if steward is None else steward.in_force.number
        wire = _connect(settings, clock, configuration, stack)

        if frames is None:
            frames = _frames(settings.camera, screens)
        camera = Camera(frames, lambda: parts.face_pipeline(settings.faces))
        stack.callback(camera.close)
        trust = parts.trust_store(settings)
        readers = [parts.reader(reader, trust) for reader in settings.readers]
        for reader in readers:
            stack.callback(reader.close)

        outcomes = Reporting(state / "audit", wire.identity.signer, wire.outbox, metrics)
        stack.callback(outcomes.close)
        verifier = Verifier(
            camera,
            wire.client,
            Presenter(screens),
            inputs,
            parts.policy(settings, None if steward is None else steward.in_force),
            parts.Draw(settings),
        )
        states = PartStates()
        beats = _heartbeats(settings, heartbeats)
        terminal = Terminal(
            readers, verifier, inputs, beat=lambda part: beats[part].beat(), states=states, ended=outcomes.ended
        )
        reporter = upkeep.Reporter(
            states,
            heartbeats,
            metrics,
            notifier,
            wire.outbox,
            state=state,
            runtime=runtime.folder(),
            textfile=settings.health.textfile,
            telemetry=settings.health.telemetry,
            audit_head=lambda: outcomes.head,
        )
        desk = OperatorDesk(wire.identity.terminal, settings, states, camera)
        if settings.kiosk.enabled:
            kiosk = _kiosk(settings.kiosk, screens, inputs, camera, desk, wire.identity, states)
            await kiosk.start()
            stack.push_async_callback(kiosk.close)

        afar = [] if steward is None else _from_afar(steward, wire, screens, clock)
        echo = Echo(wire.link, wire.identity, clock=clock)
        wire.link.start()
        stack.push_async_callback(wire.link.stop)
        await stack.enter_async_context(answering(runtime.folder(), lambda: echo.ask(ECHO_TIMEOUT)))
        await upkeep.open_camera(camera, states)
        restarts = _restarts(settings, readers, camera, wire.link)
        watchdog = Watchdog(heartbeats, notifier, restarts, restarted=metrics.restarted)
        lives = [
            ("terminal", terminal.run()),
            ("outbox", wire.sender.run()),
            ("camera", upkeep.watch_camera(camera, states, beats["camera"].beat)),
            ("broker", upkeep.watch_link(wire.link, wire.client, configuration, states, beats["broker"].beat)),
            ("reporter", reporter.run()),
            ("readers", upkeep.ask_readers(readers, states)),
            ("desk", desk.follow(outcomes.watch())),
            ("watchdog", watchdog.run()),
            *afar,
        ]
        if (port := settings.health.metrics_port) is not None:
            lives.append(("metrics", upkeep.serve_metrics(metrics, port, states)))
        for name, life in lives:
            stack.push_async_callback(_end, begin(name, life, watchdog.fail))
        await asyncio.sleep(0)  # every loop takes its first look, so that READY brings a true status
        events.emit(events.STARTED, version=__version__)
        notifier.ready(states.summary())
        stack.callback(notifier.stopping)
        yield App(settings, screens, inputs, camera, wire.link, wire.client, wire.outbox, outcomes, terminal)


def _connect(settings: Settings, clock: Clock, configuration: int, stack: AsyncExitStack) -> _Wire:
    state = settings.terminal.state
    identity = parts.device_identity(settings.identity)
    counter = Counter(state / "counter.db")
    stack.callback(counter.close)
    outbox = Outbox(state / "outbox.db", parts.outbox_key(state))
    stack.push_async_callback(outbox.close)
    starting, gone = (
        TerminalStatus(state=state, software=__version__, configuration=configuration).encode()
        for state in ("starting", "offline")
    )
    link = mqtt_link(identity, settings.broker.urls, online=starting, offline=gone, keepalive=settings.broker.keepalive)
    client = IssuerClient(link, identity, clock=clock, counter=counter)
    return _Wire(identity, link, client, outbox, OutboxSender(outbox, link, identity, clock=clock))


def _from_afar(
    steward: Steward, wire: _Wire, screens: Screens, clock: Clock
) -> list[tuple[str, Coroutine[Any, Any, None]]]:
    changes = remote.configuration(steward, wire.link, wire.outbox, screens, wire.identity, clock)
    orders = remote.commands(steward, wire.client, wire.link, wire.outbox, screens, wire.identity, changes)
    models = remote_models.bundles(steward, wire.link, wire.outbox, screens, wire.identity, clock)
    return [("configuration", changes.run()), ("commands", orders.run()), ("models", models.run())]


def _heartbeats(settings: Settings, heartbeats: Heartbeats) -> dict[str, Heartbeat]:
    """The critical loops, each with what its longest step may take."""
    limits = settings.deadlines
    longest = max(limits.key, limits.document, limits.face, limits.decision)
    deadlines = {f"reader {reader.name}": limits.document + MARGIN for reader in settings.readers}
    # One verification is a handful of steps, each within its own deadline.
    deadlines |= {"flow": 3 * longest + MARGIN, "camera": upkeep.CAMERA_DEADLINE, "broker": upkeep.LINK_DEADLINE}
    return {name: heartbeats.register(name, seconds) for name, seconds in deadlines.items()}


def _restarts(settings: Settings, readers: list[Reader], camera: Camera, link: MqttLink) -> dict[str, Restart]:
    """How each part is started anew when its loop hangs."""

    def again(reader: Reader, of: ReaderSettings) -> Restart:
        async def restart() -> None:
            # A country's lists take a while to load.
            trust = await asyncio.to_thread(parts.trust_store, settings)
            reader.adopt(parts.reader(of, trust))

        return restart

    async def renew_camera() -> None:
        camera.renew()

    async def renew_link() -> None:
        await link.stop()
        link.start()

    named = zip(readers, settings.readers, strict=True)
    return {
        **{f"reader {reader.name}": again(reader, of) for reader, of in named},
        "camera": renew_camera,
        "broker": renew_link,
    }


def _kiosk(
    settings: Kiosk,
    screens: Screens,
    inputs: Inputs,
    camera: Camera,
    desk: OperatorDesk,
    identity: DeviceIdentity,
    states: PartStates,
) -> KioskServer:
    join = device_join_code(identity.terminal, identity.issuer.name, identity.signer) if settings.join_codes else None
    return KioskServer(
        screens,
        inputs,
        camera.preview.newest,
        desk,
        port=settings.port,
        language=settings.language,
        pin_hash=pin_hash(settings.operator_pin_file),
        join=join,
        fault=lambda: standing_fault(states.states, time()),
        help_at=settings.help,
    )


def _frames(settings: CameraSettings, screens: Screens) -> Callable[[], FrameSource]:
    """What opens the camera. A simulated person reads the screen; a real one needs no help."""
    if not isinstance(settings, SimulatedSettings):
        return lambda: parts.frame_source(settings)
    camera = parts.simulated_camera(settings)

    def read(screen: Screen) -> None:
        if screen.guidance is not None:
            camera.observe(screen.guidance, screen.light)

    screens.listen(read)
    return lambda: camera


def begin(name: str, life: Coroutine[Any, Any, None], failed: Callable[[str], None]) -> asyncio.Task[None]:
    """Start a loop. None ends by itself: one that does is told, and takes the process with it."""

    def ended(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        # One that nobody has cancelled has ended by itself, also when it returns or a cancellation inside it escapes.
        if error is not None or not task.cancelling():
            log.error("%s ended", name, exc_info=error)
            failed(name)

    task = asyncio.create_task(life, name=name)
    task.add_done_callback(ended)
    return task


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
