"""A whole terminal with its page: simulated chips in pcscd, a rendered person, models, Mosquitto, the issuer."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self, TypeVar

from agent.app import App, running
from agent.biometrics.simulator.actors import Actor, Nobody
from agent.biometrics.simulator.camera import SimulatedCamera
from agent.configuration.schema import Kiosk
from agent.demo import stage
from agent.demo.theatre import documents
from agent.kiosk.pin import hash_pin
from agent.verification.outcome import Outcome
from agent.verification.screen import Screen
from firmware_bridge.simulator.chip import PassportChip
from firmware_bridge.simulator.personalise import Personalisation
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.stack import CardStack, missing
from tests.system.kiosk.stand import PIN

Result = TypeVar("Result")
#: Where this house's staff is.
HELP = "The reception is on your left, behind the stairs."


def needs() -> str:
    """Why no terminal can be built here, or ""."""
    if reason := missing():
        return reason
    return "" if shutil.which("mosquitto", path="/usr/sbin:/usr/bin") else "mosquitto is not installed"


class Terminal:
    """Runs in a thread of its own while the context is open; a person steps up with a passport when told."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="terminal", daemon=True)
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.app.settings.kiosk.port}"

    def begin(self, passport: Personalisation, actor: Callable[[], Actor], *, scan: bool = True) -> "Visit":
        """Somebody steps up and lays a passport on the reader, its data page scanned or not."""
        return Visit(self, passport, actor(), scan=scan)

    def broker(self, *, there: bool) -> None:
        """Take the broker away, or bring it back."""
        if there:
            self.run(self.built.broker.start())
            self.run(self.app.link.wait_connected(30))
        else:
            self.run(self.built.broker.stop())

    async def _start(self) -> None:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="renzheng-page-")))
        self.cards = self._stack.enter_context(CardStack())
        state = IssuingState.create()
        state.write_trust(folder / "trust")
        self.passports = await asyncio.to_thread(documents, state)
        self.built = await self._stack.enter_async_context(stage.built(folder, folder / "trust", "convenience"))
        pin = folder / "operator-pin"
        pin.write_text(hash_pin(PIN), "ascii")
        kiosk = Kiosk(port=stage.free_port(), language="en", operator_pin_file=pin, join_codes=True, help={"en": HELP})
        settings = self.built.settings.model_copy(update={"kiosk": kiosk})
        self.camera = SimulatedCamera(Nobody(), virtual=True)
        self.app: App = await self._stack.enter_async_context(running(settings, frames=lambda: self.camera))
        self.app.screens.listen(self._observe)
        self.outcomes = self.app.outcomes.watch()

    def _observe(self, screen: Screen) -> None:
        if screen.guidance is not None:
            self.camera.observe(screen.guidance, screen.light)


class Visit:
    """One person with one passport."""

    def __init__(self, terminal: Terminal, passport: Personalisation, actor: Actor, *, scan: bool) -> None:
        self._terminal = terminal
        terminal.camera.stage(actor)
        if scan:
            terminal.run(self._scan(passport))
        self._card = terminal.cards.card(PassportChip(passport))
        self._card.__enter__()

    async def _scan(self, passport: Personalisation) -> None:
        self._terminal.app.inputs.give(passport.key)

    def ended(self) -> Outcome:
        """Wait for the outcome; then the person takes the passport and goes."""
        outcome = self._terminal.run(asyncio.wait_for(self._terminal.outcomes.get(), 50))
        self._card.__exit__(None, None, None)
        self._terminal.camera.stage(Nobody())
        self._terminal.run(self._terminal.app.terminal.empty())
        return outcome
