"""A terminal without a scanner: the key of the chip is a code that the person holds before the camera."""

import asyncio
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import segno

from agent.app import running
from agent.biometrics.simulator.camera import SimulatedCamera
from agent.biometrics.types import Frame, Image, PixelFormat
from agent.demo import stage
from agent.demo.theatre import holder
from agent.verification.outcome import Result
from agent.verification.screen import Screen, Stage
from firmware_bridge.simulator.chip import PassportChip
from firmware_bridge.simulator.person import Person
from firmware_bridge.simulator.personalise import personalise
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.stack import CardStack, missing
from tests.system.places import PORTRAIT

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(missing()), reason=missing() or "-"), pytest.mark.slow]


def sheet(text: str) -> Image:
    """A QR code on grey paper, slightly turned and out of focus, as a camera sees it (480, 640, 3)."""
    matrix = np.array([*segno.make(text, error="m").matrix_iter(scale=4, border=4)], np.uint8)
    paper = np.full((480, 640), 150, np.uint8)
    height, width = matrix.shape
    paper[100 : 100 + height, 200 : 200 + width] = np.where(matrix, 30, 220)
    turned = cv2.warpAffine(paper, cv2.getRotationMatrix2D((320, 240), 8, 1.0), (640, 480), borderValue=150)
    return np.asarray(cv2.cvtColor(cv2.GaussianBlur(turned, (0, 0), 0.8), cv2.COLOR_GRAY2RGB), np.uint8)


class CodeThenPerson(SimulatedCamera):
    """Shows `code` while it is set, the holder otherwise."""

    code: Image | None = None

    def read(self, timeout: float) -> Frame:
        frame = super().read(timeout)
        return frame if self.code is None else replace(frame, pixels=self.code, format=PixelFormat.RGB)


@pytest.mark.parametrize("carries", ["mrz", "can"])
async def test_a_code_before_the_camera_opens_the_chip(tmp_path: Path, carries: str) -> None:
    state = IssuingState.create()
    state.write_trust(tmp_path / "trust")
    person = Person()
    passport = personalise(person, PORTRAIT.read_bytes(), state)
    camera = CodeThenPerson(holder(), virtual=True)
    texts = {"mrz": person.zone(), "can": f"CAN:{passport.profile.can}"}

    def look(screen: Screen) -> None:
        # The person holds the code up when the page asks for it, and puts it down afterwards.
        camera.code = sheet(texts[carries]) if screen.stage is Stage.NEED_KEY else None
        if screen.guidance is not None:
            camera.observe(screen.guidance, screen.light)

    with CardStack() as cards:
        async with (
            stage.built(tmp_path, tmp_path / "trust", "convenience") as built,
            running(built.settings, frames=lambda: camera) as app,
        ):
            app.screens.listen(look)
            outcomes = app.outcomes.watch()
            await app.ready(20)
            with cards.card(PassportChip(passport)):
                outcome = await asyncio.wait_for(outcomes.get(), 60)
    assert (outcome.result, outcome.code) == (Result.VERIFIED, "")
    assert outcome.phases["key"] > 0
