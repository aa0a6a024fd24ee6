"""The composition root: builds the parts from the settings, starts and stops them, nothing else."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from agent import __version__, parts
from agent.biometrics.camera.source import FrameSource
from agent.biometrics.liveness.challenge import Challenge, draw
from agent.biometrics.liveness.policy import POLICIES
from agent.configuration.schema import Settings
from agent.terminal import Terminal
from agent.transport.issuer_client import IssuerClient, mqtt_link
from agent.transport.mqtt import MqttLink
from agent.trust.clock import Clock
from agent.trust.counter import Counter
from agent.verification.camera import Camera
from agent.verification.evidence import model_claims
from agent.verification.flow import Policy, Verifier
from agent.verification.inputs import Inputs
from agent.verification.judge import DocumentPolicy
from agent.verification.outcome import Outcome
from agent.verification.presenter import Presenter
from agent.verification.screen import Screens
from agent.wire.claims import ConfigurationId

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class App:
    """The running terminal, as the page, the demo and the tests see it."""

    settings: Settings
    screens: Screens
    inputs: Inputs
    camera: Camera
    link: MqttLink
    outcomes: "Outcomes"


class Outcomes:
    """How the verifications ended, for those who watch."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Queue[Outcome]] = set()

    async def ended(self, outcome: Outcome) -> None:
        """One more has ended."""
        for queue in self._watchers:
            queue.put_nowait(outcome)

    def watch(self) -> asyncio.Queue[Outcome]:
        """A queue that receives every outcome from now on."""
        queue: asyncio.Queue[Outcome] = asyncio.Queue()
        self._watchers.add(queue)
        return queue


@asynccontextmanager
async def running(settings: Settings, *, frames: Callable[[], FrameSource] | None = None) -> AsyncIterator[App]:
    """Run a terminal while the context is open. `frames` opens another camera than the settings name."""
    async with AsyncExitStack() as stack:
        settings.terminal.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        screens, inputs, outcomes = Screens(), Inputs(), Outcomes()
        camera = Camera(
            frames or (lambda: parts.frame_source(settings.camera)), lambda: parts.face_pipeline(settings.faces)
        )
        stack.callback(camera.close)
        link, client = _connection(settings, stack)
        verifier = Verifier(camera, client, Presenter(screens), inputs, policy(settings), Draw(settings))
        trust = parts.trust_store(settings)
        readers = [parts.reader(reader, trust) for reader in settings.readers]
        for reader in readers:
            stack.callback(reader.close)
        terminal = Terminal(readers, verifier, inputs, beat=lambda _part: None, ended=outcomes.ended)

        link.start()
        stack.push_async_callback(link.stop)
        await camera.open()
        life = asyncio.create_task(terminal.run(), name="terminal")
        stack.push_async_callback(_cancelled, life)
        yield App(settings, screens, inputs, camera, link, outcomes)


def _connection(settings: Settings, stack: AsyncExitStack) -> tuple[MqttLink, IssuerClient]:
    identity = parts.device_identity(settings.identity)
    counter = Counter(settings.terminal.state / "counter.db")
    stack.callback(counter.close)
    link = mqtt_link(identity, settings.broker.urls, online=b"online", offline=b"offline")
    return link, IssuerClient(link, identity, clock=Clock(), counter=counter)


class Draw:
    """Draws a challenge for each person, never the previous one again."""

    def __init__(self, settings: Settings) -> None:
        self._policy = POLICIES[settings.faces.liveness]
        self._previous: Challenge | None = None

    def __call__(self) -> Challenge:
        """The next challenge."""
        self._previous = draw(self._policy, self._previous)
        return self._previous


def policy(settings: Settings) -> Policy:
    """What the settings ask of everyone who comes."""
    bundle = parts.model_bundle(settings.faces)
    return Policy(
        document=DocumentPolicy(
            clone_proof_required=settings.documents.clone_proof == "required",
            accept_expired=settings.documents.accept_expired,
        ),
        liveness=POLICIES[settings.faces.liveness],
        relying_party=settings.terminal.relying_party,
        purpose=settings.terminal.purpose,
        software_version=__version__,
        configuration=ConfigurationId(version=settings.version, sha256=_digest(settings)),
        models=model_claims(parts.model_digests(bundle)),
        key_timeout=settings.deadlines.key,
        document_timeout=settings.deadlines.document,
        face_timeout=settings.deadlines.face,
        decision_timeout=settings.deadlines.decision,
        allow_bac_fallback=settings.documents.allow_bac_fallback,
    )


def _digest(settings: Settings) -> bytes:
    return hashlib.sha256(settings.model_dump_json().encode()).digest()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        log.debug("%s has ended", task.get_name())
