"""Borders of paper and screens near the face: long straight lines on three sides of it.

Rooms are full of straight lines, and a door frame stands on one side of a head or on two; a sheet or a telephone that
shows a face has an edge on three sides at least. Advisory: docs/liveness.md has the rates, and what they are worth.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.biometrics.types import Image

Floats = NDArray[np.float64]

#: What is looked at: a square of so many face sides, drawn with so many pixels a side.
_REACH, _SIZE = 3.2, 240
#: All lengths from here on in face sides. The shortest piece of a line that is looked at.
_PIECE = 0.12
#: Pieces whose ends lie this near to one line are one line.
_STRAIGHT = 0.03
#: How far from the middle of the face an edge may lie: nearer is the face itself.
_NEAREST, _FARTHEST = 0.45, 1.5
#: An edge leans by no more than this from the upright or the level, degrees.
_LEAN = 30.0


@dataclass(frozen=True, slots=True)
class Borders:
    """The longest straight line on each side of a face, in face sides."""

    left: float = 0.0
    right: float = 0.0
    above: float = 0.0
    below: float = 0.0

    @property
    def score(self) -> float:
        """The third longest: a frame around the face has at least three edges."""
        return sorted((self.left, self.right, self.above, self.below))[1]


def borders_of(grey: Image, box: NDArray[np.float32]) -> Borders:
    """The borders around the face in `box` (left, top, right, bottom) of a grey picture (h, w)."""
    pieces = _pieces(grey, box)
    along = pieces[:, 2:] - pieces[:, :2]
    length = np.linalg.norm(along, axis=1)
    long = length > _PIECE
    pieces, along, length = pieces[long], along[long], length[long]
    if not len(pieces):
        return Borders()
    normal = np.column_stack([-along[:, 1], along[:, 0]]) / length[:, None]
    offset = (normal * pieces[:, :2]).sum(axis=1)
    # Each piece's line, with all pieces that lie on it.
    on_it = [np.abs(normal @ ends.T - offset[:, None]) < _STRAIGHT for ends in (pieces[:, :2], pieces[:, 2:])]
    total = (on_it[0] & on_it[1]) @ length
    near = (np.abs(offset) > _NEAREST) & (np.abs(offset) < _FARTHEST)
    leaning = np.degrees(np.arctan2(np.abs(along[:, 1]), np.abs(along[:, 0])))
    upright, level = near & (leaning > 90.0 - _LEAN), near & (leaning < _LEAN)
    foot = normal * offset[:, None]

    def longest(chosen: NDArray[np.bool_]) -> float:
        return float(total[chosen].max(initial=0.0))

    return Borders(
        left=longest(upright & (foot[:, 0] < 0)),
        right=longest(upright & (foot[:, 0] > 0)),
        above=longest(level & (foot[:, 1] < 0)),
        below=longest(level & (foot[:, 1] > 0)),
    )


def _pieces(grey: Image, box: NDArray[np.float32]) -> Floats:
    """Line segments (n, 4) around the face, as x, y, x, y from its middle."""
    centre = (box[:2] + box[2:]) / 2
    side = max(float((box[2:] - box[:2]).max()), 1.0)
    scale = _SIZE / (_REACH * side)
    reach = _REACH * side / 2
    left, top = np.maximum(centre - reach, 0).astype(int)
    right, bottom = np.minimum(centre + reach, grey.shape[1::-1]).astype(int)
    if right - left < 2 or bottom - top < 2:
        return np.zeros((0, 4))
    shape = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    part = cv2.resize(grey[top:bottom, left:right], shape, interpolation=cv2.INTER_AREA)
    found = cv2.createLineSegmentDetector(cv2.LSD_REFINE_NONE).detect(part)[0]
    if found is None:
        return np.zeros((0, 4))
    origin = np.tile(np.array([left, top]) - centre, 2)
    return np.asarray(found.reshape(-1, 4) / scale + origin, np.float64) / side
