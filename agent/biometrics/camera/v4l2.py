"""A USB camera through Video4Linux and OpenCV.

OpenCV's read blocks in the driver without a deadline, so a thread of its own reads and keeps only the newest frame: a
frame that is handed out is never one that waited in the driver's queue.
"""

import contextlib
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from agent.biometrics.errors import CameraError
from agent.biometrics.types import Frame, PixelFormat

#: Reads that may fail in a row before the device is taken for gone: some drivers drop a frame when exposure changes.
FAILURES = 5


class V4l2Source:
    """The newest frame of a Video4Linux device."""

    def __init__(self, device: str = "/dev/video0", width: int = 640, height: int = 480) -> None:
        """Open `device` in a mode of `width` x `height`.

        Raises:
            CameraError: `camera.gone`, it cannot be opened; `camera.format`, it has no such mode.
        """
        if not Path(device).exists():
            raise CameraError("camera.gone", f"{device} does not exist")
        self._capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise CameraError("camera.gone", f"{device} cannot be opened: in use, or no camera")
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        got = tuple(int(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if got != (width, height):
            self._capture.release()
            raise CameraError("camera.format", f"{device} offers {got[0]} x {got[1]}, not {width} x {height}")
        self._device = device
        self._fresh = threading.Condition()
        self._newest: Frame | None = None
        self._stop = threading.Event()
        self._gone = False
        self._thread = threading.Thread(target=self._pump, name=f"camera {device}", daemon=True)
        self._thread.start()

    def read(self, timeout: float) -> Frame:
        """The newest frame that was not handed out yet; see `FrameSource.read`."""
        with self._fresh:
            self._fresh.wait_for(lambda: self._newest is not None or self._gone, timeout)
            frame, self._newest = self._newest, None
        if frame is not None:
            return frame
        if self._gone:
            raise CameraError("camera.gone", f"{self._device} delivers no frames any more")
        raise CameraError("camera.timeout", f"{self._device}: no frame within {timeout:g} s")

    def close(self) -> None:
        """Stop reading; the device is given back as soon as the driver returns."""
        self._stop.set()
        with contextlib.suppress(RuntimeError):
            self._thread.join(1.0)

    def _pump(self) -> None:
        sequence, failures = 0, 0
        while not self._stop.is_set() and failures < FAILURES:
            good, pixels = self._capture.read()
            now = time.monotonic()
            failures = 0 if good else failures + 1
            if not good:
                continue
            sequence += 1
            with self._fresh:
                self._newest = Frame(np.asarray(pixels, np.uint8), PixelFormat.BGR, now, sequence)
                self._fresh.notify()
        self._capture.release()
        with self._fresh:
            self._gone = True
            self._fresh.notify()
