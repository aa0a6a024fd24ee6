"""Pixels of a frame as a network wants them, with as few copies as can be.

A `Picture` is a view of a frame's own memory (NV12 is converted once). Every stage warps its small square straight out
of it; only the square is reordered to RGB and turned into float32.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.biometrics.manifest import InputContract
from agent.biometrics.types import Frame, Image, PixelFormat

Matrix = NDArray[np.float64]
Points = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Picture:
    """Pixels (h, w, 3) and whether their order is blue, green, red."""

    pixels: Image
    bgr: bool = False

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])


def picture_of(frame: Frame) -> Picture:
    """A view of `frame`; NV12 is converted to RGB, the others are not copied.

    Raises:
        ValueError: the array's shape does not fit its format.
    """
    pixels = frame.pixels
    if frame.format is PixelFormat.NV12:
        if pixels.ndim != 2 or pixels.shape[0] % 3 or pixels.shape[1] % 2:
            raise ValueError(f"NV12 pixels of shape {pixels.shape}")
        return Picture(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_NV12), np.uint8))
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"{frame.format} pixels of shape {pixels.shape}")
    return Picture(pixels, bgr=frame.format is PixelFormat.BGR)


def square_to(centre: tuple[float, float], side: float, size: int, roll: float = 0.0) -> Matrix:
    """The 2 x 3 map from a frame to a `size` pixel square around `centre`, turned so that `roll` (radians) vanishes."""
    scale = size / side
    cosine, sine = scale * np.cos(roll), scale * np.sin(roll)
    x, y = centre
    return np.array(
        [
            [cosine, sine, size / 2 - cosine * x - sine * y],
            [-sine, cosine, size / 2 + sine * x - cosine * y],
        ]
    )


def warp(picture: Picture, matrix: Matrix, size: int, border: int = cv2.BORDER_REPLICATE) -> Image:
    """The RGB square of `size` pixels that `matrix` (frame to square) cuts out.

    Shrinking by two or more averages the pixels of the wanted region first, and of no other: bilinear samples of a
    large face would alias.
    """
    shrink = 1.0 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    source, matrix = _region(picture.pixels, matrix, size)
    if shrink >= 2.0:
        factor = 1.0 / np.floor(shrink)
        source = np.asarray(cv2.resize(source, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
        # Pixel centres: a reduced pixel u covers the originals around (u + 1/2) / factor - 1/2.
        inner = matrix[:, :2] / factor
        matrix = np.column_stack([inner, matrix[:, 2] + matrix[:, :2] @ np.full(2, (1 / factor - 1) / 2)])
    square = cv2.warpAffine(source, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
    if picture.bgr:
        cv2.cvtColor(square, cv2.COLOR_BGR2RGB, dst=square)
    return np.asarray(square, np.uint8)


def _region(pixels: Image, matrix: Matrix, size: int) -> tuple[Image, Matrix]:
    """A view of the rows and columns that the square reaches, and the map from that view."""
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) @ inverse[:, :2].T + inverse[:, 2]
    height, width = pixels.shape[:2]
    left, top = np.clip(np.floor(corners.min(0)) - 2, 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0)) + 3, [left + 1, top + 1], [width, height]).astype(int)
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ np.array([left, top])
    return pixels[top:bottom, left:right], moved


def tensor_of(square: Image, contract: InputContract) -> NDArray[np.float32]:
    """The square as the network's input, (1, n, n, 3) float32 in its value range and colour order."""
    pixels = square[:, :, ::-1] if contract.colour == "BGR" else square
    if contract.transposed:
        pixels = pixels.transpose(1, 0, 2)
    values = np.multiply(pixels, np.float32(1.0 / contract.scale), dtype=np.float32)
    values -= np.float32(contract.offset / contract.scale)
    return values[np.newaxis]
