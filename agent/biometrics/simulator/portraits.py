"""Portraits for the simulated persons: the shipped ones, or any picture with a face that the detector finds."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

import firmware_bridge
from agent.biometrics.errors import FaceError
from agent.biometrics.image import Picture
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.simulator.texture import Portrait

#: Two pictures of one person, and one of another (see NOTICE beside them).
SHIPPED = Path(firmware_bridge.__file__).parent / "simulator" / "portraits"
CHIP, LIVE, OTHER = "holder-chip", "holder-live", "other"


def read_portrait(path: Path, pipeline: FacePipeline) -> Portrait:
    """A picture and the five landmarks in it. The landmarks place the texture; depth never comes from a network.

    Raises:
        FaceError: `face.image_unreadable`, or `face.none` where no face is found.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise FaceError("face.image_unreadable", "the portrait is not a picture")
    image = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    analysis = pipeline.analyse_still(Picture(image))
    if analysis.face is None:
        raise FaceError("face.none", "no face was found in the portrait")
    return Portrait(image, analysis.face.points)


@cache
def shipped(name: str) -> Portrait:
    """One of the shipped portraits: `holder-chip`, `holder-live` or `other`."""
    return read_portrait(SHIPPED / f"{name}.jpg", FacePipeline())
