"""A Raspberry Pi camera through picamera2, which comes with the system (python3-picamera2), not from a wheel.

NV12 is what the image signal processor writes without a further conversion. Captures of libcamera can hang: each waits
with a deadline, in picamera2's own thread.
"""

from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import numpy as np

from agent.biometrics.errors import CameraError
from agent.biometrics.types import Frame, Image, PixelFormat


class PicameraSource:
    """Frames of one Raspberry Pi camera, with the sensor's own timestamps."""

    def __init__(self, index: int = 0, width: int = 640, height: int = 480) -> None:
        """Open camera `index` for NV12 frames of `width` x `height`.

        Raises:
            CameraError: `camera.driver`, picamera2 is not there or does not load; `camera.gone`, no such camera.
        """
        try:
            from picamera2 import Picamera2
        # ValueError: an extension of the system that was built for another numpy.
        except (ImportError, ValueError) as error:
            raise CameraError("camera.driver", f"picamera2 does not load: {error}") from error
        self._size = (width, height)
        self._sequence = 0
        try:
            self._camera: Any = Picamera2(index)
            self._camera.configure(
                self._camera.create_video_configuration(main={"size": self._size, "format": "NV12"}, buffer_count=4)
            )
            self._camera.start()
        except (RuntimeError, IndexError) as error:
            raise CameraError("camera.gone", f"camera {index}: {error}") from error

    def read(self, timeout: float) -> Frame:
        """The next frame; see `FrameSource.read`."""
        try:
            job = self._camera.capture_request(wait=False)
            request = self._camera.wait(job, timeout=timeout)
        except (TimeoutError, FutureTimeoutError) as error:
            self._camera.cancel_all_and_flush()
            raise CameraError("camera.timeout", f"no frame within {timeout:g} s") from error
        except RuntimeError as error:
            raise CameraError("camera.gone", f"the camera stopped: {error}") from error
        try:
            # `make_buffer` copies: the camera's own memory goes back to it with the request.
            pixels = trim_nv12(request.make_buffer("main"), self._size, self._stride())
            nanoseconds = request.get_metadata().get("SensorTimestamp", 0)
        finally:
            request.release()
        self._sequence += 1
        return Frame(pixels, PixelFormat.NV12, nanoseconds / 1e9, self._sequence)

    def close(self) -> None:
        """Stop the camera and give it back."""
        self._camera.stop()
        self._camera.close()

    def _stride(self) -> int:
        return int(self._camera.camera_configuration()["main"]["stride"])


def trim_nv12(buffer: Any, size: tuple[int, int], stride: int) -> Image:
    """An NV12 buffer whose rows are padded to `stride` bytes as (h * 3 / 2, w): a view if it has no padding.

    Raises:
        CameraError: `camera.format`, the buffer is shorter than such a picture.
    """
    width, height = size
    rows = height * 3 // 2
    flat = np.frombuffer(buffer, np.uint8) if not isinstance(buffer, np.ndarray) else buffer.reshape(-1)
    if stride < width or flat.size < rows * stride:
        raise CameraError("camera.format", f"{flat.size} bytes for NV12 {width} x {height} with stride {stride}")
    return np.ascontiguousarray(flat[: rows * stride].reshape(rows, stride)[:, :width], np.uint8)
