"""The composition root: builds the parts from the settings, starts and stops them, nothing else."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agent import parts
from agent.biometrics.camera.source import FrameSource
from agent.configuration.schema import CameraSettings, Settings, SimulatedSettings
from agent.health.heartbeat import Heartbeats
from agent.health.metrics import Metrics
from agent.health.notify import Notifier
from agent.health.watchdog import Watchdog
from agent.reporting import Reporting
from agent.terminal import Terminal
from agent.transport.issuer_client import IssuerClient, mqtt_link
from agent.transport.mqtt import MqttLink
from agent.transport.outbox import Outbox, OutboxSender
from agent.trust.clock import Clock
from agent.trust.counter import Counter
from agent.verification.camera import Camera
from agent.verification.flow import Verifier
from agent.verification.inputs import Inputs
from agent.verification.presenter import Presenter
from agent.verification.screen import Screen, Screens

log = logging.getLogger(__name__)

#: Seconds within which each critical loop promises progress; a verification itself has its own deadlines.
READER_DEADLINE = 45.0
FLOW_DEADLINE = 150.0


@dataclass(frozen=True, slots=True)
class App:
    """The running terminal, as the page, the demonstration and the tests see it."""

    settings: Settings
    screens: Screens
    inputs: Inputs
    camera: Camera
    link: MqttLink
    outbox: Outbox
    outcomes: Reporting
    terminal: Terminal

    async def drained(self, seconds: float) -> None:
        """Wait until the issuer has every event; raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while (await self.outbox.fill()).rows:  # noqa: ASYNC110  # the issuer empties it, not we
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running(settings: Settings, *, frames: Callable[[], FrameSource] | None = None) -> AsyncIterator[App]:
    """Run a terminal while the context is open. `frames` opens another camera than the settings name."""
    async with AsyncExitStack() as stack:
        state = settings.terminal.state
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        screens, inputs, metrics, clock = Screens(), Inputs(), Metrics(), Clock()
        heartbeats, notifier = Heartbeats(), Notifier()
        identity = parts.device_identity(settings.identity)

        counter = Counter(state / "counter.db")
        stack.callback(counter.close)
        outbox = Outbox(state / "outbox.db", parts.outbox_key(state))
        stack.push_async_callback(outbox.close)
        link = mqtt_link(identity, settings.broker.urls, online=b"online", offline=b"offline")
        client = IssuerClient(link, identity, clock=clock, counter=counter)
        sender = OutboxSender(outbox, link, identity, clock=clock)

        if frames is None:
            frames = _frames(settings.camera, screens)
        camera = Camera(frames, lambda: parts.face_pipeline(settings.faces))
        stack.callback(camera.close)
        trust = parts.trust_store(settings)
        readers = [parts.reader(reader, trust) for reader in settings.readers]
        for reader in readers:
            stack.callback(reader.close)

        outcomes = Reporting(state / "audit", identity.signer, outbox, metrics)
        stack.callback(outcomes.close)
        verifier = Verifier(camera, client, Presenter(screens), inputs, parts.policy(settings), parts.Draw(settings))
        beats = {
            f"reader {reader.name}": heartbeats.register(f"reader {reader.name}", READER_DEADLINE) for reader in readers
        }
        beats["flow"] = heartbeats.register("flow", FLOW_DEADLINE)
        terminal = Terminal(readers, verifier, inputs, beat=lambda part: beats[part].beat(), ended=outcomes.ended)

        link.start()
        stack.push_async_callback(link.stop)
        await camera.open()
        watchdog = Watchdog(heartbeats, notifier, {})
        for name, life in (("terminal", terminal.run()), ("outbox", sender.run()), ("watchdog", watchdog.run())):
            stack.push_async_callback(_end, _begin(name, life))
        notifier.ready("serving")
        stack.callback(notifier.stopping)
        yield App(settings, screens, inputs, camera, link, outbox, outcomes, terminal)


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


def _begin(name: str, life: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(life, name=name)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        log.debug("%s has ended", task.get_name())
