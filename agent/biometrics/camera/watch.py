"""Does this stream behave like a camera? A real sensor never gives the same picture twice, and its time goes on.

Catches a hung driver and the plainest injections (a loop device that shows a file). It proves nothing more: a replayed
video has noise of its own.
"""

import zlib

from agent.biometrics.camera.source import FrameSource
from agent.biometrics.errors import CameraError
from agent.biometrics.types import Frame

#: Equal pictures in a row that are still put down to a driver that repeats a frame under load.
REPEATS = 4
#: Frames whose timestamps did not advance.
STANDSTILLS = 4


class WatchedSource:
    """Hands the frames of another source through and raises when they stop being a camera's."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._mark = -1
        self._time = float("-inf")
        self._repeats = 0
        self._standstills = 0

    def read(self, timeout: float) -> Frame:
        """The next frame of the watched source.

        Raises:
            CameraError: `camera.frozen`, besides what the source raises.
        """
        frame = self._source.read(timeout)
        # Every fourth row suffices: noise touches all of them, and a hash of the whole frame costs a millisecond.
        mark = zlib.crc32(frame.pixels[::4].tobytes())
        self._repeats = self._repeats + 1 if mark == self._mark else 0
        self._standstills = self._standstills + 1 if frame.timestamp <= self._time else 0
        self._mark, self._time = mark, max(frame.timestamp, self._time)
        if self._repeats >= REPEATS:
            raise CameraError("camera.frozen", f"the same picture {self._repeats + 1} times in a row")
        if self._standstills >= STANDSTILLS:
            raise CameraError("camera.frozen", "the timestamps of the frames do not advance")
        return frame

    def close(self) -> None:
        """Close the watched source."""
        self._source.close()
