"""Paper before the camera, again and again: the terminal stops asking, and says when it opens."""

import asyncio
from pathlib import Path

import pytest

from agent.app import running
from agent.biometrics.simulator.camera import SimulatedCamera
from agent.demo import stage
from agent.demo.theatre import paper
from agent.verification.outcome import Outcome, Result
from firmware_bridge.simulator.chip import PassportChip
from firmware_bridge.simulator.person import Person
from firmware_bridge.simulator.personalise import personalise
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.stack import CardStack, missing
from tests.system.places import PORTRAIT

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(missing()), reason=missing() or "-"), pytest.mark.slow]


async def test_after_three_attempts_with_paper_nobody_is_asked_to_turn(tmp_path: Path) -> None:
    state = IssuingState.create()
    state.write_trust(tmp_path / "trust")
    passport = personalise(Person(), PORTRAIT.read_bytes(), state)
    camera = SimulatedCamera(paper(), virtual=True)
    outcomes_seen: list[Outcome] = []
    with CardStack() as cards:
        async with (
            stage.built(tmp_path, tmp_path / "trust", "convenience") as built,
            running(built.settings, frames=lambda: camera) as app,
        ):
            outcomes = app.outcomes.watch()
            await app.ready(20)
            for _ in range(4):
                app.inputs.give(passport.key)
                with cards.card(PassportChip(passport)):
                    outcome = await asyncio.wait_for(outcomes.get(), 60)
                outcomes_seen.append(outcome)
                await app.terminal.empty()
    *tried, locked = outcomes_seen
    # Paper is refused for its own reason, and the issuer has signed that.
    assert all(one.result is Result.REFUSED and one.code.startswith("liveness.") and one.request for one in tried)
    assert (locked.result, locked.code) == (Result.FAILED, "liveness.locked")
