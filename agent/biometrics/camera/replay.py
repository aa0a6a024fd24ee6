"""Frames from a folder of pictures or a video file, at the pace of a camera: for simulators, demonstrations, tests."""

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from agent.biometrics.decode import decode_file
from agent.biometrics.errors import CameraError, FaceError
from agent.biometrics.types import Frame, Image, PixelFormat

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".jp2"}


class ReplaySource:
    """Plays pictures in the order of their names, or the frames of a video."""

    def __init__(self, path: Path, rate: float = 15.0, loop: bool = True) -> None:
        """Open `path`; `rate` is in frames a second (0: as fast as they are asked for).

        Raises:
            CameraError: `camera.gone`, there is nothing to play.
        """
        self._path = path
        self._loop = loop
        self._interval = 1.0 / rate if rate else 0.0
        self._pictures = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES) if path.is_dir() else []
        if path.is_dir() and not self._pictures:
            raise CameraError("camera.gone", f"{path} holds no picture")
        if not path.exists():
            raise CameraError("camera.gone", f"{path} does not exist")
        self._frames = self._play()
        self._due = time.monotonic()
        self._sequence = 0
        self._closed = False

    def read(self, timeout: float) -> Frame:
        """The next picture, when it is due; see `FrameSource.read`."""
        if self._closed:
            raise CameraError("camera.gone", "the replay was closed")
        wait = self._due - time.monotonic()
        if wait > timeout:
            time.sleep(timeout)
            raise CameraError("camera.timeout", "no frame is due yet")
        if wait > 0:
            time.sleep(wait)
        pixels, order = self._next()
        now = time.monotonic()
        # A reader that is slow misses frames, as it would with a camera; it never gets a burst.
        self._due = max(self._due + self._interval, now)
        self._sequence += 1
        return Frame(pixels, order, now, self._sequence)

    def close(self) -> None:
        """End the replay."""
        self._closed = True

    def _next(self) -> tuple[Image, PixelFormat]:
        try:
            return next(self._frames)
        except StopIteration:
            raise CameraError("camera.gone", f"{self._path}: the replay has ended") from None

    def _play(self) -> Iterator[tuple[Image, PixelFormat]]:
        played = True
        while played:
            played = False
            for frame in self._pictures_once() if self._pictures else video_frames(self._path):
                played = True
                yield frame
            if not self._loop:
                return

    def _pictures_once(self) -> Iterator[tuple[Image, PixelFormat]]:
        for path in self._pictures:
            try:
                yield decode_file(path), PixelFormat.RGB
            except FaceError as error:
                raise CameraError("camera.format", str(error.args[0])) from error


def video_frames(path: Path) -> Iterator[tuple[Image, PixelFormat]]:
    """The frames of a video file, as BGR.

    Raises:
        CameraError: `camera.format`, the file is no video that can be decoded.
    """
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise CameraError("camera.format", f"{path} is no video that can be decoded")
        while True:
            good, pixels = capture.read()
            if not good:
                return
            yield np.asarray(pixels, np.uint8), PixelFormat.BGR
    finally:
        capture.release()
