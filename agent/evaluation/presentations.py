"""Passive scores of presentations: each clip's frames in order, and the clip as a whole."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from agent.biometrics.bundle import ModelBundle
from agent.biometrics.camera.replay import video_frames
from agent.biometrics.decode import decode_file
from agent.biometrics.errors import CameraError, FaceError
from agent.biometrics.image import Picture
from agent.biometrics.manifest import Role
from agent.biometrics.passive import CROPS, PassiveNetwork, clip_score
from agent.biometrics.pipeline import FacePipeline
from agent.evaluation.cache import ResultCache, cache_key
from agent.evaluation.run import Run, open_bundle
from agent.evaluation.samples import Presentation
from agent.evaluation.workers import Item, map_items

VIDEO = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".3gp", ".flv"}
#: Frames taken of a video, evenly over its length: neighbours say the same thing again.
VIDEO_FRAMES = 16
#: A video that claims more frames than this is read no further.
LONGEST_VIDEO = 18_000
UNKNOWN_LENGTH = 150


@dataclass(frozen=True, slots=True)
class ClipScores:
    """A clip: its label and subject, a score for each frame (None: no face was found), and one for the clip."""

    label: str
    subject: str
    clip: str
    frames: tuple[float | None, ...]
    score: float | None


def score_presentations(presentations: Sequence[Presentation], run: Run) -> list[ClipScores]:
    """The scores of all clips."""
    clips: dict[tuple[str, str, str], list[Path]] = {}
    for presentation in presentations:
        clips.setdefault((presentation.clip, presentation.label, presentation.subject), []).append(presentation.path)
    # Short pieces keep the cores and the bar busy; a clip is put together again below.
    pieces = {key: [tuple(paths[i : i + 8]) for i in range(0, len(paths), 8)] for key, paths in clips.items()}
    items = [piece for parts in pieces.values() for piece in parts]
    with ResultCache(presentations_key(run.bundle()), run.cache) as cache:
        results = map_items(items, _score, _prepare, (run.folder,), cache, run.jobs, run.progress, batch=1)
    found = []
    for (clip, label, subject), parts in pieces.items():
        frames = [score for part in parts for score in _frames(results[part], part)]
        seen = [score for score in frames if score is not None]
        found.append(ClipScores(label, subject, clip, tuple(frames), clip_score(seen)))
    return found


def presentations_key(bundle: ModelBundle) -> str:
    """Names what decides the scores: the models, the crops, how a video is sampled."""
    roles = (Role.DETECT, Role.MESH, Role.POINTS, Role.PASSIVE)
    return cache_key(["passive", *(bundle.entry(role).sha256 for role in roles), str(CROPS), str(VIDEO_FRAMES)])


def _frames(result: bytes | None, part: Item) -> list[float | None]:
    if result is None:
        return [None] * len(part)
    return [None if score is None else float(score) for score in json.loads(result)]


_eyes: list[tuple[FacePipeline, PassiveNetwork]] = []


def _prepare(folder: Path | None) -> None:
    """One pipeline and one network for each worker process."""
    cv2.setNumThreads(1)
    bundle = open_bundle(folder)
    _eyes[:] = [(FacePipeline(bundle, target_fmr=None), PassiveNetwork(bundle))]


def _score(item: Item) -> bytes:
    scores: list[float | None] = []
    for path in item:
        scores += [_score_picture(picture) for picture in read_pictures_of(path)] or [None]
    return json.dumps(scores).encode()


def _score_picture(picture: Picture) -> float | None:
    pipeline, network = _eyes[0]
    face = pipeline.analyse_still(picture).face
    return None if face is None else network(picture, face.box)


def read_pictures_of(path: Path) -> list[Picture]:
    """The picture in a file, or frames of a video, whatever its name says; nothing if it is neither."""
    if path.suffix.lower() not in VIDEO:
        try:
            return [Picture(decode_file(path))]
        except FaceError:
            pass
    return sample_video(path)


def sample_video(path: Path, count: int = VIDEO_FRAMES) -> list[Picture]:
    """At most `count` frames, evenly over the video; fewer if it is damaged, none if it is no video."""
    capture = cv2.VideoCapture(str(path))
    claimed = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    # Some containers do not say how long they are.
    length = min(claimed, LONGEST_VIDEO) if claimed > 0 else UNKNOWN_LENGTH
    wanted = set(np.linspace(0, length - 1, count).round().astype(int).tolist())
    pictures: list[Picture] = []
    try:
        for number, (pixels, _order) in enumerate(video_frames(path)):
            if number in wanted:
                pictures.append(Picture(pixels, bgr=True))
            if number >= length - 1:
                break
    except CameraError:
        return []
    return pictures
