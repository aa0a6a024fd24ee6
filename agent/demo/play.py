"""The scenarios, played one after the other on one stage."""

import asyncio
import io
import json
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console

from agent.app import App, running
from agent.biometrics.simulator.actors import Actor, Holder, Nobody
from agent.biometrics.simulator.attacks import Paper, Print
from agent.biometrics.simulator.camera import SimulatedCamera
from agent.biometrics.simulator.person import Person as Body
from agent.biometrics.simulator.portraits import LIVE, OTHER, SHIPPED, shipped
from agent.demo import show, stage
from agent.demo.processes import output
from agent.demo.scenario import Scenario, Seen, told
from agent.demo.stage import Stage
from agent.verification.outcome import Outcome
from agent.verification.screen import Screen
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


async def play(*, liveness: str, keep: bool, quiet: bool) -> dict[str, Any]:
    """Play all scenarios; returns what `--json` prints."""
    console = Console(file=io.StringIO() if quiet else None)
    started = monotonic()
    with tempfile.TemporaryDirectory(prefix="renzheng-demo-") as name, CardStack() as cards:
        folder = Path(name)
        state = IssuingState.create()
        trust = folder / "trust"
        state.write_trust(trust)
        forging = asyncio.create_task(asyncio.to_thread(documents, state), name="documents")
        async with stage.built(folder, trust, liveness) as built:
            camera = SimulatedCamera(Nobody(), virtual=True)
            async with running(built.settings, frames=lambda: camera) as app:
                app.screens.listen(lambda screen: _observe(camera, screen))
                theatre = Theatre(built, app, cards, camera, await forging)
                scenarios = theatre.scenarios()
                seen = await _perform(console, app, scenarios)
                ready = all(scenario.agrees(one) for scenario, one in zip(scenarios, seen, strict=True))
                console.print(show.outcomes(scenarios, seen))
                console.print(show.phases(scenarios, seen))
                console.print(f"all in {monotonic() - started:.1f} s, liveness policy {liveness!r}")
                if keep:
                    await _kept(console, built)
    return _report(scenarios, seen, ready, monotonic() - started)


class Theatre:
    """The actors and the documents, and how they come together."""

    def __init__(self, built: Stage, app: App, cards: CardStack, camera: SimulatedCamera, passports: Documents) -> None:
        self._stage, self._app, self._cards = built, app, cards
        self._camera, self._passports = camera, passports
        self._outcomes = app.outcomes.watch()

    def scenarios(self) -> list[Scenario]:
        """What is shown, in order."""
        genuine = self._passports.genuine
        holder, other = (lambda: Holder(Body.of(shipped(LIVE)))), (lambda: Holder(Body.of(shipped(OTHER))))
        paper = lambda: Print(shipped(LIVE), Paper.TILTED)  # noqa: E731  # one of three of a kind
        return [
            Scenario("1 the holder", ("verified",), self._one(genuine, holder)),
            Scenario("2 another person", ("refused: face.mismatch",), self._one(genuine, other)),
            Scenario("3 a cloned chip", ("refused: document.cloned",), self._one(self._passports.cloned, holder)),
            Scenario("4 an altered chip", ("refused: document.altered",), self._one(self._passports.altered, holder)),
            Scenario("5 a printed photo", PRINT_ENDINGS, self._one(genuine, paper)),
            Scenario("6 the broker goes away", ("failed: broker.unreachable",), self._without_broker(genuine, holder)),
            Scenario("7 the broker is back", ("verified, each told once",), self._reconciled(genuine, holder)),
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
            outcome = await asyncio.wait_for(self._outcomes.get(), PATIENCE)
        self._camera.stage(Nobody())
        await self._app.terminal.empty()
        return outcome

    def _without_broker(
        self, passport: Personalisation, actor: Callable[[], Actor]
    ) -> Callable[[], Coroutine[Any, Any, Seen]]:
        async def verify() -> Seen:
            await self._stage.broker.stop()
            outcome = await self._verify(passport, actor())
            return Seen(told(outcome), outcome.phases)

        return verify

    def _reconciled(
        self, passport: Personalisation, actor: Callable[[], Actor]
    ) -> Callable[[], Coroutine[Any, Any, Seen]]:
        """The broker comes back; then the issuer must hold every event of this run once, and each decision once."""

        async def verify() -> Seen:
            await self._stage.broker.start()
            await self._app.link.wait_connected(PATIENCE)
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
        if decided == DECISIONS and events == VERIFICATIONS:
            return "each told once"
        return f"{decided} decisions of {DECISIONS}, {events} events of {VERIFICATIONS}"


#: How the gate ends for a sheet of paper that is tilted: it has no profile to show.
PRINT_ENDINGS = ("refused: liveness.attack", "refused: liveness.person_changed", "failed: liveness.person_changed")
#: Verifications of one run, and those of them that reach the issuer: all but the one without a broker, and the print,
#: whose evidence is not conclusive.
VERIFICATIONS = 7
DECISIONS = 5


def _observe(camera: SimulatedCamera, screen: Screen) -> None:
    """The person before the camera reads the screen."""
    if screen.guidance is not None:
        camera.observe(screen.guidance, screen.light)


async def _perform(console: Console, app: App, scenarios: Sequence[Scenario]) -> list[Seen]:
    display = show.Show(console, [scenario.title for scenario in scenarios])
    app.screens.listen(display.screen)
    seen = []
    with display.running():
        for number, scenario in enumerate(scenarios):
            display.begin(number)
            try:
                one = await scenario.play()
            except TimeoutError:
                one = Seen(f"nothing within {PATIENCE:.0f} s")
            seen.append(one)
            display.end(number, one, agrees=scenario.agrees(one))
    return seen


async def _kept(console: Console, built: Stage) -> None:
    console.print(f"still running, in {built.folder}; the broker listens on 127.0.0.1:{built.port}. Ctrl-C ends it.")
    await asyncio.Event().wait()


def _report(scenarios: Sequence[Scenario], seen: Sequence[Seen], agrees: bool, seconds: float) -> dict[str, Any]:
    rows = [
        {
            "scenario": scenario.title,
            "expected": list(scenario.expected),
            "seen": one.text,
            "agrees": scenario.agrees(one),
            "phases": {phase: round(took, 4) for phase, took in one.phases.items()},
        }
        for scenario, one in zip(scenarios, seen, strict=True)
    ]
    return {"agrees": agrees, "seconds": round(seconds, 2), "scenarios": rows}
