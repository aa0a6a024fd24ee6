"""Where a terminal has two cameras: the face in both, at a depth that is not a plane.

Two pictures of one moment from two places are one picture before and after a turn: what runs ahead of the plane of eyes
and mouth stands before it. A second camera for near infrared sees no screen at all: there the face is simply missing.
Optional (Raspberry Pi 5); not part of any policy until it has been measured on people.
"""

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.liveness.parallax import PointTrack, grey_of
from agent.biometrics.types import Face, Frame, LivenessPart, LivenessVerdict

#: Lead of the nose over the plane of eyes and mouth for each distance between the eyes that the cameras stand apart: a
#: nose 25 mm ahead, half a metre away, gives 0.05 (docs/liveness.md has the rates).
DEPTH = 0.02
#: The distance between the eyes of an adult, mm.
_EYES = 63.0


def depth_of(first: tuple[Frame, Face], second: tuple[Frame, Face], baseline: tuple[float, float]) -> float:
    """How far the nose runs ahead between two cameras, in distances between the eyes, for each of these of baseline.

    `baseline` is the way from the first camera to the second as the first one sees it (right, down), in millimetres.
    NaN: too few points were found in both.
    """
    length = float(np.hypot(*baseline))
    track = PointTrack(grey_of(first[0]), first[1])
    track.carry(_plane(first[1].points, second[1].points))
    track.follow(grey_of(second[0]))
    # What is nearer moves against the way that the camera went, more than what is farther.
    lead = track.shape((-baseline[0] / length, -baseline[1] / length)).lead
    return lead * _EYES / length


def pair_part(
    first: tuple[Frame, Face],
    second: tuple[Frame, Face | None],
    baseline: tuple[float, float],
    *,
    required: bool = False,
) -> LivenessPart:
    """The evidence of two pictures of one moment: no face in the second is an attack, too little depth is no proof."""
    frame, face = second
    if face is None:
        return LivenessPart("two_cameras", LivenessVerdict.ATTACK, 0.0, DEPTH, required, "no face in the second camera")
    depth = depth_of(first, (frame, face), baseline)
    live = bool(np.isfinite(depth)) and depth >= DEPTH
    verdict = LivenessVerdict.LIVE if live else LivenessVerdict.INDETERMINATE
    score = round(depth, 3) if np.isfinite(depth) else 0.0
    return LivenessPart("two_cameras", verdict, score, DEPTH, required)


def _plane(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float64]:
    """The affine map (3, 2) that takes eyes and mouth of one face to those of the other."""
    plane, *_ = np.linalg.lstsq(
        np.column_stack([before, np.ones(len(before))])[[0, 1, 3, 4]], after[[0, 1, 3, 4]], rcond=None
    )
    return np.asarray(plane)
