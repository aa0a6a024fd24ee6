"""Paper before the camera, again and again: the terminal stops asking, and says when it opens."""

import asyncio
from pathlib import Path

import pytest

from agent.app import running
from agent.biometrics.simulator.camera import SimulatedCamera
from agent.demo import stage
from agent.demo.theatre import paper
from agent.verification.outcome import Result
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
    codes = []
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
                assert outcome.result is not Result.VERIFIED
                codes.append(outcome.code)
                await app.terminal.empty()
    assert all(code.startswith("liveness.") for code in codes)
    assert "liveness.locked" not in codes[:3]
    assert codes[3] == "liveness.locked"
