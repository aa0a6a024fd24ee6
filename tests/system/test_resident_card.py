"""A resident identity card: its portrait is sealed for those with a licence, so the issuer has to compare."""

import asyncio
from pathlib import Path

import pytest

from agent.app import running
from agent.biometrics.simulator.camera import SimulatedCamera
from agent.configuration.schema import SamvSettings
from agent.demo import stage
from agent.demo.theatre import holder
from agent.verification.outcome import Result
from agent.verification.screen import Screen
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.samv import SimulatedSamv, resident
from firmware_bridge.simulator.stack import missing

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(missing()), reason=missing() or "-"), pytest.mark.slow]


async def test_without_a_decoder_the_issuer_says_that_nobody_compared(tmp_path: Path) -> None:
    IssuingState.create().write_trust(tmp_path / "trust")
    camera = SimulatedCamera(holder(), virtual=True)

    def read(screen: Screen) -> None:
        if screen.guidance is not None:
            camera.observe(screen.guidance, screen.light)

    with SimulatedSamv() as module:
        async with stage.built(tmp_path, tmp_path / "trust", "convenience") as built:
            readers = (SamvSettings(type="samv", port=str(module.path)),)
            settings = built.settings.model_copy(update={"readers": readers})
            async with running(settings, frames=lambda: camera) as app:
                app.screens.listen(read)
                outcomes = app.outcomes.watch()
                await app.ready(20)
                module.insert(resident())
                outcome = await asyncio.wait_for(outcomes.get(), 60)
    # The reference issuer has no decoder either: it refuses for that reason, and for no other.
    assert (outcome.result, outcome.code) == (Result.REFUSED, "issuer.refused.uncompared")
    assert outcome.reasons == ("issuer.refused.uncompared",)
    assert outcome.similarity is None
