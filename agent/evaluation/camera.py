"""Two minutes before the installed camera: where living faces lie on the advisory scores in this light."""

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agent.biometrics.camera.replay import ReplaySource
from agent.biometrics.camera.source import FrameSource
from agent.biometrics.camera.v4l2 import V4l2Source
from agent.biometrics.errors import CameraError
from agent.biometrics.image import picture_of
from agent.biometrics.liveness.borders import borders_of
from agent.biometrics.liveness.parallax import grey_of
from agent.biometrics.liveness.texture import EyeTexture
from agent.biometrics.liveness.track import FaceTrack
from agent.biometrics.manifest import Role
from agent.biometrics.passive import PassiveNetwork
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.site import SiteCamera
from agent.biometrics.types import Face, Frame
from agent.evaluation.calibrate import read_site, write_site
from agent.evaluation.errors import EvaluationError
from agent.evaluation.run import open_bundle
from agent.evaluation.workers import Progress

#: Fewer living frames than this say nothing about a quantile of five per cent.
FEWEST = 60
#: One reading of the texture: so many looks at one person, so many seconds apart. Readings that carry a quantile.
LOOKS, APART, READINGS = 8, 0.4, 5


@dataclass(slots=True)
class Living:
    """The scores of living people, and what the frames that were not good asked for."""

    passive: list[float] = field(default_factory=list)
    borders: list[float] = field(default_factory=list)
    texture: list[float] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    _track: FaceTrack = field(default_factory=FaceTrack)
    _eyes: EyeTexture = field(default_factory=EyeTexture)
    _last: tuple[int, float] = (-1, 0.0)
    _looks: int = 0

    def see(self, frame: Frame, face: Face, passive: float) -> None:
        """The next good frame."""
        grey, track = grey_of(frame), self._track.follow(face.box, frame.timestamp)
        self.passive.append(passive)
        self.borders.append(borders_of(grey, face.box).score)
        if track != self._last[0] or self._looks == LOOKS:
            self._eyes, self._looks = EyeTexture(), 0
        elif frame.timestamp - self._last[1] < APART:
            return
        self._eyes.look(grey, face.points)
        self._looks += 1
        self._last = track, frame.timestamp
        if self._looks == LOOKS and (score := self._eyes.score) is not None:
            self.texture.append(score)


def calibrate_camera(
    device: str | None,
    replay: Path | None,
    site: Path,
    seconds: float,
    bpcer: float,
    folder: Path | None,
    progress: Progress | None,
) -> SiteCamera:
    """Score the frames of living people and write the thresholds at `bpcer` into the site manifest.

    Raises:
        CameraError: the camera delivers nothing.
        EvaluationError: `evaluation.too_few`, not enough good frames of a face were seen.
    """
    if (device is None) == (replay is None):
        raise EvaluationError("evaluation.samples", "name either a device or a replay")
    bundle = open_bundle(folder)
    source: FrameSource = V4l2Source(device) if device else ReplaySource(replay or Path(), rate=0, loop=False)
    try:
        living = _collect(source, FacePipeline(bundle, None), PassiveNetwork(bundle), seconds, progress)
    finally:
        source.close()
    good = len(living.passive)
    if good < FEWEST:
        wanting = ", ".join(f"{name} {count}" for name, count in living.asked.most_common(3)) or "nothing"
        raise EvaluationError(
            "evaluation.too_few", f"{good} good frames, {FEWEST} are needed; the others asked for: {wanting}"
        )
    enough = len(living.texture) >= READINGS
    camera = SiteCamera(
        model=bundle.entry(Role.PASSIVE).sha256,
        passive_threshold=_limit(living.passive, bpcer),
        borders_threshold=_limit(living.borders, bpcer),
        texture_threshold=_limit(living.texture, bpcer) if enough else None,
        bpcer=bpcer,
        frames=good,
        evidence=f"{good} frames of living people, median passive score {np.median(living.passive):.4f}, "
        f"borders {np.median(living.borders):.2f}; texture read {len(living.texture)} times",
    )
    document = read_site(site)
    document["camera"] = camera.model_dump(exclude_none=True)
    write_site(site, document)
    return camera


def _limit(scores: list[float], bpcer: float) -> float:
    return round(float(np.quantile(scores, 1 - bpcer)), 6)


def _collect(
    source: FrameSource, pipeline: FacePipeline, network: PassiveNetwork, seconds: float, progress: Progress | None
) -> Living:
    living = Living()
    start = time.monotonic()
    while (passed := time.monotonic() - start) < seconds:
        if progress is not None:
            progress(int(passed), int(seconds))
        try:
            frame = source.read(2.0)
        except CameraError:
            if living.passive:
                # A replay ends; a camera that dies after minutes of frames leaves enough to judge.
                break
            raise
        analysis = pipeline.analyse(frame)
        if analysis.face is None or analysis.guidance is not None:
            living.asked[str(analysis.guidance)] += 1
            continue
        living.see(frame, analysis.face, network(picture_of(frame), analysis.face.box))
    return living
