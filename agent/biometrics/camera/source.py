"""The one protocol that every source of frames speaks."""

from typing import Protocol

from agent.biometrics.types import Frame


class FrameSource(Protocol):
    """A camera that was opened. It belongs to one thread; `close` may be called from any."""

    def read(self, timeout: float) -> Frame:
        """The next frame, not older than the call by more than one frame time.

        Raises:
            CameraError: `camera.timeout`, none came within `timeout` seconds; `camera.gone`, none will come any more;
                `camera.format`, the pixels are not what was asked for.
        """
        ...

    def close(self) -> None:
        """Give the device back; a second call does nothing."""
        ...
