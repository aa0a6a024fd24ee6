"""The actors and the documents of the demonstration, and how they come together."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from agent.app import App
from agent.biometrics.simulator.actors import Actor, Holder, Nobody
from agent.biometrics.simulator.attacks import Paper, Print
from agent.biometrics.simulator.camera import SimulatedCamera
from agent.biometrics.simulator.person import Person as Body
from agent.biometrics.simulator.portraits import LIVE, OTHER, SHIPPED, shipped
from agent.demo import stage
from agent.demo.processes import output
from agent.demo.scenario import Scenario, Seen, told
from agent.demo.stage import Stage
from agent.verification.outcome import Outcome
from firmware_bridge.emrtd.files import GROUPS
from firmware_bridge.simulator.chip import PassportChip
from firmware_bridge.simulator.person import Person
from firmware_bridge.simulator.personalise import Personalisation, personalise
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.stack import CardStack

#: Seconds that a scenario may take before something is wrong with the demonstration itself.
PATIENCE = 60.0
CHIP_PORTRAIT = SHIPPED / "holder-chip.jpg"


@dataclass(frozen=True, slots=True)
class Documents:
    """One genuine passport, and what a forger makes of it."""

    genuine: Personalisation
    cloned: Personalisation
    altered: Personalisation


def documents(state: IssuingState) -> Documents:
    """Make them. A clone has every byte that can be read from the chip, and not its keys."""
    portrait = CHIP_PORTRAIT.read_bytes()
    holder = Person()
    genuine = personalise(holder, portrait, state)
    blank = personalise(holder, portrait, state)
    forged = personalise(replace(holder, surname="SOMEBODY", given_names="ELSE"), portrait, state)
    first = GROUPS[1].fid
    return Documents(
        genuine=genuine,
        cloned=replace(genuine, static=blank.static, active=blank.active),
        altered=genuine.with_file(first, forged.application[first]),
    )


#: How the gate ends for a sheet of paper: it has no profile to show, in one way or another.
PAPER = "refused: liveness.*"


def holder() -> Actor:
    """The person on the chip, in another picture than the chip's."""
    return Holder(Body.of(shipped(LIVE)))


def other() -> Actor:
    """Somebody else."""
    return Holder(Body.of(shipped(OTHER)))


def paper() -> Actor:
    """A printed picture of the holder, tilted as the screen asks."""
    return Print(shipped(LIVE), Paper.TILTED)


Play = Callable[[], Coroutine[Any, Any, Seen]]
Cast = Callable[[], Actor]


class Theatre:
    """Lets somebody step up with a passport, and tells how it ended."""

    def __init__(self, built: Stage, app: App, cards: CardStack, camera: SimulatedCamera, passports: Documents) -> None:
        self._stage, self._app, self._cards = built, app, cards
        self._camera, self._passports = camera, passports
        self._outcomes = app.outcomes.watch()
        #: What the issuer must hold in the end: an event of each verification, a decision on each that asked for one.
        self._ended = self._asked = 0

    def scenarios(self) -> list[Scenario]:
        """What is shown, in order."""
        genuine = self._passports.genuine
        return [
            Scenario("1 the holder", "verified", self._one(genuine, holder)),
            Scenario("2 another person", "refused: face.mismatch", self._one(genuine, other)),
            Scenario("3 a cloned chip", "refused: document.cloned", self._one(self._passports.cloned, holder)),
            Scenario("4 an altered chip", "refused: document.altered", self._one(self._passports.altered, holder)),
            Scenario("5 a printed photo", PAPER, self._one(genuine, paper)),
            Scenario("6 the broker goes away", "failed: broker.unreachable", self._without_broker(genuine, holder)),
            Scenario("7 the broker is back", "verified, each told once", self._reconciled(genuine, holder)),
        ]

    def _one(self, passport: Personalisation, actor: Callable[[], Actor]) -> Callable[[], Coroutine[Any, Any, Seen]]:
        async def verify() -> Seen:
            outcome = await self._verify(passport, actor())
            return Seen(told(outcome), outcome.phases)

        return verify

    async def _verify(self, passport: Personalisation, actor: Actor) -> Outcome:
        """Somebody steps up, scans the data page, lays the passport on the reader, and takes it away again."""
        self._camera.stage(actor)
        self._app.inputs.give(passport.key)
        with self._cards.card(PassportChip(passport)):
            async with asyncio.timeout(PATIENCE):
                outcome = await self._outcomes.get()
        self._ended += 1
        self._asked += bool(outcome.request)
        self._camera.stage(Nobody())
        await self._app.terminal.empty()
        return outcome

    def _without_broker(self, passport: Personalisation, actor: Cast) -> Play:
        async def verify() -> Seen:
            await self._stage.broker.stop()
            outcome = await self._verify(passport, actor())
            return Seen(told(outcome), outcome.phases)

        return verify

    def _reconciled(self, passport: Personalisation, actor: Cast) -> Play:
        """The broker comes back; then the issuer must hold every event of this run once, and each decision once."""

        async def verify() -> Seen:
            await self._stage.broker.start()
            await self._app.ready(PATIENCE)
            outcome = await self._verify(passport, actor())
            await self._app.drained(PATIENCE)
            told_once = await self._told_once()
            return Seen(f"{told(outcome)}, {told_once}", outcome.phases)

        return verify

    async def _told_once(self) -> str:
        shown = await output([stage.tool("renzheng-issuer"), "show", str(self._stage.issuer_folder), "--json"])
        counts = json.loads(shown)
        decided = sum(counts["decisions"].values())
        events = counts["events"].get("verification", 0)
        if decided == self._asked and events == self._ended:
            return "each told once"
        return f"{decided} decisions of {self._asked}, {events} events of {self._ended}"
