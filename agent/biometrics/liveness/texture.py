"""Frozen texture: the eyes of a picture go with the head as one rigid piece, those of a person never quite.

Looks ahead are laid upon each other, and what is left over the eyes is held against the texture of these eyes. Weak: a
person who stares and a print that is waved give the same readings. Advisory: docs/liveness.md has the rates.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.biometrics.types import Image

Floats = NDArray[np.float32]

#: Where the five landmarks come to lie in the square that is compared, and its eyes.
_SIZE = 96
_PLACES = np.array([[32, 36], [64, 36], [48, 56], [35, 72], [61, 72]], np.float32)
_EYES = (np.s_[28:44, 22:42], np.s_[28:44, 54:74])
_INNER = np.s_[8:88, 16:80]
#: Looks from which on there is anything to say, and the most that are kept.
FEWEST, _MOST = 5, 12


@dataclass(slots=True)
class EyeTexture:
    """The looks of one presentation."""

    _first: Image | None = None
    _looks: list[Floats] = field(default_factory=list)

    def look(self, grey: Image, points: NDArray[np.float32]) -> None:
        """A face that looks ahead: a grey picture (h, w) and the five landmarks."""
        if len(self._looks) >= _MOST:
            return
        place, _ = cv2.estimateAffinePartial2D(points, _PLACES, method=cv2.LMEDS)
        if place is None:
            return
        face = np.asarray(cv2.warpAffine(grey, place, (_SIZE, _SIZE), flags=cv2.INTER_AREA), np.uint8)
        if self._first is None:
            self._first = face
        laid = _laid_upon(self._first, face)
        if laid is not None:
            self._looks.append(_contrast(laid))

    @property
    def score(self) -> float | None:
        """How frozen the eyes are, 0 to 1; None before there are looks enough."""
        if len(self._looks) < FEWEST:
            return None
        looks = np.array(self._looks)
        usual = np.median(looks, axis=0)
        change = np.mean([np.abs(looks - usual)[(slice(None), *eye)].mean(axis=(1, 2)) for eye in _EYES], axis=0)
        texture = np.mean([np.abs(usual[eye]).mean() for eye in _EYES])
        return float(np.clip(1.0 - np.median(change) / max(float(texture), 1e-3), 0.0, 1.0))


def _laid_upon(first: Image, face: Image) -> Image | None:
    """The face where the first one is, as one rigid piece of paper would be; None where they do not fit."""
    if face is first:
        return face
    matrix = np.eye(2, 3, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 1e-3)
    try:
        _, found = cv2.findTransformECC(first, face, matrix, cv2.MOTION_AFFINE, criteria)
    except cv2.error:
        # It did not converge: no two looks at one face.
        return None
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(face, found, (_SIZE, _SIZE), flags=flags), np.uint8)


def _contrast(face: Image) -> Floats:
    """The picture without its light, in units of its own contrast."""
    fine = cv2.GaussianBlur(face.astype(np.float32), (0, 0), 1.0)
    coarse = cv2.GaussianBlur(fine, (0, 0), 12)
    return np.asarray((fine - coarse) / (float(fine[_INNER].std()) + 5.0), np.float32)
