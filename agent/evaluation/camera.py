"""Two minutes before the installed camera: where living faces lie on the passive score in this light."""

import time
from collections import Counter
from pathlib import Path

import numpy as np

from agent.biometrics.camera.replay import ReplaySource
from agent.biometrics.camera.source import FrameSource
from agent.biometrics.camera.v4l2 import V4l2Source
from agent.biometrics.errors import CameraError
from agent.biometrics.image import picture_of
from agent.biometrics.manifest import Role
from agent.biometrics.passive import PassiveNetwork
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.site import SiteCamera
from agent.evaluation.calibrate import read_site, write_site
from agent.evaluation.errors import EvaluationError
from agent.evaluation.run import open_bundle
from agent.evaluation.workers import Progress

#: Fewer living frames than this say nothing about a quantile of five per cent.
FEWEST = 60


def calibrate_camera(
    device: str | None,
    replay: Path | None,
    site: Path,
    seconds: float,
    bpcer: float,
    folder: Path | None,
    progress: Progress | None,
) -> SiteCamera:
    """Score the frames of living people and write the threshold at `bpcer` into the site manifest.

    Raises:
        CameraError: the camera delivers nothing.
        EvaluationError: `evaluation.too_few`, not enough good frames of a face were seen.
    """
    if (device is None) == (replay is None):
        raise EvaluationError("evaluation.samples", "name either a device or a replay")
    bundle = open_bundle(folder)
    source: FrameSource = V4l2Source(device) if device else ReplaySource(replay or Path(), rate=0, loop=False)
    try:
        scores, asked = _collect(source, FacePipeline(bundle, None), PassiveNetwork(bundle), seconds, progress)
    finally:
        source.close()
    if len(scores) < FEWEST:
        wanting = ", ".join(f"{name} {count}" for name, count in asked.most_common(3)) or "nothing"
        raise EvaluationError(
            "evaluation.too_few", f"{len(scores)} good frames, {FEWEST} are needed; the others asked for: {wanting}"
        )
    camera = SiteCamera(
        model=bundle.entry(Role.PASSIVE).sha256,
        passive_threshold=round(float(np.quantile(scores, 1 - bpcer)), 6),
        bpcer=bpcer,
        frames=len(scores),
        evidence=f"{len(scores)} frames of living people, median score {np.median(scores):.4f}",
    )
    document = read_site(site)
    document["camera"] = camera.model_dump()
    write_site(site, document)
    return camera


def _collect(
    source: FrameSource, pipeline: FacePipeline, network: PassiveNetwork, seconds: float, progress: Progress | None
) -> tuple[list[float], Counter[str]]:
    scores: list[float] = []
    asked: Counter[str] = Counter()
    start = time.monotonic()
    while (passed := time.monotonic() - start) < seconds:
        if progress is not None:
            progress(int(passed), int(seconds))
        try:
            frame = source.read(2.0)
        except CameraError:
            if scores:
                # A replay ends; a camera that dies after minutes of frames leaves enough to judge.
                break
            raise
        analysis = pipeline.analyse(frame)
        if analysis.face is None or analysis.guidance is not None:
            asked[str(analysis.guidance)] += 1
            continue
        scores.append(network(picture_of(frame), analysis.face.box))
    return scores, asked
