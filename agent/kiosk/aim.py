"""How well the camera is aimed, measured on its preview: light and sharpness, for whoever turns the lens."""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError


@dataclass(frozen=True, slots=True)
class Aim:
    """One reading. `light` is the mean luma, 0..1; `clipped` the share of pixels that are blown out or black, 0..1;
    `sharpness` the standard deviation of the Laplacian, in grey levels: it has no scale, turn the lens to its peak.
    """

    light: float
    clipped: float
    sharpness: float


#: A preview is small; anything larger is not one.
_MOST_PIXELS = 1280 * 960


def measure(jpeg: bytes) -> Aim | None:
    """The reading of one preview picture, or None if it is not a picture of a preview's size."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                return None
            luma = np.asarray(picture.convert("L"))
    except (UnidentifiedImageError, OSError):
        return None
    return Aim(
        light=round(float(luma.mean()) / 255, 3),
        clipped=round(float(((luma <= 4) | (luma >= 251)).mean()), 3),
        sharpness=round(float(cv2.Laplacian(luma, cv2.CV_32F).std()), 2),
    )
