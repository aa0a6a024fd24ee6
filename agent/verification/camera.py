"""The camera's thread: it owns the frame source and the models, and runs one face session at a time.

Everything that blocks (frames, inference) happens in here; the loop sees coroutines with deadlines.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from time import monotonic

from agent.biometrics.camera.source import FrameSource
from agent.biometrics.image import picture_of
from agent.biometrics.liveness.challenge import Challenge
from agent.biometrics.liveness.policy import LivenessPolicy
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.preview import Preview
from agent.biometrics.session import FaceSession
from agent.biometrics.types import Comparison, FaceEvidence, Frame, Guidance, Template
from agent.threads import Worker
from firmware_bridge.scanner.codes import find_codes

#: Seconds without a frame after which the camera counts as gone.
FRAME_TIMEOUT = 2.0
#: Seconds that building the models and opening the camera may take.
OPEN_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the person should see now."""

    guidance: Guidance
    step: int
    steps: int
    held: float
    light: str


@dataclass(slots=True)
class _Devices:
    """What one thread has opened. A thread that is left behind keeps its own, and touches nobody else's."""

    source: FrameSource | None = None
    pipeline: FacePipeline | None = None

    def drop(self) -> None:
        """Close the source; the next call opens it anew."""
        source, self.source = self.source, None
        if source is not None:
            source.close()

    def give_back(self) -> None:
        """`drop` where nobody is left to be told of an error."""
        with suppress(Exception):
            self.drop()


class Camera:
    """A frame source and a face pipeline in one thread of their own."""

    def __init__(self, source: Callable[[], FrameSource], pipeline: Callable[[], FacePipeline]) -> None:
        self._make_source, self._make_pipeline = source, pipeline
        self._devices = _Devices()
        self.worker = Worker("camera")
        self.preview = Preview()
        self._serving = 0

    async def open(self) -> None:
        """Load the models and open the camera, so that the first person does not wait for them."""
        await self.worker.call(OPEN_TIMEOUT, self._opened, self._devices)

    async def capture(
        self,
        policy: LivenessPolicy,
        challenge: Challenge,
        *,
        timeout: float,
        prompt: Callable[[Prompt], None],
        cancel: threading.Event,
        staffed: threading.Event,
    ) -> FaceEvidence:
        """Lead one person through `challenge`; ends after `timeout` seconds or when `cancel` is set.

        When `staffed` is set it ends, too, and the evidence says that the staff goes on. `prompt` is called on the
        loop whenever what the person should do has changed.
        """
        loop = asyncio.get_running_loop()

        def tell(shown: Prompt) -> None:
            loop.call_soon_threadsafe(prompt, shown)

        with self._busy():
            return await self.worker.call(
                timeout + FRAME_TIMEOUT + 1,
                self._capture,
                self._devices,
                policy,
                challenge,
                monotonic() + timeout,
                tell,
                cancel,
                staffed,
            )

    async def compare(self, probe: Template, portrait: bytes, timeout: float) -> Comparison:
        """Compare `probe` with the face in the encoded picture `portrait`."""
        with self._busy():
            return await self.worker.call(timeout, self._compare, self._devices, probe, portrait)

    async def codes(self) -> list[str]:
        """The texts of the codes (QR, PDF417 and others) that somebody holds before the camera now.

        Raises:
            CameraError: it delivers no frames.
            TimeoutError, WorkerStuckError: it hangs.
        """
        with self._busy():
            return await self.worker.call(FRAME_TIMEOUT + OPEN_TIMEOUT, self._codes, self._devices)

    async def look(self, *, preview: bool = False) -> None:
        """Take one frame while nobody is served, for the preview if asked; a camera that had gone is opened again.

        Raises:
            CameraError: it delivers no frames.
            TimeoutError, WorkerStuckError: it hangs.
        """
        if not self._serving:
            opening = 1.0 if self._devices.source else OPEN_TIMEOUT
            await self.worker.call(FRAME_TIMEOUT + opening, self._look, self._devices, preview)

    def renew(self) -> None:
        """Go on in a new thread with a new source: the old thread hangs in its device and is left behind.

        Should it ever come back, it gives that device back: two cannot have a camera.
        """
        self.worker.close(self._devices.give_back)
        self.worker, self._devices = Worker("camera"), _Devices()

    def close(self) -> None:
        """Close the source; the thread ends."""
        self._devices.drop()
        self.worker.close()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self._serving += 1
        try:
            yield
        finally:
            self._serving -= 1

    def _look(self, devices: _Devices, preview: bool) -> None:
        frame = self._frame(devices)
        if preview:
            self.preview.offer(frame)

    def _codes(self, devices: _Devices) -> list[str]:
        return find_codes(picture_of(self._frame(devices)).pixels)

    def _frame(self, devices: _Devices) -> Frame:
        """The next frame; a source that fails is closed, and opened anew by the next call."""
        source, _pipeline = self._opened(devices)
        try:
            return source.read(FRAME_TIMEOUT)
        except Exception:
            devices.drop()
            raise

    def _opened(self, devices: _Devices) -> tuple[FrameSource, FacePipeline]:
        if devices.pipeline is None:
            devices.pipeline = self._make_pipeline()
        if devices.source is None:
            devices.source = self._make_source()
        return devices.source, devices.pipeline

    def _capture(
        self,
        devices: _Devices,
        policy: LivenessPolicy,
        challenge: Challenge,
        end: float,
        tell: Callable[[Prompt], None],
        cancel: threading.Event,
        staffed: threading.Event,
    ) -> FaceEvidence:
        source, pipeline = self._opened(devices)
        # What advice may say is known only for a camera that was calibrated.
        policy = replace(policy, limits=pipeline.advice_limits)
        session = FaceSession(pipeline, policy, challenge, now=monotonic())
        shown: Prompt | None = None
        try:
            while not (session.done or cancel.is_set() or monotonic() > end):
                if staffed.is_set():
                    session.refer_to_staff()
                    break
                frame = source.read(FRAME_TIMEOUT)
                guidance = session.step(frame)
                self.preview.offer(frame)
                progress = session.progress
                now = Prompt(guidance, progress.step, progress.steps, round(progress.held, 1), session.light)
                if now != shown:
                    tell(now)
                    shown = now
            return session.evidence()
        except Exception:
            devices.drop()
            raise
        finally:
            self.preview.clear()

    def _compare(self, devices: _Devices, probe: Template, portrait: bytes) -> Comparison:
        _source, pipeline = self._opened(devices)
        return pipeline.compare(probe, pipeline.enroll(portrait))
