"""One verification against parts that hang, and people who change their minds."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import numpy as np
import pytest
import segno

from agent.biometrics.errors import CameraError
from agent.biometrics.liveness.challenge import draw
from agent.biometrics.liveness.policy import POLICIES
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.simulator.actors import Nobody
from agent.biometrics.simulator.camera import SimulatedCamera
from agent.biometrics.types import Frame, PixelFormat
from agent.failures import RenzhengError
from agent.verification.camera import Camera
from agent.verification.case import Policy
from agent.verification.flow import Verifier
from agent.verification.inputs import Inputs
from agent.verification.judge import DocumentPolicy
from agent.verification.outcome import Result
from agent.verification.presenter import Presenter
from agent.verification.screen import Screens, Stage
from agent.wire import claims
from firmware_bridge.document import Document
from firmware_bridge.reader import CanKey, Progress, ReadRequest

LIVENESS = POLICIES["convenience"]
POLICY = Policy(
    document=DocumentPolicy(),
    liveness=LIVENESS,
    relying_party="hotel",
    purpose="check-in",
    software_version="0",
    configuration=claims.ConfigurationId(version=0, sha256=bytes(32)),
    models=(),
    key_timeout=5.0,
    document_timeout=20.0,
    face_timeout=20.0,
    decision_timeout=5.0,
)


class Hanging:
    """A reader that never comes back, whatever it is told."""

    needs_key = False

    def __init__(self) -> None:
        self.reading = asyncio.Event()
        self.left_alone = False

    async def read(self, request: ReadRequest) -> Document:
        self.request = request
        self.reading.set()
        try:
            await asyncio.sleep(60)
        finally:
            self.left_alone = True
        raise AssertionError("nobody waits that long")


class Deaf:
    """An issuer that can be asked, or is away after a turn of the loop."""

    def __init__(self, away: bool = False) -> None:
        self._away = away

    async def reach(self, *, deadline: float) -> None:
        await asyncio.sleep(0)
        if self._away:
            raise RenzhengError("broker.unreachable", "no broker")

    async def verify(
        self, evidence: claims.Evidence, holder: claims.HolderData | None, *, deadline: float
    ) -> claims.Decision:
        raise AssertionError("nothing is asked here")


@pytest.fixture
async def camera() -> AsyncIterator[Camera]:
    camera = Camera(lambda: SimulatedCamera(Nobody()), FacePipeline)
    await camera.open()
    yield camera
    camera.close()


def verifier(camera: Camera, inputs: Inputs, screens: Screens, issuer: Deaf) -> Verifier:
    return Verifier(camera, issuer, Presenter(screens), inputs, POLICY, lambda: draw(LIVENESS))


async def test_a_wish_to_stop_that_came_too_late_does_not_stop_the_next_person() -> None:
    inputs = Inputs()
    nobody = cast("Camera", None)
    inputs.cancel()
    outcome = await verifier(nobody, inputs, Screens(), Deaf(away=True)).verify(Hanging())
    assert outcome.code == "broker.unreachable"


async def test_who_stops_is_told_so_although_the_reader_hangs(camera: Camera) -> None:
    inputs, screens, reader = Inputs(), Screens(), Hanging()
    running = asyncio.create_task(verifier(camera, inputs, screens, Deaf()).verify(reader))
    await reader.reading.wait()
    inputs.cancel()
    outcome = await asyncio.wait_for(running, 10)
    assert (outcome.result, outcome.code) == (Result.FAILED, "verification.cancelled")
    assert screens.current.stage is Stage.TRY_AGAIN
    # Whatever the reader tells after that is about somebody who has gone.
    reader.request.progress(Progress("DG2", 50, 100))
    await asyncio.sleep(0)
    assert screens.current.document == 0.0


async def test_the_end_of_the_agent_is_not_taken_for_the_wish_of_a_person_who_stopped_before(camera: Camera) -> None:
    inputs, reader = Inputs(), Hanging()
    running = asyncio.create_task(verifier(camera, inputs, Screens(), Deaf()).verify(reader))
    await reader.reading.wait()
    inputs.cancel()
    # The flow now gives reader and camera a moment to come back; in it the agent is told to end.
    await asyncio.sleep(0.2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 10)
    await asyncio.sleep(0)
    assert reader.left_alone, "nothing goes on reading for a verification that has ended"


class Shown:
    """A camera that misses its first frame, and then sees a code that somebody holds up."""

    def __init__(self) -> None:
        rows = np.array([*segno.make("CAN:500540", error="m").matrix_iter(scale=4, border=4)], np.uint8)
        self._picture = np.repeat(np.where(rows, 30, 220).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
        self._reads = 0

    def read(self, timeout: float) -> Frame:
        self._reads += 1
        if self._reads == 1:
            raise CameraError("camera.timeout", "no frame in time")
        return Frame(self._picture, PixelFormat.RGB, self._reads / 15, self._reads)

    def close(self) -> None:
        """Nothing to give back."""


async def test_a_frame_that_is_missed_does_not_end_the_look_for_codes() -> None:
    source, reader, inputs = Shown(), Hanging(), Inputs()
    reader.needs_key = True
    camera = Camera(lambda: source, FacePipeline)
    running = asyncio.create_task(verifier(camera, inputs, Screens(), Deaf()).verify(reader))
    await asyncio.wait_for(reader.reading.wait(), 10)
    assert reader.request.key == CanKey("500540")
    inputs.cancel()
    await running
    camera.close()
