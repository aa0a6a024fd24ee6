"""The stages in their order: a frame becomes an analysis, an analysis a template, two templates a comparison.

One interpreter for each model, one thread each. A pipeline belongs to one thread.
"""

import numpy as np

from agent.biometrics.bundle import ModelBundle
from agent.biometrics.compare import compare, threshold_for
from agent.biometrics.decode import decode_portrait
from agent.biometrics.detect import Detection, Detector
from agent.biometrics.embed import Embedder
from agent.biometrics.errors import FaceError, ModelError
from agent.biometrics.image import Picture, picture_of
from agent.biometrics.landmarks import FivePointFinder, MeshFinder
from agent.biometrics.passive import PassiveNetwork
from agent.biometrics.pose import pose_of
from agent.biometrics.quality import QualityLimits, measure, problems
from agent.biometrics.runtime import return_memory
from agent.biometrics.search import find_far, looks
from agent.biometrics.site import SiteManifest
from agent.biometrics.types import Comparison, Face, Frame, FrameAnalysis, Guidance, Template

#: A face, as one of the landmark networks scores it. On full profiles the mesh sees none, and the points reach 0.13: at
#: the detector's first look that will do.
SURE, DOUBTFUL = 0.5, 0.1
#: So many faces are looked at before the detector is taken to be wrong about all of them.
CANDIDATES = 3
#: Who is meant, as the offset from the middle at which a face counts half: before a camera the nearest, wherever they
#: stand; in a picture of somebody the one in its middle, even if a neighbour is larger.
NEAREST, SUBJECT = 1.2, 0.35
NOBODY = FrameAnalysis(None, Guidance.LOOK_HERE, (Guidance.LOOK_HERE,))


class FacePipeline:
    """Everything that is known about faces, for one thread."""

    def __init__(
        self,
        bundle: ModelBundle | None = None,
        target_fmr: float | None = 1e-5,
        limits: QualityLimits | None = None,
        site: SiteManifest | None = None,
    ) -> None:
        """Load the models of `bundle` (the shipped one if None); `target_fmr` None is for measuring: no `compare`.

        Raises:
            ModelError: a file, its digest, its shapes, or no threshold for `target_fmr`.
        """
        self.bundle = bundle or ModelBundle.shipped()
        self._limits = limits or QualityLimits()
        self._detect = Detector(self.bundle)
        self._five = FivePointFinder(self.bundle)
        self._mesh = MeshFinder(self.bundle)
        self._embed = Embedder(self.bundle)
        calibrated = site or SiteManifest()
        #: The scores from which this site's camera raises the demand, by name of the advice; those that are calibrated.
        self.advice_limits = calibrated.advice_limits(self.bundle)
        thresholds = calibrated.thresholds(self.bundle)
        self._threshold = None if target_fmr is None else threshold_for(thresholds, target_fmr)

    def analyse(self, frame: Frame) -> FrameAnalysis:
        """Find the face to go on with, measure it, and say what the person should do first."""
        return self.analyse_picture(picture_of(frame))

    def analyse_picture(self, picture: Picture) -> FrameAnalysis:
        """`analyse` for pixels that are at hand."""
        detections = self._detect(picture) or find_far(self._detect, picture)
        return self._analysis(picture, detections, NEAREST, DOUBTFUL)

    def analyse_still(self, picture: Picture) -> FrameAnalysis:
        """`analyse_picture` for a picture that comes only once: looks again, nearer and farther, before giving up."""
        for number, detections in enumerate(looks(self._detect, picture)):
            # Who looks often enough sees faces in clouds.
            analysis = self._analysis(picture, detections, SUBJECT, SURE if number else DOUBTFUL)
            if analysis.face is not None:
                return analysis
        return NOBODY

    def embed(self, frame: Frame, analysis: FrameAnalysis) -> Template:
        """The template of the analysed face.

        Raises:
            FaceError: `face.none`, the analysis found no face.
        """
        return self._embed(picture_of(frame), _face(analysis), self._embed.live_views)

    def embed_still(self, picture: Picture, analysis: FrameAnalysis) -> Template:
        """The template of a picture that comes only once, from more views than a frame of the camera gets."""
        return self._embed(picture, _face(analysis), self._embed.still_views)

    def enroll(self, portrait: bytes) -> Template:
        """The template of a chip's portrait (JPEG, JPEG 2000 or PNG).

        Raises:
            FaceError: `face.portrait_unreadable` or `face.portrait_no_face`.
        """
        picture = Picture(decode_portrait(portrait))
        analysis = self.analyse_still(picture)
        if analysis.face is None:
            raise FaceError("face.portrait_no_face", "no face was found in the portrait")
        return self.embed_still(picture, analysis)

    def passive(self, frame: Frame, analysis: FrameAnalysis) -> float:
        """The passive score, 0 (a living face) to 1 (an attack): advisory, slow.

        The network is loaded for one look and dropped after it: 91 MB that no terminal holds while it waits. Who has
        many pictures keeps a `PassiveNetwork`.

        Raises:
            FaceError: `face.none`, the analysis found no face.
        """
        box = _face(analysis).box
        score = PassiveNetwork(self.bundle)(picture_of(frame), box)
        return_memory()
        return score

    def compare(self, probe: Template, reference: Template) -> Comparison:
        """Hold two templates against each other at the pipeline's false match rate.

        Raises:
            FaceError: `face.templates_differ`, different models made them.
            ModelError: `model.manifest`, the pipeline was made without a false match rate.
        """
        if self._threshold is None:
            raise ModelError("model.manifest", "no threshold was asked for")
        return compare(probe, reference, self._threshold)

    def _analysis(
        self, picture: Picture, detections: list[Detection], width: float, points_score: float
    ) -> FrameAnalysis:
        """The most prominent of these faces that is one, measured."""
        likely = sorted(detections, key=lambda detection: _prominence(detection, picture, width), reverse=True)
        for detection in likely[:CANDIDATES]:
            face = self._face(picture, detection)
            if face.presence >= SURE or face.points_score >= points_score:
                quality = measure(picture, face, detections)
                found = problems(quality, self._limits)
                return FrameAnalysis(face, found[0] if found else None, found, quality, len(detections))
        return NOBODY

    def _face(self, picture: Picture, chosen: Detection) -> Face:
        mesh = self._mesh(picture, chosen)
        five = self._five(picture, mesh)
        return Face(
            box=chosen.box,
            score=chosen.score,
            keypoints=chosen.keypoints,
            points=five.points,
            points_score=five.score,
            mesh=mesh.points,
            presence=mesh.presence,
            pose=pose_of(mesh.points),
        )


def _face(analysis: FrameAnalysis) -> Face:
    if analysis.face is None:
        raise FaceError("face.none", "no face was found in this frame")
    return analysis.face


def _prominence(detection: Detection, picture: Picture, width: float) -> float:
    """The area of a face, less the farther it is from the middle: by half at `width` (1: the edge of the picture)."""
    centre = (detection.box[:2] + detection.box[2:]) / 2
    middle = np.array([picture.width, picture.height]) / 2
    offset = float(np.linalg.norm((centre - middle) / middle))
    return float((detection.box[2:] - detection.box[:2]).prod()) / (1.0 + (offset / width) ** 2)
