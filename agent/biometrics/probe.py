"""The picture of the living face that an issuer gets where the terminal cannot compare: the portrait is still sealed.

A resident card's portrait needs a licensed decoder; without one the issuer compares (`HolderData.probe`).
"""

import cv2
import numpy as np

from agent.biometrics.image import picture_of, square_to, warp
from agent.biometrics.types import Face, Frame, Image

#: Pixels on a side, and the side in widths of the face's box: head and some of the shoulders.
SIZE, MARGIN = 320, 1.8
QUALITY = 90


def probe_of(frame: Frame, face: Face) -> Image:
    """The square around `face`, (320, 320, 3) BGR."""
    picture = picture_of(frame)
    x0, y0, x1, y1 = (float(edge) for edge in face.box)
    square = warp(picture, square_to(((x0 + x1) / 2, (y0 + y1) / 2), MARGIN * (x1 - x0), SIZE), SIZE)
    return square if picture.bgr else np.asarray(cv2.cvtColor(square, cv2.COLOR_RGB2BGR), np.uint8)


def to_jpeg(probe: Image) -> bytes:
    """The probe as a JPEG of about 20 kB."""
    _done, encoded = cv2.imencode(".jpg", probe, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    return encoded.tobytes()
