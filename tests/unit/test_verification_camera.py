"""The camera's thread: left behind when its device hangs, and harmless when that device comes back."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import cast

import numpy as np
import pytest

from agent.biometrics.errors import CameraError
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.types import Frame, PixelFormat
from agent.configuration.schema import Settings
from agent.health.state import PartStates
from agent.operator_desk import OperatorDesk
from agent.verification.camera import Camera


class Device:
    """A camera that hangs while it is not `free`, then says that it has gone; or delivers noise."""

    def __init__(self, hangs: bool) -> None:
        self.free, self.closed = threading.Event(), threading.Event()
        self._hangs, self._sequence = hangs, 0

    def read(self, timeout: float) -> Frame:
        if self._hangs:
            self.free.wait(30)
            raise CameraError("camera.gone", "it came back, and is of no use")
        self._sequence += 1
        pixels = np.random.default_rng(self._sequence).integers(90, 110, (48, 64, 3)).astype(np.uint8)
        return Frame(pixels, PixelFormat.RGB, self._sequence / 15, self._sequence)

    def close(self) -> None:
        self.closed.set()


class Rig:
    """A camera that opens a hanging device first and good ones from then on."""

    def __init__(self) -> None:
        self.opened: list[Device] = []
        self.camera = Camera(self._open, FacePipeline)

    def _open(self) -> Device:
        self.opened.append(Device(hangs=not self.opened))
        return self.opened[-1]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.camera.open()
    yield rig
    for device in rig.opened:
        device.free.set()
    rig.camera.close()


async def test_a_thread_that_was_left_behind_and_comes_back_takes_nothing_from_its_successor(rig: Rig) -> None:
    with pytest.raises(TimeoutError):
        await rig.camera.look()
    left_behind = rig.camera.worker
    rig.camera.renew()
    await rig.camera.look(preview=True)
    hung, good = rig.opened
    hung.free.set()
    assert await asyncio.to_thread(hung.closed.wait, 5), "its device is given back"
    async with asyncio.timeout(5):
        while left_behind.stuck:  # noqa: ASYNC110  # the thread comes back when it does
            await asyncio.sleep(0.01)
    await rig.camera.look()
    assert rig.opened == [hung, good]
    assert not good.closed.is_set()


async def test_a_device_that_opens_too_late_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    release, late = threading.Event(), Device(hangs=False)

    def open_slowly() -> Device:
        release.wait(30)
        return late

    camera = Camera(open_slowly, FacePipeline)
    monkeypatch.setattr("agent.verification.camera.OPEN_TIMEOUT", 0.2)
    with pytest.raises(TimeoutError):
        await camera.open()
    camera.renew()
    release.set()
    assert await asyncio.to_thread(late.closed.wait, 5)
    camera.close()


async def test_a_picture_that_was_made_for_the_operator_is_gone_whatever_the_camera_does_then(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.operator_desk.PREVIEW_LIFE", 0.05)
    rig.camera.renew()
    desk = OperatorDesk("lobby-07", cast("Settings", None), PartStates(), rig.camera)
    assert await desk.aim() is not None
    with rig.camera._busy():
        async with asyncio.timeout(5):
            while rig.camera.preview.newest() is not None:  # noqa: ASYNC110  # it goes in silence
                await asyncio.sleep(0.01)
