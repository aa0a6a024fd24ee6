"""Find faces: BlazeFace with 896 anchors on a 128 pixel square (Bazarevsky et al., 2019).

Each face has a box and six points: the person's right eye, left eye, nose tip, mouth, right ear, left ear.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.biometrics.bundle import ModelBundle
from agent.biometrics.image import Picture, tensor_of
from agent.biometrics.manifest import Role

Floats = NDArray[np.float32]

#: A score below this is no face; the network's own examples use 0.75 for a phone held at arm's length.
SMALLEST_SCORE = 0.5
#: Boxes that overlap more than this are one face.
SAME_FACE = 0.3


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Detection:
    """A face: `box` is left, top, right, bottom; `keypoints` is (6, 2); both in pixels of the frame."""

    score: float
    box: Floats
    keypoints: Floats


class Detector:
    """BlazeFace and its decoding."""

    def __init__(self, bundle: ModelBundle) -> None:
        self._network = bundle.network(Role.DETECT)
        self._contract = bundle.entry(Role.DETECT).input
        self._anchors = _anchors(self._contract.size)

    def __call__(self, picture: Picture) -> list[Detection]:
        """The faces in the picture, the best score first."""
        size = self._contract.size
        square, scale, margin = _letterbox(picture, size)
        regressors, logits = self._network(tensor_of(square, self._contract))
        scores = logits[0, :, 0]
        likely = np.flatnonzero(scores > np.log(SMALLEST_SCORE / (1 - SMALLEST_SCORE)))
        if not len(likely):
            return []
        probability = 1.0 / (1.0 + np.exp(-scores[likely]))
        values = regressors[0, likely].reshape(-1, 8, 2) / size
        # Pair 0 is the centre, pair 1 width and height, the others are the points.
        values[:, 0] += self._anchors[likely]
        values[:, 2:] += self._anchors[likely, np.newaxis]
        centre, extent = values[:, 0], values[:, 1]
        places = np.concatenate([(centre - extent / 2)[:, None], (centre + extent / 2)[:, None], values[:, 2:]], axis=1)
        places = (places * size - margin) / scale
        return _merge(probability.astype(np.float32), places.astype(np.float32))


def _letterbox(picture: Picture, size: int) -> tuple[NDArray[np.uint8], float, Floats]:
    """The whole picture in a black square: the square, its scale and its margins (x, y)."""
    scale = size / max(picture.width, picture.height)
    width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    small = cv2.resize(picture.pixels, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if picture.bgr:
        small = cv2.cvtColor(small, cv2.COLOR_BGR2RGB)
    left, top = (size - width) // 2, (size - height) // 2
    square = np.zeros((size, size, 3), np.uint8)
    square[top : top + height, left : left + width] = small
    return square, scale, np.array([left, top], np.float32)


def _anchors(size: int) -> Floats:
    """Centres of the anchors, (896, 2) of the square's side: two on each cell of stride 8, six on each of stride 16."""
    rows = []
    for stride, each in ((8, 2), (16, 6)):
        cells = size // stride
        axis = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        rows.append(np.repeat(grid, each, axis=0))
    return np.concatenate(rows).astype(np.float32)


def _merge(scores: Floats, places: Floats) -> list[Detection]:
    """Average the overlapping answers for each face, weighted by score."""
    boxes = places[:, :2].reshape(-1, 4)
    order = np.argsort(-scores)
    faces = []
    while len(order):
        group = _overlap(boxes[order[0]], boxes[order]) >= SAME_FACE
        group[0] = True
        members = order[group]
        weights = scores[members] / scores[members].sum()
        mean = np.einsum("n,nij->ij", weights, places[members]).astype(np.float32)
        faces.append(Detection(float(scores[order[0]]), mean[:2].reshape(4), mean[2:]))
        order = order[~group]
    return faces


def _overlap(box: Floats, others: Floats) -> Floats:
    """Intersection over union of one box with each of `others`."""
    extent = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.clip(extent, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + areas - shared
    return np.asarray(shared / np.maximum(union, np.finfo(np.float32).tiny), np.float32)
