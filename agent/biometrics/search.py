"""Looking again where the detector found nothing.

It expects a head with some room around it, at a sixth to a half of the picture. In a frame of the camera the middle is
looked at more closely, so that a person who stands too far away can be told to come closer. A picture that will not
come again (a portrait, a file) gets more: a border round a tight crop, overlapping tiles for a small face.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from agent.biometrics.detect import Detection
from agent.biometrics.image import Picture

Finder = Callable[[Picture], list[Detection]]
#: Borders to try, as shares of the longer side.
BORDERS = (0.25, 0.6)
#: Tiles to try, as shares of the longer side.
TILES = (0.6, 0.35, 0.2)
#: Longer sides are shrunk to this before any further look: a face that is then too small was small in its picture, too.
LONGEST = 2000


def find_far(find: Finder, picture: Picture) -> list[Detection]:
    """The faces of the middle of the picture, half as wide and half as high."""
    side = max(picture.width, picture.height) // 2
    left, top = max(0, (picture.width - side) // 2), max(0, (picture.height - side) // 2)
    tile = Picture(picture.pixels[top : top + side, left : left + side], picture.bgr)
    return [_moved(face, left, top) for face in find(tile)]


def looks(find: Finder, picture: Picture) -> Iterator[list[Detection]]:
    """The faces that each look at the picture finds: whole, with borders, in tiles. Take looks until one will do."""
    yield find(picture)
    scale = min(1.0, LONGEST / max(picture.width, picture.height))
    if scale < 1.0:
        smaller = cv2.resize(picture.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        picture = Picture(np.asarray(smaller, np.uint8), picture.bgr)
    for share in BORDERS:
        yield [_scaled(face, 1 / scale) for face in _with_border(find, picture, share)]
    for share in TILES:
        yield [_scaled(face, 1 / scale) for face in _in_tiles(find, picture, share)]


def _with_border(find: Finder, picture: Picture, share: float) -> list[Detection]:
    margin = round(max(picture.width, picture.height) * share)
    wider = cv2.copyMakeBorder(picture.pixels, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    return [_moved(face, -margin, -margin) for face in find(Picture(np.asarray(wider, np.uint8), picture.bgr))]


def _in_tiles(find: Finder, picture: Picture, share: float) -> list[Detection]:
    side = max(round(max(picture.width, picture.height) * share), 16)
    found = []
    for top in _starts(picture.height, side):
        for left in _starts(picture.width, side):
            tile = Picture(picture.pixels[top : top + side, left : left + side], picture.bgr)
            found += [_moved(face, left, top) for face in find(tile)]
    return found


def _starts(length: int, side: int) -> list[int]:
    """Where tiles of `side` begin so that neighbours overlap by at least a third."""
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / (side * 2 / 3))) + 1
    return [int(start) for start in np.linspace(0, length - side, count)]


def _moved(face: Detection, x: float, y: float) -> Detection:
    shift = np.array([x, y], np.float32)
    return Detection(face.score, face.box + np.tile(shift, 2), face.keypoints + shift)


def _scaled(face: Detection, factor: float) -> Detection:
    return Detection(face.score, face.box * np.float32(factor), face.keypoints * np.float32(factor))
