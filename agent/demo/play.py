"""The demonstration from its first line to its last: build the stage, play, print, take everything down."""

import asyncio
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console

from agent.app import App, running
from agent.biometrics.simulator.actors import Nobody
from agent.biometrics.simulator.camera import SimulatedCamera
from agent.demo import show, stage
from agent.demo.scenario import Scenario, Seen
from agent.demo.stage import Stage
from agent.demo.theatre import PATIENCE, Theatre, documents
from agent.verification.screen import Screen
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.stack import CardStack


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Send standard error to a log for a while: native libraries write there, and the display would be torn."""
    kept = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


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
        async with AsyncExitStack() as stack:
            built = await stack.enter_async_context(stage.built(folder, trust, liveness, page=keep))
            camera = SimulatedCamera(Nobody(), virtual=True)
            stack.enter_context(_quiet(folder / "agent.log"))
            app = await stack.enter_async_context(running(built.settings, frames=lambda: camera))
            app.screens.listen(lambda screen: _observe(camera, screen))
            theatre = Theatre(built, app, cards, camera, await forging)
            scenarios = theatre.scenarios()
            await app.ready(PATIENCE)
            seen = await _perform(console, app, scenarios)
            ready = all(scenario.agrees(one) for scenario, one in zip(scenarios, seen, strict=True))
            console.print(show.outcomes(scenarios, seen))
            console.print(show.phases(scenarios, seen))
            console.print(f"all in {monotonic() - started:.1f} s, liveness policy {liveness!r}")
            if keep:
                await _kept(console, built)
    return _report(scenarios, seen, ready, monotonic() - started)


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
    page = f"http://127.0.0.1:{built.settings.kiosk.port}/"
    console.print(f"still running: the terminal's page is {page}, the broker listens on 127.0.0.1:{built.port},")
    console.print(f"files are in {built.folder}. Ctrl-C ends it.")
    await asyncio.Event().wait()


def _report(scenarios: Sequence[Scenario], seen: Sequence[Seen], agrees: bool, seconds: float) -> dict[str, Any]:
    rows = [
        {
            "scenario": scenario.title,
            "expected": scenario.expected,
            "seen": one.text,
            "agrees": scenario.agrees(one),
            "phases": {phase: round(took, 4) for phase, took in one.phases.items()},
        }
        for scenario, one in zip(scenarios, seen, strict=True)
    ]
    return {"agrees": agrees, "seconds": round(seconds, 2), "scenarios": rows}
