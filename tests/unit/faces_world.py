"""Pictures for the tests of the face pipeline, made of the shipped public-domain portraits."""

from functools import cache
from importlib import resources

import cv2
import numpy as np

from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.types import Frame, Image, PixelFormat

HOLDER_CHIP, HOLDER_LIVE, OTHER = "holder-chip", "holder-live", "other"


@cache
def pipeline() -> FacePipeline:
    return FacePipeline()


def portrait_bytes(name: str) -> bytes:
    return resources.files("firmware_bridge").joinpath("simulator", "portraits", f"{name}.jpg").read_bytes()


@cache
def portrait(name: str) -> Image:
    """The portrait in RGB, 640 x 480 pixels."""
    encoded = np.frombuffer(portrait_bytes(name), np.uint8)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def scene(name: str, size: float = 0.75, x: float = 0.5, y: float = 0.5, room: int = 128) -> Image:
    """A frame of 480 x 640 pixels with the portrait at `size`, its middle at the shares x, y of the frame."""
    picture = cv2.resize(portrait(name), None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
    frame = np.full((480, 640, 3), room, np.uint8)
    left, top = int(640 * x - picture.shape[1] / 2), int(480 * y - picture.shape[0] / 2)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + picture.shape[1], 640), min(top + picture.shape[0], 480)
    frame[y0:y1, x0:x1] = picture[y0 - top : y1 - top, x0 - left : x1 - left]
    return frame


def frame_of(pixels: Image, form: PixelFormat = PixelFormat.RGB) -> Frame:
    return Frame(pixels, form, 0.0, 0)


def nv12_of(pixels: Image) -> Image:
    """The RGB picture as a camera's NV12: rows of Y, then rows of U and V in turn."""
    height, width = pixels.shape[:2]
    planar = cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420)
    chroma = planar[height:].reshape(2, -1)
    interleaved = np.stack([chroma[0], chroma[1]], axis=1).reshape(height // 2, width)
    return np.asarray(np.concatenate([planar[:height], interleaved]), np.uint8)
