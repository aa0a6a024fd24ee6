"""What `renzheng face compare` and `face inspect` say about pictures."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from agent.biometrics.decode import decode_file
from agent.biometrics.errors import FaceError
from agent.biometrics.image import Picture
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.types import Face, Frame, FrameAnalysis, Image, PixelFormat, Template
from agent.evaluation.errors import EvaluationError
from agent.evaluation.run import open_bundle


def compare_files(a: Path, b: Path, fmr: float, bundle: Path | None) -> dict[str, Any]:
    """The comparison of two picture files and what is wrong with either.

    Raises:
        FaceError: `face.image_unreadable` or `face.none`, with the file's name.
    """
    pipeline = FacePipeline(open_bundle(bundle), fmr)
    sides: list[tuple[Template, FrameAnalysis]] = []
    for path in (a, b):
        picture = Picture(decode_file(path))
        analysis = pipeline.analyse_still(picture)
        if analysis.face is None:
            raise FaceError("face.none", f"{path}: no face was found")
        sides.append((pipeline.embed_still(picture, analysis), analysis))
    comparison = pipeline.compare(sides[0][0], sides[1][0])
    return {
        "match": comparison.match,
        "similarity": comparison.similarity,
        "threshold": comparison.threshold,
        "target_fmr": comparison.target_fmr,
        "model": sides[0][0].model,
        "a": {"faces": sides[0][1].faces, "problems": [str(problem) for problem in sides[0][1].problems]},
        "b": {"faces": sides[1][1].faces, "problems": [str(problem) for problem in sides[1][1].problems]},
    }


def inspect_file(path: Path, annotate: Path | None, passive: bool, bundle: Path | None) -> dict[str, Any]:
    """Everything that the pipeline measures in one picture file; draws it into `annotate` if that is given."""
    pipeline = FacePipeline(open_bundle(bundle), None)
    pixels = decode_file(path)
    analysis = pipeline.analyse_still(Picture(pixels))
    score = None
    if passive and analysis.face is not None:
        score = pipeline.passive(Frame(pixels, PixelFormat.RGB, 0.0, 0), analysis)
    if annotate is not None:
        _save(annotate, draw(pixels, analysis))
    return {
        "width": int(pixels.shape[1]),
        "height": int(pixels.shape[0]),
        "faces": analysis.faces,
        "face": None if analysis.face is None else _described(analysis.face),
        "quality": {name: round(value, 4) for name, value in analysis.quality.items()},
        "problems": [str(problem) for problem in analysis.problems],
        "passive": score,
    }


def draw(pixels: Image, analysis: FrameAnalysis) -> Image:
    """A copy of the picture with box, mesh, five points and the direction of the head."""
    drawn = pixels.copy()
    face = analysis.face
    if face is None:
        return drawn
    thickness = max(1, round(max(pixels.shape[:2]) / 400))
    left, top, right, bottom = (round(float(v)) for v in face.box)
    cv2.rectangle(drawn, (left, top), (right, bottom), (0, 158, 115), thickness)
    for x, y, _depth in face.mesh:
        cv2.circle(drawn, (round(float(x)), round(float(y))), thickness, (86, 180, 233), -1)
    for x, y in face.points:
        cv2.circle(drawn, (round(float(x)), round(float(y))), 2 * thickness, (213, 94, 0), -1)
    # The nose's line points where the head does: yaw to the person's left is to the right in the picture.
    nose = face.points[2]
    angle = np.radians([face.pose.yaw, face.pose.pitch])
    tip = nose + 2 * face.inter_ocular * np.array([np.sin(angle[0]), -np.sin(angle[1])])
    start, end = (tuple(round(float(v)) for v in point) for point in (nose, tip))
    cv2.arrowedLine(drawn, start, end, (230, 159, 0), 2 * thickness)
    return drawn


def _described(face: Face) -> dict[str, Any]:
    return {
        "box": [round(float(v), 2) for v in face.box],
        "score": round(face.score, 4),
        "points": [[round(float(v), 2) for v in point] for point in face.points],
        "pose": {"yaw": round(face.pose.yaw, 2), "pitch": round(face.pose.pitch, 2), "roll": round(face.pose.roll, 2)},
    }


def _save(path: Path, pixels: Image) -> None:
    try:
        good = cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise EvaluationError("evaluation.output", f"{path}: not a picture's file name") from error
    if not good:
        raise EvaluationError("evaluation.output", f"{path} cannot be written")
