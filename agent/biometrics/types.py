"""The types that biometrics hands to the rest of the agent: frames in, evidence out.

Pixels are `uint8`. Coordinates are pixels of the frame, x to the right, y down. Vocabulary: ISO/IEC 2382-37, 19795-1,
30107-3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class PixelFormat(StrEnum):
    """Layouts that cameras deliver: RGB and BGR are (h, w, 3); NV12 is (h * 3 / 2, w)."""

    RGB = "RGB"
    BGR = "BGR"
    NV12 = "NV12"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Frame:
    """One picture of a camera. `timestamp` is the sensor's monotonic time in seconds; `sequence` never repeats."""

    pixels: Image
    format: PixelFormat
    timestamp: float
    sequence: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Template:
    """A unit-length embedding (float32, shape (d,)) and what made it (`ModelBundle.templates`).

    Of two networks the vectors stand one behind the other, scaled so that the cosine is the weighted mean of both.
    """

    vector: NDArray[np.float32]
    model: str
    #: How many of the numbers are the first network's; 0 if there is no other.
    leading: int = 0

    @property
    def first(self) -> NDArray[np.float32]:
        """The first network's embedding alone, of unit length: one scale of cosines, whatever stands beside it."""
        if not self.leading:
            return self.vector
        part = self.vector[: self.leading]
        return np.asarray(part / max(float(np.linalg.norm(part)), 1e-12), np.float32)


class Guidance(StrEnum):
    """What the person should do now: the one thing that the screen says."""

    LOOK_HERE = "look_here"
    COME_CLOSER = "come_closer"
    MOVE_BACK = "move_back"
    CENTRE = "centre"
    ONE_PERSON = "one_person"
    MORE_LIGHT = "more_light"
    LESS_BACKLIGHT = "less_backlight"
    HOLD_STILL = "hold_still"
    UNCOVER = "uncover"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    LOOK_UP = "look_up"
    LOOK_DOWN = "look_down"
    WATCH_SCREEN = "watch_screen"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a head points, in degrees: yaw > 0 to the person's own left, pitch > 0 up, roll > 0 to that shoulder."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Face:
    """One face of a frame, all in pixels of that frame.

    `box` is left, top, right, bottom; `keypoints` (6, 2) are the detector's right eye, left eye, nose, mouth, right
    ear, left ear; `points` (5, 2) right eye, left eye, nose, right and left corner of the mouth; `mesh` (468, 3). Right
    and left are the person's.
    """

    box: NDArray[np.float32]
    score: float
    keypoints: NDArray[np.float32]
    points: NDArray[np.float32]
    points_score: float
    mesh: NDArray[np.float32]
    presence: float
    pose: Pose

    @property
    def inter_ocular(self) -> float:
        """Distance between the eyes in pixels."""
        return float(np.linalg.norm(self.points[1] - self.points[0]))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FrameAnalysis:
    """What one frame shows: the face to go on with, and what the person should do first (None: nothing)."""

    face: Face | None
    guidance: Guidance | None
    #: Everything that the quality gate found, the most urgent first; `guidance` is the first of them.
    problems: tuple[Guidance, ...] = ()
    #: Measurements by name; see `agent.biometrics.quality`.
    quality: Mapping[str, float] = field(default_factory=dict)
    #: How many faces were seen.
    faces: int = 0


#: The failure code of somebody who cannot do what is asked and wants the staff: no fault of theirs.
STAFFED = "liveness.staffed_path"


class LivenessVerdict(StrEnum):
    """`INDETERMINATE` never counts as live."""

    LIVE = "live"
    ATTACK = "attack"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class LivenessPart:
    """One piece of evidence: its verdict, its score and the threshold that it was held against."""

    name: str
    verdict: LivenessVerdict
    score: float
    threshold: float
    required: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LivenessEvidence:
    """The fused verdict of one presentation and its parts."""

    verdict: LivenessVerdict
    policy: str
    parts: tuple[LivenessPart, ...]
    #: The challenge as it was asked, e.g. ("turn_left", "look_up", "turn_right").
    challenge: tuple[str, ...] = ()
    #: SHA-256 of the whole challenge with its times and colours (`Challenge.binding`).
    binding: bytes = b""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FaceEvidence:
    """What the camera proved about the person in front of it."""

    liveness: LivenessEvidence
    template: Template | None
    #: Quality measurements by name (inter-ocular distance in px, sharpness, brightness ...).
    quality: Mapping[str, float] = field(default_factory=dict)
    frames: int = 0
    #: The failure code when no usable face was captured, else "".
    failure: str = ""
    #: The newest picture of the person looking ahead (h, w, 3) BGR, for an issuer that has to compare.
    probe: Image | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The similarity of two templates (cosine) against a threshold and the FMR that it was calibrated for."""

    similarity: float
    threshold: float
    target_fmr: float

    @property
    def match(self) -> bool:
        """Whether the two are taken for one person."""
        return self.similarity >= self.threshold
