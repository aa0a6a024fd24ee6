"""Is this frame good enough to compare, and if not, what should the person do? ISO/IEC 29794-5's subjects, few of them.

Measurements (names of `FrameAnalysis.quality`):
  inter_ocular   distance between the eyes, px
  fill           height of the face box over the height of the frame
  outside        share of the face box beyond the frame's edge
  rivals         area of the second largest face over the chosen one's
  luma, contrast mean and standard deviation of the face's grey values, 0 to 255
  surround       mean grey value of the frame around the face
  clipped        share of the face's pixels that are nearly black or white
  sharpness      variance of second differences over that of grey values, in the blurrier of the two directions
  lower_tint     how far the colour of mouth and chin lies from that of cheeks and nose (CIELAB a, b): a mask's mark
  disagreement   distance between the two landmark networks over the inter-ocular distance
  yaw, pitch     degrees
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.biometrics.align import align
from agent.biometrics.detect import Detection
from agent.biometrics.image import Picture
from agent.biometrics.landmarks import five_of_mesh
from agent.biometrics.types import Face, Guidance, Image

_LEVELS = np.arange(256, dtype=np.float32) / 255
#: Light of each of the 256 levels of sRGB, and red, green, blue as X, Y, Z of a white of 1, 1, 1.
_LINEAR = np.where(_LEVELS > 0.04045, ((_LEVELS + 0.055) / 1.055) ** 2.4, _LEVELS / 12.92).astype(np.float32)
_TO_XYZ = np.array(
    [[0.433953, 0.212671, 0.017758], [0.376219, 0.715160, 0.109477], [0.189828, 0.072169, 0.872766]], np.float32
)


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Where each measurement stops being good enough; docs/biometrics.md says how many genuine faces each refuses."""

    inter_ocular: float = 40.0
    largest_fill: float = 0.85
    outside: float = 0.08
    rivals: float = 0.45
    yaw: float = 22.0
    pitch: float = 22.0
    darkest: float = 40.0
    brightest: float = 225.0
    backlight: float = 2.5
    backlit_face: float = 50.0
    clipped: float = 0.35
    sharpness: float = 0.009
    lower_tint: float = 24.0
    points_score: float = 0.90
    presence: float = 0.80
    disagreement: float = 0.13


def measure(picture: Picture, face: Face, detections: Sequence[Detection]) -> dict[str, float]:
    """All measurements of one face."""
    width, height = picture.width, picture.height
    left, top, right, bottom = (float(v) for v in face.box)
    area = max((right - left) * (bottom - top), 1.0)
    inside = max(min(right, width) - max(left, 0), 0) * max(min(bottom, height) - max(top, 0), 0)
    areas = sorted((float((d.box[2:] - d.box[:2]).prod()) for d in detections), reverse=True)
    square = align(picture, face.points)
    # The outer frame of the aligned square holds hair and background.
    skin = np.asarray(cv2.cvtColor(square[24:104, 20:92], cv2.COLOR_RGB2GRAY), np.uint8)
    spread = float(skin.std())
    return {
        "inter_ocular": face.inter_ocular,
        "fill": (bottom - top) / height,
        "outside": 1.0 - inside / area,
        "rivals": areas[1] / areas[0] if len(areas) > 1 else 0.0,
        "luma": float(skin.mean()),
        "contrast": spread,
        "surround": _surround(picture, face.box),
        "clipped": float(((skin < 12) | (skin > 243)).mean()),
        "sharpness": _sharpness(skin),
        "lower_tint": _lower_tint(square),
        "disagreement": _disagreement(face),
        "points_score": face.points_score,
        "presence": face.presence,
        "yaw": face.pose.yaw,
        "pitch": face.pose.pitch,
    }


def problems(quality: dict[str, float], limits: QualityLimits) -> tuple[Guidance, ...]:
    """What stands in the way of a good comparison, the most urgent first."""
    dark = quality["luma"] < limits.darkest
    lit_from_behind = quality["surround"] > limits.backlight * max(quality["luma"], 1.0)
    backlit = lit_from_behind and quality["luma"] < limits.backlit_face
    checks = (
        (quality["rivals"] > limits.rivals, Guidance.ONE_PERSON),
        (quality["fill"] > limits.largest_fill, Guidance.MOVE_BACK),
        (quality["outside"] > limits.outside, Guidance.CENTRE),
        (quality["inter_ocular"] < limits.inter_ocular, Guidance.COME_CLOSER),
        (backlit, Guidance.LESS_BACKLIGHT),
        (dark, Guidance.MORE_LIGHT),
        (quality["luma"] > limits.brightest or quality["clipped"] > limits.clipped, Guidance.LESS_BACKLIGHT),
        (abs(quality["yaw"]) > limits.yaw or abs(quality["pitch"]) > limits.pitch, Guidance.LOOK_HERE),
        (
            quality["points_score"] < limits.points_score
            or quality["presence"] < limits.presence
            or quality["disagreement"] > limits.disagreement
            or quality["lower_tint"] > limits.lower_tint,
            Guidance.UNCOVER,
        ),
        (quality["sharpness"] < limits.sharpness, Guidance.HOLD_STILL),
    )
    return tuple(dict.fromkeys(guidance for bad, guidance in checks if bad))


def _sharpness(grey: Image) -> float:
    """Motion blurs along one direction only, so the worse one counts."""
    values = grey.astype(np.float32)
    across = (values[:, 2:] - 2 * values[:, 1:-1] + values[:, :-2]).var()
    down = (values[2:] - 2 * values[1:-1] + values[:-2]).var()
    return float(min(across, down) / max(values.var(), 1.0))


def _lower_tint(square: Image) -> float:
    """Distance in CIELAB's a, b between the medians of two patches of the aligned face."""
    # Every other pixel: a median needs no more.
    upper, lower = _tint(square[54:72:2, 30:82:2]), _tint(square[80:108:2, 38:74:2])
    return float(np.hypot(*(lower - upper)))


def _tint(patch: Image) -> NDArray[np.float32]:
    """The median a, b of CIELAB (IEC 61966-2-1, D65). OpenCV's conversion keeps 5 MB of tables for it."""
    xyz = _LINEAR[patch.reshape(-1, 3)] @ _TO_XYZ
    curved = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    ab = np.column_stack([500 * (curved[:, 0] - curved[:, 1]), 200 * (curved[:, 1] - curved[:, 2])])
    return np.asarray(np.median(ab, axis=0), np.float32)


def _surround(picture: Picture, box: NDArray[np.float32]) -> float:
    """Mean grey value of a coarse picture of everything but the face."""
    small = cv2.resize(picture.pixels, (32, 32), interpolation=cv2.INTER_NEAREST)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY if picture.bgr else cv2.COLOR_RGB2GRAY), np.float32)
    scale = np.array([32 / picture.width, 32 / picture.height] * 2)
    left, top, right, bottom = np.clip(np.round(box * scale), 0, 32).astype(int)
    around = np.ones((32, 32), bool)
    around[top:bottom, left:right] = False
    return float(grey[around].mean()) if around.any() else float(grey.mean())


def _disagreement(face: Face) -> float:
    """Mean distance between the five points and the mesh's points at the same places, in inter-ocular distances."""
    apart = np.linalg.norm(five_of_mesh(face.mesh) - face.points, axis=1)
    return float(apart.mean() / max(face.inter_ocular, 1.0))
