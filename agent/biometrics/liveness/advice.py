"""Advice: evidence that ranks well before one camera and has no threshold that holds for two.

Each piece is held against the limit that was calibrated for the installed camera (`renzheng models calibrate-camera`).
Above it one turn more is asked for; alone it passes nobody and refuses nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from agent.biometrics.liveness.borders import borders_of
from agent.biometrics.liveness.texture import EyeTexture
from agent.biometrics.types import Face, Image, LivenessPart, LivenessVerdict

PASSIVE, BORDERS, TEXTURE = "passive", "borders", "texture"
#: Looks ahead before their borders say anything: hair and hands cross a line now and then.
_FEWEST = 3


@dataclass(slots=True)
class Advice:
    """What was advised in one presentation. Scores rise with doubt; `limits` are those of the camera, by name."""

    limits: Mapping[str, float]
    passive: float | None = None
    _borders: list[float] = field(default_factory=list)
    _texture: EyeTexture = field(default_factory=EyeTexture)

    def look(self, grey: Image, face: Face) -> None:
        """A face that looks ahead, in a grey picture (h, w)."""
        self._borders.append(borders_of(grey, face.box).score)
        self._texture.look(grey, face.points)

    @property
    def scores(self) -> dict[str, float]:
        """What there is to say so far, by name."""
        borders = float(np.median(self._borders)) if len(self._borders) >= _FEWEST else None
        found = {PASSIVE: self.passive, BORDERS: borders, TEXTURE: self._texture.score}
        return {name: score for name, score in found.items() if score is not None}

    @property
    def doubtful(self) -> bool:
        """Whether anything lies above its limit."""
        return any(score > self.limits[name] for name, score in self.scores.items() if name in self.limits)

    def parts(self) -> list[LivenessPart]:
        """The evidence, none of it required."""
        return [self._part(name, round(score, 3)) for name, score in self.scores.items()]

    def _part(self, name: str, score: float) -> LivenessPart:
        limit = self.limits.get(name)
        if limit is None:
            return LivenessPart(name, LivenessVerdict.INDETERMINATE, score, 1.0, False, "camera not calibrated")
        verdict = LivenessVerdict.LIVE if score <= limit else LivenessVerdict.ATTACK
        return LivenessPart(name, verdict, score, limit, False)
