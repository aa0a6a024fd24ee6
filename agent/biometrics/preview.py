"""The picture that the person sees of themselves: the newest frame as a small JPEG, in memory only, gone afterwards."""

import threading
from time import monotonic

import cv2

from agent.biometrics.image import picture_of
from agent.biometrics.types import Frame

WIDTH = 480
INTERVAL = 1 / 12
QUALITY = 70


class Preview:
    """Written by the camera's thread, read by the page; encoded only as often as the page can use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jpeg: bytes | None = None
        self._next = 0.0

    def offer(self, frame: Frame) -> None:
        """Encode `frame`, mirrored as in a looking-glass, if the last picture is old enough."""
        now = monotonic()
        if now < self._next:
            return
        self._next = now + INTERVAL
        picture = picture_of(frame)
        height = picture.height * WIDTH // picture.width
        small = cv2.flip(cv2.resize(picture.pixels, (WIDTH, height), interpolation=cv2.INTER_AREA), 1)
        if not picture.bgr:
            small = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        encoded, jpeg = cv2.imencode(".jpg", small, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
        if encoded:
            with self._lock:
                self._jpeg = jpeg.tobytes()

    def clear(self) -> None:
        """Forget the picture: nobody is being looked at."""
        with self._lock:
            self._jpeg = None

    def newest(self) -> bytes | None:
        """The newest picture as JPEG, or None while no session runs."""
        with self._lock:
            return self._jpeg
