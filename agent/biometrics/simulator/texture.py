"""A frontal portrait laid out as the skin of the head: one atlas with the face, its closed eyes and plain patches."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.biometrics.simulator import raster, solids
from agent.biometrics.simulator.scene import Light
from agent.biometrics.types import Image

Floats = NDArray[np.float32]

#: Texels per millimetre, and the part of the head's frontal plane that the atlas shows.
DENSITY = 1.6
LEFT, TOP, WIDTH, HEIGHT = -100.0, -140.0, 200.0, 280.0
_FACE = (int(WIDTH * DENSITY), int(HEIGHT * DENSITY))
_PATCH = 96
#: A surface seen at a flatter angle than this cosine lends no colour.
_GRAZING = 0.22
#: The texture is drawn in a little, so that the limb shows cheek rather than what was behind it.
SQUEEZE = 0.96


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Portrait:
    """A frontal picture (h, w, 3) RGB and five landmarks (5, 2): eyes, nose tip, mouth corners, viewer's left first."""

    image: Image
    points: Floats


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Atlas:
    """The face with open and with closed eyes (h, w, 3) RGB; patches of skin and of cloth lie to its right."""

    opened: Image
    closed: Image

    def blink(self, amount: float) -> Image:
        """The atlas with the lids closed by `amount` (0 open, 1 closed)."""
        if amount < 0.05:
            return self.opened
        if amount > 0.95:
            return self.closed
        return np.asarray(cv2.addWeighted(self.opened, 1 - amount, self.closed, amount, 0.0), np.uint8)


def face_texels(vertices: Floats) -> Floats:
    """Texels (v, 2) of points of the head: the frontal projection."""
    x = (vertices[:, 0] * SQUEEZE - LEFT) * DENSITY
    y = (vertices[:, 1] - TOP) * DENSITY
    return np.stack([x, y], 1).astype(np.float32)


def patch_texels(vertices: Floats, patch: int) -> Floats:
    """Texels (v, 2) in a plain patch: 0 skin, 1 cloth, 2 dark."""
    span = np.ptp(vertices[:, :2], axis=0) + 1e-3
    unit = (vertices[:, :2] - vertices[:, :2].min(0)) / span
    return np.asarray(unit * (_PATCH - 8) + np.array([_FACE[0] + 4, patch * _PATCH + 4]), np.float32)


@cache
def _relief() -> Floats:
    """The depth z (h, w) of the head's surface at each texel of the face; NaN beside the head."""
    points, faces = solids.head()
    texels = face_texels(points)
    values, pixels = raster.rasterise(texels, -points[:, 2], faces, points[:, 2:], (_FACE[1], _FACE[0]))
    depth = np.full(_FACE[0] * _FACE[1], np.nan, np.float32)
    depth[pixels] = values[:, 0]
    return depth.reshape(_FACE[1], _FACE[0])


def _surface() -> Floats:
    """The point (h, w, 3) of the head at each texel; beside the head the limb's depth goes on."""
    depth = _relief()
    x, y = np.meshgrid(np.arange(_FACE[0]) / DENSITY + LEFT, np.arange(_FACE[1]) / DENSITY + TOP)
    return np.stack([x / SQUEEZE, y, np.nan_to_num(depth, nan=0.0)], 2).astype(np.float32)


def _register(portrait: Portrait) -> tuple[Floats, NDArray[np.bool_]]:
    """The pixel (h, w, 2) of the portrait that each texel of the face shows, and (h, w) whether it was in view.

    A map of the plane that takes the head's five landmarks to the portrait's, and across it as much depth as the nose
    stands beside the middle: a portrait that is a little turned is unturned. It is not un-nodded: five points do not
    tell a nod from a long nose, so that a face taken as upright stays the same face.
    """
    surface = _surface()
    anchors = face_texels(np.column_stack([solids.LANDMARKS, np.zeros(5)]).astype(np.float32)).astype(int)
    x, y = solids.LANDMARKS.T
    z = surface[anchors[:, 1], anchors[:, 0], 2]
    eyes = (portrait.points[1] - portrait.points[0]).astype(np.float64)
    across = eyes / np.linalg.norm(eyes)
    axes = np.array([across, [-across[1], across[0]]])
    sought = portrait.points @ axes.T
    one = np.ones(5)
    along, *_ = np.linalg.lstsq(np.column_stack([x, z, one]), sought[:, 0], rcond=None)
    down, *_ = np.linalg.lstsq(np.column_stack([x, y, one]), sought[:, 1], rcond=None)
    over = surface.reshape(-1, 3)
    unit = np.ones(len(over))
    mapped = np.column_stack(
        [np.column_stack([over[:, [0, 2]], unit]) @ along, np.column_stack([over[:, :2], unit]) @ down]
    )
    pixels = (mapped @ axes).reshape(*surface.shape[:2], 2)
    height, width = portrait.image.shape[:2]
    within = ((pixels >= 1) & (pixels < [width - 2, height - 2])).all(2)
    towards = np.array([along[1], 0.0, along[0]]) / np.hypot(along[0], along[1])
    return pixels.astype(np.float32), within & (_outward(surface) @ towards > _GRAZING)


def _outward(surface: Floats) -> Floats:
    """Unit normals (h, w, 3) of the smoothed surface."""
    smooth = cv2.GaussianBlur(surface[..., 2], (0, 0), 4.0)
    outward = np.dstack(
        [-np.gradient(smooth, axis=1) * DENSITY, -np.gradient(smooth, axis=0) * DENSITY, np.ones_like(smooth)]
    )
    return np.asarray(outward / np.linalg.norm(outward, axis=2, keepdims=True), np.float32)


def _unlit(face: Image) -> Image:
    """The face without the light that fell on it, taken as the studio's: lit again, it looks as it was taken."""
    shade = Light().shade(_outward(_surface()).reshape(-1, 3)).reshape(face.shape[:2])
    return np.asarray(np.clip(face / shade[..., None], 0, 255), np.uint8)


def _foreground(face: Image) -> NDArray[np.bool_]:
    """Where the person is: GrabCut from an ellipse that surely holds the face and a rim that surely does not."""
    mask = np.full(face.shape[:2], cv2.GC_PR_BGD, np.uint8)
    centre = (int(-LEFT * DENSITY), int((8.0 - TOP) * DENSITY))
    cv2.ellipse(mask, centre, (int(80 * DENSITY), int(122 * DENSITY)), 0, 0, 360, cv2.GC_PR_FGD, -1)
    cv2.ellipse(mask, centre, (int(56 * DENSITY), int(92 * DENSITY)), 0, 0, 360, cv2.GC_FGD, -1)
    mask[:, :4] = mask[:, -4:] = cv2.GC_BGD
    cv2.setRNGSeed(1)
    cv2.grabCut(face, mask, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    inside = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return cv2.erode(inside, np.ones((5, 5), np.uint8)).astype(bool)


def _extend(face: Image, inside: NDArray[np.bool_]) -> Image:
    """The face with each unseen texel taken from its mirror image if that was seen, else from the nearest seen one."""
    mirrored = ~inside & inside[:, ::-1]
    blend = cv2.GaussianBlur(mirrored.astype(np.float32), (0, 0), 2.0)[..., None] * ~inside[..., None]
    face = (face * (1 - blend) + face[:, ::-1] * blend).astype(np.uint8)
    inside = inside | mirrored
    _, labels = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    source = np.zeros(labels.max() + 1, np.int64)
    source[labels[inside]] = np.flatnonzero(inside.ravel())
    filled = face.reshape(-1, 3)[source[labels.ravel()]].reshape(face.shape)
    return np.where(inside[..., None], face, cv2.GaussianBlur(filled, (0, 0), 6.0))


def _close_eyes(face: Image) -> Image:
    """The same face with lids drawn over the eyes, coloured as the skin beneath them."""
    closed = face.copy()
    for side in (-1.0, 1.0):
        x, y = int((side * 32.0 - LEFT) * DENSITY), int(-TOP * DENSITY)
        below = face[y + int(13 * DENSITY) : y + int(17 * DENSITY), x - 12 : x + 12].reshape(-1, 3).mean(0)
        blank = np.zeros(face.shape[:2], np.float32)
        cv2.ellipse(blank, (x, y), (int(17 * DENSITY), int(7 * DENSITY)), 0, 0, 360, 1.0, -1)
        lid = cv2.GaussianBlur(blank, (0, 0), 2.5)[..., None]
        closed = (closed * (1 - lid) + below * lid).astype(np.uint8)
        cv2.ellipse(
            closed,
            (x, y + 1),
            (int(14 * DENSITY), int(5 * DENSITY)),
            0,
            15,
            165,
            (below * 0.45).tolist(),
            2,
            cv2.LINE_AA,
        )
    return closed


def lay_out(portrait: Portrait, seed: int = 0) -> Atlas:
    """The atlas of a portrait; `seed` chooses the clothes."""
    rng = np.random.default_rng(seed)
    pixels, seen = _register(portrait)
    across, down = pixels[..., 0].copy(), pixels[..., 1].copy()
    face = np.asarray(
        cv2.remap(portrait.image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
    face = _unlit(_extend(face, _foreground(face) & seen))
    x, y = int(-LEFT * DENSITY), int((22 - TOP) * DENSITY)
    cheek = np.median(face[y : y + 24, x - 60 : x + 60].reshape(-1, 3), axis=0)
    side = np.zeros((_FACE[1], _PATCH, 3), np.uint8)
    side[:_PATCH] = np.clip(cheek * 0.82 + rng.normal(0, 3, (_PATCH, _PATCH, 1)), 0, 255)
    cloth = rng.uniform(50, 150, 3) + 34 * np.sign(np.sin(np.arange(_PATCH) * rng.uniform(0.6, 1.4)))[None, :, None]
    side[_PATCH : 2 * _PATCH] = np.clip(cloth + rng.normal(0, 10, (_PATCH, _PATCH, 1)), 0, 255)
    side[2 * _PATCH : 3 * _PATCH] = 24
    return Atlas(np.hstack([face, side]), np.hstack([_close_eyes(face), side]))
