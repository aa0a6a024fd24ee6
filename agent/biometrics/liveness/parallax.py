"""Depth from a turn: does the nose move against the plane of eyes and mouth, and does the room stay where it is?

Corners of the face and around it are tracked from frame to frame (pyramidal Lucas-Kanade, forward and back). Where eyes
and mouth go defines an affine map of the plane. On paper and on screens, flat or bent, the nose goes along with it; the
nose of a head stands some 25 mm before that plane and runs ahead. No network takes part but for where the landmarks are
before the turn, so nothing can invent a depth that is not there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.biometrics.types import Face, Frame, Guidance, Image, LivenessPart, LivenessVerdict, PixelFormat

Floats = NDArray[np.float32]

#: Lead of the nose, in distances between the eyes, from which on a turn shows depth: docs/liveness.md has the rates.
LEAD = 0.10
#: A lead that paper bent by less than 140° never reached: with it a little less than the whole angle suffices.
NEARLY = 0.075
_NEARLY_SHARE = 0.85
#: The share that suffices with the full lead, the mesh only has to agree then: just beyond what still counts as looking
#: ahead (`turns.FRONTAL_YAW`, `turns.FRONTAL_PITCH`).
_DEEP_SHARE: Mapping[Guidance, float] = MappingProxyType(
    {Guidance.TURN_LEFT: 0.5, Guidance.TURN_RIGHT: 0.5, Guidance.LOOK_UP: 0.6, Guidance.LOOK_DOWN: 0.6}
)
#: Share of the face's own motion that its surroundings may make: more, and it is carried about with the face.
CARRIED = 0.6
#: Motion of the face, in distances between the eyes, below which its surroundings say nothing.
_MOVED = 0.08
#: Reach of the nose and of an anchor around its landmark, in distances between the eyes, and the fewest points in each.
_NOSE, _ANCHOR = 0.25, 0.30
_FEWEST_NOSE, _FEWEST_ANCHOR = 3, 8
_NOSE_POINTS, _ANCHOR_POINTS, _ROOM_POINTS = 30, 80, 40
_STRAY = 1.0


def grey_of(frame: Frame) -> Image:
    """The grey values (h, w) of a frame; those of NV12 are its first plane."""
    if frame.format is PixelFormat.NV12:
        return frame.pixels[: frame.pixels.shape[0] * 2 // 3]
    code = cv2.COLOR_RGB2GRAY if frame.format is PixelFormat.RGB else cv2.COLOR_BGR2GRAY
    return np.asarray(cv2.cvtColor(frame.pixels, code), np.uint8)


def sufficient(turn: Guidance, lead: float) -> float:
    """The share of the asked angle that suffices for `turn` where the nose runs ahead by `lead` (NaN: not known)."""
    if lead >= LEAD:
        return _DEEP_SHARE[turn]
    return _NEARLY_SHARE if lead >= NEARLY else 1.0


@dataclass(frozen=True, slots=True)
class TurnShape:
    """One turn: how far the nose ran ahead, and how far the surroundings came along (NaN: not enough points)."""

    lead: float
    carried: float


class PointTrack:
    """Points of one face and of its surroundings, followed through one turn."""

    def __init__(self, grey: Image, face: Face) -> None:
        self._unit = face.inter_ocular
        spacing = max(2.0, 0.05 * self._unit)
        groups = (
            _corners(grey, _discs(grey, face.points[[2]], _NOSE * self._unit), _NOSE_POINTS, spacing),
            _corners(grey, _discs(grey, face.points[[0, 1, 3, 4]], _ANCHOR * self._unit), _ANCHOR_POINTS, spacing),
            _corners(grey, _ring(grey, face), _ROOM_POINTS, 2 * spacing),
        )
        self._start = np.concatenate(groups)
        group = np.repeat(np.arange(3), [len(points) for points in groups])
        self._nose, self._anchor, self._room = (group == number for number in range(3))
        self._now = self._start.copy()
        self._alive = np.ones(len(self._start), bool)
        self._previous = grey
        self._guess: Floats | None = None

    def carry(self, plane: NDArray[np.float64]) -> None:
        """Look for the points of the next frame where an affine map (3, 2) takes them: for jumps between cameras."""
        self._guess = np.asarray(_homogeneous(self._start) @ plane, np.float32)

    def follow(self, grey: Image) -> None:
        """The next frame."""
        if not len(self._now):
            return
        there, found = _flow(self._previous, grey, self._now, self._guess)
        back, again = _flow(grey, self._previous, there, self._now)
        self._guess = None
        self._alive &= found & again & (np.abs(back - self._now).max(axis=1) < _STRAY)
        self._now = there
        self._previous = grey

    def shape(self, direction: tuple[float, float]) -> TurnShape:
        """What the turn so far shows, if the head went in `direction` (right, down) of the picture."""
        nose, anchor = self._alive & self._nose, self._alive & self._anchor
        lead = float("nan")
        if nose.sum() >= _FEWEST_NOSE and anchor.sum() >= _FEWEST_ANCHOR:
            plane, *_ = np.linalg.lstsq(_homogeneous(self._start[anchor]), self._now[anchor], rcond=None)
            ahead = self._now[nose] - _homogeneous(self._start[nose]) @ plane
            # A face that came nearer or went away meanwhile is scaled back by what the turn leaves unchanged.
            across = np.array([-direction[1], direction[0]])
            scale = max(float(np.linalg.norm(plane[:2].T @ across)), 0.2)
            lead = float(np.median(ahead, axis=0) @ np.array(direction)) / self._unit / scale
        return TurnShape(lead, self._carried())

    def _carried(self) -> float:
        face, room = self._alive & (self._nose | self._anchor), self._alive & self._room
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


def _flow(before: Image, after: Image, points: Floats, guess: Floats | None = None) -> tuple[Floats, NDArray[np.bool_]]:
    """Where points (n, 2) of one picture are in the next, and which of them were found; near `guess`, or themselves."""
    near = (points if guess is None else guess).copy()
    flags = cv2.OPTFLOW_USE_INITIAL_FLOW
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, near, winSize=(15, 15), maxLevel=2, flags=flags)
    return np.asarray(moved, np.float32), np.asarray(found).ravel() > 0


def _homogeneous(points: Floats) -> Floats:
    return np.column_stack([points, np.ones(len(points), np.float32)])


def _discs(grey: Image, centres: Floats, radius: float) -> Image:
    """A mask (h, w) of discs."""
    mask = np.zeros_like(grey)
    for x, y in centres:
        cv2.circle(mask, (round(float(x)), round(float(y))), max(2, round(radius)), 255, -1)
    return mask


def _ring(grey: Image, face: Face) -> Image:
    """A mask (h, w) of what is around the face, beyond the hair."""
    hull = cv2.convexHull(face.mesh[:, :2].astype(np.int32)).reshape(-1, 2)
    centre = hull.mean(axis=0)
    mask = np.zeros_like(grey)
    for reach, value in ((2.6, 255), (1.7, 0)):
        cv2.fillConvexPoly(mask, ((hull - centre) * reach + centre).astype(np.int32), value)
    return mask


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
