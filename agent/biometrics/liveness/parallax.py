"""Depth from a turn: does the nose move against the plane of eyes and mouth, and does the room stay where it is?

Corners of the face and around it are tracked from frame to frame (pyramidal Lucas-Kanade, forward and back). Where eyes
and mouth go defines an affine map of the plane. On paper and on screens, flat or bent, the nose goes along with it; the
nose of a head stands some 25 mm before that plane and runs ahead. No network takes part but for where the landmarks are
before the turn, so nothing can invent a depth that is not there.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.biometrics.types import Face, Frame, Image, LivenessPart, LivenessVerdict, PixelFormat

Floats = NDArray[np.float32]

#: Lead of the nose, in distances between the eyes, from which on a turn shows depth: docs/liveness.md has the rates.
LEAD = 0.09
#: Share of the face's own motion that its surroundings may make: more, and it is carried about with the face.
CARRIED = 0.6
#: Motion of the face, in distances between the eyes, below which its surroundings say nothing.
_MOVED = 0.08
#: Reach of the nose and of an anchor around its landmark, in distances between the eyes, and the fewest points in each.
_NOSE, _ANCHOR = 0.25, 0.30
_FEWEST_NOSE, _FEWEST_ANCHOR = 3, 8
_FACE_POINTS, _ROOM_POINTS = 120, 40
_STRAY = 1.0


def grey_of(frame: Frame) -> Image:
    """The grey values (h, w) of a frame; those of NV12 are its first plane."""
    if frame.format is PixelFormat.NV12:
        return frame.pixels[: frame.pixels.shape[0] * 2 // 3]
    code = cv2.COLOR_RGB2GRAY if frame.format is PixelFormat.RGB else cv2.COLOR_BGR2GRAY
    return np.asarray(cv2.cvtColor(frame.pixels, code), np.uint8)


@dataclass(frozen=True, slots=True)
class TurnShape:
    """One turn: how far the nose ran ahead, and how far the surroundings came along (NaN: not enough points)."""

    lead: float
    carried: float


class PointTrack:
    """Points of one face and of its surroundings, followed through one turn."""

    def __init__(self, grey: Image, face: Face) -> None:
        self._unit = face.inter_ocular
        inside, around = _regions(grey, face)
        spacing = max(2.0, 0.05 * self._unit)
        on_face = _corners(grey, inside, _FACE_POINTS, spacing)
        in_room = _corners(grey, around, _ROOM_POINTS, 2 * spacing)
        self._start = np.concatenate([on_face, in_room])
        self._is_face = np.arange(len(self._start)) < len(on_face)
        self._now = self._start.copy()
        self._alive = np.ones(len(self._start), bool)
        self._landmarks = face.points
        self._previous = grey

    def follow(self, grey: Image) -> None:
        """The next frame."""
        if not len(self._now):
            return
        there, found = _flow(self._previous, grey, self._now)
        back, again = _flow(grey, self._previous, there)
        self._alive &= found & again & (np.abs(back - self._now).max(axis=1) < _STRAY)
        self._now = there
        self._previous = grey

    def shape(self, direction: tuple[float, float]) -> TurnShape:
        """What the turn so far shows, if the head went in `direction` (right, down) of the picture."""
        face = self._alive & self._is_face
        distance = np.linalg.norm(self._start[:, None] - self._landmarks[None], axis=2) / self._unit
        near_nose = face & (distance[:, 2] < _NOSE)
        anchors = face & (distance[:, [0, 1, 3, 4]].min(axis=1) < _ANCHOR) & ~near_nose
        lead = float("nan")
        if near_nose.sum() >= _FEWEST_NOSE and anchors.sum() >= _FEWEST_ANCHOR:
            plane, *_ = np.linalg.lstsq(_homogeneous(self._start[anchors]), self._now[anchors], rcond=None)
            ahead = self._now[near_nose] - _homogeneous(self._start[near_nose]) @ plane
            # A face that came nearer or went away meanwhile is scaled back by what the turn leaves unchanged.
            across = np.array([-direction[1], direction[0]])
            scale = max(float(np.linalg.norm(plane[:2].T @ across)), 0.2)
            lead = float(np.median(ahead, axis=0) @ np.array(direction)) / self._unit / scale
        return TurnShape(lead, self._carried(face))

    def _carried(self, face: NDArray[np.bool_]) -> float:
        room = self._alive & ~self._is_face
        if face.sum() < _FEWEST_ANCHOR or room.sum() < _FEWEST_ANCHOR:
            return float("nan")
        motion = np.linalg.norm(self._now - self._start, axis=1) / self._unit
        of_face = float(np.median(motion[face]))
        return float(np.median(motion[room])) / of_face if of_face >= _MOVED else float("nan")


@dataclass(slots=True)
class Parallax:
    """The turns of one presentation."""

    required: bool
    turns: list[TurnShape] = field(default_factory=list)

    def parts(self) -> tuple[LivenessPart, LivenessPart]:
        """The evidence: depth (the median of the turns), and whether the surroundings were carried about."""
        leads = [turn.lead for turn in self.turns if np.isfinite(turn.lead)]
        lead = float(np.median(leads)) if leads else 0.0
        # Too little lead is never called an attack: blur and plain skin lose points as well.
        deep = LivenessVerdict.LIVE if leads and lead >= LEAD else LivenessVerdict.INDETERMINATE
        shares = [turn.carried for turn in self.turns if np.isfinite(turn.carried)]
        carried = float(np.median(shares)) if shares else 0.0
        if not shares:
            coupled = LivenessVerdict.INDETERMINATE
        else:
            coupled = LivenessVerdict.LIVE if carried < CARRIED else LivenessVerdict.ATTACK
        shown = " ".join(f"{turn.lead:.2f}" for turn in self.turns)
        return (
            LivenessPart("parallax", deep, round(lead, 3), LEAD, self.required, f"lead of the nose: {shown}"),
            LivenessPart("surround", coupled, round(carried, 3), CARRIED, False, f"{len(shares)} turns with motion"),
        )


def _flow(before: Image, after: Image, points: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Where points (n, 2) of one picture are in the next, and which of them were found."""
    guess = points.copy()
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, guess, winSize=(15, 15), maxLevel=2)
    return np.asarray(moved, np.float32), np.asarray(found).ravel() > 0


def _homogeneous(points: Floats) -> Floats:
    return np.column_stack([points, np.ones(len(points), np.float32)])


def _regions(grey: Image, face: Face) -> tuple[Image, Image]:
    """Masks (h, w): the face, and a ring around it that reaches beyond the hair."""
    hull = cv2.convexHull(face.mesh[:, :2].astype(np.int32))
    inside = np.zeros_like(grey)
    cv2.fillConvexPoly(inside, hull, 255)
    centre = hull.reshape(-1, 2).mean(axis=0)
    around = np.zeros_like(grey)
    for reach, value in ((2.6, 255), (1.7, 0)):
        cv2.fillConvexPoly(around, ((hull.reshape(-1, 2) - centre) * reach + centre).astype(np.int32), value)
    return inside, around


def _corners(grey: Image, mask: Image, count: int, spacing: float) -> Floats:
    """Up to `count` corners (n, 2) within the mask."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width or not height:
        return np.zeros((0, 2), np.float32)
    part = np.s_[top : top + height, left : left + width]
    found = cv2.goodFeaturesToTrack(grey[part], count, 0.005, spacing, mask=mask[part], blockSize=5)
    if found is None:
        return np.zeros((0, 2), np.float32)
    return np.asarray(found.reshape(-1, 2) + np.array([left, top]), np.float32)
